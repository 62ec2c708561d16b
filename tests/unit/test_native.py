"""The C++ backend against the reference, plain TensorFlow in float64.

Tolerances: a float64 result differs from the reference by rounding in another order, some 1e-16 per operation, and the
circuits here have a few thousand. Float32 has 6e-8 per operation; gradients of a batch's weights are sums of up to a
hundred terms of size one.
"""

import functools
import graphlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import cirq
import keras
import numpy as np
import pytest
import sympy
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from random_circuits import random_circuit, random_state, with_constant_part

import tfq_qrnn
from tfq_qrnn import GateProgram, HardwareEfficient, backends
from tfq_qrnn.backends import native, registry
from tfq_qrnn.layers.reversible_scan import reversible_scan

_REPOSITORY = pathlib.Path(__file__).parents[2]
_SOURCES = _REPOSITORY / "tfq_qrnn" / "backends" / "native"

pytestmark = pytest.mark.skipif(native.missing() is not None, reason=str(native.missing()))

_TOLERANCE = {"float64": {"rtol": 1e-10, "atol": 1e-11}, "float32": {"rtol": 2e-4, "atol": 2e-4}}


def _step(program, backend, dtype, memory, angles, gradients):
    """New memory, readouts, and the gradients in memory and angles."""
    arguments = [tf.constant(value, dtype) for value in (memory, angles)]
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        outputs = tfq_qrnn.pqc(*arguments, program, backend)
    gradients = [tf.constant(value, dtype) for value in gradients]
    return [*outputs, *tape.gradient(outputs, arguments, output_gradients=gradients, unconnected_gradients="zero")]


def _assert_steps_agree(program, batch, seed):
    rng = np.random.default_rng(seed)
    memory = random_state(program.n_qubits, batch, seed)
    angles = rng.uniform(-7, 7, (batch, program.n_angles))
    gradients = rng.normal(size=memory.shape), rng.normal(size=(batch, program.n_observables))
    expected = _step(program, backends.TensorFlow(), "float64", memory, angles, gradients)
    for dtype in ("float64", "float32"):
        actual = _step(program, backends.Native(), dtype, memory, angles, gradients)
        for ours, reference in zip(actual, expected, strict=True):
            assert ours.dtype == dtype
            np.testing.assert_allclose(ours, reference, **_TOLERANCE[dtype])


_N_QUBITS = st.integers(1, 5)
_SEEDS = st.integers(0, 2**20)
_BATCHES = st.sampled_from([1, 3, 8, 17, 33])


# Few, for Cirq checks more of them, on every backend, in test_backends.py: here batches fill the lanes or do not.
@settings(max_examples=12)
@given(_SEEDS, _N_QUBITS, _BATCHES, st.sampled_from(["XYZ", "Z", "YX"]))
def test_random_circuits_agree_with_the_reference(seed, n_qubits, batch, observables):
    _assert_steps_agree(GateProgram(random_circuit(n_qubits, 15, seed), observables), batch, seed)


@settings(max_examples=12)
@given(_SEEDS, st.integers(2, 4))
def test_any_observables(seed, n_qubits):
    a, b, *_, z = (*cirq.LineQubit.range(n_qubits), cirq.LineQubit(n_qubits - 1))
    observables = [
        cirq.X(a) * cirq.Y(z),
        2.0 * cirq.Y(a) * cirq.Y(b) - 0.5 * cirq.Z(b) + 1.5,
        cirq.Z(a) * cirq.Z(z) + cirq.Y(a),
        cirq.PauliString(coefficient=0.25),
    ]
    _assert_steps_agree(GateProgram(random_circuit(n_qubits, 8, seed), observables), 5, seed)


# 8 qubits are the most that the kernels hold in one tile.
@pytest.mark.parametrize("n_qubits", [8, 9, 10, 11])
@pytest.mark.parametrize("batch", [3, 33])
def test_states_of_one_tile_and_of_many(n_qubits, batch):
    _assert_steps_agree(GateProgram(random_circuit(n_qubits, 30, n_qubits)), batch, n_qubits)
    _assert_steps_agree(GateProgram(HardwareEfficient(n_qubits, 3)), batch, n_qubits)


