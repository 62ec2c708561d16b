"""Google's processors: which qubits and couplers there are, and how well each of them worked when it was measured."""

import dataclasses
import os
import pathlib
import statistics
import types
import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import cirq

from tfq_qrnn import _cirq_json, _files
from tfq_qrnn._errors import argument_error, argument_type_error, counted

if TYPE_CHECKING:
    from cirq_google import Calibration, GridDevice

_READOUT = (("parallel_p00_error", "parallel_p11_error"), ("single_qubit_p00_error", "single_qubit_p11_error"))
_CZ = ("two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle", "two_qubit_cz_gate_xeb_pauli_error_per_cycle")
_SQRT_ISWAP = (
    "two_qubit_parallel_sqrt_iswap_gate_xeb_pauli_error_per_cycle",
    "two_qubit_sqrt_iswap_gate_xeb_pauli_error_per_cycle",
)
_T1, _ONE_QUBIT = "single_qubit_idle_t1_micros", "single_qubit_rb_pauli_error_per_gate"


def cirq_google() -> types.ModuleType:
    """The module `cirq_google`, loaded where it is needed: it takes a second."""
    try:
        import cirq_google
    except ModuleNotFoundError as error:
        if error.name != "cirq_google":  # it is there, and misses something itself
            raise
        raise ImportError("Google's devices need the package cirq-google: pip install 'tfq_qrnn[hw]'.") from error
    return cirq_google


def processors() -> tuple[str, ...]:
    """The names of those whose device and calibration come with the installed cirq_google."""
    return tuple(sorted(cirq_google().engine.virtual_engine_factory.MEDIAN_CALIBRATIONS))


def load_device(name: str | pathlib.Path) -> "GridDevice":
    """A Google device.

    Args:
        name: "weber" (53 qubits), "rainbow" (23) or, from cirq-google 1.6 on, "willow_pink" (105); or the path of a
            device specification: a `DeviceSpecification` of Google's Quantum Engine as text (`.txt`, as cirq_google
            ships Willow's) or as bytes.

    Returns:
        A `cirq_google.GridDevice`.

    Raises:
        ValueError: No processor has this name and no file this path, or the file is no device specification.

    >>> len(tfq_qrnn.hw.load_device("rainbow").metadata.qubit_set)
    23
    """
    google = cirq_google()

    def parse(suffix, content):
        from google.protobuf import text_format

        specification = google.api.v2.device_pb2.DeviceSpecification()
        if suffix == ".txt":
            # A specification of a newer cirq_google has fields that this one does not know, and does not need.
            text_format.Parse(content.decode(), specification, allow_unknown_field=True)
        else:
            specification.ParseFromString(content)
        device = google.GridDevice.from_proto(specification)
        if not device.metadata.qubit_set:
            raise ValueError("it lists no qubits")
        return device

    return _load(name, google.engine.create_device_from_processor_id, "a device specification", parse)


def _load(name, shipped, kind, parse):
    """What cirq_google ships for a processor, or what `parse(suffix, content)` makes of a file."""
    if not isinstance(name, (str, pathlib.Path)):
        raise argument_type_error("name", "be the name of a processor or a path", name)
    known = processors()
    if name in known:
        return shipped(name)
    path, rule = pathlib.Path(name), f"be {', '.join(map(repr, known))} or the path of {kind}"
    if not os.path.isfile(path):
        given = f"it is {str(name)!r}, and cirq-google {cirq_google().__version__} brings no other processor"
        raise argument_error("name", rule, given)
    try:
        return parse(path.suffix, _files.read_bytes(path))
    except Exception as error:  # protobuf's ParseError and DecodeError, Cirq's ValueError
        raise argument_error("name", rule, f"{path} is none: {error}") from error


def as_device(device: str | pathlib.Path | cirq.Device | None) -> Any:
    """A device as it is, or the one of a name or path; None stays None."""
    if isinstance(device, (str, pathlib.Path)):
        return load_device(device)
    if device is not None and not isinstance(device, cirq.Device):
        raise argument_type_error("device", "be a device, the name of a processor, or a path", device)
    return device


def check_gates(device: cirq.Device) -> None:
    """Refuse a device that cannot run CZ: every circuit here is made of it."""
    gateset = getattr(device.metadata, "gateset", None)
    if gateset is not None and cirq.CZ not in gateset:
        raise argument_error(
            "device", "have the gate CZ, as weber, rainbow and willow_pink do", f"its gates are {_names(gateset)}"
        )


def _names(gateset):
    gates = {
        getattr(family.gate, "__name__", None) or str(family.gate)
        for family in gateset.gates
        if hasattr(family, "gate")
    }
    return ", ".join(sorted(gates))


def as_qubits(name: str, qubits: Sequence[cirq.Qid]) -> tuple[cirq.Qid, ...]:
    """A tuple of qubits."""
    if not isinstance(qubits, (tuple, list)) or not all(isinstance(qubit, cirq.Qid) for qubit in qubits):
        raise argument_type_error(name, "be a list of qubits", qubits)
    return tuple(qubits)


