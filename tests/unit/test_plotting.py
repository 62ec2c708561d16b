"""Pictures show the numbers that `trace` gives, on the axes that they are given, and leave matplotlib as it was."""

import itertools
import sys

import cirq
import imageio_ffmpeg
import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import sympy
from matplotlib.backend_bases import MouseEvent
from matplotlib.figure import Figure
from PIL import Image
from random_circuits import random_circuit

import tfq_qrnn
from tfq_qrnn import plotting

QUBITS = 3


@pytest.fixture(scope="module")
def trace():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(4, 5, 4))
    mask = np.ones((4, 5), bool)
    mask[1, 2] = False
    return tfq_qrnn.trace(
        tfq_qrnn.QRNN(QUBITS, controller=tfq_qrnn.Controller(angle_scale=1.0), dtype="float64"), x, mask=mask
    )


@pytest.fixture(autouse=True)
def _figures_are_closed():
    yield
    plt.close("all")


def heights(ax):
    return [line.get_ydata() for line in ax.lines]


def shown_at(ax, x, y):
    """The value of a map under a point of its axes: what a reader finds at these ticks."""
    event = MouseEvent("motion_notify_event", ax.figure.canvas, *ax.transData.transform((x, y)))
    return ax.images[0].get_cursor_data(event)


def test_lines_are_the_values_of_the_trace(trace):
    axes = plotting.bloch_vectors(trace, index=1)
    assert len(axes) == QUBITS
    for qubit in range(QUBITS):
        for i in range(3):
            np.testing.assert_array_equal(heights(axes[qubit])[i], trace.bloch_vectors()[1, :, qubit, i])
    for draw, values in (
        (plotting.purities, trace.purities()[1].T),
        (plotting.entanglement_entropies, trace.entanglement_entropies()[1].T),
    ):
        lines = heights(draw(trace, index=1))
        for line, value in zip(lines, values, strict=False):  # the last line of the entropies is their maximum
            np.testing.assert_array_equal(line, value)
    ax = plotting.drift(trace, index=1)
    first, before = heights(ax)
    fidelities = trace.fidelities()[1]
    assert [line.get_xdata().tolist() for line in ax.lines] == [[1, 2, 3, 4, 5], [2, 3, 4, 5]]
    np.testing.assert_array_equal(first, fidelities[0])
    np.testing.assert_array_equal(before, [fidelities[t, t + 1] for t in range(4)])


def test_maps_are_the_values_of_the_trace(trace):
    image = plotting.fidelities(trace, index=1).images[0]
    np.testing.assert_array_equal(image.get_array(), trace.fidelities()[1])
    assert image.origin == "lower"  # the map is symmetric: its values would not tell
    ax = plotting.readouts(trace, index=1)
    np.testing.assert_array_equal(ax.images[0].get_array(), trace.readouts[1].T)
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"{p}{q}" for q in range(3) for p in "XYZ"]
    for k, row in enumerate(ax.get_yticks()):
        for t in range(5):
            assert shown_at(ax, t + 1, row) == trace.readouts[1, t, k]
    shown = plotting.angles(trace, index=1).images[0].get_array()
    np.testing.assert_array_equal(shown.filled(np.nan), trace.angles[1].T)
    assert np.isnan(trace.angles[1, 2]).all()  # the masked step, left blank


def test_comparison_of_two_inputs(trace):
    top, *qubits = plotting.comparison(trace, 0, 3)
    fidelity, distance = heights(top)
    np.testing.assert_allclose(
        fidelity, [cirq.fidelity(a, b) for a, b in zip(trace.states[0], trace.states[3], strict=True)], atol=1e-12
    )
    # of two pure states, |psi><psi| - |phi><phi| has the eigenvalues +-sqrt(1 - F)
    difference = np.outer(trace.states[0, -1], trace.states[0, -1].conj())
    difference -= np.outer(trace.states[3, -1], trace.states[3, -1].conj())
    assert distance[-1] == pytest.approx(np.linalg.norm(difference, 2), abs=1e-9)
    solid, dashed = qubits[1].lines[4:6]  # Z
    np.testing.assert_array_equal(solid.get_ydata(), trace.bloch_vectors()[0, :, 1, 2])
    np.testing.assert_array_equal(dashed.get_ydata(), trace.bloch_vectors()[3, :, 1, 2])
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")


