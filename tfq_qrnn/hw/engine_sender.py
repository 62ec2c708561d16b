"""Jobs on a processor of Google's engine, each under an id of ours that is in the journal before it is sent.

A job that may have arrived (its process was killed, its answer timed out) is fetched by its id, and sent under the same
id only if the engine does not have it. The engine refuses an id that it has: nothing is run twice.
"""

from collections.abc import Iterable
from typing import Any

import duet
import numpy as np

from tfq_qrnn.hw.jobs import Job
from tfq_qrnn.hw.retries import SYSTEM_FAILURES, WAITS, already_exists, is_missing, is_transient
from tfq_qrnn.hw.sender import Sender


class EngineSender(Sender):
    """A `Sender` that has up to `max_concurrent_jobs` jobs at the processor at once."""

    def __init__(self, *arguments: Any, max_concurrent_jobs: int, **limits: Any):
        super().__init__(*arguments, **limits)
        self.max_concurrent_jobs = max_concurrent_jobs

    def _shots(self, jobs: dict[int, Job]) -> Iterable[np.ndarray]:
        return duet.run(self._send_all, list(jobs.values())) if jobs else []

    async def _send_all(self, jobs):
        """After the first error nothing more is sent; what is under way is waited for, and recorded."""
        limiter, errors = duet.Limiter(self.max_concurrent_jobs), []

        async def send(job):
            async with limiter:
                if errors:
                    return None
                try:
                    return await self._shots_of(job)
                except Exception as error:
                    errors.append(error)

        shots = await duet.pmap_async(send, jobs)
        if errors:
            raise errors[0]
        return shots

    async def _shots_of(self, job):
        journal, processor = self.journal, self.sampler.processor
        job_id, waits = journal.unanswered(job.description), iter(WAITS)
        known = job_id is not None  # the engine may have it
        while True:
            engine_job, fetched = None, known
            try:
                if job_id is None:
                    self._count(job)
                    job_id = journal.announce(job.description)
                if fetched:
                    engine_job = processor.engine().get_program(job_id).get_job(job_id)
                else:
                    known = True
                    engine_job = await self._send_one(job, job_id)
                results = await engine_job.results_async()
            except Exception as error:
                if failure := _failure(engine_job, error):
                    journal.fail(job.description, job_id, f"{failure}: {error}")
                    job_id, known = None, False
                    again = failure in SYSTEM_FAILURES
                elif fetched and is_missing(error):
                    known = False  # it never arrived
                    continue
                else:
                    again = is_transient(error) or already_exists(error)
                wait = next(waits, None)
                if not again or wait is None:
                    raise
                self._tell(error, wait)
                await duet.sleep(wait)
                continue
            return self._accept(job, results, job_id)

    async def _send_one(self, job, job_id):
        sampler = self.sampler
        return await sampler.processor.run_sweep_async(
            program=job.circuit(),
            program_id=job_id,
            job_id=job_id,
            params=job.sweep,
            repetitions=job.repetitions,
            run_name=sampler.run_name,
            snapshot_id=sampler.snapshot_id,
            device_config_name=sampler.device_config_name,
        )


def _failure(engine_job, error):
    """The code of a job that ended without results; None of one that may still have them."""
    if engine_job is None or not isinstance(error, RuntimeError):
        return None
    state = engine_job.execution_status().name
    if state == "FAILURE":
        return engine_job.failure()[0]
    return state if state == "CANCELLED" else None
