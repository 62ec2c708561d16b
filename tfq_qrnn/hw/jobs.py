"""Jobs: a circuit and a sweep go to a sampler, and come back as shots that are checked and recorded."""

import collections
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable

import cirq
import duet
import numpy as np

from tfq_qrnn._errors import argument_error
from tfq_qrnn.hw import engine_jobs
from tfq_qrnn.hw.faults import WAITS, is_refused, is_transient
from tfq_qrnn.hw.known import takes_ids
from tfq_qrnn.hw.seeded import seeded
from tfq_qrnn.hw.told import tell


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One call of a sampler.

    Attributes:
        description: JSON-able; which job of the run it is.
        circuit: A function that gives the circuit, with symbols.
        names, values: The symbols and their values, `(points, symbols)`.
        repetitions: Shots of each point.
        keys: Measurement key -> number of its qubits.
        angles: Those of the last time step, by which a journal tells that it was measured where this run is.
    """

    description: dict
    circuit: Callable[[], cirq.Circuit]
    names: tuple[str, ...]
    values: np.ndarray
    repetitions: int
    keys: dict[str, int]
    angles: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its shots: `(points, repetitions, qubits)`, the qubits of all keys one after the other."""
        return len(self.values), self.repetitions, sum(self.keys.values())

    @functools.cached_property
    def sweep(self) -> cirq.Sweep:
        """A Zip of Points: dicts would be nested as deep as there are symbols, and take twice the bytes."""
        if not self.names:
            return cirq.ListSweep([{}] * len(self.values))
        return cirq.Zip(*map(cirq.Points, self.names, self.values.T.tolist()))

    def bits(self, results: Iterable[cirq.Result]) -> np.ndarray:
        """The shots of a sampler's results, uint8 of `shape`, matched by their params; ValueError for any others."""
        points, repetitions, _ = self.shape

        def refuse(given):
            wanted = " and ".join(f"{key!r} of shape ({repetitions}, {size})" for key, size in self.keys.items())
            shown = wanted if len(self.keys) < 4 else f"{len(self.keys)} keys, each of shape ({repetitions}, 1)"
            return argument_error("sampler", f"return {points} results, each with the key {shown} in 0 and 1", given)

        if not isinstance(results, Iterable):
            raise refuse(f"it returned {type(results).__name__}")
        results = list(results)
        if len(results) != points:
            raise refuse(f"it returned {len(results)} results")
        # Google's engine has the values as float32. Equal points may take each other's shots.
        places = collections.defaultdict(collections.deque)
        for place, row in enumerate(self.values.astype(np.float32)):
            places[row.tobytes()].append(place)
        bits = np.empty(self.shape, np.uint8)
        for number, result in enumerate(results):
            measurements = getattr(result, "measurements", None)
            if measurements is None:
                raise refuse(f"result {number} is of type {type(result).__name__}")
            if {*measurements} != {*self.keys}:
                raise refuse(f"result {number} has the keys {sorted(measurements)}")
            shots = [np.asarray(measurements[key]) for key in self.keys]
            for array, size in zip(shots, self.keys.values(), strict=True):
                if array.shape != (repetitions, size):
                    raise refuse(f"result {number} has the shape {array.shape}")
                if not np.isin(array, (0, 1)).all():
                    raise refuse(f"result {number} holds other numbers")
            place = places[self._point(result)]
            if not place:
                raise refuse(f"result {number} has params of no point, or of one that came twice")
            bits[place.popleft()] = np.concatenate(shots, axis=1)
        return bits

    def _point(self, result):
        try:
            given = {str(name): value for name, value in result.params.param_dict.items()}
            return np.array([given[name] for name in self.names], np.float32).tobytes()
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


class Sender:
    """Sends the jobs of a run to a sampler, those that the journal does not have.

    Args:
        sampler: A `cirq.Sampler`.
        book: The run's `Journal`.
        bar: Its progress bar.
        paid: Whether its shots cost.
        max_shots, max_jobs: What may be sent, tries that failed included; None for any number.
        most: How many jobs a real processor has at once.

    As a context manager it puts a seeded sampler back where it began, if the run does not end.
    """

    def __init__(self, sampler, book, bar, paid, max_shots, max_jobs, most):
        self.sampler, self.book, self.bar, self.paid = sampler, book, bar, paid
        self.left = {"max_shots": max_shots, "max_jobs": max_jobs}
        self.most = most
        self.done = 0  # jobs whose shots are there
        self.seeded = seeded(sampler)
        self.first = self.seeded.calls if self.seeded else 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.seeded:
            self.seeded.calls = self.first + (self.done if kind is None else 0)

    def send(self, jobs: Iterable[Job]) -> list[np.ndarray]:
        """The shots of some jobs; they may run at the same time."""
        jobs = list(jobs)
        found = [self.book.find(job.description, job.shape, job.angles) for job in jobs]
        missing = [place for place, bits in enumerate(found) if bits is None]
        self.bar.update(len(jobs) - len(missing))
        if takes_ids(self.sampler) and missing:
            sent = duet.run(engine_jobs.send_all, self, [jobs[place] for place in missing])
            for place, bits in zip(missing, sent, strict=True):
                found[place] = bits
        else:
            for place in missing:
                # A job's shots depend on the seed and on which job it is, not on which ones the journal had.
                if self.seeded:
                    self.seeded.calls = self.first + self.done + place
                found[place] = self._sample(jobs[place])
        self.done += len(jobs)
        return found

    def _sample(self, job):
        waits = iter(WAITS)
        while True:
            self.count(job)
            try:
                results = self.sampler.run_sweep(job.circuit(), params=job.sweep, repetitions=job.repetitions)
                return self.accept(job, results)
            except Exception as fault:
                error = fault
                # What may have arrived under no id of ours is not sent again where it costs.
                again = is_refused(error) if self.paid else is_transient(error)
                wait = next(waits, None)
                if wait is None or not again:
                    raise
            self.tell(error, wait)
            time.sleep(wait)

    def count(self, job):
        """Take a job from what may be sent."""
        for name, amount in (("max_jobs", 1), ("max_shots", job.shape[0] * job.repetitions)):
            if self.left[name] is not None:
                if amount > self.left[name]:
                    given = "the tries that failed have used it up; what came back is in the journal"
                    raise argument_error(name, "allow the tries of this run", given)
                self.left[name] -= amount

    def accept(self, job, results, job_id=None):
        """The shots of a job's results, on disk."""
        try:
            bits = job.bits(results)
        except ValueError as error:
            self.book.reject(job.description, results, str(error), job_id)
            if self.book.path is None:
                raise
            kept = f"It is kept in {self.book.path}, and so is all before it: all before it is in the journal."
            raise ValueError(f"{error} {kept}") from error
        self.book.keep(job.description, bits, job.angles, job_id)
        self.bar.update()
        return bits

    def tell(self, error, wait):
        tell(f"{type(error).__name__}: {error}. The next try is in {wait} s.")
