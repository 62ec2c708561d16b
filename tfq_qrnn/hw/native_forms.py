"""The ways to write a program in native gates: gate by gate, in blocks of two qubits, and as Cirq's compiler does."""

import contextlib
import functools
import warnings
from collections.abc import Mapping, Sequence

import cirq

from tfq_qrnn.gates import parse_linear
from tfq_qrnn.hw.blocks import Block, collect, count_cz, emit
from tfq_qrnn.hw.emitter import Emitter
from tfq_qrnn.hw.rotations import decomposed, ladders, short
from tfq_qrnn.program import GateProgram

_AXES = (cirq.XPowGate, cirq.YPowGate, cirq.ZPowGate, cirq.PhasedXPowGate, cirq.IdentityGate)
_DIRECT = cirq.Gateset(cirq.CZ, *_AXES)  # circuits of these may be written gate by gate


class GateByGate:
    """A circuit of rotations about axes and CZ as it stands."""

    def __init__(self, program: GateProgram):
        self.program, self.n_angles = program, program.n_angles

    def emit(self, emitter: Emitter, places: Mapping | Sequence) -> None:
        program = self.program
        place = dict(zip(program.qubits, places, strict=True))
        symbol_index = {str(symbol): i for i, symbol in enumerate(program.symbols)}

        def affine(value):
            linear = parse_linear(value, symbol_index)
            return emitter.affine(linear.offset, linear.index, linear.scale)

        for operation in program.circuit.all_operations():
            gate, on = operation.untagged.gate, [place[q] for q in operation.qubits]
            if isinstance(gate, cirq.CZPowGate):
                emitter.cz(*on)
            elif isinstance(gate, cirq.ZPowGate):
                emitter.z(on[0], affine(gate.exponent))
            elif not isinstance(gate, cirq.IdentityGate):
                emitter.x(on[0], affine(gate.exponent), affine(gate.phase_exponent))  # 0 for X, 1/2 for Y

    @functools.cached_property
    def pieces(self) -> list[list[Block]]:
        return []  # `InBlocks` has them


class InBlocks:
    """A circuit in blocks of two qubits (see `blocks`)."""

    def __init__(self, program: GateProgram, circuit: cirq.AbstractCircuit | None = None):
        self.n_angles, self.operations = program.n_angles, _lower(program, circuit)

    @functools.cached_property
    def blocks(self) -> list[Block]:
        return collect(item for items in self.operations for item in items)

    def emit(self, emitter: Emitter, places: Mapping | Sequence) -> None:
        emit(self.blocks, emitter, places)

    @functools.cached_property
    def pieces(self) -> list[list[Block]]:
        """What a router may take for gates, as lists of `Block`: operation by operation, and block by block."""
        short = [
            part
            for items in self.operations
            for part in ([items] if len({q for item in items for q in item.qubits}) < 3 else [[i] for i in items])
        ]
        return [[Block(frozenset(q for i in items for q in i.qubits), items) for items in short if items], self.blocks]


def native_forms(program: GateProgram) -> list[GateByGate | InBlocks]:
    """A program in all ways that apply."""
    if _DIRECT.validate(program.circuit):
        return [GateByGate(program), InBlocks(program)]
    found: list[GateByGate | InBlocks] = [InBlocks(program)]
    # A ValueError is of gates that Cirq makes and nothing else takes, or of matrices that it fails to decompose.
    with contextlib.suppress(ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Cirq 1.5's compiler warns of a default of its own
        circuit = cirq.optimize_for_target_gateset(program.circuit, gateset=cirq.CZTargetGateset())
        found.append(InBlocks(program, circuit))
    return found


def _lower(program, circuit=None):
    """For each operation of a program, or of another circuit for it, its `Rotation` and `Local` of at most two qubits.

    Qubits are the program's indices.
    """
    index = {str(symbol): i for i, symbol in enumerate(program.symbols)}
    places = {q: i for i, q in enumerate(program.qubits)}
    operations = (program.circuit if circuit is None else circuit).all_operations()
    return [_lower_operation(operation.untagged, places, index) for operation in operations if operation.qubits]


def _lower_operation(operation, places, index):
    if len(operation.qubits) < 3:
        return short(operation, places, index)
    # What several qubits do is either a ladder of CNOTs around one rotation for each string, or what Cirq makes of it.
    ways = []
    for way in (ladders, decomposed):
        try:
            ways.append(way(operation, places, index))
        except ValueError:
            continue
    if not ways:
        raise ValueError(f"{operation} has no decomposition")
    return min(ways, key=count_cz)
