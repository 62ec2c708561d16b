"""The journal of a run: every result that came back, on disk before it is used.

A file of JSON lines that only grows: a header (what is run, with hashes), then one record for each job, with the shots
themselves. Each line carries its own checksum and is flushed to the disk before the run goes on. A run that is killed
loses at most the job that was under way; started again, it takes the recorded shots and asks for the rest.
"""

import base64
import contextlib
import json
import os
import pathlib

import cirq
import numpy as np

from tfq_qrnn import _files
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn._files import digest

FORMAT = "tfq_qrnn journal 1"


class Journal:
    """The records of one run, of which `header` is a JSON-able description; a context manager.

    A file that exists is continued; one of another run, damaged or in use is refused and left as it is. A `path` of
    None keeps no journal.
    """

    def __init__(self, path, header):
        if not (path is None or isinstance(path, (str, os.PathLike))):
            raise argument_type_error("journal", "be a path or None", path)
        self.path = None if path is None else pathlib.Path(path)
        self.header = json.loads(json.dumps({"format": FORMAT, **header}))
        self.records, self.position, self.file = [], 0, None

    def __enter__(self):
        if self.path is None:
            return self
        with contextlib.ExitStack() as stack:
            try:
                if self.path.exists():
                    _files.check_regular(self.path)
                self.file = stack.enter_context(open(self.path, "a+b"))
                _files.lock(self.file)
            except BlockingIOError:
                given = f"another run has {self.path} open"
                raise argument_error("journal", "be a file of this run alone", given) from None
            except (OSError, ValueError) as error:  # ValueError: a path with a zero byte, too
                raise argument_error("journal", "be a file that can be written", f"it is not: {error}") from error
            self._read()
            stack.pop_all()
        return self

    def __exit__(self, *_):
        if self.file is not None:
            self.file.close()

    def job(self, description, shape, measure):
        """The shots of the next job: from the journal where it has them, else from `measure()`, and then recorded.

        `description` is a JSON-able dict that says which job of the run this is; the shots are 0 and 1, of `shape`.
        """
        if self.position < len(self.records):
            record = self.records[self.position]
            self.position += 1
            if record.get("job") != description or record.get("shape") != list(shape):
                raise self._refusal(f"record {self.position} is of job {record.get('job')} and not of {description}")
            try:
                bits = np.unpackbits(np.frombuffer(base64.b64decode(record["bits"]), np.uint8))
                return bits[: int(np.prod(shape))].reshape(shape)
            except (KeyError, TypeError, ValueError) as error:
                raise self._refusal(f"record {self.position} does not hold its shots") from error
        bits = measure()
        packed = base64.b64encode(np.packbits(bits).tobytes()).decode()
        self._append({"job": description, "shape": list(shape), "bits": packed})
        return bits

    def reject(self, results):
        """Keep results that cannot be used beside the journal; returns where, or None without a journal."""
        if self.path is None:
            return None
        try:
            text = cirq.to_json(results)
        except (TypeError, ValueError):
            text = json.dumps(repr(results))
        path = self.path.with_name(self.path.name + ".rejected.json")
        with _files.replacing(path) as partial:
            partial.write_text(text)
        return path

    def _append(self, record):
        if self.file is not None:
            self._write(_line(record))

    def _write(self, content):
        self.file.write(content)
        self.file.flush()
        _files.sync(self.path)

    def _read(self):
        self.file.seek(0)
        *lines, tail = self.file.read().split(b"\n")
        records = list(map(_parse, lines))
        if None in records:
            raise self._refusal(f"line {records.index(None) + 1} is damaged")
        if tail:
            # The run was killed while it wrote the last line. If only the line's end is missing, its shots are there.
            record = _parse(tail)
            if record is not None:
                records.append(record)
                self._write(b"\n")
            else:
                self.file.truncate(self.file.tell() - len(tail))
        if not records:
            self._append(self.header)
            _files.sync(self.path.absolute().parent)
            return
        header, *self.records = records
        if header.get("format") != FORMAT:
            raise self._refusal(f"its first line is no header of {FORMAT!r}")
        if header != self.header:
            names = sorted(key for key in {*header, *self.header} if header.get(key) != self.header.get(key))
            raise argument_error(
                "journal",
                "be of the same model, input and settings",
                f"{self.path} differs in {', '.join(names)}: give another file, or remove it",
            )

    def _refusal(self, given):
        return argument_error("journal", "be a file that an earlier run wrote", f"{self.path}: {given}")


def _line(record):
    text = json.dumps(record, sort_keys=True)
    return json.dumps({"sha256": digest(text.encode()), "record": record}, sort_keys=True).encode() + b"\n"


def _parse(line):
    try:
        data = json.loads(line)
        record = data["record"]
        whole = data["sha256"] == digest(json.dumps(record, sort_keys=True).encode())
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return record if whole and isinstance(record, dict) else None