@pytest.mark.parametrize("n_qubits", [1, 2, 5, 8, 9, 11])
@pytest.mark.parametrize("kind", ["ising", "mix"])
def test_a_constant_part(kind, n_qubits):
    _assert_steps_agree(GateProgram(with_constant_part(HardwareEfficient(n_qubits, 1), kind)), 3, n_qubits)


@pytest.mark.parametrize(
    "constant",
    [
        cirq.X,
        cirq.Y,
        cirq.Z,
        cirq.H,
        cirq.S,
        cirq.T,
        cirq.ry(-4.0),
        cirq.rx(2.0),
        cirq.PhasedXPowGate(phase_exponent=0.3, exponent=-0.7),
    ],
    ids=str,
)
def test_constants_beside_rotations_of_the_same_qubit(constant):
    """They join the rotations, the phases around them, or a rotation's offset."""
    a, b, c, d = sympy.symbols("a b c d")
    first, second, third = cirq.LineQubit.range(3)
    between = [constant(first), cirq.ry(a)(first), constant(first), cirq.rx(b)(first), constant(first)]
    around = [cirq.rz(c)(second), constant(second), cirq.rz(d)(second), constant(third)]
    circuit = cirq.Circuit(cirq.CZ(first, second), between, around, cirq.CZ(second, third), between[::-1], around)
    _assert_steps_agree(GateProgram(circuit), 5, 0)
    alone = cirq.Circuit(cirq.I.on_each(first, second), constant(second))
    _assert_steps_agree(GateProgram(alone), 2, 0)


