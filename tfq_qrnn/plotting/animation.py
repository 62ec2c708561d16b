"""One sequence being read, as a film."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import matplotlib.animation
import matplotlib.figure
import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.plotting.axes import check_trace, grid
from tfq_qrnn.tracing import Trace

_ACCENT, _TRAIL = "#d1495b", "#2e6f95"


class Film(matplotlib.animation.FuncAnimation):
    """An animation; the end of a file's name says how it is saved."""

    def save(self, filename: str | os.PathLike[str], writer: Any = None, *args: Any, **kwargs: Any) -> None:
        ffmpeg = matplotlib.rcParams["animation.ffmpeg_path"]
        if not shutil.which(ffmpeg):
            with contextlib.suppress(ImportError, RuntimeError):  # the latter: a wheel without a binary
                import imageio_ffmpeg

                ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        with matplotlib.rc_context({"animation.ffmpeg_path": ffmpeg}):
            writers = {".gif": "pillow", ".mp4": "ffmpeg"}
            writer = writer or writers.get(pathlib.Path(filename).suffix.lower())
            if writer is None:
                raise argument_error("filename", "end in .gif or .mp4, or `writer` be given", f"it is {filename}")
            if writer == "ffmpeg" and not matplotlib.animation.writers.is_available("ffmpeg"):
                given = f"it is {filename}; pip install imageio-ffmpeg brings one"
                raise argument_error("filename", "end in .gif where there is no ffmpeg", given)
            super().save(filename, writer, *args, **kwargs)


def animate(
    trace: Trace,
    index: int = 0,
    image: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    classes: Sequence | None = None,
    milliseconds: int = 160,
    pause: int = 8,
    title: str | None = None,
    figure: FigureBase | None = None,
) -> Film:
    """A film of one sequence being read: image, Bloch vector of every qubit, fidelities, and class probabilities.

    Args:
        trace: A `tfq_qrnn.Trace`.
        index: Which sequence of the batch.
        image: `(height, width)`, the picture that is read from top to bottom in equal parts; without one that panel is
            left out.
        probabilities: `(time, n_classes)`, what the model would say after each step; without, that panel is left out.
        classes: Names of the classes; by default their numbers.
        milliseconds: How long a time step is shown.
        pause: How many time steps long the last picture stays.
        title: Above it all.
        figure: A matplotlib figure to draw on; a new one by default.

    Returns:
        A `matplotlib.animation.FuncAnimation`. Its `save("film.gif")` writes a GIF, and `save("film.mp4")` an MP4,
        which takes ffmpeg: one that is installed, or that of the package imageio-ffmpeg.

    Raises:
        ValueError, TypeError: There is no such sequence, or an argument does not fit it. In `save`: the file's name
            ends otherwise, or there is no ffmpeg.

    >>> import os, tempfile
    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> film = animate(trace, image=np.eye(6), pause=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     film.save(pathlib.Path(folder, "film.gif"), dpi=40)
    ...     print(os.listdir(folder))
    ['film.gif']
    """
    vectors = check_trace(trace, index).bloch_vectors()[index]
    steps = len(vectors)
    frames = steps + check_int("pause", pause, 0)
    check_int("milliseconds", milliseconds, 1)
    panels = [(2.6, _spheres, (vectors,)), (1.5, _fidelities, (trace.fidelities()[index],))]  # the first is the width
    if image is not None:
        image = np.asarray(image)
        if image.ndim != 2 or len(image) % steps:
            rule = f"be grey, with a height that {steps} time steps divide"
            raise argument_error("image", rule, f"its shape is {image.shape}")
        panels.insert(0, (1.5, _reading, (image, steps)))
    if probabilities is not None:
        probabilities = np.asarray(probabilities)
        if probabilities.ndim != 2 or len(probabilities) != steps:
            rule = f"have shape ({steps}, n_classes)"
            raise argument_error("probabilities", rule, f"its shape is {probabilities.shape}")
        count = probabilities.shape[1]
        names = [str(name) for name in (range(count) if classes is None else classes)]
        if len(names) != count:
            raise argument_error("classes", f"be {count} names, one per class", f"there are {len(names)}")
        panels.append((1.3, _bars, (probabilities, names)))
    widths = [width for width, _, _ in panels]
    own = figure is None
    if own:
        import matplotlib.pyplot as plt  # here: with a figure given, pyplot stays out of it

        figure = plt.figure(figsize=(1.45 * sum(widths), 2.9), layout="constrained")
    elif not isinstance(figure, matplotlib.figure.FigureBase):
        raise argument_type_error("figure", "be a matplotlib figure", figure)
    if title:
        figure.suptitle(title, fontsize="medium")
    parts = figure.subfigures(1, len(panels), width_ratios=widths, squeeze=False)[0]
    shows = [draw(part, *values) for part, (_, draw, values) in zip(parts, panels, strict=True)]

    def show(frame):
        for show_panel in shows:
            show_panel(min(frame, steps - 1))

    show(0)
    if own:  # laid out once: anew for each picture takes as long as the drawing, and panels would tremble
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return Film(figure, show, frames=frames, interval=milliseconds)


