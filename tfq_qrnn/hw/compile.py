"""A program as Google's processors run it: PhasedXZ gates, CZ gates, and symbols in half-turns.

Every qubit collects its rotations in one PhasedXZ, Z^z Z^a X^x Z^-a, until a CZ or the end needs it:

    Z^s after it             z + s                      (it commutes with CZ, and waits)
    Z^p X^s Z^-p after Z^z   x = s, a = p - z           (Z^p X^s Z^-p Z^z = Z^z Z^(p-z) X^s Z^-(p-z))

So a layer of RY and RZ is one moment, and a ring of CZ two. Rotations about Pauli strings become CNOT ladders around
one Z^s; constant unitaries go through Cirq's compiler for CZ. Each argument is a number or one symbol of its own, an
affine function of the step's angles, computed here in float64: a symbol alone survives Google's serializer exactly,
while numbers beside it would go through float32. Global phases are dropped.
"""

import collections
import dataclasses
import functools
import itertools
import math
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cirq
import networkx
import numpy as np
import sympy
from numpy.typing import ArrayLike

from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn.gates import ConstantUnitary, parse_linear
from tfq_qrnn.hw.devices import ErrorRates, as_device, as_qubits
from tfq_qrnn.hw.placement import coupling_graph, place_ring
from tfq_qrnn.hw.routing import STRATEGIES, long_range_cz
from tfq_qrnn.program import GateProgram

if TYPE_CHECKING:
    from cirq_google import Calibration

MOST_SHOTS = 10**7  # of one circuit; each is kept, a byte a qubit
MOST_TIMESTEPS = 1000  # time and files grow with their square: the circuit of step t holds all steps before it
TURN_TO_Z = {"X": (-0.5, 0.5), "Y": (0.5, 0.0)}  # turns and phase of the Z^phase X^turns Z^-phase that makes a Pauli Z

_AXES = (cirq.XPowGate, cirq.YPowGate, cirq.ZPowGate, cirq.PhasedXPowGate, cirq.IdentityGate)
_DIRECT = cirq.Gateset(cirq.CZ, *_AXES)  # circuits of these are compiled gate by gate


def phased_xz(x: float | sympy.Basic, a: float | sympy.Basic, z: float | sympy.Basic = 0.0) -> cirq.PhasedXZGate:
    """Z^z Z^a X^x Z^-a."""
    return cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=a)


_GATES: dict[str, Callable[..., cirq.Gate]] = {
    "PhasedXZ": phased_xz,
    "Z": lambda z: cirq.ZPowGate(exponent=z),
    "CZ": lambda: cirq.CZ,
}


class _Emitter:
    """Collects native operations on qubits, `(kind, qubits, arguments)`.

    An argument is an array: the coefficients of the step's angles, then a constant; in half-turns.
    """

    def __init__(self, program: GateProgram, qubits: Sequence[cirq.Qid], graph: networkx.Graph | None, strategy: str):
        self.program, self.qubits, self.graph, self.strategy = program, qubits, graph, strategy
        self.pending = collections.defaultdict(lambda: (self.affine(0.0),) * 3)  # x, a and z of a qubit's PhasedXZ
        self.operations, self.last, self.routed = [], {}, False

    def affine(self, offset, index=None, scale=0.0):
        """scale * angles[index] + offset."""
        form = np.zeros(self.program.n_angles + 1)
        if index is not None:
            form[index] = scale
        form[-1] = offset
        return form

    def z(self, qubit, turns):
        x, a, z = self.pending[qubit]
        self.pending[qubit] = x, a, z + turns

    def x(self, qubit, turns, phase):
        """Z^phase X^turns Z^-phase."""
        if not turns.any():
            return
        x, a, z = self.pending[qubit]
        if x.any() and not any(form[:-1].any() for form in (x, a, z, turns, phase)):
            before, after = (cirq.unitary(phased_xz(*(f[-1] for f in forms))) for forms in ((x, a, z), (turns, phase)))
            gate = cirq.single_qubit_matrix_to_phxz(after @ before, atol=1e-14)
            numbers = (0, 0, 0) if gate is None else (gate.x_exponent, gate.axis_phase_exponent, gate.z_exponent)
            self.pending[qubit] = tuple(map(self.affine, numbers))
            return
        if x.any():
            self.flush(qubit)
            z = self.affine(0.0)
        self.pending[qubit] = turns, phase - z, z

    def flush(self, qubit):
        x, a, z = self.pending.pop(qubit)
        if x.any():
            self._append("PhasedXZ", (qubit,), (x, a, z))
        elif z.any():
            self._append("Z", (qubit,), (z,))

    def cz(self, first, second):
        if self.graph is not None and second not in self.graph[first]:
            long_range_cz(self, first, second)
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

    def cnot(self, control, target):
        half = self.affine(0.5)
        self.x(target, -half, half)
        self.cz(control, target)
        self.x(target, half, half)

    def _append(self, kind, qubits, arguments):
        for qubit in qubits:
            self.last[qubit] = len(self.operations)
        self.operations.append((kind, qubits, arguments))

    def finish(self):
        for qubit in sorted(self.pending):
            self.flush(qubit)
        return [operation for operation in self.operations if operation is not None]


