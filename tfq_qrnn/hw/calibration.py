"""Calibrations: which one is used without being asked for, and whether it is complete."""

import pathlib
import warnings
from typing import TYPE_CHECKING, Any

import cirq

from tfq_qrnn._errors import argument_type_error
from tfq_qrnn.hw.devices import cirq_google, load_calibration, load_device, processors
from tfq_qrnn.hw.error_rates import ErrorRates, incomplete, rates_of

if TYPE_CHECKING:
    from cirq_google import Calibration

# What Cirq's noise model reads of every qubit, also where parallel readout errors are there.
_NOISE = (
    "single_qubit_idle_t1_micros",
    "single_qubit_rb_pauli_error_per_gate",
    "single_qubit_rb_incoherent_error_per_gate",
    "single_qubit_p00_error",
    "single_qubit_p11_error",
)


def check_noise_data(calibration: "Calibration") -> None:
    """Refuse a calibration that lacks, for one of its qubits or pairs, what the noise of a simulator is made of.

    Raises:
        TypeError: It is no `cirq_google.Calibration`.
        ValueError: The message names the metric and the qubits.
    """
    if not isinstance(calibration, cirq_google().Calibration):
        raise argument_type_error("calibration", "be a cirq_google.Calibration", calibration)
    targets = {target for metric in calibration.values() for target in metric}
    listed = {qubit for target in targets for qubit in target if isinstance(qubit, cirq.Qid)}
    for name in _NOISE:
        if missing := sorted(listed - {qubit for (qubit,) in calibration.get(name, ())}):
            raise incomplete(f"the metric {name}", missing)
    pairs = {frozenset(target) for target in targets if len(target) == 2}
    rates_of(calibration).check((), sorted(pairs, key=sorted))


def default_calibration(
    device: str | pathlib.Path | cirq.Device | None = None, processor: Any = None
) -> ErrorRates | None:
    """The error rates that are known without being asked for.

    Args:
        device: A device, its name or path: what cirq_google ships for it.
        processor: A processor of an engine, real or virtual: its current calibration, or what cirq_google ships for its
            id. Where the current one lacks what `error_rates` needs, a warning says so.

    Returns:
        An `ErrorRates`; None where there is none. It does not warn of missing errors of CZ: `two_qubit_source` tells.

    >>> tfq_qrnn.hw.calibration.default_calibration("weber")
    ErrorRates(53 qubits, 86 couplers; medians: one-qubit gate 0.0024, sqrt-iSWAP 0.021, readout e0 0.011,
    e1 0.055)
    """
    if processor is not None:
        found = processor.get_current_calibration()
        try:
            if found is not None:
                return rates_of(found)
        except ValueError as error:
            warnings.warn(f"The processor's calibration is not used: {error}", stacklevel=2)
            return None
        device = processor.processor_id if processor.processor_id in processors() else None
    if isinstance(device, cirq.Device) and device.metadata is not None:
        device = next((name for name in processors() if load_device(name).metadata == device.metadata), None)
    if isinstance(device, str) and device in processors():
        return rates_of(load_calibration(device))
    return None
