"""What `trace` says of the memory, against Cirq's simulator and against states that are known."""

import re

import cirq
import keras
import numpy as np
import pytest
import sympy
import tensorflow as tf
from random_circuits import random_state, to_complex

import tfq_qrnn

A, B, C = cirq.LineQubit.range(3)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(2, 5, 4))


def controller(hidden_units=(32,), **arguments):
    return tfq_qrnn.Controller(hidden_units, angle_scale=1.0, **arguments)


def layer(**arguments):
    keras.utils.set_random_seed(0)
    return tfq_qrnn.QRNN(n_qubits=3, dtype="float64", return_sequences=True, controller=controller(), **arguments)


def test_unrolled_circuit_gives_the_states_in_cirq(x):
    trace = tfq_qrnn.trace(layer(), x)
    for index in range(2):
        state = cirq.Simulator(dtype=np.complex128).simulate(trace.circuit(index)).final_state_vector
        # cirq.Simulator works in complex128 here; its gates' matrices hold 15 digits
        np.testing.assert_allclose(trace.states[index, -1], state, atol=1e-12)


def test_readouts_are_the_layers_outputs(x):
    for arguments in ({}, {"go_backwards": True}, {"trainable_circuit": tfq_qrnn.HardwareEfficient(3, 1)}):
        qrnn = layer(**arguments)
        np.testing.assert_allclose(tfq_qrnn.trace(qrnn, x).readouts, qrnn(x), atol=1e-12)


def test_bloch_vectors_are_the_readouts_of_xyz(x):
    trace = tfq_qrnn.trace(layer(), x)
    np.testing.assert_allclose(trace.bloch_vectors().reshape(2, 5, 9), trace.readouts, atol=1e-12)


def test_density_matrices_of_cirq_give_the_same_measures(x):
    trace = tfq_qrnn.trace(layer(), x)
    state = trace.states[1, 3]
    for qubit in range(3):
        rho = cirq.partial_trace_of_state_vector_as_mixture(state, [qubit])
        purity = sum(p1 * p2 * abs(np.vdot(v1, v2)) ** 2 for p1, v1 in rho for p2, v2 in rho)
        assert trace.purities()[1, 3, qubit] == pytest.approx(purity, abs=1e-9)
    for qubits in ([0], [1, 2], [2, 0], [1, 0, 2]):
        rho = cirq.density_matrix_from_state_vector(state, qubits)
        np.testing.assert_allclose(trace.reduced_density_matrix(qubits)[1, 3], rho, atol=1e-12)
    np.testing.assert_array_equal(trace.reduced_density_matrix(B), trace.reduced_density_matrix([1]))
    several = [cirq.X(A) * cirq.Y(C), 2.0 * cirq.Z(B) - 0.5 * cirq.Y(A) * cirq.Y(B) + 1.5]
    for k, observable in enumerate(several):
        expected = observable.expectation_from_state_vector(state, {A: 0, B: 1, C: 2})
        assert trace.expectation(observable)[1, 3] == pytest.approx(expected.real, abs=1e-12)
        np.testing.assert_array_equal(trace.expectation(several)[..., k], trace.expectation(observable))
    for cut in range(2):
        rho = cirq.density_matrix_from_state_vector(state, list(range(cut + 1)))
        assert trace.entanglement_entropies()[1, 3, cut] == pytest.approx(cirq.von_neumann_entropy(rho), abs=1e-6)


def test_measures_of_a_ghz_state():
    """(|000> + |111>)/sqrt 2: every qubit is maximally mixed, every cut holds one bit, and nothing moves after it."""
    s = sympy.Symbol("s")
    circuit = cirq.Circuit(cirq.ry(s)(A), cirq.CNOT(A, B), cirq.CNOT(B, C))
    qrnn = tfq_qrnn.QRNN(3, circuit=circuit, controller=controller((), kernel_initializer="zeros"), dtype="float64")
    qrnn.build((1, 1, 1))
    qrnn.set_weights([*qrnn.get_weights()[:1], np.array([np.pi / 2]), *qrnn.get_weights()[2:]])
    trace = tfq_qrnn.trace(qrnn, np.zeros((1, 1, 1)))
    np.testing.assert_allclose(np.abs(trace.states[0, 0]) ** 2, [0.5, 0, 0, 0, 0, 0, 0, 0.5], atol=1e-14)
    np.testing.assert_allclose(trace.bloch_vectors(), 0, atol=1e-14)
    np.testing.assert_allclose(trace.purities(), 0.5, atol=1e-14)
    np.testing.assert_allclose(trace.entanglement_entropies(), 1, atol=1e-12)
    np.testing.assert_allclose(trace.fidelities(), 1, atol=1e-14)


