"""Replay: time step t runs the circuit of steps 1..t again and measures at its end, once for each setting."""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import cirq
import numpy as np

from tfq_qrnn._errors import argument_error
from tfq_qrnn._files import digest
from tfq_qrnn.hw.characterize import Characterization, Known
from tfq_qrnn.hw.compile import NativeProgram, compile_program
from tfq_qrnn.hw.cost import Sweeps
from tfq_qrnn.hw.estimate import Estimate
from tfq_qrnn.hw.jobs import Job
from tfq_qrnn.hw.mitigation import Mitigation
from tfq_qrnn.hw.on_rings import OnRings
from tfq_qrnn.hw.points import Points
from tfq_qrnn.hw.readout import ReadoutPlan
from tfq_qrnn.hw.readout_errors import KEY
from tfq_qrnn.hw.sharing import Share, n_used, shares


@dataclasses.dataclass(frozen=True, eq=False)
class Replay:
    """One cell's circuits on the device, and what is sent for a time step.

    Attributes:
        native: The `NativeProgram`, on the first ring.
        readout: The `ReadoutPlan`.
        mitigation, points_per_job: As in `plan`.
        label: Names the cell in descriptions of jobs, where there are several.
        places: For each ring the qubits on which a sequence runs, relays among them; by default those of `native`.
    """

    native: NativeProgram
    readout: ReadoutPlan
    mitigation: Mitigation = dataclasses.field(default_factory=Mitigation)
    points_per_job: int | None = None
    label: dict = dataclasses.field(default_factory=dict)
    places: tuple[tuple[cirq.Qid, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", self.places or (self.native.all_qubits,))

    @functools.cached_property
    def points(self) -> Points:
        """What is sent for one sequence."""
        return Points(self.native, self.readout, self.mitigation)

    def circuit(self, timesteps: int) -> cirq.Circuit:
        """The first ring's circuit of some time steps: all steps, readout layer and measurement."""
        return self.points.circuits(timesteps)[0]

    @functools.cached_property
    def n_circuits(self) -> int:
        """How many circuits stand for one: an estimator's."""
        return len(self.points.circuits(1))

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
    def shared_circuit(self) -> Callable[..., cirq.Circuit]:
        """For each of the first rings its time steps, and which of an estimator's circuits -> what is sent."""

        @functools.lru_cache(maxsize=8)
        def circuit(timesteps, number=0):
            circuits = [self.points.circuits(of_one) for of_one in timesteps]
            for of_one in circuits:
                if len(of_one) != self.n_circuits:
                    given = f"it has {self.n_circuits} after one and {len(of_one)} after more"
                    raise argument_error("estimator", "have as many circuits after all time steps", given)
            circuits = [of_one[number] for of_one in circuits]
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
        return self.mitigation.decouple or self.mitigation.estimator is not None

    @functools.cached_property
    def characterization(self) -> Characterization:
        """What is measured before the first time step."""
        return Characterization(self)

    def chunks(self, points: int) -> list[slice]:
        """Which points of a sweep each of its jobs takes."""
        share = self.points_per_job or max(points, 1)
        return [slice(start, min(start + share, points)) for start in range(0, points, share)]

    def descriptions(self, groups: Sequence, batches: int) -> list[dict]:
        """Those of all jobs, in their order, of a loop whose sequences are grouped as `models.groups_of` has them."""
        found = self.characterization.descriptions(steps_of(groups))
        for t, groups_at_t in enumerate(groups):
            for batch in range(batches):
                for share, members in self._shares(groups_at_t):
                    points = share.points * self.points.count
                    parts = [(number, part) for number in range(self.n_circuits) for part in self.chunks(points)]
                    found += [self._step(t, share, members, part, points, number, batch) for number, part in parts]
        return found

    def _shares(self, groups):
        """Who shares circuits, of pairs of steps so far and sequences: the share, and for each ring its sequences."""
        order = [sequence for _, members in sorted(groups, reverse=True) for sequence in members]
        found = shares([(steps, len(members)) for steps, members in groups], len(self.places))
        return [(share, [[order[i] for i in of_ring] for of_ring in share.members]) for share in found]

    def described(self, kind: str, part: slice, points: int, **more: Any) -> dict:
        """The description of a job that runs a part of a sweep."""
        whole = part == slice(0, points)
        return {"kind": kind, **more, **({} if whole else {"points": [part.start, part.stop]}), **self.label}

    def _step(self, t, share, members, part, points, number, batch):
        timesteps, sequences = share.timesteps, members
        if len(self.places) == 1:
            (timesteps,), (sequences,) = timesteps, sequences
        more = {"circuit": number} if number else {}
        more |= {"batch": batch} if batch else {}
        return self.described("step", part, points, step=t, timesteps=timesteps, sequences=sequences, **more)

    def step_jobs(
        self, t: int, share: Share, members: list[list[int]], angles: dict, repetitions: int, batch: int = 0
    ) -> list[Job]:
        """The jobs of sequences that share circuits, one circuit after the other.

        `members` has the sequences of each ring, `angles` those of each sequence so far, `(timesteps, n_angles)`.
        """
        names, values, count = [], [], self.points.count
        for ring, timesteps in enumerate(share.timesteps):
            own = [angles[sequence] for sequence in members[ring]]
            own = own or [np.zeros((timesteps, self.native.program.n_angles))]
            sweeps = [self.points.sweep(of_one) for of_one in own]
            rows = np.concatenate([of_one for _, of_one in sweeps])
            names += self.on_rings.names(sweeps[0][0], ring)
            values.append(np.pad(rows, ((0, share.points * count - len(rows)), (0, 0))))
        table, jobs = np.concatenate(values, axis=1), []
        for number in range(self.n_circuits):
            circuit = functools.partial(self.shared_circuit, share.timesteps, number)
            for part in self.chunks(len(table)):
                description = self._step(t, share, members, part, len(table), number, batch)
                points = slice(part.start // count, -(-part.stop // count))
                last = np.array([angles[sequence][-1] for of_ring in members for sequence in of_ring[points]])
                shots = self.points.repetitions(repetitions)
                jobs.append(self.job(description, circuit, names, table[part], shots, len(members), last))
        return jobs

    def job(
        self,
        description: dict,
        circuit: Callable[[], cirq.Circuit],
        names: Sequence[str],
        values: np.ndarray,
        repetitions: int,
        used: int,
        angles: np.ndarray | None = None,
    ) -> Job:
        """A job that measures the first rings."""
        keys = {key: len(self.native.qubits) for ring in range(used) for key in self.on_rings.names([KEY], ring)}
        return Job(description, circuit, tuple(names), values, repetitions, keys, angles)

    def measure(
        self,
        send: Callable,
        repetitions: int,
        known: Sequence[Known],
        enough: Callable[[int, int, list[Estimate]], bool],
    ) -> Callable:
        """The function that `models.Loop.close` takes.

        `send` takes jobs and gives their shots; `known` is what is known of the rings that are used. A time step is
        measured in batches, until `enough(time step, batches, estimates)`.
        """

        def measured(t, members, angles):
            histories = {b: rows for group in zip(members, angles, strict=True) for b, rows in zip(*group, strict=True)}
            shared = self._shares([(rows.shape[1], group) for group, rows in zip(members, angles, strict=True)])
            at = [(b, ring) for _, of_rings in shared for ring, sequences in enumerate(of_rings) for b in sequences]
            shots: dict[int, np.ndarray] = {}
            found: dict[int, Estimate] = {}
            for batch in itertools.count():
                if not shared or (batch and enough(t, batch, list(found.values()))):
                    break
                jobs = [self.step_jobs(t, *of_share, histories, repetitions, batch) for of_share in shared]
                self._collect(send, shared, jobs, shots)
                found = {b: self._estimate(shots[b], known[ring], len(histories[b])) for b, ring in at}
            return [tuple(np.array([_pair(found[b]) for b in group]).swapaxes(0, 1)) for group in members]

        return measured

    def _collect(self, send, shared, jobs, shots):
        """Add each sequence's shots, `(circuits, points, repetitions, n_qubits)`, to those of the batches before."""
        results = iter(send([job for of_share in jobs for job in of_share]))
        for (share, of_rings), of_share in zip(shared, jobs, strict=True):
            bits = np.concatenate([next(results) for _ in of_share])
            shape = self.n_circuits, share.points, self.points.count, bits.shape[1], len(of_rings), -1
            bits = bits.reshape(shape)
            for ring, sequences in enumerate(of_rings):
                for point, b in enumerate(sequences):
                    new = bits[:, point, :, :, ring]
                    shots[b] = np.concatenate([shots[b], new], axis=2) if b in shots else new

    def _estimate(self, shots, known, timesteps):
        return self.points.estimate(shots, known.errors, known.survivals.get(timesteps))

    def sweeps(
        self, lengths: Sequence, repetitions: int, calibration_repetitions: int, batches: Sequence[int]
    ) -> list[list[Sweeps]]:
        """What is sent: a list for each round of jobs that wait together.

        `lengths` has for each time step pairs of how many steps some sequences have run, and how many these are;
        `batches` how often each time step is measured.
        """
        rounds = self.characterization.sweeps(calibration_repetitions, self.used(lengths), steps_of(lengths))
        for groups, times in zip(lengths, batches, strict=True):
            own = []
            for share in shares(groups, len(self.places)):
                points = share.points * self.points.count
                qubits = len(share.timesteps) * len(self.native.all_qubits)
                for depth in self._depths(share.timesteps[0]):
                    own += self.cut(points, self.points.repetitions(repetitions), qubits, depth)
            rounds += [own] * times
        return rounds

    def _depths(self, timesteps):
        """Of the circuits that are sent, with readout layer and measurement."""
        if self.mitigation.estimator is None:
            return [self.size(timesteps)[0] + 2]
        return [*map(len, self.points.circuits(timesteps))]

    def cut(self, points: int, repetitions: int, qubits: int, depth: int) -> list[Sweeps]:
        """A sweep, in jobs of at most `points_per_job`."""
        share = min(self.points_per_job or points, points)
        full, rest = divmod(points, share)
        found = [Sweeps(full, share, repetitions, qubits, depth)]
        return found + [Sweeps(1, rest, repetitions, qubits, depth)] * (rest > 0)


def steps_of(groups: Sequence) -> list[int]:
    """The numbers of time steps that are run, of groups that begin with them."""
    return sorted({timesteps for of_one in groups for timesteps, _ in of_one})


def _pair(estimate):
    return estimate.values, estimate.standard_errors


def size(circuit: cirq.Circuit) -> tuple[int, int, int]:
    """Depth, one-qubit and two-qubit gates of a circuit, without measurements."""
    sizes = [len(op.qubits) for op in circuit.all_operations() if not cirq.is_measurement(op)]
    return len(circuit), sizes.count(1), sizes.count(2)


def _couplers(native):
    return collections.Counter(frozenset(on) for _, on, _ in native.operations if len(on) == 2)


def circuit_digest(native: NativeProgram) -> str:
    """A hash of a compiled circuit."""
    return digest(repr((native.operations, native.matrix.tolist(), native.offset.tolist())).encode())