def _emit_directly(emitter):
    """Emit a circuit of rotations about axes and CZ, gate by gate."""
    program = emitter.program
    place = dict(zip(program.qubits, emitter.qubits, strict=True))
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


def _emit_instructions(emitter):
    """Emit the program's Pauli rotations and constant unitaries: any program."""
    qubits, affine = emitter.qubits, emitter.affine
    for instruction in emitter.program.instructions:
        if not instruction.qubits:
            continue  # a global phase
        if isinstance(instruction, ConstantUnitary):
            for gate, indices in _native_constant(instruction):
                on = [qubits[instruction.qubits[i]] for i in indices]
                if isinstance(gate, cirq.CZPowGate):
                    emitter.cz(*on)
                else:
                    emitter.x(on[0], affine(gate.x_exponent), affine(gate.axis_phase_exponent))
                    emitter.z(on[0], affine(gate.z_exponent))
            continue
        turns = affine(instruction.offset / math.pi, instruction.index, instruction.scale / math.pi)
        places = [(qubits[i], letter) for i, letter in instruction.pauli]
        if len(places) == 1 and places[0][1] != "Z":
            ((qubit, letter),) = places
            emitter.x(qubit, turns, affine(0.0 if letter == "X" else 0.5))
            continue
        turned = [(qubit, *map(affine, TURN_TO_Z[letter])) for qubit, letter in places if letter != "Z"]
        for qubit, turn, phase in turned:
            emitter.x(qubit, turn, phase)
        ladder = [(a, b) for (a, _), (b, _) in itertools.pairwise(places)]
        for a, b in ladder:
            emitter.cnot(a, b)
        emitter.z(places[-1][0], turns)
        for a, b in reversed(ladder):
            emitter.cnot(a, b)
        for qubit, turn, phase in turned:
            emitter.x(qubit, -turn, phase)


@functools.lru_cache(maxsize=256)
def _native_constant(constant):
    """A constant unitary as CZ and PhasedXZ gates, by Cirq's compiler: `(gate, indices of its qubits)`."""
    line = cirq.LineQubit.range(len(constant.qubits))
    if len(line) == 2 and np.allclose(constant.matrix, cirq.unitary(cirq.CZ), rtol=0, atol=1e-12):
        return [(cirq.CZ, (0, 1))]
    circuit = cirq.Circuit(cirq.MatrixGate(constant.matrix, unitary_check_atol=1e-6).on(*line))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Cirq 1.5's compiler warns of a default of its own
        compiled = cirq.optimize_for_target_gateset(circuit, gateset=cirq.CZTargetGateset(), ignore_failures=False)
    # all but global phases
    return [(op.gate, [line.index(q) for q in op.qubits]) for op in compiled.all_operations() if op.qubits]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NativeProgram:
    """One time step of a program on the qubits of a device; `compile_program` makes it.

    Attributes:
        program: The `GateProgram`.
        qubits: Where its qubits are, in its order.
        relays: Further qubits, in |0> before and after each step, over which distant ones are coupled.
        routing: How distant qubits are coupled: None, or a name of `routing.STRATEGIES`.
        operations: `(kind, qubits, arguments)`; an argument is a number or the index of a symbol.
        matrix, offset: Symbols of one step from its angles, `matrix @ angles + offset`, in half-turns.

    >>> native = tfq_qrnn.hw.compile_program(tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(2, depth=1)))
    >>> len(native.prefix(3)), native.relays
    (6, ())
    """

    program: GateProgram
    qubits: tuple[cirq.Qid, ...]
    relays: tuple[cirq.Qid, ...]
    routing: str | None
    operations: tuple
    matrix: np.ndarray
    offset: np.ndarray

    @property
    def n_symbols(self) -> int:
        return len(self.offset)

    @property
    def all_qubits(self) -> tuple[cirq.Qid, ...]:
        """Program qubits, then relays: the order of the final state."""
        return self.qubits + self.relays

    def symbol_names(self, step: int) -> tuple[str, ...]:
        """The names of one step's symbols; steps count from 0."""
        width = len(str(max(self.n_symbols - 1, 0)))
        return tuple(f"h_{step:04}_{i:0{width}}" for i in range(self.n_symbols))

    def step(self, step: int) -> cirq.Circuit:
        """The circuit of one time step, with its symbols."""
        symbols = [sympy.Symbol(name) for name in self.symbol_names(step)]
        return cirq.Circuit(
            _GATES[kind](*(symbols[a] if isinstance(a, int) else a for a in arguments)).on(*on)
            for kind, on, arguments in self.operations
        )

    def prefix(self, timesteps: int) -> cirq.Circuit:
        """The circuit of the first `timesteps` time steps."""
        return cirq.Circuit(moment for step in range(timesteps) for moment in self.step(step))

    def half_turns(self, angles: ArrayLike) -> dict[str, float]:
        """Values of the symbols for angles `(timesteps, n_angles)` in radians, by name."""
        angles = np.asarray(angles, np.float64)
        if angles.ndim != 2 or angles.shape[1] != self.program.n_angles:
            raise argument_error(
                "angles", f"have shape (timesteps, {self.program.n_angles})", f"its shape is {angles.shape}"
            )
        values = angles @ self.matrix.T + self.offset
        return {
            name: float(value)
            for step, row in enumerate(values)
            for name, value in zip(self.symbol_names(step), row, strict=True)
        }

    def __repr__(self) -> str:
        couplers = sum(len(on) > 1 for _, on, _ in self.operations)
        where = f"qubits {', '.join(map(str, self.qubits))}"
        if self.relays:
            where += f" by way of {', '.join(map(str, self.relays))} ({self.routing})"
        return (
            f"NativeProgram({where}; {counted(len(self.operations) - couplers, 'one-qubit gate')}, "
            f"{counted(couplers, 'two-qubit gate')}, {counted(self.n_symbols, 'symbol')})"
        )

    def __str__(self) -> str:
        return str(self.step(0))