@pytest.mark.slow
def test_states_that_are_split_over_the_threads():
    program = GateProgram(HardwareEfficient(14, 2, rotations=("rx", "rz"), entangler="cnot"))
    _assert_steps_agree(program, 3, 0)
    rng = np.random.default_rng(0)
    arguments = random_state(14, 3, 0), rng.normal(size=(3, program.n_angles))
    gradients = random_state(14, 3, 1), rng.normal(size=(3, program.n_observables))
    first, second = (_step(program, backends.Native(), "float32", *arguments, gradients) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_second_derivatives_are_refused_by_what_has_them():
    angles, memory = tf.zeros((1, 4)), tf.zeros((1, 4))
    program = GateProgram(HardwareEfficient(1, 2))
    with tf.GradientTape() as outer:
        outer.watch(angles)
        with tf.GradientTape() as tape:
            tape.watch(angles)
            value = tf.reduce_sum(tfq_qrnn.pqc(memory, angles, program, "native")[1] ** 2)
        gradient = tape.gradient(value, angles)
    with pytest.raises(
        ValueError, match=r"^Argument `backend` must be backends\.TensorFlow\(\) for second derivatives"
    ):
        outer.gradient(gradient, angles)


@pytest.mark.parametrize("entangler", ["cz", "cnot", "iswap", "sqrt_iswap"])
@pytest.mark.parametrize("rotations", [("ry",), ("rz",), ("rx", "rz"), ("ry", "rz"), ("rz", "ry", "rz"), ("rx", "ry")])
def test_every_hardware_efficient_ansatz(entangler, rotations):
    for n_qubits in (1, 2, 5):
        ansatz = HardwareEfficient(n_qubits, 2, rotations=rotations, entangler=entangler)
        _assert_steps_agree(GateProgram(ansatz), 4, n_qubits)


def test_a_constant_matrix_on_several_qubits():
    a, b, c = cirq.LineQubit.range(3)
    fixed = [cirq.SQRT_ISWAP(a, c), cirq.ControlledOperation([b], cirq.H(c)), cirq.XX(c, a) ** 0.3]
    circuit = cirq.Circuit(HardwareEfficient(3, 1).circuit, fixed, cirq.CZ(a, b) ** 0.1)
    _assert_steps_agree(GateProgram(circuit), 9, 0)


_ACTIVATIONS = ["linear", "relu", "tanh", "sigmoid", "gelu", "silu", "swish", "elu", "selu", "softplus", "glu"]


def _scans(dtype, native_expected=True, n_qubits=3, input_size=4, seed=0, **arguments):
    """The native sequence, the reversible scan on the reference backend, and a function of the arguments of both."""
    keras.utils.set_random_seed(seed)
    of_cell = {name: arguments.pop(name) for name in ("trainable_circuit",) if name in arguments}
    controller = tfq_qrnn.Controller(**{"bias_initializer": "random_normal", **arguments})
    cell = tfq_qrnn.QRNNCell(n_qubits, depth=1, backend="native", dtype=dtype, controller=controller, **of_cell)
    cell.build((None, input_size))
    scan = cell.backend.sequence(
        cell.program,
        n_layers=len(controller.hidden_units) + 1,
        activation=controller.activation,
        use_bias=controller.use_bias,
        trained=cell.trainable_circuit is not None,
    )
    assert (scan is not None) == native_expected
    general = reversible_scan(backends.TensorFlow(), cell.program, cell.angles)
    return cell, scan, lambda inputs, mask, *rest: general(inputs, mask, None, None, *rest)


def _scan_arguments(cell, timesteps, batch, dropout, seed=0):
    rng = np.random.default_rng(seed)
    dtype = cell.compute_dtype
    projected = cell.project(tf.constant(rng.normal(size=(timesteps, batch, 4)), dtype))
    readouts = tf.constant(rng.normal(size=(batch, cell.output_size)), dtype)
    memory = tf.constant(random_state(cell.n_qubits, batch, seed), dtype)
    weights = cell.step_weights(readouts, training=False)
    if dropout:
        weights[-1] = tf.constant(rng.integers(0, 2, (batch, cell.output_size)) / 0.5, dtype)
    return [projected, readouts, memory, *weights]


def _run(scan, mask, arguments, with_gradients=True):
    """Outputs, and gradients in all arguments but the dropout mask."""
    rng = np.random.default_rng(1)
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        inputs, *rest = arguments
        outputs = scan(inputs, mask, *rest)
        loss = tf.add_n([tf.reduce_sum(o * tf.constant(rng.normal(size=o.shape), o.dtype)) for o in outputs])
    return [*outputs, *tape.gradient(loss, arguments[:-1], unconnected_gradients="zero")]


def _assert_scans_agree(*cases, timesteps=4, **arguments):
    """In both precisions, for every case of mask, dropout and batch. One reference serves them all: it is traced once,
    in float64, and given the same weights, whatever the precision under test."""
    _, _, reference = _scans("float64", **arguments)
    for dtype in ("float32", "float64"):
        cell, scan, _ = _scans(dtype, **arguments)
        for case in cases or ({},):
            mask = case.get("mask")
            ours = _scan_arguments(cell, timesteps, case.get("batch", 6), case.get("dropout", False))
            expected = _run(reference, mask, [tf.cast(a, tf.float64) for a in ours])
            actual = _run(scan, mask, ours)
            for result, wanted in zip(actual, expected, strict=True):
                # Weights' gradients are sums over batch and time, up to 50 in size: the scale of the rounding.
                scale = max(1.0, float(np.abs(wanted).max(initial=0)))
                np.testing.assert_allclose(result / scale, wanted / scale, **_TOLERANCE[dtype])


@pytest.mark.parametrize("activation", [*_ACTIVATIONS, functools.partial(keras.activations.gelu, approximate=True)])
def test_every_activation(activation):
    _assert_scans_agree(activation=activation, hidden_units=(5, 9), angle_scale=1.0)


@pytest.mark.parametrize("hidden_units", [(), (7,), (8, 3)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_every_depth_of_controller(hidden_units, use_bias):
    _assert_scans_agree(hidden_units=hidden_units, activation="silu", use_bias=use_bias, angle_scale=1.0)


_MASK = np.random.default_rng(3).integers(0, 2, (4, 6)).astype(bool)


@pytest.mark.slow
def test_masks_dropout_scales_and_a_trained_circuit():
    masks = [None, _MASK, np.zeros_like(_MASK), np.sort(_MASK, axis=0)[::-1]]
    _assert_scans_agree(
        *({"mask": mask, "dropout": dropout} for mask in masks for dropout in (False, True)),
        hidden_units=(4,),
        activation="tanh",
        angle_scale=np.linspace(0.5, 1.5, 6).tolist(),
        trainable_circuit=HardwareEfficient(3, 1, rotations=("rx", "ry"), entangler="cnot"),
    )


def test_batches_that_do_not_fill_the_lanes():
    cases = ({"batch": batch, "mask": np.tile(_MASK[:, :1], (1, batch))} for batch in (1, 3, 8, 17, 33))
    _assert_scans_agree(*cases, hidden_units=(3,))


def test_an_unknown_activation_takes_the_general_path():
    _scans("float32", native_expected=False, activation=lambda x: x * x, hidden_units=(3,))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    results = []
    for backend in ("native", "tensorflow"):
        keras.utils.set_random_seed(0)
        results.append(tfq_qrnn.QRNN(3, controller=tfq_qrnn.Controller(activation=lambda x: x * x), backend=backend)(x))
    np.testing.assert_allclose(*results, **_TOLERANCE["float32"])


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"recurrent_dropout": 0.4, "seed": 1}])
def test_layers_train_alike_on_both_backends(options):
    x = np.random.default_rng(0).normal(size=(20, 5, 4))
    losses = []
    for backend in ("native", "tensorflow"):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.layers.Masking(),
                tfq_qrnn.QRNN(
                    3, depth=1, controller=(4,), backend=backend, return_sequences=True, dtype="float64", **options
                ),
                tfq_qrnn.QRNN(2, depth=1, controller=(), backend=backend, dtype="float64"),
            ]
        )
        model.compile("adam", "mse")
        losses.append(model.fit(x * (x[:, :, :1] > -1), np.zeros((20, 6)), batch_size=8, epochs=3, verbose=0).history)
    # The loss itself is float32.
    np.testing.assert_allclose(losses[0]["loss"], losses[1]["loss"], rtol=1e-6)


