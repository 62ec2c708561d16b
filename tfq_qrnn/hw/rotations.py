"""Gates as rotations about Pauli strings of at most two qubits.

Every gate is a product of rotations exp(-i pi t/2 P) about Pauli strings P. One about more than two qubits stands
between two ladders of CNOTs. A gate of which only the unitary is known is what Cirq's compiler makes of it.
"""

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cirq
import numpy as np

from tfq_qrnn.gates import pauli_rotations
from tfq_qrnn.hw.emitter import affine

PAULIS = {letter: cirq.unitary(gate) for letter, gate in (("X", cirq.X), ("Y", cirq.Y), ("Z", cirq.Z))}


@dataclasses.dataclass(frozen=True, eq=False)
class Rotation:
    """exp(-i pi turns/2 P) for the Pauli string `letters`, qubit -> letter; `turns` is an affine function."""

    letters: dict
    turns: np.ndarray

    @property
    def qubits(self) -> tuple:
        return tuple(self.letters)

    @property
    def constant(self) -> bool:
        return not self.turns[:-1].any()

    def moved(self, places: Mapping | Sequence) -> "Rotation":
        return Rotation({places[q]: letter for q, letter in self.letters.items()}, self.turns)


@dataclasses.dataclass(frozen=True, eq=False)
class Local:
    """A unitary of one qubit without symbols."""

    qubit: Any
    matrix: np.ndarray

    @property
    def qubits(self) -> tuple:
        return (self.qubit,)

    constant = True

    def moved(self, places: Mapping | Sequence) -> "Local":
        return Local(places[self.qubit], self.matrix)


Item = Rotation | Local


def conjugated(matrix: np.ndarray, letter: str) -> tuple[str, int] | None:
    """`(letter, sign)` of U^-1 P U where that is a Pauli, else None."""
    found = matrix.conj().T @ PAULIS[letter] @ matrix
    for other, pauli in PAULIS.items():
        for sign in (1, -1):
            if np.allclose(found, sign * pauli, rtol=0, atol=1e-12):
                return other, sign
    return None


def rotation_matrix(letters: Iterable[str], turns: float) -> np.ndarray:
    """exp(-i pi turns/2 P)."""
    pauli = functools.reduce(np.kron, (PAULIS[letter] for letter in letters))
    return np.cos(np.pi / 2 * turns) * np.eye(len(pauli)) - 1j * np.sin(np.pi / 2 * turns) * pauli


@functools.lru_cache(maxsize=1024)
def compiled(matrix: bytes) -> list[tuple[cirq.Operation, list[int]]]:
    """Cirq's CZ and one-qubit gates for a constant unitary of two qubits, each with the places of its qubits."""
    pair: list[cirq.Qid] = [*cirq.LineQubit.range(2)]
    unitary = np.frombuffer(matrix, dtype=complex).reshape(4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Cirq 1.5's compiler warns of a default of its own
        operations = cirq.two_qubit_matrix_to_cz_operations(pair[0], pair[1], unitary, allow_partial_czs=False)
    return [(operation, [*map(pair.index, operation.qubits)]) for operation in operations]


def short(operation: cirq.Operation, places: Mapping, index: Mapping) -> list[Item]:
    """An operation on one qubit or two."""
    on = tuple(places[q] for q in operation.qubits)
    if len(on) == 1 and cirq.has_unitary(operation):
        return [Local(on[0], cirq.unitary(operation))]
    try:
        return list(_rotations(operation, places, index))
    except ValueError:  # a gate that only Cirq's compiler makes
        if not cirq.has_unitary(operation):
            raise
    gates = (
        gate.with_qubits(*(operation.qubits[i] for i in indices))
        for gate, indices in compiled(cirq.unitary(operation).astype(complex).tobytes())
    )
    return [item for gate in gates for item in short(gate, places, index)]


def _rotations(operation, places, index):
    own = {q: i for i, q in enumerate(operation.qubits)}
    for rotation in pauli_rotations(operation, own, index):
        turns = affine(len(index), rotation.offset / np.pi, rotation.index, rotation.scale / np.pi)
        yield Rotation({places[operation.qubits[i]]: letter for i, letter in rotation.pauli}, turns)


def ladders(operation: cirq.Operation, places: Mapping, index: Mapping) -> list[Item]:
    """An operation as its Pauli rotations, each between two ladders of CNOTs."""
    items: list[Item] = []
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


def decomposed(operation: cirq.Operation, places: Mapping, index: Mapping) -> list[Item]:
    """An operation as Cirq decomposes it."""
    operations = cirq.decompose(
        operation, keep=lambda o: len(o.qubits) < 3, on_stuck_raise=ValueError(f"{operation} has no decomposition")
    )
    return [item for o in operations if o.qubits for item in short(o, places, index)]
