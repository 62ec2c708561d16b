"""A plan is a value: it costs, runs and exports what it says."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import cirq
import keras
import numpy as np
from numpy.typing import ArrayLike

from tfq_qrnn._checks import check_int, check_number
from tfq_qrnn._errors import argument_error, counted
from tfq_qrnn.hw.closed_loop import execute
from tfq_qrnn.hw.compile import MOST_SHOTS, compile_program
from tfq_qrnn.hw.cost import CONCURRENT_JOBS, LATENCY, Cost
from tfq_qrnn.hw.error_rates import ErrorRates
from tfq_qrnn.hw.export import export_circuits
from tfq_qrnn.hw.journal import placed, ringed
from tfq_qrnn.hw.mitigation import Mitigation
from tfq_qrnn.hw.models import lengths_of, recurrent_cells
from tfq_qrnn.hw.predicted_signal import predicted_signal
from tfq_qrnn.hw.replay import Replay
from tfq_qrnn.hw.replay_run import Precision, ReplayRun
from tfq_qrnn.hw.result import Result


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """What runs, where and how: made by `plan`, and never changed.

    Attributes:
        layer: The layer or model.
        device: The device, or None where every pair of qubits is coupled.
        n_timesteps: The greatest length of the sequences.
        replays: For each recurrent cell of the layer or model, its `Replay`: the compiled circuit and its readouts.
        rates: The `ErrorRates` of the device, or None.
        mitigation: What is done against errors.
        fixed: Whether the qubits were asked for; if not, a run resumes on those of its journal.

    >>> plan = tfq_qrnn.hw.plan(tfq_qrnn.QRNN(n_qubits=2), None, n_timesteps=3)
    >>> plan.cost(repetitions=100).shots
    900
    >>> sampler = tfq_qrnn.hw.sampler("simulator", seed=0)
    >>> plan.run(np.ones((1, 3, 4), "float32"), sampler, repetitions=100, progress=False).readouts.shape
    (1, 3, 6)
    """

    layer: keras.Layer
    device: cirq.Device | None
    n_timesteps: int
    replays: tuple[Replay, ...]
    rates: ErrorRates | None
    mitigation: Mitigation
    fixed: bool

    @property
    def qubits(self) -> tuple[cirq.Qid, ...]:
        """Where the qubits of the circuit are, in its order: those of the first ring; of the last of several cells."""
        return self.replays[-1].native.qubits

    @property
    def rings(self) -> tuple[tuple[cirq.Qid, ...], ...]:
        """The qubits of each of the rings, or other places, on which sequences run at once; the best one first."""
        return tuple(of_one[: len(self.qubits)] for of_one in self.replays[-1].places)

    def circuit(self, timesteps: int) -> cirq.Circuit:
        """The circuit that is sent for a time step, with its symbols, on all rings; of the last of several cells."""
        timesteps = check_int("timesteps", timesteps, 1, self.n_timesteps)
        return self.replays[-1].shared_circuit((timesteps,) * len(self.rings))

    def cost(
        self,
        repetitions: int,
        batch_size: int = 1,
        mask: ArrayLike | None = None,
        *,
        calibration_repetitions: int | None = None,
        seconds_per_job: float = LATENCY,
    ) -> Cost:
        """What `run` costs, counted from what it sends.

        Args:
            repetitions, calibration_repetitions: As in `run`.
            batch_size: Number of sequences; they share the jobs, and a circuit runs one on each ring.
            mask: bool `(batch, time)` in place of `batch_size`: which steps of which sequences run. Sequences that have
                run other numbers of steps need other circuits, and so other jobs; on several rings they share them.
            seconds_per_job: Seconds of a round trip; 1.5 in Google's model.

        Returns:
            A `Cost`. Its `signal` comes from a simulation of the circuit at random angles with random Paulis at the
            rate of the calibration: the slope of the readouts so simulated over the exact ones, times the mean contrast
            1 - e0 - e1 of the readout.
        """
        # Python's integers from here on: those of NumPy would overflow in silence
        repetitions = check_int("repetitions", repetitions, 1)
        calibrations = self._calibration_repetitions(calibration_repetitions, repetitions)
        check_number("seconds_per_job", seconds_per_job, minimum=0)
        batch_size = check_int("batch_size", batch_size, 1)
        if mask is None:
            lengths = [[(t + 1, batch_size)] for t in range(self.n_timesteps)]
        else:
            mask = np.asarray(mask)
            if mask.dtype != bool or mask.ndim != 2 or not 1 <= mask.shape[1] <= self.n_timesteps:
                given = f"it is {mask.dtype} of shape {mask.shape}"
                raise argument_error("mask", f"be bool of shape (batch, time), time up to {self.n_timesteps}", given)
            lengths = lengths_of(mask)
        return self.cost_of([lengths] * len(self.replays), repetitions, calibrations, None, seconds_per_job, True)

    def cost_of(
        self,
        lengths: Sequence,
        repetitions: int,
        calibrations: int,
        batches: Sequence[Sequence[int]] | None = None,
        seconds_per_job: float = LATENCY,
        signal: bool = False,
    ) -> Cost:
        """The `Cost` of what each cell sends: `lengths` and `batches` as `Replay.sweeps` has them."""
        batches = [[1] * len(of_one) for of_one in lengths] if batches is None else batches
        cells = zip(self.replays, lengths, batches, strict=True)
        rounds = [
            jobs for replay, of_one, times in cells for jobs in replay.sweeps(of_one, repetitions, calibrations, times)
        ]
        steps = range(1, len(lengths[-1]) + 1)
        depth, ones, twos = zip(*map(self.replays[-1].size, steps), strict=True)
        waits = sum(math.ceil(sum(sweep.jobs for sweep in jobs) / CONCURRENT_JOBS) for jobs in rounds)
        sweeps = tuple(sweep for jobs in rounds for sweep in jobs)
        used = max(replay.used(of_one) for replay, of_one in zip(self.replays, lengths, strict=True))
        predicted = self._signal(len(steps), self.replays[-1].used(lengths[-1])) if signal else None
        return Cost(sweeps, waits, float(seconds_per_job), depth, ones, twos, predicted, used)

    def _signal(self, n_timesteps, used):
        if self.rates is None:
            return None
        try:
            last = self.replays[-1]
            return predicted_signal(last.native, n_timesteps, self.rates, last.places[:used])
        except ValueError:  # a calibration that nobody asked for, without what is needed
            return None

    def _calibration_repetitions(self, value, repetitions):
        if value is None:
            value = max(repetitions, 1000)
        return check_int("calibration_repetitions", value, 1, MOST_SHOTS) if self.mitigation.calibrates else 0

    def run(
        self,
        x: ArrayLike,
        sampler: cirq.Sampler,
        repetitions: int = 1000,
        *,
        journal: str | os.PathLike[str] | None = None,
        confirm: bool = False,
        progress: bool = True,
        calibration_repetitions: int | None = None,
        standard_error: float | None = None,
        paid: bool = False,
        max_shots: int | None = None,
        max_jobs: int | None = None,
        max_concurrent_jobs: int = CONCURRENT_JOBS,
    ) -> Result:
        """Run the layer or model in closed loop.

        Args:
            x: What the layer or model takes; for a layer `(batch, time, features)`. All sequences advance together.
            sampler: A `cirq.Sampler`, such as `hw.sampler` gives.
            repetitions: Shots of each circuit, 1 to 10 million.
            journal: A file in which what is sent and every result are written down, before it is used. A run that finds
                one of the same model, input, settings and sampler resumes from it, and asks for no shot twice. A paid
                run needs one.
            confirm: Must be True where shots cost: what they cost is printed first.
            progress: Whether to show a progress bar.
            calibration_repetitions: Shots of each circuit that measures readout errors, or what survives; by default
                `repetitions`, at least 1000.
            standard_error: Each time step is measured again, `repetitions` shots at a time, until no standard error of
                its readouts is above this. It needs `max_shots`, of which every time step has an equal share; a journal
                is of one `max_shots` and `max_jobs` then.
            paid: Whether the shots cost. A real processor of Google's is known, also behind a wrapper that keeps its
                sampler in `sampler` or `_sampler`; say so for any other.
            max_shots, max_jobs: The run is refused if it takes more, and stops before what failed is tried once more
                than they allow.
            max_concurrent_jobs: Jobs of one time step that a real processor has at once.

        Returns:
            A `Result`.

        Raises:
            ValueError, TypeError: An argument is out of its range, a circuit does not fit the device, the journal is of
                another run or sampler or damaged, or the sampler returned other keys, shapes or params than were asked
                for. What came back stays in the journal.
        """
        repetitions = check_int("repetitions", repetitions, 1, MOST_SHOTS)
        calibrations = self._calibration_repetitions(calibration_repetitions, repetitions)
        precision = Precision(standard_error, max_shots, max_jobs)
        options: dict[str, Any] = {"journal": journal, "confirm": confirm, "progress": progress, "paid": paid}
        options |= {"max_shots": max_shots, "max_jobs": max_jobs, "max_concurrent_jobs": max_concurrent_jobs}
        began = self._where_it_began(journal)
        return execute(
            ReplayRun(began, repetitions, calibrations, precision).measurement(), self.layer, x, sampler, **options
        )

    def _where_it_began(self, journal):
        """This plan on the qubits of a journal: today's calibration may place it elsewhere."""
        if self.has_rings:
            return self._on_rings(ringed(journal))
        if self.fixed or len(self.replays) > 1 or not (qubits := placed(journal)) or tuple(qubits) == self.qubits:
            return self
        (replay,) = self.replays
        native = compile_program(replay.native.program, self.device, qubits, self.rates)
        return dataclasses.replace(self, replays=(dataclasses.replace(replay, native=native, places=()),))

    @property
    def has_rings(self) -> bool:
        """Whether several rings run at once."""
        return any(len(replay.places) > 1 for replay in self.replays)

    def _on_rings(self, places):
        """This plan where a journal has it; as it is where the journal has other numbers of rings or qubits."""
        own = [replay.places for replay in self.replays]
        if places is None or [[*map(len, rings)] for rings in places] != [[*map(len, rings)] for rings in own]:
            return self
        if self.fixed and any(there[0] != rings[0] for there, rings in zip(places, own, strict=True)):
            return self
        pairs = zip(self.replays, places, strict=True)
        return dataclasses.replace(self, replays=tuple(replay.moved(rings, self.device) for replay, rings in pairs))

    def export(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the circuits of all time steps to a folder, for any other program: see `hw.export`."""
        self.mitigation.check_exported()
        if len(self.replays) > 1:
            raise argument_error("layer", "have one recurrent cell to be exported", f"it has {len(self.replays)}")
        (cell,) = recurrent_cells(self.layer)
        return export_circuits(cell, self.replays[0], path, self.device, self.n_timesteps)

    def __repr__(self) -> str:
        where = "; ".join(
            repr(replay.native) + (f" on {counted(len(replay.places), 'ring')}" if len(replay.places) > 1 else "")
            for replay in self.replays
        )
        return f"Plan({counted(self.n_timesteps, 'time step')} of {where})"

    def __str__(self) -> str:
        return str(self.circuit(1))
