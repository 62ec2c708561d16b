"""The TFQ backend: agreement with the carried state, shots, noise, differentiators, and its limits."""

import cirq
import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import expectations
from random_circuits import random_circuit

from tfq_qrnn import QRNN, Controller, GateProgram, HardwareEfficient, QRNNCell, backends, pqc
from tfq_qrnn.backends import TFQ

pytestmark = pytest.mark.tfq
QUBITS = cirq.LineQubit.range(3)
STEPS = 3
# TFQ simulates in float32: errors of a few 1e-7 per gate, about 40 gates in three steps.
ATOL = 1e-5
PROGRAMS = [
    GateProgram(random_circuit(3, 12, seed=4), [cirq.X(QUBITS[0]) * cirq.Z(QUBITS[2]) + 0.5, cirq.Y(QUBITS[1])]),
    GateProgram(HardwareEfficient(3, entangler="iswap")),  # 12 angles: names and order must not be mixed
]


def run(program, backend, angles):
    """The readouts of every step, `(steps, batch, n_observables)`, from |0...0>."""
    memory = tf.zeros((angles.shape[1], backends.get(backend).memory_size(program)))
    readouts = []
    for step in tf.unstack(angles):
        memory, values = pqc(memory, step, program, backend)
        readouts.append(values)
    return tf.stack(readouts)


def random_angles(program, batch=2, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-3, 3, (STEPS, batch, program.n_angles)), tf.float32)


def readouts_and_gradient(program, backend, angles):
    weights = np.random.default_rng(1).normal(size=(STEPS, angles.shape[1], program.n_observables)).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(angles)
        readouts = run(program, backend, angles)
        loss = tf.reduce_sum(readouts * weights)
    return readouts, tape.gradient(loss, angles)


@pytest.mark.parametrize("program", PROGRAMS, ids=["random", "hardware efficient"])
def test_readouts_and_gradients_of_all_steps_agree_with_the_carried_state(program):
    angles = random_angles(program)
    expected, expected_gradient = readouts_and_gradient(program, "tensorflow", angles)
    readouts, gradient = readouts_and_gradient(program, TFQ(max_timesteps=STEPS), angles)
    np.testing.assert_allclose(readouts, expected, atol=ATOL)
    # TFQ's adjoint differentiates each gate by differences of 5e-3 half-turns: (pi * 5e-3)**2 / 6 = 4e-5 of a term
    np.testing.assert_allclose(gradient, expected_gradient, atol=2e-4 * np.abs(expected_gradient).max())
    assert np.abs(expected_gradient).max(axis=(1, 2)).min() > 0.1  # every step matters


@pytest.mark.parametrize("name", ["parameter_shift", "central_difference", "forward_difference"])
def test_every_differentiator_gives_the_gradient(name):
    program = GateProgram(HardwareEfficient(2, depth=1), "Z")
    angles = random_angles(program)
    _, expected = readouts_and_gradient(program, "tensorflow", angles)
    _, gradient = readouts_and_gradient(program, TFQ(differentiator=name, max_timesteps=STEPS), angles)
    # TFQ's differences take steps of 1e-3 in float32: rounding of 1e-7 / 1e-3, times the 12 readouts of the loss
    np.testing.assert_allclose(gradient, expected, atol=1e-5 if name == "parameter_shift" else 1e-2)


def exact_with_noise(program, angles, channel):
    """The readouts after the last step by Cirq's density matrices, the channel on every qubit after every moment."""
    values = []
    for b in range(angles.shape[1]):
        circuit = cirq.Circuit(cirq.I.on_each(*program.qubits))
        for step in angles[:, b]:
            circuit = circuit + program.resolve(step).with_noise(channel)
        result = cirq.DensityMatrixSimulator(dtype=np.complex128).simulate(circuit, qubit_order=program.qubits)
        qubit_map = {qubit: i for i, qubit in enumerate(program.qubits)}
        values.append(
            [
                observable.expectation_from_density_matrix(result.final_density_matrix, qubit_map).real
                for observable in program.observables
            ]
        )
    return np.array(values)


def test_shots_have_the_exact_values_as_their_mean():
    """A readout is a mean of R shots of +-1: its standard error is at most 1/sqrt(R); 18 values within 5 of them."""
    program = GateProgram(HardwareEfficient(3, depth=1))
    angles = random_angles(program)
    exact = run(program, "tensorflow", angles)
    shots = run(program, TFQ(repetitions=4000, max_timesteps=STEPS), angles)
    np.testing.assert_allclose(shots, exact, atol=5 / np.sqrt(4000))
    assert np.abs(shots - exact).max() > 1e-4  # they are shots: of 54 values, not all are right to four digits


