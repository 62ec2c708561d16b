"""The memory of one sequence over its time steps."""

import numpy as np

from tfq_qrnn._errors import argument_error
from tfq_qrnn.plotting.axes import (
    check_trace,
    finish_lines,
    heat_map,
    observable_names,
    one_axes,
    several_axes,
    steps_of,
)


def _panel(trace, index, ax, height=3):
    """The axes of one panel, and the time steps, for a trace that has a sequence `index`."""
    steps = steps_of(check_trace(trace, index))
    return one_axes(ax, (5, height)), steps


def bloch_vectors(trace, index=0, axes=None):
    """The Bloch vector of each qubit over the time steps of one sequence, a panel per qubit.

    Args:
        trace: A `tfq_qrnn.Trace`.
        index: Which sequence of the batch.
        axes: `n_qubits` matplotlib axes; new ones by default.

    Returns:
        The axes, an array of `n_qubits`.

    Raises:
        ValueError, TypeError: There is no such sequence, or the axes are too few or too many.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> [ax.get_title() for ax in bloch_vectors(trace)]
    ['qubit 0', 'qubit 1']
    """
    vectors, steps = check_trace(trace, index).bloch_vectors()[index], steps_of(trace)
    axes = several_axes(axes, vectors.shape[1], "one per qubit")
    for qubit, ax in enumerate(axes):
        for i, letter in enumerate("XYZ"):
            ax.plot(steps, vectors[:, qubit, i], label=f"⟨{letter}⟩", linewidth=1.2)
        ax.plot(steps, np.linalg.norm(vectors[:, qubit], axis=-1), color="0.5", linestyle=":", label="length")
        ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        ax.set_ylim(-1.05, 1.05)
        ax.set_title(f"qubit {qubit}", fontsize="medium")
    axes[0].legend(fontsize="small", ncols=2)
    axes[-1].set_xlabel("time step")
    return axes


def purities(trace, index=0, ax=None):
    """Tr(rho_q^2) of each qubit over time: 1 where it is not entangled, 1/2 where it is most.

    Args:
        trace: A `tfq_qrnn.Trace`.
        index: Which sequence of the batch.
        ax: Matplotlib axes; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError, TypeError: There is no such sequence, or `ax` is no axes.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> len(purities(trace).lines)  # one per qubit
    2
    """
    ax, steps = _panel(trace, index, ax)
    for qubit, values in enumerate(trace.purities()[index].T):
        ax.plot(steps, values, label=f"qubit {qubit}", linewidth=1.2)
    return finish_lines(ax, "purity of each qubit", (0.48, 1.02))


