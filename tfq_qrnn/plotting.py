"""Pictures, drawn with matplotlib; every function returns the axes it drew on."""

import matplotlib.pyplot as plt
import numpy as np

from tfq_qrnn._checks import argument_error, argument_type_error
from tfq_qrnn.tracing import Trace


def bloch_vectors(trace, index=0, axes=None):
    """The Bloch vector of each qubit over the time steps of one sequence, a panel per qubit.

    Args:
        trace: A `tfq_qrnn.Trace`.
        index: Which sequence of the batch.
        axes: `n_qubits` matplotlib axes; new ones by default.

    Returns:
        The axes, an array of `n_qubits`.
    """
    if not isinstance(trace, Trace):
        raise argument_type_error("trace", "be a tfq_qrnn.Trace", trace)
    vectors = trace.bloch_vectors()[index]
    n = vectors.shape[1]
    if axes is None:
        columns = min(n, 3)
        rows = -(-n // columns)
        _, grid = plt.subplots(
            rows,
            columns,
            figsize=(4 * columns, 2.2 * rows),
            sharex=True,
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for spare in grid.ravel()[n:]:
            spare.set_visible(False)
        axes = grid.ravel()[:n]
    axes = np.asarray(axes).ravel()
    if len(axes) != n:
        raise argument_error("axes", f"be {n} axes, one per qubit", f"there are {len(axes)}")
    steps = np.arange(1, len(vectors) + 1)
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


def learning_curves(histories, metric="val_accuracy", ax=None):
    """One metric over the epochs, a line per model.

    Args:
        histories: Name of a model -> its values per epoch, or a list of them, one per seed: then the line is their mean
            and the band spans from the least to the greatest.
        metric: Label of the vertical axis.
        ax: Matplotlib axes; new ones by default.

    Returns:
        The axes.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for name, values in histories.items():
        values = np.atleast_2d(np.asarray(values, np.float64))
        epochs = np.arange(1, values.shape[1] + 1)
        (line,) = ax.plot(epochs, values.mean(0), marker=".", label=name)
        if len(values) > 1:
            ax.fill_between(epochs, values.min(0), values.max(0), color=line.get_color(), alpha=0.15, linewidth=0)
    ax.set_xlabel("epoch")
    ax.set_ylabel(metric)
    ax.legend(fontsize="small")
    return ax
