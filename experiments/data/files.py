"""Files of one's own that the scripts read: of a bounded size, and nothing in them is run."""

import os
import sys
import zipfile

import numpy as np

from experiments.late import late

_errors, _files, _memory = late("tfq_qrnn._errors", "tfq_qrnn._files", "tfq_qrnn._memory")


def read_text(path, **decoding):
    """The text of a UTF-8 file; the program ends with a message where there is none."""
    _look_for(path)
    try:
        data = _files.read_bytes(path, _most())
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte, too
        sys.exit(f"Argument `--dataset` must be a file that can be read, but {error}.")
    if b"\0" in data:
        sys.exit(f"{path} must be a text in UTF-8, but it has a zero byte at {data.index(0)}.")
    try:
        return data.decode("utf-8-sig", **decoding)
    except UnicodeDecodeError as error:
        sys.exit(f"{path} must be a text in UTF-8, but it has other bytes at {error.start}.")


def read_arrays(path, names):
    """Those arrays of an npz file that have one of these names, all of finite numbers: name -> array.

    Nothing is read before its size is known, and no more than the file says; Python objects are refused. The program
    ends with a message where something is wrong.
    """
    _look_for(path)
    try:
        _files.check_regular(path)
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if sum(members[name].file_size for name in names if name in members) > _most():
                most = _errors.readable_bytes(_most())
                raise ValueError(f"it holds more than {most}, an eighth of this machine's memory")
            found = {}
            for name in names:
                if name in members:
                    with archive.open(members[name]) as file:
                        found[name] = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # whatever zipfile, zlib and NumPy raise on bytes that are not what they should be
        sys.exit(f"Argument `--dataset` must be a file of NumPy arrays, but {path} cannot be read: {error}")
    for name, array in found.items():
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            sys.exit(f"{path} must hold finite numbers, but its {name} is {array.dtype}, or not finite everywhere.")
    return found


def _look_for(path):
    """End the program where there is no such file, before what reads it loads TensorFlow."""
    if not os.path.exists(path):  # False for every text that is no path
        sys.exit(f"Argument `--dataset` must be a file, or a name that --help lists, but there is no {str(path)!r}.")


def _most():
    """Bytes of what is read at most: tokens, sequences and batches are made of it."""
    return _memory.total_memory() // 8