def entanglement_entropies(trace, index=0, ax=None):
    """The entropy in bits across each cut 0..k | k+1..n-1 over time; a dotted line at the most there can be.

    Args:
        trace: A `tfq_qrnn.Trace` of two qubits or more.
        index: Which sequence of the batch.
        ax: Matplotlib axes; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError, TypeError: There is no such sequence, `ax` is no axes, or one qubit has no cut.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=3), np.ones((1, 3, 4), "float32"))
    >>> [line.get_label() for line in entanglement_entropies(trace).lines]
    ['0 | 1..2', '0..1 | 2', 'maximum']
    """
    n = check_trace(trace).program.n_qubits
    if n < 2:
        raise argument_error("trace", "be of two qubits or more, which can be entangled", "it is of one")
    ax, steps = _panel(trace, index, ax)
    for cut, values in enumerate(trace.entanglement_entropies()[index].T):
        left, right = (f"{a}..{b}" if a < b else f"{a}" for a, b in ((0, cut), (cut + 1, n - 1)))
        ax.plot(steps, values, label=f"{left} | {right}", linewidth=1.2)
    ax.axhline(n // 2, color="0.5", linestyle=":", label="maximum")
    return finish_lines(ax, "entanglement entropy, bits", (-0.03 * n, 0.55 * n))


def fidelities(trace, index=0, ax=None):
    """|<psi_s|psi_t>|^2 between all time steps of one sequence, as a map.

    Args:
        trace: A `tfq_qrnn.Trace`.
        index: Which sequence of the batch.
        ax: Matplotlib axes; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError, TypeError: There is no such sequence, or `ax` is no axes.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> fidelities(trace).images[0].get_array().shape
    (3, 3)
    """
    ax, steps = _panel(trace, index, ax, height=4)
    image = ax.imshow(
        trace.fidelities()[index],
        aspect="auto",
        cmap="viridis",
        vmin=0,
        vmax=1,
        origin="lower",
        extent=(0.5, steps[-1] + 0.5) * 2,
    )
    ax.set_title("fidelity of two time steps", fontsize="medium")
    ax.set_xlabel("time step")
    ax.set_ylabel("time step")
    ax.figure.colorbar(image, ax=ax)
    return ax


def readouts(trace, index=0, ax=None):
    """What is read out at each time step, a row per observable.

    Args:
        trace: A `tfq_qrnn.Trace`.
        index: Which sequence of the batch.
        ax: Matplotlib axes; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError, TypeError: There is no such sequence, or `ax` is no axes.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2, observables="XZ"), np.ones((1, 3, 4), "float32"))
    >>> [label.get_text() for label in readouts(trace).get_yticklabels()]
    ['X0', 'Z0', 'X1', 'Z1']
    """
    ax, steps = _panel(trace, index, ax, height=3.6)
    values, names = trace.readouts[index], observable_names(trace.program)
    limit = max(1.0, np.abs(values).max())  # a Pauli sum may be read beyond 1
    return heat_map(ax, values, "readouts", (-limit, limit), "RdBu_r", steps, names)


def angles(trace, index=0, ax=None):
    """The angles of each time step in radians, a row per symbol; masked steps are left blank.

    Args:
        trace: A `tfq_qrnn.Trace`.
        index: Which sequence of the batch.
        ax: Matplotlib axes; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError, TypeError: There is no such sequence, or `ax` is no axes.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=1, depth=1), np.ones((1, 3, 4), "float32"))
    >>> [label.get_text() for label in angles(trace).get_yticklabels()]
    ['theta_0', 'theta_1']
    """
    ax, steps = _panel(trace, index, ax, height=3.6)
    values, names = trace.angles[index], [str(symbol) for symbol in trace.program.symbols]
    limit = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1.0
    return heat_map(ax, values, "angles, rad", (-limit, limit), "PuOr_r", steps, names)


def drift(trace, index=0, ax=None):
    """The fidelity of each step's state with the first step's, and with the one before it.

    Args:
        trace: A `tfq_qrnn.Trace`.
        index: Which sequence of the batch.
        ax: Matplotlib axes; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError, TypeError: There is no such sequence, or `ax` is no axes.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> drift(trace).get_title()
    'fidelity with earlier states'
    """
    ax, steps = _panel(trace, index, ax)
    values = trace.fidelities()[index]
    ax.plot(steps, values[0], label="with the first", linewidth=1.2)
    ax.plot(steps[1:], np.diagonal(values, offset=1), label="with the one before", linewidth=1.2)
    return finish_lines(ax, "fidelity with earlier states", (-0.03, 1.03))


def memory(trace, index=0, axes=None):
    """The memory of one sequence at a glance: angles, readouts, fidelities, and how far and how entangled it gets.

    Args:
        trace: A `tfq_qrnn.Trace`.
        index: Which sequence of the batch.
        axes: Six matplotlib axes (five for one qubit, which has no entropy); new ones by default.

    Returns:
        The axes: `angles`, `readouts`, `fidelities`, `drift`, `purities`, `entanglement_entropies`.

    Raises:
        ValueError, TypeError: There is no such sequence, or the axes are too few or too many.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> len(memory(trace))
    6
    """
    draw = [angles, readouts, fidelities, drift, purities, entanglement_entropies]
    draw = draw[: 6 if check_trace(trace, index).program.n_qubits > 1 else 5]
    axes = several_axes(axes, len(draw), "one per panel", size=(4.6, 3.2), share=False)
    for panel, ax in zip(draw, axes, strict=True):
        panel(trace, index, ax)
    return axes
