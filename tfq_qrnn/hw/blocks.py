"""A circuit as blocks of two qubits, each in as few CZ as it needs.

Every gate is a product of rotations exp(-i pi t/2 P) about Pauli strings P; those of constant one-qubit gates are
multiplied. A rotation about two qubits moves back, past what it commutes with, into the last block of its pair. In a
block, rotations about commuting strings stand together:

    a constant quarter turn about one string    1 CZ
    any turns about one string or two           2 CZ     CZ X^s X^t CZ, for strings X Z and Z X
    turns about three                           3 CZ     (Vatan and Williams, arXiv:quant-ph/0308006)

Runs without symbols go through Cirq's Cartan decomposition, which needs at most three.
"""

import dataclasses
import functools
import itertools
import warnings

import cirq
import numpy as np

from tfq_qrnn.gates import pauli_rotations
from tfq_qrnn.hw.emitter import affine

_PAULIS = {letter: cirq.unitary(gate) for letter, gate in (("X", cirq.X), ("Y", cirq.Y), ("Z", cirq.Z))}


@dataclasses.dataclass(frozen=True, eq=False)
class Rotation:
    """exp(-i pi turns/2 P) for the Pauli string `letters`, qubit -> letter; `turns` is an affine function."""

    letters: dict
    turns: np.ndarray

    @property
    def qubits(self):
        return tuple(self.letters)

    @property
    def constant(self):
        return not self.turns[:-1].any()

    def moved(self, places):
        return Rotation({places[q]: letter for q, letter in self.letters.items()}, self.turns)


@dataclasses.dataclass(frozen=True, eq=False)
class Local:
    """A unitary of one qubit without symbols."""

    qubit: object
    matrix: np.ndarray

    @property
    def qubits(self):
        return (self.qubit,)

    constant = True

    def moved(self, places):
        return Local(places[self.qubit], self.matrix)


def lower(program, circuit=None):
    """For each operation of a program, or of another circuit for it, its `Rotation` and `Local` of at most two qubits.

    Qubits are the program's indices.
    """
    index = {str(symbol): i for i, symbol in enumerate(program.symbols)}
    places = {q: i for i, q in enumerate(program.qubits)}
    operations = (program.circuit if circuit is None else circuit).all_operations()
    return [_lower_operation(operation.untagged, places, index) for operation in operations if operation.qubits]


def _lower_operation(operation, places, index):
    if len(operation.qubits) < 3:
        return _short(operation, places, index)
    # What several qubits do is either a ladder of CNOTs around one rotation for each string, or what Cirq makes of it.
    ways = []
    for way in (_ladders, _decomposed):
        try:
            ways.append(way(operation, places, index))
        except ValueError:
            continue
    if not ways:
        raise ValueError(f"{operation} has no decomposition")
    return min(ways, key=count_cz)


def _short(operation, places, index):
    on = tuple(places[q] for q in operation.qubits)
    if len(on) == 1 and cirq.has_unitary(operation):
        return [Local(on[0], cirq.unitary(operation))]
    try:
        return list(_rotations(operation, places, index))
    except ValueError:  # a gate that only Cirq's compiler makes
        if not cirq.has_unitary(operation):
            raise
    gates = (
        gate.with_qubits(*(operation.qubits[q.x] for q in gate.qubits))
        for gate in _compiled(cirq.unitary(operation).astype(complex).tobytes())
    )
    return [item for gate in gates for item in _short(gate, places, index)]


def _rotations(operation, places, index):
    own = {q: i for i, q in enumerate(operation.qubits)}
    for rotation in pauli_rotations(operation, own, index):
        turns = affine(len(index), rotation.offset / np.pi, rotation.index, rotation.scale / np.pi)
        yield Rotation({places[operation.qubits[i]]: letter for i, letter in rotation.pauli}, turns)


def _ladders(operation, places, index):
    items = []
    for rotation in _rotations(operation, places, index):
        *others, last = rotation.letters.items()
        ladder = []
        for (a, letter), (b, next_letter) in itertools.pairwise([*others, last] if len(others) > 1 else []):
            ladder += _cnot(a, letter, b, next_letter, len(index))
        # the ladder makes P of all letters the last one's
        inverse = [Rotation(item.letters, -item.turns) for item in reversed(ladder)]
        items += [*ladder, Rotation(dict([last]), rotation.turns), *inverse] if ladder else [rotation]
    return items


