"""Making a plan: what runs, where and how."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cirq
import keras

from tfq_qrnn._checks import check_choice, check_int
from tfq_qrnn._errors import argument_error, shown
from tfq_qrnn.hw.calibration import default_calibration
from tfq_qrnn.hw.compile import MOST_TIMESTEPS, compile_program
from tfq_qrnn.hw.devices import as_device
from tfq_qrnn.hw.disjoint import disjoint_places
from tfq_qrnn.hw.error_rates import ErrorRates, rates_of
from tfq_qrnn.hw.mitigation import Mitigation, as_mitigation
from tfq_qrnn.hw.models import recurrent_cells
from tfq_qrnn.hw.plan import Plan
from tfq_qrnn.hw.predicted_signal import check_rates
from tfq_qrnn.hw.readout import ReadoutPlan
from tfq_qrnn.hw.replay import Replay
from tfq_qrnn.hw.rings import coupling_graph

if TYPE_CHECKING:
    from cirq_google import Calibration


def plan(
    layer: keras.Layer,
    device: str | pathlib.Path | cirq.Device | None,
    n_timesteps: int,
    *,
    qubits: Sequence[cirq.Qid] | None = None,
    calibration: "Calibration | ErrorRates | None" = None,
    rings: int | str = 1,
    mitigate_readout: bool = False,
    mitigation: Mitigation | None = None,
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
            and the least errors by the calibration. Of several rings those of the first.
        calibration: A `cirq_google.Calibration`, to place the circuit by and for the `signal` of its cost; by default
            what cirq_google ships for the device.
        rings: How many sequences of a batch run at once, each on qubits of its own: 1 or more, or "all" for as many as
            there is room for. The places have no qubit in common and their couplers are those that the circuit takes;
            as many as are asked for, with the least sum of errors, the best one first. Qubits and couplers that the
            calibration does not list are left out, and no others: "all" takes a bad coupler rather than one ring less,
            and a number leaves out the worst. A batch of B sequences then takes B / rings circuits, rounded up, on the
            best rings and no more of them than that takes; the longest sequences go on the best. By Google's model a
            circuit of more qubits takes longer: shots fall by that factor, and the time on the processor hardly. The
            readout errors are measured for each ring, in the same 16 circuits. Simulators of Cirq and those of
            `hw.sampler` get one ring at a time, since nothing couples them. On a chip gates of neighbouring rings run
            at the same moment: of the crosstalk between them a calibration holds what it met when it measured couplers
            in parallel, and a simulation nothing.
        mitigate_readout: Whether to measure the readout errors first, and to invert them: short for
            `Mitigation(readout=True)`.
        mitigation: What else is done against errors, a `hw.Mitigation`.
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
    rings = _check_rings(rings)
    mitigation = as_mitigation(mitigation, mitigate_readout)
    points_per_job = None if points_per_job is None else check_int("points_per_job", points_per_job, 1)
    cells = recurrent_cells(layer)
    device, replays = as_device(device), []
    rates = default_calibration(device) if calibration is None else rates_of(calibration)
    for number, cell in enumerate(cells):
        native = compile_program(cell.program, device, qubits, rates)
        label = {"cell": number} if len(cells) > 1 else {}
        replay = Replay(native, ReadoutPlan(cell.program), mitigation, points_per_job, label)
        if rings != 1:
            stays = qubits is not None or native.qubits == cell.program.qubits
            replay = replay.moved(_places(native, device, rates, rings, stays), device)
        replays.append(replay)
    if calibration is not None and rates is not None:
        check_rates(replays[-1].native, rates)
    return Plan(layer, device, n_timesteps, tuple(replays), rates, mitigation, qubits is not None)


def _check_rings(rings):
    if isinstance(rings, str):
        return check_choice("rings", rings, ("all",))
    return check_int("rings", rings, 1)


def _places(native, device, rates, rings, stays):
    """The qubits of each ring, the best one first."""
    graph, most = coupling_graph(device), None if rings == "all" else rings
    if graph is None:
        raise argument_error("rings", "be 1 without a device: its couplers say where they are", f"it is {rings!r}")
    found = disjoint_places(native.all_qubits, len(native.qubits), native.operations, graph, rates, most, stays)
    if most is not None and len(found) < most:
        rule = f"be at most {len(found)}: no more places of {len(native.all_qubits)} qubits fit the device side by side"
        raise argument_error("rings", rule, f"it is {shown(rings)}")
    return found
