"""The models that a QRNN is compared with: what they compute, and that they are of its size."""

import inspect

import cirq
import keras
import numpy as np
import pytest
import tensorflow as tf

import tfq_qrnn
from experiments.harness import arguments
from experiments.models import baselines, recurrent

X = np.random.default_rng(0).normal(size=(3, 7, 4))


def quantum(**changes):
    settings = {"qubits": 4, "depth": 2, "hidden_units": (16,), "backend": "auto", "entangler": "cz"}
    return {**settings, "angle_scale": "auto", "activation": "gelu", **changes}


def scornn(units=5, **kwargs):
    # Larger kernels than the published start, and biases that are not zero: nothing is left out of the comparison.
    layer = baselines.ScoRNN(units, kernel_initializer="glorot_uniform", seed=1, dtype="float64", **kwargs)
    layer.build(X.shape)
    layer.cell.bias.assign(np.linspace(-0.3, 0.3, units))
    return layer


def unitary(activation="gelu", **kwargs):
    controller = tfq_qrnn.Controller((5,), activation=activation)
    return baselines.UnitaryRNN(8, 9, 12, controller=controller, dtype="float64", **kwargs)


def gradients(layer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(X) * np.linspace(-1, 1, layer(X).shape[-1]))
    return tape.gradient(loss, [weight.value for weight in layer.trainable_weights])


def assert_gradients_are_finite_differences(layer):
    weigh = np.linspace(-1, 1, layer(X).shape[-1])
    for weight, gradient in zip(layer.trainable_weights, gradients(layer), strict=True):
        value = weight.numpy()
        direction = np.random.default_rng(2).normal(size=value.shape)
        losses = []
        for step in (1e-6, -1e-6):
            weight.assign(value + step * direction)
            losses.append(float(np.sum(layer(X) * weigh)))
        weight.assign(value)
        # central differences: an error of 1e-12 from the step and 1e-10 from rounding
        expected = (losses[0] - losses[1]) / 2e-6
        np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-6, atol=1e-9, err_msg=weight.path)


@pytest.mark.parametrize("negative", [0, 2, 5])
def test_scornn_is_the_formula_of_the_paper(negative):
    layer = scornn(negative=negative)
    w = layer.cell.recurrent_kernel().numpy()
    np.testing.assert_allclose(w @ w.T, np.eye(5), atol=1e-14)  # a few roundings of float64
    a = np.zeros((5, 5))
    a[np.triu_indices(5, 1)] = 0.1 * layer.cell.skew.numpy()
    a -= a.T
    d = np.diag([1.0] * (5 - negative) + [-1.0] * negative)
    np.testing.assert_allclose(w, np.linalg.inv(np.eye(5) + a) @ (np.eye(5) - a) @ d, atol=1e-14)
    h = np.zeros((3, 5))
    for t in range(X.shape[1]):
        z = X[:, t] @ layer.cell.kernel.numpy() + h @ w.T
        h = np.sign(z) * np.maximum(np.abs(z) + layer.cell.bias.numpy(), 0)
    np.testing.assert_allclose(layer(X), h, atol=1e-13)
    np.testing.assert_allclose(keras.layers.RNN(layer.cell, dtype="float64")(X), h, atol=1e-13)  # W anew at each step


def test_scornn_starts_as_published():
    """Plane rotations by angles of up to pi/2: the Cayley transform of a block with tan(t/2) turns by t."""
    cell = baselines.ScoRNNCell(7, negative=0, seed=0)
    cell.build((None, 3))
    angles = np.angle(np.linalg.eigvals(cell.recurrent_kernel().numpy().astype(np.float64)))
    turned = np.sort(angles[angles > 1e-3])
    assert len(turned) == 3
    assert turned[-1] < np.pi / 2
    assert np.abs(cell.kernel.numpy()).max() <= 0.01
    assert np.ptp(turned) > 0.1
    w = cell.recurrent_kernel().numpy()
    np.testing.assert_allclose(w @ w.T, np.eye(7), atol=1e-6)  # float32


@pytest.mark.parametrize("make", [scornn, unitary])
def test_gradients(make):
    assert_gradients_are_finite_differences(make())


