"""The closed loop read by ancillas."""

import pathlib
from collections.abc import Sequence
from typing import Any

import cirq
import keras
import numpy as np
from numpy.typing import ArrayLike

from tfq_qrnn._checks import check_int, check_seed
from tfq_qrnn._errors import argument_error
from tfq_qrnn.hw.ancilla import AncillaLoop, describe
from tfq_qrnn.hw.closed_loop import Measurement, execute
from tfq_qrnn.hw.compile import MOST_SHOTS, MOST_TIMESTEPS
from tfq_qrnn.hw.cost import LATENCY, Cost, Sweeps
from tfq_qrnn.hw.devices import as_device
from tfq_qrnn.hw.models import groups_of, recurrent_cells
from tfq_qrnn.hw.replay import circuit_digest, size
from tfq_qrnn.hw.result import Result
from tfq_qrnn.hw.sampler_info import device_of


def run_with_ancillas(
    layer: keras.Layer,
    x: ArrayLike,
    strength: float,
    repetitions: int = 1000,
    *,
    sampler: cirq.Sampler | None = None,
    device: str | pathlib.Path | cirq.Device | None = None,
    qubits: Sequence[cirq.Qid] | None = None,
    seed: int | None = 0,
    progress: bool = False,
    **options: Any,
) -> Result:
    """The closed loop with readouts by ancillas in place of measurements at the end.

    Args:
        layer: A `QRNN`, an RNN over a `QRNNCell`, or a model with one, with readouts such as "XYZ".
        x: What it takes.
        strength: theta in radians, above 0 and at most pi/2.
        repetitions: Shots of each circuit, 1 to 10 million; there is one for each sequence and time step.
        sampler: A `cirq.Sampler` that measures in mid-circuit; by default the shots are simulated as trajectories in
            NumPy, which takes a hundredth of the time.
        device, qubits: As in `run`.
        seed: Seed of the trajectories.
        progress: Whether to show a progress bar.
        **options: For a sampler, those of `Plan.run`: `journal`, `confirm`, `paid`, `max_shots`, `max_jobs`,
            `max_concurrent_jobs`.

    Returns:
        A `Result`.

    Raises:
        ValueError, TypeError: An argument is out of its range, or an observable is no Pauli of one qubit.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2, return_sequences=True)
    >>> x = np.ones((1, 3, 4), "float32")
    >>> tfq_qrnn.hw.run_with_ancillas(layer, x, strength=0.3, repetitions=100).readouts.shape
    (1, 3, 6)
    """
    repetitions, seed = check_int("repetitions", repetitions, 1, MOST_SHOTS), check_seed(seed)
    if sampler is None and options:
        raise argument_error("sampler", f"be given with {', '.join(sorted(options))}", "it is None")
    if device is None and sampler is not None:
        device = device_of(sampler)
    device, cells = as_device(device), recurrent_cells(layer)
    if len(cells) != 1:
        raise argument_error("layer", "have one recurrent cell to be read by ancillas", f"it has {len(cells)}")
    loop = AncillaLoop(cells[0].program, strength, device, qubits)

    def measure(_, send):
        if send is None:
            rng = np.random.default_rng(seed)
            return lambda t, members, angles: [loop.estimates(rows, repetitions, rng) for rows in angles], []
        return lambda t, members, angles: loop.measured(t, members, angles, repetitions, send), []

    def cost(masks):
        groups = groups_of(masks[0])
        step = size(loop.circuit(1))
        sizes = [tuple(t * count for count in step) for t in range(1, len(groups) + 1)]
        all_qubits = len(loop.native.qubits) + len(loop.ancillas)
        sweeps = [
            Sweeps(1, len(members), repetitions, all_qubits, sizes[steps - 1][0])
            for of_one in groups
            for steps, members in of_one
        ]
        return Cost(tuple(sweeps), sum(map(bool, groups)), LATENCY, *zip(*sizes, strict=True))

    def jobs(masks):
        groups = enumerate(groups_of(masks[0]))
        return [describe(t, *group) for t, of_one in groups for group in of_one]

    header = {
        "ancillas": strength,
        "repetitions": repetitions,
        "qubits": [*map(str, (*loop.native.qubits, *loop.ancillas))],
        "circuit": circuit_digest(loop.native),
    }
    measurement = Measurement(MOST_TIMESTEPS, measure, cost, jobs, header, _longest(loop), device)
    return execute(measurement, layer, x, sampler, progress=progress, **options)


def _longest(loop):
    """The circuits to check: the longest stands for the steps that it contains."""
    return lambda masks: [loop.circuit(int(masks[0].sum(axis=1).max()))]
