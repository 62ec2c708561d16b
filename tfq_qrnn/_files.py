"""Files: what somebody else may have written is read within bounds, and what is written is on the disk."""

import json
import os
import stat

from tfq_qrnn._checks import readable_bytes

MOST_BYTES = 2**26  # of one file of JSON, or of one device specification


def refused(what):
    """The clause "but ..." of a message, which its catcher makes whole."""
    return ValueError(what)


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
        raise refused(f"{path} has more than {readable_bytes(most)}")
    return content


def check_regular(path):
    """Raise ValueError for a device, which may have no end, or a pipe, which would wait for a writer."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise refused(f"{path} is no regular file")


def parse_json(text):
    """The value of a JSON text.

    Raises:
        ValueError: It is none, or nested too deep.
    """
    if not isinstance(text, (str, bytes)):
        raise refused(f"it is of type {type(text).__name__}")
    try:
        return json.loads(text)
    except RecursionError:
        raise refused("it is nested too deep") from None


def sync_folder(path):
    """Have the disk keep the names in a folder; syncing a file keeps its content alone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
