"""One sequence being read, as a film."""

import pathlib
import shutil

import matplotlib.animation
import matplotlib.figure
import matplotlib.patches
import numpy as np

from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.plotting.axes import check_trace, new_figure

_ACCENT, _TRAIL = "#d1495b", "#2e6f95"


def animate(
    trace, index=0, image=None, probabilities=None, classes=None, milliseconds=160, pause=8, title=None, figure=None
):
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
    fidelities = trace.fidelities()[index]
    steps = len(vectors)
    check_int("milliseconds", milliseconds, 1)
    check_int("pause", pause, 0)
    if image is not None:
        image = np.asarray(image)
        if image.ndim != 2 or len(image) % steps:
            raise argument_error(
                "image", f"be grey, with a height that {steps} time steps divide", f"its shape is {image.shape}"
            )
    if probabilities is not None:
        probabilities = np.asarray(probabilities)
        if probabilities.ndim != 2 or len(probabilities) != steps:
            raise argument_error(
                "probabilities", f"have shape ({steps}, n_classes)", f"its shape is {probabilities.shape}"
            )
        classes = list(range(probabilities.shape[1])) if classes is None else list(classes)
        if len(classes) != probabilities.shape[1]:
            raise argument_error(
                "classes", f"be {probabilities.shape[1]} names, one per class", f"there are {len(classes)}"
            )
    widths = {"image": 1.5 * (image is not None), "qubits": 2.6, "fidelities": 1.5}
    widths["classes"] = 1.3 * (probabilities is not None)
    widths = {name: width for name, width in widths.items() if width}
    own = figure is None
    if own:
        figure = new_figure((1.45 * sum(widths.values()), 2.9))
    elif not isinstance(figure, matplotlib.figure.FigureBase):
        raise argument_type_error("figure", "be a matplotlib figure", figure)
    parts = figure.subfigures(1, len(widths), width_ratios=list(widths.values()), squeeze=False).ravel()
    parts = dict(zip(widths, parts, strict=True))
    panels = [_Spheres(parts["qubits"], vectors), _Fidelities(parts["fidelities"], fidelities)]
    if image is not None:
        panels.append(_Reading(parts["image"], image, steps))
    if probabilities is not None:
        panels.append(_Bars(parts["classes"], probabilities, classes))
    if title:
        figure.suptitle(title, fontsize="medium")

    def show(frame):
        return [artist for panel in panels for artist in panel.show(min(frame, steps - 1))]

    if own:  # laid out once: anew for each picture takes as long as the drawing, and panels would tremble
        show(0)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return _Film(figure, show, frames=steps + pause, interval=milliseconds, blit=False, cache_frame_data=False)


class _Film(matplotlib.animation.FuncAnimation):
    """An animation of which the end of the file's name says how it is saved, where no `writer` does."""

    def __init__(self, figure, show, interval, **arguments):
        super().__init__(figure, show, interval=interval, **arguments)
        self._per_second = 1000 / interval

    def save(self, filename, writer=None, fps=None, **arguments):
        if writer is None:
            writer, fps = _writer(filename)(fps or self._per_second), None
        super().save(filename, writer, fps, **arguments)


def _writer(filename):
    """The class of matplotlib's writers for a file."""
    suffix = pathlib.Path(filename).suffix.lower()
    if suffix == ".gif":
        return matplotlib.animation.PillowWriter
    if suffix != ".mp4":
        raise argument_error("filename", "end in .gif or .mp4, or `writer` be given", f"it is {filename}")
    if not _FFMpeg.isAvailable():
        given = f"it is {filename}; pip install imageio-ffmpeg brings one"
        raise argument_error("filename", "end in .gif where there is no ffmpeg", given)
    return _FFMpeg


class _FFMpeg(matplotlib.animation.FFMpegWriter):
    """With the ffmpeg that matplotlib is set to, or else the one that a package carries; no setting is changed."""

    @classmethod
    def bin_path(cls):
        installed = super().bin_path()
        if shutil.which(installed) is None:
            try:
                import imageio_ffmpeg

                return imageio_ffmpeg.get_ffmpeg_exe()
            except (ImportError, RuntimeError):  # the latter: a wheel without a binary, for a rare machine
                pass
        return installed