def test_unitary_step_is_a_matrix_of_its_angles_and_keeps_every_overlap():
    cell = unitary(depth=1).cell
    angles = np.random.default_rng(1).normal(size=12)
    u = cell.evolve(tf.eye(8, dtype=tf.complex128), np.tile(angles, (8, 1))).numpy().T
    np.testing.assert_allclose(u @ u.conj().T, np.eye(8), atol=1e-14)
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(8), np.arange(8)) / 8) / np.sqrt(8)
    phases = [angles[:6] @ cell._generators[0], angles[6:] @ cell._generators[1]]
    first, second = (np.diag(np.exp(-1j * phase)) for phase in phases)
    expected = fourier.conj().T @ second @ np.eye(8)[cell._permutation] @ fourier @ first
    np.testing.assert_allclose(u, expected, atol=1e-14)


def test_a_unitary_with_a_drift_moves_with_the_frequencies_of_a_qrnn():
    """At zero angles F^-1 D F, with the same eigenvalues as those of the QRNN's step."""
    # with couplings the frequencies are not the same with the other sign
    keywords = {"qubits": 3, "depth": 1, "hidden_units": (), "drift": tfq_qrnn.Drift(0.2, 2.0, coupling=1.0)}
    frequencies = recurrent.eigenphases(recurrent.ansatz(3, 1, drift=keywords["drift"]))
    assert np.abs(frequencies + frequencies[::-1]).max() > 0.1
    for seed in (0, 1):
        of_a_qrnn = recurrent.recurrent_layer("unitary", dtype="float64", **keywords).cell.eigenphases
        cell = unitary(eigenphases=of_a_qrnn, seed=seed).cell
        u = cell.evolve(tf.eye(8, dtype=tf.complex128), np.zeros((8, 12))).numpy().T
        np.testing.assert_allclose(np.sort(np.angle(np.linalg.eigvals(u))), frequencies, atol=1e-12)  # float64
        fourier = np.exp(-2j * np.pi * np.outer(np.arange(8), np.arange(8)) / 8) / np.sqrt(8)
        np.testing.assert_allclose(np.abs(fourier @ u @ fourier.conj().T), np.eye(8), atol=1e-12)
    with pytest.raises(ValueError, match="`eigenphases` must have 8 values, as `dimension` says, but it has 3"):
        unitary(eigenphases=[0.1, 0.2, 0.3])


@pytest.mark.parametrize("backend", ["native", "tensorflow"])
def test_without_feedback_a_controller_is_one_whose_weights_of_the_readouts_are_zero(backend, tmp_path):
    keywords = {"qubits": 2, "depth": 1, "hidden_units": (5,), "backend": backend, "return_sequences": True}
    open_loop = recurrent.recurrent_layer("qrnn", feedback_gain=None, **keywords)
    plain = recurrent.recurrent_layer("qrnn", feedback_gain=0.7, **keywords)
    for layer in (open_loop, plain):
        layer.build(X.shape)
    weights = [np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(plain.get_weights())]
    open_loop.set_weights(weights)
    plain.set_weights(weights)
    assert np.abs(open_loop(X) - plain(X)).max() > 1e-3
    plain.cell.controller.kernels[0].assign(weights[0] * (np.arange(len(weights[0])) < X.shape[-1])[:, None])
    np.testing.assert_allclose(open_loop(X), plain(X), atol=2e-6)  # float32
    kernel = gradients(open_loop)[0]
    assert np.abs(kernel[: X.shape[-1]]).max() > 1e-3
    assert not np.any(kernel[X.shape[-1] :])
    model = keras.Sequential([keras.Input(X.shape[1:]), open_loop])
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(X), model(X))


def test_without_entanglers_the_circuit_has_as_many_angles_and_its_drift():
    drift = tfq_qrnn.Drift()
    whole, product = (recurrent.ansatz(3, 2, entangler, drift) for entangler in ("cz", "none"))
    assert product.symbols == whole.symbols
    assert all(len(operation.qubits) == 1 for operation in product.circuit.all_operations())
    u = cirq.unitary(product.resolve(np.zeros(12)))
    np.testing.assert_allclose(u, cirq.unitary(cirq.Circuit(drift.circuit(product.qubits))), atol=1e-12)  # float64


