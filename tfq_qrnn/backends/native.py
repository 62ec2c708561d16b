"""The C++ backend: a TensorFlow op for the CPU that runs one step, or a whole sequence with its controller.

The op is built from native/*.cc when the package is installed, where TensorFlow and a C++ compiler are there. A
SavedModel that holds it needs the library before it is loaded: `tfq_qrnn.backends.Native()` loads it.
"""

import ctypes
import dataclasses
import functools
import importlib.metadata
import pathlib
import shlex
import sys
from collections.abc import Callable

import keras
import tensorflow as tf

from tfq_qrnn._errors import argument_error
from tfq_qrnn._version import __version__
from tfq_qrnn.backends.base import CarriedBackend
from tfq_qrnn.backends.native_encoding import encode_program
from tfq_qrnn.program import GateProgram

_ROOT = pathlib.Path(__file__).parents[2]

_ACTIVATIONS = {
    getattr(keras.activations, name): name
    for name in ("linear", "relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "softplus", "glu")
}


@keras.saving.register_keras_serializable(package="tfq_qrnn")
@dataclasses.dataclass(frozen=True)
class Native(CarriedBackend):
    """C++ on the CPU, vectorised over samples, with threads of TensorFlow's own pool; float32 and float64.

    Not for XLA: with `jit_compile=True` Keras warns and runs the layer without it.

    Raises:
        ValueError: The op is not built, or built for another TensorFlow; the message says how to build it.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2, backend=tfq_qrnn.backends.Native())
    >>> layer(np.ones((1, 3, 4), "float32")).shape
    TensorShape([1, 6])
    """

    def __post_init__(self) -> None:
        _library()

    @property
    def supports_jit(self) -> bool:
        return False

    def forward(
        self, program: GateProgram, memory: tf.Tensor, angles: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        readouts, _, memory = _library().tfq_qrnn_scan(
            inputs=angles[None],
            mask=_no_mask(),
            readouts=_no_readouts(program, memory),
            memory=memory,
            dropout=tf.zeros((0,), memory.dtype),
            weights=[],
            **_attributes(program),
        )
        return memory, readouts[0]

    def undo(
        self,
        program: GateProgram,
        memory: tf.Tensor,
        angles: tf.Tensor,
        memory_gradient: tf.Tensor,
        readouts_gradient: tf.Tensor,
        noise: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        readouts = _no_readouts(program, memory)
        angles_gradient, _, memory, memory_gradient, _ = _library().tfq_qrnn_scan_grad(
            inputs=angles[None],
            mask=_no_mask(),
            readouts=readouts,
            dropout=tf.zeros((0,), memory.dtype),
            all_readouts=readouts[None],
            last_memory=memory,
            all_readouts_gradient=readouts_gradient[None],
            last_readouts_gradient=readouts,
            last_memory_gradient=memory_gradient,
            weights=[],
            **_attributes(program),
        )
        return memory, memory_gradient, angles_gradient[0]

    def sequence(
        self, program: GateProgram, n_layers: int, activation: Callable, use_bias: bool, trained: bool
    ) -> Callable | None:
        activation = _activation_name(activation)
        if n_layers > 1 and activation is None:
            return None
        attributes = _attributes(program, n_layers, activation or "linear", use_bias, trained)

        def run(inputs, mask, readouts, memory, *weights):
            *weights, dropout = weights
            return _library().tfq_qrnn_scan(
                inputs=inputs,
                mask=_no_mask() if mask is None else mask,
                readouts=readouts,
                memory=memory,
                dropout=dropout if dropout.shape.rank == 2 else tf.zeros((0,), memory.dtype),
                weights=weights,
                **attributes,
            )

        return run

    def __str__(self) -> str:
        return f"Native: C++ on the CPU ({cpu_name()})"


def _no_mask():
    return tf.zeros((0,), tf.bool)


def _no_readouts(program, memory):
    return tf.zeros((tf.shape(memory)[0], program.n_observables), memory.dtype)


def _attributes(program, layers=0, activation="linear", use_bias=False, trained=False):
    return {
        "program": encode_program(program),
        "layers": layers,
        "activation": activation,
        "use_bias": use_bias,
        "trained": trained,
    }


def _activation_name(activation):
    """The op's name of a Keras activation; None for one that it does not have."""
    if isinstance(activation, functools.partial):
        plain = activation.func is keras.activations.gelu and not activation.args
        return {(("approximate", True),): "gelu_tanh", (("approximate", False),): "gelu"}.get(
            tuple(activation.keywords.items()) if plain else None
        )
    try:
        return _ACTIVATIONS.get(activation)
    except TypeError:  # a callable without a hash
        return None


def missing() -> str | None:
    """Why the op is not there, as the clause "but ..." of a message; None where it is."""
    libraries = _libraries()
    if not libraries:
        return f"the native op is not built; {_how_to_build()}"
    if library_path().name not in libraries:
        built = ", ".join(sorted(name.removeprefix("_native_ops.tf-").removesuffix(".so") for name in libraries))
        return f"the native op was built for TensorFlow {built} and this is {tf.__version__}; {_how_to_build()}"
    try:
        _load()
    except (OSError, tf.errors.OpError) as error:
        return f"the native op cannot be loaded ({str(error).splitlines()[0]}); {_how_to_build()}"
    return None


def _libraries():
    """Name -> path of the op's libraries: those of an installed package of this version, and those beside this file.

    Python that is started within a clone imports its source, beside which pip leaves no library.
    """
    found = {}
    for distribution in importlib.metadata.distributions(name="tfq_qrnn"):
        if distribution.version == __version__:
            files = [pathlib.Path(distribution.locate_file(file)) for file in distribution.files or ()]
            found |= {path.name: path for path in files if path.match("_native_ops.tf-*.so") and path.is_file()}
    return found | {path.name: path for path in pathlib.Path(__file__).parent.glob("_native_ops.tf-*.so")}


def _how_to_build():
    python, source = shlex.quote(sys.executable), shlex.quote(str(_ROOT))
    has_source = (_ROOT / "setup.py").exists()
    where, source = ("", source) if has_source else (", in a clone of the package's source,", ".")
    pip = f"{python} -m pip install"
    line = f'{pip} "setuptools>=77.0.3" && {pip} --no-build-isolation --force-reinstall --no-deps {source}'
    return f"this line{where} builds it: {line}"


def cpu_name() -> str:
    """The instruction set that the op uses: "avx512", "avx2" or "baseline"."""
    _library()
    function = ctypes.CDLL(str(library_path())).tfq_qrnn_cpu_name
    function.restype = ctypes.c_char_p
    return function().decode()


def library_path() -> pathlib.Path:
    """Where the op's library is: all that a process needs which serves a SavedModel, `tf.load_op_library(path)`."""
    minor = ".".join(tf.__version__.split(".")[:2])  # patch releases share a library
    name = f"_native_ops.tf-{minor}.so"
    return _libraries().get(name, pathlib.Path(__file__).with_name(name))


@functools.cache
def _library():
    if (reason := missing()) is not None:
        raise argument_error("backend", "be one that is there", reason)
    return _load()


@functools.cache
def _load():
    return tf.load_op_library(str(library_path()))


@tf.RegisterGradient("TfqQrnnScanGrad")
def _no_second_gradient(op, *gradients):
    raise argument_error(
        "backend", "be backends.TensorFlow() for second derivatives", "it is Native(), whose op has the first ones only"
    )


@tf.RegisterGradient("TfqQrnnScan")
def _scan_gradient(op, all_gradient, readouts_gradient, memory_gradient):
    inputs, mask, readouts, _, dropout, *weights = op.inputs
    all_readouts, _, last_memory = op.outputs
    inputs_gradient, readouts_gradient, _, memory_gradient, weights_gradient = _library().tfq_qrnn_scan_grad(
        inputs=inputs,
        mask=mask,
        readouts=readouts,
        dropout=dropout,
        all_readouts=all_readouts,
        last_memory=last_memory,
        all_readouts_gradient=all_gradient,
        last_readouts_gradient=readouts_gradient,
        last_memory_gradient=memory_gradient,
        weights=weights,
        **{name: op.get_attr(name) for name in ("program", "layers", "activation", "use_bias", "trained")},
    )
    return [inputs_gradient, None, readouts_gradient, memory_gradient, None, *weights_gradient]
