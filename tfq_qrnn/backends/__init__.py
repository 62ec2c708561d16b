"""The ways to run a GateProgram: `TensorFlow` and `TFQ`, `Noisy` around one that carries the state, and `pqc`, the op that applies one."""

from tfq_qrnn.backends.base import Backend, CarriedBackend
from tfq_qrnn.backends.noisy import Noisy
from tfq_qrnn.backends.op import pqc
from tfq_qrnn.backends.registry import get
from tfq_qrnn.backends.tensorflow import TensorFlow
from tfq_qrnn.backends.tfq import TFQ

__all__ = ["TFQ", "Backend", "CarriedBackend", "Noisy", "TensorFlow", "get", "pqc"]
