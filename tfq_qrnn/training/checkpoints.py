"""Checkpoints of a training: everything that the next step depends on, in files that are whole or recognised as not.

A checkpoint is a folder: what `tf.train.Checkpoint` writes, `progress.json`, and `digest`, the SHA-256 of both. It is
flushed to the disk before it gets its name. `tf.train.CheckpointManager` would remove an older one before that.
"""

import io
import itertools
import json
import os
import pathlib
import re
import shutil
import warnings
import weakref

import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn import _files
from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error, argument_type_error, readable_bytes
from tfq_qrnn.training.state import described, training_variables

FORMAT = "tfq_qrnn checkpoint 1"
_FILES = ("progress.json", "variables.index", "variables.data-00000-of-00001")
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # TensorFlow appends it to the name of a variable
_locks = weakref.WeakValueDictionary()  # one for each process and folder


class Checkpoints:
    """The checkpoints of one training, in a folder of its own.

    A checkpoint has the model's weights and states, the seeds of dropout, the optimizer with slots, averages, loss
    scale and iterations, and what the caller adds; neither the order of the data nor what other callbacks remember.
    Where the data of an epoch depend on its number alone, the resumed training gives the same bits.

    Args:
        folder: Where the checkpoints are; made when the first one is written. One process writes into it at a time.
        keep: How many checkpoints are kept, 1 or more. With 2, a damaged one costs one save interval.

    >>> import tempfile, tfq_qrnn
    >>> model = keras.Sequential([keras.Input((4, 3)), tfq_qrnn.QRNN(n_qubits=2), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> checkpoints = tfq_qrnn.Checkpoints(tempfile.mkdtemp())
    >>> progress = checkpoints.restore(model) or {"epoch": 0}  # None: nothing there yet
    >>> history = model.fit(np.ones((8, 4, 3)), np.ones((8, 1)), shuffle=False, verbose=0, epochs=2,
    ...                     initial_epoch=progress["epoch"], callbacks=[checkpoints.callback()])
    >>> checkpoints.restore(model)["epoch"]
    2
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2):
        self.folder = pathlib.Path(folder)
        self.keep = check_int("keep", keep, 1)
        self.progress: dict | None = None
        self._damaged: set[pathlib.Path] = set()

    def restore(self, model: keras.Model) -> dict | None:
        """Put the newest whole checkpoint into a model; return the dict given to `save`, or None where there is none.

        A damaged checkpoint is reported by a warning, and the one before it is used.

        Args:
            model: A built and compiled model, made as the one that was saved.

        Raises:
            ValueError: A checkpoint is of another model, or of a newer format. Nothing was changed.
        """
        variables = training_variables(model)
        here = [f"format {FORMAT!r}", *described(variables)]
        for path in reversed(self._paths()):
            try:
                progress, there, values = _read(path, here)
            except Exception as error:  # whatever TensorFlow and json raise on bytes that are not what they should be
                if path.exists():  # otherwise another process trains here and has just removed it
                    self._damaged.add(path)
                    warnings.warn(f"The checkpoint {path} is damaged and left out: {error}.", stacklevel=2)
                continue
            for first, other in itertools.zip_longest(there, here, fillvalue="nothing"):
                if first != other:
                    raise argument_error("model", "fit the checkpoint", f"{path} has {first} where {other} is needed")
            for variable, value in zip(variables.values(), values, strict=True):
                variable.assign(value)
            self.progress = progress
            return json.loads(json.dumps(progress))
        return None

    def save(self, model: keras.Model, progress: dict) -> pathlib.Path:
        """Write a checkpoint; when this returns, it is on the disk. Older ones than the `keep` newest are removed.

        Args:
            model: A built and compiled model.
            progress: A dict of str, numbers, bool, None, lists and dicts of them, to be returned by `restore`.

        Returns:
            The path of the checkpoint, a folder; `tf.train.load_checkpoint(path / "variables")` reads its numbers.

        Raises:
            ValueError, OSError: Another process writes there; the disk is full. The earlier checkpoints are kept.
        """
        text = json.dumps({"format": FORMAT, "progress": progress}, default=str, skipkeys=True)
        kept = json.loads(text)["progress"]
        if not isinstance(progress, dict) or repr(kept) != repr(progress):  # tuples, arrays, keys that are numbers
            raise argument_type_error("progress", "be a dict of str, numbers, bool, None, lists and dicts", progress)
        if len(text) > _files.MOST_BYTES:
            rule = f"have at most {readable_bytes(_files.MOST_BYTES)} as JSON"
            raise argument_error("progress", rule, f"it has {readable_bytes(len(text))}")
        checkpoint = tf.train.Checkpoint(**training_variables(model))
        self.lock()
        before = self._paths()
        path = self.folder / f"checkpoint-{int(before[-1].name[11:]) + 1 if before else 1:08d}"
        with _files.replacing(path) as partial:
            partial.mkdir()
            (partial / "progress.json").write_text(text)
            try:
                checkpoint.write(str(partial / "variables"))
            except tf.errors.OpError as error:
                raise OSError(f"The checkpoint {path} cannot be written: {error.message}") from error
            (partial / "digest").write_text(_digest(partial))
        self.progress = kept
        oldest = [one for one in [*before, path] if one not in self._damaged][-self.keep :][0]
        for old in before[: [*before, path].index(oldest)]:
            shutil.rmtree(old)
        return path

    def callback(self) -> keras.callbacks.Callback:
        """A Keras callback that saves after every epoch: `{"epoch": how many are finished, "history": all their logs}`.

        Put it last, after callbacks that change the model. `epoch` is the `initial_epoch` of the next `fit`.
        """

        def save(epoch, logs):
            history = dict((self.progress or {}).get("history", {}))
            for name, value in logs.items():
                history[name] = [*history.get(name, []), np.asarray(value).tolist()]
            self.save(callback.model, {"epoch": epoch + 1, "history": history})

        callback = keras.callbacks.LambdaCallback(on_train_begin=lambda logs=None: self.lock(), on_epoch_end=save)
        return callback

    def lock(self) -> None:
        """Make this process the one that writes, until this object is gone, as `save` does; ValueError if one does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        key = os.getpid(), self.folder.resolve()  # a forked process does not have its parent's lock
        lock = _locks.get(key) or _Lock(self.folder / ".lock", "a")
        try:
            _files.lock(lock)
        except BlockingIOError:
            raise argument_error("folder", "be of one training at a time", "another process writes there") from None
        self._lock = _locks[key] = lock

    def _paths(self):
        return sorted(path for path in self.folder.glob("checkpoint-*") if re.fullmatch(r"\d{8}", path.name[11:]))


class _Lock(io.FileIO):
    __del__ = io.FileIO.close  # without the warning of a file that is left open


def _read(path, here):
    """The progress, lines that say what else is there, and the values; None where those lines differ from `here`."""
    if _digest(path) != _files.read_bytes(path / "digest").decode():
        raise ValueError("its bytes do not match its SHA-256")
    header = _files.parse_json(_files.read_bytes(path / "progress.json"))
    there = [f"format {header['format']!r}"]
    if there != here[:1]:
        return None, there, None
    reader = tf.train.load_checkpoint(path / "variables")
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    names = sorted(name for name in shapes if name.endswith(_VALUE))  # beside TensorFlow's own entry
    there += [f"{name.removesuffix(_VALUE)} {dtypes[name].name} {shapes[name]}" for name in names]
    return header["progress"], there, [reader.get_tensor(name) for name in names] if there == here else None


def _digest(path):
    for name in _FILES:
        _files.check_regular(path / name)
    return _files.digest(*(np.memmap(path / name, mode="r") for name in _FILES))