def test_fidelities_are_squared_overlaps(x):
    trace = tfq_qrnn.trace(layer(), x)
    expected = abs(np.vdot(trace.states[0, 1], trace.states[0, 4])) ** 2
    assert trace.fidelities()[0, 1, 4] == pytest.approx(expected, abs=1e-14)
    np.testing.assert_allclose(np.diagonal(trace.fidelities(), axis1=1, axis2=2), 1, atol=1e-12)


def test_starts_from_an_initial_state(x):
    qrnn = layer()
    readouts, memory = np.full((2, 9), 0.1), random_state(3, 2, seed=1)
    trace = tfq_qrnn.trace(qrnn, x, initial_state=[readouts, memory])
    np.testing.assert_allclose(trace.readouts, qrnn(x, initial_state=[readouts, memory]), atol=1e-12)
    steps = sum((trace.program.resolve(angles) for angles in trace.angles[0]), cirq.Circuit())
    state = cirq.Simulator(dtype=np.complex128).simulate(steps, initial_state=to_complex(memory)[0])
    np.testing.assert_allclose(trace.states[0, -1], state.final_state_vector, atol=1e-12)
    with pytest.raises(ValueError, match=r"^Argument `initial_state` must be None for a trace's circuit, but"):
        trace.circuit(0)
    with pytest.raises(ValueError, match=r"^Argument `initial_state` must be \[readouts, memory\] of shapes"):
        tfq_qrnn.trace(qrnn, x, initial_state=[readouts, memory[:, :-1]])
    with pytest.raises(ValueError, match=r"^Argument `initial_state` must be \[readouts, memory\] of shapes"):
        tfq_qrnn.trace(qrnn, x, initial_state=3)


@pytest.mark.tfq
def test_tfq_backend_shows_the_same_states(x):
    keras.utils.set_random_seed(0)
    carried, replayed = (
        tfq_qrnn.QRNN(3, controller=controller(), return_sequences=True, backend=name) for name in ("auto", "tfq")
    )
    for qrnn in (carried, replayed):
        qrnn.build((2, 5, 4))
    replayed.set_weights(carried.get_weights())
    x = x.astype("float32")
    # five steps of float32, with readouts fed back
    np.testing.assert_allclose(tfq_qrnn.trace(replayed, x).states, tfq_qrnn.trace(carried, x).states, atol=1e-5)


def test_takes_rnn_over_a_cell(x):
    qrnn = layer()
    rnn = keras.layers.RNN(tfq_qrnn.QRNNCell(3, controller=controller(), dtype="float64"), dtype="float64")
    for one in (qrnn, rnn):
        one.build(x.shape)
    rnn.set_weights(qrnn.get_weights())
    np.testing.assert_array_equal(tfq_qrnn.trace(rnn, x).states, tfq_qrnn.trace(qrnn, x).states)


def test_refuses_what_has_no_quantum_memory(x):
    with pytest.raises(TypeError, match=r"^Argument `layer` must be a QRNN"):
        tfq_qrnn.trace(keras.layers.LSTM(3), x)
    with pytest.raises(ValueError, match=r"^Argument `x` must have shape \(batch, time, features\), but"):
        tfq_qrnn.trace(layer(), x[0])
    with pytest.raises(ValueError, match=r"^Argument `x` must have shape"):
        tfq_qrnn.trace(layer(), x[:, :0])
    with pytest.raises(ValueError, match=r"^Argument `index` must be below the batch size, 2, but it is 2"):
        tfq_qrnn.trace(layer(), x).circuit(2)


def test_says_what_it_is(x):
    assert repr(tfq_qrnn.trace(layer(), x)).startswith("Trace(2 sequences, 5 time steps, GateProgram(3 qubits")


