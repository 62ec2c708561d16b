"""Random Paulis around CZ gates, merged into the one-qubit gates beside them: no gate and no moment more.

Each one-qubit gate U becomes P' U P: P undoes the Paulis that come to it, P' are new random ones. They pass the CZ
gates in between (X on one qubit of a CZ is X there and Z on the other after it), and come to the next gates. With
U = Z^z Z^a X^x Z^-a, in half-turns and up to a phase:

    U X    x + 1, -a, z + 2a           X U    x + 1, a, -z - 2a
    U Z    x, a - 1, z + 1             Z U    x, a, z + 1

So all gauges are one circuit, in which each gate has symbols of its own, and a sweep. The Paulis make coherent errors
of the CZ gates random ones (Wallman and Emerson, 2016, arXiv:1512.01098).
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import cirq
import numpy as np
import sympy

from tfq_qrnn.hw.emitter import phased_xz


@dataclasses.dataclass(frozen=True)
class Gate:
    """A gate of a circuit: its qubits, and x, a and z of a PhasedXZ or Z, each a number or a symbol's name.

    `inverse` says that it is undone.
    """

    qubits: tuple[cirq.Qid, ...]
    turns: bool
    arguments: tuple[Any, ...]
    inverse: bool = False


def gates(moments: Iterable[cirq.Moment]) -> list[list[Gate]]:
    """The PhasedXZ, Z and CZ gates of moments."""

    def gate(operation):
        of = operation.gate
        if isinstance(of, cirq.PhasedXZGate):
            arguments = of.x_exponent, of.axis_phase_exponent, of.z_exponent
        else:
            arguments = (0.0, 0.0, of.exponent) if isinstance(of, cirq.ZPowGate) else ()
        named = tuple(str(a) if isinstance(a, sympy.Basic) else float(a) for a in arguments)
        return Gate(operation.qubits, isinstance(of, cirq.PhasedXZGate), named)

    return [[gate(operation) for operation in moment] for moment in moments]


def undone(moments: Sequence[list[Gate]]) -> list[list[Gate]]:
    """The inverse of a circuit."""
    return [[dataclasses.replace(gate, inverse=not gate.inverse) for gate in moment] for moment in reversed(moments)]


class Dressed:
    """A circuit whose PhasedXZ and Z gates have symbols of their own.

    Attributes:
        circuit: The circuit, without measurement.
        names: Its symbols: x, a and z of each PhasedXZ, and z of each Z, in their order.
        n_turns: The number of PhasedXZ gates: where random Paulis may be.
    """

    def __init__(self, moments: Sequence[list[Gate]]):
        self.gates = [gate for moment in moments for gate in moment]
        own = [gate for gate in self.gates if gate.arguments]
        width, names, numbers = len(str(len(own))), [], iter(range(len(own)))

        def operation(gate):
            if not gate.arguments:
                return cirq.CZ(*gate.qubits)
            number = next(numbers)
            fresh = [f"g_{number:0{width}}_{letter}" for letter in ("xaz" if gate.turns else "z")]
            names.extend(fresh)
            symbols = map(sympy.Symbol, fresh)
            return (phased_xz(*symbols) if gate.turns else cirq.ZPowGate(exponent=next(symbols))).on(*gate.qubits)

        self.circuit = cirq.Circuit(cirq.Moment(map(operation, moment)) for moment in moments)
        self.names = tuple(names)
        self.own = own
        self.turns, self.inverse = (np.array([getattr(gate, name) for gate in own]) for name in ("turns", "inverse"))
        self.n_turns = int(self.turns.sum())

    def values(self, values: dict[str, np.ndarray], after: np.ndarray) -> np.ndarray:
        """The values of `names`, `(points, symbols)`.

        Args:
            values: Those of the symbols of the circuit as it was, each `(points,)`.
            after: For each PhasedXZ whether X, and whether Z, is put after it, bool `(points, n_turns, 2)`. One
                point of either is for all points of the other.
        """
        before, flipped = self._before(after)
        x, a, z = self._arguments(values)
        z = np.where(flipped & ~self.turns, -z, z)  # a Z that an X passes
        x_before, z_before, x_after, z_after = (self._at_turns(of[..., i]) for of in (before, after) for i in (0, 1))
        x, a, z = x + x_before, np.where(x_before, -a, a), z + 2 * a * x_before
        a, z = a - z_before, z + z_before
        x, z = x + x_after, np.where(x_after, -z - 2 * a, z) + z_after
        found = np.stack([x, a, z], axis=-1)
        kept = np.stack([self.turns, self.turns, np.ones_like(self.turns)], axis=-1)
        return ((found + 1) % 2 - 1)[:, kept]  # all have the period 2

    def _at_turns(self, bits):
        found = np.zeros((len(bits), len(self.own)), bool)
        found[:, self.turns] = bits
        return found

    def _arguments(self, values):
        """x, a and z of all gates as they were, each `(points, gates)`."""
        points = max(map(len, values.values()), default=1)
        rows = [[np.broadcast_to(values.get(a, a), points) for a in gate.arguments] for gate in self.own]
        x, a, z = np.array(rows, float).transpose(1, 2, 0)
        return np.where(self.inverse, -x, x), np.where(self.inverse, a + z, a), np.where(self.inverse, -z, z)

    def _before(self, after):
        """The Paulis that come to each PhasedXZ, as `after`; and to which of all gates an X comes, `(points, own)`."""
        frame = {q: np.zeros((len(after), 2), bool) for gate in self.gates for q in gate.qubits}
        before, flipped, number = [], [], 0
        for gate in self.gates:
            if not gate.arguments:
                first, second = (frame[q].copy() for q in gate.qubits)
                first[:, 1] ^= frame[gate.qubits[1]][:, 0]
                second[:, 1] ^= frame[gate.qubits[0]][:, 0]
                frame[gate.qubits[0]], frame[gate.qubits[1]] = first, second
                continue
            (q,) = gate.qubits
            flipped.append(frame[q][:, 0])
            if gate.turns:
                before.append(frame[q])
                frame[q], number = np.asarray(after[:, number], bool), number + 1
        return np.stack(before, axis=1), np.stack(flipped, axis=1)


def random_paulis(n_turns: int, n_read: int, gauges: int, seed: int) -> np.ndarray:
    """For each gauge whether X, and whether Z, is put after each PhasedXZ: none after the last `n_read`.

    The first ones are the same for any number of gates: a longer circuit goes on as a shorter one begins.
    """
    draws = [np.random.default_rng((seed, gauge)).integers(0, 2, (n_turns - n_read, 2)) for gauge in range(gauges)]
    return np.pad(np.array(draws, bool), ((0, 0), (0, n_read), (0, 0)))
