"""The axes that pictures are drawn on: those given, checked, or those of a new figure."""

import re

import matplotlib.axes
import numpy as np

from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.tracing import Trace


def check_trace(trace, *indices):
    """The trace as it is; an error where it is none, or has no sequence of an index."""
    if not isinstance(trace, Trace):
        raise argument_type_error("trace", "be a tfq_qrnn.Trace", trace)
    for index in indices:
        trace.check_index(index)
    return trace


def one_axes(ax, figsize):
    """The axes given, or those of a new figure."""
    if ax is None:
        return new_figure(figsize).subplots()
    if not isinstance(ax, matplotlib.axes.Axes):
        raise argument_type_error("ax", "be matplotlib axes", ax)
    return ax


def several_axes(axes, count, what, columns=3, size=(4, 2.2), share=True):
    """The `count` axes given, as a flat array, or those of a new figure in rows of `columns`."""
    if axes is None:
        rows, columns = -(-count // columns), min(count, columns)
        return grid(new_figure((size[0] * columns, size[1] * rows)), count, columns, share)
    axes = np.asarray(axes, object).ravel()
    for ax in axes:
        if not isinstance(ax, matplotlib.axes.Axes):
            raise argument_type_error("axes", "be matplotlib axes", ax)
    if len(axes) != count:
        raise argument_error("axes", f"be {count} axes, {what}", f"there are {len(axes)}")
    return axes


def grid(figure, count, columns=3, share=False):
    """`count` axes in rows of `columns`, as a flat array."""
    columns = min(count, columns)
    axes = figure.subplots(-(-count // columns), columns, sharex=share, sharey=share, squeeze=False).ravel()
    for spare in axes[count:]:
        spare.remove()
    return axes[:count]


def new_figure(figsize):
    """A figure of pyplot's, so that notebooks and `plt.show()` show it."""
    import matplotlib.pyplot as plt  # here: with axes given, pyplot stays out of it

    return plt.figure(figsize=figsize, layout="constrained")


def steps_of(trace):
    """The numbers of the time steps, from 1."""
    return np.arange(1, trace.states.shape[1] + 1)


def observable_names(program):
    """What is read out, in short: X0, Y0, ... where the qubits are on a line."""
    names = [str(observable).removeprefix("1.000*") for observable in program.observables]
    return [re.sub(r"([XYZ])\(q\((\d+)\)\)", r"\1\2", name) for name in names]


def heat_map(ax, values, title, limits, cmap, steps, rows=None):
    """`values`, `(time, rows)`, with time from left to right, and a colour bar in the figure of `ax`."""
    image = ax.imshow(
        np.asarray(values).T,
        aspect="auto",
        interpolation="nearest",
        cmap=cmap,
        vmin=limits[0],
        vmax=limits[1],
        extent=(steps[0] - 0.5, steps[-1] + 0.5, len(np.asarray(values).T) - 0.5, -0.5),
    )
    if rows is not None:
        shown = range(0, len(rows), -(-len(rows) // 18))  # more names would overlap
        ax.set_yticks(list(shown), [rows[i] for i in shown], fontsize="x-small")
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel("time step")
    ax.figure.colorbar(image, ax=ax)
    return ax


def finish_lines(ax, title, limits=None, legend=True):
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel("time step")
    if limits is not None:
        ax.set_ylim(*limits)
    if legend:
        ax.legend(fontsize="x-small", ncols=2)
    return ax
