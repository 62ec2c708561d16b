"""The drift: what it draws, that a number of qubits has one, and what files from before it keep."""

import functools

import cirq
import keras
import numpy as np
import pytest

from tfq_qrnn import QRNN, CircuitAnsatz, Controller, Drift, GateProgram, HardwareEfficient, QRNNCell, pqc, trace
from tfq_qrnn.circuits import Ansatz

# `Drift()` on three qubits, in radians: RY of each, then RZ of each.
WRITTEN = [0.968617911805, -0.073016957202, -0.005843072593, 0.248554502938, -0.068326597756, 0.008115325173]
PAULIS = {"I": np.eye(2), "X": cirq.unitary(cirq.X), "Y": cirq.unitary(cirq.Y), "Z": cirq.unitary(cirq.Z)}


def string(letters):
    return functools.reduce(np.kron, (PAULIS[letter] for letter in letters))


def turn(letters, angle):
    """exp(-i angle/2 P)."""
    return np.cos(angle / 2) * np.eye(2 ** len(letters)) - 1j * np.sin(angle / 2) * string(letters)


def test_the_gates_are_the_formula():
    """The product of the docstring, from its numbers alone."""
    drift, n = Drift(slowest=0.1, fastest=2.0, coupling=0.7, seed=5), 3
    random = np.random.RandomState([5, n])
    w = random.permutation([2.0, np.sqrt(0.2), 0.1])
    phi, j = random.uniform(0, 2 * np.pi, n), 0.7 * random.normal(size=n)
    wanted = np.eye(8)
    for q in range(n):
        letters = ["I"] * n
        for letter, angle in (("Y", w[q] * np.cos(phi[q])), ("Z", w[q] * np.sin(phi[q]))):
            letters[q] = letter
            wanted = turn("".join(letters), angle) @ wanted
    for q, letters in enumerate(("ZZI", "IZZ", "ZIZ")):
        wanted = turn(letters, j[q]) @ wanted
    found = cirq.unitary(drift.circuit(cirq.LineQubit.range(n)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)  # a dozen products of float64


def test_the_default_is_the_same_for_ever():
    """Numbers that were written down: a file names a seed, and must mean the same with any NumPy."""
    angles = [op.gate._rads for op in Drift().circuit(cirq.LineQubit.range(3)).all_operations()]
    np.testing.assert_allclose(angles, WRITTEN, rtol=0, atol=1e-9)  # of the digits below


def test_one_qubit_has_the_fastest_and_a_pair_one_coupling():
    (gate,) = Drift(fastest=1.25, axis="z").circuit([cirq.q(0)]).all_operations()
    assert gate == cirq.rz(1.25)(cirq.q(0))
    couplings = [
        op for op in Drift(coupling=1.0).circuit(cirq.LineQubit.range(2)).all_operations() if len(op.qubits) > 1
    ]
    assert len(couplings) == 1


def test_it_acts_at_the_end_of_a_step_of_any_ansatz():
    drift, qubits = Drift(coupling=0.3), cirq.LineQubit.range(3)
    bare = HardwareEfficient(3)
    for ansatz in (HardwareEfficient(3, drift=drift), CircuitAnsatz(bare.circuit, bare.symbols, drift)):
        angles = np.linspace(-1, 1, ansatz.n_angles)
        wanted = cirq.unitary(drift.circuit(qubits)) @ cirq.unitary(bare.resolve(angles))
        np.testing.assert_allclose(cirq.unitary(ansatz.resolve(angles)), wanted, rtol=0, atol=1e-13)


def test_about_z_the_ground_state_stays():
    program = GateProgram(HardwareEfficient(3, drift=Drift(fastest=3.0, coupling=1.0, axis="z")))
    angles = np.zeros((1, program.n_angles))
    memory, readouts = pqc(np.zeros((1, 16)), angles, program)
    assert abs(np.asarray(memory)[0, 0] + 1j * np.asarray(memory)[0, 8]) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(readouts[0], [0, 0, 1] * 3, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["native", "tensorflow"])
def test_a_memory_without_news_precesses(backend):
    """With no input and no feedback the Bloch vector of each qubit is U_drift^t of the first one: Cirq's states."""
    layer = QRNN(2, controller=(), seed=1, dtype="float64", backend=backend, return_sequences=True)
    layer.build((None, 40, 1))
    for weight in layer.cell.controller.kernels:
        weight.assign(np.zeros(weight.shape))
    found = np.asarray(layer(np.zeros((1, 40, 1))))[0]
    unitary = cirq.unitary(Drift().circuit(cirq.LineQubit.range(2)))
    state = np.eye(4)[0]
    for step in range(40):
        state = unitary @ state
        wanted = [np.vdot(state, string(p) @ state).real for p in ("XI", "YI", "ZI", "IX", "IY", "IZ")]
        np.testing.assert_allclose(found[step], wanted, rtol=0, atol=1e-12)  # 40 steps of float64


def test_two_layers_with_the_same_weights_give_the_same():
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    first, second = (QRNN(3, seed=seed, dtype="float64") for seed in (1, 2))
    wanted = first(x)
    second.build(x.shape)
    second.set_weights(first.get_weights())
    np.testing.assert_array_equal(second(x), wanted)
    cell = QRNNCell(3, dtype="float64")
    loop = keras.layers.RNN(cell, dtype="float64")
    loop.build(x.shape)
    loop.set_weights(first.get_weights())
    np.testing.assert_allclose(loop(x), wanted, rtol=0, atol=1e-12)  # another order of the same sums


def test_it_goes_through_json_and_configs():
    drift = Drift(0.1, 1.5, coupling=0.25, axis="z", seed=7)
    assert Drift(**drift.get_config()) == drift
    ansatz = HardwareEfficient(2, drift=drift)
    assert Ansatz.from_json(ansatz.to_json()).drift == drift
    assert QRNN.from_config(QRNN(circuit=ansatz).get_config()).cell.circuit == ansatz
    assert QRNN.from_config(QRNN(2).get_config()).cell.circuit == HardwareEfficient(2, drift=Drift())
    assert QRNN(circuit=HardwareEfficient(2)).cell.circuit.drift is None


def test_a_config_from_before_has_no_drift_and_the_controller_of_its_time():
    config = QRNN(2, controller=(5,)).get_config()
    for circuit in (None, keras.saving.serialize_keras_object(HardwareEfficient(2))):
        if circuit:
            del circuit["config"]["drift"]
        layer = QRNN.from_config({**config, "circuit": circuit, "controller": [5]})
        assert layer.cell.circuit == HardwareEfficient(2)
        controller = layer.cell.controller
        assert controller.activation is keras.activations.gelu
        assert (controller.hidden_units, controller.initial_rotation, controller.gate_bias) == ((5,), 0.1, 0.0)


def test_a_saved_model_keeps_its_drift(tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 4, 1))
    circuit = HardwareEfficient(2, drift=Drift(0.5, 2.0, seed=3))
    model = keras.Sequential([keras.Input((4, 1)), QRNN(circuit=circuit, dtype="float64")])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].cell.circuit == circuit
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slowest": 0.0}, "Argument `slowest` must be more than 0, and at most `fastest`, 1, but it is 0"),
        ({"slowest": 2.0}, "at most `fastest`, 1, but it is 2"),
        ({"fastest": np.inf}, "Argument `fastest` must be a finite number of 0 or more, but it is inf"),
        ({"coupling": -1.0}, "Argument `coupling` must be a finite number of 0 or more"),
        ({"axis": "x"}, "Argument `axis` must be one of 'tilted', 'z'"),
        ({"seed": -1}, "Argument `seed` must be an integer from 0"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Drift(**arguments)


def test_a_drift_is_a_drift():
    with pytest.raises(TypeError, match=r"Argument `drift` must be a tfq_qrnn\.Drift or None"):
        HardwareEfficient(2, drift=0.5)


def test_gates_start_where_gate_bias_says():
    def biases(**arguments):
        layer = QRNN(2, controller=Controller((3, 2), **arguments))
        layer.build((None, 5, 1))
        return [np.asarray(bias).tolist() for bias in layer.cell.controller.biases]

    assert biases()[:2] == [[0, 0, 0, -2, -2, -2], [0, 0, -2, -2]]
    assert biases(gate_bias=-4.0)[0] == [0, 0, 0, -4, -4, -4]
    assert biases(gate_bias=-1.0, bias_initializer="ones")[1] == [1, 1, 0, 0]
    assert biases(activation="gelu")[0] == [0, 0, 0]
    assert biases(activation="gelu", gate_bias=-4.0)[:2] == [[-4, -4, -4], [-4, -4]]
    assert biases(use_bias=False) == []


def test_closed_gates_keep_the_controller_quiet():
    """At -2 a gate lets sigmoid(-2) through: 0.119 of what GLU's other half has, as written in Keras."""
    layer = QRNN(
        2, controller=Controller((4,), feedback_gain=0.0, angle_scale=1.0, kernel_initializer="ones"), dtype="float64"
    )
    x = np.full((1, 1, 1), 0.1)
    angles = trace(layer, x).angles[0, 0]
    np.testing.assert_allclose(angles, 4 * 0.1 / (1 + np.exp(2 - 0.1)), rtol=1e-12)
