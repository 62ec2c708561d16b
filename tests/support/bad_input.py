"""Nonsense for every public entry, and what may come of it.

An entry is a hypothesis strategy and a function of what it draws. `outcome` calls it: what comes back is "value",
"refused" for an error of ours or a message of a script, or "refused by Keras" for what is Keras's to check. Anything
else is an `UnrulyError`.
The test draws a few of each; `fuzz/python_entries.py` goes on for as long as it is told.
"""

import contextlib
import functools
import json
import pathlib
import shutil
import tempfile
import traceback
import zipfile

import cirq
import keras
import numpy as np
import sympy
import tensorflow as tf
from hypothesis import strategies as st
from random_circuits import random_circuit

import tfq_qrnn
from tfq_qrnn import backends, hw
from tfq_qrnn.backends import native

keras.config.disable_traceback_filtering()  # the frames tell whose an error is


class UnrulyError(Exception):
    """Neither a value nor an error that says which argument is wrong."""


# Errors whose innermost frame is not ours and that may pass, each for what it is about:
# Keras checks its own arguments (name, dtype, initializers, regularizers, ...), the rank of what a layer is called with
# (`input_spec`), and turns call arguments into tensors; TensorFlow refuses to make a tensor of objects, text or ragged
# lists. All of them before any of our code has used the value.
_KERAS = ("/keras/", "/tensorflow/", "/ml_dtypes/", "/optree/")
_KERAS_ERRORS = (ValueError, TypeError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, AttributeError)
_KERAS_ERRORS += (RuntimeError, IndexError)  # a repr in a message of Keras; ranks that its own layers do not check


def printed(value):
    try:
        return f"{value!r:.1000}"
    except Exception:  # some of what is drawn has no repr, which is the point of it
        return "(not printable)"


def outcome(function, value):
    try:
        function(value)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError) as error:
        message = getattr(error, "message", None) or str(error)
        if "Argument `" in message[:200] or "Attribute `program` must" in message:
            return "refused"
        if _is_kerass(error):
            return "refused by Keras"
        raise UnrulyError(f"{printed(value)}\n{traceback.format_exc(limit=-6)}") from error
    except UnrulyError:
        raise
    except ImportError as error:
        if not str(error).endswith('is not installed: pip install "tfq_qrnn[tfq]"'):
            raise UnrulyError(f"{printed(value)}\n{traceback.format_exc(limit=-6)}") from error
        return "refused"
    except SystemExit as error:  # how a script of the examples ends: with a message
        require(isinstance(error.code, str) and error.code, f"{printed(value)}\nit ended with {error.code!r}")
        return "refused"
    except Exception as error:
        if _is_kerass(error):
            return "refused by Keras"
        raise UnrulyError(f"{printed(value)}\n{traceback.format_exc(limit=-6)}") from error
    return "value"


# By their words, where Keras leaves out its own frames: the checks of keras.layers.Attention, and an op of TensorFlow
# that refuses a dtype or a shape while a layer is called.
_WORDS = ("layer must be called on a list of inputs", "layer accepts inputs list of length", "[Op:", "{{function_node")


def _is_kerass(error):
    if any(words in str(error) for words in _WORDS):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    ours = [i for i, frame in enumerate(frames) if "/tfq_qrnn/" in frame.filename]
    after = frames[ours[-1] + 1 :] if ours else frames
    return isinstance(error, _KERAS_ERRORS) and any(part in frame.filename for frame in after for part in _KERAS)


def require(condition, message):
    if not condition:
        raise UnrulyError(message)


# ---- what is drawn


class Odd:
    """An object that nothing takes, with a repr that fails."""

    def __repr__(self):
        raise RuntimeError("no repr")


NUMBERS = (0, 1, 2, 3, -1, 7, 40, 64, 10**9, 10**12, 2**63, 10**400, 10**5000, 0.5, -0.0, 1e308, 1e-320)
NUMBERS += (float("nan"), float("inf"), -float("inf"), True, 1j, np.int64(2), np.float32("nan"), np.uint8(255))
THINGS = (None, "", "2", "auto", "XYZ", "relu", "../x", "\0", "Ω" * 1000, b"\xff", (), [], {}, {"a": 1}, {1, 2})
THINGS += ((1, 2), [None], [[1.0], [1.0, 2.0]], np.zeros(3), np.zeros((2, 2)), np.array(["a"]), np.array(None), object)
THINGS += (sympy.Symbol("a"), cirq.LineQubit(0), cirq.X, cirq.Circuit(), lambda x: x, range(3), Odd(), Ellipsis)
anything = st.sampled_from([*NUMBERS, *THINGS])