def test_averages_of_classes(trace):
    labels = np.array(["b", "a", "a", "b"])
    ax = plotting.class_averages(trace, labels, "entropy")
    entropies = trace.entanglement_entropies()[:, :, 0]  # the middle cut of three qubits is 0 | 1..2
    assert [line.get_label() for line in ax.lines] == ["a (2)", "b (2)"]
    np.testing.assert_allclose(heights(ax)[1], (entropies[0] + entropies[3]) / 2, atol=1e-14)
    band = ax.collections[1].get_paths()[0].vertices
    spread = abs(entropies[0] - entropies[3]) / 2**0.5  # the standard deviation of a sample of two
    for t in range(5):
        edges = band[band[:, 0] == t + 1, 1]
        expected = heights(ax)[1][t] + np.array([-1, 1]) * spread[t]
        np.testing.assert_allclose([edges.min(), edges.max()], expected, atol=1e-14)
    # a masked step of one sequence leaves the other's value
    norms = heights(plotting.class_averages(trace, labels, "angle_norm"))[0]
    assert norms[2] == pytest.approx(np.linalg.norm(trace.angles[2, 2]))
    for name, values in (
        ("purity", trace.purities().mean(-1)),
        ("fidelity_to_first", trace.fidelities()[:, 0]),
        ("readout_norm", np.linalg.norm(trace.readouts, axis=-1)),
    ):
        line = heights(plotting.class_averages(trace, labels, name))[0]
        np.testing.assert_allclose(line, values[1:3].mean(0), atol=1e-14)
    alone = plotting.class_averages(trace, ["a", "b", "b", "b"], "purity")
    np.testing.assert_allclose(heights(alone)[0], trace.purities()[0].mean(-1), atol=1e-14)
    assert len(alone.collections) == 1  # a sample of one has no spread


def test_learning_curves_say_their_spread():
    seeds = [[0.1, 0.2], [0.3, 0.6], [0.2, 0.1]]
    for spread, (low, high), title in (
        ("range", (0.1, 0.6), "mean, least and greatest of 3 seeds"),
        ("std", (0.3 - np.std([0.2, 0.6, 0.1], ddof=1), 0.3 + np.std([0.2, 0.6, 0.1], ddof=1)), "mean ± standard"),
    ):
        ax = plotting.learning_curves({"one": seeds, "two": [0.5, 0.6]}, spread=spread)
        np.testing.assert_allclose(heights(ax)[0], [0.2, 0.3])
        np.testing.assert_allclose(heights(ax)[1], [0.5, 0.6])
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose([band.min(), band.max()], [low, high])
        assert ax.get_legend().get_title().get_text().startswith(title)
        assert len(ax.collections) == 1  # one seed has no spread