class _Reading:
    """The image; what is not read yet is pale, and what is being read is framed."""

    def __init__(self, part, image, steps):
        ax = part.subplots()
        self.height = len(image) // steps
        ax.imshow(image, cmap="Greys", vmin=0, vmax=max(image.max(), 1e-12), interpolation="nearest")
        width = image.shape[1]
        self.veil = ax.add_patch(matplotlib.patches.Rectangle((-0.5, 0), width, 0, facecolor="w", alpha=0.75))
        self.frame = ax.add_patch(
            matplotlib.patches.Rectangle((-0.5, 0), width, self.height, fill=False, edgecolor=_ACCENT, linewidth=1.5)
        )
        self.bottom = len(image) - 0.5
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_color("0.8")
        self.ax = ax

    def show(self, step):
        top = step * self.height - 0.5
        self.frame.set_y(top)
        self.veil.set_y(top + self.height)
        self.veil.set_height(self.bottom - top - self.height)
        self.ax.set_title(f"step {step + 1}", fontsize="small")
        return [self.veil, self.frame]


class _Spheres:
    """A Bloch ball per qubit, seen from the front and a little from above: the vector and where its tip has been."""

    def __init__(self, part, vectors):
        n = vectors.shape[1]
        columns = min(n, -(-n // 2) if n > 3 else n)
        axes = part.subplots(-(-n // columns), columns, squeeze=False).ravel()
        # Oblique view: y to the right, z up, x towards the viewer, down to the left.
        turn = np.array([[-0.35, -0.25], [0.94, -0.1], [0.0, 0.96]])
        self.tips = vectors @ turn
        self.lines = []
        angle = np.linspace(0, 2 * np.pi, 60)
        ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1) @ turn
        for qubit, ax in enumerate(axes):
            ax.set_axis_off()
            if qubit >= n:
                continue
            ax.plot(np.cos(angle), np.sin(angle), color="0.75", linewidth=0.8)
            ax.plot(ring[:, 0], ring[:, 1], color="0.85", linewidth=0.6)
            ax.plot([0, 0], [-0.96, 0.96], color="0.85", linewidth=0.6)
            (trail,) = ax.plot([], [], color=_TRAIL, linewidth=0.9, alpha=0.6)
            (vector,) = ax.plot([], [], color=_ACCENT, linewidth=1.8, marker="o", markevery=[1], markersize=4)
            ax.set_title(f"qubit {qubit}", fontsize="x-small", pad=1)
            ax.set_aspect("equal")
            ax.set_xlim(-1.1, 1.1)
            ax.set_ylim(-1.1, 1.1)
            self.lines.append((trail, vector))

    def show(self, step):
        for qubit, (trail, vector) in enumerate(self.lines):
            trail.set_data(*self.tips[: step + 1, qubit].T)
            vector.set_data([0, self.tips[step, qubit, 0]], [0, self.tips[step, qubit, 1]])
        return [line for pair in self.lines for line in pair]


class _Fidelities:
    """The map of fidelities between all steps so far."""

    def __init__(self, part, fidelities):
        ax = part.subplots()
        self.values, steps = fidelities, len(fidelities)
        self.image = ax.imshow(
            np.full((steps, steps), np.nan),
            vmin=0,
            vmax=1,
            cmap="viridis",
            origin="lower",
            extent=(0.5, steps + 0.5, 0.5, steps + 0.5),
        )
        ax.set_title("fidelity of two steps", fontsize="small")
        ax.tick_params(labelsize="x-small")

    def show(self, step):
        shown = np.full(self.values.shape, np.nan)
        shown[: step + 1, : step + 1] = self.values[: step + 1, : step + 1]
        self.image.set_data(shown)
        return [self.image]


class _Bars:
    """The probability of each class; the largest is coloured."""

    def __init__(self, part, probabilities, classes):
        ax = part.subplots()
        self.values = probabilities
        self.bars = ax.barh(range(len(classes)), np.zeros(len(classes)), color="0.7")
        ax.set_yticks(range(len(classes)), [str(name) for name in classes], fontsize="x-small")
        ax.invert_yaxis()
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 1])
        ax.tick_params(labelsize="x-small")
        ax.set_title("probability", fontsize="small")
        ax.spines[["top", "right"]].set_visible(False)

    def show(self, step):
        best = np.argmax(self.values[step])
        for i, (bar, value) in enumerate(zip(self.bars, self.values[step], strict=True)):
            bar.set_width(value)
            bar.set_color(_ACCENT if i == best else "0.7")
        return list(self.bars)
