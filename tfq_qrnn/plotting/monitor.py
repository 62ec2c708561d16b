"""The memory in TensorBoard, while a model trains."""

import os
import pathlib

import keras
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfq_qrnn._checks import check_bool, check_int
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.layers.in_models import find_layer, find_layers, is_recurrent
from tfq_qrnn.plotting.axes import grid
from tfq_qrnn.plotting.traces import bloch_vectors, memory, quantities
from tfq_qrnn.tracing import trace


class MemoryMonitor(keras.callbacks.Callback):
    """A callback that writes what the memory does to TensorBoard, during `fit`.

    On a few sequences it writes, after every `every`-th epoch and before the first:

    - scalars `memory/purity`, `memory/entropy`, `memory/fidelity_to_first`, `memory/readout_norm` and
      `memory/angle_norm`: means over the sequences and their time steps without masked ones, as
      `plotting.class_averages` names them (no entropy for one qubit);
    - histograms `memory/angles`, `memory/readouts`, `memory/purities`;
    - images `memory/glance` and `memory/bloch_vectors` of the first sequence.

    A point at step k shows the memory after k epochs. Training is not disturbed: weights, states of stateful layers and
    random numbers are those of a training without it.

    Args:
        x: What the model takes, a batch of a few sequences.
        log_dir: A folder for TensorBoard, such as `keras.callbacks.TensorBoard` takes; the events go into its
            subfolder `memory`.
        every: Number of epochs from one record to the next.
        layer: The `QRNN`, or RNN over a `QRNNCell`, in the model, or its name. Needed where there are several.
        images: Whether to write the images, which take a second each.

    Raises:
        ValueError, TypeError: An argument is out of its range. At the start of `fit`: the model has no such layer, or
            several and `layer` does not say which.

    >>> import tempfile
    >>> x = np.random.default_rng(0).normal(size=(8, 3, 4)).astype("float32")
    >>> model = keras.Sequential([tfq_qrnn.QRNN(n_qubits=2), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     monitor = tfq_qrnn.MemoryMonitor(x[:2], folder, images=False)
    ...     history = model.fit(x, np.ones(8), epochs=2, callbacks=[monitor], verbose=0)
    ...     print(len(list(pathlib.Path(folder, "memory").iterdir())))
    1
    """

    def __init__(
        self,
        x: tf.Tensor,
        log_dir: str | os.PathLike[str],
        every: int = 1,
        layer: keras.Layer | str | None = None,
        images: bool = True,
    ):
        super().__init__()
        if layer is not None and not isinstance(layer, str) and not is_recurrent(layer):
            raise argument_type_error("layer", "be a QRNN, an RNN over a QRNNCell, or the name of one", layer)
        self.x = keras.tree.map_structure(tf.convert_to_tensor, x)
        self.log_dir = pathlib.Path(log_dir)
        self.every = check_int("every", every, 1)
        self.images = check_bool("images", images)
        self.layer = layer

    def on_train_begin(self, logs: dict | None = None) -> None:
        found = [find_layer(self.model)] if self.layer is None else find_layers(self.model)
        named = [layer for layer in found if self.layer in (None, layer, layer.name)]
        if not named:
            names = ", ".join(layer.name for layer in found) or "none"
            raise argument_error("layer", "be a quantum recurrent layer of the model", f"the model has {names}")
        self._found, self._writer = named[0], None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir / "memory"))
            self._write(epoch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if (epoch + 1) % self.every == 0:
            self._write(epoch + 1)

    def on_train_end(self, logs: dict | None = None) -> None:
        if self._writer is not None:
            self._writer.close()

    def _write(self, step):
        seen = trace(self._found, self.x, model=self.model)
        with self._writer.as_default(step=step), tf.summary.record_if(True):
            for name, values in quantities(seen).items():
                tf.summary.scalar(f"memory/{name}", np.mean(values()[seen.mask]))
            for name, values in (("angles", seen.angles), ("readouts", seen.readouts), ("purities", seen.purities())):
                tf.summary.histogram(f"memory/{name}", values[seen.mask])
            if self.images:
                tf.summary.image("memory/glance", _image(memory, seen, 5 if seen.program.n_qubits == 1 else 6))
                tf.summary.image("memory/bloch_vectors", _image(bloch_vectors, seen, seen.program.n_qubits))
        self._writer.flush()


def _image(draw, seen, count):
    """A picture of the first sequence as `(1, height, width, 4)` uint8, past pyplot."""
    figure = Figure(figsize=(4.4 * min(count, 3), 3 * -(-count // 3)), dpi=80, layout="constrained")
    draw(seen, axes=grid(figure, count))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[None].copy()