def test_attention_weights_stand_under_their_tokens():
    weights = np.random.default_rng(0).dirichlet(np.ones(4), size=(2, 3))
    ax = plotting.attention(weights, queries=["a", "b"], keys=["u", "v", "w"], index=1)
    np.testing.assert_array_equal(ax.images[0].get_array(), weights[1, :2, :3])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["u", "v", "w"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    for row, column in itertools.product(range(2), range(3)):  # "b" over "w" is what query 1 gives key 2
        assert shown_at(ax, ax.get_xticks()[column], ax.get_yticks()[row]) == weights[1, row, column]
    ax = plotting.attention(weights[0])
    assert ax.images[0].get_array().shape == (3, 4)
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("query", "key")


def test_every_gate_is_drawn():
    """Every operation leaves one mark on each of its qubits: a box, a dot, a ring or the cross of a swap."""
    for seed in range(2):
        drawn = random_circuit(4, 25, seed, composite=False)
        ax = plotting.circuit(tfq_qrnn.GateProgram(drawn, observables="Z"))
        shapes = len(ax.patches) - 4  # four of them are readouts
        bars = sum(np.ptp(line.get_xdata()) == pytest.approx(0.26) for line in ax.lines)
        assert shapes + bars / 2 == sum(len(operation.qubits) for operation in drawn.all_operations())
    ax.figure.canvas.draw()


def test_circuit_shows_controls_symbols_and_readouts():
    a, b, c = cirq.LineQubit.range(3)
    s = sympy.Symbol("phi_10")
    drawn = cirq.Circuit(
        cirq.rx(s)(a), cirq.CNOT(c, a), cirq.CZ(a, b) ** s, cirq.ControlledOperation([b], cirq.Y(c), control_values=[0])
    )
    ax = plotting.circuit(tfq_qrnn.GateProgram(drawn, [cirq.X(a), cirq.Z(a), cirq.Z(b) * cirq.Z(c)]))
    assert [t.get_text() for t in ax.texts] == ["0", "1", "2", "Rx\nφ₁₀", "φ₁₀", "Y", "⟨X⟩⟨Z⟩"]
    assert ax.get_xlabel() == "reads Z1*Z2"
    circles = [p for p in ax.patches if isinstance(p, matplotlib.patches.Circle)]
    filled = [row_and_ink for _, *row_and_ink in sorted((*p.center, p.get_facecolor()[0] < 0.5) for p in circles)]
    # CNOT: a ring on 0 and a dot on 2; CZ: dots on 0 and 1; the control that waits for 0: an open dot on 1
    assert filled == [[0, False], [2, True], [0, True], [1, True], [1, False]]
    columns = sorted({round(p.center[0], 6) for p in circles})
    assert len(columns) == 3  # CNOT crosses CZ's wire, so they do not share a column
    assert len(plotting.circuit(tfq_qrnn.HardwareEfficient(2, 1)).patches) == 6


def test_measured_bits_have_wires():
    a, b = cirq.LineQubit.range(2)
    ax = plotting.circuit(cirq.Circuit(cirq.measure(a, key="bit"), cirq.X(b).with_classical_controls("bit")))
    assert [text.get_text() for text in ax.texts] == ["0", "1", "bit", "M"]
    rows = sorted(patch.center[1] for patch in ax.patches if isinstance(patch, matplotlib.patches.Circle))
    assert rows == [1, 2, 2]  # the ring of the X, and on the wire of the bit a dot for each of the two


def test_film_shows_one_step_after_the_other(trace, tmp_path, monkeypatch):
    image = np.arange(40.0).reshape(10, 4)
    probabilities = np.eye(5, 3) + 0.01
    film = plotting.animate(trace, 2, image, probabilities, classes="xyz", pause=2, figure=Figure(figsize=(6, 2)))
    film.save(tmp_path / "film.gif", dpi=40)
    with Image.open(tmp_path / "film.gif") as gif:
        frames, durations = [], []
        for k in range(gif.n_frames):
            gif.seek(k)
            frames.append(np.array(gif.convert("L")))
            durations.append(gif.info["duration"])
    assert len(frames) == 5  # Pillow shows the last one for longer
    assert durations[-1] == 3 * durations[0] == 480
    assert all((a != b).any() for a, b in itertools.pairwise(frames))
    film.save(tmp_path / "film.mp4", dpi=40)  # of the same size, which is even: what H.264 takes
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4")) == (7, pytest.approx(7 * 0.16, abs=0.01))
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4"), pix_fmt="gray", bits_per_pixel=8)
    assert next(reader)["codec"] == "h264"
    moving = [np.frombuffer(frame, np.uint8).reshape(frames[0].shape).astype(float) for frame in reader]
    # lossy, and yet nearer to its own picture of the GIF than to any other; the last one stays
    nearest = [np.argmin([np.abs(frame - one).mean() for one in frames]) for frame in moving]
    assert nearest == [0, 1, 2, 3, 4, 4, 4]
    with pytest.raises(ValueError, match=r"^Argument `filename` must end in .gif or .mp4, or `writer` be given"):
        film.save(tmp_path / "film.avi")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)  # as if it were not installed
    with (
        matplotlib.rc_context({"animation.ffmpeg_path": "no-ffmpeg"}),
        pytest.raises(ValueError, match=r"^Argument `filename` must end in .gif where there is no ffmpeg"),
    ):
        film.save(tmp_path / "film.mp4")


def test_a_placement_shows_the_qubits_and_what_each_coupler_runs():
    """A star of five: four pairs, two CZ for each turn, the hub in the middle; a distant pair needs relays."""
    hub, *others = cirq.LineQubit.range(5)
    turns = [cirq.CZ(hub, q) ** sympy.Symbol(f"t{i}") for i, q in enumerate(others)]
    layer = tfq_qrnn.QRNN(circuit=cirq.Circuit(turns), observables="Z")
    plan = tfq_qrnn.hw.plan(layer, "weber", 1)
    ax = Figure().subplots()
    assert plotting.placement(plan, ax=ax) is ax
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    at = [(q.col, q.row) for q in plan.qubits]
    assert [texts[place] for place in at] == ["0", "1", "2", "3", "4"]
    assert [texts[(a + c) / 2, (b + d) / 2] for (a, b), (c, d) in zip(at[:1] * 4, at[1:], strict=True)] == ["2"] * 4
    assert ax.get_title() == "5 qubits, 8 CZ in a time step"
    errors = [plan.rates.two_qubit[frozenset((plan.qubits[0], q))] for q in plan.qubits[1:]]
    assert sorted(ax.collections[2].get_array()) == sorted(errors)
    far = tfq_qrnn.hw.plan(tfq_qrnn.QRNN(5), "weber", 1, qubits=[cirq.GridQubit(4, c) for c in range(2, 7)])
    named = [text.get_text() for text in plotting.placement(far).texts]
    assert named.count("r") == len(far.replays[0].native.relays)
    with pytest.raises(ValueError, match=r"^Argument `plan` must be for a device with a grid"):
        plotting.placement(tfq_qrnn.hw.plan(layer, None, 1))
    with pytest.raises(TypeError, match=r"^Argument `plan` must be a plan"):
        plotting.placement(layer)


