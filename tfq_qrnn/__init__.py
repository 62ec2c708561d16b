"""Hybrid quantum-classical recurrent networks as Keras layers.

>>> layer = keras.layers.RNN(tfq_qrnn.QRNNCell(n_qubits=2))
>>> layer(np.zeros((1, 3, 4), "float32")).shape
TensorShape([1, 6])
"""

import importlib

# The layers are imported here so that saved models find them; they are quick. Everything else loads where it is used:
# Cirq takes a second, TensorFlow Quantum several.
from tfq_qrnn import backends, layers
from tfq_qrnn.backends import pqc
from tfq_qrnn.layers import QRNN, QRNNCell, QuantumAttention

__version__ = "0.1.0"

_LAZY = {
    "Checkpoints": "training",
    "CircuitAnsatz": "circuits",
    "GateProgram": "program",
    "HardwareEfficient": "circuits",
    "MemoryMonitor": "plotting",
    "Trace": "tracing",
    "circuits": None,
    "distributed": "training",
    "hw": None,
    "observables": None,
    "plotting": None,
    "prepare": "quantum_data",
    "program": None,
    "trace": "tracing",
    "training": None,
}

__all__ = [
    "QRNN",
    "Checkpoints",
    "CircuitAnsatz",
    "GateProgram",
    "HardwareEfficient",
    "MemoryMonitor",
    "QRNNCell",
    "QuantumAttention",
    "Trace",
    "backends",
    "distributed",
    "hw",
    "layers",
    "plotting",
    "pqc",
    "prepare",
    "trace",
]


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LAZY[name] or name}")
    return getattr(module, name) if _LAZY[name] else module


def __dir__():
    return sorted(set(globals()) | set(_LAZY))
