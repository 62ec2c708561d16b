"""`run`, `export` and `cost`: a plan and one of its methods, in one call."""

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cirq
import keras
from numpy.typing import ArrayLike

from tfq_qrnn._errors import argument_type_error
from tfq_qrnn.hw.calibration import default_calibration
from tfq_qrnn.hw.cost import LATENCY, Cost
from tfq_qrnn.hw.error_rates import ErrorRates
from tfq_qrnn.hw.mitigation import Mitigation
from tfq_qrnn.hw.models import sequence_length
from tfq_qrnn.hw.planning import plan
from tfq_qrnn.hw.result import Result
from tfq_qrnn.hw.sampler_info import device_of, processor_of

if TYPE_CHECKING:
    from cirq_google import Calibration


def run(
    layer: keras.Layer,
    x: ArrayLike,
    sampler: cirq.Sampler,
    repetitions: int = 1000,
    *,
    device: str | pathlib.Path | cirq.Device | None = None,
    qubits: Sequence[cirq.Qid] | None = None,
    rings: int | str = 1,
    mitigate_readout: bool = False,
    mitigation: Mitigation | None = None,
    points_per_job: int | None = None,
    **options: Any,
) -> Result:
    """Run a trained layer, or the model around it, in closed loop: `plan(...).run(...)`.

    Args:
        layer, qubits, rings, mitigate_readout, mitigation, points_per_job: As in `plan`.
        x, sampler, repetitions: As in `Plan.run`.
        device: Where the circuits go; by default the device of an engine's sampler, and every pair of qubits coupled
            for any other. The current calibration of an engine's processor places them; a run with a journal resumes
            where it began.
        **options: Those of `Plan.run`: `journal`, `confirm`, `progress`, `calibration_repetitions`,
            `standard_error`, `paid`, `max_shots`, `max_jobs`, `max_concurrent_jobs`.

    Returns:
        A `Result`.

    Raises:
        ValueError, TypeError: As `plan` and `Plan.run` do.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2, return_sequences=True)
    >>> x = np.ones((3, 4, 5), "float32")
    >>> sampler = tfq_qrnn.hw.sampler("simulator", seed=0)
    >>> tfq_qrnn.hw.run(layer, x, sampler, repetitions=100, progress=False).readouts.shape
    (3, 4, 6)
    """
    if not hasattr(sampler, "run_sweep"):
        raise argument_type_error("sampler", "be a cirq.Sampler", sampler)
    processor = processor_of(sampler)
    if device is None:
        device = device_of(sampler)
    calibration = None if processor is None else default_calibration(processor=processor)
    settings: dict[str, Any] = {"mitigate_readout": mitigate_readout, "mitigation": mitigation}
    settings |= {"qubits": qubits, "rings": rings, "calibration": calibration, "points_per_job": points_per_job}
    planned = plan(layer, device, sequence_length(layer, x), **settings)
    return planned.run(x, sampler, repetitions, **options)


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
    seconds_per_job: float = LATENCY,
    **settings: Any,
) -> Cost:
    """What `run` costs: `plan(...).cost(...)`.

    Args:
        layer, n_timesteps, device, qubits, calibration, mitigate_readout, points_per_job: As in `plan`; without a
            device every pair of qubits is coupled.
        repetitions, batch_size, seconds_per_job: As in `Plan.cost`.
        **settings: `rings` and `mitigation`, as in `plan`.

    Returns:
        A `Cost`.

    Raises:
        ValueError, TypeError: An argument is out of its range, or the circuit does not fit the device.

    >>> layer = tfq_qrnn.QRNN(circuit=tfq_qrnn.HardwareEfficient(n_qubits=4))
    >>> print(tfq_qrnn.hw.cost(layer, n_timesteps=2, repetitions=1000, device="weber", batch_size=10))
    2 jobs, 60 circuits, 60,000 shots, about 7 s on a processor and 10 s in all
    step  depth  one-qubit gates  two-qubit gates  signal
       1      6                8                8    0.86
       2     12               16               16    0.79
    """
    settings |= {"mitigate_readout": mitigate_readout, "points_per_job": points_per_job}
    planned = plan(layer, device, n_timesteps, qubits=qubits, calibration=calibration, **settings)
    return planned.cost(repetitions, batch_size, seconds_per_job=seconds_per_job)


def export(
    layer: keras.Layer,
    path: str | os.PathLike[str],
    device: str | pathlib.Path | cirq.Device,
    n_timesteps: int,
    *,
    qubits: Sequence[cirq.Qid] | None = None,
    calibration: "Calibration | ErrorRates | None" = None,
) -> pathlib.Path:
    """Write the circuits of a layer for a device: `plan(...).export(path)`.

    Args:
        layer: A `QRNN`, an RNN over a `QRNNCell`, or a model with one; built, so that it has weights.
        path: A folder that does not exist yet, or is empty. It is there whole, or not at all.
        device: A name or path, as `load_device` takes it, or a `GridDevice`.
        n_timesteps: Number of time steps, 1 to 1000; time and disk grow with its square.
        qubits, calibration: As in `plan`.

    Returns:
        The path of the folder.

    Raises:
        ValueError, TypeError: An argument is out of its range, or the circuit does not fit the device.

    >>> import tempfile
    >>> layer = tfq_qrnn.QRNN(n_qubits=4)
    >>> layer.build((None, None, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = tfq_qrnn.hw.export(layer, pathlib.Path(folder, "circuits"), device="weber", n_timesteps=2)
    ...     len(tfq_qrnn.hw.load(path).resolve(np.zeros((2, 16))))
    2
    """
    return plan(layer, device, n_timesteps, qubits=qubits, calibration=calibration).export(path)
