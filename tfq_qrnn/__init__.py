"""Hybrid quantum-classical recurrent networks as Keras layers.

>>> layer = keras.layers.RNN(tfq_qrnn.QRNNCell(n_qubits=2))
>>> layer(np.zeros((1, 3, 4), "float32")).shape
TensorShape([1, 6])
"""

# TensorFlow Quantum, cirq_google and qsimcirq, which take seconds, load where they are used.
from tfq_qrnn import backends, hw, layers, plotting
from tfq_qrnn._version import __version__ as __version__
from tfq_qrnn.backends import pqc
from tfq_qrnn.circuits import CircuitAnsatz, HardwareEfficient
from tfq_qrnn.drift import Drift
from tfq_qrnn.exporting import export
from tfq_qrnn.layers import QRNN, Controller, QRNNCell, QuantumAttention
from tfq_qrnn.plotting import MemoryMonitor
from tfq_qrnn.program import GateProgram
from tfq_qrnn.quantum_data import prepare
from tfq_qrnn.tracing import Trace, trace
from tfq_qrnn.training import Checkpoints, distributed

__all__ = [
    "QRNN",
    "Checkpoints",
    "CircuitAnsatz",
    "Controller",
    "Drift",
    "GateProgram",
    "HardwareEfficient",
    "MemoryMonitor",
    "QRNNCell",
    "QuantumAttention",
    "Trace",
    "backends",
    "distributed",
    "export",
    "hw",
    "layers",
    "plotting",
    "pqc",
    "prepare",
    "trace",
]
