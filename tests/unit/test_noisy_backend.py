"""Noise in training: against TFQ's sampled and noisy ops, Cirq's density matrices, and finite differences."""

import cirq
import keras
import numpy as np
import pytest
import tensorflow as tf
from random_circuits import random_circuit

import tfq_qrnn
from tfq_qrnn import Controller
from tfq_qrnn.backends import TFQ, Noisy, TensorFlow
from tfq_qrnn.backends.base import zeros_to_ground

PAULIS = (0.05, 0.02, 0.08)


def draw(backend, program, count, seed=1):
    """What `count` sequences draw for one step."""
    return backend.draw(program, tf.zeros((count, 0), tf.float64), keras.random.SeedGenerator(seed))


def sample(backend, program, angles, count):
    """Readouts of `count` noisy runs of one step from |0...0>."""
    angles = tf.repeat(tf.constant(angles, tf.float64)[None], count, 0)
    memory = backend.initial_memory(program, count, tf.float64)
    return backend.forward(program, memory, angles, draw(backend, program, count))[1].numpy()


def density_readouts(program, angles, channel):
    circuit = cirq.Circuit()
    for moment in program.resolve(angles):
        circuit += cirq.Circuit(moment, cirq.Moment(channel.on(q) for q in program.qubits))
    simulator = cirq.DensityMatrixSimulator(dtype=np.complex128)
    state = simulator.simulate(circuit, qubit_order=program.qubits).final_density_matrix
    order = {q: i for i, q in enumerate(program.qubits)}
    return np.array([o.expectation_from_density_matrix(state, order).real for o in program.observables])


@pytest.mark.parametrize("kind", ["default", "random"])
def test_trajectories_average_to_the_channel(kind):
    ansatz = tfq_qrnn.HardwareEfficient(3, 1) if kind == "default" else random_circuit(3, 5, seed=3)
    program = tfq_qrnn.GateProgram(ansatz)
    angles = np.random.default_rng(0).uniform(-2, 2, program.n_angles)
    want = density_readouts(program, angles, cirq.asymmetric_depolarize(*PAULIS))
    count = 40_000
    readouts = sample(Noisy(pauli_error=PAULIS), program, angles, count)
    assert np.abs(readouts.mean(0) - want).max() < 5 / np.sqrt(count)  # five standard deviations of +-1 at most


def test_shots_have_the_mean_and_variance_of_shots():
    q = cirq.LineQubit.range(2)
    observables = [cirq.Z(q[0]), cirq.X(q[0]) * cirq.Z(q[1]), 2 * cirq.Y(q[1]) - 0.5 * cirq.Z(q[0]) + 0.25]
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(2, 1), observables)
    angles = np.random.default_rng(1).uniform(-2, 2, program.n_angles)
    exact = density_readouts(program, angles, cirq.depolarize(0.0))
    strings = density_readouts(
        tfq_qrnn.GateProgram(program.ansatz, [cirq.Y(q[1]), cirq.Z(q[0])]), angles, cirq.depolarize(0.0)
    )
    count, repetitions = 40_000, 50
    readouts = sample(Noisy(repetitions), program, angles, count)
    variance = np.append(1 - exact[:2] ** 2, 4 * (1 - strings[0] ** 2) + 0.25 * (1 - strings[1] ** 2)) / repetitions
    assert np.all(np.abs(readouts.mean(0) - exact) < 5 * np.sqrt(variance / count))  # five standard deviations
    np.testing.assert_allclose(readouts.var(0), variance, rtol=5 * np.sqrt(2 / count))  # of a normal variance


@pytest.mark.tfq
@pytest.mark.parametrize("noise", [None, cirq.depolarize(0.05)])
def test_agrees_with_tfqs_sampled_and_noisy_ops(noise):
    """The same mean over many sequences; and where there are shots alone, the same variance."""
    repetitions, count = 40, 400
    keras.utils.set_random_seed(0)
    layers = [
        tfq_qrnn.QRNN(2, depth=1, backend=backend, controller=Controller((4,), angle_scale=1.0))
        for backend in (
            TFQ(repetitions=repetitions, noise=noise, max_timesteps=1),
            Noisy(repetitions, 0.05 if noise else 0.0),
        )
    ]
    x = np.repeat(np.random.default_rng(0).normal(size=(1, 1, 3)), count, 0).astype("float32")
    for layer in layers:
        layer.build(x.shape)
    layers[1].set_weights(layers[0].get_weights()[: len(layers[1].get_weights())])
    theirs, ours = (layer(x, training=True).numpy() for layer in layers)
    deviation = np.sqrt((theirs.var(0) + ours.var(0)) / count)
    assert np.all(np.abs(theirs.mean(0) - ours.mean(0)) < 5 * deviation)  # five standard deviations
    if noise is None:
        # ratios of two sample variances of 400: a relative deviation of 0.1, five of them
        np.testing.assert_allclose(ours.var(0), theirs.var(0), rtol=0.5, atol=1e-4)


def noisy_layer(seed=3, **arguments):
    keras.utils.set_random_seed(1)
    return tfq_qrnn.QRNN(
        2, seed=seed, controller=Controller(angle_scale=1.0), dtype="float64", return_sequences=True, **arguments
    )


X = np.random.default_rng(0).normal(size=(3, 5, 2))


