"""Numbers that stay true: the norm of a state over many steps, and the same bits from the same seed."""

import pathlib
import subprocess
import sys

import cirq
import numpy as np
import pytest
import sympy
import tensorflow as tf
from oracles import CARRIED
from random_circuits import with_constant_part

import tfq_qrnn
from tfq_qrnn import GateProgram, HardwareEfficient, pqc
from tfq_qrnn.backends.rounding import round_phases, round_unitary

ROOT = pathlib.Path(__file__).parents[2]
RX = GateProgram(cirq.Circuit(cirq.rx(sympy.Symbol("a"))(cirq.LineQubit(0))), "Z")


def rotated(angles, backend):
    """|psi|^2 - 1 after one rotation by each of many angles, in float64."""
    memory = tf.one_hot(tf.zeros(len(angles), tf.int32), 4, dtype=angles.dtype)
    states = pqc(memory, angles[:, None], RX, backend)[0].numpy().astype(np.float64)
    return np.sum(states**2, axis=1) - 1


@pytest.mark.parametrize("spread", [0.03, 0.3, 3.0])
def test_rotations_keep_the_norm_on_average_in_float32(spread):
    """A rotation is off by its rounding, some 4e-8 at random. Were the average off as well, T steps would add it up T
    times, and not sqrt(T) times: with sines and cosines that were 1e-9 low, 2,000 steps of 24 rotations took 1e-4 off
    the norm. 200,000 angles show an average of 5e-10, five of its standard errors."""
    angles = np.random.default_rng(0).normal(0, spread, 200_000).astype(np.float32)
    off = rotated(angles, "native")
    assert np.std(off) < 6e-8
    assert abs(np.mean(off)) < (5e-10 if spread < 1 else 2e-9)  # beyond pi/4 the sine's polynomial is low, too


@pytest.mark.parametrize("backend", CARRIED)
def test_rotations_keep_the_norm_in_float64(backend):
    angles = np.random.default_rng(0).normal(0, 3, 10_000)
    assert np.abs(rotated(angles, backend)).max() < 1e-15  # the rounding of a square is 1.1e-16


def steps(backend, dtype, timesteps, repeated, ansatz=None):
    """The greatest ||psi|^2 - 1| over 4 sequences of 4 qubits."""
    program = GateProgram(ansatz or HardwareEfficient(4))
    angles = np.random.default_rng(1).normal(0, 1, (1 if repeated else timesteps, 4, program.n_angles))
    angles = tf.constant(np.broadcast_to(angles, (timesteps, *angles.shape[1:])), dtype)
    backend = tfq_qrnn.backends.get(backend)

    @tf.function
    def run(angles):
        memory = backend.initial_memory(program, 4, dtype)
        for t in tf.range(timesteps):
            memory = backend.forward(program, memory, angles[t])[0]
        return memory

    return np.abs(np.sum(run(angles).numpy().astype(np.float64) ** 2, axis=1) - 1).max()


@pytest.mark.parametrize("backend", CARRIED)
def test_the_norm_over_a_thousand_steps(backend):
    """16 rotations a step, each off by 4e-8: sqrt(16,000) * 4e-8 = 5e-6 at random, and TensorFlow's cosine is 2e-9 low
    on average, 3e-5 together. Angles that repeat repeat their rounding: 1,000 times sqrt(16) * 4e-8 is 1.6e-4; four
    standard deviations for the worst of four sequences."""
    assert steps(backend, "float32", 1000, repeated=False) < 1e-4
    assert steps(backend, "float32", 1000, repeated=True) < 6e-4
    assert steps(backend, "float64", 1000, repeated=True) < 1e-12


@pytest.mark.parametrize("kind", ["ising", "mix"])
@pytest.mark.parametrize("backend", CARRIED)
def test_constant_gates_keep_the_norm(backend, kind):
    """Rounded to the nearest they would add 3e-8 each at every step: with eight of them 9e-5 in 1,000 steps, beside
    what the rotations do (above)."""
    assert steps(backend, "float32", 1000, repeated=False, ansatz=with_constant_part(HardwareEfficient(4), kind)) < 1e-4


def test_constants_are_rounded_to_what_keeps_the_norm():
    rng = np.random.default_rng(0)
    phases = np.exp(1j * rng.normal(size=1000))
    rounded = round_phases(phases, "complex64")
    assert rounded.dtype == np.complex64
    np.testing.assert_allclose(rounded, phases, atol=6e-7, rtol=0)  # turned by up to 5e-7, and the rounding
    off, nearest = (np.abs(np.abs(each.astype(complex)) ** 2 - 1) for each in (rounded, phases.astype("complex64")))
    assert np.mean(off) < np.mean(nearest) / 4
    matrix = cirq.testing.random_unitary(8, random_state=0)
    rounded = round_unitary(matrix, "complex64")
    np.testing.assert_allclose(rounded, matrix, atol=2e-7, rtol=0)  # 1e-7 longer or shorter, and the rounding
    # A sum of 64 squares of numbers with steps of 1e-8 or so; to the nearest it is off by some 1e-7.
    assert abs(np.sum(np.abs(rounded.astype(complex)) ** 2) - 8) < 2e-8
    exact = np.array([1, -1, 1j, -1j])
    np.testing.assert_array_equal(round_phases(exact, "complex64"), exact)
    np.testing.assert_array_equal(round_phases(phases, "complex128"), phases)
    np.testing.assert_array_equal(round_unitary(matrix, "complex128"), matrix)


_TRAINING = """
import os, sys
out, threads, deterministic = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "deterministic"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
import tfq_qrnn
tf.config.threading.set_intra_op_parallelism_threads(threads)
if deterministic:
    tf.config.experimental.enable_op_determinism()
x = np.random.default_rng(0).normal(size=(160, 3, 2)).astype("float32")
y = (x.sum((1, 2)) > 0).astype("float32")

def trained(backend):
    keras.utils.set_random_seed(1)
    layer = tfq_qrnn.QRNN(2, depth=1, controller=(4,), dropout=0.2, recurrent_dropout=0.2, seed=2, backend=backend)
    model = keras.Sequential([keras.Input((3, 2)), layer, keras.layers.Dropout(0.2, seed=3), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, y, batch_size=40, epochs=5, verbose=0)
    return np.concatenate([np.ravel(w) for w in model.get_weights() if w.dtype == "float32"])

backends = {"native": "native", "tensorflow": "tensorflow", "noisy": tfq_qrnn.backends.Noisy(50, 0.01, "native")}
np.savez(out, **{name: trained(backend) for name, backend in backends.items()})
"""


@pytest.mark.slow
def test_one_seed_gives_one_training(tmp_path):
    """20 steps with dropout, in processes of their own: the same bits in one thread, and in two with TensorFlow's op
    determinism; another number of threads sums in another order."""
    runs = [("one", 1, ""), ("again", 1, ""), ("two", 2, "deterministic"), ("twice", 2, "deterministic")]
    weights = {}
    for name, threads, deterministic in runs:
        out = tmp_path / f"{name}.npz"
        command = [sys.executable, "-c", _TRAINING, str(out), str(threads), deterministic]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        weights[name] = dict(np.load(out))
    for backend in weights["one"]:
        np.testing.assert_array_equal(weights["again"][backend], weights["one"][backend])
        np.testing.assert_array_equal(weights["twice"][backend], weights["two"][backend])
        # Adam divides by the root of the squared gradient: where that is small, rounding counts in full
        np.testing.assert_allclose(weights["two"][backend], weights["one"][backend], rtol=0, atol=1e-4)