def test_masked_steps_leave_the_memory_as_it_is(x):
    """Masked steps of rubbish between the steps: the same states, readouts and circuit as without them."""
    for arguments in ({}, {"go_backwards": True}):
        qrnn = layer(**arguments)
        mask = np.array(
            [
                [True, False, True, True, False, True, False, True],
                [False, True, True, True, True, False, True, False],
            ]
        )
        padded = np.full((2, 8, 4), 7.0)
        padded[mask] = x.reshape(10, 4)
        whole, masked = tfq_qrnn.trace(qrnn, x), tfq_qrnn.trace(qrnn, padded, mask=mask)
        order = mask[:, ::-1] if arguments else mask
        np.testing.assert_array_equal(masked.mask, order)
        for name in ("angles", "readouts", "states"):
            valid = getattr(masked, name)[order].reshape(2, 5, -1)
            np.testing.assert_allclose(valid, getattr(whole, name), atol=1e-13)
        assert np.isnan(masked.angles[~order]).all()
        np.testing.assert_allclose(masked.states[:, -1], whole.states[:, -1], atol=1e-13)
        # before its first valid step a sequence is in |0...0>
        assert order[0, 0] or abs(masked.states[0, 0, 0]) == 1
        assert masked.circuit(0) == whole.circuit(0)
        assert "6 of 16 steps masked" in repr(masked)


def test_sees_a_layer_inside_its_model():
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    embedding = keras.layers.Embedding(5, 4, mask_zero=True, dtype="float64")
    qrnn = tfq_qrnn.QRNN(3, controller=controller(), dtype="float64")
    model = keras.Sequential([embedding, qrnn, keras.layers.Dense(2)])
    trace = tfq_qrnn.trace(model, tokens)
    expected = tfq_qrnn.trace(qrnn, embedding(tokens), mask=tokens > 0)
    np.testing.assert_array_equal(trace.states, expected.states)
    np.testing.assert_array_equal(trace.mask, tokens > 0)

    both = keras.layers.Bidirectional(tfq_qrnn.QRNN(3, controller=controller(), dtype="float64"))
    pair = keras.Sequential([keras.Input((5, 4), dtype="float64"), both])
    x = np.random.default_rng(1).normal(size=(2, 5, 4))
    last = [tfq_qrnn.trace(one, x, model=pair).readouts[:, -1] for one in (both.forward_layer, both.backward_layer)]
    np.testing.assert_allclose(np.concatenate(last, axis=1), pair(x), atol=1e-12)
    with pytest.raises(ValueError, match=r"^Argument `layer` must contain exactly one QRNN .*, but it contains "):
        tfq_qrnn.trace(pair, x)
    with pytest.raises(ValueError, match=r"^Argument `mask` must be None for a layer in a model"):
        tfq_qrnn.trace(model, tokens, mask=tokens > 0)
    with pytest.raises(
        ValueError, match=r"^Argument `model` must call its layer qrnn\S* once, but it calls it 0 times"
    ):
        tfq_qrnn.trace(qrnn, x, model=pair)


def test_one_layer_of_a_model_is_meant_and_of_several_named(x):
    model = keras.Sequential([keras.Input((5, 4), dtype="float64"), layer(), keras.layers.Dense(2)])
    np.testing.assert_array_equal(tfq_qrnn.trace(model, x).states, tfq_qrnn.trace(model.layers[0], x).states)
    two = keras.Sequential([keras.Input((5, 4), dtype="float64"), layer(name="first"), layer(name="second")])
    with pytest.raises(ValueError, match=r"it contains first, second; choose one, .*: trace\(layer, x, model=model\)"):
        tfq_qrnn.trace(two, x)
    assert tfq_qrnn.trace(two.layers[1], x, model=two).states.shape == (2, 5, 8)
    stacked = keras.layers.RNN([tfq_qrnn.QRNNCell(2), tfq_qrnn.QRNNCell(2)], name="rnn")
    for given in (stacked, keras.Sequential([keras.Input((5, 4)), stacked])):
        with pytest.raises(ValueError, match=r"must have one cell, but rnn has stacked cells; make a QRNN of each"):
            tfq_qrnn.trace(given, x)


