"""A circuit as a diagram."""

import re
import unicodedata

import cirq
import matplotlib.patches

from tfq_qrnn._errors import argument_type_error
from tfq_qrnn.circuits import Ansatz
from tfq_qrnn.plotting.axes import observable_names, one_axes
from tfq_qrnn.program import GateProgram

_INK, _BOX, _READ = "0.15", "#dbe7f5", "#f5ecd7"
_SWAP = cirq.circuit_diagram_info(cirq.SWAP).wire_symbols[0]


def circuit(program, ax=None):
    """The circuit of one time step: a wire per qubit, dots for controls, boxes for gates, and what is read out.

    Args:
        program: A `GateProgram`, an ansatz or a `cirq.Circuit`, of any gates.
        ax: Matplotlib axes; new ones by default.

    Returns:
        The axes.

    Raises:
        TypeError: `program` is none of these, or `ax` is no axes.

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
    rows = {qubit: row for row, qubit in enumerate(qubits)}
    columns = _columns(drawn, rows)
    widths = [max([1.0, *(_width(label) for labels in column for label in labels.values())]) for column in columns]
    read, elsewhere = _readouts(program, rows)
    end = sum(widths) + (0.4 + max(map(_width, read.values())) if read else 0.4)
    ax = one_axes(ax, (0.9 + 0.52 * (end + 0.6), 0.4 + 0.52 * max(len(qubits), 1)))
    for qubit, row in rows.items():
        ax.plot([0, end], [row, row], color=_INK, linewidth=0.8, zorder=0)
        name = str(qubit.x) if isinstance(qubit, cirq.LineQubit) else str(qubit)
        ax.text(-0.15, row, name, ha="right", va="center", fontsize="small")
    left = 0.2
    for column, width in zip(columns, widths, strict=True):
        for labels in column:
            _draw(ax, left + width / 2, labels)
        left += width
    for row, letters in read.items():
        _box(ax, end - _width(letters) / 2, row, letters, _READ)
    ax.set_xlim(-0.6, end + 0.3)
    ax.set_ylim(len(qubits) - 0.4, -0.6)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if elsewhere:
        ax.set_xlabel(f"reads {', '.join(elsewhere)}", fontsize="small")
    return ax


def _columns(drawn, rows):
    """The operations from left to right; in a column none crosses another. Each is row -> label."""
    columns = []
    for moment in drawn:
        moment_columns = []
        for operation in sorted(moment.operations, key=lambda op: min((rows[q] for q in op.qubits), default=0)):
            labels = _labels(operation, rows)
            if not labels:
                continue  # a global phase is on no wire
            for column in moment_columns:
                if max(max(other) for other in column) < min(labels):
                    column.append(labels)
                    break
            else:
                moment_columns.append([labels])
        columns += moment_columns
    return columns


def _labels(operation, rows):
    arguments = cirq.CircuitDiagramInfoArgs(
        known_qubits=operation.qubits,
        known_qubit_count=len(operation.qubits),
        use_unicode_characters=True,
        precision=3,
        label_map=None,
    )
    info = cirq.circuit_diagram_info(operation.untagged, arguments, default=None)
    if info is None or len(info.wire_symbols) != len(operation.qubits):
        name = str(operation.gate or operation)
        return {rows[q]: name if i == 0 else f"#{i + 1}" for i, q in enumerate(operation.qubits)}
    symbols = list(info.wire_symbols)
    if info.exponent != 1 and symbols:
        exponent = info.exponent if not isinstance(info.exponent, float) else f"{info.exponent:.3g}"
        place = info.exponent_qubit_index
        symbols[-1 if place is None else place] += f"^{exponent}"
    if len(symbols) > 1 and all(symbol in ("@", "(0)") for symbol in symbols[:-1]) and symbols[-1] == "X":
        symbols[-1] = "⊕"
    return {rows[q]: _readable(symbol) for q, symbol in zip(operation.qubits, symbols, strict=True)}


def _readable(symbol):
    """Ry(theta_01) as two lines, Ry and θ₀₁."""

    def greek(match):
        try:
            letter = unicodedata.lookup(f"GREEK SMALL LETTER {match[1].upper()}")
        except KeyError:
            return match[0]
        return letter + (match[2] or "").translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")).replace("_", "")

    symbol = re.sub(r"\b([a-z]+)(_\d+)?\b", greek, symbol)
    parts = re.fullmatch(r"(\w+)\((.*)\)(\^.*)?", symbol)
    return f"{parts[1]}{parts[3] or ''}\n{parts[2].replace(', ', ',')}" if parts else symbol


def _width(label):
    return max(1.0, 0.35 + 0.17 * max(map(len, label.split("\n"))))


def _draw(ax, x, labels):
    if len(labels) > 1:
        ax.plot([x, x], [min(labels), max(labels)], color=_INK, linewidth=1.0, zorder=1)
    for row, label in labels.items():
        kind, _, exponent = label.partition("^")
        if kind not in ("@", "(0)", "⊕", _SWAP):
            _box(ax, x, row, label, _BOX)
            continue
        if kind in ("@", "(0)"):
            ax.add_patch(
                matplotlib.patches.Circle((x, row), 0.11, facecolor=_INK if kind == "@" else "w", edgecolor=_INK)
            )
        elif kind == "⊕":
            ax.add_patch(matplotlib.patches.Circle((x, row), 0.2, facecolor="w", edgecolor=_INK))
            ax.plot([x, x], [row - 0.2, row + 0.2], [x - 0.2, x + 0.2], [row, row], color=_INK, linewidth=1.0)
        else:
            for slope in (-1, 1):
                ax.plot([x - 0.13, x + 0.13], [row - 0.13 * slope, row + 0.13 * slope], color=_INK, linewidth=1.2)
        if exponent:
            ax.text(x + 0.14, row - 0.22, exponent, fontsize="x-small", ha="left", va="center")


def _box(ax, x, row, label, color):
    width = _width(label) - 0.2
    ax.add_patch(
        matplotlib.patches.FancyBboxPatch(
            (x - width / 2, row - 0.34),
            width,
            0.68,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=color,
            edgecolor=_INK,
            linewidth=0.8,
            zorder=2,
        )
    )
    ax.text(x, row, label, ha="center", va="center", fontsize=7, linespacing=1.0, zorder=3)


def _readouts(program, rows):
    """Row -> the letters read there, as one text; and the names of all other observables."""
    read, elsewhere = {}, []
    if isinstance(program, GateProgram):
        for name, terms in zip(observable_names(program), program.readout_terms, strict=True):
            if len(terms) == 1 and terms[0][0] == 1 and len(terms[0][1]) == 1:
                ((row, letter),) = terms[0][1]
                read[row] = read.get(row, "") + letter
            else:
                elsewhere.append(name)
    return {row: f"⟨{'⟩⟨'.join(letters)}⟩" for row, letters in read.items()}, elsewhere
