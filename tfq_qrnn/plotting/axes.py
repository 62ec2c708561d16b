"""What plots share: the decorator that gives them axes, and their kinds of panels."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import TypeVar

import matplotlib.axes
import numpy as np

from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.tracing import Trace

_Plot = TypeVar("_Plot", bound=Callable)

# What the docstrings of plots have in common; `help` shows it with each.
_TRACE = "\n`trace` is a `tfq_qrnn.Trace`, and `index` one sequence of its batch.\n"
_AXES = """
`ax`, or `axes` where there are several, are matplotlib axes to draw on; by default, new ones in a figure of pyplot's.
The plot returns them. What does not fit, axes or other arguments, raises a ValueError or TypeError that says why.
"""


def on_axes(
    size: tuple[float, float] = (5, 3),
    per_unit: tuple[float, float] | None = None,
    panels: Callable[[Trace], tuple[int, str]] | None = None,
    share: bool = False,
) -> Callable[[_Plot], _Plot]:
    """Decorator of plots: their axes are those given, checked, or those of a new figure; the trace is checked, too.

    `size` is that of each panel in inches, and grows by `per_unit` for every unit that the axes span once drawn on.
    `panels` gives the number of panels and what they are, for a plot of `axes`; without, it has one `ax`.
    """

    def decorate(draw):
        signature = inspect.signature(draw)
        name = "axes" if panels else "ax"

        @functools.wraps(draw)
        def plot(*args, **kwargs):
            call = signature.bind(*args, **kwargs)
            call.apply_defaults()
            given, figure = call.arguments, None
            if "trace" in given:
                check_trace(given["trace"], *(given[key] for key in ("index", "other") if key in given))
            count, what = panels(given["trace"]) if panels else (1, "one panel")
            if given[name] is None:
                import matplotlib.pyplot as plt  # here: with axes given, pyplot stays out of it

                figure = plt.figure(figsize=(size[0] * min(count, 3), size[1] * -(-count // 3)), layout="constrained")
                axes = grid(figure, count, share)
            else:
                axes = np.asarray(given[name], object).ravel()
                for ax in axes:
                    if not isinstance(ax, matplotlib.axes.Axes):
                        raise argument_type_error(name, "be matplotlib axes", ax)
                if len(axes) != count:
                    raise argument_error(name, f"be {count} axes, {what}", f"there are {len(axes)}")
            given[name] = axes if panels else axes[0]
            try:
                draw(*call.args, **call.kwargs)
            except Exception:
                if figure:
                    plt.close(figure)  # or a notebook would show it, empty
                raise
            if figure and per_unit:
                spans = [np.ptp(limits) for limits in (axes[0].get_xlim(), axes[0].get_ylim())]
                figure.set_size_inches(np.add(size, np.multiply(per_unit, spans)))
            return given[name]

        plot.__doc__ = (inspect.getdoc(draw) or "") + "\n" + _TRACE * ("trace" in signature.parameters) + _AXES
        return plot

    return decorate


def grid(figure, count, share=False, columns=3):
    """`count` axes in rows of `columns`, as a flat array."""
    shape = -(-count // columns), min(count, columns)
    axes = figure.subplots(*shape, sharex=share, sharey=share, squeeze=False).ravel()
    for spare in axes[count:]:
        spare.remove()
    return axes[:count]


def check_trace(trace, *indices):
    """The trace as it is, where it is one and has a sequence of each index."""
    if not isinstance(trace, Trace):
        raise argument_type_error("trace", "be a tfq_qrnn.Trace", trace)
    for index in indices:
        trace.check_index(index)
    return trace


def steps_of(trace):
    """The numbers of the time steps, from 1."""
    return np.arange(1, trace.states.shape[1] + 1)


def label_lines(ax, title, limits=(None, None)):
    """Title, limits and legend of lines over time."""
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel("time step")
    ax.set_ylim(*limits)
    ax.legend(fontsize="x-small", ncols=2)


def heat_map(ax, values, title, limits, cmap, rows=None):
    """`values`, `(time, rows)`, with time from left to right, and a colour bar in the figure of `ax`.

    Rows with names go from top to bottom. Without names they are time steps, too, and go up.
    """
    count, (low, high) = values.shape[1], limits
    extent = (0.5, len(values) + 0.5, *((count - 0.5, -0.5) if rows else (0.5, count + 0.5)))
    style = {"cmap": cmap, "origin": "upper" if rows else "lower", "interpolation": "nearest", "aspect": "auto"}
    image = ax.imshow(values.T, vmin=low, vmax=high, extent=extent, **style)
    if rows:
        shown = range(0, count, -(-count // 18))  # more names would overlap
        ax.set_yticks(list(shown), [rows[i] for i in shown], fontsize="x-small")
    else:
        ax.set_ylabel("time step")
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel("time step")
    ax.figure.colorbar(image, ax=ax)


def observable_names(program):
    """What is read out, in short: X0, Y0, ... where the qubits are on a line."""
    return [re.sub(r"([XYZ])\(q\((\d+)\)\)", r"\1\2", name) for name in program.observable_names]
