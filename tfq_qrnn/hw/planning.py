"""Making a plan: what runs, where and how."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cirq
import keras

from tfq_qrnn._checks import check_bool, check_int
from tfq_qrnn.hw.calibration import default_calibration
from tfq_qrnn.hw.compile import MOST_TIMESTEPS, compile_program
from tfq_qrnn.hw.devices import as_device
from tfq_qrnn.hw.error_rates import ErrorRates, rates_of
from tfq_qrnn.hw.models import recurrent_cells
from tfq_qrnn.hw.plan import Plan
from tfq_qrnn.hw.predicted_signal import check_rates
from tfq_qrnn.hw.readout import ReadoutPlan
from tfq_qrnn.hw.replay import Replay

if TYPE_CHECKING:
    from cirq_google import Calibration


def plan(
    layer: keras.Layer,
    device: str | pathlib.Path | cirq.Device | None,
    n_timesteps: int,
    *,
    qubits: Sequence[cirq.Qid] | None = None,
    calibration: "Calibration | ErrorRates | None" = None,
    rings: int = 1,
    mitigate_readout: bool = False,
    decouple: bool = False,
    gauge_seed: int | None = None,
    points_per_job: int | None = None,
) -> Plan:
    """What runs, where and how.

    Args:
        layer: A `QRNN`, an RNN over a `QRNNCell` or a stack of them, or a Keras model with them. Each cell has a loop
            of its own, one after the other.
        device: A name or path, as `load_device` takes it, or a `cirq_google.GridDevice`; None couples every pair of
            qubits.
        n_timesteps: The greatest length of the sequences, 1 to 1000.
        qubits: Qubits of the device, in the order of the circuit's; by default where the circuit takes the fewest gates
            and the least errors by the calibration.
        calibration: A `cirq_google.Calibration`, to place the circuit by and for the `signal` of its cost; by default
            what cirq_google ships for the device.
        rings: How many sequences run at once on the device: 1.
        mitigate_readout: Whether to calibrate the readout errors of each qubit first, and to invert them.
        decouple: Whether to fill idle times with pairs of X (`cirq.add_dynamical_decoupling`).
        gauge_seed: A seed puts random Paulis around every CZ that leave the circuit as it is, and turn coherent errors
            into noise (`cirq.transformers.gauge_compiling`).
        points_per_job: The largest sweep of a job; None sends a whole time step in one.

    Returns:
        A `Plan`.

    Raises:
        ValueError, TypeError: An argument is out of its range, or the circuit does not fit the device.

    >>> plan = tfq_qrnn.hw.plan(tfq_qrnn.QRNN(n_qubits=4), "weber", n_timesteps=8)
    >>> len(plan.circuit(8)), len(plan.qubits)
    (58, 4)
    """
    n_timesteps = check_int("n_timesteps", n_timesteps, 1, MOST_TIMESTEPS)
    check_int("rings", rings, 1, 1)
    for name, value in (("mitigate_readout", mitigate_readout), ("decouple", decouple)):
        check_bool(name, value)
    gauge_seed = None if gauge_seed is None else check_int("gauge_seed", gauge_seed, 0)
    points_per_job = None if points_per_job is None else check_int("points_per_job", points_per_job, 1)
    cells = recurrent_cells(layer)
    device, replays = as_device(device), []
    rates = default_calibration(device) if calibration is None else rates_of(calibration)
    for number, cell in enumerate(cells):
        native = compile_program(cell.program, device, qubits, rates)
        label = {"cell": number} if len(cells) > 1 else {}
        replays.append(Replay(native, ReadoutPlan(cell.program), decouple, gauge_seed, points_per_job, label))
    if calibration is not None and rates is not None:
        check_rates(replays[-1].native, rates)
    return Plan(layer, device, n_timesteps, tuple(replays), rates, mitigate_readout, qubits is not None)
