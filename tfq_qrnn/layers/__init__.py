"""Keras layers: `QRNN` with its `QRNNCell` and `Controller`, and `QuantumAttention`."""

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"tfq_qrnn runs on Keras's TensorFlow backend, but Keras runs on {keras.backend.backend()!r}; "
        'set the environment variable KERAS_BACKEND to "tensorflow" before Keras is imported.'
    )

from tfq_qrnn.layers.attention import QuantumAttention
from tfq_qrnn.layers.controller import Controller
from tfq_qrnn.layers.qrnn import QRNN
from tfq_qrnn.layers.qrnn_cell import QRNNCell

__all__ = ["QRNN", "Controller", "QRNNCell", "QuantumAttention"]
