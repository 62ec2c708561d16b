"""Cirq operations -> the two instructions that every backend runs.

Each gate of TensorFlow Quantum is a product of factors exp(-i angle/2 P), with P a Pauli string (the empty one is a
phase) and `angle` linear in one symbol:

    X^t = exp(i a/2) exp(-i a/2 X)                       a = pi t, likewise Y^t, Z^t and XX^t, YY^t, ZZ^t
    H^t = Ry(pi/4) Z^t Ry(-pi/4)
    CZ^t = exp(i a |11><11|),  |11><11| = (1 - Z0 - Z1 + Z0 Z1)/4;  CX^t has X for Z on the target
    SWAP^t = exp(i a/4 (1 - XX - YY - ZZ)),  ISWAP^t = exp(i a/4 (XX + YY))
    PhasedX(p)^t = Z^p X^t Z^-p,  PhasedISwap(p)^t = (Z^-p Z^p) ISWAP^t (Z^p Z^-p)
    FSim(theta, phi) = exp(-i theta/2 (XX + YY)) exp(-i phi |11><11|)
    exp(i pi t s) for a global shift s; a control turns exp(-i a/2 P) into exp(-i a/2 |1><1| P), expanded in Z strings.

The factors of each line commute where they share an angle, so that the product is exact.
"""

import dataclasses
import itertools
import math

import cirq
import numpy as np
import sympy

from tfq_qrnn._decompositions import SIMPLE_GATES as SUPPORTED_GATES
from tfq_qrnn._decompositions import simple_operations, without_matrices

_X, _Y, _Z = "X", "Y", "Z"


@dataclasses.dataclass(frozen=True)
class PauliRotation:
    """exp(-i (scale * angles[index] + offset)/2 * P), P = the Pauli string `pauli`; an empty one is a phase."""

    pauli: tuple[tuple[int, str], ...]
    index: int
    scale: float
    offset: float = 0.0

    @property
    def qubits(self):
        return tuple(q for q, _ in self.pauli)


@dataclasses.dataclass(frozen=True, eq=False)
class ConstantUnitary:
    """A unitary without symbols; `qubits[0]` is the most significant bit of `matrix`."""

    qubits: tuple[int, ...]
    matrix: np.ndarray


@dataclasses.dataclass(frozen=True)
class Linear:
    """scale * angles[index] + offset; a number where index is None."""

    scale: float
    index: int | None
    offset: float = 0.0

    def __mul__(self, factor):
        return Linear(self.scale * factor, self.index, self.offset * factor)


def parse_linear(value, index_of):
    """A gate's argument, a number or an expression, as a `Linear`; `index_of` maps names of symbols to their indices.

    A ValueError's message is the clause "but ..."; so it is in `lower_operation`.
    """
    free = sorted(getattr(value, "free_symbols", ()), key=str)
    if len(free) > 1:
        raise ValueError(f"{value} has {len(free)} symbols")
    slope, index, constant = 0, None, value
    if free:
        slope, index, constant = sympy.diff(value, free[0]), index_of[str(free[0])], value.subs(free[0], 0)
        if slope.free_symbols:
            raise ValueError(f"{value} is not linear in {free[0]}")
    scale, offset = complex(slope), complex(constant)
    if scale.imag or offset.imag:
        raise ValueError(f"{value} is not real")
    if not (math.isfinite(scale.real) and math.isfinite(offset.real)):
        raise ValueError(f"{value} is not finite")
    return Linear(scale.real, index, offset.real)


# A factor is (c, angle, pauli): exp(i * c * angle * P) with P a tuple of (position in the gate, letter).


def _projector(control, target_letter):
    """|1><1| on the first qubit, times (1 - P)/2 on the second: its Pauli terms."""
    first, second = ((0, control),), ((1, target_letter),)
    return [(0.25, ()), (-0.25, first), (-0.25, second), (0.25, first + second)]


def _pair(letter):
    return ((0, letter), (1, letter))


_HALF = {letter: [(0.5, ()), (-0.5, ((0, letter),))] for letter in "XYZ"}
_HALF_PAIR = {letter: [(0.5, ()), (-0.5, _pair(letter))] for letter in "XYZ"}
_EXCHANGE = [(0.25, _pair(_X)), (0.25, _pair(_Y))]