@pytest.mark.parametrize("backend", ["tensorflow", "native", pytest.param("tfq", marks=pytest.mark.tfq)])
def test_masks_of_another_shape_are_refused_alike_by_all_backends(backend):
    qrnn, x = tfq_qrnn.QRNN(2, backend=backend), np.ones((2, 5, 4), "float32")
    model = keras.Sequential([keras.Input((None, 4)), qrnn])
    for shape in ((2, 5, 1), (2, 4), (1, 5), (5,), ()):
        message = r"Argument `mask` must have the shape \(batch, time\) of the sequences, \(2, 5\), but its shape is "
        with pytest.raises(ValueError, match=message + re.escape(str(shape))):
            qrnn(x, mask=np.ones(shape, bool))
    with pytest.raises(ValueError, match="`mask` must have the shape"):
        tf.function(lambda x: qrnn(x, mask=tf.ones((2, 5, 1), tf.bool)))(x)
    qrnn(x, mask=tf.ones((2, 5), tf.bool))
    model(x)
    ragged = tf.ragged.constant([[[1.0] * 4] * 2, [[1.0] * 4] * 3], ragged_rank=1)
    with pytest.raises(ValueError, match=r"`sequences` must be a dense tensor.*x.to_tensor\(\), mask=tf.sequence_mask"):
        qrnn(ragged)
    dense = qrnn(ragged.to_tensor(), mask=tf.sequence_mask(ragged.row_lengths()))  # the line of the message
    np.testing.assert_allclose(dense[:1], qrnn(tf.ones((1, 2, 4))), atol=1e-5)


def test_units_are_named():
    for kind in (tfq_qrnn.QRNN, tfq_qrnn.QRNNCell):
        with pytest.raises(ValueError, match="`n_qubits` must give the size of the memory, but `units` is given"):
            kind(units=4)


def test_leaves_the_states_of_a_stateful_model_as_they_are(x):
    qrnn = layer(stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 4), dtype="float64"), qrnn])
    model(x)
    before = [np.array(state) for state in qrnn.states]
    assert abs(before[1]).max() > 0
    tfq_qrnn.trace(model, x)
    for state, value in zip(qrnn.states, before, strict=True):
        np.testing.assert_array_equal(state, value)


def test_fidelities_between_two_sequences(x):
    trace = tfq_qrnn.trace(layer(), x)
    for t in range(5):
        expected = cirq.fidelity(trace.states[0, t], trace.states[1, t])
        assert trace.fidelities_between(0, 1)[t] == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match=r"^Argument `index` must be below the batch size, 2, but it is 2"):
        trace.fidelities_between(0, 2)
    with pytest.raises(TypeError, match=r"^Argument `index` must be an integer"):
        trace.fidelities_between(0, 1.0)


def test_refuses_qubits_and_observables_of_others(x):
    trace = tfq_qrnn.trace(layer(), x)
    for qubits, message in (
        ([], "name from 1 to 3 qubits, but it names 0"),
        ([0, 0], r"name each qubit once, but it is \[0, 0\]"),
        (3, "be an integer from 0 to 2, but it is 3"),
        (cirq.LineQubit(7), r"be qubits of the circuit, q\(0\), q\(1\), q\(2\), but one is q\(7\)"),
    ):
        with pytest.raises(ValueError, match=f"^Argument `qubits` must {message}"):
            trace.reduced_density_matrix(qubits)
    with pytest.raises(ValueError, match=r"^Argument `observables` must act on qubits of the circuit"):
        trace.expectation(cirq.Z(cirq.LineQubit(7)))


def test_calls_of_one_layer_trace_it_once(x, caplog):
    qrnn, traces = layer(), []
    angles = qrnn.cell.angles
    qrnn.build(x.shape)
    qrnn.cell.angles = lambda *arguments: traces.append(1) or angles(*arguments)
    before = [tfq_qrnn.trace(qrnn, x).states for _ in range(10)]
    assert len(traces) == 1
    assert "retracing" not in caplog.text
    qrnn.set_weights([2 * w for w in qrnn.get_weights()])
    after = tfq_qrnn.trace(qrnn, x)
    assert len(traces) == 1
    assert not np.allclose(after.states, before[0])
    np.testing.assert_allclose(after.readouts, qrnn(x), atol=1e-12)
    traces.clear()
    for _ in range(10):
        tfq_qrnn.hw.run(qrnn, x[:, :1], cirq.Simulator(seed=0), repetitions=1, progress=False)
    assert len(traces) == 10  # one step of each run as it is measured; the exact readouts are traced already
    assert "retracing" not in caplog.text


def test_refuses_masks_of_another_kind(x):
    with pytest.raises(ValueError, match=r"^Argument `mask` must be bool of shape \(2, 5\), but it is int64"):
        tfq_qrnn.trace(layer(), x, mask=np.ones((2, 5), np.int64))
    with pytest.raises(ValueError, match=r"^Argument `mask` must be bool of shape \(2, 5\), but it is bool of shape"):
        tfq_qrnn.trace(layer(), x, mask=np.ones((2, 4), bool))
