"""Jobs on a processor of Google's engine, each under an id of ours that is in the journal before it is sent.

A job that may have arrived (its process was killed, its answer timed out) is fetched by its id, and sent under the same
id only if the engine does not have it. The engine refuses an id that it has: nothing is run twice.
"""

import duet

from tfq_qrnn.hw.faults import SYSTEM_FAILURES, WAITS, already_exists, is_missing, is_transient


async def send_all(sender, jobs):
    """The shots of some jobs of a `Sender`, up to `most` of them at once.

    After the first error nothing more is sent; what is under way is waited for, and recorded.
    """
    limiter, errors = duet.Limiter(sender.most), []

    async def send(job):
        async with limiter:
            if errors:
                return None
            try:
                return await _shots(sender, job)
            except Exception as error:
                errors.append(error)

    shots = await duet.pmap_async(send, jobs)
    if errors:
        raise errors[0]
    return shots


async def _shots(sender, job):
    book, processor = sender.book, sender.sampler.processor
    job_id, waits = book.unanswered(job.description), iter(WAITS)
    known = job_id is not None  # the engine may have it
    while True:
        engine_job, fetched = None, known
        try:
            if job_id is None:
                sender.count(job)
                job_id = book.announce(job.description)
            if fetched:
                engine_job = processor.engine().get_program(job_id).get_job(job_id)
            else:
                known = True
                engine_job = await _send(sender.sampler, job, job_id)
            results = await engine_job.results_async()
        except Exception as error:
            if failure := _failure(engine_job, error):
                book.fail(job.description, job_id, f"{failure}: {error}")
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
            sender.tell(error, wait)
            await duet.sleep(wait)
            continue
        return sender.accept(job, results, job_id)


async def _send(sampler, job, job_id):
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
