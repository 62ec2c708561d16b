"""Probabilities and the state itself as readouts, against Cirq's simulator and finite differences."""

import cirq
import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import CARRIED, differences, expectations, run_by_hand, simulate
from random_circuits import random_circuit, random_state, to_complex

import tfq_qrnn
from tfq_qrnn import GateProgram, HardwareEfficient, backends, pqc

KINDS = ("probabilities", "state")


def make(kind, backend="tensorflow", **arguments):
    controller = tfq_qrnn.Controller((5,), angle_scale=0.7)
    return tfq_qrnn.QRNN(
        2, depth=1, observables=kind, controller=controller, backend=backend, dtype="float64", **arguments
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", CARRIED)
def test_values_are_those_of_cirq(backend, kind):
    """At 9 qubits the native op works tile by tile, and 17 sequences fill one block of lanes and begin another."""
    for n_qubits, batch in ((1, 3), (3, 17), (9, 2)):
        program = GateProgram(random_circuit(n_qubits, 12, n_qubits), kind)
        angles = np.random.default_rng(n_qubits).uniform(-4, 4, (batch, program.n_angles))
        memory = random_state(n_qubits, batch, n_qubits)
        expected = simulate(program, to_complex(memory), angles)
        for dtype, atol in (("float32", 1e-5), ("float64", 1e-12)):  # roundings of a dozen gates
            state, readouts = pqc(memory.astype(dtype), angles.astype(dtype), program, backend)
            np.testing.assert_allclose(to_complex(state), expected, atol=atol)
            np.testing.assert_allclose(readouts, expectations(program, expected), atol=atol)
            assert readouts.shape == (batch, program.n_observables)
    order = GateProgram(cirq.Circuit(cirq.X(cirq.LineQubit(0)), cirq.I(cirq.LineQubit(1))), kind)
    zeros = np.zeros((1, 8)), np.zeros((1, 0))
    assert np.argmax(pqc(*zeros, order, backend)[1]) == 2  # |10>: qubit 0 is the most significant bit


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", CARRIED)
def test_gradients_are_finite_differences(backend, kind):
    program = GateProgram(random_circuit(2, 6, 5), kind)
    memory = random_state(2, 2, 5)
    angles = np.random.default_rng(5).uniform(-4, 4, (2, program.n_angles))
    of_memory, of_readouts = np.random.default_rng(6).normal(size=(2, 2, 8))

    @tf.function
    def loss(memory, angles):
        new_memory, readouts = pqc(memory, angles, program, backend)
        of_these = of_readouts[:, : program.n_observables]
        return tf.reduce_sum(new_memory * of_memory) + tf.reduce_sum(readouts * of_these)

    arguments = [tf.constant(memory), tf.constant(angles)]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        value = loss(*arguments)
    for i, gradient in enumerate(tape.gradient(value, arguments)):
        others = [memory, angles]

        def one(a, i=i, others=others):
            return loss(*others[:i], a, *others[i + 1 :])

        # differences() is good to 1e-10 at losses of order 1; here they reach 10
        np.testing.assert_allclose(gradient, differences(one, others[i]), atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_feeds_them_back_like_other_readouts(kind):
    x, random = np.random.default_rng(0).normal(size=(2, 4, 3)), np.random.default_rng(1)
    mask = np.array([[True, True, False, True], [False, True, True, True]])
    by_backend = []
    for backend in CARRIED:
        keras.utils.set_random_seed(0)
        layer = make(kind, backend, return_sequences=True)
        np.testing.assert_allclose(layer(x), run_by_hand(layer, x), atol=1e-12)  # four steps of float64
        directions = [random.normal(size=w.shape) for w in layer.trainable_weights]
        start = [np.array(weight) for weight in layer.trainable_weights]
        of_outputs = random.normal(size=layer(x).shape)

        def loss(layer=layer, of_outputs=of_outputs):
            return tf.reduce_sum(layer(x, mask=mask) * of_outputs)

        with tf.GradientTape() as tape:
            value = loss()
        slope = sum(
            np.sum(g * d) for g, d in zip(tape.gradient(value, layer.trainable_weights), directions, strict=True)
        )
        beside = []
        for step in (1e-5, -1e-5):
            for weight, value, direction in zip(layer.trainable_weights, start, directions, strict=True):
                weight.assign(value + step * direction)
            beside.append(float(loss()))
        # truncation of 1e-10, times third derivatives of up to a thousand along a direction of length 10
        assert slope == pytest.approx((beside[0] - beside[1]) / 2e-5, abs=1e-6)
        random = np.random.default_rng(1)  # the same directions for the next backend
        by_backend.append([slope, *beside])
        cell = tfq_qrnn.QRNNCell.from_config({**layer.cell.get_config(), "name": "cell"})
        steps = keras.layers.RNN(cell, return_sequences=True, dtype="float64")
        steps.build(x.shape)
        steps.set_weights(layer.get_weights())
        np.testing.assert_allclose(steps(x, mask=mask), layer(x, mask=mask), atol=1e-13)
    np.testing.assert_allclose(by_backend, [by_backend[0]] * len(by_backend), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_models_traces_and_names(kind, tmp_path):
    layer = make(kind, CARRIED[-1])
    model = keras.Sequential([keras.Input((None, 3), dtype="float64"), layer])
    x = np.random.default_rng(0).normal(size=(2, 4, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.layers[0].cell.program.observables == kind
    trace = tfq_qrnn.trace(layer, x)
    np.testing.assert_allclose(trace.readouts[:, -1], model(x), atol=1e-13)
    np.testing.assert_allclose(trace.readouts, trace.expectation(kind), atol=1e-13)
    tfq_qrnn.plotting.readouts(trace)
    tfq_qrnn.plotting.circuit(layer.cell.program)
    assert f"reads {kind}" in str(layer.cell.program)
    lines = []
    layer.cell.summary(print_fn=lines.append)
    assert {"probabilities": "4: |<00|psi>|^2, ", "state": "8: Re <00|psi>, "}[kind] in lines[0]
    assert hash(GateProgram(HardwareEfficient(2), kind)) == hash(GateProgram(HardwareEfficient(2), kind))
    assert GateProgram(HardwareEfficient(2), kind) != GateProgram(HardwareEfficient(2), "Z")


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_read_the_state_says_so(kind):
    rule = r"^Argument `observables` must be Pauli operators for {}, but it is '" + kind
    with pytest.raises(ValueError, match=rule.format("the Noisy backend")):
        make(kind, backends.Noisy(repetitions=10))
    with pytest.raises(ValueError, match=rule.format("hardware")):
        tfq_qrnn.hw.cost(make(kind), n_timesteps=2, repetitions=10)
    with pytest.raises(ValueError, match=rule.format("hardware")):
        tfq_qrnn.hw.run(make(kind), np.ones((1, 2, 3)), cirq.Simulator(), repetitions=10)
    with pytest.raises(ValueError, match="'pairs', 'probabilities' or 'state', but it is 'amplitudes'"):
        make("amplitudes")


@pytest.mark.tfq
def test_tfq_cannot_read_the_state():
    with pytest.raises(ValueError, match="must be Pauli operators for the TFQ backend, but it is 'state'"):
        tfq_qrnn.QRNN(2, observables="state", backend="tfq")


@pytest.mark.skipif("native" not in CARRIED, reason="the op is not built")
def test_states_that_are_split_over_the_threads():
    program = GateProgram(HardwareEfficient(13, 1), "state")
    memory = random_state(13, 1, 0)
    angles = np.random.default_rng(0).normal(size=(1, program.n_angles))
    np.testing.assert_array_equal(*pqc(memory, angles, program, "native"))
