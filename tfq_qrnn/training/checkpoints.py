"""Checkpoints of a training: everything that the next step depends on, in files that are whole or recognised as not.

A checkpoint is one `.npz` of uncompressed arrays (NumPy's own format, no pickle) and a header in JSON. Its last 64
bytes, the comment of the zip archive, are the SHA-256 of all bytes before them, so that any cut or changed bit shows
before anything is parsed. It is written under a temporary name, flushed to the disk and renamed.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import warnings
import weakref
import zipfile

import keras
import numpy as np
import tensorflow as tf

import tfq_qrnn
from tfq_qrnn import _files
from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error, argument_type_error, readable_bytes

FORMAT, VERSION = "tfq_qrnn checkpoint", 1
MAX_HEADER_BYTES = 2**24  # names, shapes and the progress; a history of 100,000 epochs has a few megabytes
_DIGEST_BYTES = 64
_PARTIAL = "checkpoint.partial"
_locks = weakref.WeakValueDictionary()


class Checkpoints:
    """The checkpoints of one training, in a folder of its own.

    A checkpoint holds the model's weights and states, the states of its seed generators (dropout goes on where it
    was), the optimizer with its slots, averages, loss scale and iterations, and what the caller wants to remember. It
    does not hold the order of the data, nor what other callbacks remember: let the data of an epoch depend on the
    epoch's number alone, as `tfq_qrnn.distributed.fit` does, and the resumed training gives the same bits.

    Args:
        folder: Where the files are; made when the first one is written. One process writes into it at a time.
        keep: How many checkpoints are kept, 1 or more. With 2, one damaged file costs one save interval.

    Raises:
        ValueError, TypeError: An argument is out of its range; the message names it.

    >>> import tempfile
    >>> model = keras.Sequential([keras.Input((4, 3)), tfq_qrnn.QRNN(n_qubits=2), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> checkpoints = tfq_qrnn.Checkpoints(tempfile.mkdtemp())
    >>> checkpoints.restore(model) is None  # nothing there yet
    True
    >>> checkpoints.save(model, {"epoch": 3}).name
    'checkpoint-00000001.npz'
    >>> checkpoints.restore(model)
    {'epoch': 3}

    With plain `fit`, whose data come in the same order in each epoch:

    >>> x, y = np.ones((8, 4, 3), "float32"), np.ones((8, 1), "float32")
    >>> progress = checkpoints.restore(model)
    >>> history = model.fit(x, y, shuffle=False, epochs=5, initial_epoch=progress["epoch"], verbose=0,
    ...                     callbacks=[checkpoints.callback()])
    >>> checkpoints.restore(model)["epoch"]
    5
    """

    def __init__(self, folder, keep=2):
        self.folder = pathlib.Path(folder)
        self.keep = check_int("keep", keep, 1)
        self.progress = None
        self._damaged = set()
        self._lock = None

    def restore(self, model):
        """Put the newest whole checkpoint into a model, and return the progress that was saved with it.

        Args:
            model: A built and compiled model, made as the one that was saved. Its weights, states, seed generators and
                optimizer are set; where anything does not fit, nothing is.

        Returns:
            The dict given to `save`, or None where the folder has no checkpoint.

        Raises:
            ValueError: A checkpoint is of another model, or of a format newer than this version reads.

        A damaged file is reported by a warning, and the one before it is used.
        """
        variables = training_variables(model)
        for number in reversed(self._numbers()):
            path = self._path(number)
            try:
                progress, arrays = _read(path, variables)
            except FileNotFoundError:  # another process trains here and has just removed it
                continue
            except _DamagedError as error:
                self._damaged.add(number)
                warnings.warn(f"The checkpoint {path} is damaged and left out: {error}.", stacklevel=2)
                continue
            for (*_, variable), array in zip(variables, arrays, strict=True):
                variable.assign(array)
            self.progress = progress
            return json.loads(json.dumps(progress))
        return None

    def save(self, model, progress):
        """Write a checkpoint; when this returns, it is on the disk. Older ones than the `keep` newest are removed.

        Args:
            model: A built and compiled model.
            progress: A dict of str, numbers, bool, None, lists and dicts of them, to be returned by `restore`.

        Returns:
            The path of the file.

        Raises:
            ValueError: Another process writes into this folder.
            OSError: The disk is full or not writable. The checkpoints that were there still are.
        """
        if not isinstance(progress, dict):
            raise argument_type_error("progress", "be a dict", progress)
        _check_plain("progress", progress)
        variables = training_variables(model)
        self.lock()
        numbers_there = self._numbers()
        number = max(numbers_there, default=0) + 1
        partial, path = self.folder / _PARTIAL, self._path(number)
        try:
            with open(partial, "wb") as file:
                file.write(_encode(variables, progress))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _files.sync(self.folder)
        self.progress = json.loads(json.dumps(progress))
        kept = [n for n in [*numbers_there, number] if n not in self._damaged][-self.keep :]
        for old in numbers_there:
            if old < kept[0]:
                self._path(old).unlink(missing_ok=True)
        return path

    def callback(self):
        """A Keras callback for `fit` that saves at the end of every epoch: `{"epoch": ..., "history": ...}`.

        `epoch` is the number of finished epochs, the `initial_epoch` of the next `fit`; `history` has the logs of all
        of them, those before a `restore` included. Put it last, after callbacks that change the model.
        """
        return _SaveEveryEpoch(self)

    def lock(self):
        """Make this process the one that writes into the folder, until this object is gone; `save` does it too.

        Raises:
            ValueError: Another process does.
        """
        if self._lock is None or self._lock.pid != os.getpid():
            self.folder.mkdir(parents=True, exist_ok=True)
            key = os.getpid(), self.folder.resolve()
            self._lock = _locks.get(key) or _Lock(self.folder)
            _locks[key] = self._lock
            (self.folder / _PARTIAL).unlink(missing_ok=True)  # a process that was killed left it

    def _path(self, number):
        return self.folder / f"checkpoint-{number:08d}.npz"

    def _numbers(self):
        names = os.listdir(self.folder) if self.folder.exists() else []
        return sorted(int(name[11:-4]) for name in names if re.fullmatch(r"checkpoint-\d{8,}\.npz", name))


class _SaveEveryEpoch(keras.callbacks.Callback):
    def __init__(self, checkpoints):
        super().__init__()
        self.checkpoints = checkpoints

    def on_train_begin(self, logs=None):
        self.checkpoints.lock()  # now, and not after an epoch that could not be saved
        before = (self.checkpoints.progress or {}).get("history", {})
        self.history = {name: list(values) for name, values in before.items()}

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(np.asarray(value).tolist())
        self.checkpoints.save(self.model, {"epoch": epoch + 1, "history": self.history})


class _Lock:
    """An exclusive lock on a folder, which the kernel lifts when its process ends, however it ends."""

    def __init__(self, folder):
        self.pid = os.getpid()
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise argument_error(
                "folder", "be of one training at a time", f"another process writes into {folder}"
            ) from None


class _DamagedError(Exception):
    """A file is not what was written."""


def training_variables(model):
    """[(owner, name, dtype, shape, variable)] of all that a training step reads and writes."""
    if not isinstance(model, keras.Model):
        raise argument_type_error("model", "be a Keras model", model)
    if not model.built:
        raise argument_error("model", "be built", "it has no weights yet: give it an Input, or call it once")
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise argument_error("model", "be compiled", "it has no optimizer")
    if not optimizer.built:
        with model.distribute_strategy.scope(), keras.name_scope(optimizer.name):
            optimizer.build(model.trainable_variables)
    found = [("model", variable) for variable in [*model.variables, *_recurrent_states(model)]]
    found += [("optimizer", variable) for variable in optimizer.variables]
    return [(owner, _stem(v.name), str(v.dtype), list(v.shape), v) for owner, v in found]


def _recurrent_states(model):
    """The states of stateful recurrent layers, which Keras does not count among a model's variables."""
    layers = model._flatten_layers(include_self=False)
    states = (keras.tree.flatten(layer.states) for layer in layers if getattr(layer, "states", None) is not None)
    return [state for several in states for state in several if isinstance(state, keras.Variable)]


def _stem(name):
    """A name without the numbers that Keras appends: the same model, made second in a process, has others."""
    return re.sub(r"_\d+", "", name)


def _encode(variables, progress):
    described = [row[:-1] for row in variables]
    header = {
        "format": FORMAT,
        "version": VERSION,
        "versions": _versions(),
        "variables": described,
        "progress": progress,
    }
    header = json.dumps(header).encode()
    if len(header) > MAX_HEADER_BYTES:
        given = f"it has {readable_bytes(len(header))} as JSON"
        raise argument_error("progress", f"have at most {readable_bytes(MAX_HEADER_BYTES)}", given)
    arrays = [_storable(row[-1].numpy()) for row in variables]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = b"0" * _DIGEST_BYTES
        for index, array in enumerate([np.frombuffer(header, np.uint8), *arrays]):
            member = zipfile.ZipInfo(_member(index))
            with archive.open(member, "w", force_zip64=array.nbytes >= 2**31) as file:
                np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    data = buffer.getbuffer()
    data[-_DIGEST_BYTES:] = hashlib.sha256(data[:-_DIGEST_BYTES]).hexdigest().encode()
    return data


def _member(index):
    return "header.npy" if index == 0 else f"{index - 1:05d}.npy"


def _storable(array):
    """The array, or its bits as integers: NumPy's files know no bfloat16 nor float8."""
    array = np.asarray(array, order="C")
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def _read(path, variables):
    """The progress and the arrays, one for each variable; everything is checked before it is read."""
    values = [row[-1].numpy() for row in variables]
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if _digest(file, size - _DIGEST_BYTES) != file.read():
            raise _DamagedError("its bytes do not match its SHA-256")
        # A file may be whole and yet made by somebody else: nothing larger than what it says and we need is read.
        with _or_damaged():
            archive = zipfile.ZipFile(file)
            header = json.loads(_array(archive, 0, np.dtype(np.uint8), None).tobytes())
        described, progress = _check_header(path, header)
        _check_same(path, described, [list(row[:-1]) for row in variables])
        with _or_damaged():
            templates = enumerate(map(_storable, values), 1)
            arrays = [_array(archive, index, one.dtype, one.shape) for index, one in templates]
    return progress, [array.view(value.dtype) for array, value in zip(arrays, values, strict=True)]


@contextlib.contextmanager
def _or_damaged():
    """Whatever zipfile, json and NumPy raise on bytes that are not what they should be."""
    try:
        yield
    except _DamagedError:
        raise
    except Exception as error:
        raise _DamagedError(f"it is no checkpoint ({type(error).__name__}: {error})") from error


def _digest(file, count):
    sha = hashlib.sha256()
    while count > 0 and (block := file.read(min(count, 2**20))):
        sha.update(block)
        count -= len(block)
    return sha.hexdigest().encode()


def _array(archive, index, dtype, shape):
    """An array of the archive; `shape` None takes one of any length up to that of a header."""
    info = archive.getinfo(_member(index))
    limit = 4096 + (MAX_HEADER_BYTES if shape is None else dtype.itemsize * int(np.prod(shape)))
    if info.compress_type != zipfile.ZIP_STORED or not info.compress_size == info.file_size <= limit:
        raise _DamagedError(f"its part {info.filename} is compressed or larger than it can be")
    data = io.BytesIO(archive.read(info))
    np.lib.format.read_magic(data)
    found, fortran, found_dtype = np.lib.format.read_array_header_1_0(data)
    rest = data.getbuffer()[data.tell() :]
    if found_dtype != dtype or fortran or found != (shape if shape is not None else (len(rest),)):
        raise _DamagedError(f"its part {info.filename} is not the array that the header announces")
    if len(rest) != found_dtype.itemsize * int(np.prod(found)):
        raise _DamagedError(f"its part {info.filename} has not the length of its array")
    return np.frombuffer(rest, dtype).reshape(found)


def _check_header(path, header):
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _DamagedError("it is no checkpoint of tfq_qrnn")
    version = header.get("version")
    if not isinstance(version, int) or version > VERSION:
        written = (header.get("versions") or {}).get("tfq_qrnn", "an unknown version")
        raise argument_error(
            "folder",
            f"hold checkpoints of format {VERSION} or older",
            f"{path} has format {version}, written by tfq_qrnn {written}: use that version or a newer one",
        )
    described, progress = header.get("variables"), header.get("progress")
    if not isinstance(described, list) or not isinstance(progress, dict):
        raise _DamagedError("its header is incomplete")
    return described, progress


def _check_same(path, found, wanted):
    """Raise where the variables of a file are not those of the model."""
    for index, (there, here) in enumerate(zip(found, wanted, strict=False)):
        if there != here:
            raise _other_model(path, f"variable {index} is {_words(there)} there and {_words(here)} here")
    if len(found) != len(wanted):
        raise _other_model(path, f"it has {len(found)} variables and this model with its optimizer {len(wanted)}")


def _words(row):
    return "{1} ({2}, shape {3}) of the {0}".format(*row) if len(row) == 4 else repr(row)


def _other_model(path, given):
    return argument_error("model", "be the one of the checkpoint", f"in {path}, {given}. Nothing was changed")


def _check_plain(name, value):
    """Refuse what JSON would change on the way: tuples, keys that are no strings, arrays."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise argument_type_error(name, "have keys of type str", key)
            _check_plain(f"{name}[{key!r}]", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_plain(f"{name}[{index}]", item)
    elif not (value is None or isinstance(value, str | int | float)):
        rule = "be a str, int, float, bool, None, or a list or dict of them"
        raise argument_type_error(name, rule, value)


def _versions():
    modules = {"tfq_qrnn": tfq_qrnn, "tensorflow": tf, "keras": keras, "numpy": np}
    return {"python": platform.python_version(), **{name: module.__version__ for name, module in modules.items()}}
