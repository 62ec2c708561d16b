"""Files: what somebody else may have written is read within bounds, and what is written is on the disk."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import stat

from tfq_qrnn._errors import readable_bytes

MOST_BYTES = 2**26  # of one file of JSON, or of one device specification


def read_bytes(path, most=MOST_BYTES):
    """The content of a regular file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no regular file (a device or a pipe may have no end), or it is too large.
    """
    check_regular(path)
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} has more than {readable_bytes(most)}")
    return content


def check_regular(path):
    """Raise ValueError for a device, which may have no end, or a pipe, which would wait for a writer."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{path} is no regular file")


def parse_json(text, object_hook=None):
    """The value of a JSON text; `object_hook` sees every object of it, as in `json.loads`.

    Raises:
        ValueError: It is none, or nested too deep.
    """
    if not isinstance(text, (str, bytes)):
        raise ValueError(f"it is of type {type(text).__name__}")
    try:
        return json.loads(text, object_hook=object_hook)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


@contextlib.contextmanager
def replacing(path):
    """Write a file or a folder whole or not at all.

    Yields the path of a partial one beside `path`, of the same suffix. When the block ends, what was written there is
    on the disk and takes the place of `path`; where the block raises, `path` is as it was. A process that is killed
    leaves the partial one, which the next writer of `path` removes.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    remove(partial)
    try:
        yield partial
        for written in [*partial.rglob("*"), partial]:
            sync(written)
        os.replace(partial, path)
    except BaseException:
        remove(partial)
        raise
    sync(path.absolute().parent)


def remove(path):
    """Remove a file or a whole folder, where there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def sync(path):
    """Have the disk keep a file's content, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(file):
    """Lock an open file for this process alone; the kernel lifts the lock when the file is closed or the process ends.

    Raises:
        BlockingIOError: Another process has it.
    """
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def digest(*parts):
    """SHA-256 of several byte strings, as hex; where one ends and the next begins counts."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "big"))
        sha.update(part)
    return sha.hexdigest()
