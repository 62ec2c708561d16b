"""A run of a plan: what it sends, and how long it measures each time step."""

import dataclasses
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import cirq
import numpy as np

from tfq_qrnn._checks import check_int, check_number
from tfq_qrnn._errors import argument_error
from tfq_qrnn.hw.closed_loop import Measurement
from tfq_qrnn.hw.cost import Cost
from tfq_qrnn.hw.estimate import Estimate
from tfq_qrnn.hw.models import Loop, groups_of, lengths_of
from tfq_qrnn.hw.replay import circuit_digest, steps_of

_MOST_BATCHES = 1000


@dataclasses.dataclass(frozen=True)
class Precision:
    """Until when a time step is measured: `standard_error`, `max_shots` and `max_jobs` of `Plan.run`."""

    standard_error: float | None = None
    max_shots: int | None = None
    max_jobs: int | None = None

    def __post_init__(self) -> None:
        if self.standard_error is None:
            return
        if check_number("standard_error", self.standard_error) <= 0:
            raise argument_error("standard_error", "be above 0", f"it is {self.standard_error}")
        if self.max_shots is None:
            raise argument_error("max_shots", "be given with standard_error: it is the most that is sent", "it is None")
        for name in ("max_shots", "max_jobs"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)

    def most(self, cost: Callable[[int], Cost]) -> int:
        """How often every time step may be measured; `cost` gives that of so many times."""
        if self.standard_error is None:
            return 1
        once, twice, found = cost(1), cost(2), _MOST_BATCHES
        for name in ("shots", "jobs"):
            limit = getattr(self, f"max_{name}")
            if limit is not None:
                first, more = getattr(once, name), getattr(twice, name) - getattr(once, name)
                found = min(found, 1 + (limit - first) // max(more, 1))
        return max(found, 1)


class ReplayRun:
    """One run.

    Args:
        plan: The `Plan`.
        repetitions, calibrations: Shots of a circuit, and of one that is measured before the first time step.
        precision: The `Precision`.
    """

    def __init__(self, plan: Any, repetitions: int, calibrations: int, precision: Precision):
        self.plan, self.repetitions, self.calibrations, self.precision = plan, repetitions, calibrations, precision
        self.most = 1  # batches of a time step
        self.batches: dict[int, list[int]] = {}  # of each cell those of its time steps
        self.warned = False

    def measurement(self) -> Measurement:
        """What `closed_loop.execute` takes."""
        spent = None if self.precision.standard_error is None else self.spent
        head, device = self.header(), self.plan.device
        functions = self.measure, self.cost, self.descriptions
        return Measurement(self.plan.n_timesteps, *functions, head, self.circuits, device, spent)

    def measure(self, loop: Loop, send: Callable) -> tuple:
        """The function for a cell's loop, and the readout errors of its rings."""
        replay, lengths = self.plan.replays[loop.number], lengths_of(loop.mask)
        known = replay.characterization.measure(send, self.calibrations, replay.used(lengths), steps_of(lengths))
        self.batches[loop.number] = batches = [0] * len(lengths)

        def enough(t, count, estimates):
            batches[t] = count
            return self._enough(t, count, estimates)

        errors = [one.errors for one in known] if replay.mitigation.readout else []
        return replay.measure(send, self.repetitions, known, enough), errors

    def _enough(self, t: int, count: int, estimates: list[Estimate]) -> bool:
        target = self.precision.standard_error
        if target is None:
            return True
        reached, floor = (max(getattr(one, name).max() for one in estimates) for name in ("standard_errors", "floor"))
        if reached <= target:
            return True
        if floor >= target:
            why = f"{floor:.2g} come from what is measured before them: raise `calibration_repetitions`"
        elif count >= _MOST_BATCHES:
            why = f"it was measured {_MOST_BATCHES:,} times, the most there is: raise `repetitions`"
        elif count >= self.most:
            why = "`max_shots`, or `max_jobs`, allows no more"
        else:
            return False
        if not self.warned:
            given = f"Standard errors of time step {t + 1} reach {reached:.2g} and not {target:g}: {why}."
            warnings.warn(given, stacklevel=2)
        self.warned = True
        return True

    def _cost(self, masks, batches):
        lengths = [lengths_of(mask) for mask in masks]
        return self.plan.cost_of(lengths, self.repetitions, self.calibrations, batches)

    def cost(self, masks: list[np.ndarray]) -> Cost:
        """The most that is sent."""

        def cost(times):
            return self._cost(masks, [[times] * mask.shape[1] for mask in masks])

        self.most = self.precision.most(cost)
        return cost(self.most)

    def spent(self, masks: list[np.ndarray]) -> Cost:
        """What was sent."""
        return self._cost(masks, [self.batches[number] for number in range(len(masks))])

    def descriptions(self, masks: list[np.ndarray]) -> list[dict]:
        """Those of all jobs that may be sent."""
        pairs = zip(self.plan.replays, masks, strict=True)
        return [job for replay, mask in pairs for job in replay.descriptions(groups_of(mask), self.most)]

    def circuits(self, masks: list[np.ndarray]) -> Iterator[cirq.Circuit]:
        """The circuits to check; the longest one on all rings stands for all that it contains."""
        for replay, mask in zip(self.plan.replays, masks, strict=True):
            lengths = lengths_of(mask)
            used, steps = replay.used(lengths), steps_of(lengths)
            for timesteps in steps if replay.is_changed else steps[-1:]:
                for number in range(replay.n_circuits):
                    yield replay.shared_circuit((timesteps,) * used, number)
            yield from replay.characterization.circuits(used, steps)

    def header(self) -> dict:
        """What a journal knows the settings by."""
        plan, first = self.plan, self.plan.replays[0]
        header = {
            "repetitions": self.repetitions,
            "qubits": [str(q) for q in first.native.all_qubits],
            "settings": list(first.readout.settings),
            "calibration_repetitions": self.calibrations,
            "points_per_job": first.points_per_job,
            "circuit": circuit_digest(first.native),
            **plan.mitigation.header(first.circuit),
        }
        seeds = [replay.characterization.seed for replay in plan.replays]
        if plan.mitigation.calibrates and any(seeds):
            header["patterns"] = seeds
        if self.precision.standard_error is not None:
            header["standard_error"] = float(self.precision.standard_error)
            # With others a time step may be measured more often, and all after it at other angles.
            limits = {"max_shots": self.precision.max_shots, "max_jobs": self.precision.max_jobs}
            header |= {name: None if limit is None else int(limit) for name, limit in limits.items()}
        if len(plan.replays) == 1:
            header["places"] = json.loads(cirq.to_json(list(first.native.qubits)))
        else:
            header["circuits"] = [circuit_digest(replay.native) for replay in plan.replays]
        if plan.has_rings:
            header["rings"] = json.loads(cirq.to_json([[*map(list, replay.places)] for replay in plan.replays]))
        return header
