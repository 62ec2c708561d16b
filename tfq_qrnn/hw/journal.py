"""The journal of a run: what is sent and what came back, on disk before it is used.

A file of JSON lines that only grows, each with its own checksum, each flushed to the disk before the run goes on:

    header      what is run (hashes), on which sampler; a name of this run, and when it started
    sent        a job, and the id under which it is about to be sent to a processor
    job         its shots
    failed      the job of this id gave none, and why
    rejected    what came back and could not be used, and why

So a run that is killed loses no shot that was paid for: started again, it takes the recorded ones, asks the processor
for the job that was under way, and sends the rest.
"""

import base64
import contextlib
import datetime
import io
import json
import os
import pathlib
import secrets
import time
from collections.abc import Sequence
from typing import Any

import cirq
import numpy as np

from tfq_qrnn import _cirq_json, _files
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn._files import digest
from tfq_qrnn.hw.retries import tell_next_try

FORMAT, FIRST_FORMAT = "tfq_qrnn journal 2", "tfq_qrnn journal 1"
START = b'{"record": '
OWN = ("format", "run", "started")  # of the file, not of what is run
PATIENCE = (1, 2, 4, 8, 15, 30, 60, 120, 240)  # seconds between tries to write to a full disk
SAME_ANGLE = 1e-3  # radians; rounding on another machine moves an angle by 1e-5, other shots by 1e-2


