"""Where a circuit runs on a chip."""

import collections

import cirq
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.hw.plan import Plan
from tfq_qrnn.hw.rings import coupling_graph
from tfq_qrnn.plotting.axes import on_axes


@on_axes(size=(5, 4))
def placement(plan: Plan, ax: Axes | None = None) -> Axes:
    """A plan's circuit on the grid of its device: the qubits by their number in the circuit, and how many CZ of one
    time step each coupler runs, coloured by its error where a calibration has it. An r is a relay. Of several rings the
    first one has blue qubits, the others grey ones.

    >>> plan = tfq_qrnn.hw.plan(tfq_qrnn.QRNN(n_qubits=4), "weber", n_timesteps=2)
    >>> tfq_qrnn.plotting.placement(plan).get_title()
    '4 qubits, 8 CZ in a time step'
    """
    if not isinstance(plan, Plan):
        raise argument_type_error("plan", "be a plan, as tfq_qrnn.hw.plan makes it", plan)
    graph, native = coupling_graph(plan.device), plan.replays[-1].native
    if graph is None or not all(isinstance(qubit, cirq.GridQubit) for qubit in graph):
        raise argument_error("plan", "be for a device with a grid of qubits", f"its device is {plan.device!r}")

    def lines(pairs, **style):
        return ax.add_collection(LineCollection([[(q.col, q.row) for q in pair] for pair in pairs], **style))

    lines(graph.edges, colors="lightgrey", linewidths=1)
    ax.scatter([q.col for q in graph], [q.row for q in graph], s=25, c="lightgrey")
    rings = [native.moved(places) for places in plan.replays[-1].places]
    pairs = (tuple(sorted(on)) for ring in rings for _, on, _ in ring.operations if len(on) == 2)
    counts = collections.Counter(pairs)
    errors = {} if plan.rates is None else plan.rates.two_qubit
    if counts and all(frozenset(pair) in errors for pair in counts):
        drawn = lines(counts, linewidths=4, cmap="viridis_r", array=[errors[frozenset(pair)] for pair in counts])
        ax.figure.colorbar(drawn, ax=ax, label=f"error of {plan.rates.two_qubit_source}")
    else:
        lines(counts, linewidths=4, colors="tab:blue")
    for (a, b), count in counts.items():
        box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        ax.text(
            (a.col + b.col) / 2, (a.row + b.row) / 2, str(count), fontsize="x-small", ha="center", va="center", bbox=box
        )
    for number, ring in enumerate(rings):
        names = {**dict.fromkeys(ring.relays, "r"), **{q: str(i) for i, q in enumerate(ring.qubits)}}
        color = "tab:grey" if number else "tab:blue"
        ax.scatter([q.col for q in names], [q.row for q in names], s=140, c=color, zorder=3)
        for qubit, name in names.items():
            ax.text(qubit.col, qubit.row, name, color="white", fontsize="small", ha="center", va="center", zorder=4)
    ax.set_aspect("equal")
    ax.invert_yaxis()  # rows count from the top
    ax.set_xlabel("column")
    ax.set_ylabel("row")
    each = f"{len(native.qubits)} qubits, {counts.total() // len(rings)} CZ in a time step"
    ax.set_title(f"{len(rings)} rings of {each}" if len(rings) > 1 else each, fontsize="medium")