@pytest.mark.parametrize(
    "channel",
    [
        cirq.depolarize(0.05),
        cirq.amplitude_damp(0.1),
        cirq.phase_damp(0.2),
        cirq.bit_flip(0.1),
        cirq.phase_flip(0.1),
        cirq.asymmetric_depolarize(0.05, 0.02, 0.1),
        cirq.generalized_amplitude_damp(0.7, 0.2),
    ],
    ids=lambda channel: type(channel).__name__,
)
def test_noise_is_that_of_the_density_matrix(channel):
    """Each value is a mean of R trajectories with variance of at most 1: within 5/sqrt(R)."""
    program = GateProgram(HardwareEfficient(2, depth=1))
    angles = random_angles(program, batch=1, seed=3)
    backend = TFQ(repetitions=2000, noise=channel, max_timesteps=STEPS)
    readouts = run(program, backend, angles)[-1]
    expected = exact_with_noise(program, np.asarray(angles), channel)
    np.testing.assert_allclose(readouts, expected, atol=5 / np.sqrt(2000))
    # without noise the values are elsewhere, so that the check above can fail
    assert np.abs(run(program, "tensorflow", angles)[-1] - expected).max() > 7 / np.sqrt(2000)


def test_noise_and_shots_have_gradients():
    """d<Z>/dt of RY(t)|0> is -sin t; a final depolarize(p) shrinks it by 1 - 4p/3. Two shots' means shifted by pi/2:
    standard error of at most 1/sqrt(2 R)."""
    theta = tf.constant([[1.0]])
    program = GateProgram(HardwareEfficient(1, depth=1, rotations=("ry",)), "Z")
    for noise, shrink in ((None, 1.0), (cirq.depolarize(0.15), 0.8)):
        backend = TFQ(repetitions=5000, noise=noise, max_timesteps=1)
        with tf.GradientTape() as tape:
            tape.watch(theta)
            _, readouts = pqc(tf.zeros((1, 2)), theta, program, backend)
        assert tape.gradient(readouts, theta).numpy().item() == pytest.approx(
            -shrink * np.sin(1.0), abs=5 / np.sqrt(2 * 5000)
        )


@pytest.mark.parametrize("fused", [True, False])
def test_masked_sequences_agree_with_the_tensorflow_backend(fused):
    """Samples of different lengths replay different circuits: padding right, left, inside, everywhere."""
    x = np.random.default_rng(0).normal(size=(5, 4, 2)).astype("float32")
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    results, weights = [], None
    for backend in ("tensorflow", TFQ(max_timesteps=4)):
        arguments = {"controller": Controller((3,), angle_scale=1.0), "backend": backend}
        if fused:
            layer = QRNN(2, return_sequences=True, **arguments)
        else:
            layer = keras.layers.RNN(QRNNCell(2, **arguments), return_sequences=True)
        layer.build(x.shape)
        weights = weights or [np.random.default_rng(1).normal(size=w.shape) for w in layer.weights]
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            outputs = layer(x, mask=mask)
            loss = tf.reduce_sum(outputs**2)
        results.append((outputs, *tape.gradient(loss, layer.trainable_weights)))
    for expected, value in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, atol=10 * ATOL)  # sums over 5 sequences and 4 steps
    assert np.abs(results[0][0][3]).min() > 1e-3


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("fused", [True, False])
def test_trains_in_fit_like_the_tensorflow_backend(fused, run_eagerly):
    """Two epochs of gradient descent from the same weights end at the same weights."""
    x = np.random.default_rng(0).normal(size=(6, 3, 2)).astype("float32")
    y = np.random.default_rng(1).normal(size=(6, 6)).astype("float32")
    ends, start = [], None
    for backend in ("tensorflow", TFQ(max_timesteps=3)):
        arguments = {"controller": Controller((3,), angle_scale=1.0), "backend": backend}
        layer = QRNN(2, **arguments) if fused else keras.layers.RNN(QRNNCell(2, **arguments))
        model = keras.Sequential([keras.Input((3, 2)), layer])
        start = start or model.get_weights()
        model.set_weights(start)
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=run_eagerly, jit_compile="auto")
        model.fit(x, y, batch_size=3, epochs=2, shuffle=False, verbose=0)
        ends.append(model.get_weights())
    for before, expected, value in zip(start, *ends, strict=True):
        np.testing.assert_allclose(value, expected, atol=ATOL)  # four updates of 0.1 times a gradient off by ATOL
        assert before.ndim == 0 or np.abs(expected - before).max() > 1e-3  # the scale is fixed, the others learn


