"""Two inputs side by side, and classes of inputs on average."""

import numpy as np

from tfq_qrnn._checks import check_choice
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.plotting.axes import check_trace, finish_lines, one_axes, several_axes, steps_of


def comparison(trace, index=0, other=1, axes=None):
    """Two sequences of a batch: how alike their states are, and the Bloch vectors of both.

    Args:
        trace: A `tfq_qrnn.Trace` of both.
        index: The one sequence, drawn solid.
        other: The other, drawn dashed.
        axes: `1 + n_qubits` matplotlib axes; new ones by default.

    Returns:
        The axes: the fidelity of the two states with their trace distance, then a panel per qubit.

    Raises:
        ValueError, TypeError: There is no such sequence, or the axes are too few or too many.

    >>> x = np.random.default_rng(0).normal(size=(2, 3, 4))
    >>> axes = comparison(tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), x))
    >>> [ax.get_title() for ax in axes]
    ['states of the two inputs', 'qubit 0', 'qubit 1']
    """
    check_trace(trace, index, other)
    fidelity, vectors, steps = trace.fidelities_between(index, other), trace.bloch_vectors(), steps_of(trace)
    axes = several_axes(axes, 1 + vectors.shape[2], "one for the fidelity and one per qubit", share=False)
    axes[0].plot(steps, fidelity, label="fidelity", linewidth=1.2)
    # rounding may take a fidelity above 1
    axes[0].plot(steps, np.sqrt(np.maximum(1 - fidelity, 0)), label="trace distance", linewidth=1.2)
    finish_lines(axes[0], "states of the two inputs", (-0.03, 1.03))
    for qubit, ax in enumerate(axes[1:]):
        for i, letter in enumerate("XYZ"):
            for sequence, style in ((index, "-"), (other, "--")):
                label = f"⟨{letter}⟩" if style == "-" else None
                ax.plot(steps, vectors[sequence, :, qubit, i], style, color=f"C{i}", label=label, linewidth=1.2)
        ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        finish_lines(ax, f"qubit {qubit}", (-1.05, 1.05), legend=qubit == 0)
    return axes


QUANTITIES = {
    "purity": lambda trace: trace.purities().mean(-1),
    "entropy": lambda trace: trace.entanglement_entropies()[..., trace.program.n_qubits // 2 - 1],
    "fidelity_to_first": lambda trace: trace.fidelities()[:, 0],
    "readout_norm": lambda trace: np.linalg.norm(trace.readouts, axis=-1),
    "angle_norm": lambda trace: np.linalg.norm(trace.angles, axis=-1),
}


def quantity_of(trace, quantity):
    """A named number of the memory at each step, `(batch, time)`."""
    check_choice("quantity", quantity, tuple(QUANTITIES))
    if quantity == "entropy" and trace.program.n_qubits < 2:
        raise argument_error("quantity", "be another for one qubit, which has no cut", "it is 'entropy'")
    return QUANTITIES[quantity](trace)


def class_averages(trace, labels, quantity="entropy", names=None, ax=None):
    """One number of the memory over time, averaged over the sequences of each class, with their spread.

    The band is one standard deviation (of a sample, over n - 1) to either side; one sequence has none.

    Args:
        trace: A `tfq_qrnn.Trace`.
        labels: `(batch,)`, the class of each sequence.
        quantity: "purity" (mean of all qubits), "entropy" (across the middle cut, in bits), "fidelity_to_first" (of the
            state with the first step's), "readout_norm", "angle_norm", or an array `(batch, time)`. Masked steps, whose
            angles are NaN, do not count in an average.
        names: Class -> its name in the legend; by default the class itself.
        ax: Matplotlib axes; new ones by default.

    Returns:
        The axes, a line for each class, in their sorted order.

    Raises:
        ValueError, TypeError: Labels or quantity are not of the trace's batch, or there is no such quantity.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.random.default_rng(0).normal(size=(4, 3, 5)))
    >>> ax = class_averages(trace, [0, 0, 1, 1], "purity", names={0: "even", 1: "odd"})
    >>> [line.get_label() for line in ax.lines]
    ['even (2)', 'odd (2)']
    """
    labels, (batch, time) = np.asarray(labels), check_trace(trace).states.shape[:2]
    if labels.shape != (batch,):
        raise argument_error("labels", f"have shape ({batch},), one per sequence", f"its shape is {labels.shape}")
    title = "quantity"
    if isinstance(quantity, str):
        title, quantity = quantity.replace("_", " "), quantity_of(trace, quantity)
    quantity = np.asarray(quantity)
    if quantity.shape != (batch, time) or quantity.dtype.kind not in "fiu":
        raise argument_error(
            "quantity", f"be real of shape ({batch}, {time})", f"it is {quantity.dtype} of shape {quantity.shape}"
        )
    if names is not None and not hasattr(names, "get"):
        raise argument_type_error("names", "be a dict from classes to names", names)
    ax = one_axes(ax, (5, 3.5))
    for label in np.unique(labels):
        values = np.ma.masked_invalid(quantity[labels == label])
        mean, spread, steps = values.mean(0), values.std(0, ddof=1), steps_of(trace)
        name = (names or {}).get(label.item(), label)
        (line,) = ax.plot(steps, mean, label=f"{name} ({len(values)})", linewidth=1.4)
        if len(values) > 1:
            ax.fill_between(steps, mean - spread, mean + spread, color=line.get_color(), alpha=0.15, linewidth=0)
    finish_lines(ax, title)
    ax.get_legend().set_title("mean ± standard deviation", prop={"size": "x-small"})
    return ax
