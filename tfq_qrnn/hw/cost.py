"""What a closed loop costs, before it runs."""

import dataclasses
import math
import numbers

from tfq_qrnn._checks import check_bool, check_int
from tfq_qrnn._errors import argument_type_error, counted
from tfq_qrnn.hw.compile import MOST_TIMESTEPS, compile_program
from tfq_qrnn.hw.devices import as_device, error_rates
from tfq_qrnn.hw.placement import place_ring
from tfq_qrnn.hw.readout import ReadoutPlan, calibration_patterns
from tfq_qrnn.layers.find import find_layer


@dataclasses.dataclass(frozen=True, repr=False)
class Cost:
    """The cost of a closed loop; `print` shows it.

    Attributes:
        jobs: Calls of the sampler: one for each time step, and one to calibrate the readout.
        circuits: Points of all sweeps: time steps x sequences x settings, and the patterns of the calibration.
        shots: Repetitions of all circuits.
        seconds: Round trips of the jobs. Time in the queue is not in it, nor on the chip, where a shot takes
            microseconds.
        depth, one_qubit_gates, two_qubit_gates: Of the circuit of each time step, which runs all steps up to it;
            without the layer that chooses the setting and the measurement.
        signal: For each time step, the fraction of a readout that the device's errors leave, guessed from below: the
            product over all gates of 1 - Pauli error, as if every readout saw every gate, times the mean contrast
            1 - e0 - e1 of the readout. None without a calibration.

    >>> cost = tfq_qrnn.hw.cost(tfq_qrnn.QRNN(n_qubits=2), n_timesteps=3, repetitions=100)
    >>> cost.jobs, cost.circuits, cost.shots
    (3, 9, 900)
    """

    jobs: int
    circuits: int
    shots: int
    seconds: float
    depth: tuple[int, ...]
    one_qubit_gates: tuple[int, ...]
    two_qubit_gates: tuple[int, ...]
    signal: tuple[float, ...] | None = None

    def _totals(self):
        counts = ((self.jobs, "job"), (self.circuits, "circuit"), (self.shots, "shot"))
        return f"{', '.join(counted(*count) for count in counts)}, about {self.seconds:,.0f} s"

    def __repr__(self):
        last = f"depth {self.depth[-1]} and {counted(self.two_qubit_gates[-1], 'two-qubit gate')} at the last"
        return f"Cost({self._totals()}; {last} of {counted(len(self.depth), 'time step')})"

    def __str__(self):
        lines = [
            self._totals(),
            "step  depth  one-qubit gates  two-qubit gates" + ("  signal" if self.signal else ""),
        ]
        shown = range(len(self.depth))
        if len(self.depth) > 12:
            shown = [*range(5), *range(len(self.depth) - 5, len(self.depth))]
        for t in shown:
            line = f"{t + 1:4}  {self.depth[t]:5}  {self.one_qubit_gates[t]:15}  {self.two_qubit_gates[t]:15}"
            lines.append(line + (f"  {self.signal[t]:6.2f}" if self.signal else ""))
        return "\n".join(lines)


def cost(
    layer,
    n_timesteps,
    repetitions,
    *,
    batch_size=1,
    device=None,
    qubits=None,
    calibration=None,
    mitigate_readout=False,
    points_per_job=None,
    seconds_per_job=1.0,
):
    """What `run` costs.

    Args:
        layer: A `QRNN`, an RNN over a `QRNNCell`, or a model with one.
        n_timesteps: Length of the sequences, 1 to 1000.
        repetitions: Shots of each circuit.
        batch_size: Number of sequences; they share the jobs.
        device: Where it runs; None couples every pair of qubits.
        qubits: Where the circuit goes; by default `place_ring(device, n, calibration)`.
        calibration: A `cirq_google.Calibration`, for `signal`.
        mitigate_readout: Whether the readout is calibrated.
        points_per_job: Largest sweep of one job; None puts a time step into one.
        seconds_per_job: Seconds of a round trip; about 1 at Google.

    Returns:
        A `Cost`.

    Raises:
        ValueError, TypeError: An argument is out of its range, or the circuit does not fit the device.

    >>> layer = tfq_qrnn.QRNN(n_qubits=4)
    >>> print(tfq_qrnn.hw.cost(layer, n_timesteps=2, repetitions=1000, device="weber", batch_size=10))
    2 jobs, 60 circuits, 60,000 shots, about 2 s
    step  depth  one-qubit gates  two-qubit gates
       1      6                8                8
       2     12               16               16
    """
    # Python's integers from here on: those of NumPy would overflow in silence
    n_timesteps = check_int("n_timesteps", n_timesteps, 1, MOST_TIMESTEPS)
    repetitions, batch_size = check_int("repetitions", repetitions, 1), check_int("batch_size", batch_size, 1)
    check_bool("mitigate_readout", mitigate_readout)
    if isinstance(seconds_per_job, bool) or not isinstance(seconds_per_job, numbers.Real):
        raise argument_type_error("seconds_per_job", "be a number", seconds_per_job)
    program, device = find_layer(layer).cell.program, as_device(device)
    if qubits is None and device is not None:
        qubits = place_ring(device, program.n_qubits, calibration)
    rates = None if calibration is None else error_rates(calibration)
    native = compile_program(program, device, qubits)
    settings = len(ReadoutPlan(program).settings)
    return cost_of(
        native, n_timesteps, repetitions, settings, batch_size, rates, mitigate_readout, points_per_job, seconds_per_job
    )


def cost_of(
    native,
    n_timesteps,
    repetitions,
    settings,
    batch_size,
    rates=None,
    mitigate_readout=False,
    points_per_job=None,
    seconds_per_job=1.0,
    calibration_repetitions=None,
):
    """`cost` of a compiled program with a number of settings."""
    jobs_per_step = math.ceil(batch_size / sequences_per_job(batch_size, settings, points_per_job))
    patterns = len(calibration_patterns(1, 0)) if mitigate_readout else 0
    circuits = n_timesteps * batch_size * settings
    jobs = n_timesteps * jobs_per_step + mitigate_readout
    ones = sum(len(on) == 1 for _, on, _ in native.operations)
    twos = len(native.operations) - ones
    steps = range(1, n_timesteps + 1)
    # Past the second step each further one adds as many moments as the one before.
    depths = [len(native.prefix(t)) for t in range(1, min(n_timesteps, 3) + 1)]
    while len(depths) < n_timesteps:
        depths.append(2 * depths[-1] - depths[-2])
    return Cost(
        jobs=jobs,
        circuits=circuits + patterns,
        shots=circuits * repetitions + patterns * (calibration_repetitions or repetitions),
        seconds=jobs * seconds_per_job,
        depth=tuple(depths),
        one_qubit_gates=tuple(t * ones for t in steps),
        two_qubit_gates=tuple(t * twos for t in steps),
        signal=None if rates is None else _signal(native, n_timesteps, rates),
    )


def sequences_per_job(batch_size, settings, points_per_job):
    if points_per_job is None:
        return batch_size
    return min(batch_size, max(1, check_int("points_per_job", points_per_job, 1) // settings))


def _signal(native, n_timesteps, rates):
    step = 1.0
    for kind, on, _ in native.operations:
        if kind != "Z":  # Z is a change of frame, and has no error
            step *= 1 - (rates.one_qubit[on[0]] if len(on) == 1 else rates.two_qubit[frozenset(on)])
    contrasts = [1 - sum(rates.readout[q]) for q in native.qubits]
    contrast = sum(contrasts) / len(contrasts)
    return tuple(contrast * step**t for t in range(1, n_timesteps + 1))