@pytest.mark.parametrize("dimension", [7, 8])
def test_unitary_readouts_are_expectations_in_three_unbiased_bases(dimension):
    cell = baselines.UnitaryCell(dimension, 9, 12, dtype="float64")
    state = np.random.default_rng(1).normal(size=(2, dimension, 2)) @ [1, 1j]
    state /= np.linalg.norm(state, axis=1, keepdims=True)
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(dimension), np.arange(dimension)) / dimension) / dimension**0.5
    bases = [np.eye(dimension), fourier, fourier @ np.diag(cell._chirp)]
    readouts = []
    for basis, signs in zip(bases, cell._observables, strict=True):
        for row in signs:
            assert abs(row.sum()) == dimension % 2
            observable = basis.conj().T @ np.diag(row) @ basis
            readouts.append(np.einsum("bi,ij,bj->b", state.conj(), observable, state).real)
    np.testing.assert_allclose(cell.read(tf.constant(state)), np.transpose(readouts), atol=1e-14)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        np.testing.assert_allclose(np.abs(bases[i] @ bases[j].conj().T), dimension**-0.5, atol=1e-13)


def test_unitary_feeds_its_readouts_back():
    layer = unitary(return_sequences=True, return_state=True)
    outputs, readouts, memory = layer(X)
    np.testing.assert_array_equal(outputs[:, -1], readouts)
    np.testing.assert_allclose(np.linalg.norm(memory, axis=1), 1, atol=1e-13)
    again, *_ = layer(X[:, 4:], initial_state=[outputs[:, 3], layer(X[:, :4])[2]])
    np.testing.assert_allclose(again, outputs[:, 4:], atol=1e-13)
    forgetful, *_ = layer(X[:, 4:], initial_state=[np.zeros((3, 9)), layer(X[:, :4])[2]])
    assert np.abs(forgetful - again).max() > 1e-3


LAYERS = {
    "scornn": lambda: scornn(return_sequences=True, negative=1, skew_scale=0.5),
    "unitary": lambda: unitary(return_sequences=True, seed=3, activation="relu"),
    **{f"adapted {name}": lambda name=name: recurrent.classical(name)[1](5, 2) for name in ("lstm", "scornn")},
}


@pytest.mark.parametrize("name", LAYERS)
def test_is_saved_and_masked_and_compiled_as_keras_layers_are(name, tmp_path):
    model = keras.Sequential([keras.Input((None, 4)), keras.layers.Masking(), LAYERS[name]()])
    for weight in model.trainable_weights:
        weight.assign(weight + 0.1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(X), loaded(X))
    padded = np.concatenate([X, np.zeros((3, 2, 4))], axis=1)
    last = model(X) if len(model.output_shape) == 2 else model(X)[:, -1]
    masked = model(padded) if len(model.output_shape) == 2 else model(padded)[:, -1]
    np.testing.assert_allclose(masked, last, rtol=1e-6, atol=1e-7)  # float32
    compiled = tf.function(model, jit_compile=True)(tf.constant(X, model.dtype))
    np.testing.assert_allclose(compiled, model(X), rtol=1e-4, atol=1e-6)  # float32, in another order


def test_an_adapter_starts_as_nothing_and_is_trained():
    plain, adapted = keras.layers.LSTM(5), baselines.AdaptedLSTM(5, 2)
    plain(X), adapted(X)
    plain.set_weights([w.numpy() for w in adapted.trainable_weights if "adapter" not in w.path])
    np.testing.assert_allclose(adapted(X), plain(X), atol=1e-6)
    gradient = dict(zip([w.name for w in adapted.trainable_weights], gradients(adapted), strict=True))
    assert np.abs(gradient["adapter_out"]).max() > 0
    adapted.adapter_out.assign(adapted.adapter_out + 1.0)
    hidden = keras.ops.gelu(X.astype("float32") @ adapted.adapter_in)
    np.testing.assert_allclose(adapted(X), plain(X + hidden @ np.ones((2, 4), "float32")), atol=1e-6)