def test_a_sequence_that_is_too_long_is_refused_before_it_runs():
    arguments = {"n_qubits": 1, "backend": TFQ(max_timesteps=3)}
    message = r"Argument `inputs` must have at most max_timesteps=3 time steps .*, but they have 4; give TFQ"
    with pytest.raises(ValueError, match=message):
        QRNN(**arguments)(np.zeros((1, 4, 2), "float32"))
    with pytest.raises(ValueError, match=message):
        QRNN(**arguments)(keras.Input((4, 2)))
    layer = QRNN(**arguments)
    layer(np.zeros((1, 3, 2), "float32"))  # one that just fits is not refused
    with pytest.raises(ValueError, match=message):
        layer(np.zeros((1, 4, 2), "float32"))


@pytest.mark.parametrize("graph", [False, True])
def test_a_sequence_that_turns_out_too_long_is_refused_at_run_time(graph):
    layer = keras.layers.RNN(QRNNCell(1, backend=TFQ(max_timesteps=3)))
    call = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 2))]) if graph else layer
    call(tf.zeros((1, 3, 2)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most max_timesteps=3"):
        call(tf.zeros((1, 4, 2)))


def test_a_batch_of_unknown_size_and_length_runs_in_a_graph():
    layer = keras.layers.RNN(QRNNCell(2, backend=TFQ(max_timesteps=3)), return_sequences=True)
    x = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("float32")
    graph = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 2))])
    np.testing.assert_allclose(graph(x), layer(x), atol=1e-6)  # the same float32 ops


def test_xla_is_opted_out_of():
    assert not QRNN(1, backend="tfq").supports_jit
    assert not QRNNCell(1, backend="tfq").supports_jit
    assert QRNN(1, backend="tensorflow").supports_jit


def test_two_qubits_with_an_idle_one_keep_their_order():
    """A GridQubit circuit whose qubits sort otherwise than they appear."""
    first, last = cirq.GridQubit(0, 1), cirq.GridQubit(1, 0)
    program = GateProgram(cirq.Circuit(cirq.X(last), cirq.I(first)), "Z")
    _, readouts = pqc(tf.zeros((1, 1)), tf.zeros((1, 0)), program, TFQ(max_timesteps=1))
    np.testing.assert_allclose(readouts, expectations(program, [np.array([0, 1, 0, 0j])]), atol=1e-6)
    np.testing.assert_allclose(readouts, [[1, -1]], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"repetitions": 0}, ValueError, "`repetitions` must be an integer from 1 to 2147483647, but it is 0"),
        ({"repetitions": 1.5}, TypeError, "`repetitions` must be an integer from 1 to 2147483647, but it is 1.5"),
        ({"max_timesteps": 0}, ValueError, "`max_timesteps` must be an integer from 1 to 1000, but it is 0"),
        ({"noise": cirq.depolarize(0.1)}, ValueError, "`repetitions` must be given with `noise`, but it is None"),
        (
            {"noise": cirq.depolarize(0.1, n_qubits=2), "repetitions": 5},
            ValueError,
            "`noise` must be a channel on one qubit that TFQ simulates, but it is ",
        ),
        (
            {"noise": cirq.X, "repetitions": 5},
            ValueError,
            "`noise` must be a channel on one qubit that TFQ simulates, but it is cirq.X",
        ),
        ({"noise": 0.1, "repetitions": 5}, TypeError, "`noise` must be a Cirq channel on one qubit, but it is 0.1"),
        ({"differentiator": "spsa"}, ValueError, "`differentiator` must be one of .*, but it is 'spsa'"),
        (
            {"differentiator": "adjoint", "repetitions": 5},
            ValueError,
            "`differentiator` must work on shots .*, but the adjoint method needs the state",
        ),
    ],
)
def test_tfq_refuses(arguments, error, message):
    with pytest.raises(error, match=rf"^Argument {message}"):
        TFQ(**arguments)


def test_double_precision_is_refused_when_the_layer_is_made():
    with pytest.raises(ValueError, match=r"^Argument `dtype` must be float32 for the TFQ backend, but it is float64"):
        QRNN(2, backend="tfq", dtype="float64")


def test_serializes_with_its_noise():
    backend = TFQ(repetitions=7, noise=cirq.amplitude_damp(0.25), differentiator="parameter_shift", max_timesteps=5)
    assert TFQ.from_config(backend.get_config()) == backend
    layer = QRNN(1, backend=backend)
    assert QRNN.from_config(layer.get_config()).cell.backend == backend
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).cell.backend == backend