def _cnot(control, letter, target, target_letter, n_angles):
    """The controlled Pauli that maps the target's letter to the product with the control's."""
    other = "X" if target_letter != "X" else "Y"
    turns = affine(n_angles, 0.5)
    return [
        Rotation({control: letter, target: other}, -turns),
        Rotation({control: letter}, turns),
        Rotation({target: other}, turns),
    ]


def _decomposed(operation, places, index):
    operations = cirq.decompose(
        operation, keep=lambda o: len(o.qubits) < 3, on_stuck_raise=ValueError(f"{operation} has no decomposition")
    )
    return [item for o in operations if o.qubits for item in _short(o, places, index)]


def count_cz(items):
    """Number of CZ of a list of items."""
    return sum(_cost(block.form) for block in collect(items) if len(block.qubits) > 1)


@dataclasses.dataclass(eq=False)
class Block:
    """What happens on one qubit or on a pair, in order."""

    qubits: frozenset
    items: list

    def __post_init__(self):
        self.axes = {q: set("XYZ") for q in self.qubits}  # the Paulis that it commutes with
        self._narrow(*self.items)

    def add(self, item):
        self.items.append(item)
        self._narrow(item)

    def _narrow(self, *items):
        for item in items:
            for q in item.qubits:
                self.axes[q] = {letter for letter in self.axes[q] if _commutes(item, q, letter)}

    def commutes(self, other):
        """Whether it surely commutes: on each shared qubit both commute with the same Pauli."""
        return all(self.axes[q] & other.axes[q] for q in self.qubits & other.qubits)

    @functools.cached_property
    def form(self):
        """`Local`, `Rotation` of one qubit, `Torus`, and matrices of constant runs; asked for when it is complete."""
        return best_form(self)


def collect(items):
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
    return _layered(blocks)


def _layered(blocks):
    """Blocks sorted into layers: after all that they do not commute with, and side by side with no neighbour."""
    placed: list[tuple[Block, int, int]] = []
    for block in blocks:
        near = [other for other in placed if block.qubits & other[0].qubits]
        level = max((level + 1 for other, level, _ in near if not block.commutes(other)), default=0)
        taken = {layer for _, at, layer in near if at == level}
        placed.append((block, level, next(layer for layer in itertools.count() if layer not in taken)))
    return [block for block, _, _ in sorted(placed, key=lambda entry: entry[1:])]


def _commutes(item, qubit, letter):
    if isinstance(item, Rotation):
        return item.letters[qubit] == letter
    return _conjugated(item.matrix, letter) == (letter, 1)


def _conjugated(matrix, letter):
    """`(letter, sign)` of U^-1 P U where that is a Pauli, else None."""
    found = matrix.conj().T @ _PAULIS[letter] @ matrix
    for other, pauli in _PAULIS.items():
        for sign in (1, -1):
            if np.allclose(found, sign * pauli, rtol=0, atol=1e-12):
                return other, sign
    return None


class Torus:
    """Rotations about commuting strings of two qubits: letters -> turns."""

    def __init__(self, letters, turns):
        self.turns = {letters: turns}

    @property
    def constant(self):
        return not any(turns[:-1].any() for turns in self.turns.values())

    def commutes(self, letters):
        return all((a == letters[0]) == (b == letters[1]) for a, b in self.turns)

    def add(self, letters, turns):
        self.turns[letters] = self.turns.get(letters, 0) + turns

    def cost(self):
        kinds = [_kind(turns) for turns in self.turns.values()]
        some = [kind for kind in kinds if kind != "whole"]
        return 1 if some == ["half"] else (0, 2, 2, 3)[len(some)]


def _kind(turns):
    """Whether the rotation is a Pauli or nothing ("whole"), a CZ but for local gates ("half"), or "any"."""
    if turns[:-1].any():
        return "any"
    twice = 2 * turns[-1]
    if abs(twice - round(twice)) > 1e-12:
        return "any"
    return "half" if round(twice) % 2 else "whole"