def compile_program(
    program: GateProgram,
    device: str | pathlib.Path | cirq.Device | None = None,
    qubits: Sequence[cirq.Qid] | None = None,
    calibration: "Calibration | ErrorRates | None" = None,
) -> NativeProgram:
    """A program in the gates of Google's processors.

    Args:
        program: A `GateProgram`.
        device: A `cirq_google.GridDevice`, the name of a processor or a path; None couples every pair.
        qubits: Where the program's qubits go, in its order; by default `place_ring(device, n, calibration)`, and the
            program's own without a device.
        calibration: A `cirq_google.Calibration` to place them by.

    Couplers that the device does not have are replaced in the cheaper of two ways (see `routing`).

    Raises:
        ValueError: The qubits are too few, too many or not on the device, two of them are not connected, or a gate
            has no form in PhasedXZ and CZ.

    >>> program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(8))
    >>> len(tfq_qrnn.hw.compile_program(program, "weber").prefix(8))
    48
    """
    if not isinstance(program, GateProgram):
        raise argument_type_error("program", "be a tfq_qrnn.GateProgram", program)
    device = as_device(device)
    graph = coupling_graph(device)
    if qubits is not None:
        qubits = as_qubits("qubits", qubits)
    else:
        qubits = program.qubits if graph is None else place_ring(device, program.n_qubits, calibration)
    if len(qubits) != program.n_qubits or len(set(qubits)) != len(qubits):
        raise argument_error(
            "qubits", f"be {program.n_qubits} different qubits", f"it is {', '.join(map(str, qubits))}"
        )
    if graph is not None and (strangers := [q for q in qubits if q not in graph]):
        raise argument_error("qubits", "be on the device", f"{', '.join(map(str, strangers))} is not")
    emit = _emit_directly if _DIRECT.validate(program.circuit) else _emit_instructions
    candidates = []
    for strategy in STRATEGIES:
        emitter = _Emitter(program, qubits, graph, strategy)
        try:
            emit(emitter)
        except LookupError as error:
            raise argument_error("qubits", "be connected by couplers of the device", str(error)) from None
        candidates.append((strategy if emitter.routed else None, emitter.finish()))
        if not emitter.routed:
            break
    routing, operations = min(candidates, key=lambda candidate: sum(kind == "CZ" for kind, *_ in candidate[1]))
    relays = tuple(sorted({q for _, on, _ in operations for q in on} - set(qubits)))
    forms = {}  # what depends on angles, each a symbol of its own

    def argument(form):
        return forms.setdefault(tuple(form.tolist()), len(forms)) if form[:-1].any() else float(form[-1])

    bound = tuple((kind, on, tuple(map(argument, arguments))) for kind, on, arguments in operations)
    table = np.array(list(forms)).reshape(-1, program.n_angles + 1)
    matrix = table[:, :-1] + 0.0  # no -0.0: journals hold a hash of it
    return NativeProgram(program, qubits, relays, routing, bound, matrix, table[:, -1])