# The panels: each draws on a part of the figure, and returns what changes it to a time step.


def _reading(part, image, steps):
    """The image; what is not read yet is pale, and what is being read is framed."""
    ax = part.subplots()
    ax.imshow(image, cmap="Greys", vmin=0, vmax=max(image.max(), 1e-12), interpolation="nearest")
    (total, width), height = image.shape, len(image) // steps
    veil = ax.add_patch(Rectangle((-0.5, 0), width, 0, facecolor="w", alpha=0.75))
    frame = ax.add_patch(Rectangle((-0.5, 0), width, height, fill=False, edgecolor=_ACCENT, linewidth=1.5))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.8")

    def show(step):
        frame.set_y(step * height - 0.5)
        veil.set_y((step + 1) * height - 0.5)
        veil.set_height(total - (step + 1) * height)
        ax.set_title(f"step {step + 1}", fontsize="small")

    return show


def _spheres(part, vectors):
    """A Bloch ball per qubit, seen from the front and a little from above: the vector and where its tip has been."""
    n = vectors.shape[1]
    # Oblique view: y to the right, z up, x towards the viewer, down to the left.
    turn = np.array([[-0.35, -0.25], [0.94, -0.1], [0.0, 0.96]])
    tips = vectors @ turn
    angle = np.linspace(0, 2 * np.pi, 60)
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle])
    trails, arrows = [], []
    for qubit, ax in enumerate(grid(part, n, columns=n if n <= 3 else -(-n // 2))):
        ax.set_axis_off()
        ax.plot(circle[0], circle[1], color="0.75", linewidth=0.8)
        ax.plot(*(turn.T @ circle), color="0.85", linewidth=0.6)
        ax.plot([0, 0], [-0.96, 0.96], color="0.85", linewidth=0.6)
        trails += ax.plot([], [], color=_TRAIL, linewidth=0.9, alpha=0.6)
        arrows += ax.plot([], [], color=_ACCENT, linewidth=1.8, marker="o", markevery=[1], markersize=4)
        ax.set_title(f"qubit {qubit}", fontsize="x-small", pad=1)
        ax.set(aspect="equal", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1))

    def show(step):
        for qubit in range(n):
            trails[qubit].set_data(*tips[: step + 1, qubit].T)
            arrows[qubit].set_data(*np.stack([[0, 0], tips[step, qubit]], axis=1))

    return show


def _fidelities(part, values):
    """The map of fidelities between all steps so far."""
    ax = part.subplots()
    extent = (0.5, len(values) + 0.5) * 2
    image = ax.imshow(np.full_like(values, np.nan), vmin=0, vmax=1, cmap="viridis", origin="lower", extent=extent)
    ax.set_title("fidelity of two steps", fontsize="small")
    ax.tick_params(labelsize="x-small")
    later = np.maximum(*np.indices(values.shape))  # the later one of two steps
    return lambda step: image.set_data(np.where(later <= step, values, np.nan))


def _bars(part, probabilities, names):
    """The probability of each class; the largest is coloured."""
    ax = part.subplots()
    bars = ax.barh(range(len(names)), np.zeros(len(names)))
    ax.set_yticks(range(len(names)), names, fontsize="x-small")
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xticks=[0, 1])
    ax.tick_params(labelsize="x-small")
    ax.set_title("probability", fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)

    def show(step):
        for bar, value in zip(bars, probabilities[step], strict=True):
            bar.set_width(value)
            bar.set_color(_ACCENT if value == probabilities[step].max() else "0.7")

    return show