# gate type -> Hermitian terms (c, P) with G^t = exp(i pi t * sum c P), up to the global shift
_GENERATORS = {
    cirq.XPowGate: _HALF[_X],
    cirq.YPowGate: _HALF[_Y],
    cirq.ZPowGate: _HALF[_Z],
    cirq.XXPowGate: _HALF_PAIR[_X],
    cirq.YYPowGate: _HALF_PAIR[_Y],
    cirq.ZZPowGate: _HALF_PAIR[_Z],
    cirq.HPowGate: _HALF[_Z],  # between Ry(-pi/4) and Ry(pi/4), see _factors
    cirq.CZPowGate: _projector(_Z, _Z),
    cirq.CXPowGate: _projector(_Z, _X),
    cirq.SwapPowGate: [(0.25, ())] + [(-0.25, _pair(letter)) for letter in "XYZ"],
    cirq.ISwapPowGate: _EXCHANGE,
    cirq.PhasedXPowGate: _HALF[_X],  # between Z^-p and Z^p
    cirq.PhasedISwapPowGate: _EXCHANGE,  # between Z^p Z^-p and Z^-p Z^p
}


def _gate_type(gate):
    return next((gate_type for gate_type in SUPPORTED_GATES if isinstance(gate, gate_type)), None)


def _rotation(letter, angle, position=0):
    """exp(-i angle/2 P) as a factor."""
    return (-0.5, angle, ((position, letter),))


def _factors(gate, linear):
    """The factors of a gate, first acting first; `linear` parses an argument."""
    kind = _gate_type(gate)
    if kind is cirq.IdentityGate:
        return []
    if kind is cirq.FSimGate:
        theta, phi = linear(gate.theta), linear(gate.phi)
        return [(-2 * c, theta, pauli) for c, pauli in _EXCHANGE] + [
            (-c, phi, pauli) for c, pauli in _projector(_Z, _Z)
        ]
    angle = linear(gate.exponent) * math.pi
    factors = [(c, angle, pauli) for c, pauli in _GENERATORS[kind]]
    if shift := gate.global_shift:
        factors.append((float(shift), angle, ()))
    before, after = [], []
    if kind is cirq.HPowGate:
        before, after = ([_rotation(_Y, Linear(0, None, sign * math.pi / 4))] for sign in (-1, 1))
    elif kind is cirq.PhasedXPowGate:
        phase = linear(gate.phase_exponent) * math.pi
        before, after = [_rotation(_Z, phase * -1)], [_rotation(_Z, phase)]
    elif kind is cirq.PhasedISwapPowGate:
        phase = linear(gate.phase_exponent) * math.pi
        before = [_rotation(_Z, phase, 0), _rotation(_Z, phase * -1, 1)]
        after = [_rotation(_Z, phase * -1, 0), _rotation(_Z, phase, 1)]
    return before + factors + after


def _controlled(factors, control_values):
    """Factors of a gate behind controls, whose positions come first: exp(i c P) -> exp(i c Pi P), Pi as Z strings."""
    n = len(control_values)
    for c, angle, pauli in factors:
        shifted = tuple((position + n, letter) for position, letter in pauli)
        for chosen in itertools.product((False, True), repeat=n):
            sign = math.prod(-1.0 if value else 1.0 for value, use in zip(control_values, chosen, strict=True) if use)
            controls = tuple((i, _Z) for i, use in enumerate(chosen) if use)
            yield (c * sign / 2**n, angle, controls + shifted)


def lower_operation(operation, qubit_index, symbol_index):
    """One Cirq operation as a list of instructions, first acting first."""
    return [i for part in simple_operations(operation) for i in _lower_simple(part, qubit_index, symbol_index)]


