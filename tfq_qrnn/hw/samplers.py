"""Samplers: where the circuits run. Any `cirq.Sampler` will do; these are the ones with a name."""

import dataclasses
import functools
import os
import pathlib
from typing import TYPE_CHECKING, Any

import cirq

from tfq_qrnn._checks import check_choice, check_seed
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn._files import digest
from tfq_qrnn.hw.calibration import check_noise_data
from tfq_qrnn.hw.density_matrix import SweepSimulator
from tfq_qrnn.hw.devices import as_device, cirq_google, load_calibration, processors
from tfq_qrnn.hw.error_rates import rates_of, warn_without_cz
from tfq_qrnn.hw.factors import InFactors
from tfq_qrnn.hw.seeded_sampler import SeededSampler

if TYPE_CHECKING:
    from cirq_google import Calibration

CREDENTIALS = """No Google credentials were found, and the sampler "engine" needs them.
  1. Ask Google for access to a processor of Quantum Engine, which gives you a Google Cloud project:
     https://quantumai.google/cirq/google/access
  2. Install the Google Cloud CLI and run: gcloud auth application-default login
     (or set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account)
  3. hw.sampler("engine", project_id="your-project", processor_id="your-processor")
Without them, "virtual" and "noisy" run the same circuits here."""


def sampler(
    kind: str,
    device: str | pathlib.Path | cirq.Device | None = None,
    *,
    calibration: "str | pathlib.Path | Calibration | None" = None,
    seed: int | None = None,
    simulator: str = "density_matrix",
    project_id: str | None = None,
    processor_id: str | None = None,
    **engine_arguments: Any,
) -> cirq.Sampler:
    """A sampler for `run`.

    Args:
        kind: "simulator" (`cirq.Simulator`: no device, no noise), "virtual" (the virtual engine: a device's qubits,
            couplers and gates and Google's serializer are checked, without noise), "noisy" (the same with the noise of
            a calibration), or "engine" (a real processor).
        device: For "virtual" and "noisy": a name or path, as `load_device` takes it, or a `GridDevice`.
        calibration: For "noisy": a `cirq_google.Calibration`, or what `load_calibration` takes; by default, for a
            device that cirq_google ships, its median one. Without an error of CZ (as on weber and rainbow) that of
            sqrt-iSWAP stands in, and a warning says so.
        seed: Seed of the simulators. Shots depend on it and on the number of the call.
        simulator: For "noisy": "density_matrix", exact and quick up to some 10 qubits, or "qsim", trajectories, for
            more (`pip install qsimcirq`).
        project_id, processor_id: For "engine": the Google Cloud project and the processor.
        **engine_arguments: For "engine": further arguments of `cirq_google.Engine.get_sampler`.

    Returns:
        A `cirq.Sampler`.

    Raises:
        ValueError: An argument is missing or out of its range, or the calibration lacks what the noise needs.
        RuntimeError: "engine" without Google credentials: the message says how to get them.

    >>> qubit = cirq.GridQubit(5, 0)
    >>> virtual = tfq_qrnn.hw.sampler("virtual", "weber", seed=1)
    >>> print(virtual.run(cirq.Circuit(cirq.X(qubit), cirq.measure(qubit, key="m")), repetitions=3))
    m=111
    """
    check_choice("kind", kind, ("simulator", "virtual", "noisy", "engine"))
    check_choice("simulator", simulator, ("density_matrix", "qsim"))
    seed = check_seed(seed)
    named = {name for name, value in (("project_id", project_id), ("processor_id", processor_id)) if value}
    if kind != "engine" and (given := sorted({*engine_arguments, *named})):
        raise argument_error("kind", f'be "engine" where {", ".join(given)} is given', f"it is {kind!r}")
    if kind != "noisy" and calibration is not None:
        raise argument_error("kind", 'be "noisy" where a calibration is given', f"it is {kind!r}")
    if kind == "simulator":
        return _seeded(_simulator, seed)
    if kind == "engine":
        return _engine(project_id, processor_id, engine_arguments)
    if device is None:
        raise argument_error("device", f"be given for {kind!r}", "it is None")
    if kind == "virtual":
        return virtual_engine(device, _seeded(_simulator, seed))
    if calibration is None:
        if device not in (known := processors()):
            raise argument_error("calibration", f"be given for another device than {' and '.join(known)}", "it is None")
        calibration = device
    if isinstance(calibration, (str, pathlib.Path)):
        calibration = load_calibration(calibration)
    noise, name = noise_model(calibration), digest(cirq.to_json(calibration).encode())
    if simulator == "density_matrix":
        return virtual_engine(device, _seeded(functools.partial(SweepSimulator, noise), seed, name))
    try:
        import qsimcirq
    except ImportError as error:
        raise ImportError('The simulator "qsim" needs the package qsimcirq: pip install qsimcirq.') from error
    make = functools.partial(qsimcirq.QSimSimulator, noise=noise)
    return virtual_engine(device, _seeded(lambda seed: make(seed=seed), seed, f"qsim {name}"))


