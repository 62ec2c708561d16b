"""Replay: time step t runs the circuit of steps 1..t again and measures at its end, once for each setting."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import cirq
import numpy as np

from tfq_qrnn._files import digest
from tfq_qrnn.hw.compile import NativeProgram
from tfq_qrnn.hw.cost import Sweeps
from tfq_qrnn.hw.error_suppression import suppress_errors
from tfq_qrnn.hw.jobs import Job
from tfq_qrnn.hw.readout import (
    CALIBRATION_CIRCUITS,
    KEY,
    ReadoutErrors,
    ReadoutPlan,
    calibration,
    readout_errors,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Replay:
    """One cell's circuits on the device, and what is sent for a time step.

    Attributes:
        native: The `NativeProgram`.
        readout: The `ReadoutPlan`.
        decouple, gauge_seed, points_per_job: As in `plan`.
        label: Names the cell in descriptions of jobs, where there are several.
    """

    native: NativeProgram
    readout: ReadoutPlan
    decouple: bool = False
    gauge_seed: int | None = None
    points_per_job: int | None = None
    label: dict = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def circuit(self) -> Callable[[int], cirq.Circuit]:
        """Time steps -> the circuit that is sent for the last of them: all steps, readout layer and measurement."""

        @functools.lru_cache(maxsize=8)  # sequences of one length share it
        def circuit(timesteps):
            circuit = self.native.prefix(timesteps) + self.readout.circuit(self.native.qubits)
            return suppress_errors(circuit, self.decouple, self.gauge_seed)

        return circuit

    @functools.cached_property
    def size(self) -> Callable[[int], tuple[int, int, int]]:
        """Time steps -> depth, one-qubit and two-qubit gates of it, without readout layer and measurement."""
        of_one_step = size(self.native.step(0))

        @functools.cache
        def of_steps(timesteps):
            if self.is_changed:
                return size(self.circuit(timesteps)[:-2])
            return tuple(timesteps * count for count in of_one_step)

        return of_steps

    @property
    def is_changed(self) -> bool:
        """Whether a circuit is more than its steps one after the other."""
        return self.decouple or self.gauge_seed is not None

    @functools.cached_property
    def calibration(self) -> tuple[cirq.Circuit, np.ndarray, list[dict[str, float]]]:
        """What measures the readout errors: circuit, patterns, points."""
        return calibration(self.native.qubits)

    def chunks(self, points: int) -> list[slice]:
        """Which points of a sweep each of its jobs takes."""
        share = self.points_per_job or max(points, 1)
        return [slice(start, min(start + share, points)) for start in range(0, points, share)]

    def descriptions(self, groups: Sequence, calibrate: bool) -> list[dict]:
        """Those of all jobs, in their order, of a loop whose sequences are grouped as `models.groups_of` has them."""
        found = self._calibrations() if calibrate else []
        for t, groups_at_t in enumerate(groups):
            for timesteps, members in groups_at_t:
                points = len(members) * len(self.readout.settings)
                found += [self._step(t, timesteps, members, part, points) for part in self.chunks(points)]
        return found

    def _calibrations(self):
        patterns = CALIBRATION_CIRCUITS
        return [self._described("readout errors", part, patterns) for part in self.chunks(patterns)]

    def _described(self, kind, part, points, **more):
        whole = part == slice(0, points)
        return {"kind": kind, **more, **({} if whole else {"points": [part.start, part.stop]}), **self.label}

    def _step(self, t, timesteps, members, part, points):
        return self._described("step", part, points, step=t, timesteps=timesteps, sequences=members)

    def calibration_jobs(self, repetitions: int) -> list[Job]:
        """The jobs that measure the readout errors."""
        circuit, _, points = self.calibration
        names, values = tuple(points[0]), np.array([list(point.values()) for point in points])
        return [
            self._job(description, lambda: circuit, names, values[part], repetitions)
            for description, part in zip(self._calibrations(), self.chunks(len(values)), strict=True)
        ]

    def step_jobs(self, t: int, members: list[int], angles: np.ndarray, repetitions: int) -> list[Job]:
        """The jobs of one time step, of sequences whose angles so far are `(members, timesteps, n_angles)`."""
        settings = [self.readout.values(setting) for setting in self.readout.settings]
        turns = [self.native.half_turns(rows) for rows in angles]
        names = (*turns[0], *settings[0])
        values = np.array([[*of_one.values(), *setting.values()] for of_one in turns for setting in settings])
        timesteps, last = angles.shape[1], angles[:, -1]
        jobs = []
        for part in self.chunks(len(values)):
            description = self._step(t, timesteps, members, part, len(values))
            circuit = functools.partial(self.circuit, timesteps)
            own = last[part.start // len(settings) : -(-part.stop // len(settings))]
            jobs.append(self._job(description, circuit, names, values[part], repetitions, own))
        return jobs

    def _job(self, description, circuit, names, values, repetitions, angles=None):
        return Job(description, circuit, names, values, repetitions, {KEY: len(self.native.qubits)}, angles)

    def measure(self, send: Callable, repetitions: int, errors: ReadoutErrors | None) -> Callable:
        """The function that `models.Loop.close` takes; `send` takes jobs and gives their shots."""

        def measured(t, members, angles):
            jobs = [self.step_jobs(t, *group, repetitions) for group in zip(members, angles, strict=True)]
            shots = iter(send([job for of_group in jobs for job in of_group]))
            found = []
            for of_group in jobs:
                bits = np.concatenate([next(shots) for _ in of_group])
                bits = bits.reshape(-1, len(self.readout.settings), *bits.shape[1:])
                estimates = [self.readout.estimate(of_one, errors) for of_one in bits]
                found.append(tuple(map(np.stack, zip(*estimates, strict=True))))
            return found

        return measured

    def calibrate(self, send: Callable, repetitions: int) -> ReadoutErrors:
        """The readout errors, measured."""
        bits = np.concatenate(send(self.calibration_jobs(repetitions)))
        return readout_errors(self.calibration[1], bits)

    def sweeps(self, lengths: Sequence, repetitions: int, calibration_repetitions: int) -> list[list[Sweeps]]:
        """What is sent: a list for each round of jobs that wait together.

        `lengths` has for each time step pairs of how many steps some sequences have run, and how many these are.
        """
        qubits = len(self.native.all_qubits)
        rounds = []
        if calibration_repetitions:
            rounds.append(self._sweeps(CALIBRATION_CIRCUITS, calibration_repetitions, len(self.native.qubits), 2))
        for groups in lengths:
            rounds.append([])
            for timesteps, members in groups:
                points = members * len(self.readout.settings)
                rounds[-1] += self._sweeps(points, repetitions, qubits, self.size(timesteps)[0] + 2)
        return rounds

    def _sweeps(self, points, repetitions, qubits, depth):
        share = min(self.points_per_job or points, points)
        full, rest = divmod(points, share)
        found = [Sweeps(full, share, repetitions, qubits, depth)]
        return found + [Sweeps(1, rest, repetitions, qubits, depth)] * (rest > 0)


def size(circuit: cirq.Circuit) -> tuple[int, int, int]:
    """Depth, one-qubit and two-qubit gates of a circuit, without measurements."""
    sizes = [len(op.qubits) for op in circuit.all_operations() if not cirq.is_measurement(op)]
    return len(circuit), sizes.count(1), sizes.count(2)


def circuit_digest(native: NativeProgram) -> str:
    """A hash of a compiled circuit."""
    return digest(repr((native.operations, native.matrix.tolist(), native.offset.tolist())).encode())