def some(*good):
    """Mostly what is right, so that the rest of a call is reached, and now and then anything."""
    return st.one_of(st.sampled_from(good), st.sampled_from(good), st.sampled_from(good), anything)


def arguments(**strategies):
    """A dict with some of these arguments."""
    return st.fixed_dictionaries({}, optional=strategies)


@functools.cache
def _circuits():
    q = cirq.LineQubit.range(3)
    a, b = sympy.symbols("a b")
    return (
        *(random_circuit(2, 6, seed) for seed in range(8)),
        cirq.Circuit(cirq.rx(a)(q[0]), cirq.rx(b)(q[1])),
        cirq.Circuit(cirq.rx(a * b)(q[0])),
        cirq.Circuit(cirq.rx(sympy.sin(a))(q[0])),
        cirq.Circuit(cirq.X(q[0]) ** (a + 1j)),
        cirq.Circuit(cirq.X(q[0]) ** (a / 0.0 if False else sympy.zoo * a)),
        cirq.Circuit(cirq.X(q[0]) ** float("nan")),
        cirq.Circuit(cirq.X(q[0]) ** sympy.Symbol("")),
        cirq.Circuit(cirq.rx(1e300 * a)(q[0]), cirq.rx(1e-300 * a)(q[0])),
        cirq.Circuit(cirq.measure(q[0]), cirq.X(q[0])),
        cirq.Circuit(cirq.depolarize(0.1)(q[0])),
        cirq.Circuit(cirq.ResetChannel()(q[0])),
        cirq.Circuit(cirq.X(q[0]).with_classical_controls("m")),
        cirq.Circuit(
            cirq.CircuitOperation(cirq.FrozenCircuit(cirq.X(q[0])), repetitions=1000, use_repetition_ids=False)
        ),
        cirq.Circuit(cirq.MatrixGate(np.eye(4))(*q[:2])),
        cirq.Circuit(cirq.QubitPermutationGate([1, 0])(*q[:2])),
        cirq.Circuit(cirq.IdentityGate(2)(*q[:2])),
        cirq.Circuit(cirq.X(cirq.LineQid(0, 3)) if False else cirq.IdentityGate(qid_shape=(3,))(cirq.LineQid(0, 3))),
        cirq.Circuit(cirq.global_phase_operation(1j)),
        cirq.Circuit(cirq.CCX(*q), cirq.rx(a)(q[1]).controlled_by(q[0], q[2], control_values=[0, (0, 1)])),
        cirq.Circuit(cirq.X(cirq.NamedQubit("q")), cirq.Y(cirq.GridQubit(0, 0)), cirq.Z(q[0])),
        cirq.Circuit(cirq.X(q[0]).with_tags("a", 1, Ellipsis)),
        cirq.FrozenCircuit(cirq.Y(q[0]) ** a),
        cirq.Circuit(cirq.X.on_each(*cirq.LineQubit.range(60))),
    )


@functools.cache
def _observables():
    a, b = cirq.LineQubit.range(2)
    return (
        *("X", "YZ", "XX", "x", "XYZ" * 1000),
        [cirq.Z(a), cirq.X(a) * cirq.Y(b)],
        [cirq.Z(a) * 1j],
        [float("nan") * cirq.Z(a)],
        [cirq.PauliSum()],
        [cirq.PauliString(coefficient=2.0)],
        [cirq.Z(cirq.LineQubit(9))],
        cirq.Z(a) * cirq.Z(b),
        [cirq.Z(a) ** sympy.Symbol("t")],
        [cirq.H(a)],
    )