def _simulator(seed):
    return cirq.Simulator(seed=seed)


def _seeded(make, seed, noise=None):
    """Rings that run at once on a device are simulated one after the other."""
    return SeededSampler(functools.partial(InFactors, make), seed, noise)


def virtual_engine(device: str | pathlib.Path | cirq.Device, simulator: cirq.Sampler) -> cirq.Sampler:
    """A sampler that checks circuits as Google's engine does, device and serialization, and then simulates them."""
    google = cirq_google()
    name = pathlib.Path(device).stem if isinstance(device, (str, pathlib.Path)) else "virtual"
    device = as_device(device)
    if not isinstance(device, google.GridDevice):
        raise argument_type_error("device", "be a name, a path or a cirq_google.GridDevice", device)
    processor = google.engine.SimulatedLocalProcessor(
        processor_id=name,
        sampler=simulator,
        device=device,
        validator=google.engine.engine_validator.create_engine_validator(),
        program_validator=google.engine.engine_validator.create_program_validator(),
    )
    return google.engine.SimulatedLocalEngine([processor]).get_sampler(name)


def noise_model(calibration: "Calibration") -> cirq.NoiseModel:
    """The noise of a calibrated processor as a Cirq noise model, with an error for CZ (see `error_rates`)."""
    google = cirq_google()
    check_noise_data(calibration)
    rates = rates_of(calibration)
    warn_without_cz(rates, stacklevel=4)  # where `sampler` is called
    # Nanoseconds, on which the decay of idle qubits depends; Cirq's own for Sycamore's successors.
    times = {
        cirq.ZPowGate: 25.0,
        cirq.MeasurementGate: 4000.0,
        cirq.ResetChannel: 250.0,
        cirq.PhasedXZGate: 25.0,
        cirq.FSimGate: 32.0,
        cirq.ISwapPowGate: 32.0,
        cirq.CZPowGate: 32.0,
        google.SycamoreGate: 12.0,
    }
    try:
        properties = google.noise_properties_from_calibration(calibration, gate_times_ns=times)
    except (KeyError, ValueError, AttributeError) as error:
        raise argument_error("calibration", "have the data of a noise model", f"some are missing: {error}") from error
    errors = dict(properties.gate_pauli_errors)
    if rates.two_qubit_source != "CZ":
        for pair, error in rates.two_qubit.items():
            for ordered in (tuple(pair), tuple(pair)[::-1]):
                errors[cirq.devices.noise_utils.OpIdentifier(cirq.CZPowGate, *ordered)] = error
    return google.NoiseModelFromGoogleNoiseProperties(dataclasses.replace(properties, gate_pauli_errors=errors))


def _engine(project_id, processor_id, arguments):
    from google import auth

    project_id = project_id or os.environ.get("GOOGLE_CLOUD_PROJECT")
    for name, value in (("project_id", project_id), ("processor_id", processor_id)):
        if not value:
            raise argument_error(name, 'be given for "engine"', "it is missing")
    try:
        auth.default()
    except auth.exceptions.DefaultCredentialsError as error:
        raise RuntimeError(CREDENTIALS) from error
    return cirq_google().Engine(project_id=project_id).get_sampler(processor_id, **arguments)