def best_form(block):
    """A block in the form that takes the fewest CZ."""
    pair = sorted(block.qubits)
    forms = [_constant_runs(_tori(block.items, pair, absorb), pair) for absorb in (True, False)]
    return min(forms, key=_cost)


def _cost(form):
    return sum(
        element.cost() if isinstance(element, Torus) else _cz_of_matrix(element.tobytes())
        for element in form
        if isinstance(element, (Torus, np.ndarray))
    )


def _tori(items, pair, absorb):
    """The items with rotations about commuting strings together; with `absorb` also constant ones with symbolic."""
    out = []
    for item in items:
        if len(item.qubits) == 2:
            letters = tuple(item.letters[q] for q in pair)
            if not _join(out, pair, letters, item.turns, absorb):
                out.append(Torus(letters, item.turns))
        elif item.constant:
            _multiply(out, item)
        else:
            out.append(item)
    return [element for element in out if not isinstance(element, Torus) or any(map(np.any, element.turns.values()))]


def _join(out, pair, letters, turns, absorb):
    """Whether a rotation could be moved back into a `Torus` that it commutes with, and was."""
    for element in reversed(out):
        if isinstance(element, Torus):
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
                moved = _conjugated(element.matrix, letters[place])
            if moved is None:
                return False
            letters, turns = (*letters[:place], moved[0], *letters[place + 1 :]), moved[1] * turns
    return False


def _multiply(out, item):
    """Append a constant of one qubit, or multiply it into the last element where that is one of its qubit, too."""
    (qubit,) = item.qubits
    matrix = item.matrix if isinstance(item, Local) else _rotation_matrix(item.letters[qubit], item.turns[-1])
    for place in reversed(range(len(out))):
        if isinstance(out[place], Torus) or qubit in out[place].qubits:
            if isinstance(out[place], Local):
                out[place] = Local(qubit, matrix @ out[place].matrix)
                return
            break
    out.append(Local(qubit, matrix))


def _rotation_matrix(letters, turns):
    pauli = functools.reduce(np.kron, (_PAULIS[letter] for letter in letters))
    return np.cos(np.pi / 2 * turns) * np.eye(len(pauli)) - 1j * np.sin(np.pi / 2 * turns) * pauli


def _constant_runs(elements, pair):
    """Runs without symbols as their matrix, where that takes fewer CZ."""
    form = []
    for constant, run in itertools.groupby(elements, key=lambda element: element.constant):
        run = list(run)
        if constant and sum(isinstance(element, Torus) for element in run) > 0:
            matrix = _matrix(run, pair)
            if _cz_of_matrix(matrix.tobytes()) < _cost(run):
                run = [matrix]
        form += run
    return form


def _matrix(run, pair):
    matrix = np.eye(4, dtype=complex)
    for element in run:
        if isinstance(element, Torus):
            for letters, turns in element.turns.items():
                matrix = _rotation_matrix(letters, turns[-1]) @ matrix
        else:
            one = [element.matrix if q == element.qubit else np.eye(2) for q in pair]
            matrix = np.kron(*one) @ matrix
    return matrix