# Features of a step and outputs of the head: pixels, rows, a series, letters, words.
HEADS = [(1, 10), (28, 10), (12, 9), (64, 2), (32, 70)]


class Counted:
    """What a model of a size has of weights; a search looks at hundreds, and building them takes minutes."""

    def __init__(self, name, size, features, outputs):
        units, adapter = size if isinstance(size, tuple) else (size, 0)
        inputs = units * (features + 1)  # with biases
        layer = {
            "lstm": 4 * (inputs + units**2),
            "gru": 3 * (inputs + units**2 + units),
            "rnn": inputs + units**2,
            "scornn": inputs + units * (units - 1) // 2,
        }
        self.trainable_weights = [np.empty(layer[name] + 2 * features * adapter + (units + 1) * outputs, bool)]


@pytest.mark.parametrize("name", recurrent.CLASSICAL)
def test_parameters_of_a_size(name):
    for size in (7, (6, 3)):
        layer = recurrent.recurrent_layer(name, size, **quantum())
        model = keras.Sequential([keras.Input((5, 12)), layer, keras.layers.Dense(9)])
        assert recurrent.count_trainable(model) == recurrent.count_trainable(Counted(name, size, 12, 9))


@pytest.mark.parametrize("name", recurrent.CLASSICAL)
@pytest.mark.parametrize("target", [1_500, 2_500, 5_000, 20_000])
def test_sizes_match_within_three_per_cent(name, target):
    for head in HEADS:
        size = recurrent.matched_units(lambda size, head=head: Counted(name, size, *head), target)
        parameters = recurrent.count_trainable(Counted(name, size, *head))
        assert abs(parameters - target) <= 0.03 * target, (head, size)
        if isinstance(size, tuple):  # the adapter is small, and nothing simpler would do
            assert recurrent.count_trainable(Counted(name, int(size[0] / 0.8) + 1, *head)) > target, (head, size)
            for width in range(1, 200):
                count = recurrent.count_trainable(Counted(name, width, *head))
                assert abs(count - target) > 0.03 * target, (head, size)


def test_a_size_that_no_width_has_is_refused():
    with pytest.raises(ValueError, match=r"`target` must .* within 3 %, but it is 60, and 2 units have 56 and 3 units"):
        recurrent.matched_units(lambda size: Counted("lstm", size, 4, 0), 60)


def test_a_start_has_one_default_wherever_it_is_named():
    options = arguments.parser("", "", None).parse_args([])
    for name in ("angle_scale", "feedback_gain", "initial_rotation"):
        takers = (tfq_qrnn.Controller, recurrent.recurrent_layer)
        found = {inspect.signature(taker).parameters[name].default for taker in takers}
        assert found == {getattr(options, name)}


@pytest.mark.parametrize("name", recurrent.NAMES)
def test_a_seed_sets_every_weight(name):
    def weights(seed):
        keras.utils.set_random_seed(seed)
        units = 5 if name in recurrent.CLASSICAL else None
        layer = recurrent.recurrent_layer(name, units, qubits=2, depth=1, hidden_units=(3,))
        layer.build((None, 4, 3))
        return [weight.numpy() for weight in layer.weights if weight.trainable]

    for one, same, other in zip(weights(7), weights(7), weights(8), strict=True):
        np.testing.assert_array_equal(one, same)
        assert len(np.unique(one)) <= 2 or not np.array_equal(one, other)  # zeros, and the ones of an LSTM's biases


@pytest.mark.parametrize("qubits", [2, 6])
def test_controls_have_exactly_the_parameters_and_readouts_of_the_qrnn(qubits):
    layers = [recurrent.recurrent_layer(n, **quantum(qubits=qubits)) for n in ("qrnn", "qrnn-linear", "unitary")]
    for layer in layers:
        layer.build((None, 28, 5))
    assert len({recurrent.count_trainable(layer) for layer in layers}) == 1
    assert {layer.compute_output_shape((None, 28, 5)) for layer in layers} == {(None, 3 * qubits)}
    assert [layer.cell.controller.scale.numpy() for layer in layers] == [layers[0].cell.controller.scale.numpy()] * 3
