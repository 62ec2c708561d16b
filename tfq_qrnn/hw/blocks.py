"""A circuit as blocks of two qubits, each in as few CZ as it needs.

A rotation about two qubits moves back, past what it commutes with, into the last block of its pair. In a block,
rotations about commuting strings stand together as `CommutingRotations`. Runs without symbols go through Cirq's
Cartan decomposition, which takes three CZ at most, where that takes fewer.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence

import cirq
import numpy as np

from tfq_qrnn.hw.commuting_rotations import CommutingRotations, emit_commuting, turn
from tfq_qrnn.hw.emitter import Emitter
from tfq_qrnn.hw.rotations import Item, Local, Rotation, compiled, conjugated, rotation_matrix


def count_cz(items: Iterable[Item]) -> int:
    """Number of CZ of a list of items."""
    return sum(_cost(block.form) for block in collect(items) if len(block.qubits) > 1)


@dataclasses.dataclass(eq=False)
class Block:
    """What happens on one qubit or on a pair, in order."""

    qubits: frozenset
    items: list

    def __post_init__(self) -> None:
        self.axes = {q: set("XYZ") for q in self.qubits}  # the Paulis that it commutes with
        self._narrow(*self.items)

    def add(self, item: Item) -> None:
        self.items.append(item)
        self._narrow(item)

    def _narrow(self, *items):
        for item in items:
            for q in item.qubits:
                self.axes[q] = {letter for letter in self.axes[q] if _commutes(item, q, letter)}

    def commutes(self, other: "Block") -> bool:
        """Whether it surely commutes: on each shared qubit both commute with the same Pauli."""
        return all(self.axes[q] & other.axes[q] for q in self.qubits & other.qubits)

    @functools.cached_property
    def form(self) -> list:
        """`Local`, one-qubit `Rotation`, `CommutingRotations`, matrices of constant runs; asked for at the end."""
        return best_form(self)


def collect(items: Iterable[Item]) -> list[Block]:
    """The items as a list of `Block`, in an order of little depth."""
    blocks: list[Block] = []
    for item in items:
        own = Block(frozenset(item.qubits), [item])
        for block in reversed(blocks):
            if own.qubits <= block.qubits:
                block.add(item)
                break
            if not own.commutes(block):
                blocks.append(own)
                break
        else:
            blocks.append(own)
    return layered(blocks)


def layered(blocks: Iterable[Block]) -> list[Block]:
    """Blocks sorted into layers: after all that they do not commute with, and side by side with no neighbour."""
    levels: list[tuple[int, Block]] = []
    for block in blocks:
        before = (level for level, other in levels if block.qubits & other.qubits and not block.commutes(other))
        levels.append((1 + max(before, default=-1), block))
    placed: list[tuple[int, int, Block]] = []
    # Where the order is free, it is that of the pairs: the same for layers that are the same.
    for level, block in sorted(levels, key=lambda entry: (entry[0], sorted(entry[1].qubits))):
        taken = {layer for at, layer, other in placed if at == level and block.qubits & other.qubits}
        placed.append((level, next(layer for layer in itertools.count() if layer not in taken), block))
    return [block for _, _, block in sorted(placed, key=lambda entry: entry[:2])]


def _commutes(item, qubit, letter):
    if isinstance(item, Rotation):
        return item.letters[qubit] == letter
    return conjugated(item.matrix, letter) == (letter, 1)


def best_form(block: Block) -> list:
    """A block in the form that takes the fewest CZ."""
    pair = sorted(block.qubits)
    forms = [_constant_runs(_gathered(block.items, pair, absorb), pair) for absorb in (True, False)]
    return min(forms, key=_cost)


def _cost(form):
    return sum(
        element.cost() if isinstance(element, CommutingRotations) else _cz_of_matrix(element.tobytes())
        for element in form
        if isinstance(element, (CommutingRotations, np.ndarray))
    )


def _gathered(items, pair, absorb):
    """The items with rotations about commuting strings together; with `absorb` also constant ones with symbolic."""
    out = []
    for item in items:
        if len(item.qubits) == 2:
            letters = tuple(item.letters[q] for q in pair)
            if not _join(out, pair, letters, item.turns, absorb):
                out.append(CommutingRotations(letters, item.turns))
        elif item.constant:
            _multiply(out, item)
        else:
            out.append(item)
    return [
        element
        for element in out
        if not isinstance(element, CommutingRotations) or any(map(np.any, element.turns.values()))
    ]


def _join(out, pair, letters, turns, absorb):
    """Whether a rotation could be moved back into a `CommutingRotations` that it commutes with, and was."""
    for element in reversed(out):
        if isinstance(element, CommutingRotations):
            if not element.commutes(letters):
                return False
            if absorb or element.constant == (not turns[:-1].any()):
                element.add(letters, turns)
                return True
        else:
            place = pair.index(*element.qubits)
            if isinstance(element, Rotation):
                moved = (letters[place], 1) if element.letters[pair[place]] == letters[place] else None
            else:
                moved = conjugated(element.matrix, letters[place])
            if moved is None:
                return False
            letters, turns = (*letters[:place], moved[0], *letters[place + 1 :]), moved[1] * turns
    return False


def _multiply(out, item):
    """Append a constant of one qubit, or multiply it into the last element where that is one of its qubit, too."""
    (qubit,) = item.qubits
    matrix = item.matrix if isinstance(item, Local) else rotation_matrix(item.letters[qubit], item.turns[-1])
    for place in reversed(range(len(out))):
        if isinstance(out[place], CommutingRotations) or qubit in out[place].qubits:
            if isinstance(out[place], Local):
                out[place] = Local(qubit, matrix @ out[place].matrix)
                return
            break
    out.append(Local(qubit, matrix))


def _constant_runs(elements, pair):
    """Runs without symbols as their matrix, where that takes fewer CZ."""
    form = []
    for constant, run in itertools.groupby(elements, key=lambda element: element.constant):
        run = list(run)
        if constant and sum(isinstance(element, CommutingRotations) for element in run) > 0:
            matrix = _matrix(run, pair)
            if _cz_of_matrix(matrix.tobytes()) < _cost(run):
                run = [matrix]
        form += run
    return form


def _matrix(run, pair):
    matrix = np.eye(4, dtype=complex)
    for element in run:
        if isinstance(element, CommutingRotations):
            for letters, turns in element.turns.items():
                matrix = rotation_matrix(letters, turns[-1]) @ matrix
        else:
            one = [element.matrix if q == element.qubit else np.eye(2) for q in pair]
            matrix = np.kron(*one) @ matrix
    return matrix


def _cz_of_matrix(matrix):
    return sum(len(indices) == 2 for _, indices in compiled(matrix))


def emit(blocks: Iterable[Block], emitter: Emitter, places: Mapping | Sequence) -> None:
    """Emit blocks, whose qubits are at `places`."""
    for block in blocks:
        pair = sorted(block.qubits)
        on = [places[q] for q in pair]
        for element in block.form:
            if isinstance(element, CommutingRotations):
                emit_commuting(element, emitter, *on)
            elif isinstance(element, np.ndarray):
                for operation, indices in compiled(element.tobytes()):
                    if len(indices) == 2:
                        emitter.cz(*on)
                    else:
                        emitter.constant(on[indices[0]], cirq.unitary(operation))
            elif isinstance(element, Local):
                emitter.constant(places[element.qubit], element.matrix)
            else:
                ((qubit, letter),) = element.letters.items()
                turn(emitter, places[qubit], letter, element.turns)
