"""What a closed loop costs, before it runs: counted from the circuits that are sent."""

import dataclasses

from tfq_qrnn._errors import counted
from tfq_qrnn.hw.devices import cirq_google

CONCURRENT_JOBS = 10  # on a real processor; Cirq's own number
LATENCY = 1.5  # seconds of a round trip, as in Google's model


@dataclasses.dataclass(frozen=True)
class Sweeps:
    """Some jobs of one size: `jobs` calls of a sampler, each with a sweep of `points` circuits.

    Attributes:
        jobs, points, repetitions: How many, with how many circuits each, with how many shots each.
        qubits, depth: Of the circuit, with readout layer and measurement.
    """

    jobs: int
    points: int
    repetitions: int
    qubits: int
    depth: int

    def device_seconds(self) -> float:
        """By Google's model of its processors, without the round trip."""
        # The public function beside it takes the circuit and each point; a cost of 10^9 points would not fit.
        model = cirq_google().engine.runtime_estimator._estimate_run_time_seconds
        return self.jobs * model(self.qubits, self.depth, self.points, self.repetitions, latency=0.0)


@dataclasses.dataclass(frozen=True, repr=False)
class Cost:
    """The cost of a closed loop; `print` shows it.

    Attributes:
        sweeps: All jobs, a tuple of `Sweeps`.
        round_trips: How often the loop waits for an answer: jobs of one time step wait together, ten at once.
        seconds_per_job: Of a round trip.
        depth, one_qubit_gates, two_qubit_gates: Of the circuit of each time step, which runs all steps up to it;
            without the layer that chooses the setting and the measurement. On one ring; of several layers, those of the
            last.
        signal: For each time step, the fraction of a readout that the device's errors leave, predicted (see
            `Plan.cost`), the mean over the rings. None without a calibration.
        rings: How many sequences a circuit runs at once.

    >>> cost = tfq_qrnn.hw.cost(tfq_qrnn.QRNN(n_qubits=2), n_timesteps=3, repetitions=100)
    >>> cost.jobs, cost.circuits, cost.shots
    (3, 9, 900)
    """

    sweeps: tuple[Sweeps, ...]
    round_trips: int
    seconds_per_job: float
    depth: tuple[int, ...]
    one_qubit_gates: tuple[int, ...]
    two_qubit_gates: tuple[int, ...]
    signal: tuple[float, ...] | None = None
    rings: int = 1

    @property
    def jobs(self) -> int:
        """Calls of the sampler: time steps, in sweeps of at most `points_per_job`, and those that calibrate."""
        return sum(sweep.jobs for sweep in self.sweeps)

    @property
    def circuits(self) -> int:
        """Points of all sweeps: time steps x sequences / rings x settings, and the patterns of the calibration."""
        return sum(sweep.jobs * sweep.points for sweep in self.sweeps)

    @property
    def shots(self) -> int:
        """Repetitions of all circuits."""
        return sum(sweep.jobs * sweep.points * sweep.repetitions for sweep in self.sweeps)

    @property
    def device_seconds(self) -> float:
        """Time on the processor, by Google's model (`cirq_google.engine.runtime_estimator`): a rough guide."""
        return sum(sweep.device_seconds() for sweep in self.sweeps)

    @property
    def wall_seconds(self) -> float:
        """Time until the result is there: on the processor, and round trips. Time in the queue is not in it."""
        return self.device_seconds + self.round_trips * self.seconds_per_job

    def _totals(self):
        counts = ((self.jobs, "job"), (self.circuits, "circuit"), (self.shots, "shot"))
        text = ", ".join(counted(*count) for count in counts)
        if self.rings > 1:
            text += f", on {self.rings} rings at once"
        try:
            return f"{text}, about {self.device_seconds:,.0f} s on a processor and {self.wall_seconds:,.0f} s in all"
        except ImportError:  # Google's model comes with cirq-google
            return text

    def __repr__(self) -> str:
        last = f"depth {self.depth[-1]} and {counted(self.two_qubit_gates[-1], 'two-qubit gate')} at the last"
        return f"Cost({self._totals()}; {last} of {counted(len(self.depth), 'time step')})"

    def __str__(self) -> str:
        lines = [self._totals(), "step  depth  one-qubit gates  two-qubit gates" + ("  signal" if self.signal else "")]
        for t, depth in enumerate(self.depth):
            if 5 <= t < len(self.depth) - 5 and len(self.depth) > 12:
                continue
            line = f"{t + 1:4}  {depth:5}  {self.one_qubit_gates[t]:15}  {self.two_qubit_gates[t]:15}"
            lines.append(line + (f"  {self.signal[t]:6.2f}" if self.signal else ""))
        return "\n".join(lines)