def test_given_axes_are_used_and_pyplot_is_left_alone(trace):
    before, figures = dict(matplotlib.rcParams), plt.get_fignums()
    figure = Figure(figsize=(12, 8))
    axes = figure.subplots(3, 3).ravel()
    one = (plotting.purities, plotting.entanglement_entropies, plotting.fidelities, plotting.readouts, plotting.angles)
    for ax, draw in zip(axes, (*one, plotting.drift), strict=False):
        assert draw(trace, ax=ax) is ax
    assert plotting.class_averages(trace, [0, 0, 1, 1], ax=axes[6]) is axes[6]
    assert plotting.attention(np.eye(3), ax=axes[7]) is axes[7]
    assert plotting.circuit(trace.program, ax=axes[8]) is axes[8]
    for draw, count in ((plotting.memory, 6), (plotting.bloch_vectors, 3), (plotting.comparison, 4)):
        axes = Figure().subplots(1, count)
        assert list(draw(trace, axes=axes)) == list(axes)
    figure.canvas.draw()
    assert plt.get_fignums() == figures
    assert dict(matplotlib.rcParams) == before
    plotting.purities(trace)
    assert len(plt.get_fignums()) == len(figures) + 1


def test_one_qubit_has_no_entropy():
    seen = tfq_qrnn.trace(tfq_qrnn.QRNN(1), np.ones((1, 2, 3), "float32"))
    assert len(plotting.memory(seen)) == 5
    with pytest.raises(ValueError, match=r"^Argument `trace` must be of two qubits or more"):
        plotting.entanglement_entropies(seen)
    with pytest.raises(ValueError, match=r"^Argument `quantity` must be one of 'purity', 'fidelity_to_first', "):
        plotting.class_averages(seen, [0], "entropy")
    assert len(plt.get_fignums()) == 1  # of the memory: plots that fail leave none


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: plotting.purities(3), TypeError, "`trace` must be a tfq_qrnn.Trace"),
        (lambda t: plotting.fidelities(t, 4), ValueError, "`index` must be below the batch size, 4"),
        (lambda t: plotting.readouts(t, ax=3), TypeError, "`ax` must be matplotlib axes"),
        (lambda t: plotting.memory(t, axes=[3] * 6), TypeError, "`axes` must be matplotlib axes"),
        (lambda t: plotting.bloch_vectors(t, axes=[]), ValueError, "`axes` must be 3 axes, one per qubit, but there"),
        (lambda t: plotting.comparison(t, 0, 7), ValueError, "`index` must be below the batch size"),
        (lambda t: plotting.class_averages(t, [0]), ValueError, r"`labels` must have shape \(4,\)"),
        (lambda t: plotting.class_averages(t, [0] * 4, "spin"), ValueError, "`quantity` must be one of 'purity'"),
        (lambda t: plotting.class_averages(t, [0] * 4, [1.0]), ValueError, r"`quantity` must be real of shape \(4, 5"),
        (lambda t: plotting.class_averages(t, [0] * 4, names=["a"]), TypeError, "`names` must be a dict"),
        (lambda t: plotting.learning_curves({}), ValueError, "`histories` must hold at least one model"),
        (lambda t: plotting.learning_curves({"a": [[1], [1, 2]]}), ValueError, "`histories` must give every seed"),
        (lambda t: plotting.learning_curves({"a": [1]}, spread="iqr"), ValueError, "`spread` must be one of"),
        (lambda t: plotting.attention(np.ones(3)), ValueError, r"`weights` must have shape \(Tq, Tv\) or"),
        (lambda t: plotting.attention(np.ones((2, 2)), keys="abc"), ValueError, "`keys` must hold 1 to 2 names"),
        (lambda t: plotting.circuit("H"), TypeError, "`program` must be a GateProgram, an ansatz or a cirq.Circuit"),
        (lambda t: plotting.animate(t, image=np.ones((7, 7))), ValueError, "`image` must be grey, with a height that"),
        (lambda t: plotting.animate(t, probabilities=np.ones((4, 2))), ValueError, "`probabilities` must have shape"),
        (
            lambda t: plotting.animate(t, probabilities=np.ones((5, 2)), classes="abc"),
            ValueError,
            "`classes` must be 2 names, one per class",
        ),
        (lambda t: plotting.animate(t, figure=3), TypeError, "`figure` must be a matplotlib figure"),
        (lambda t: plotting.animate(t, pause=-1), ValueError, "`pause` must be an integer of 0 or more"),
    ],
)
def test_refuses(trace, call, error, message):
    with pytest.raises(error, match=f"^Argument {message}"):
        call(trace)
