"""Rotations of two qubits about Pauli strings that commute, in as few CZ as they take.

a constant quarter turn about one string    1 CZ
any turns about one string or two           2 CZ     CZ X^s X^t CZ, for strings X Z and Z X
turns about three                           3 CZ     (Vatan and Williams, arXiv:quant-ph/0308006)
"""

import functools

import cirq
import numpy as np

from tfq_qrnn.hw.emitter import Emitter
from tfq_qrnn.hw.rotations import PAULIS, conjugated


class CommutingRotations:
    """Rotations about commuting strings of two qubits: letters -> turns."""

    def __init__(self, letters: tuple[str, ...], turns: np.ndarray):
        self.turns = {letters: turns}

    @property
    def constant(self) -> bool:
        return not any(turns[:-1].any() for turns in self.turns.values())

    def commutes(self, letters: tuple[str, ...]) -> bool:
        return all((a == letters[0]) == (b == letters[1]) for a, b in self.turns)

    def add(self, letters: tuple[str, ...], turns: np.ndarray) -> None:
        self.turns[letters] = self.turns.get(letters, 0) + turns

    def cost(self) -> int:
        """Number of CZ."""
        kinds = [kind_of(turns) for turns in self.turns.values()]
        some = [kind for kind in kinds if kind != "whole"]
        return 1 if some == ["half"] else (0, 2, 2, 3)[len(some)]


def kind_of(turns: np.ndarray) -> str:
    """Whether the rotation is a Pauli or nothing ("whole"), a CZ but for local gates ("half"), or "any"."""
    if turns[:-1].any():
        return "any"
    twice = 2 * turns[-1]
    if abs(twice - round(twice)) > 1e-12:
        return "any"
    return "half" if round(twice) % 2 else "whole"


def turn(emitter: Emitter, qubit: cirq.Qid, letter: str, turns: np.ndarray) -> None:
    """Emit a rotation of one qubit about a Pauli."""
    if letter == "Z":
        emitter.z(qubit, turns)
    else:
        emitter.x(qubit, turns, emitter.affine(0.0 if letter == "X" else 0.5))


def emit_commuting(rotations: CommutingRotations, emitter: Emitter, a: cirq.Qid, b: cirq.Qid) -> None:
    strings = []
    for letters, turns in rotations.turns.items():
        kind = kind_of(turns)
        if kind != "whole":
            strings.append((letters, turns, kind))
        elif round(turns[-1]) % 2:  # a Pauli on each qubit
            for qubit, letter in zip((a, b), letters, strict=True):
                turn(emitter, qubit, letter, emitter.affine(1.0))
    if len(strings) == 3:
        _emit_three(strings, emitter, a, b)
    elif len(strings) == 2:
        (p, s, _), (q, t, _) = strings
        with _Turned(emitter, a, p[0], q[0], "XZ"), _Turned(emitter, b, p[1], q[1], "ZX"):
            emitter.cz(a, b)
            turn(emitter, a, "X", s)
            turn(emitter, b, "X", t)
            emitter.cz(a, b)
    elif strings:
        ((p, turns, kind),) = strings
        if kind == "half":
            with _Turned(emitter, a, p[0], None, "Z"), _Turned(emitter, b, p[1], None, "Z"):
                quarter = emitter.affine(0.5 if round(2 * turns[-1]) % 4 == 1 else -0.5)
                emitter.cz(a, b)
                emitter.z(a, quarter)
                emitter.z(b, quarter)
            return
        if p[0] != "Z" and p[1] == "Z":  # the control needs no turn
            a, b, p = b, a, p[::-1]
        with _Turned(emitter, a, p[0], None, "Z"), _Turned(emitter, b, p[1], None, "X"):
            emitter.cz(a, b)
            turn(emitter, b, "X", turns)
            emitter.cz(a, b)


def _emit_three(strings, emitter, a, b):
    (p, alpha, _), (q, beta, _), (r, gamma, _) = strings
    half = emitter.affine(0.5)
    # XX YY = -ZZ, so that in any order P Q = -R times the sign that the turns below carry
    product = np.kron(*(PAULIS[letter] for letter in p)) @ np.kron(*(PAULIS[letter] for letter in q))
    sign = -np.trace(product @ np.kron(*(PAULIS[letter] for letter in r))).real / 4
    gamma = sign * gamma
    with _Turned(emitter, a, p[0], q[0], "XY"), _Turned(emitter, b, p[1], q[1], "XY"):
        emitter.z(b, half)
        emitter.cnot(b, a)
        emitter.z(a, gamma + half)
        turn(emitter, b, "Y", alpha + half)
        emitter.cnot(a, b)
        turn(emitter, b, "Y", -beta - half)
        emitter.cnot(b, a)
        emitter.z(a, -half)


class _Turned:
    """Between local gates that make the Paulis `first` and `second` of a qubit those of `to`."""

    def __init__(self, emitter: Emitter, qubit: cirq.Qid, first: str, second: str | None, to: str):
        self.emitter, self.qubit, self.matrix = emitter, qubit, _clifford(first, second, to)

    def __enter__(self) -> None:
        self.emitter.constant(self.qubit, self.matrix)

    def __exit__(self, *_: object) -> None:
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
        if all(conjugated(matrix.conj().T, p) == (q, 1) for p, q in wanted):
            return matrix
    raise AssertionError(wanted)
