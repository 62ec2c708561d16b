"""`prepare`: circuits, circuit tensors and states as initial states."""

import itertools

import cirq
import numpy as np
import pytest
import sympy
import tensorflow as tf
from random_circuits import to_complex

import tfq_qrnn


def encoding(n_qubits, seed):
    rng = np.random.default_rng(seed)
    qubits = cirq.LineQubit.range(n_qubits)
    circuit = cirq.Circuit(cirq.ry(angle)(q) for q, angle in zip(qubits, rng.uniform(-3, 3, n_qubits), strict=True))
    return circuit + cirq.Circuit(cirq.CNOT(a, b) for a, b in itertools.pairwise(qubits))


@pytest.mark.parametrize("n_qubits", [1, 3, 11])  # TFQ sorts qubits by name: 10 before 2, were it not for its padding
def test_states_are_those_of_cirq(tfq, n_qubits):
    circuits = [encoding(n_qubits, seed) for seed in range(3)]
    memories = tfq_qrnn.prepare(tfq.convert_to_tensor(circuits), n_qubits)
    expected = [circuit.final_state_vector(dtype=np.complex128) for circuit in circuits]
    # TFQ keeps six digits of each angle and computes in float32
    np.testing.assert_allclose(to_complex(memories), expected, atol=1e-5)


@pytest.mark.parametrize("n_qubits", [1, 3, 11])
def test_circuits_and_states_give_the_states_of_cirq(n_qubits):
    circuits = [encoding(n_qubits, seed) for seed in range(3)]
    expected = np.array([circuit.final_state_vector(dtype=np.complex128) for circuit in circuits])
    for given in (circuits, expected, expected.astype(np.complex64), tf.constant(expected)):
        np.testing.assert_allclose(to_complex(tfq_qrnn.prepare(given, n_qubits)), expected, atol=1e-7)  # float32
    real = np.eye(2**n_qubits)[:2]
    np.testing.assert_array_equal(to_complex(tfq_qrnn.prepare(real, n_qubits)), real)


def test_is_an_initial_state_of_the_layer(tfq):
    circuits = tfq.convert_to_tensor([encoding(2, 0), encoding(2, 1)])
    layer = tfq_qrnn.QRNN(2, return_sequences=True, controller=tfq_qrnn.Controller(angle_scale=1.0))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    state = [tf.zeros((2, 6)), tfq_qrnn.prepare(circuits, 2)]
    trace = tfq_qrnn.trace(layer, x, state)
    whole = sum((trace.program.resolve(angles) for angles in trace.angles[1]), encoding(2, 1))
    np.testing.assert_allclose(
        np.abs(np.vdot(whole.final_state_vector(), trace.states[1, -1])), 1, atol=1e-5
    )  # float32


def test_works_in_a_pipeline(tfq):
    circuits = tfq.convert_to_tensor([encoding(2, seed) for seed in range(4)])
    dataset = tf.data.Dataset.from_tensor_slices(circuits).batch(3).map(lambda batch: tfq_qrnn.prepare(batch, 2))
    memories = np.concatenate([batch.numpy() for batch in dataset])
    np.testing.assert_allclose(memories, tfq_qrnn.prepare(circuits, 2), atol=1e-7)


def test_refuses_circuits_that_do_not_fit(tfq):
    qubit = cirq.LineQubit(0)
    two, three = encoding(2, 0), encoding(3, 0)
    for circuits in ([three], [two, three], [three, two], [cirq.Circuit(cirq.X(qubit))]):
        with pytest.raises(
            ValueError, match=r"^Argument `circuits` must act on n_qubits=2 qubits each, but circuit \d"
        ):
            tfq_qrnn.prepare(tfq.convert_to_tensor(circuits), 2)
    for operation in (cirq.rx(sympy.Symbol("a"))(qubit), cirq.depolarize(0.1)(qubit)):
        with pytest.raises(ValueError, match=r"^Argument `circuits` must be circuits without symbols or channels, but"):
            tfq_qrnn.prepare(tfq.convert_to_tensor([cirq.Circuit(operation)]), 1)


def test_refuses_what_is_no_batch_of_circuits_or_states():
    qubit = cirq.LineQubit(0)
    measured = cirq.Circuit(cirq.H(qubit), cirq.measure(qubit), cirq.H(qubit))
    last = cirq.Circuit(cirq.H(qubit), cirq.measure(qubit))
    for circuit in (cirq.Circuit(cirq.rx(sympy.Symbol("a"))(qubit)), measured, last, cirq.Circuit(cirq.reset(qubit))):
        with pytest.raises(ValueError, match=r"`circuits` must be circuits without .*, but circuit 1 has some"):
            tfq_qrnn.prepare([cirq.Circuit(cirq.X(qubit)), circuit], 1)
    for given, kind, message in (
        ([encoding(3, 0)], ValueError, "act on n_qubits=2 qubits each, but circuit 0 acts on 3"),
        (encoding(2, 0), TypeError, "be a list of circuits, a batch, but "),
        ([encoding(2, 0), "X"], TypeError, "hold circuits only, but it is 'X'"),
        (np.ones((1, 4)), ValueError, "be normalised states, but the norm of state 0 is 2"),
        (
            np.array([[1, 0, 0, 0], [np.nan, 0, 0, 0]]),
            ValueError,
            "be normalised states, but the norm of state 1 is nan",
        ),
        (np.eye(8), ValueError, r"have shape \(batch, 4\), but the states have \(8, 8\)"),
        (3.0, ValueError, r"have shape \(batch, 4\), but the states have \(\)"),
        (np.eye(4, dtype=int), TypeError, "be cirq.Circuits, a tensor that .* or states, but "),
        ({}, TypeError, "be cirq.Circuits, a tensor that .* or states, but "),
    ):
        with pytest.raises(kind, match=f"Argument `circuits` must {message}"):
            tfq_qrnn.prepare(given, 2)


def test_a_graph_asserts_that_states_are_normalised():
    states = tf.data.Dataset.from_tensor_slices(np.array([[[1.0, 0]], [[1.0, 1.0]]]))
    prepared = iter(states.map(lambda batch: tfq_qrnn.prepare(batch, 1)))
    np.testing.assert_array_equal(next(prepared), [[1, 0, 0, 0]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be normalised states"):
        next(prepared)


def test_refuses_states_that_no_memory_holds(tfq):
    with pytest.raises(
        ValueError, match=r"^Argument `n_qubits` must leave room for the statevectors, but one sequence"
    ):
        tfq_qrnn.prepare(tfq.convert_to_tensor([cirq.Circuit(cirq.X(cirq.LineQubit(0)))]), 60)


def test_refuses_a_tensor_without_a_batch():
    with pytest.raises(ValueError, match=r"^Argument `circuits` must have shape \(batch,\), but"):
        tfq_qrnn.prepare(tf.constant("x"), 2)
