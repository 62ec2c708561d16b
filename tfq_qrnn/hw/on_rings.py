"""The circuit of one ring on several at once: other qubits, other names of symbols and of the measurement."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import cirq
import sympy


class OnRings:
    """Copies of circuits on rings of qubits.

    Args:
        rings: The qubits of each ring; the circuits to copy are on those of the first, whose copies keep all names.

    >>> rings = tfq_qrnn.hw.on_rings.OnRings([cirq.LineQubit.range(2), cirq.LineQubit.range(2, 4)])
    >>> circuit = cirq.Circuit(cirq.CZ(*cirq.LineQubit.range(2)))
    >>> print(rings.joined([circuit + circuit, circuit]))
    0: ───@───@───
          │   │
    1: ───@───@───
    <BLANKLINE>
    2: ───────@───
              │
    3: ───────@───
    """

    def __init__(self, rings: Sequence[Sequence[cirq.Qid]]):
        self.moves = [dict(zip(rings[0], ring, strict=True)) for ring in rings]
        self._moved = functools.lru_cache(maxsize=2**14)(self._moved_moment)  # a step stands in all circuits after it

    def names(self, names: Iterable[str], ring: int) -> tuple[str, ...]:
        """The names of symbols, or of a measurement, on a ring."""
        return tuple(f"ring_{ring:02}_{name}" if ring else name for name in names)

    def joined(self, circuits: Sequence[cirq.Circuit]) -> cirq.Circuit:
        """Circuits of the first ring, each on a ring of its own, so that they end at the same time."""
        depth = max(map(len, circuits))
        moments: list[list[cirq.Operation]] = [[] for _ in range(depth)]
        for ring, circuit in enumerate(circuits):
            for operations, moment in zip(moments[depth - len(circuit) :], circuit, strict=True):
                operations += self._moved(_Same(moment), ring)
        return cirq.Circuit(cirq.Moment(operations) for operations in moments)

    def _moved_moment(self, same, ring):
        operations = tuple(same.moment)
        return tuple(self._moved_operation(operation, ring) for operation in operations) if ring else operations

    def _moved_operation(self, operation, ring):
        operation = operation.transform_qubits(self.moves[ring])
        symbols, keys = sorted(cirq.parameter_names(operation)), sorted(cirq.measurement_key_names(operation))
        if symbols:
            values = dict(zip(symbols, map(sympy.Symbol, self.names(symbols, ring)), strict=True))
            operation = cirq.resolve_parameters(operation, values, recursive=False)
        if keys:
            operation = cirq.with_measurement_key_mapping(
                operation, dict(zip(keys, self.names(keys, ring), strict=True))
            )
        return operation


@dataclasses.dataclass(frozen=True, eq=False)
class _Same:
    """A moment by its identity: to compare moments takes longer than to copy them."""

    moment: cirq.Moment

    def __hash__(self) -> int:
        return id(self.moment)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.moment is other.moment