@pytest.mark.parametrize("timesteps", [0, 3])
@pytest.mark.parametrize("batch", [0, 2])
def test_no_time_steps_and_no_samples(timesteps, batch):
    cell, scan, _ = _scans("float32", hidden_units=(3,))
    arguments = _scan_arguments(cell, timesteps, batch, dropout=False)
    outputs = _run(scan, None, arguments)
    assert outputs[0].shape == (timesteps, batch, 9)
    if timesteps == 0:
        np.testing.assert_array_equal(outputs[1], arguments[1])
        np.testing.assert_array_equal(outputs[2], arguments[2])
    if timesteps == 0 or batch == 0:
        for gradient in outputs[6:]:
            np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_stay_in_their_sample(value, dtype):
    program = GateProgram(random_circuit(3, 12, seed=4))
    angles = np.random.default_rng(0).normal(size=(5, program.n_angles))
    angles[1] = value
    memory = random_state(3, 5, 0)
    results = _step(program, backends.Native(), dtype, memory, angles, (memory, np.ones((5, program.n_observables))))
    for result in results:
        finite = np.isfinite(result).all(axis=1)
        np.testing.assert_array_equal(finite, [True, False, True, True, True])


@pytest.mark.parametrize("activation", [a for a in _ACTIVATIONS if a != "linear"])
def test_nan_passes_every_activation(activation):
    cell, scan, _ = _scans("float32", activation=activation, hidden_units=(4,))
    arguments = _scan_arguments(cell, 2, 3, dropout=False)
    arguments[0] = tf.where(tf.range(3)[None, :, None] == 1, np.float32(np.nan), arguments[0])
    outputs = _run(scan, None, arguments)
    np.testing.assert_array_equal(np.isnan(outputs[1]).all(axis=1), [False, True, False])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_angles(dtype):
    # Beyond the range of the polynomials' reduction. Float32 angles are exact here, being integers.
    program = GateProgram(cirq.Circuit(cirq.ry(sympy.Symbol("a"))(cirq.LineQubit(0))), observables="Z")
    angles = np.array([[5.0], [1000.0], [16384.0], [16777216.0], [-12345678.0]])
    memory = np.zeros((5, 4))
    _, readouts = tfq_qrnn.pqc(tf.constant(memory, dtype), tf.constant(angles, dtype), program, "native")
    np.testing.assert_allclose(readouts, np.cos(angles), rtol=0, atol=1e-6 if dtype == "float32" else 1e-11)


