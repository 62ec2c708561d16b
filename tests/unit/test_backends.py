"""The backends that carry the state, and `pqc`, against Cirq's simulator, finite differences and pen and paper."""

import cirq
import numpy as np
import pytest
import sympy
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import CARRIED, differences, expectations, simulate
from random_circuits import random_circuit, random_state, to_complex, with_constant_part

import tfq_qrnn
from tfq_qrnn import GateProgram, HardwareEfficient, backends, pqc
from tfq_qrnn.backends import registry

QUBITS = cirq.LineQubit.range(12)
THETA = sympy.Symbol("theta")
# Errors of a random circuit of about 20 gates: a few roundings (6e-8, 1e-16) per gate on amplitudes of order 1.
ATOL = {"float32": 1e-5, "float64": 1e-12}


def random_observables(n_qubits, seed):
    """Three Pauli sums of up to three random strings, identity terms among them."""
    rng = np.random.default_rng(seed)

    def string():
        letters = {q: "IXYZ"[rng.integers(4)] for q in QUBITS[:n_qubits]}
        return cirq.PauliString({q: p for q, p in letters.items() if p != "I"}, coefficient=float(rng.normal()))

    return [sum((string() for _ in range(rng.integers(1, 4))), cirq.PauliSum()) for _ in range(3)]


def random_program(n_qubits, seed, n_operations=12):
    return GateProgram(random_circuit(n_qubits, n_operations, seed), random_observables(n_qubits, seed))


def random_angles(program, batch, seed):
    return np.random.default_rng(seed).uniform(-4, 4, (batch, program.n_angles))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", CARRIED)
@given(seed=st.integers(0, 10**6), n_qubits=st.integers(1, 6))
@settings(max_examples=20)
def test_states_and_readouts_are_those_of_cirq(backend, dtype, seed, n_qubits):
    program = random_program(n_qubits, seed)
    memory, angles = random_state(n_qubits, 3, seed), random_angles(program, 3, seed)
    new_memory, readouts = pqc(memory.astype(dtype), angles.astype(dtype), program, backend)
    expected = simulate(program, to_complex(memory), angles)
    np.testing.assert_allclose(to_complex(new_memory), expected, atol=ATOL[dtype])
    # three terms with coefficients of order 1 add up in an observable
    np.testing.assert_allclose(readouts, expectations(program, expected), atol=5 * ATOL[dtype])
    assert new_memory.dtype == readouts.dtype == dtype


@pytest.mark.parametrize("backend", CARRIED)
@given(seed=st.integers(0, 10**6), n_qubits=st.integers(1, 4))
@settings(max_examples=6)
def test_gradients_are_finite_differences(backend, seed, n_qubits):
    """Of a loss in both results, with respect to both arguments; a different weight for every number."""
    program = random_program(n_qubits, seed, n_operations=8)
    memory, angles = random_state(n_qubits, 2, seed), random_angles(program, 2, seed)
    rng = np.random.default_rng(seed)
    of_memory, of_readouts = rng.normal(size=memory.shape), rng.normal(size=(2, program.n_observables))

    def loss(memory, angles):
        new_memory, readouts = pqc(memory, angles, program, backend)
        return tf.reduce_sum(new_memory * of_memory) + tf.reduce_sum(readouts * of_readouts)

    arguments = [tf.constant(memory), tf.constant(angles)]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        value = loss(*arguments)
    memory_gradient, angles_gradient = tape.gradient(value, arguments)
    compiled = tf.function(loss)
    # differences() is good to 1e-10 at losses of order 1; here they reach 10, and angles are scaled by up to 2 pi
    np.testing.assert_allclose(memory_gradient, differences(lambda m: compiled(m, angles), memory), atol=1e-7)
    np.testing.assert_allclose(angles_gradient, differences(lambda a: compiled(memory, a), angles), atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["ising", "mix"])
@pytest.mark.parametrize("n_qubits", [3, 9])
@pytest.mark.parametrize("backend", CARRIED)
def test_a_constant_part_is_that_of_cirq(backend, n_qubits, kind, dtype):
    """At 9 qubits the native op works tile by tile."""
    program = GateProgram(with_constant_part(HardwareEfficient(n_qubits, 1), kind))
    memory, angles = random_state(n_qubits, 2, 0), random_angles(program, 2, 0)
    new_memory, readouts = pqc(memory.astype(dtype), angles.astype(dtype), program, backend)
    expected = simulate(program, to_complex(memory), angles)
    np.testing.assert_allclose(to_complex(new_memory), expected, atol=ATOL[dtype])
    np.testing.assert_allclose(readouts, expectations(program, expected), atol=ATOL[dtype])