circuit = st.deferred(lambda: some(*_circuits()))
observable = st.deferred(lambda: some(*_observables()))
rates = some(0.0, 0.1, 1.0, -0.1)
sizes = some(1, 2, 3)
names = some(
    "ry", "rz", "cz", "cnot", "ring", "chain", "full", "native", "tensorflow", "tfq", "auto", "additive", "dot"
)
backend = st.one_of(
    some("native", "tensorflow", "auto", "tfq"),
    st.builds(lambda: backends.Noisy(10, 0.1)),
    st.builds(lambda: backends.TFQ(max_timesteps=4)),
)
initializer = some("zeros", "glorot_uniform", keras.initializers.Constant(0.1), keras.initializers.Constant(np.nan))
regularizer = some(None, "l2", keras.regularizers.L2(0.1))
widths = st.one_of(anything, st.lists(sizes, max_size=3), st.tuples(sizes), st.just((10**12,)))
CONTROLLER = {
    "hidden_units": widths,
    "activation": some("gelu", "tanh", "glu", None, keras.layers.PReLU()),
    "use_bias": some(True, False),
    "angle_scale": st.one_of(some("auto", 0.1, 1.0), st.lists(some(0.1, 1.0), max_size=9)),
    "trainable_angle_scale": some(True, False),
    "feedback_gain": some(0.1, 0, 1),
    "initial_rotation": some(0.1, 0, None),
    "kernel_initializer": initializer,
    "bias_initializer": initializer,
    "kernel_regularizer": regularizer,
    "bias_constraint": some(None, "non_neg"),
}


def _dense(units=8):
    return keras.layers.Dense(units, kernel_initializer="zeros")


# Each draw makes its own, for layers have state. They start at zeros: a draw may take no random numbers of its own.
networks = st.one_of(
    st.builds(
        lambda units: tfq_qrnn.Controller(units, kernel_initializer="zeros"), st.sampled_from([(), (2,), (3, 2)])
    ),
    st.builds(lambda units: _dense(units), st.sampled_from([1, 8])),
    st.builds(lambda: keras.Sequential([keras.layers.Dropout(0.5, seed=1), _dense()])),
    st.builds(lambda: keras.Sequential([keras.layers.BatchNormalization(), _dense()])),
    st.builds(lambda: keras.layers.LSTM(8, kernel_initializer="zeros", recurrent_initializer="zeros", seed=1)),
)
CELL = {
    "depth": sizes,
    "circuit": st.one_of(st.none(), circuit),
    "observables": observable,
    "controller": st.one_of(widths, networks),
    "trainable_circuit": st.one_of(st.none(), circuit),
    "circuit_initializer": initializer,
    "dropout": rates,
    "recurrent_dropout": rates,
    "seed": some(None, 0, 1),
    "backend": backend,
    "dtype": some("float32", "float64", "float16", "mixed_float16", "int8"),
    "name": some("layer", None),
}
LAYER = {
    **CELL,
    **dict.fromkeys(
        ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask"),
        some(True, False),
    ),
    "activity_regularizer": regularizer,
    "color": st.just("blue"),
}

floats = st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.0, 1e4, 1e30, np.nan, np.inf])
dtypes = st.sampled_from(["float32", "float32", "float32", "float64", "float16", "int32", "complex64", "bool", "<U3"])


@st.composite
def arrays(draw, *usual):
    """An array mostly of a usual shape, of some dtype, with a few odd numbers in it."""
    shape = draw(st.one_of(*[st.just(s) for s in usual] * 2, st.lists(st.sampled_from([0, 1, 2, 3, 8]), max_size=4)))
    array = np.full(tuple(shape), 0.3)
    if array.size and draw(st.booleans()):
        array.flat[draw(st.integers(0, array.size - 1))] = draw(floats)
    with np.errstate(all="ignore"):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return array.astype(draw(dtypes))


def array_or_thing(*usual):
    return st.one_of(arrays(*usual), arrays(*usual), arrays(*usual), anything)


# ---- the entries


def finite(*values):
    return all(np.all(np.isfinite(np.asarray(value))) for value in values)


def _pqc(value):
    memory, angles, program, name = value
    new_memory, readouts = tfq_qrnn.pqc(memory, angles, program, name)
    if not isinstance(memory, np.ndarray) or not isinstance(angles, np.ndarray):
        return
    new_memory, readouts = new_memory.numpy(), readouts.numpy()
    small = np.abs(memory).max(initial=0) < 1e4
    if finite(memory, angles) and small:
        require(finite(new_memory, readouts), f"NaN out of finite numbers: {printed(value)}")
    for row in range(len(memory)):
        if not finite(memory[row], angles[row]):
            require(not finite(new_memory[row]), f"a finite memory out of NaN: {printed(value)}")
            require(not finite(readouts[row]), f"finite readouts out of NaN: {printed(value)}")


