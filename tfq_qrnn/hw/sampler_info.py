"""What a sampler says about itself: the processor and the device behind it, whether it costs, its name in a journal."""

import sys
from typing import Any

import cirq


def wrapped_samplers(sampler: cirq.Sampler | None) -> list[cirq.Sampler]:
    """A sampler, the one that it wraps (its `sampler` or `_sampler`, as in `ValidatingSampler`), and so on."""
    found: list[cirq.Sampler] = []
    while sampler is not None and all(sampler is not other for other in found):
        found.append(sampler)
        inner = (getattr(sampler, name, None) for name in ("sampler", "_sampler"))
        sampler = next((other for other in inner if hasattr(other, "run_sweep")), None)
    return found


def processor_of(sampler: cirq.Sampler) -> Any:
    """The processor, real or virtual, behind a sampler; None where there is none."""
    processors = (getattr(inner, "processor", None) for inner in wrapped_samplers(sampler))
    return next((processor for processor in processors if processor is not None), None)


def device_of(sampler: cirq.Sampler) -> cirq.Device | None:
    """The device of an engine's sampler, real or virtual, or of a `ValidatingSampler`; None of any other."""
    processor = processor_of(sampler)
    if processor is not None:
        return processor.get_device()
    devices = (getattr(inner, "_device", None) for inner in wrapped_samplers(sampler))
    return next((device for device in devices if isinstance(device, cirq.Device)), None)


def is_paid(sampler: cirq.Sampler) -> bool:
    """Whether a sampler runs on a real processor of Google's engine."""
    return _is_real(processor_of(sampler))


def takes_ids(sampler: cirq.Sampler) -> bool:
    """Whether jobs can be sent under ids of ours: to a real processor, without a wrapper that sees them."""
    return _is_real(getattr(sampler, "processor", None)) and hasattr(sampler, "device_config_name")


def _is_real(processor):
    google = sys.modules.get("cirq_google")  # without it there is no such processor
    return google is not None and isinstance(processor, google.engine.EngineProcessor)


def described(sampler: cirq.Sampler) -> dict[str, Any]:
    """How a journal names a sampler: its type, and for an engine's the processor, the project and the device config."""
    found: dict[str, Any] = {"type": type(sampler).__name__}
    names = ("run_name", "snapshot_id", "device_config_name", "seed", "noise")
    processor = getattr(sampler, "processor", None)
    inner = wrapped_samplers(sampler)[1:2]
    if processor is not None:
        found |= {name: getattr(processor, name, None) for name in ("processor_id", "project_id")}
        inner = [other for other in [getattr(processor, "_sampler", None)] if other is not None]
    found |= {name: value for name in names if isinstance(value := getattr(sampler, name, None), (str, int))}
    if inner:
        found["of"] = described(inner[0])
    return found