def _lower_simple(operation, qubit_index, symbol_index):
    if not operation.qubits:  # a phase, which the first qubit may carry
        return [ConstantUnitary((0,), cirq.unitary(operation)[0, 0] * np.eye(2, dtype=np.complex128))]
    qubits = tuple(qubit_index[q] for q in operation.qubits)
    gate, _, control_values = split_controls(operation)
    if isinstance(gate, cirq.MatrixGate):
        return [ConstantUnitary(qubits, cirq.unitary(operation).astype(np.complex128))]
    factors = _factors_behind(gate, control_values, symbol_index)
    if all(angle.index is None for _, angle, _ in factors):
        return [ConstantUnitary(qubits, cirq.unitary(operation).astype(np.complex128))] if factors else []
    return [_instruction(factor, qubits) for factor in _collect_phases(factors)]


def pauli_rotations(operation, qubit_index, symbol_index):
    """One Cirq operation as Pauli rotations alone, without its phase; those without a symbol have the index None."""
    rotations = []
    for part in without_matrices(simple_operations(operation)):
        gate, _, control_values = split_controls(part)
        qubits = tuple(qubit_index[q] for q in part.qubits)
        factors = _factors_behind(gate, control_values, symbol_index)
        rotations += [_rotation_on(factor, qubits) for factor in factors if factor[2]]
    return rotations


def check_operation(operation):
    """ValueError where `lower_operation` would refuse it; the message is the clause "but ..."."""
    qubits = {qubit: i for i, qubit in enumerate(operation.qubits)}
    lower_operation(operation, qubits, {name: i for i, name in enumerate(sorted(cirq.parameter_names(operation)))})


def _factors_behind(gate, control_values, symbol_index):
    factors = _factors(gate, lambda value: parse_linear(value, symbol_index))
    return list(_controlled(factors, control_values)) if control_values else factors


def _collect_phases(factors):
    """Add up the phases of each angle (they commute with everything): those of cirq.rx, ry and rz cancel."""
    phases, others = {}, []
    for c, angle, pauli in factors:
        if pauli:
            others.append((c, angle, pauli))
        else:
            phases[angle] = phases.get(angle, 0.0) + c
    return others + [(c, angle, ()) for angle, c in phases.items() if c]


def _instruction(factor, qubits):
    c, angle, pauli = factor
    if angle.index is None:
        matrix = cirq.unitary(cirq.DensePauliString("".join(letter for _, letter in pauli)))
        half = c * angle.offset
        matrix = math.cos(half) * np.eye(len(matrix)) + 1j * math.sin(half) * matrix
        return ConstantUnitary(tuple(qubits[position] for position, _ in pauli), matrix)
    return _rotation_on(factor, qubits)


def _rotation_on(factor, qubits):
    c, angle, pauli = factor
    return PauliRotation(
        tuple(sorted((qubits[position], letter) for position, letter in pauli)),
        angle.index,
        -2 * c * angle.scale,
        -2 * c * angle.offset,
    )


def map_arguments(gate, function):
    """The gate with `function` of each argument that may hold a symbol; `cirq.Rx` and the like become powers of X."""
    kind = _gate_type(gate)
    if kind is cirq.IdentityGate:
        return gate
    if kind is cirq.FSimGate:
        return cirq.FSimGate(function(gate.theta), function(gate.phi))
    phased = kind in (cirq.PhasedXPowGate, cirq.PhasedISwapPowGate)
    phase = {"phase_exponent": function(gate.phase_exponent)} if phased else {}
    return kind(**phase, exponent=function(gate.exponent), global_shift=gate.global_shift)


def map_simple_arguments(operation, function):
    """The gates that TensorFlow Quantum has for an operation, with `function` of their arguments.

    Each is an object of its own: TFQ keeps the controls of an operation at its gate, and mixes up those that share one.
    """
    mapped = []
    for part in without_matrices(simple_operations(operation)):
        gate, controls, values = split_controls(part)
        inner = map_arguments(gate, function).on(*part.qubits[len(controls) :])
        mapped.append(cirq.ControlledOperation(controls, inner, values) if controls else inner)
    return mapped


def split_controls(operation):
    """The gate of a simple operation without its controls, the controls, and their values."""
    if not isinstance(operation, cirq.ControlledOperation):
        return operation.gate, (), ()
    (values,) = operation.control_values.expand()
    return operation.sub_operation.gate, operation.controls, tuple(values)
