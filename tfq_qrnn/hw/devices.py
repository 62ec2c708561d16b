"""Google's processors: their devices (qubits, couplers, gates) and calibrations, by name or from a file."""

import os
import pathlib
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cirq

from tfq_qrnn import _cirq_json, _files
from tfq_qrnn._errors import argument_error, argument_type_error

if TYPE_CHECKING:
    from cirq_google import Calibration, GridDevice


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
    """The names of the processors whose device and calibration come with the installed cirq_google.

    >>> "weber" in tfq_qrnn.hw.processors()
    True
    """
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