def test_the_same_bits_twice():
    cell, scan, _ = _scans("float32", n_qubits=6, hidden_units=(8,))
    arguments = _scan_arguments(cell, 7, 70, dropout=False)
    first, second = (_run(scan, None, arguments) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_unknown_batch_and_time_in_a_graph():
    layer = tfq_qrnn.QRNN(2, backend="native", controller=(3,))
    function = tf.function(layer, input_signature=[tf.TensorSpec((None, None, 4), tf.float32)])
    layer.build((None, None, 4))
    for batch, time in ((1, 2), (9, 5)):
        x = tf.constant(np.random.default_rng(0).normal(size=(batch, time, 4)), tf.float32)
        np.testing.assert_allclose(function(x), layer(x), atol=1e-6)  # other kernels of TensorFlow around the op


def test_saves_and_loads(tmp_path):
    model = keras.Sequential([keras.Input((3, 4)), tfq_qrnn.QRNN(2, backend=backends.Native())])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.ones((2, 3, 4), "float32")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_refuses_shapes_that_do_not_fit():
    cell, scan, _ = _scans("float32", hidden_units=(3,))
    inputs, readouts, memory, *weights = _scan_arguments(cell, 2, 3, dropout=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Argument `memory` must have shape"):
        scan(inputs, None, readouts, memory[:, :-1], *weights)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Argument `inputs` must have the first kernel's width"):
        scan(inputs[:, :, :-1], None, readouts, memory, *weights)


def run_bytes(program, n_angles, n_qubits=2):
    """Have the op run one step of the bytes of a program that reads X, Y and Z of every qubit."""
    return native._library().tfq_qrnn_scan(
        inputs=tf.zeros((1, 1, n_angles)),
        mask=tf.zeros((0,), tf.bool),
        readouts=tf.zeros((1, 3 * n_qubits)),
        memory=tf.zeros((1, 2 * 2**n_qubits)),
        dropout=tf.zeros((0,)),
        weights=[],
        program=program,
        layers=0,
        activation="linear",
        use_bias=False,
        trained=False,
    )


def test_refuses_bytes_that_are_no_program():
    bytes_ = native._attributes(GateProgram(HardwareEfficient(2, 1)))["program"]
    for broken in (b"", bytes_[:8], bytes_[:-8], b"\xff" * len(bytes_), bytes_[:24] + b"\x00" + bytes_[25:]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Attribute `program` must"):
            run_bytes(broken, n_angles=4)


def test_bytes_of_the_first_format_are_read_and_others_refused():
    """A graph that was saved holds its program; without a constant RY the formats are the same."""
    bytes_ = native._attributes(GateProgram(HardwareEfficient(2, 1)))["program"]

    def of_format(number):
        return bytes_[:16] + number.to_bytes(8, "little") + bytes_[24:]

    assert of_format(2) == bytes_
    for ours, before in zip(run_bytes(bytes_, n_angles=4), run_bytes(of_format(1), n_angles=4), strict=True):
        np.testing.assert_array_equal(ours, before)
    for number in (0, 4):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=f"its format is {number}, and formats 1 to 3 are read"
        ):
            run_bytes(of_format(number), n_angles=4)


def test_every_integer_of_a_program_is_checked():
    """Whatever an integer of the bytes is changed to, the op refuses it or runs within its bounds."""
    circuit = cirq.Circuit(
        cirq.ISWAP(*cirq.LineQubit.range(2)) ** 0.5, cirq.XX(*cirq.LineQubit.range(2)) ** sympy.Symbol("a")
    )
    circuit = HardwareEfficient(2, 1, entangler="cnot").circuit + circuit
    circuit += cirq.Circuit(cirq.ry(0.3).on_each(*cirq.LineQubit.range(2)))
    bytes_ = native._attributes(GateProgram(circuit))["program"]
    n_integers = int(np.frombuffer(bytes_[:8], np.int64)[0])
    refused = 0
    for position in range(2, 2 + n_integers):
        for value in (-1, 0, 1, 2, 31, 2**31, 2**62):
            words = np.frombuffer(bytes_[: 8 * (2 + n_integers)], np.int64).copy()
            words[position] = value
            broken = words.tobytes() + bytes_[8 * (2 + n_integers) :]
            try:
                run_bytes(broken, n_angles=5)
            except tf.errors.InvalidArgumentError:
                refused += 1
    assert refused > 3 * n_integers  # most values have no meaning in most places


def test_a_gate_twice_in_a_layer_is_refused():
    bytes_ = native._attributes(GateProgram(HardwareEfficient(3, 1)))["program"]
    words = np.frombuffer(bytes_[: 8 * (2 + int(np.frombuffer(bytes_[:8], np.int64)[0]))], np.int64).copy()
    # format, qubits, angles, observables, stages; then the local stage: its code, its gates, the first one's qubit
    assert list(words[7:10]) == [0, 3, 0]
    words[9] = 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="Attribute `program` must"):
        run_bytes(words.tobytes() + bytes_[len(words.tobytes()) :], n_angles=6, n_qubits=3)


@pytest.mark.parametrize("activation", _ACTIVATIONS)
def test_activations_have_their_slope_at_zero(activation):
    """Where no bias is trained yet and an image's first rows are black, the hidden layers start at exactly 0."""
    gradients = []
    for backend in ("native", "tensorflow"):
        keras.utils.set_random_seed(0)
        controller = tfq_qrnn.Controller((4,), activation=activation, angle_scale=1.0)
        layer = tfq_qrnn.QRNN(2, depth=1, controller=controller, backend=backend)
        x = tf.zeros((1, 2, 3))
        layer.build(x.shape)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x))
        gradients.append([g.numpy() for g in tape.gradient(loss, [w.value for w in layer.trainable_weights])])
    for native_gradient, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(native_gradient, expected, rtol=1e-5, atol=1e-5)  # float32, values up to 4


