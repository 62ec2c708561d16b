"""The trained loop on a processor: circuits, readouts, controller, angles, circuits.

The memory cannot be kept on the chip while the controller computes, nor read without being disturbed. So step t runs
the circuit of steps 1..t from |0...0> again, once per setting of the readout, with the angles that the controller gave
so far.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence

import cirq
import keras
import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from tfq_qrnn._checks import check_bool, check_int
from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn._files import digest
from tfq_qrnn.hw import readout
from tfq_qrnn.hw.compile import MOST_SHOTS, compile_program
from tfq_qrnn.hw.cost import Cost, cost_of, sequences_per_job
from tfq_qrnn.hw.journal import Journal
from tfq_qrnn.hw.models import LayerCall
from tfq_qrnn.hw.samplers import device_of, is_paid
from tfq_qrnn.hw.suppression import suppress_errors


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What came out of a closed loop; time runs in the order in which the layer reads.

    Attributes:
        readouts: Measured, `(batch, time, n_observables)`. A masked step repeats the readouts before it.
        standard_errors: Of the readouts, from their shots.
        exact: The readouts of the same loop, simulated without noise or shots.
        angles: What the controller gave, `(batch, time, n_angles)` in radians.
        outputs: What the layer or model returns for the measured readouts.
        readout_errors: The calibrated `ReadoutErrors`, or None.
        cost: The `Cost`.

    >>> sampler = tfq_qrnn.hw.sampler("simulator", seed=0)
    >>> layer = tfq_qrnn.QRNN(n_qubits=2, observables="Z")
    >>> result = tfq_qrnn.hw.run(layer, np.ones((1, 3, 4), "float32"), sampler, repetitions=1000, progress=False)
    >>> bool(np.all(np.abs(result.readouts - result.exact) < 6 * result.standard_errors + 0.01))
    True
    """

    readouts: np.ndarray
    standard_errors: np.ndarray
    exact: np.ndarray
    angles: np.ndarray
    outputs: np.ndarray
    readout_errors: readout.ReadoutErrors | None
    cost: Cost

    def __repr__(self) -> str:
        batch, time, observables = self.readouts.shape
        error = np.sqrt(np.mean((self.readouts - self.exact) ** 2))
        counts = ((batch, "sequence"), (time, "time step"), (observables, "observable"))
        return f"Result({', '.join(counted(*count) for count in counts)}, rms error {error:.3f}; {self.cost!r})"


