"""Any Keras network as the controller: it runs, it is told apart in a journal, and an export says what it needs."""

import cirq
import keras
import numpy as np
import pytest
from hw_oracles import Stub, fed_back, run, sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.fingerprint import cell_digest

FEATURES, READOUTS, ANGLES = 3, 6, 8  # of two qubits with the default circuit


def sequential(activation="tanh"):
    return keras.Sequential(
        [
            keras.layers.Dense(8, activation=activation),
            keras.layers.Dropout(0.5, seed=0),
            keras.layers.Dense(ANGLES),
        ]
    )


def functional(skip=False):
    inputs = keras.Input((FEATURES + READOUTS,))
    first, second = keras.layers.Dense(ANGLES)(inputs), keras.layers.Dense(ANGLES)(inputs)
    return keras.Model(inputs, keras.layers.Add()([first, first if skip else second, second]))


class Own(keras.layers.Layer):
    """A class of the user's own, which says nothing of itself."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)


@pytest.fixture(scope="module")
def layer():
    keras.utils.set_random_seed(0)
    return small_layer(controller=sequential())


@pytest.mark.parametrize("make", [functional, lambda: Own(keras.layers.Dense(ANGLES, activation="tanh"))])
def test_networks_of_other_kinds_run(make):
    layer, x = small_layer(controller=make()), sequences(2, 2)
    result = run(layer, x, Stub(), 250_000)
    np.testing.assert_allclose(result.exact, layer(x), atol=1e-5)  # float32
    np.testing.assert_allclose(result.outputs, layer(x), atol=3e-2)  # shots leave 2e-3, which two steps magnify


def test_the_loop_is_the_layers_own(layer):
    x = sequences(2, 3)
    result = run(layer, x, Stub(), 250_000)
    np.testing.assert_allclose(result.exact, layer(x), atol=1e-5)  # float32; dropout is off
    np.testing.assert_allclose(result.outputs, layer(x), atol=3e-2)  # as above
    np.testing.assert_allclose(result.angles[:, 0], tfq_qrnn.trace(layer, x).angles[:, 0], atol=1e-5)


def test_ancillas_read_it_too(layer):
    result = hw.run_with_ancillas(layer, sequences(1, 1), 0.7, 100_000, seed=1)
    assert np.abs((result.readouts - result.exact) / result.standard_errors).max() < 4.5


def test_a_saved_model_goes_on_from_the_journal(tmp_path, layer):
    model = keras.Sequential([keras.Input((2, FEATURES)), layer])
    x, journal = sequences(1, 2), tmp_path / "journal"
    first = run(model, x, Stub(), 20, journal=journal)
    model.save(tmp_path / "model.keras")
    again = Stub()
    second = run(keras.models.load_model(tmp_path / "model.keras"), x, again, 20, journal=journal)
    assert again.calls == 0
    np.testing.assert_array_equal(first.readouts, second.readouts)


def fingerprint(make, change=lambda controller: None):
    keras.utils.set_random_seed(0)  # the weights of networks of the same sizes are then the same
    layer = small_layer(controller=make())
    change(layer.cell.controller)
    return cell_digest(layer.cell)


@pytest.mark.parametrize(
    ("make", "others"),
    [
        (lambda: fed_back(activation="tanh"), [lambda: fed_back(activation="relu"), fed_back]),
        (sequential, [lambda: sequential("relu"), lambda: sequential("sigmoid")]),
        (functional, [lambda: functional(skip=True)]),
        (lambda: Own(sequential()), [sequential]),
    ],
)
def test_fingerprints_tell_networks_apart_and_not_their_names(make, others):
    kinds = [make, *others]
    first = list(map(fingerprint, kinds))
    assert len(set(first)) == len(kinds)
    assert list(map(fingerprint, kinds)) == first  # under the names that Keras gives to second ones

    def change(controller):
        kernel = controller.weights[0]
        kernel.assign(np.nextafter(kernel, 2))

    assert fingerprint(make, change) != first[0]


def test_an_export_says_that_it_needs_the_saved_model(tmp_path):
    layer = small_layer(controller=sequential(), trainable_circuit=tfq_qrnn.HardwareEfficient(2, 1))
    exported = hw.load(hw.export(layer, tmp_path / "circuits", "weber", 2))
    assert exported.manifest["controller"] == {
        "class": "Sequential",
        "inputs": FEATURES,
        "readouts": READOUTS,
        "weights": "the saved model",
    }
    assert list(exported.weights) == ["circuit_angles"]
    np.testing.assert_array_equal(exported.weights["circuit_angles"], layer.cell.circuit_angles)
    # With the controller of the saved model and the circuits of the folder the loop runs: one step by hand.
    x = sequences(1, 1)
    angles = layer.cell.controller(np.concatenate([x[:, 0], np.zeros((1, READOUTS))], axis=1).astype("float32"))
    angles = np.concatenate([angles, exported.weights["circuit_angles"][None]], axis=1)
    (circuit,) = exported.resolve(angles)
    paulis = [p(q) for q in exported.qubits for p in (cirq.X, cirq.Y, cirq.Z)]
    values = np.real(cirq.Simulator().simulate_expectation_values(circuit, paulis))
    np.testing.assert_allclose(values, layer(x)[0, 0], atol=1e-5)  # complex64
