"""The ways to run a GateProgram: `Native`, `TensorFlow`, `TFQ`, and `Noisy` around one of the first two; and `pqc`."""

from tfq_qrnn.backends.base import Backend, CarriedBackend
from tfq_qrnn.backends.native import Native
from tfq_qrnn.backends.noisy import Noisy
from tfq_qrnn.backends.op import pqc
from tfq_qrnn.backends.registry import get
from tfq_qrnn.backends.tensorflow import TensorFlow
from tfq_qrnn.backends.tfq import TFQ

__all__ = ["TFQ", "Backend", "CarriedBackend", "Native", "Noisy", "TensorFlow", "get", "pqc"]
