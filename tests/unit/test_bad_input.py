"""Nonsense ends in a value or in an error that says which argument is wrong; NaN stays NaN; the process lives."""

import json
import pathlib
import subprocess
import sys
import textwrap

import bad_data
import bad_input
import cirq
import hypothesis
import keras
import numpy as np
import pytest
import sympy
from bad_input import outcome

import tfq_qrnn
from tfq_qrnn import backends, hw

ENTRIES = bad_input.ENTRIES | bad_data.ENTRIES
ROOT = pathlib.Path(__file__).parents[2]
# Each case of these builds a layer, a folder or a graph; the longer campaign is fuzz/python_entries.py.
EXPENSIVE = {"QRNN", "layer call", "hw.run", "hw.export", "hw.run_with_ancillas", "load_model", "trace and plotting"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith("hw.")) for name in ENTRIES]
)
def test_a_value_or_an_error_of_ours(name, tmp_path, monkeypatch):
    strategy, function = ENTRIES[name]
    monkeypatch.chdir(tmp_path)  # a word that is drawn for a path is a folder here

    @hypothesis.settings(
        max_examples=4 if name in EXPENSIVE else 12,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def run(value):
        assert outcome(function, value) in ("value", "refused", "refused by Keras")

    run()


def test_the_check_can_fail():
    for function in (lambda _: {}["a"], lambda _: [].pop(), lambda _: int("x"), lambda _: 1 / 0):
        with pytest.raises(Exception, match="Traceback"):
            outcome(function, None)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tfq_qrnn.HardwareEfficient(2, depth=10**9), ValueError, "`depth` must give at most 100,000 angles"),
        (lambda: tfq_qrnn.QRNN(2, depth=10**9), ValueError, "`depth` must give at most 100,000 angles"),
        (lambda: tfq_qrnn.QRNN(40), ValueError, "`n_qubits` must leave room for the statevectors"),
        (lambda: tfq_qrnn.QRNN(10**5000), ValueError, "`n_qubits` must leave room for .* a value that cannot be print"),
        (lambda: tfq_qrnn.Controller(angle_scale=10**400), ValueError, "`angle_scale` must be a finite number"),
        (lambda: tfq_qrnn.QRNN(2, seed=2**40), ValueError, "`seed` must be an integer from 0 to 2147483647"),
        (
            lambda: tfq_qrnn.QRNN(2, controller=(10**12,)).build((None, 3, 2)),
            ValueError,
            "`controller` must leave room for its weights, but they take .* TiB",
        ),
        pytest.param(
            lambda: backends.TFQ(max_timesteps=10**9),
            ValueError,
            "`max_timesteps` must be an integer from 1 to 1000",
            marks=pytest.mark.tfq,
        ),
        (lambda: backends.Noisy(pauli_error=10**400), ValueError, "`pauli_error` must be a probability"),
        (lambda: tfq_qrnn.HardwareEfficient(2, 1, (np.zeros(2),)), TypeError, "`rotations` must be one of"),
        (lambda: tfq_qrnn.HardwareEfficient(2, 1, topology=[]), TypeError, "`topology` must be one of"),
        (lambda: hw.load_calibration(3), TypeError, "`name` must be the name of a processor or a path"),
    ],
)
def test_too_large_and_too_odd(call, error, message):
    with pytest.raises(error, match=f"^Argument {message}"):
        call()


def test_numpys_integers_are_kept_as_pythons():
    layer = tfq_qrnn.QRNN(np.int64(2), depth=np.int64(1), seed=np.int64(3), controller=(np.int64(2),))
    assert json.loads(json.dumps(layer.get_config()))["n_qubits"] == 2
    ansatz = tfq_qrnn.HardwareEfficient(np.int64(2), np.int64(1))
    assert tfq_qrnn.circuits.Ansatz.from_json(ansatz.to_json()) == ansatz