@functools.cache
def _program():
    return tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(2, 1))  # 4 angles, memories of 8


@functools.cache
def _layers():
    keras.utils.set_random_seed(0)
    made = {}
    for name in ("native", "tensorflow"):
        for sequences in (True, False):
            layer = tfq_qrnn.QRNN(2, depth=1, controller=(2,), backend=name, return_sequences=sequences)
            layer.build((None, None, 3))
            made[name, sequences] = layer
    made["cell", True] = keras.layers.RNN(tfq_qrnn.QRNNCell(2, depth=1, controller=(2,)), return_sequences=True)
    made["cell", True].build((None, None, 3))
    return made


def _call_layer(value):
    key, x, state, mask = value
    layer = _layers()[key]
    outputs = layer(x, initial_state=state, mask=mask).numpy()
    if state is None and mask is None and isinstance(x, np.ndarray) and x.dtype.kind == "f":
        rows = np.isfinite(x).all(axis=(1, 2)) & (np.abs(x) < 1e20).all(axis=(1, 2))
        require(finite(outputs[rows]), f"NaN out of finite numbers: {printed(value)}")
        require(not any(map(finite, outputs[~np.isfinite(x).all(axis=(1, 2))])), f"finite out of NaN: {printed(value)}")


def _call_attention(value):
    score, inputs, mask = value
    tfq_qrnn.QuantumAttention(score)(inputs, mask=mask)


def _trace(value):
    key, x, state, index = value
    seen = tfq_qrnn.trace(_layers()[key] if isinstance(key, tuple) and key in _layers() else key, x, state)
    seen.circuit(index)
    tfq_qrnn.plotting.bloch_vectors(seen, index)
    import matplotlib.pyplot as plt

    plt.close("all")


def _cell_from(value):
    cell = tfq_qrnn.QRNNCell(**value)
    json.dumps(cell.get_config())


def _controller_from(value):
    controller = tfq_qrnn.Controller(**value)
    json.dumps(controller.get_config())
    controller.build_for(2, 6, 8)
    require(np.shape(controller(np.zeros((1, 8), "float32"))) == (1, 8), "another number of angles")


def _layer_from(value):
    layer = tfq_qrnn.QRNN(**value)
    json.dumps(layer.get_config())
    if layer.cell.n_qubits < 4:
        layer.build((None, None, 2))


def _hardware_efficient(value):
    ansatz = tfq_qrnn.HardwareEfficient(**value)
    require(tfq_qrnn.circuits.Ansatz.from_json(ansatz.to_json()) == ansatz, "another one came back")


def _circuit_ansatz(value):
    ansatz = tfq_qrnn.CircuitAnsatz(*value)
    tfq_qrnn.GateProgram(ansatz)
    again = tfq_qrnn.circuits.Ansatz.from_json(ansatz.to_json())
    require(again.names == ansatz.names, "another one came back")


def _native_op(value):
    changes, inputs, readouts, memory = value
    data = bytearray(native._attributes(_program())["program"])
    for position, byte in changes:
        data[position % len(data)] = byte
    inputs, readouts, memory = map(tf.convert_to_tensor, (inputs, readouts, memory))
    native._library().tfq_qrnn_scan(
        inputs=inputs,
        mask=tf.zeros((0,), tf.bool),
        readouts=readouts,
        memory=memory,
        dropout=tf.zeros((0,)),
        weights=[],
        program=bytes(data),
        layers=0,
        activation="linear",
        use_bias=False,
        trained=False,
    )


@functools.cache
def _circuit_json():
    return tuple(tfq_qrnn.CircuitAnsatz(random_circuit(2, 5, seed)).to_json() for seed in range(4))


mutations = st.lists(
    st.tuples(
        st.integers(0, 10**6), st.sampled_from(["", '"', "{", "]", "9", "e9", "-", "null", "sympy.Pow", "\0", "[1]"])
    ),
    min_size=1,
    max_size=4,
)


def mutated(text, changes):
    for position, new in changes:
        at = position % (len(text) + 1)
        text = text[:at] + new + text[at + len(new) % 3 :]
    return text


