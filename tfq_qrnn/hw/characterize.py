"""What is measured before the first time step: readout errors, and what survives of a readout."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import cirq
import numpy as np

from tfq_qrnn.hw.cost import Sweeps
from tfq_qrnn.hw.estimate import Survival
from tfq_qrnn.hw.jobs import Job
from tfq_qrnn.hw.readout_errors import (
    CALIBRATION_CIRCUITS,
    ReadoutErrors,
    calibration,
    calibration_patterns,
    readout_errors,
)
from tfq_qrnn.hw.survival import Echoes


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """What is known of a ring.

    Attributes:
        errors: Its `ReadoutErrors`, or None.
        survivals: Number of time steps -> `Survival`; empty where it is not measured.
    """

    errors: ReadoutErrors | None = None
    survivals: dict[int, Survival] = dataclasses.field(default_factory=dict)


class Characterization:
    """The circuits, for one cell; all used rings at once.

    Args:
        replay: The cell's `Replay`.
    """

    def __init__(self, replay: Any):
        self.replay, self.mitigation = replay, replay.mitigation
        self.qubits, self.blocks = replay.native.qubits, replay.readout.blocks
        self.seed, self.patterns = calibration_patterns(len(self.qubits), self.blocks)
        self.circuit, _, self.points = calibration(self.qubits, self.blocks)
        self.echoes = Echoes(replay.native, replay.readout, self.mitigation.seed)

    def descriptions(self, steps: Sequence[int]) -> list[dict]:
        """Those of all jobs; `steps` are the numbers of time steps that are run."""
        found = self._described("readout errors") if self.mitigation.readout else []
        if self.mitigation.survival:
            found += [one for timesteps in steps for one in self._described("survival", timesteps=timesteps)]
        return found

    def _described(self, kind, **more):
        count = CALIBRATION_CIRCUITS
        return [self.replay.described(kind, part, count, **more) for part in self.replay.chunks(count)]

    def _orders(self, used):
        """For each ring the order of its patterns: its neighbours have others at the same time."""
        first = np.arange(CALIBRATION_CIRCUITS)
        return [np.random.default_rng(ring).permutation(first) if ring else first for ring in range(used)]

    def _jobs(self, descriptions, circuit, symbols, values, repetitions, used):
        on_rings = self.replay.on_rings
        names = [name for ring in range(used) for name in on_rings.names(symbols, ring)]
        values = np.concatenate([values[order] for order in self._orders(used)], axis=1)

        def joined():
            return circuit() if used == 1 else on_rings.joined([circuit()] * used)

        parts = self.replay.chunks(len(values))
        return [
            self.replay.job(description, joined, names, values[part], repetitions, used)
            for description, part in zip(descriptions, parts, strict=True)
        ]

    def readout_jobs(self, repetitions: int, used: int) -> list[Job]:
        """The jobs that measure the readout errors of the first rings."""
        values = np.array([list(point.values()) for point in self.points])
        described = self._described("readout errors")
        return self._jobs(described, lambda: self.circuit, tuple(self.points[0]), values, repetitions, used)

    def survival_jobs(self, repetitions: int, used: int, timesteps: int) -> list[Job]:
        """The jobs that measure what is left after some time steps."""
        described = self._described("survival", timesteps=timesteps)
        return self._jobs(described, lambda: self._echo(timesteps), *self.echoes.points(timesteps), repetitions, used)

    def _echo(self, timesteps):
        circuit = self.echoes.circuit(timesteps)
        return cirq.add_dynamical_decoupling(circuit, schema="XX_PAIR") if self.mitigation.decouple else circuit

    def circuits(self, used: int, steps: Sequence[int]) -> list[cirq.Circuit]:
        """The circuits to check."""
        jobs = self.readout_jobs(1, used)[:1] if self.mitigation.readout else []
        if self.mitigation.survival:
            jobs += [self.survival_jobs(1, used, timesteps)[0] for timesteps in steps]
        return [job.circuit() for job in jobs]

    def measure(self, send: Callable, repetitions: int, used: int, steps: Sequence[int]) -> list[Known]:
        """What is found of the first rings."""
        known = [Known() for _ in range(used)]
        if self.mitigation.readout:
            bits = self._bits(send(self.readout_jobs(repetitions, used)), used)
            known = [Known(readout_errors(self.patterns, of_ring, self.blocks)) for of_ring in bits]
        if self.mitigation.survival:
            jobs = [self.survival_jobs(repetitions, used, timesteps) for timesteps in steps]
            shots = iter(send([job for of_steps in jobs for job in of_steps]))
            for timesteps, of_steps in zip(steps, jobs, strict=True):
                bits = self._bits([next(shots) for _ in of_steps], used)
                for one, of_ring in zip(known, bits, strict=True):
                    one.survivals[timesteps] = self.echoes.survival(of_ring, one.errors, timesteps)
        return known

    def _bits(self, shots, used):
        """For each ring its shots in the order of the patterns, `(16, repetitions, n_qubits)`."""
        circuits = np.concatenate(shots)
        bits = np.moveaxis(circuits.reshape(*circuits.shape[:2], used, -1), 2, 0)
        return [of_ring[np.argsort(order)] for of_ring, order in zip(bits, self._orders(used), strict=True)]

    def sweeps(self, repetitions: int, used: int, steps: Sequence[int]) -> list[list[Sweeps]]:
        """What is sent: a list for each round of jobs that wait together."""
        count, rounds = CALIBRATION_CIRCUITS, []
        if self.mitigation.readout:
            rounds.append(self.replay.cut(count, repetitions, used * len(self.qubits), 2))
        if self.mitigation.survival:
            qubits = used * len(self.replay.native.all_qubits)
            whole = self.mitigation.decouple
            depths = [len(self._echo(t)) if whole else self.echoes.depth(t) for t in steps]
            rounds.append([one for depth in depths for one in self.replay.cut(count, repetitions, qubits, depth)])
        return rounds
