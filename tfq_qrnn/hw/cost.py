"""What a closed loop costs, before it runs."""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cirq
import keras

from tfq_qrnn._checks import check_bool, check_int, check_number
from tfq_qrnn._errors import counted
from tfq_qrnn.hw.compile import MOST_TIMESTEPS, NativeProgram, compile_program
from tfq_qrnn.hw.devices import ErrorRates, error_rates
from tfq_qrnn.hw.readout import CALIBRATION_CIRCUITS, ReadoutPlan
from tfq_qrnn.layers.in_models import find_layer

if TYPE_CHECKING:
    from cirq_google import Calibration


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


def cost(
    layer: keras.Layer,
    n_timesteps: int,
    repetitions: int,
    *,
    batch_size: int = 1,
    device: str | pathlib.Path | cirq.Device | None = None,
    qubits: Sequence[cirq.Qid] | None = None,
    calibration: "Calibration | ErrorRates | None" = None,
    mitigate_readout: bool = False,
    points_per_job: int | None = None,
    seconds_per_job: float = 1.0,
) -> Cost:
    """What `run` costs.

    Args:
        layer, repetitions, device, qubits, mitigate_readout, points_per_job: As in `run`; without a device every pair
            of qubits is coupled.
        n_timesteps: Length of the sequences, 1 to 1000.
        batch_size: Number of sequences; they share the jobs.
        calibration: A `cirq_google.Calibration`, for `signal` and to place the circuit by.
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
    check_number("seconds_per_job", seconds_per_job, minimum=0)
    program = find_layer(layer).cell.program
    rates = None if calibration is None else error_rates(calibration)
    native, calibrations = compile_program(program, device, qubits, rates), repetitions if mitigate_readout else 0
    found = cost_of(native, ReadoutPlan(program), n_timesteps, repetitions, batch_size, calibrations, points_per_job)
    signal = None if rates is None else _signal(native, n_timesteps, rates)
    return dataclasses.replace(found, seconds=found.jobs * seconds_per_job, signal=signal)


def cost_of(
    native: NativeProgram,
    plan: ReadoutPlan,
    n_timesteps: int,
    repetitions: int,
    batch_size: int,
    calibration_repetitions: int,
    points_per_job: int | None,
) -> Cost:
    """`cost` of a compiled program and its `ReadoutPlan`; without calibration, `calibration_repetitions` is 0."""
    settings = len(plan.settings)
    jobs_per_step = math.ceil(batch_size / sequences_per_job(batch_size, settings, points_per_job))
    patterns = CALIBRATION_CIRCUITS if calibration_repetitions else 0
    circuits = n_timesteps * batch_size * settings
    return cost_of_steps(
        native.step(0),
        n_timesteps,
        jobs=n_timesteps * jobs_per_step + (patterns > 0),
        circuits=circuits + patterns,
        shots=circuits * repetitions + patterns * calibration_repetitions,
    )


def cost_of_steps(step: cirq.Circuit, n_timesteps: int, jobs: int, circuits: int, shots: int) -> Cost:
    """The `Cost` of a loop, each of whose time steps adds the circuit `step` to the one before."""
    sizes = [len(operation.qubits) for operation in step.all_operations() if not cirq.is_measurement(operation)]
    steps = range(1, n_timesteps + 1)
    return Cost(
        jobs=jobs,
        circuits=circuits,
        shots=shots,
        seconds=float(jobs),
        depth=tuple(t * len(step) for t in steps),
        one_qubit_gates=tuple(t * sizes.count(1) for t in steps),
        two_qubit_gates=tuple(t * sizes.count(2) for t in steps),
    )


def sequences_per_job(batch_size: int, settings: int, points_per_job: int | None) -> int:
    if points_per_job is None:
        return batch_size
    return min(batch_size, max(1, check_int("points_per_job", points_per_job, 1) // settings))


def _signal(native, n_timesteps, rates):
    step = math.prod(
        1 - (rates.one_qubit[on[0]] if len(on) == 1 else rates.two_qubit[frozenset(on)])
        for kind, on, _ in native.operations
        if kind != "Z"  # a change of frame, which has no error
    )
    contrasts = [1 - sum(rates.readout[q]) for q in native.qubits]
    contrast = sum(contrasts) / len(contrasts)
    return tuple(contrast * step**t for t in range(1, n_timesteps + 1))
