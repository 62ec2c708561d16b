"""Replay: time step t runs the circuit of steps 1..t again and measures at its end, once for each setting."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Sequence

import cirq
import numpy as np

from tfq_qrnn._files import digest
from tfq_qrnn.hw.compile import NativeProgram, compile_program
from tfq_qrnn.hw.cost import Sweeps
from tfq_qrnn.hw.error_suppression import suppress_errors
from tfq_qrnn.hw.jobs import Job
from tfq_qrnn.hw.on_rings import OnRings
from tfq_qrnn.hw.readout import ReadoutPlan
from tfq_qrnn.hw.readout_errors import CALIBRATION_CIRCUITS, KEY, ReadoutErrors, calibration, readout_errors
from tfq_qrnn.hw.sharing import Share, n_used, shares


@dataclasses.dataclass(frozen=True, eq=False)
class Replay:
    """One cell's circuits on the device, and what is sent for a time step.

    Attributes:
        native: The `NativeProgram`, on the first ring.
        readout: The `ReadoutPlan`.
        decouple, gauge_seed, points_per_job: As in `plan`.
        label: Names the cell in descriptions of jobs, where there are several.
        places: For each ring the qubits on which a sequence runs, relays among them; by default those of `native`.
    """

    native: NativeProgram
    readout: ReadoutPlan
    decouple: bool = False
    gauge_seed: int | None = None
    points_per_job: int | None = None
    label: dict = dataclasses.field(default_factory=dict)
    places: tuple[tuple[cirq.Qid, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", self.places or (self.native.all_qubits,))

    @functools.cached_property
    def circuit(self) -> Callable[[int], cirq.Circuit]:
        """Time steps -> the first ring's circuit for the last of them: all steps, readout layer and measurement."""

        @functools.lru_cache(maxsize=32)  # sequences of one length share it
        def circuit(timesteps):
            circuit = self.native.prefix(timesteps) + self.readout.circuit(self.native.qubits)
            return suppress_errors(circuit, self.decouple, self.gauge_seed)

        return circuit

    def moved(self, places: Sequence[Sequence[cirq.Qid]], device: cirq.Device) -> "Replay":
        """The same on other rings."""
        moved, program = self.native.moved(places[0]), self.native.program
        # Compiled there, the order of the gates does not depend on where they were before: a journal compares it.
        native = compile_program(program, device, moved.qubits)
        if native.all_qubits != moved.all_qubits or _couplers(native) != _couplers(moved):
            native = moved
        return dataclasses.replace(self, native=native, places=tuple(map(tuple, places)))

    @functools.cached_property
    def on_rings(self) -> OnRings:
        """What runs on the first ring, on the others."""
        return OnRings(self.places)

    @functools.cached_property
    def shared_circuit(self) -> Callable[[tuple[int, ...]], cirq.Circuit]:
        """For each of the first rings its time steps -> the circuit that is sent."""

        @functools.lru_cache(maxsize=8)
        def circuit(timesteps):
            circuits = [self.circuit(of_one) for of_one in timesteps]
            return circuits[0] if len(circuits) == 1 else self.on_rings.joined(circuits)

        return circuit

    def used(self, lengths: Sequence) -> int:
        """How many rings a loop needs; `lengths` as `sweeps` has them."""
        numbers = [sum(count for _, count in groups) for groups in lengths]
        return max((n_used(number, len(self.places)) for number in numbers if number), default=1)

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
        return calibration(self.native.qubits, self.readout.blocks)

    def chunks(self, points: int) -> list[slice]:
        """Which points of a sweep each of its jobs takes."""
        share = self.points_per_job or max(points, 1)
        return [slice(start, min(start + share, points)) for start in range(0, points, share)]

    def descriptions(self, groups: Sequence, calibrate: bool) -> list[dict]:
        """Those of all jobs, in their order, of a loop whose sequences are grouped as `models.groups_of` has them."""
        found = self._calibrations() if calibrate else []
        for t, groups_at_t in enumerate(groups):
            for share, members in self._shares(groups_at_t):
                points = share.points * len(self.readout.settings)
                found += [self._step(t, share, members, part, points) for part in self.chunks(points)]
        return found

    def _shares(self, groups):
        """Who shares circuits, of pairs of steps so far and sequences: pairs of a `Share` and each ring's sequences."""
        order = [sequence for _, members in sorted(groups, reverse=True) for sequence in members]
        found = shares([(steps, len(members)) for steps, members in groups], len(self.places))
        return [(share, [[order[i] for i in of_ring] for of_ring in share.members]) for share in found]

    def _calibrations(self):
        patterns = CALIBRATION_CIRCUITS
        return [self._described("readout errors", part, patterns) for part in self.chunks(patterns)]

    def _described(self, kind, part, points, **more):
        whole = part == slice(0, points)
        return {"kind": kind, **more, **({} if whole else {"points": [part.start, part.stop]}), **self.label}

    def _step(self, t, share, members, part, points):
        timesteps, sequences = share.timesteps, members
        if len(self.places) == 1:
            (timesteps,), (sequences,) = timesteps, sequences
        return self._described("step", part, points, step=t, timesteps=timesteps, sequences=sequences)

    def calibration_jobs(self, repetitions: int, used: int = 1) -> list[Job]:
        """The jobs that measure the readout errors of the first rings."""
        circuit, _, points = self.calibration
        values = np.array([list(point.values()) for point in points])
        names = [name for ring in range(used) for name in self.on_rings.names(points[0], ring)]
        values = np.concatenate([values[order] for order in self._orders(used)], axis=1)
        circuit = circuit if used == 1 else self.on_rings.joined([circuit] * used)
        return [
            self._job(description, lambda: circuit, names, values[part], repetitions, used)
            for description, part in zip(self._calibrations(), self.chunks(len(values)), strict=True)
        ]

    def _orders(self, used):
        """For each ring the order of its patterns: its neighbours have others at the same time."""
        first = np.arange(CALIBRATION_CIRCUITS)
        return [np.random.default_rng(ring).permutation(first) if ring else first for ring in range(used)]

    def step_jobs(self, t: int, share: Share, members: list[list[int]], angles: dict, repetitions: int) -> list[Job]:
        """The jobs of sequences that share a circuit.

        `members` has the sequences of each ring, `angles` those of each sequence so far, `(timesteps, n_angles)`.
        """
        settings = [self.readout.values(setting) for setting in self.readout.settings]
        names, values = [], []
        for ring, timesteps in enumerate(share.timesteps):
            turns = [self.native.half_turns(angles[sequence]) for sequence in members[ring]]
            own = turns or [self.native.half_turns(np.zeros((timesteps, self.native.program.n_angles)))]
            rows = np.array([[*of_one.values(), *setting.values()] for of_one in own for setting in settings])
            idle = (share.points - len(own)) * len(settings)
            names += self.on_rings.names((*own[0], *settings[0]), ring)
            values.append(np.pad(rows, ((0, idle), (0, 0))))
        table, jobs = np.concatenate(values, axis=1), []
        for part in self.chunks(len(table)):
            description = self._step(t, share, members, part, len(table))
            circuit = functools.partial(self.shared_circuit, share.timesteps)
            points = slice(part.start // len(settings), -(-part.stop // len(settings)))
            last = np.array([angles[sequence][-1] for of_ring in members for sequence in of_ring[points]])
            jobs.append(self._job(description, circuit, names, table[part], repetitions, len(members), last))
        return jobs

    def _job(self, description, circuit, names, values, repetitions, used, angles=None):
        keys = {key: len(self.native.qubits) for ring in range(used) for key in self.on_rings.names([KEY], ring)}
        return Job(description, circuit, tuple(names), values, repetitions, keys, angles)

    def measure(self, send: Callable, repetitions: int, errors: Sequence[ReadoutErrors | None]) -> Callable:
        """The function that `models.Loop.close` takes.

        `send` takes jobs and gives their shots; `errors` are those of the rings that are used.
        """

        def measured(t, members, angles):
            histories = {b: rows for group in zip(members, angles, strict=True) for b, rows in zip(*group, strict=True)}
            groups = [(rows.shape[1], group) for group, rows in zip(members, angles, strict=True)]
            shared = self._shares(groups)
            jobs = [self.step_jobs(t, *of_share, histories, repetitions) for of_share in shared]
            shots, found = iter(send([job for of_share in jobs for job in of_share])), {}
            for (share, of_rings), of_share in zip(shared, jobs, strict=True):
                bits = np.concatenate([next(shots) for _ in of_share])
                bits = bits.reshape(share.points, len(self.readout.settings), repetitions, len(of_rings), -1)
                for ring, sequences in enumerate(of_rings):
                    for point, sequence in enumerate(sequences):
                        found[sequence] = self.readout.estimate(bits[point, :, :, ring], errors[ring])
            return [tuple(map(np.stack, zip(*map(found.get, group), strict=True))) for group in members]

        return measured

    def calibrate(self, send: Callable, repetitions: int, used: int = 1) -> list[ReadoutErrors]:
        """The readout errors of the first rings, measured."""
        circuits = np.concatenate(send(self.calibration_jobs(repetitions, used)))
        bits = np.moveaxis(circuits.reshape(*circuits.shape[:2], used, -1), 2, 0)
        patterns, orders = self.calibration[1], self._orders(used)
        blocks = self.readout.blocks
        return [
            readout_errors(patterns, of_ring[np.argsort(order)], blocks)
            for of_ring, order in zip(bits, orders, strict=True)
        ]

    def sweeps(self, lengths: Sequence, repetitions: int, calibration_repetitions: int) -> list[list[Sweeps]]:
        """What is sent: a list for each round of jobs that wait together.

        `lengths` has for each time step pairs of how many steps some sequences have run, and how many these are.
        """
        rounds = []
        if calibration_repetitions:
            qubits = self.used(lengths) * len(self.native.qubits)
            rounds.append(self._sweeps(CALIBRATION_CIRCUITS, calibration_repetitions, qubits, 2))
        for groups in lengths:
            rounds.append([])
            for share in shares(groups, len(self.places)):
                points = share.points * len(self.readout.settings)
                qubits = len(share.timesteps) * len(self.native.all_qubits)
                rounds[-1] += self._sweeps(points, repetitions, qubits, self.size(share.timesteps[0])[0] + 2)
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


def _couplers(native):
    return collections.Counter(frozenset(on) for _, on, _ in native.operations if len(on) == 2)


def circuit_digest(native: NativeProgram) -> str:
    """A hash of a compiled circuit."""
    return digest(repr((native.operations, native.matrix.tolist(), native.offset.tolist())).encode())
