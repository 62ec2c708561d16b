"""The drift: a constant part of a time step, by which the memory moves without news."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import cirq
import numpy as np

from tfq_qrnn._checks import check_choice, check_int, check_number
from tfq_qrnn._errors import argument_error

_AXES = ("tilted", "z")


@dataclasses.dataclass(frozen=True)
class Drift:
    """Gates at the end of every time step that no input touches and no training changes.

    It is the drift of control theory: a system that moves by itself, and is steered. Every qubit q precesses with a
    frequency of its own, and neighbours on a ring may be coupled:

        U_drift = prod_q exp(-i J_q/2 Z_q Z_{q+1})  prod_q RZ(w_q sin(phi_q)) RY(w_q cos(phi_q))

    The frequencies w_q are spread geometrically from `fastest` to `slowest` over the qubits, in a random order. The
    slow qubits add up what happens over time, the fast ones tell when it happened. The phi_q are uniform on the circle,
    the couplings J_q normal. "Training long sequences" of the documentation says how the defaults were chosen.

    Args:
        slowest: Least frequency, in radians per time step, more than 0.
        fastest: Greatest frequency, in radians per time step; a single qubit has this one.
        coupling: Standard deviation of the couplings, in radians per time step; 0 for none.
        axis: "tilted", each qubit about an axis of its own; or "z", all about Z, where |0...0> stays as it is.
        seed: Seed of the order, the directions and the couplings: one drift for each number of qubits.

    Raises:
        ValueError, TypeError: An argument is out of its range.

    >>> print(Drift(slowest=0.5, fastest=1.5, axis="z").circuit(cirq.LineQubit.range(2)))
    0: ───Rz(0.477π)───
    <BLANKLINE>
    1: ───Rz(0.159π)───
    """

    slowest: float = 0.01
    fastest: float = 1.0
    coupling: float = 0.0
    axis: str = "tilted"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("slowest", "fastest", "coupling"):
            object.__setattr__(self, name, check_number(name, getattr(self, name), minimum=0))
        if not 0 < self.slowest <= self.fastest:
            raise argument_error(
                "slowest", f"be more than 0, and at most `fastest`, {self.fastest:g}", f"it is {self.slowest:g}"
            )
        check_choice("axis", self.axis, _AXES)
        object.__setattr__(self, "seed", check_int("seed", self.seed, 0, 2**32 - 1))

    def circuit(self, qubits: Sequence[cirq.Qid]) -> cirq.Circuit:
        """The gates on these qubits; the ring goes through them in their order."""
        n = len(qubits)
        # RandomState's streams never change (NEP 19): a file that names a seed means the same numbers for ever.
        random = np.random.RandomState([self.seed, n])
        frequencies = random.permutation(np.geomspace(self.fastest, self.slowest, n))
        directions, couplings = random.uniform(0, 2 * math.pi, n), self.coupling * random.normal(size=n)
        if self.axis == "z":
            directions[:] = math.pi / 2
        circuit = cirq.Circuit()
        if self.axis != "z":
            angles = (frequencies * np.cos(directions)).tolist()
            circuit += cirq.Moment(cirq.ry(angle)(q) for angle, q in zip(angles, qubits, strict=True))
        angles = (frequencies * np.sin(directions)).tolist()
        circuit += cirq.Moment(cirq.rz(angle)(q) for angle, q in zip(angles, qubits, strict=True))
        if self.coupling:
            circuit += cirq.Circuit(
                cirq.ZZPowGate(exponent=float(couplings[i] / math.pi), global_shift=-0.5)(qubits[i], qubits[j])
                for i, j in side_by_side(neighbours(n, is_ring=True))
            )
        return circuit

    def get_config(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def neighbours(n_qubits: int, is_ring: bool) -> list[tuple[int, int]]:
    """The pairs `(i, i + 1)` of a chain, and what closes it to a ring. No pair stands twice."""
    pairs = [(i, i + 1) for i in range(n_qubits - 1)]
    return [*pairs, (n_qubits - 1, 0)] if is_ring and n_qubits > 2 else pairs


def side_by_side(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbouring pairs whose gates commute, ordered to act side by side: every second one, then the others."""
    return pairs[0::2] + pairs[1::2]
