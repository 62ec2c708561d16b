"""Names of backends, and their serialized form."""

import functools
import warnings
from typing import Any

import keras
import tensorflow as tf

from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.backends import native
from tfq_qrnn.backends.base import Backend
from tfq_qrnn.backends.tensorflow import TensorFlow
from tfq_qrnn.backends.tfq import TFQ

_BY_NAME = {"native": native.Native, "tensorflow": TensorFlow, "tfq": TFQ}


def get(backend: str | Backend) -> Backend:
    """The backend of a name, or a backend as it is.

    Args:
        backend: A backend, or "native", "tensorflow", "tfq", or "auto": "native" where its op is built and there is
            no GPU, or else "tensorflow".

    Raises:
        ValueError: No backend has this name.
        TypeError: `backend` is neither a name nor a backend.

    >>> tfq_qrnn.backends.get("tensorflow")
    TensorFlow()
    """
    if isinstance(backend, Backend):
        return backend
    rule = f"be a backend or one of {', '.join(map(repr, ('auto', *_BY_NAME)))}"
    if not isinstance(backend, str):
        raise argument_type_error("backend", rule, backend)
    if backend == "auto":
        return _fastest()
    if backend not in _BY_NAME:
        raise argument_error("backend", rule, f"it is {backend!r}")
    return _BY_NAME[backend]()


@functools.cache  # one warning
def _fastest():
    if tf.config.list_physical_devices("GPU"):
        return TensorFlow()  # the native op runs on the CPU only
    if (reason := native.missing()) is None:
        return native.Native()
    warnings.warn(f"tfq_qrnn runs on plain TensorFlow ops, many times slower on a CPU: {reason}.", stacklevel=4)
    return TensorFlow()


def serialize(backend: str | Backend) -> str | dict[str, Any]:
    """What `get_config` holds: a name as it is, a backend as Keras config."""
    return backend if isinstance(backend, str) else keras.saving.serialize_keras_object(backend)


def deserialize(config: str | dict[str, Any]) -> str | Backend:
    return keras.saving.deserialize_keras_object(config) if isinstance(config, dict) else config
