"""A circuit as a diagram."""

import re

import cirq
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch
from sympy.printing.pretty.pretty_symbology import pretty_symbol

from tfq_qrnn._errors import argument_type_error
from tfq_qrnn.circuits import Ansatz
from tfq_qrnn.plotting.axes import observable_names, on_axes
from tfq_qrnn.program import GateProgram

_INK, _BOX, _READ = "0.15", "#dbe7f5", "#f5ecd7"
_CONTROLS, _TARGET = ("@", "(0)"), "⊕"  # Cirq's; ours for the X of a CNOT
_SWAP = cirq.circuit_diagram_info(cirq.SWAP).wire_symbols[0]


@on_axes(size=(0.75, 0.3), per_unit=(0.52, 0.52))
def circuit(program: GateProgram | Ansatz | cirq.AbstractCircuit, ax: Axes | None = None) -> Axes:
    """The circuit of one time step: a wire per qubit, dots for controls, boxes for gates, and what is read out.

    Args:
        program: A `GateProgram`, an ansatz or a `cirq.Circuit`, of any gates.

    >>> a, b = cirq.LineQubit.range(2)
    >>> drawn = cirq.Circuit(cirq.ry(sympy.Symbol("theta_1"))(a), cirq.CNOT(a, b), cirq.FSimGate(0.5, 0.2)(a, b))
    >>> [text.get_text() for text in circuit(drawn).texts]
    ['0', '1', 'Ry\\nθ₁', 'FSim\\n0.159π,0.0637π', 'FSim\\n0.159π,0.0637π']
    """
    if isinstance(program, (GateProgram, Ansatz)):
        drawn, qubits = program.circuit, program.qubits
    elif isinstance(program, cirq.AbstractCircuit):
        drawn, qubits = program, tuple(sorted(program.all_qubits()))
    else:
        raise argument_type_error("program", "be a GateProgram, an ansatz or a cirq.Circuit", program)
    # Cirq's own layout: names in column 0, then the gates; in a column none crosses another.
    diagram = drawn.to_text_diagram_drawer(include_tags=False, draw_moment_groups=False, qubit_order=qubits)
    rows = [line.y for line in diagram.horizontal_lines]  # that of a global phase is no wire
    columns = {}
    for (column, row), entry in sorted(diagram.entries.items()):
        if row in rows:
            # a gate that waits for a measured bit has a "^" there
            columns.setdefault(column, {})[row] = "@" if entry.text == "^" else _readable(entry.text)
    for row, name in columns.pop(0, {}).items():
        ax.text(-0.15, row, name.rstrip(": "), ha="right", va="center", fontsize="small")
    end, read, elsewhere = 0.2, *_readouts(program)
    for column, labels in columns.items():
        width = max(1.0, *map(_width, labels.values()))
        x, end = end + width / 2, end + width
        for line in [line for line in diagram.vertical_lines if line.x == column]:
            ax.plot([x, x], [line.y1, line.y2], color=_INK, linewidth=1.0, zorder=1)
            controlled = [r for r, label in labels.items() if line.y1 <= r <= line.y2 and label not in _CONTROLS]
            if [labels[row] for row in controlled] == ["X"]:
                labels[controlled[0]] = _TARGET
        for row, label in labels.items():
            _mark(ax, x, row, label)
    end += 0.2 + max(map(_width, read.values()), default=0)
    ax.hlines(rows, 0, end, color=_INK, linewidth=0.8, zorder=0)
    for row, letters in read.items():
        _box(ax, end - _width(letters) / 2, row, letters, _READ)
    ax.set(xlim=(-0.6, end + 0.3), ylim=(len(rows) - 0.4, -0.6), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if elsewhere:
        ax.set_xlabel(f"reads {', '.join(elsewhere)}", fontsize="small")


def _readable(symbol):
    """Ry(theta_01) as two lines, Ry and θ₀₁."""
    symbol = re.sub(r"\b[a-z]+(_\d+)?\b", lambda name: pretty_symbol(name[0]), symbol)
    parts = re.fullmatch(r"(\w+)\((.*)\)(\^.*)?", symbol)
    return f"{parts[1]}{parts[3] or ''}\n{parts[2].replace(', ', ',')}" if parts else symbol


def _width(label):
    return max(1.0, 0.35 + 0.17 * max(map(len, label.split("\n"))))


def _mark(ax, x, row, label):
    """A dot, a ring or the cross of a swap, with their exponents; a box for all other gates."""
    kind, _, exponent = label.partition("^")
    if kind not in (*_CONTROLS, _TARGET, _SWAP):
        _box(ax, x, row, label, _BOX)
        return
    if kind in _CONTROLS:
        ax.add_patch(Circle((x, row), 0.11, facecolor=_INK if kind == "@" else "w", edgecolor=_INK))
    elif kind == _TARGET:
        ax.add_patch(Circle((x, row), 0.2, facecolor="w", edgecolor=_INK))
        ax.plot([x, x], [row - 0.2, row + 0.2], [x - 0.2, x + 0.2], [row, row], color=_INK, linewidth=1.0)
    else:
        for slope in (-0.13, 0.13):
            ax.plot([x - 0.13, x + 0.13], [row - slope, row + slope], color=_INK, linewidth=1.2)
    if exponent:
        ax.text(x + 0.14, row - 0.22, exponent, fontsize="x-small", ha="left", va="center")


def _box(ax, x, row, label, color):
    width, round_corners = _width(label) - 0.2, "round,pad=0,rounding_size=0.08"
    box = FancyBboxPatch((x - width / 2, row - 0.34), width, 0.68, round_corners, facecolor=color, zorder=2)
    box.set(edgecolor=_INK, linewidth=0.8)
    ax.add_patch(box)
    ax.text(x, row, label, ha="center", va="center", fontsize=7, linespacing=1.0, zorder=3)


def _readouts(program):
    """Row -> the letters read there, as one text; and the names of all other observables."""
    read, elsewhere = {}, []
    if isinstance(program, GateProgram) and isinstance(program.observables, str):
        elsewhere.append(program.observables)
    elif isinstance(program, GateProgram):
        for name, terms in zip(observable_names(program), program.readout_terms, strict=True):
            if len(terms) == 1 and terms[0][0] == 1 and len(terms[0][1]) == 1:
                ((row, letter),) = terms[0][1]
                read[row] = read.get(row, "") + letter
            else:
                elsewhere.append(name)
    return {row: f"⟨{'⟩⟨'.join(letters)}⟩" for row, letters in read.items()}, elsewhere