def test_a_clone_takes_the_library_of_the_package_that_was_installed_from_it(monkeypatch, tmp_path):
    """`pip install .` leaves no library in the source, which Python imports when it is started there."""
    library = native.library_path()
    for name, version in (("older", "0.0.1"), ("same", tfq_qrnn.__version__)):
        installed = tmp_path / name / "tfq_qrnn" / "backends" / library.name
        installed.parent.mkdir(parents=True)
        installed.symlink_to(library)
        about = tmp_path / name / f"tfq_qrnn-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tfq_qrnn\nVersion: {version}\n")
        (about / "RECORD").write_text(f"tfq_qrnn/__init__.py,,\ntfq_qrnn/backends/{library.name},,\n")
    clone = tmp_path / "a clone"
    (clone / "tfq_qrnn" / "backends").mkdir(parents=True)
    monkeypatch.setattr(native, "__file__", str(clone / "tfq_qrnn" / "backends" / "native.py"))
    monkeypatch.setattr(native, "_ROOT", clone)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "older")])
    assert "not built" in native.missing()
    assert native.missing().endswith("--no-deps .")  # there is no source
    (clone / "setup.py").touch()
    line = native.missing().split("builds it: ")[1]
    words = shlex.split(line)
    assert words[:6] == [sys.executable, "-m", "pip", "install", "setuptools>=77.0.3", "&&"]
    assert words[-4:] == ["--no-build-isolation", "--force-reinstall", "--no-deps", str(clone)]
    monkeypatch.setattr(sys, "path", [str(tmp_path / "older"), str(tmp_path / "same")])
    assert native.missing() is None
    assert native.library_path() == installed


