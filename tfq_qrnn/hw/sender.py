"""What sends the jobs of a run to a sampler: those that the journal does not have, each checked and recorded."""

import time
from collections.abc import Iterable
from typing import Any

import cirq
import numpy as np
from tqdm import tqdm

from tfq_qrnn._errors import argument_error
from tfq_qrnn.hw.jobs import Job
from tfq_qrnn.hw.journal import Journal
from tfq_qrnn.hw.retries import WAITS, is_refused, is_transient, tell_next_try
from tfq_qrnn.hw.seeded_sampler import seeded_sampler_of


class Sender:
    """Sends jobs to any sampler, one after the other. `EngineSender` sends them to a processor of Google's engine.

    Args:
        sampler: A `cirq.Sampler`.
        journal: The run's `Journal`.
        bar: Its progress bar.
        paid: Whether its shots cost.
        max_shots, max_jobs: What may be sent, tries that failed included; None for any number.

    As a context manager it puts a seeded sampler back where it began, if the run does not end.
    """

    def __init__(
        self,
        sampler: cirq.Sampler,
        journal: Journal,
        bar: tqdm,
        paid: bool,
        max_shots: int | None = None,
        max_jobs: int | None = None,
    ):
        self.sampler, self.journal, self.bar, self.paid = sampler, journal, bar, paid
        self.left = {"max_shots": max_shots, "max_jobs": max_jobs}
        self.done = 0  # jobs whose shots are there
        self.seeded = seeded_sampler_of(sampler)
        self.first = self.seeded.calls if self.seeded else 0

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self.seeded:
            self.seeded.calls = self.first + (self.done if kind is None else 0)

    def send(self, jobs: Iterable[Job]) -> list[np.ndarray]:
        """The shots of some jobs; they may run at the same time."""
        jobs = list(jobs)
        recorded = [self.journal.find(job.description, job.shape, job.angles) for job in jobs]
        missing = {place: job for place, job in enumerate(jobs) if recorded[place] is None}
        self.bar.update(len(jobs) - len(missing))
        sent = dict(zip(missing, self._shots(missing), strict=True))
        self.done += len(jobs)
        return [sent[place] if bits is None else bits for place, bits in enumerate(recorded)]

    def _shots(self, jobs: dict[int, Job]) -> Iterable[np.ndarray]:
        """The shots of jobs, by their place among those that are sent together."""
        for place, job in jobs.items():
            # A job's shots depend on the seed and on which job it is, not on which ones the journal had.
            if self.seeded:
                self.seeded.calls = self.first + self.done + place
            yield self._sample(job)

    def _sample(self, job):
        waits = iter(WAITS)
        while True:
            self._count(job)
            try:
                results = self.sampler.run_sweep(job.circuit(), params=job.sweep, repetitions=job.repetitions)
                return self._accept(job, results)
            except Exception as error:
                # What may have arrived under no id of ours is not sent again where it costs.
                again = is_refused(error) if self.paid else is_transient(error)
                wait = next(waits, None)
                if wait is None or not again:
                    raise
                self._tell(error, wait)
            time.sleep(wait)

    def _count(self, job: Job) -> None:
        """Take a job from what may be sent."""
        for name, amount in (("max_jobs", 1), ("max_shots", job.shape[0] * job.repetitions)):
            left = self.left[name]
            if left is not None:
                if amount > left:
                    given = "the tries that failed have used it up; what came back is in the journal"
                    raise argument_error(name, "allow the tries of this run", given)
                self.left[name] = left - amount

    def _accept(self, job: Job, results: Any, job_id: str | None = None) -> np.ndarray:
        """The shots of a job's results, on disk."""
        try:
            bits = job.bits(results)
        except ValueError as error:
            self.journal.reject(job.description, results, str(error), job_id)
            if self.journal.path is None:
                raise
            kept = f"It is kept in {self.journal.path}; all before it is in the journal."
            raise ValueError(f"{error} {kept}") from error
        self.journal.keep(job.description, bits, job.angles, job_id)
        self.bar.update()
        return bits

    def _tell(self, error, wait):
        tell_next_try(f"{type(error).__name__}: {error}.", wait)