def load_calibration(name: str | pathlib.Path) -> "Calibration":
    """The measured errors of a processor.

    Args:
        name: "weber", "rainbow" or, from cirq-google 1.6 on, "willow_pink": the median calibration that cirq_google
            ships; or the path of a `cirq_google.Calibration` as Cirq JSON.

    Returns:
        A `cirq_google.Calibration`.

    Raises:
        ValueError: Neither a processor nor a file with a calibration.

    >>> len(tfq_qrnn.hw.load_calibration("weber")["parallel_p00_error"])
    53
    """
    google = cirq_google()

    def parse(_, content):
        calibration = _cirq_json.read(content.decode(), _cirq_json.CALIBRATION)
        if not isinstance(calibration, google.Calibration):
            raise ValueError(f"it holds a {type(calibration).__name__}")
        return calibration

    return _load(name, google.engine.load_median_device_calibration, "a calibration as Cirq JSON", parse)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ErrorRates:
    """What a calibration says about the gates that our circuits use.

    Attributes:
        one_qubit: Qubit -> Pauli error of a one-qubit gate.
        two_qubit: `frozenset` of two qubits -> Pauli error of their CZ.
        readout: Qubit -> `(e0, e1)`, the probabilities that 0 is read as 1 and 1 as 0.
        two_qubit_source: The gate that `two_qubit` was measured with: "CZ" or "sqrt-iSWAP".
        t1: Qubit -> T1 in microseconds; qubits without it are taken not to decay.

    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # this calibration has no error of CZ
    ...     rates = tfq_qrnn.hw.error_rates(tfq_qrnn.hw.load_calibration("weber"))
    >>> rates
    ErrorRates(53 qubits, 86 couplers; medians: one-qubit gate 0.0024, sqrt-iSWAP 0.021, readout e0 0.011,
    e1 0.055)
    """

    one_qubit: dict
    two_qubit: dict
    readout: dict
    two_qubit_source: str
    t1: dict = dataclasses.field(default_factory=dict)

    def decay(self, qubit: cirq.Qid, microseconds: float) -> float:
        """The Pauli error of a qubit that waits: half of the time in units of T1."""
        return microseconds / (2 * self.t1[qubit]) if qubit in self.t1 else 0.0

    def check(self, qubits: Iterable[cirq.Qid], pairs: Iterable[Collection[cirq.Qid]] = ()) -> None:
        """Refuse qubits and pairs without data: the message names them and what is missing."""
        for datum, rates in (("an error of one-qubit gates", self.one_qubit), ("readout errors", self.readout)):
            if missing := [q for q in qubits if q not in rates]:
                raise incomplete(datum, missing)
        if missing := [pair for pair in pairs if frozenset(pair) not in self.two_qubit]:
            raise incomplete("an error of two-qubit gates", ["-".join(map(str, sorted(pair))) for pair in missing])

    def __repr__(self) -> str:
        zeros, ones = ([rates[i] for rates in self.readout.values()] for i in (0, 1))
        one, two, e0, e1 = (
            f"{statistics.median(rates):.2g}" if rates else "none"
            for rates in (self.one_qubit.values(), self.two_qubit.values(), zeros, ones)
        )
        return (
            f"ErrorRates({counted(len(self.one_qubit), 'qubit')}, {counted(len(self.two_qubit), 'coupler')}; medians: "
            f"one-qubit gate {one}, {self.two_qubit_source} {two}, readout e0 {e0}, e1 {e1})"
        )


def incomplete(datum: str, missing: Sequence) -> ValueError:
    """The error of a calibration without `datum` for some qubits or pairs."""
    named = ", ".join(map(str, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return argument_error("calibration", f"have {datum} wherever it is needed", f"it has none of {named}")


def error_rates(calibration: "Calibration | ErrorRates") -> ErrorRates:
    """The error rates of a `cirq_google.Calibration`.

    The calibrations of weber and rainbow do not have CZ: its error is then that of sqrt-iSWAP, which the same couplers
    run in the same time, and a warning says so.

    Raises:
        TypeError: It is no calibration.
        ValueError: It lacks the errors of one-qubit gates, of readout, or of both two-qubit gates.

    >>> rates = tfq_qrnn.hw.error_rates(tfq_qrnn.hw.load_calibration("weber"))
    >>> rates.two_qubit_source
    'sqrt-iSWAP'
    """
    rates = rates_of(calibration)
    if not isinstance(calibration, ErrorRates) and rates.two_qubit_source != "CZ":
        warnings.warn(
            "This calibration has no error of the CZ gate; the error of sqrt-iSWAP on the same pair stands in for it.",
            stacklevel=2,
        )
    return rates


def rates_of(calibration: "Calibration | ErrorRates") -> ErrorRates:
    """`error_rates` without a warning."""
    if isinstance(calibration, ErrorRates):
        return calibration
    if not isinstance(calibration, cirq_google().Calibration):
        raise argument_type_error("calibration", "be a cirq_google.Calibration", calibration)

    def metric(*names):
        found = next((calibration[name] for name in names if name in calibration), None)
        if found is None:
            known = ", ".join(calibration) or "none"
            raise argument_error("calibration", f"have the metric {' or '.join(names)}", f"it has {known}")
        return {targets: float(values[0]) for targets, values in found.items()}

    zeros, ones = map(metric, next((pair for pair in _READOUT if {*pair} <= {*calibration}), _READOUT[0]))
    pairs = metric(*_CZ, *_SQRT_ISWAP)
    return ErrorRates(
        {targets[0]: value for targets, value in metric(_ONE_QUBIT).items()},
        {frozenset(targets): value for targets, value in pairs.items()},
        {targets[0]: (zeros[targets], ones[targets]) for targets in zeros if targets in ones},
        "CZ" if any(name in calibration for name in _CZ) else "sqrt-iSWAP",
        {targets[0]: value for targets, value in metric(_T1).items()} if _T1 in calibration else {},
    )