class Journal:
    """The records of one run, of which `header` is a JSON-able description; a context manager.

    A file that exists is continued; one of another run, damaged or in use is refused and left as it is. A `path` of
    None keeps no journal. `expected` are the descriptions of all jobs of the run, in their order: a record of any other
    is refused. A `paid` run does not resume from a file that does not name its sampler.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        header: dict,
        expected: Sequence[dict] = (),
        paid: bool = False,
    ):
        if not (path is None or isinstance(path, (str, os.PathLike))):
            raise argument_type_error("journal", "be a path or None", path)
        self.path = None if path is None else pathlib.Path(path)
        self.header, self.paid = _as_json(header), paid
        self.expected = {_key(_as_json(job)): number for number, job in enumerate(expected)}
        self.run, self.ids = secrets.token_hex(4), 0
        self.file: io.FileIO | None = None
        self.shots, self.sent = {}, {}  # records with shots, and ids without an answer, by the job's key

    def __enter__(self) -> "Journal":
        if self.path is None:
            return self
        with contextlib.ExitStack() as stack:
            try:
                if self.path.exists():
                    _files.check_regular(self.path)
                # Without a buffer: what a full disk did not take must not wait there for the next write.
                self.file = stack.enter_context(open(self.path, "a+b", buffering=0))
                _files.lock(self.file)
            except BlockingIOError:
                given = f"another run has {self.path} open"
                raise argument_error("journal", "be a file of this run alone", given) from None
            except (OSError, ValueError) as error:  # ValueError: a path with a zero byte, too
                raise argument_error("journal", "be a file that can be written", f"it is not: {error}") from error
            self._read()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()

    def find(
        self, description: dict, shape: tuple[int, int, int], angles: np.ndarray | None = None
    ) -> np.ndarray | None:
        """The recorded shots of a job, 0 and 1 of `shape`; None where there are none."""
        record = self.shots.get(_key(_as_json(description)))
        if record is None:
            return None
        if record.get("shape") != list(shape):
            raise self._refusal(f"its record of job {description} has shots of shape {record.get('shape')}")
        try:
            if angles is not None and "angles" in record:
                then = np.frombuffer(base64.b64decode(record["angles"]), "<f4")
                if then.size != angles.size or not np.allclose(then, angles.ravel(), rtol=0, atol=SAME_ANGLE):
                    raise self._refusal(f"job {description} was measured at other angles: a job before it is missing")
            bits = np.unpackbits(np.frombuffer(base64.b64decode(record["bits"]), np.uint8))
            return bits[: int(np.prod(shape))].reshape(shape)
        except (KeyError, TypeError, ValueError) as error:
            if str(error).startswith("Argument"):
                raise
            raise self._refusal(f"its record of job {description} does not hold its shots") from error

    def keep(
        self, description: dict, bits: np.ndarray, angles: np.ndarray | None = None, job_id: str | None = None
    ) -> None:
        """Record the shots of a job; `angles` are those that its last time step was measured at."""
        record = {"job": description, "shape": list(bits.shape), "bits": _base64(np.packbits(bits)), **_now()}
        if angles is not None:
            record["angles"] = _base64(np.asarray(angles, "<f4"))
        if job_id is not None:
            record["id"] = job_id
        self._append(record)

    def announce(self, description: dict) -> str:
        """A new id, on disk before the job is sent under it."""
        self.ids += 1
        job_id = f"tfq-qrnn-{self.run}-{self.ids:05}"
        self._append({"sent": description, "id": job_id, **_now()})
        self.sent[_key(_as_json(description))] = job_id
        return job_id

    def unanswered(self, description: dict) -> str | None:
        """The id under which a job was sent without an answer so far, or None."""
        return self.sent.get(_key(_as_json(description)))

    def fail(self, description: dict, job_id: str, reason: str) -> None:
        """The job of this id gives no shots."""
        self._append({"failed": description, "id": job_id, "reason": reason, **_now()})
        self.sent.pop(_key(_as_json(description)), None)

    def reject(self, description: dict, results: Any, reason: str, job_id: str | None = None) -> None:
        """Keep results that cannot be used."""
        try:
            text = cirq.to_json(results)
        except (TypeError, ValueError):
            text = repr(results)
        record = {"rejected": description, "id": job_id, "reason": reason, "results": text, **_now()}
        self._append(record)
        self.sent.pop(_key(_as_json(description)), None)

    def _append(self, record, *folders):
        if self.file is None:
            return
        content, end = _line(record), os.fstat(self.file.fileno()).st_size
        for wait in (*PATIENCE, None):
            try:
                if self.file.write(content) != len(content):
                    raise OSError("the disk took a part of a line")
                for path in (self.path, *folders):
                    _files.sync(path)
                return
            except OSError as error:
                with contextlib.suppress(OSError):
                    self.file.truncate(end)
                if wait is None:
                    failure = argument_error("journal", "be a file that can be written", f"{self.path} is not: {error}")
                    failure.record = record  # what came back, for who has no other copy
                    raise failure from error
                tell_next_try(f"The journal {self.path} cannot be written: {error}. Make room.", wait)
                time.sleep(wait)

    def _read(self):
        self.file.seek(0)
        *lines, tail = self.file.read().split(b"\n")
        records = list(map(_parse, lines))
        if None in records:
            raise self._refusal(f"line {records.index(None) + 1} is damaged")
        whole = _parse(tail) if tail else None
        if whole is not None:
            records.append(whole)
        if not records:
            if not START.startswith(tail[: len(START)]):
                raise self._refusal("its first line is no header")
            self.file.truncate(0)
            header = {"format": FORMAT, "run": self.run, **self.header, "started": _now()["time"]}
            self._append(header, self.path.absolute().parent)
            return
        self._check_header(records[0])
        for number, record in enumerate(records[1:], 1):
            self._take(number, record, records[0]["format"])
        # Only now, for a file of another run stays as it is. The run was killed while it wrote the last line: if only
        # the line's end is missing, its shots are there.
        if whole is not None:
            self.file.write(b"\n")
        elif tail:
            self.file.truncate(self.file.tell() - len(tail))

    def _check_header(self, header):
        if header.get("format") not in (FORMAT, FIRST_FORMAT):
            raise self._refusal(f"its first line is no header of {FORMAT!r}")
        names = {*header, *self.header} - {*OWN}
        if header["format"] == FIRST_FORMAT:
            if self.paid:
                raise self._refusal("it is of an older format and does not name its sampler: give a new file")
            names = {*header} - {*OWN}
        else:
            self.run = header.get("run")
        if different := sorted(name for name in names if header.get(name) != self.header.get(name)):
            what = "sampler" if different == ["sampler"] else "model, input, settings and sampler"
            details = f" ({header.get('sampler')})" if "sampler" in different else ""
            raise argument_error(
                "journal",
                f"be of the same {what}",
                f"{self.path} differs in {', '.join(different)}{details}: give another file, or remove it",
            )

    def _take(self, number, record, written_as):
        kinds = {"job", "sent", "failed", "rejected"} & {*record}
        if len(kinds) != 1:
            raise self._refusal(f"record {number} is of no kind that is known")
        kind = kinds.pop()
        key = _key(record[kind])
        if key not in self.expected:
            raise self._refusal(f"record {number} is of job {record[kind]}, which this run does not have")
        if kind == "job":
            if key in self.shots:
                raise self._refusal(f"record {number} repeats job {record[kind]}")
            if written_as == FIRST_FORMAT and self.expected[key] > len(self.shots):  # it has no angles to tell by
                raise self._refusal(f"record {number} is of job {record[kind]}, and one before it is missing")
            self.shots[key] = record
        self.ids += kind == "sent"
        if kind == "sent":
            self.sent[key] = record.get("id")
        else:
            self.sent.pop(key, None)

    def _refusal(self, given):
        return argument_error("journal", "be a file that an earlier run wrote", f"{self.path}: {given}")


def placed(path: str | os.PathLike[str] | None) -> list[cirq.Qid] | None:
    """The qubits of the run that a journal is of; None where it does not say, and for a run of several cells."""
    return _of_header(path, "places")


def ringed(path: str | os.PathLike[str] | None) -> list[list[tuple[cirq.Qid, ...]]] | None:
    """For each cell of the run that a journal is of the qubits of each ring; None where it does not say."""
    found = _of_header(path, "rings")
    return None if found is None else [[tuple(ring) for ring in rings] for rings in found]


def _of_header(path, name):
    if path is None:
        return None
    with contextlib.suppress(OSError, TypeError, ValueError, AttributeError):
        with open(path, "rb") as file:
            header = _parse(file.readline(2**20))
        return _cirq_json.read(json.dumps(header[name]), _cirq_json.CIRCUIT) if header.get(name) else None
    return None


def _as_json(value):
    return json.loads(json.dumps(value))


def _key(description):
    return json.dumps(description, sort_keys=True)


def _now():
    return {"time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")}


def _base64(array):
    return base64.b64encode(array.tobytes()).decode()


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