@st.composite
def json_changes(draw):
    """A path into a JSON value, and what to put there."""
    new = st.sampled_from(
        [None, 0, -1, 10**12, 10**400, 0.5, "", "../x", "Pow", [], {}, [[]], {"cirq_type": "sympy.Pow"}]
    )
    return draw(st.lists(st.integers(0, 50), min_size=1, max_size=6)), draw(new)


def change_json(value, change):
    """Put something else at the place that the path leads to."""
    path, new = change
    here = value
    for step, index in enumerate(path):
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = keys[index % len(keys)]
        if step + 1 == len(path) or not isinstance(here[key], (dict, list)):
            here[key] = new
            return
        here = here[key]


def _ansatz_json(value):
    number, changes, structural = value
    text = _circuit_json()[number]
    if structural:
        data = json.loads(text)
        inner = json.loads(data["config"]["circuit"])
        change_json(inner, structural)
        data["config"]["circuit"] = json.dumps(inner)
        text = json.dumps(data)
    tfq_qrnn.circuits.Ansatz.from_json(mutated(text, changes) if changes else text)


_FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="bad_input"))


@functools.cache
def _exported():
    layer = tfq_qrnn.QRNN(2, depth=1, controller=(2,))
    layer.build((None, None, 3))
    return hw.export(layer, _FOLDER / "export", "weber", 2)


def _load_export(value):
    from tfq_qrnn._files import digest
    from tfq_qrnn.hw.export import _manifest_digest

    name, change, hashed = value
    folder = _FOLDER / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_exported(), folder)
    content = json.loads((folder / name).read_text())
    change_json(content, change)
    (folder / name).write_text(json.dumps(content))
    if hashed:
        manifest = content if name == "manifest.json" else json.loads((folder / "manifest.json").read_text())
        if isinstance(manifest, dict):
            if name != "manifest.json":
                manifest["files"][name] = digest((folder / name).read_bytes())
            manifest["sha256"] = _manifest_digest(manifest)
            (folder / "manifest.json").write_text(json.dumps(manifest))
    loaded = hw.load(folder)
    loaded.resolve(np.zeros((1, len(loaded.manifest["angles"]))))


@functools.cache
def _journal():
    from tfq_qrnn.hw.journal import Journal

    path, jobs = _FOLDER / "journal", [{"step": step} for step in range(3)]
    with Journal(path, {"what": "test", "numbers": [1, 2]}, jobs) as book:
        for job in jobs:
            book.keep(job, np.eye(2, 3, dtype=np.uint8), np.ones(4), book.announce(job))
    return path.read_text()


def _read_journal(value):
    from tfq_qrnn.hw.journal import Journal, _line

    changes, structural = value
    text = _journal()
    if structural:
        lines = [json.loads(line)["record"] for line in text.splitlines()]
        change_json(lines, structural)
        text = b"".join(map(_line, lines)).decode()
    path = _FOLDER / "changed_journal"
    path.write_text(mutated(text, changes) if changes else text)
    jobs = [{"step": step} for step in range(3)]
    with Journal(path, {"what": "test", "numbers": [1, 2]}, jobs) as book:
        for job in jobs:
            bits = book.find(job, (2, 3), np.ones(4))
            require(bits is None or (bits.shape == (2, 3) and set(np.unique(bits)) <= {0, 1}), "shots of another shape")