def test_gradient_is_that_of_the_trajectory():
    """Pauli noise alone: the draws of a seed are fixed, and finite differences see the same trajectory."""
    layer = noisy_layer(backend=Noisy(pauli_error=0.1))
    layer.build(X.shape)
    state = layer.cell.seed_generator.state
    start = state.numpy()

    def loss():
        state.assign(start)  # the same draws
        return tf.reduce_sum(layer(X, training=True) ** 2)

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, layer.trainable_weights)
    rng = np.random.default_rng(0)
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        direction, base = rng.normal(size=weight.shape), weight.numpy()
        values = []
        for step in (1e-5, -1e-5):
            weight.assign(base + step * direction)
            values.append(loss().numpy())
        weight.assign(base)
        # central differences in float64: 1e-10 from the third derivative, 1e-10 from rounding
        assert np.sum(gradient * direction) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5, abs=1e-7)


def test_gradient_with_shots_is_that_of_the_mean():
    """One step: the gradient at sampled readouts z of sum(c z) is that of sum(c m), whatever the shots were."""
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(2))
    backend, exact = Noisy(30), TensorFlow()
    angles = tf.constant(np.random.default_rng(0).normal(size=(4, program.n_angles)))
    memory = zeros_to_ground(tf.zeros((4, 8), tf.float64))
    noise = draw(backend, program, 4)
    gradients = []
    for run in (
        lambda: exact.step(program, memory, angles),
        lambda: backend.step(program, memory, angles, noise),
    ):
        with tf.GradientTape() as tape:
            tape.watch(angles)
            loss = tf.reduce_sum(run()[1] * np.arange(1.0, 7.0))
        gradients.append(tape.gradient(loss, angles))
    np.testing.assert_allclose(*gradients, atol=1e-12)  # float64


def test_undo_takes_back_the_same_paulis():
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(3))
    backend = Noisy(10, 0.5)
    before = zeros_to_ground(tf.zeros((6, 16), tf.float64))
    angles, noise = tf.ones((6, program.n_angles), tf.float64), draw(backend, program, 6)
    after, readouts = backend.forward(program, before, angles, noise)
    back, _, gradient = backend.undo(program, after, angles, tf.zeros_like(after), tf.ones_like(readouts), noise)
    np.testing.assert_allclose(back, before, atol=1e-12)  # float64
    assert gradient.shape == angles.shape
    assert len(np.unique(after.numpy().round(6), axis=0)) == 6  # every sequence has a trajectory of its own


def test_exact_outside_training():
    layer, plain = noisy_layer(backend=Noisy(10, 0.3)), noisy_layer()
    layer.build(X.shape)
    plain.build(X.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(X), plain(X), atol=1e-12)  # float64
    assert np.abs(layer(X, training=True) - plain(X)).max() > 0.05
    np.testing.assert_allclose(tfq_qrnn.trace(layer, X).readouts, plain(X), atol=1e-12)


def test_seeds_repeat_and_steps_differ():
    first, second = (noisy_layer(backend=Noisy(10, 0.1))(X, training=True).numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    layer = noisy_layer(backend=Noisy(10, 0.1))
    assert np.abs(layer(X, training=True) - layer(X, training=True)).max() > 0.01


def test_cells_masks_and_trainable_circuits():
    cell = tfq_qrnn.QRNNCell(2, backend=Noisy(10, 0.1), trainable_circuit=tfq_qrnn.HardwareEfficient(2, 1), seed=1)
    layer = keras.layers.RNN(cell, return_sequences=True)
    mask = np.array([[True, True, False, True, True]] * 3)
    with tf.GradientTape() as tape:
        outputs = layer(X.astype("float32"), mask=mask, training=True)
        loss = tf.reduce_sum(outputs**2)
    np.testing.assert_array_equal(outputs[:, 2], outputs[:, 1])
    assert all(np.all(np.isfinite(g)) for g in tape.gradient(loss, layer.trainable_weights))


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_trains_and_saves(tmp_path, jit_compile):
    keras.utils.set_random_seed(0)
    backend = Noisy(200, 0.005, "tensorflow" if jit_compile else "auto")  # the native op is not for XLA
    layer = tfq_qrnn.QRNN(2, backend=backend, controller=Controller(angle_scale=0.5))
    model = keras.Sequential([keras.Input((5, 2)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=jit_compile)
    x = np.random.default_rng(0).normal(size=(64, 5, 2)).astype("float32")
    history = model.fit(x, x[:, -1, :1], epochs=12, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < 0.6 * history[0]
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.layers[0].cell.backend == layer.cell.backend
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_constants_alone_can_be_read():
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(1), [cirq.PauliString(coefficient=0.5)])
    assert sample(Noisy(5, 0.1), program, np.zeros(4), 3).tolist() == [[0.5]] * 3


@pytest.mark.tfq
def test_refuses_a_backend_that_replays():
    with pytest.raises(TypeError, match="`backend` must be a backend that carries the state"):
        Noisy(backend="tfq")


def test_refusals():
    for arguments, error, message in (
        ({"repetitions": 0}, ValueError, "`repetitions` must be an integer from 1 to 2147483647"),
        ({"pauli_error": -0.1}, ValueError, "`pauli_error` must be a probability"),
        ({"pauli_error": (0.5, 0.5, 0.5)}, ValueError, "`pauli_error` must be a probability"),
        ({"pauli_error": "much"}, TypeError, "`pauli_error` must be a probability"),
        ({"backend": Noisy()}, TypeError, "`backend` must be a backend that carries the state"),
    ):
        with pytest.raises(error, match=message):
            Noisy(**arguments)