@functools.lru_cache(maxsize=1024)
def _compiled(matrix):
    """Cirq's CZ and one-qubit gates for a constant unitary of two qubits, on two LineQubits."""
    unitary = np.frombuffer(matrix, dtype=complex).reshape(4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Cirq 1.5's compiler warns of a default of its own
        return tuple(cirq.two_qubit_matrix_to_cz_operations(*cirq.LineQubit.range(2), unitary, allow_partial_czs=False))


def _cz_of_matrix(matrix):
    return sum(len(operation.qubits) == 2 for operation in _compiled(matrix))


def emit(blocks, emitter, places):
    """Emit blocks, whose qubits are at `places`."""
    for block in blocks:
        pair = sorted(block.qubits)
        on = [places[q] for q in pair]
        for element in block.form:
            if isinstance(element, Torus):
                _emit_torus(element, emitter, *on)
            elif isinstance(element, np.ndarray):
                for operation in _compiled(element.tobytes()):
                    if len(operation.qubits) == 2:
                        emitter.cz(*on)
                    else:
                        emitter.constant(on[operation.qubits[0].x], cirq.unitary(operation))
            elif isinstance(element, Local):
                emitter.constant(places[element.qubit], element.matrix)
            else:
                ((qubit, letter),) = element.letters.items()
                _turn(emitter, places[qubit], letter, element.turns)


def _turn(emitter, qubit, letter, turns):
    if letter == "Z":
        emitter.z(qubit, turns)
    else:
        emitter.x(qubit, turns, emitter.affine(0.0 if letter == "X" else 0.5))


def _emit_torus(torus, emitter, a, b):
    strings = []
    for letters, turns in torus.turns.items():
        kind = _kind(turns)
        if kind != "whole":
            strings.append((letters, turns, kind))
        elif round(turns[-1]) % 2:  # a Pauli on each qubit
            for qubit, letter in zip((a, b), letters, strict=True):
                _turn(emitter, qubit, letter, emitter.affine(1.0))
    if len(strings) == 3:
        _emit_three(strings, emitter, a, b)
    elif len(strings) == 2:
        (p, s, _), (q, t, _) = strings
        with _Turned(emitter, a, p[0], q[0], "XZ"), _Turned(emitter, b, p[1], q[1], "ZX"):
            emitter.cz(a, b)
            _turn(emitter, a, "X", s)
            _turn(emitter, b, "X", t)
            emitter.cz(a, b)
    elif strings:
        ((p, turns, kind),) = strings
        if kind == "half":
            with _Turned(emitter, a, p[0], None, "Z"), _Turned(emitter, b, p[1], None, "Z"):
                quarter = emitter.affine(0.5 if turns[-1] % 2 == 0.5 else -0.5)
                emitter.cz(a, b)
                emitter.z(a, quarter)
                emitter.z(b, quarter)
            return
        if p[0] != "Z" and p[1] == "Z":  # the control needs no turn
            a, b, p = b, a, p[::-1]
        with _Turned(emitter, a, p[0], None, "Z"), _Turned(emitter, b, p[1], None, "X"):
            emitter.cz(a, b)
            _turn(emitter, b, "X", turns)
            emitter.cz(a, b)


def _emit_three(strings, emitter, a, b):
    (p, alpha, _), (q, beta, _), (r, gamma, _) = strings
    half = emitter.affine(0.5)
    # XX YY = -ZZ, so that in any order P Q = -R times the sign that the turns below carry
    product = np.kron(*(_PAULIS[letter] for letter in p)) @ np.kron(*(_PAULIS[letter] for letter in q))
    sign = -np.trace(product @ np.kron(*(_PAULIS[letter] for letter in r))).real / 4
    gamma = sign * gamma
    with _Turned(emitter, a, p[0], q[0], "XY"), _Turned(emitter, b, p[1], q[1], "XY"):
        emitter.z(b, half)
        emitter.cnot(b, a)
        emitter.z(a, gamma + half)
        _turn(emitter, b, "Y", alpha + half)
        emitter.cnot(a, b)
        _turn(emitter, b, "Y", -beta - half)
        emitter.cnot(b, a)
        emitter.z(a, -half)


class _Turned:
    """Between local gates that make the Paulis `first` and `second` of a qubit those of `to`."""

    def __init__(self, emitter, qubit, first, second, to):
        self.emitter, self.qubit, self.matrix = emitter, qubit, _clifford(first, second, to)

    def __enter__(self):
        self.emitter.constant(self.qubit, self.matrix)

    def __exit__(self, *_):
        self.emitter.constant(self.qubit, self.matrix.conj().T)


@functools.cache
def _clifford(first, second, to):
    """The one-qubit Clifford U with U P U^-1 as asked for and the least turns about X."""
    wanted = [(first, to[0])] + ([(second, to[1])] if second else [])
    gates = sorted(
        (
            cirq.PhasedXZGate(x_exponent=x / 2, axis_phase_exponent=a / 2, z_exponent=z / 2)
            for x in (0, 1, -1, 2)
            for a in range(4)
            for z in (0, 1, -1, 2)
        ),
        key=lambda gate: (abs(gate.x_exponent), abs(gate.z_exponent)),
    )
    for gate in gates:
        matrix = cirq.unitary(gate)
        # U P U^-1 is V^-1 P V for V = U^-1
        if all(_conjugated(matrix.conj().T, p) == (q, 1) for p, q in wanted):
            return matrix
    raise AssertionError(wanted)
