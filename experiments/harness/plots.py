"""Pictures of what was trained."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

import tfq_qrnn
from tfq_qrnn._files import replacing


def learning_curves(runs, metric, scale=1, label=None, ax=None):
    """A metric of every epoch, a line per model with a band over its seeds; returns the axes."""
    curves = {}
    for run in runs:
        values = [scale * epoch[metric] for epoch in run["metrics"]]
        curves.setdefault(f"{run['model']} ({run['parameters']:,} parameters)", []).append(values)
    return tfq_qrnn.plotting.learning_curves(curves, label or metric, ax=ax)


def pictures(path, draw_curves, draw_beside=None, width=1.6):
    """Learning curves, and something beside them, as a PNG.

    Args:
        draw_curves: Function of axes.
        draw_beside: Function of a matplotlib subfigure, or None.
        width: How much wider than the curves the other picture is.
    """
    figure = plt.figure(figsize=(6 * (1 + width * (draw_beside is not None)), 5), layout="constrained")
    left, *right = figure.subfigures(1, 2, width_ratios=[1, width]) if draw_beside else [figure]
    draw_curves(left.subplots())
    if draw_beside:
        draw_beside(right[0])
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120)
    plt.close(figure)
    return path


def bloch_vectors(model, x, title, columns=3):
    """What draws the Bloch vectors of a model's quantum layer while it reads `x`; None where it has no such layer."""
    quantum = [layer for layer in model.layers if isinstance(layer, tfq_qrnn.QRNN)]
    if not quantum or not isinstance(quantum[0].cell.backend, tfq_qrnn.backends.CarriedBackend):
        return None
    trace = tfq_qrnn.trace(model, x)

    def draw(subfigure):
        n = trace.bloch_vectors().shape[2]
        grid = -(-n // columns), min(n, columns)
        axes = subfigure.subplots(*grid, sharex=True, sharey=True, squeeze=False).ravel()
        for spare in axes[n:]:
            spare.set_visible(False)
        tfq_qrnn.plotting.bloch_vectors(trace, axes=axes[:n])
        subfigure.suptitle(title)

    return draw
