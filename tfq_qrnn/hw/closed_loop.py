"""The trained loop on a processor: circuits, readouts, controller, angles, circuits.

The memory cannot be kept on the chip while the controller computes, nor read without being disturbed. So step t runs
the circuit of steps 1..t from |0...0> again, with the angles that the controller gave so far. How its readouts are
measured is a `Measurement`: replay in several settings (`plan`), or by ancillas.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import cirq
import keras
import numpy as np
from tqdm import tqdm

from tfq_qrnn._checks import check_bool, check_int
from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn.hw.cost import Cost
from tfq_qrnn.hw.devices import cirq_google
from tfq_qrnn.hw.engine_sender import EngineSender
from tfq_qrnn.hw.factors import in_factors
from tfq_qrnn.hw.fingerprint import fingerprint
from tfq_qrnn.hw.journal import Journal
from tfq_qrnn.hw.models import run_through
from tfq_qrnn.hw.result import Result
from tfq_qrnn.hw.sampler_info import described, device_of, is_paid, processor_of, takes_ids
from tfq_qrnn.hw.sender import Sender


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """How the readouts of a model's recurrent cells are measured.

    Attributes:
        n_timesteps: The greatest length of the sequences.
        measure: `(loop, send)` -> a function that the loop's `close` takes, and a list of `ReadoutErrors`, of each ring
            if they are calibrated; `send` takes jobs and gives their shots. Without a sampler `send` is None.
        cost: Masks of the cells, in the order of their numbers -> the `Cost`.
        jobs: The same -> the descriptions of all jobs.
        header: What a journal knows the settings by.
        circuits: The same masks -> circuits to check.
        device: The device that they were made for, or None.
        spent: Like `cost`, after the run, where that is not known before it.
    """

    n_timesteps: int
    measure: Callable
    cost: Callable[[list[np.ndarray]], Cost]
    jobs: Callable[[list[np.ndarray]], list[dict]]
    header: dict
    circuits: Callable
    device: cirq.Device | None
    spent: Callable[[list[np.ndarray]], Cost] | None = None


def execute(
    measurement: Measurement,
    model: keras.Layer,
    x: Any,
    sampler: cirq.Sampler | None,
    *,
    journal: str | os.PathLike[str] | None = None,
    confirm: bool = False,
    progress: bool = True,
    paid: bool = False,
    max_shots: int | None = None,
    max_jobs: int | None = None,
    max_concurrent_jobs: int = 1,
) -> Result:
    """The closed loop of a model: a `Result`. The arguments are those of `Plan.run`."""
    for name, value in (("confirm", confirm), ("progress", progress), ("paid", paid)):
        check_bool(name, value)
    limits = {"max_shots": max_shots, "max_jobs": max_jobs}
    limits = {name: None if value is None else check_int(name, value, 1) for name, value in limits.items()}
    max_concurrent_jobs = check_int("max_concurrent_jobs", max_concurrent_jobs, 1)
    if sampler is not None and not hasattr(sampler, "run_sweep"):
        raise argument_type_error("sampler", "be a cirq.Sampler", sampler)
    loops, exact = {}, {}

    def solve_exactly(loop):
        if loop.mask.shape[1] > measurement.n_timesteps:
            given = f"it has {loop.mask.shape[1]}"
            raise argument_error("x", f"have at most the plan's {measurement.n_timesteps} time steps", given)
        loops[loop.number], exact[loop.number] = loop, loop.exact()
        return exact[loop.number]

    run_through(model, x, solve_exactly)
    masks = [loops[number].mask for number in sorted(loops)]
    cost = measurement.cost(masks)
    for name, limit in limits.items():
        needed = getattr(cost, name.removeprefix("max_"))
        if limit is not None and needed > limit:
            raise argument_error(name, f"allow what the run takes, {needed:,}", f"it is {limit:,}")
    paid = paid or (sampler is not None and is_paid(sampler))
    if paid:
        _ask(cost, journal, confirm)
    if sampler is not None:
        _check_circuits(measurement, masks, cost, sampler)
    first = next(iter(loops.values()))
    header = {**fingerprint(model, first), **measurement.header}
    if sampler is not None:
        header["sampler"] = described(sampler)
    with (
        Journal(journal, header, measurement.jobs(masks), paid) as records,
        tqdm(total=cost.jobs, desc="closed loop", unit="job", disable=not progress) as bar,
    ):
        sender: Sender | None = None
        if sampler is not None and takes_ids(sampler):
            sender = EngineSender(sampler, records, bar, paid, **limits, max_concurrent_jobs=max_concurrent_jobs)
        elif sampler is not None:
            sender = Sender(in_factors(sampler), records, bar, paid, **limits)
        found = []

        def solve(loop):
            measure_step, errors = measurement.measure(loop, None if sender is None else sender.send)
            readouts, deviations, angles = loop.close(measure_step)
            first, of_rings = errors[0] if errors else None, tuple(errors) if len(errors) > 1 else ()
            measured = readouts, deviations, exact[loop.number], angles, None, first, cost
            found.append(Result(*measured, ring_errors=of_rings))
            return readouts

        if sender is None:
            outputs = run_through(model, x, solve)
        else:
            with sender:
                outputs = run_through(model, x, solve)
    if measurement.spent is not None:
        cost = measurement.spent(masks)
        found = [dataclasses.replace(of_one, cost=cost) for of_one in found]
    *earlier, last = found
    return dataclasses.replace(last, outputs=outputs, earlier=tuple(earlier))


def _ask(cost, journal, confirm):
    print(cost)
    if journal is None:
        raise argument_error("journal", "be a file where shots cost: what comes back is lost otherwise", "it is None")
    if not confirm:
        raise argument_error("confirm", "be True where shots cost, at what is printed above", "it is False")


def _check_circuits(measurement, masks, cost, sampler):
    """Refuse what a device or an engine would refuse, before the first job."""
    own = device_of(sampler)
    devices = [device for device in (measurement.device, own) if device is not None]
    engine = processor_of(sampler) is not None
    if not (devices or engine):
        return
    if engine:
        most = cirq_google().engine.engine_validator.MAX_TOTAL_REPETITIONS
        for sweep in cost.sweeps:
            if sweep.points * sweep.repetitions > most:
                rule = f"be at most {most:,} in the {counted(sweep.points, 'circuit')} of a job together"
                given = f"it is {sweep.repetitions:,} for each: give `points_per_job`"
                raise argument_error("repetitions", rule, given)
    for circuit in measurement.circuits(masks):
        try:
            for device in devices:
                device.validate_circuit(circuit)
            if engine:
                google = cirq_google()
                google.engine.engine_validator.validate_program(
                    [circuit], [None], 1, serializer=google.CIRCUIT_SERIALIZER
                )
                google.engine.engine_validator.validate_for_engine([circuit], [None], 1)
        except (ValueError, RuntimeError) as error:
            raise argument_error("device", "run the circuits of the layer", f"it refuses one: {error}") from error
