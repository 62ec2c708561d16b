"""What the memory does: one sequence, two side by side, classes of them on average."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from tfq_qrnn._checks import check_choice
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.plotting.axes import heat_map, label_lines, observable_names, on_axes, steps_of
from tfq_qrnn.tracing import Trace


@on_axes(size=(4, 2.2), panels=lambda trace: (trace.program.n_qubits, "one per qubit"), share=True)
def bloch_vectors(trace: Trace, index: int = 0, axes: Sequence[Axes] | None = None) -> np.ndarray:
    """The Bloch vector of each qubit over the time steps of one sequence, a panel per qubit.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> [ax.get_title() for ax in bloch_vectors(trace)]
    ['qubit 0', 'qubit 1']
    """
    vectors = trace.bloch_vectors()[index]
    for qubit, ax in enumerate(axes):
        _bloch_panel(ax, trace, qubit, vectors)
        length = np.linalg.norm(vectors[:, qubit], axis=-1)
        ax.plot(steps_of(trace), length, color="0.5", linestyle=":", label="length")
    axes[0].legend(fontsize="small", ncols=2)
    axes[-1].set_xlabel("time step")


def _bloch_panel(ax, trace, qubit, *vectors):
    """The Bloch vector of a qubit in one sequence, or in two, of which the second is dashed."""
    for i, letter in enumerate("XYZ"):
        for values, style, label in zip(vectors, ("-", "--"), (f"⟨{letter}⟩", None), strict=False):
            ax.plot(steps_of(trace), values[:, qubit, i], style, color=f"C{i}", label=label, linewidth=1.2)
    ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.set_ylim(-1.05, 1.05)
    ax.set_title(f"qubit {qubit}", fontsize="medium")


@on_axes()
def purities(trace: Trace, index: int = 0, ax: Axes | None = None) -> Axes:
    """Tr(rho_q^2) of each qubit over time: 1 where it is not entangled, 1/2 where it is most.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> len(purities(trace).lines)  # one per qubit
    2
    """
    for qubit, values in enumerate(trace.purities()[index].T):
        ax.plot(steps_of(trace), values, label=f"qubit {qubit}", linewidth=1.2)
    label_lines(ax, "purity of each qubit", (0.48, 1.02))


@on_axes()
def entanglement_entropies(trace: Trace, index: int = 0, ax: Axes | None = None) -> Axes:
    """The entropy in bits across each cut 0..k | k+1..n-1 over time; a dotted line at the most there can be.

    Raises:
        ValueError: The trace is of one qubit, which has no cut.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=3), np.ones((1, 3, 4), "float32"))
    >>> [line.get_label() for line in entanglement_entropies(trace).lines]
    ['0 | 1..2', '0..1 | 2', 'maximum']
    """
    n = trace.program.n_qubits
    if n < 2:
        raise argument_error("trace", "be of two qubits or more, which can be entangled", "it is of one")
    for cut, values in enumerate(trace.entanglement_entropies()[index].T):
        left, right = (f"{a}..{b}" if a < b else f"{a}" for a, b in ((0, cut), (cut + 1, n - 1)))
        ax.plot(steps_of(trace), values, label=f"{left} | {right}", linewidth=1.2)
    ax.axhline(n // 2, color="0.5", linestyle=":", label="maximum")
    label_lines(ax, "entanglement entropy, bits", (-0.03 * n, 0.55 * n))


@on_axes(size=(5, 4))
def fidelities(trace: Trace, index: int = 0, ax: Axes | None = None) -> Axes:
    """|<psi_s|psi_t>|^2 between all time steps of one sequence, as a map.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> fidelities(trace).images[0].get_array().shape
    (3, 3)
    """
    heat_map(ax, trace.fidelities()[index], "fidelity of two time steps", (0, 1), "viridis")


@on_axes(size=(5, 3.6))
def readouts(trace: Trace, index: int = 0, ax: Axes | None = None) -> Axes:
    """What is read out at each time step, a row per observable.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2, observables="XZ"), np.ones((1, 3, 4), "float32"))
    >>> [label.get_text() for label in readouts(trace).get_yticklabels()]
    ['X0', 'Z0', 'X1', 'Z1']
    """
    values = trace.readouts[index]
    limit = max(1.0, np.abs(values).max())  # a Pauli sum may be read beyond 1
    heat_map(ax, values, "readouts", (-limit, limit), "RdBu_r", observable_names(trace.program))


@on_axes(size=(5, 3.6))
def angles(trace: Trace, index: int = 0, ax: Axes | None = None) -> Axes:
    """The angles of each time step in radians, a row per symbol; masked steps are left blank.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=1, depth=1), np.ones((1, 3, 4), "float32"))
    >>> [label.get_text() for label in angles(trace).get_yticklabels()]
    ['theta_0', 'theta_1']
    """
    values = trace.angles[index]
    limit = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1.0
    heat_map(ax, values, "angles, rad", (-limit, limit), "PuOr_r", [str(symbol) for symbol in trace.program.symbols])


@on_axes()
def drift(trace: Trace, index: int = 0, ax: Axes | None = None) -> Axes:
    """The fidelity of each step's state with the first step's, and with the one before it.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> drift(trace).get_title()
    'fidelity with earlier states'
    """
    values, steps = trace.fidelities()[index], steps_of(trace)
    ax.plot(steps, values[0], label="with the first", linewidth=1.2)
    ax.plot(steps[1:], np.diagonal(values, offset=1), label="with the one before", linewidth=1.2)
    label_lines(ax, "fidelity with earlier states", (-0.03, 1.03))


@on_axes(size=(4.6, 3.2), panels=lambda trace: (5 + (trace.program.n_qubits > 1), "one per panel"))
def memory(trace: Trace, index: int = 0, axes: Sequence[Axes] | None = None) -> np.ndarray:
    """The memory of one sequence at a glance: angles, readouts, fidelities, and how far and how entangled it gets.

    Returns:
        The axes: `angles`, `readouts`, `fidelities`, `drift`, `purities`, and, for two qubits or more,
        `entanglement_entropies`.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> len(memory(trace))
    6
    """
    panels = angles, readouts, fidelities, drift, purities, entanglement_entropies
    for panel, ax in zip(panels, axes, strict=False):  # one qubit has no entropy, and five axes
        panel(trace, index, ax)


@on_axes(size=(4, 2.2), panels=lambda trace: (1 + trace.program.n_qubits, "one for the fidelity and one per qubit"))
def comparison(trace: Trace, index: int = 0, other: int = 1, axes: Sequence[Axes] | None = None) -> np.ndarray:
    """Two sequences of a batch: how alike their states are, and the Bloch vectors of both.

    Args:
        index: The one sequence, drawn solid.
        other: The other, drawn dashed.

    Returns:
        The axes: the fidelity of the two states with their trace distance, then a panel per qubit.

    >>> x = np.random.default_rng(0).normal(size=(2, 3, 4))
    >>> axes = comparison(tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), x))
    >>> [ax.get_title() for ax in axes]
    ['states of the two inputs', 'qubit 0', 'qubit 1']
    """
    fidelity, vectors, steps = trace.fidelities_between(index, other), trace.bloch_vectors(), steps_of(trace)
    distance = np.sqrt(np.maximum(1 - fidelity, 0))  # rounding may take a fidelity above 1
    axes[0].plot(steps, fidelity, label="fidelity", linewidth=1.2)
    axes[0].plot(steps, distance, label="trace distance", linewidth=1.2)
    label_lines(axes[0], "states of the two inputs", (-0.03, 1.03))
    for qubit, ax in enumerate(axes[1:]):
        _bloch_panel(ax, trace, qubit, vectors[index], vectors[other])
        ax.set_xlabel("time step")
    axes[1].legend(fontsize="x-small", ncols=2)


def quantities(trace: Trace) -> dict[str, Callable[[], np.ndarray]]:
    """Functions that give the numbers of the memory at each step, `(batch, time)`, by name."""
    entropy = {"entropy": lambda: trace.entanglement_entropies()[..., trace.program.n_qubits // 2 - 1]}
    return {
        "purity": lambda: trace.purities().mean(-1),
        **(entropy if trace.program.n_qubits > 1 else {}),  # one qubit has no cut
        "fidelity_to_first": lambda: trace.fidelities()[:, 0],
        "readout_norm": lambda: np.linalg.norm(trace.readouts, axis=-1),
        "angle_norm": lambda: np.linalg.norm(trace.angles, axis=-1),
    }


@on_axes(size=(5, 3.5))
def class_averages(
    trace: Trace,
    labels: ArrayLike,
    quantity: str | ArrayLike = "entropy",
    names: Mapping | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One number of the memory over time, averaged over the sequences of each class, in their sorted order.

    The band is one standard deviation (of a sample, over n - 1) to either side; one sequence has none.

    Args:
        labels: `(batch,)`, the class of each sequence.
        quantity: "purity" (mean of all qubits), "entropy" (across the middle cut, in bits; for two qubits or more),
            "fidelity_to_first" (of the state with the first step's), "readout_norm", "angle_norm", or an array
            `(batch, time)`. Masked steps, whose angles are NaN, do not count in an average.
        names: Class -> its name in the legend; by default the class itself.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.random.default_rng(0).normal(size=(4, 3, 5)))
    >>> ax = class_averages(trace, [0, 0, 1, 1], "purity", names={0: "even", 1: "odd"})
    >>> [line.get_label() for line in ax.lines]
    ['even (2)', 'odd (2)']
    """
    labels, (batch, time) = np.asarray(labels), trace.states.shape[:2]
    if labels.shape != (batch,):
        raise argument_error("labels", f"have shape ({batch},), one per sequence", f"its shape is {labels.shape}")
    title = "quantity"
    if isinstance(quantity, str):
        named = quantities(trace)
        title, quantity = quantity.replace("_", " "), named[check_choice("quantity", quantity, tuple(named))]()
    quantity = np.asarray(quantity)
    if quantity.shape != (batch, time) or quantity.dtype.kind not in "fiu":
        given = f"it is {quantity.dtype} of shape {quantity.shape}"
        raise argument_error("quantity", f"be real of shape ({batch}, {time})", given)
    if names is not None and not hasattr(names, "get"):
        raise argument_type_error("names", "be a dict from classes to names", names)
    for label in np.unique(labels):
        values = np.ma.masked_invalid(quantity[labels == label])
        mean, spread, steps = values.mean(0), values.std(0, ddof=1), steps_of(trace)
        name = (names or {}).get(label.item(), label)
        (line,) = ax.plot(steps, mean, label=f"{name} ({len(values)})", linewidth=1.4)
        if len(values) > 1:
            ax.fill_between(steps, mean - spread, mean + spread, color=line.get_color(), alpha=0.15, linewidth=0)
    label_lines(ax, title)
    ax.get_legend().set_title("mean ± standard deviation", prop={"size": "x-small"})