@functools.cache
def _keras_file():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((2, 3)),
            tfq_qrnn.QRNN(2, circuit=random_circuit(2, 5, 1), observables=[cirq.Z(cirq.LineQubit(0))], controller=()),
        ]
    )
    model.save(_FOLDER / "model.keras")
    with zipfile.ZipFile(_FOLDER / "model.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _load_keras(value):
    contents = dict(_keras_file())
    config = json.loads(contents["config.json"])
    change_json(config["config"]["layers"][1], value)
    contents["config.json"] = json.dumps(config).encode()
    path = _FOLDER / "changed.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    keras.saving.load_model(path)


def _device_file(value):
    text = (pathlib.Path(__file__).parents[1] / "data" / "willow_pink.proto.txt").read_text()[:3000]
    path = _FOLDER / f"device{value[1]}"
    path.write_text(mutated(text, value[0]))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hw.load_device(path)


@functools.cache
def _hw_layer():
    return _layers()["native", True]


def _hw_run(value):
    sampler = value.pop("sampler")
    x = value.pop("x")
    with contextlib.suppress(OSError):
        (_FOLDER / "run").unlink()
    hw.run(_hw_layer(), x, sampler, progress=False, **value)


def _quiet(function):
    """Without what Cirq and Google's packages warn of."""

    def call(value):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(value)

    return call


_X = ((2, 3, 3), (1, 1, 3))
_STATE = st.one_of(st.none(), st.none(), st.tuples(array_or_thing((2, 6)), array_or_thing((2, 8))).map(list), anything)
_shots = some(1, 5)
# name -> (strategy, function)
ENTRIES = {
    "QRNNCell": (arguments(**CELL).map(lambda a: {"n_qubits": 2, **a}), _cell_from),
    "QRNNCell n_qubits": (sizes.map(lambda n: {"n_qubits": n}), _cell_from),
    "Controller": (arguments(**CONTROLLER), _controller_from),
    "QRNN": (arguments(**LAYER).map(lambda a: {"n_qubits": 2, **a}), _layer_from),
    "QuantumAttention": (
        arguments(score=names, units=sizes, dropout=rates, seed=some(None, 1), name=some("a")),
        lambda a: tfq_qrnn.QuantumAttention(**a),
    ),
    "HardwareEfficient": (
        st.fixed_dictionaries(
            {"n_qubits": sizes},
            optional={
                "depth": sizes,
                "rotations": st.one_of(anything, st.lists(names, max_size=3), st.just(("ry", "rz"))),
                "entangler": names,
                "topology": names,
            },
        ),
        _hardware_efficient,
    ),
    "CircuitAnsatz": (st.tuples(circuit, st.one_of(st.none(), anything, st.lists(some("a", "b")))), _circuit_ansatz),
    "GateProgram": (
        st.tuples(circuit, observable, st.one_of(st.none(), st.lists(some("a", "b")))),
        lambda v: tfq_qrnn.GateProgram(v[0], v[1], v[2]),
    ),
    "GateProgram.resolve": (array_or_thing((4,)), lambda v: _program().resolve(v)),
    "Ansatz.from_json": (
        st.tuples(st.integers(0, 3), st.one_of(st.none(), mutations), st.one_of(st.none(), json_changes())),
        _ansatz_json,
    ),
    "backends.get": (some("native", "tensorflow", "auto", "tfq"), backends.get),
    "backends.TFQ": (
        arguments(
            repetitions=some(1, 10),
            noise=some(cirq.depolarize(0.1), cirq.bit_flip(0.1), cirq.depolarize(0.1, n_qubits=2), cirq.H),
            differentiator=some("adjoint", "parameter_shift"),
            max_timesteps=sizes,
        ),
        lambda a: backends.TFQ(**a),
    ),
    "backends.Noisy": (
        arguments(
            repetitions=some(1, 10),
            pauli_error=st.one_of(rates, st.tuples(rates, rates, rates)),
            backend=names,
        ),
        lambda a: backends.Noisy(**a),
    ),
    "pqc": (
        st.tuples(
            array_or_thing((2, 8)),
            array_or_thing((2, 4)),
            st.one_of(st.builds(_program), st.builds(_program), anything),
            some("native", "tensorflow"),
        ),
        _pqc,
    ),
    "layer call": (
        st.tuples(
            st.sampled_from([("native", True), ("native", False), ("tensorflow", True), ("cell", True)]),
            array_or_thing(*_X),
            _STATE,
            st.one_of(st.none(), st.none(), array_or_thing((2, 3))),
        ),
        _call_layer,
    ),
    "QuantumAttention call": (
        st.tuples(
            st.sampled_from(["additive", "dot", "overlap"]),
            st.one_of(anything, st.lists(array_or_thing((2, 3, 6)), min_size=1, max_size=4)),
            st.one_of(st.none(), anything, st.lists(array_or_thing((2, 3)), min_size=1, max_size=3)),
        ),
        _call_attention,
    ),
    "prepare": (
        st.tuples(st.one_of(anything, arrays((2,)), st.just([b"", b"\xff\xff"])), sizes),
        lambda v: tfq_qrnn.prepare(*v),
    ),
    "trace and plotting": (
        st.tuples(st.one_of(st.just(("native", True)), anything), array_or_thing(*_X), _STATE, some(0, 1, -1)),
        _trace,
    ),
    "native op": (
        st.tuples(
            st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=3),
            array_or_thing((1, 2, 4)),
            array_or_thing((2, 6)),
            array_or_thing((2, 8)),
        ),
        _native_op,
    ),
    "hw.load": (
        st.tuples(
            st.sampled_from(["manifest.json", "weights.json", "step_0001.json", "step_0002.json"]),
            json_changes(),
            st.sampled_from([True, True, True, False]),
        ),
        _quiet(_load_export),
    ),
    "hw journal": (st.tuples(st.one_of(st.none(), mutations), st.one_of(st.none(), json_changes())), _read_journal),
    "hw.load_device": (
        st.tuples(mutations, st.sampled_from([".txt", ".pb"])),
        _device_file,
    ),
    "hw.load_device, hw.load_calibration": (
        some("nowhere", "/dev/zero", str(pathlib.Path(__file__).parent), "/dev/null", pathlib.Path(__file__)),
        _quiet(lambda v: (contextlib.suppress(ValueError).__enter__(), hw.load_calibration(v), hw.load_device(v))),
    ),
    "hw.place_ring": (st.tuples(some("rainbow", None), sizes), _quiet(lambda v: hw.place_ring(*v))),
    "hw.export": (
        st.fixed_dictionaries(
            {"device": some("rainbow"), "n_timesteps": sizes, "path": some(_FOLDER / "new")},
            optional={"qubits": some(None, cirq.GridQubit.rect(1, 2)), "calibration": some(None)},
        ),
        _quiet(lambda a: (shutil.rmtree(_FOLDER / "new", ignore_errors=True), hw.export(_hw_layer(), **a))),
    ),
    "hw.run": (
        st.fixed_dictionaries(
            {
                "x": array_or_thing(*_X),
                "sampler": st.one_of(st.builds(lambda: hw.sampler("simulator", seed=0)), anything),
                "repetitions": _shots,
            },
            optional={
                "device": some(None),
                "qubits": some(None, cirq.LineQubit.range(2)),
                "journal": some(None, _FOLDER / "run"),
                "mitigate_readout": some(True, False),
                "calibration_repetitions": _shots,
                "mitigation": some(None, hw.Mitigation(decouple=True, gauges=2)),
                "points_per_job": some(None, 4),
                "confirm": some(True, False),
            },
        ),
        _quiet(_hw_run),
    ),
    "hw.cost": (
        st.fixed_dictionaries(
            {"n_timesteps": sizes, "repetitions": _shots},
            optional={
                "batch_size": sizes,
                "device": some(None, "rainbow"),
                "qubits": some(None, cirq.LineQubit.range(2)),
                "calibration": some(None),
                "mitigate_readout": some(True, False),
                "points_per_job": some(None, 4),
                "seconds_per_job": some(1.0),
            },
        ),
        _quiet(lambda a: str(hw.cost(_hw_layer(), **a))),
    ),
    "hw.sampler": (
        st.fixed_dictionaries(
            {"kind": some("simulator", "virtual", "noisy", "engine")},
            optional={
                "device": some(None, "rainbow"),
                "calibration": some(None),
                "seed": some(None, 1),
                "simulator": some("density_matrix"),
                "project_id": some(None),
            },
        ),
        _quiet(lambda a: hw.sampler(**a)),
    ),
    "hw.weak_readout": (
        st.tuples(some("X", "Z"), some(*cirq.LineQubit.range(2)), some(*cirq.LineQubit.range(2)), some(0.3), some("k")),
        lambda v: hw.weak_readout(*v),
    ),
    "hw.run_with_ancillas": (
        st.fixed_dictionaries(
            {"x": array_or_thing((2, 2, 3)), "strength": some(0.3), "repetitions": _shots},
            optional={"seed": some(0), "device": some(None), "qubits": some(None)},
        ),
        _quiet(lambda a: hw.run_with_ancillas(_hw_layer(), **a)),
    ),
    "hw.compile_program": (
        st.tuples(st.one_of(st.builds(_program), anything), some(None), some(None, cirq.LineQubit.range(2))),
        _quiet(lambda v: hw.compile_program(*v)),
    ),
    "load_model": (json_changes(), _load_keras),
}