def run(
    layer: keras.Layer,
    x: ArrayLike,
    sampler: cirq.Sampler,
    repetitions: int = 1000,
    *,
    device: str | pathlib.Path | cirq.Device | None = None,
    qubits: Sequence[cirq.Qid] | None = None,
    journal: str | os.PathLike[str] | None = None,
    mitigate_readout: bool = False,
    calibration_repetitions: int | None = None,
    decouple: bool = False,
    gauge_seed: int | None = None,
    points_per_job: int | None = None,
    confirm: bool = False,
    progress: bool = True,
) -> Result:
    """Run a trained layer, or the model around it, in closed loop.

    Args:
        layer: A `QRNN`, a `keras.layers.RNN` over a `QRNNCell`, or a Keras model that contains exactly one.
        x: What the layer or model takes; for a layer `(batch, time, features)`. All sequences advance together.
        sampler: A `cirq.Sampler`, such as `hw.sampler` gives.
        repetitions: Shots of each circuit, 1 to 10 million.
        device: Where the circuits go; by default the device of an engine's sampler, and every pair of qubits coupled
            for any other.
        qubits: Qubits of the device, in the order of the circuit's; by default `place_ring(device, n)`.
        journal: A file in which every result is written down before it is used. A run that finds one of the same model,
            input and settings goes on from it, and asks for no shot twice.
        mitigate_readout: Whether to calibrate the readout errors of each qubit first, and to invert them.
        calibration_repetitions: Shots of each of the 16 circuits of this calibration; by default `repetitions`, at
            least 1000.
        decouple: Whether to fill idle times with pairs of X (`cirq.add_dynamical_decoupling`).
        gauge_seed: A seed puts random Paulis around every CZ that leave the circuit as it is, and turn coherent errors
            into noise (`cirq.transformers.gauge_compiling`).
        points_per_job: Largest sweep of one job; None sends a whole time step in one.
        confirm: Must be True on a real processor, whose cost is printed first.
        progress: Whether to show a progress bar.

    Returns:
        A `Result`.

    Raises:
        ValueError, TypeError: An argument is out of its range, the circuit does not fit the device, the journal is of
            another run or damaged, or the sampler returned other keys or shapes than were asked for. What was measured
            before stays in the journal.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2, return_sequences=True)
    >>> x = np.ones((3, 4, 5), "float32")
    >>> sampler = tfq_qrnn.hw.sampler("simulator", seed=0)
    >>> tfq_qrnn.hw.run(layer, x, sampler, repetitions=100, progress=False).readouts.shape
    (3, 4, 6)
    """
    repetitions = check_int("repetitions", repetitions, 1, MOST_SHOTS)
    if calibration_repetitions is None:
        calibration_repetitions = max(repetitions, 1000)
    calibration_repetitions = check_int("calibration_repetitions", calibration_repetitions, 1, MOST_SHOTS)
    points_per_job = None if points_per_job is None else check_int("points_per_job", points_per_job, 1)
    gauge_seed = None if gauge_seed is None else check_int("gauge_seed", gauge_seed, 0)
    for name, value in (("mitigate_readout", mitigate_readout), ("decouple", decouple), ("confirm", confirm)):
        check_bool(name, value)
    if not hasattr(sampler, "run_sweep"):
        raise argument_type_error("sampler", "be a cirq.Sampler", sampler)
    call = LayerCall(layer, x)
    program, (batch, timesteps) = call.cell.program, call.mask.shape
    native = compile_program(program, device_of(sampler) if device is None else device, qubits)
    plan = readout.ReadoutPlan(program)
    calibration_repetitions = calibration_repetitions if mitigate_readout else 0
    cost = cost_of(native, plan, timesteps, repetitions, batch, calibration_repetitions, points_per_job)
    if is_paid(sampler):
        print(cost)
        if not confirm:
            raise argument_error(
                "confirm", "be True to run on a real processor, at the cost printed above", "it is False"
            )
    header = {
        **call.fingerprint(),
        "repetitions": repetitions,
        "qubits": [str(q) for q in native.all_qubits],
        "settings": list(plan.settings),
        "calibration_repetitions": calibration_repetitions,
        "decouple": decouple,
        "gauge_seed": gauge_seed,
        "points_per_job": points_per_job,
        "circuit": digest(repr((native.operations, native.matrix.tolist(), native.offset.tolist())).encode()),
    }
    share = sequences_per_job(batch, len(plan.settings), points_per_job)
    with (
        Journal(journal, header) as book,
        tqdm(total=cost.jobs, desc="closed loop", unit="job", disable=not progress) as bar,
    ):
        send = functools.partial(_send, sampler, book, bar, len(native.qubits))
        errors = None
        if mitigate_readout:
            circuit, patterns, points = readout.calibration(native.qubits)
            bits = send({"kind": "readout errors"}, circuit, points, calibration_repetitions)
            errors = readout.readout_errors(patterns, bits)

        @functools.cache  # sequences of one length share it
        def prefix(timesteps):
            circuit = native.prefix(timesteps) + plan.circuit(native.qubits)
            return suppress_errors(circuit, decouple, gauge_seed)

        def measure(t, members, angles):
            found, timesteps = [], angles.shape[1]
            for i in range(0, len(members), share):
                part = slice(i, i + share)
                job = {"kind": "step", "step": t, "timesteps": timesteps, "sequences": members[part]}
                points = [
                    {**values, **plan.values(setting)}
                    for values in map(native.half_turns, angles[part])
                    for setting in plan.settings
                ]
                bits = send(job, prefix(timesteps), points, repetitions)
                shots = bits.reshape(-1, len(plan.settings), *bits.shape[1:])
                found += [plan.estimate(of_one, errors) for of_one in shots]
            return map(np.stack, zip(*found, strict=True))

        readouts, standard_errors, angles = call.close_loop(measure)
    outputs = call.outputs(readouts)
    return Result(readouts, standard_errors, call.exact_readouts(), angles, outputs, errors, cost)


def _send(sampler, book, bar, n_qubits, description, circuit, points, repetitions):
    """The shots of a job, checked and recorded: `(points, repetitions, n_qubits)`."""
    shape = (len(points), repetitions, n_qubits)

    def measure():
        results = sampler.run_sweep(circuit, params=points, repetitions=repetitions)
        try:
            return readout.check_bits(results, *shape)
        except ValueError as error:
            path = book.reject(results)
            if path is None:
                raise
            raise ValueError(f"{error} It is kept in {path}; all before it is in the journal.") from error

    bits = book.job(description, shape, measure)
    bar.update()
    return bits