@pytest.mark.parametrize("backend", ["native", "tensorflow"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_angles_or_memory_is_nan_in_every_result(backend, bad):
    """cos(inf) is NaN: no finite number may come of it."""
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(2, 1))
    for place in ("angles", "memory"):
        memory, angles = np.full((2, 8), 8**-0.5, "float32"), np.full((2, 4), 0.3, "float32")
        {"angles": angles, "memory": memory}[place][1, 1] = bad
        new_memory, readouts = tfq_qrnn.pqc(memory, angles, program, backend)
        assert np.isfinite(new_memory[0]).all()
        assert not np.isfinite(new_memory[1]).all()
        # An angle of qubit 1 leaves the readouts of qubit 0 as they are, but for the phases that the CZ passes on.
        assert not np.isfinite(readouts[1]).all()


_BATCH = """
import numpy as np, tensorflow as tf, tfq_qrnn
from tfq_qrnn.backends import native
program = native._attributes(tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(2, 1)))["program"]
library = native._library()
integers = 2 + int(np.frombuffer(program[:8], np.int64)[0])  # floats and tables come after them
words, rest = np.frombuffer(program[: 8 * integers], np.int64), program[8 * integers :]
programs = [program, b"", b"x" * 7, program[:-1], program + b"x" * 9, b"\\xff" * 1000, bytes(10**6)]
for value in (-1, 0, 30, 31, 2**31, 2**62):
    for position in range(2, min(30, integers)):
        changed = words.copy()
        changed[position] = value
        programs.append(changed.tobytes() + rest)
shapes = [(), (0,), (1,), (2,), (2, 4), (1, 2, 4), (0, 2, 4), (1, 0, 4), (1, 2, 0), (2, 8), (2, 6), (0, 6), (0, 8)]
random, tried, refused = np.random.default_rng(0), 0, 0

def tensor(usual, dtype="float32"):
    shape = usual if random.random() < 0.6 else shapes[random.integers(len(shapes))]
    return tf.fill(shape, random.choice([0.5, np.nan, np.inf, 1e30])) if dtype == "float32" else tf.fill(shape, True)

for number in range(600):
    data = programs[number % len(programs)] if number % 2 else program
    layers, trained = int(random.choice([0, 0, 1, 2, 2**31 - 1])), bool(random.integers(2))
    weights = [tensor(s) for s in [(), (6, 4), (4, 4), (4,)][: int(random.integers(5))]] if layers else []
    common = dict(
        inputs=tf.cast(tensor((1, 2, 4)), tf.float32),
        mask=tensor((0,), "bool"),
        readouts=tf.cast(tensor((2, 6)), tf.float32),
        dropout=tf.cast(tensor((0,)), tf.float32),
        weights=[tf.cast(w, tf.float32) for w in weights],
        program=data, layers=layers, activation=str(random.choice(["linear", "glu", "gelu"])),
        use_bias=bool(random.integers(2)), trained=trained,
    )
    memory = tf.cast(tensor((2, 8)), tf.float32)
    tried += 1
    try:
        if number % 3:
            library.tfq_qrnn_scan(memory=memory, **common)
        else:
            gradients = dict(
                all_readouts=tensor((1, 2, 6)), all_readouts_gradient=tensor((1, 2, 6)),
                last_readouts_gradient=tensor((2, 6)), last_memory_gradient=tensor((2, 8)),
            )
            gradients = {name: tf.cast(value, tf.float32) for name, value in gradients.items()}
            library.tfq_qrnn_scan_grad(last_memory=memory, **gradients, **common)
    except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError) as error:
        refused += 1
print(tried, refused)
"""


@pytest.mark.slow
def test_the_op_outlives_wrong_tensors_and_garbage_programs():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_BATCH)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    tried, refused = map(int, done.stdout.split())
    assert tried == 600
    assert 200 < refused < 600  # some of it is valid, and runs


def test_sequences_of_another_kind_are_refused():
    layer = tfq_qrnn.QRNN(2, depth=1, controller=())
    with pytest.raises(TypeError, match=r"Argument `sequences` must be real numbers, but its dtype is complex64"):
        layer(np.zeros((1, 2, 3), "complex64"))
    for shape in ("", {"a": 1}, (2, 3), (2, "3", 4)):
        with pytest.raises(ValueError, match=r"Argument `sequences` must have shape \(batch, time, features\), but"):
            tfq_qrnn.QRNN(2).build(shape)
    with pytest.raises(ValueError, match=r"Argument `sequences` must have one time step or more, but its shape is"):
        layer(np.zeros((1, 0, 3), "float32"))
    with pytest.raises(TypeError, match=r"Argument `initial_state` must be real numbers, but its dtype is complex64"):
        layer(np.zeros((1, 2, 3), "float32"), initial_state=[np.zeros((1, 6)), np.zeros((1, 8), "complex64")])


def test_integers_are_numbers():
    layer = tfq_qrnn.QRNN(2, depth=1, controller=())
    np.testing.assert_array_equal(layer(np.ones((1, 2, 3), "int32")), layer(np.ones((1, 2, 3), "float32")))


def test_an_empty_batch_gives_an_empty_batch():
    for cell in (tfq_qrnn.QRNN(2), keras.layers.RNN(tfq_qrnn.QRNNCell(2))):
        assert cell(np.zeros((0, 2, 3), "float32")).shape == (0, 6)


def test_symbols_of_any_name_are_bound_by_index():
    names = ["a b", "1", "θ", "sin", "lambda"]
    qubit = cirq.LineQubit(0)
    circuit = cirq.Circuit(cirq.ry(sympy.Symbol(name))(qubit) for name in names)
    _, readouts = tfq_qrnn.pqc(
        np.zeros((1, 4), "float32"), np.full((1, 5), 0.2, "float32"), tfq_qrnn.GateProgram(circuit, "Z")
    )
    np.testing.assert_allclose(readouts, [[np.cos(1.0)]], atol=1e-6)  # float32