@pytest.mark.parametrize("backend", CARRIED)
def test_eleven_qubits_cross_every_group_boundary(backend):
    """11 qubits are groups of 4, 4 and 3; gates and Pauli strings reach over all their boundaries."""
    q = QUBITS[:11]
    circuit = HardwareEfficient(11, depth=1, entangler="sqrt_iswap").circuit + cirq.Circuit(
        cirq.FSimGate(0.3, THETA)(q[3], q[4]),
        cirq.XX(q[0], q[10]) ** THETA,
        cirq.CNOT(q[7], q[8]),
        cirq.H(q[5]).controlled_by(q[10]),
        cirq.PhasedISwapPowGate(phase_exponent=0.2, exponent=THETA)(q[8], q[3]),
    )
    observables = [
        cirq.X(q[3]) * cirq.Y(q[4]),
        cirq.Z(q[0]) * cirq.X(q[5]) * cirq.Y(q[10]),
        cirq.PauliString(dict.fromkeys(q, cirq.Z)),
        0.5 * cirq.Y(q[7]) * cirq.Y(q[8]) - 2 * cirq.X(q[9]) + 0.25,
        cirq.Z(q[10]) + cirq.X(q[0]),
    ]
    program = GateProgram(circuit, observables)
    memory, angles = random_state(11, 2, seed=1), random_angles(program, 2, seed=2)
    new_memory, readouts = pqc(memory, angles, program, backend)
    expected = simulate(program, to_complex(memory), angles)
    np.testing.assert_allclose(to_complex(new_memory), expected, atol=1e-13)
    np.testing.assert_allclose(readouts, expectations(program, expected), atol=1e-12)

    def loss(angles):
        return tf.reduce_sum(pqc(memory, angles, program, backend)[1] ** 2)

    tensor = tf.constant(angles)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = loss(tensor)
    direction = np.random.default_rng(3).normal(size=angles.shape)
    slope = (loss(angles + 1e-5 * direction) - loss(angles - 1e-5 * direction)) / 2e-5
    # 1e-10 of truncation times third derivatives of up to |direction|**3, about 100
    assert np.sum(tape.gradient(value, tensor) * direction) == pytest.approx(float(slope), abs=1e-7)


