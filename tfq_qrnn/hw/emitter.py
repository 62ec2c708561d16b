"""Native operations: PhasedXZ gates, CZ gates, and symbols in half-turns.

Every qubit collects its rotations in one PhasedXZ, Z^z Z^a X^x Z^-a, until a CZ or the end needs it:

    Z^s after it             z + s                      (it commutes with CZ, and waits)
    Z^p X^s Z^-p after Z^z   x = s, a = p - z           (Z^p X^s Z^-p Z^z = Z^z Z^(p-z) X^s Z^-(p-z))

So a layer of RY and RZ is one moment, and a ring of CZ two. Each argument is an affine function of the step's angles,
an array: the coefficients of the angles, then a constant; in half-turns. Global phases are dropped.
"""

import collections
import functools
from collections.abc import Callable, Sequence

import cirq
import networkx
import numpy as np
import sympy

TURN_TO_Z = {"X": (-0.5, 0.5), "Y": (0.5, 0.0)}  # turns and phase of the Z^phase X^turns Z^-phase that makes a Pauli Z


def phased_xz(x: float | sympy.Basic, a: float | sympy.Basic, z: float | sympy.Basic = 0.0) -> cirq.PhasedXZGate:
    """Z^z Z^a X^x Z^-a."""
    return cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=a)


GATES: dict[str, Callable[..., cirq.Gate]] = {
    "PhasedXZ": phased_xz,
    "Z": lambda z: cirq.ZPowGate(exponent=z),
    "CZ": lambda: cirq.CZ,
}


def affine(n_angles: int, offset: float, index: int | None = None, scale: float = 0.0) -> np.ndarray:
    """scale * angles[index] + offset."""
    form = np.zeros(n_angles + 1)
    if index is not None:
        form[index] = scale
    form[-1] = offset
    return form


class Emitter:
    """Collects native operations on a device's qubits, `(kind, qubits, arguments)`.

    A CZ of qubits that `graph` does not couple goes to `far`, a function of the emitter and the two qubits.
    """

    def __init__(
        self,
        n_angles: int,
        qubits: Sequence[cirq.Qid],
        graph: networkx.Graph | None = None,
        far: Callable[["Emitter", cirq.Qid, cirq.Qid], None] | None = None,
    ):
        self.affine = functools.partial(affine, n_angles)
        self.qubits, self.graph, self.far = qubits, graph, far
        self.pending = collections.defaultdict(lambda: (self.affine(0.0),) * 3)  # x, a and z of a qubit's PhasedXZ
        self.operations, self.last, self.routed = [], {}, False

    def z(self, qubit: cirq.Qid, turns: np.ndarray) -> None:
        x, a, z = self.pending[qubit]
        self.pending[qubit] = x, a, z + turns

    def x(self, qubit: cirq.Qid, turns: np.ndarray, phase: np.ndarray) -> None:
        """Z^phase X^turns Z^-phase."""
        if not turns.any():
            return
        x, a, z = self.pending[qubit]
        if x.any() and np.array_equal(phase - z, a):  # about the same axis
            self.pending[qubit] = x + turns, a, z
            return
        if x.any() and not any(form[:-1].any() for form in (x, a, z, turns, phase)):
            before, after = (cirq.unitary(phased_xz(*(f[-1] for f in forms))) for forms in ((x, a, z), (turns, phase)))
            x, a, z = map(self.affine, _numbers((after @ before).tobytes()))
            self.pending[qubit] = x, a, z
            return
        if x.any():
            self.flush(qubit)
            z = self.affine(0.0)
        self.pending[qubit] = turns, phase - z, z

    def constant(self, qubit: cirq.Qid, matrix: np.ndarray) -> None:
        """A unitary of one qubit without symbols."""
        x, a, z = map(self.affine, _numbers(matrix.astype(complex).tobytes()))
        self.x(qubit, x, a)
        self.z(qubit, z)

    def flush(self, qubit: cirq.Qid) -> None:
        x, a, z = self.pending.pop(qubit)
        if x.any():
            self._append("PhasedXZ", (qubit,), (x, a, z))
        elif z.any():
            self._append("Z", (qubit,), (z,))

    def cz(self, first: cirq.Qid, second: cirq.Qid) -> None:
        if self.graph is not None and second not in self.graph[first]:
            self.routed = True
            assert self.far is not None, "what is routed beforehand is coupled"
            self.far(self, first, second)
            return
        for qubit in (first, second):
            if self.pending[qubit][0].any():
                self.flush(qubit)
        before = self.last.get(first)
        if before is not None and before == self.last.get(second) and self.operations[before][0] == "CZ":
            self.operations[before] = None  # CZ twice is nothing
            for qubit in (first, second):
                self.last[qubit] = None
            return
        self._append("CZ", (first, second), ())

    def cnot(self, control: cirq.Qid, target: cirq.Qid) -> None:
        half = self.affine(0.5)
        self.x(target, -half, half)
        self.cz(control, target)
        self.x(target, half, half)

    def _append(self, kind, qubits, arguments):
        for qubit in qubits:
            self.last[qubit] = len(self.operations)
        self.operations.append((kind, qubits, arguments))

    def finish(self) -> list[tuple]:
        """All operations."""
        for qubit in sorted(self.pending):
            self.flush(qubit)
        return [operation for operation in self.operations if operation is not None]


@functools.lru_cache(maxsize=4096)
def _numbers(matrix):
    """x, a and z of a unitary of one qubit, given as bytes; quarter turns without rounding errors."""
    gate = cirq.single_qubit_matrix_to_phxz(np.frombuffer(matrix, complex).reshape(2, 2), atol=1e-14)
    numbers = (0.0, 0.0, 0.0) if gate is None else (gate.x_exponent, gate.axis_phase_exponent, gate.z_exponent)
    return [quarters / 4 if abs(4 * n - (quarters := round(4 * n))) < 1e-12 else n for n in numbers]