def test_without_the_library_the_name_is_refused_and_auto_falls_back(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    monkeypatch.setattr(sys, "path", [])  # no installed package has one
    caches = registry._fastest, native._library, native._load
    for cache in caches:
        cache.cache_clear()
    with pytest.raises(ValueError, match="Argument `backend` must be one that is there, but the native op is not"):
        registry.get("native")
    with pytest.warns(UserWarning, match="the native op is not built"):
        assert registry.get("auto") == backends.TensorFlow()
    (tmp_path / "_native_ops.tf-1.0.so").touch()
    with pytest.raises(ValueError, match=r"built for TensorFlow 1\.0 and this is"):
        backends.Native()
    native.library_path().touch()  # in the folder that `__file__` now names
    with pytest.raises(ValueError, match="cannot be loaded"):
        backends.Native()
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()
    assert registry.get("auto") == backends.Native()


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["avx2", "baseline"])
def test_lesser_processors(cpu):
    """The kernels that this machine would not choose."""
    tests = "random_circuits or constant or every_activation or one_tile or masks or large_angles"
    command = [sys.executable, "-m", "pytest", "-q", "-x", __file__, "-k", tests]
    completed = subprocess.run(command, env={**os.environ, "TFQ_QRNN_CPU": cpu}, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout[-2000:]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_headers_stand_alone_and_include_one_way():
    """An editor or a parser reads each without the others."""
    local, standard = {}, {}
    for header in sorted(_SOURCES.glob("*.h")):
        flags = ["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-x", "c++"]
        done = subprocess.run(["g++", *flags, str(header)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        text = header.read_text()
        local[header.name] = re.findall(r'^#include "(.+)"', text, re.MULTILINE)
        standard[header.name] = set(re.findall(r"^#include <(.+)>", text, re.MULTILINE))
    order = list(graphlib.TopologicalSorter(local).static_order())  # CycleError where two include each other
    assert order[-1] == "kernels_isa.h"
    # What is compiled for one processor includes no standard header after the target is set; see isa.h.
    for name in [name for name in order if "isa.h" in local[name]]:
        assert standard[name] <= standard["kernels.h"], name


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_sanitizers(sanitizers, tmp_path):
    """The kernels without TensorFlow: driven by native_sanitizers.cc, and by what `make fuzz` starts from."""
    flags = ["-std=c++17", "-O1", "-g", "-fno-sanitize-recover=all", f"-fsanitize={sanitizers}", "-Wno-psabi"]
    flags += [f"-I{_SOURCES}", f"-I{_REPOSITORY / 'tests' / 'support'}"]
    objects = []
    for source in (p for p in sorted(_SOURCES.glob("*.cc")) if p.name != "ops.cc"):
        objects.append(str(tmp_path / f"{source.stem}.o"))
        subprocess.run(["g++", *flags, "-c", str(source), "-o", objects[-1]], check=True)

    def link(main, name, *more):
        binary = str(tmp_path / name)
        subprocess.run(["g++", *flags, *more, str(main), *objects, "-o", binary, "-lpthread"], check=True)
        return binary

    binary = link(_REPOSITORY / "tests" / "support" / "native_sanitizers.cc", "driver")
    for number, program in enumerate(
        [
            GateProgram(HardwareEfficient(10, 2)),
            GateProgram(HardwareEfficient(3, 2, rotations=("rx", "ry"), entangler="cnot")),
            GateProgram(random_circuit(4, 40, 0), [cirq.X(cirq.LineQubit(0)) * cirq.Z(cirq.LineQubit(3))]),
            GateProgram(random_circuit(9, 40, 1)),
            GateProgram(random_circuit(1, 5, 2)),
            GateProgram(with_constant_part(HardwareEfficient(3, 1), "mix")),
            GateProgram(HardwareEfficient(9, 1), "state"),
            GateProgram(HardwareEfficient(2, 1), "probabilities"),
        ]
    ):
        path = tmp_path / f"program{number}"
        path.write_bytes(native._attributes(program)["program"])
        completed = subprocess.run([binary, str(path)], capture_output=True, text=True)
        assert completed.returncode == 0, completed.stderr[-3000:]
    if sanitizers == "thread":  # the replay has one thread
        return
    # Programs whole and broken, those that a fuzzer found among them, run forward and back.
    corpus = sorted(map(str, (_REPOSITORY / "fuzz" / "corpus").iterdir()))
    assert len(corpus) > 30
    replay = link(_REPOSITORY / "fuzz" / "native_program.cc", "replay", "-DTFQ_QRNN_REPLAY")
    done = subprocess.run([replay, *corpus], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    ran, _ = map(int, re.search(r"ran (\d+) of (\d+)", done.stderr).groups())
    assert ran >= 30  # every seed is a program