@pytest.mark.parametrize(
    ("backend", "jit_compile"),
    [*((name, False) for name in CARRIED), pytest.param("tensorflow", True, marks=pytest.mark.slow)],
)
def test_graph_and_xla_give_what_eager_gives(backend, jit_compile):
    program = random_program(3, seed=5, n_operations=8)
    memory, angles = tf.constant(random_state(3, 4, 5)), tf.constant(random_angles(program, 4, 5))

    def values(memory, angles):
        with tf.GradientTape() as tape:
            tape.watch((memory, angles))
            new_memory, readouts = pqc(memory, angles, program, backend)
            loss = tf.reduce_sum(new_memory[:, 1] * readouts[:, 0])
        return new_memory, readouts, *tape.gradient(loss, (memory, angles))

    compiled = tf.function(values, jit_compile=jit_compile)
    for eager, graph in zip(values(memory, angles), compiled(memory, angles), strict=True):
        np.testing.assert_allclose(eager, graph, atol=1e-13)  # the same float64 operations, perhaps in another order


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("backend", CARRIED)
def test_a_while_loop_has_the_gradient_of_the_unrolled_steps(backend, graph):
    """In a graph the gradient of a loop is a loop of its own, which tensors of the first one enter by the back door."""
    program = random_program(3, seed=1, n_operations=8)
    angles = tf.constant(np.random.default_rng(1).uniform(-3, 3, (4, 2, program.n_angles)))
    memory = tf.constant(random_state(3, 2, seed=1))

    def unrolled(memory, angles):
        for t in range(4):
            memory, readouts = pqc(memory, angles[t], program, backend)
        return tf.reduce_sum(readouts**2) + memory[0, 3]

    def loop(memory, angles):
        def step(t, memory, _):
            return t + 1, *pqc(memory, angles[t], program, backend)

        start = (0, memory, tf.zeros((2, program.n_observables), tf.float64))
        _, memory, readouts = tf.while_loop(lambda t, *_: t < 4, step, start, maximum_iterations=4)
        return tf.reduce_sum(readouts**2) + memory[0, 3]

    def gradient(function, *arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            value = function(*arguments)
        return tape.gradient(value, arguments)

    of_loop = tf.function(gradient) if graph else gradient
    for value, expected in zip(of_loop(loop, memory, angles), gradient(unrolled, memory, angles), strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-11)  # gradients of up to 100 in float64


@pytest.mark.parametrize("backend", CARRIED)
def test_an_unknown_batch_size_is_found_at_run_time(backend):
    program = random_program(2, seed=7)
    signature = [tf.TensorSpec((None, 8), tf.float64), tf.TensorSpec((None, program.n_angles), tf.float64)]
    compiled = tf.function(lambda m, a: pqc(m, a, program, backend), input_signature=signature)
    for batch in (1, 3):
        memory, angles = random_state(2, batch, 1), random_angles(program, batch, 1)
        for expected, value in zip(pqc(memory, angles, program, backend), compiled(memory, angles), strict=True):
            np.testing.assert_allclose(value, expected, atol=1e-14)


@pytest.mark.parametrize("backend", CARRIED)
def test_a_chain_of_calls_is_the_unrolled_circuit(backend):
    program = GateProgram(HardwareEfficient(3, entangler="cnot"))
    angles = np.random.default_rng(0).uniform(-3, 3, (4, program.n_angles))
    memory = np.zeros((1, 16))
    for step in angles:
        memory, readouts = pqc(memory, step[None], program, backend)
    unrolled = cirq.Circuit(program.resolve(step) for step in angles)
    expected = cirq.Simulator(dtype=np.complex128).simulate(unrolled).final_state_vector[None]
    np.testing.assert_allclose(to_complex(memory), expected, atol=1e-13)
    np.testing.assert_allclose(readouts, expectations(program, expected), atol=1e-13)


@pytest.mark.parametrize("backend", CARRIED)
def test_a_memory_of_zeros_is_the_ground_state_sample_by_sample(backend):
    program = random_program(2, seed=9)
    angles = random_angles(program, 3, 9)
    ground, random = np.eye(1, 8)[0], random_state(2, 1, 9)[0]
    from_zeros = pqc(np.stack([np.zeros(8), random, np.zeros(8)]), angles, program, backend)
    from_ground = pqc(np.stack([ground, random, ground]), angles, program, backend)
    for left, right in zip(from_zeros, from_ground, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("backend", CARRIED)
def test_undoing_a_step_gives_the_memory_before_it(backend):
    program = random_program(4, seed=11)
    memory, angles = random_state(4, 2, 11), tf.constant(random_angles(program, 2, 11))
    engine = registry.get(backend)
    after, readouts = engine.forward(program, tf.constant(memory), angles)
    before, _, _ = engine.undo(program, after, angles, tf.zeros_like(after), tf.zeros_like(readouts))
    np.testing.assert_allclose(before, memory, atol=1e-13)


@pytest.mark.parametrize("backend", CARRIED)
def test_a_rotated_qubit_reads_sine_and_cosine(backend):
    """RY(t)|0> = cos(t/2)|0> + sin(t/2)|1>: <X> = sin t, <Y> = 0, <Z> = cos t; d<Z>/dt = -sin t."""
    program = GateProgram(cirq.Circuit(cirq.ry(THETA)(QUBITS[0])))
    theta = tf.constant(np.linspace(-7, 7, 9)[:, None])
    with tf.GradientTape() as tape:
        tape.watch(theta)
        _, readouts = pqc(np.zeros((9, 4)), theta, program, backend)
        z = tf.reduce_sum(readouts[:, 2])
    expected = np.concatenate([np.sin(theta), np.zeros((9, 1)), np.cos(theta)], axis=1)
    np.testing.assert_allclose(readouts, expected, atol=1e-15 * 10)  # a few roundings
    np.testing.assert_allclose(tape.gradient(z, theta), -np.sin(theta), atol=1e-14)


@pytest.mark.parametrize("backend", CARRIED)
@pytest.mark.parametrize("n_qubits", [2, 3, 5])
def test_bell_and_ghz_states_have_their_correlations(backend, n_qubits):
    """(|0..0> + |1..1>)/sqrt 2: every <Z_i> = 0, <Z_i Z_j> = 1, <X..X> = 1, <Y Y X..X> = -1."""
    q = QUBITS[:n_qubits]
    circuit = cirq.Circuit(cirq.H(q[0]), [cirq.CNOT(q[i], q[i + 1]) for i in range(n_qubits - 1)])
    xs = dict.fromkeys(q, cirq.X)
    observables = [
        cirq.Z(q[0]),
        cirq.Z(q[-1]),
        cirq.Z(q[0]) * cirq.Z(q[-1]),
        cirq.PauliString(xs),
        cirq.PauliString({**xs, q[0]: cirq.Y, q[1]: cirq.Y}),
    ]
    memory, readouts = pqc(np.zeros((1, 2 * 2**n_qubits)), np.zeros((1, 0)), GateProgram(circuit, observables), backend)
    np.testing.assert_allclose(readouts, [[0, 0, 1, 1, -1]], atol=1e-14)
    expected = np.zeros(2**n_qubits)
    expected[[0, -1]] = np.sqrt(0.5)
    np.testing.assert_allclose(to_complex(memory)[0], expected, atol=1e-15)


@pytest.mark.parametrize("backend", CARRIED)
def test_qubit_zero_is_the_most_significant_bit(backend):
    """X on qubit 0 of three takes |000> to |100>, which is number 4."""
    circuit = cirq.Circuit(cirq.I.on_each(*QUBITS[:3]), cirq.X(QUBITS[0]))
    memory, readouts = pqc(np.zeros((1, 16)), np.zeros((1, 0)), GateProgram(circuit, "Z"), backend)
    assert np.argmax(np.abs(to_complex(memory)[0])) == 4
    np.testing.assert_allclose(readouts, [[-1, 1, 1]], atol=1e-15)


@pytest.mark.parametrize("backend", CARRIED)
def test_a_long_chain_keeps_the_norm(backend):
    """500 steps in float32: rounding adds up like a random walk, 6e-8 * sqrt(500 * gates), no worse."""
    program = GateProgram(HardwareEfficient(4))
    memory = tf.zeros((2, 32))
    step = tf.function(lambda memory, angles: pqc(memory, angles, program, backend)[0])
    angles = np.random.default_rng(0).uniform(-3, 3, (500, 2, program.n_angles)).astype("float32")
    for a in angles:
        memory = step(memory, a)
    np.testing.assert_allclose(np.linalg.norm(memory, axis=1), 1, atol=3e-5)


@pytest.mark.parametrize("backend", CARRIED)
def test_a_sample_with_nan_angles_is_nan_and_the_others_are_not_touched(backend):
    program = GateProgram(HardwareEfficient(3))
    memory, angles = random_state(3, 3, 0), random_angles(program, 3, 0)
    clean = pqc(memory, angles, program, backend)
    angles[1, 0] = np.nan
    for value, expected in zip(pqc(memory, angles, program, backend), clean, strict=True):
        assert np.isnan(value.numpy()[1]).any()
        np.testing.assert_array_equal(value.numpy()[[0, 2]], expected.numpy()[[0, 2]])


PROGRAM = GateProgram(HardwareEfficient(2, depth=1))  # 4 angles, memories of 8


@pytest.mark.parametrize(
    ("memory", "angles", "program", "backend", "error", "message"),
    [
        (np.zeros((2, 8)), np.zeros((2, 4)), HardwareEfficient(2), "auto", TypeError, "`program` must be a tfq_qrnn"),
        (np.zeros((2, 4)), np.zeros((2, 4)), PROGRAM, "auto", ValueError, r"`memory` must have shape \(batch, 8\)"),
        (np.zeros(8), np.zeros((1, 4)), PROGRAM, "auto", ValueError, r"`memory` must have shape \(batch, 8\)"),
        (np.zeros((2, 8)), np.zeros((2, 3)), PROGRAM, "auto", ValueError, r"`angles` must have shape \(batch, 4\)"),
        (np.zeros((2, 8)), np.zeros((3, 4)), PROGRAM, "auto", ValueError, "`angles` must have the memory's batch size"),
        (
            np.zeros((2, 8), "complex64"),
            np.zeros((2, 4)),
            PROGRAM,
            "auto",
            ValueError,
            "`memory` must be float32 or float64, but its dtype is complex64",
        ),
        (
            np.zeros((2, 8), "float16"),
            np.zeros((2, 4), "float16"),
            PROGRAM,
            "auto",
            ValueError,
            "`memory` must be float32 or float64, but its dtype is float16",
        ),
        (
            np.zeros((2, 8), "float32"),
            np.zeros((2, 4)),
            PROGRAM,
            "auto",
            ValueError,
            "`angles` must have the memory's dtype, float32, but it is float64",
        ),
        (
            np.zeros((1, 8)),
            np.zeros((1, 120)),
            GateProgram(HardwareEfficient(60, depth=1)),
            "auto",
            ValueError,
            "`program` must leave room for the statevectors, but one sequence of 60 qubits takes 80 EiB",
        ),
        (np.zeros((2, 8)), np.zeros((2, 4)), PROGRAM, "qiskit", ValueError, "`backend` must be .*, but it is 'qiskit'"),
        (np.zeros((2, 8)), np.zeros((2, 4)), PROGRAM, 3, TypeError, "`backend` must be a backend .*, but it is 3"),
        pytest.param(
            np.zeros((2, 257)),
            np.zeros((2, 4)),
            PROGRAM,
            "tfq",
            ValueError,
            "`dtype` must be float32 for the TFQ backend, but it is float64",
            marks=pytest.mark.tfq,
        ),
    ],
)
def test_pqc_refuses(memory, angles, program, backend, error, message):
    with pytest.raises(error, match=rf"^Argument {message}") as caught:
        pqc(memory, angles, program, backend)
    assert ", but " in str(caught.value)


def test_backends_are_values_that_serialize():
    for backend in [registry.get(name) for name in CARRIED] + [backends.Noisy(10, 0.01, "tensorflow")]:
        again = registry.deserialize(registry.serialize(backend))
        assert again == backend
        assert hash(again) == hash(backend)
        assert registry.get(backend) is backend
    assert registry.deserialize("auto") == "auto"
    assert tfq_qrnn.backends.get("tensorflow") == backends.TensorFlow()


def test_a_batch_that_memory_cannot_hold_is_refused_before_it_is_allocated():
    layer = tfq_qrnn.QRNN(18, depth=1, controller=(), backend="tensorflow")
    layer.build((None, 2, 1))
    # 18 qubits take 20 MiB a sequence in training: a million of them 20 TiB
    with pytest.raises(
        ValueError, match=r"^Argument `inputs` must hold at most \d+ sequences, or memory runs out, but"
    ):
        layer.get_initial_state(2**20)


@pytest.mark.parametrize("backend", CARRIED)
def test_a_vectorized_jacobian_is_that_of_one_gradient_after_another(backend):
    """4 qubits are two groups; the circuit has stages of all kinds."""
    circuit = HardwareEfficient(4, 1, entangler="sqrt_iswap").circuit + cirq.Circuit(
        cirq.XX(QUBITS[0], QUBITS[2]) ** THETA, cirq.ZZ(QUBITS[1], QUBITS[3]) ** THETA, cirq.T(QUBITS[1])
    )
    program = GateProgram(circuit, [cirq.X(QUBITS[0]) * cirq.Z(QUBITS[3]), cirq.Y(QUBITS[1])])
    memory, angles = tf.constant(random_state(4, 2, 0)), tf.constant(random_angles(program, 2, 0))
    layer = tfq_qrnn.QRNN(2, depth=1, observables="Z", controller=(), backend=backend, dtype="float64")
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 3, 1)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([angles, x])
        of_step, of_layer = pqc(memory, angles, program, backend)[1], layer(x)
    for values, source in ((of_step, angles), (of_layer, x)):
        vectorized, one_by_one = (tape.jacobian(values, source, experimental_use_pfor=way) for way in (True, False))
        np.testing.assert_allclose(vectorized, one_by_one, atol=1e-13)  # the same products in float64


@pytest.mark.slow
@pytest.mark.parametrize("graph", [False, True])
def test_second_derivatives_are_differences_of_gradients(graph):
    """Of a layer and of one step: Hessian times vector, as a gradient penalty needs it."""
    layer = tfq_qrnn.QRNN(
        2, depth=1, controller=tfq_qrnn.Controller((3,), angle_scale=1.0), backend="tensorflow", dtype="float64"
    )
    rng = np.random.default_rng(0)
    mask = np.array([[True, False, True], [True, True, True]])
    program = random_program(2, seed=3, n_operations=6)
    memory = random_state(2, 2, 3)
    layer.build((2, 3, 2))

    def of_layer(x):
        return tf.reduce_sum(layer(x, mask=mask) ** 2)

    def of_step(angles):
        return tf.reduce_sum(pqc(memory, angles, program, "tensorflow")[1] ** 2)

    for function, shape in ((of_layer, (2, 3, 2)), (of_step, (2, program.n_angles))):
        point, vector = rng.normal(size=shape), rng.normal(size=shape)

        def gradient(x, function=function):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = function(x)
            return tape.gradient(value, x)

        def product(x, gradient=gradient, vector=vector):
            with tf.GradientTape() as tape:
                tape.watch(x)
                along = tf.reduce_sum(gradient(x) * vector)
            return tape.gradient(along, x)

        product = tf.function(product) if graph else product
        beside = [gradient(tf.constant(point + step * vector)) for step in (1e-5, -1e-5)]
        expected = (beside[0] - beside[1]) / 2e-5
        assert np.abs(expected).max() > 1e-3
        # truncation of 1e-10, times third derivatives of the gradient of up to a few hundred
        np.testing.assert_allclose(product(tf.constant(point)), expected, atol=1e-6)
