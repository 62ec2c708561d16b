"""Models for those who have TensorFlow and nothing of this package."""

import contextlib
import os
import pathlib
from typing import Any

import keras

from tfq_qrnn import _files, _keras
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.backends import TFQ, Native, Noisy, TensorFlow
from tfq_qrnn.layers import QRNN, QRNNCell


def export(model: keras.Model, path: str | os.PathLike[str], input_signature: Any = None) -> None:
    """Write a SavedModel that loads and runs with plain TensorFlow, whatever backend the model trained on.

    Every layer is written as it runs on `backends.TensorFlow()`; the model itself stays as it is. The batch size is
    free, and the number of time steps where the model leaves it free (`keras.Input((None, features))`). What `Noisy`
    and `TFQ` add in shots and noise is left out: readouts are expectation values.

    Args:
        model: A built Keras model; its recurrent layers may stand in other models and in wrappers.
        path: A folder. A SavedModel that is there is replaced.
        input_signature: As in `keras.Model.export`, for a model that does not know the shapes of its inputs.

    Raises:
        TypeError: `model` is no Keras model, or `path` no path.
        ValueError: The folder holds something else, or a layer keeps states of the TFQ backend, which are no
            quantum states.

    >>> model = keras.Sequential([keras.Input((None, 3)), tfq_qrnn.QRNN(n_qubits=2), keras.layers.Dense(1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tfq_qrnn.export(model, folder + "/model")
    ...     served = tf.saved_model.load(folder + "/model")
    >>> served.serve(np.ones((4, 7, 3), "float32")).shape
    TensorShape([4, 1])
    """
    if not isinstance(model, keras.Model):
        raise argument_type_error("model", "be a Keras model", model)
    if not isinstance(path, (str, os.PathLike)):
        raise argument_type_error("path", "be a path", path)
    path = pathlib.Path(path)
    if path.exists() and not (path / "saved_model.pb").exists() and not (path.is_dir() and not any(path.iterdir())):
        raise argument_error("path", "be a new folder, or one with a SavedModel", f"{path} is something else")
    arguments = {} if input_signature is None else {"input_signature": input_signature}
    with _files.replacing(path) as partial:
        with _on_tensorflow(model):
            model.export(partial, format="tf_saved_model", verbose=False, **arguments)
        _files.remove(path)  # a folder takes the place of no other that is not empty


@contextlib.contextmanager
def _on_tensorflow(model):
    """Have the layers of a model run on plain TensorFlow ops for a while."""
    layers = _keras.all_layers(model)
    cells = [cell for cell in layers if isinstance(cell, QRNNCell) and isinstance(cell.backend, (Native, Noisy, TFQ))]
    replaying = [cell for cell in cells if isinstance(cell.backend, TFQ)]
    for layer in layers:
        stateful = isinstance(layer, keras.layers.RNN) and layer.stateful
        if stateful and any(cell in replaying for cell in _keras.all_layers(layer)):
            given = f"{layer.name} keeps the angles so far"
            raise argument_error("model", "have no stateful layer on the TFQ backend", given)
    recurrent = [layer for layer in layers if isinstance(layer, QRNN) and layer.cell in cells]
    before = [cell.backend for cell in cells]
    try:
        for cell in cells:
            cell._use_backend(TensorFlow())
        for layer in recurrent:
            layer._make_scans()
        yield
    finally:
        for cell, backend in zip(cells, before, strict=True):
            cell._use_backend(backend)
        for layer in recurrent:
            layer._make_scans()
