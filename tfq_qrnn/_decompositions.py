"""Gates that are made of others, as the gates that every backend and TensorFlow Quantum know.

A circuit is rewritten once, when an ansatz is made of it: what is printed, saved, simulated and sent to hardware is
then the same. Gates without symbols of which only the matrix is known become a `cirq.MatrixGate`.
"""

import cirq
import numpy as np
import sympy

from tfq_qrnn._errors import argument_error

SIMPLE_GATES = (
    *(cirq.XPowGate, cirq.YPowGate, cirq.ZPowGate, cirq.XXPowGate, cirq.YYPowGate, cirq.ZZPowGate, cirq.HPowGate),
    *(cirq.CZPowGate, cirq.CXPowGate, cirq.SwapPowGate, cirq.ISwapPowGate, cirq.PhasedXPowGate),
    *(cirq.PhasedISwapPowGate, cirq.FSimGate, cirq.IdentityGate),
)
# Cirq writes these into its files, so that circuits keep them; `simple_operations` rewrites them.
_KEPT_GATES = (*SIMPLE_GATES, cirq.CCZPowGate, cirq.CCXPowGate, cirq.CSwapGate, cirq.PhasedXZGate, cirq.MatrixGate)
_RULE = "hold only gates that TensorFlow Quantum supports, with arguments linear in one symbol, or gates made of these"
_UNSUPPORTED = "this gate is not one that TensorFlow Quantum supports"
_MOST_QUBITS = 10  # of a matrix: one of 2**10 rows takes 16 MiB
_MOST_CHECKED_QUBITS = 6


def circuit_error(number, operation, reason):
    """The ValueError about an operation of moment `number`."""
    on = ", ".join(map(str, operation.qubits))
    return argument_error(
        "circuit",
        _RULE,
        f"moment {number} has {operation.without_classical_controls()!s} "
        f"on {f'qubits {on}' if on else 'no qubit'}: {str(reason).rstrip('.')}",
    )


def simple_circuit(circuit, check):
    """The circuit with its composite gates decomposed, the others as they are, moment by moment.

    `check` of a simple operation raises a ValueError where it is not supported. It sees all of them where something is
    decomposed, so that messages count the moments of the circuit that was given.
    """
    if all(_is_kept(operation) for operation in circuit.all_operations()):
        return circuit
    qubits, moments = sorted(circuit.all_qubits()), []
    for number, moment in enumerate(circuit):
        operations = []
        for operation in moment:
            try:
                found = [operation] if _is_kept(operation) else simple_operations(operation, qubits[:1])
                for part in found:
                    check(part)
            except ValueError as error:
                raise circuit_error(number, operation, error) from error
            operations += found
        moments += cirq.Circuit(operations)
    idle = [cirq.I(q) for q in qubits if not any(moment.operates_on_single_qubit(q) for moment in moments)]
    return cirq.Circuit(cirq.Circuit(idle).moments + moments)


def _is_kept(operation):
    """Whether an operation stays; what is refused stays, too, until a program is made of the circuit."""
    if cirq.is_parameterized(operation) and not cirq.parameter_names(operation):
        return False
    if cirq.is_measurement(operation) or operation.classical_controls:
        return True
    _, _, inner = _split(operation.untagged)
    if isinstance(inner.gate, cirq.GlobalPhaseGate):
        return not cirq.is_parameterized(inner)
    return isinstance(inner.gate, _KEPT_GATES) and not _is_matrix_out_of_order(inner)


def _is_matrix_out_of_order(operation):
    """Cirq decomposes a matrix of three qubits wrongly where they are not sorted."""
    many = isinstance(operation.gate, cirq.MatrixGate) and len(operation.qubits) > 2
    return many and list(operation.qubits) != sorted(operation.qubits)


def simple_operations(operation, spare=()):
    """An operation as operations of `SIMPLE_GATES` with controls on 0 or 1, matrices, and phases without qubits.

    Args:
        operation: A `cirq.Operation`.
        spare: A qubit that carries a phase with a symbol where the operation has none.

    A ValueError's message is the clause "but ...".
    """
    operation = operation.untagged
    if cirq.is_measurement(operation):
        raise ValueError("measurements would collapse the memory; readouts are expectation values")
    if operation.classical_controls:
        raise ValueError(f"{_UNSUPPORTED} (it is not unitary)")
    if cirq.is_parameterized(operation) and not cirq.parameter_names(operation):
        operation = cirq.resolve_parameters(operation, {"": 0.0})  # `sympy.pi / 4` becomes a number
    return _simple(operation, (), (), tuple(operation.qubits[:1]) or spare)


def _simple(operation, outer, outer_values, spare):
    """`simple_operations` of an operation behind controls `outer`."""
    controls, accepted, inner = _split(operation)
    gate, controls, found = inner.gate, (*outer, *controls), []
    for own_values in accepted:
        values = (*outer_values, *own_values)
        if isinstance(gate, cirq.IdentityGate):
            found += cirq.I.on_each(*controls, *inner.qubits)
        elif isinstance(gate, cirq.GlobalPhaseGate):
            found += _phase(gate.coefficient, controls, values, spare)
        elif _is_matrix_out_of_order(inner):
            on = sorted(inner.qubits)
            matrix = cirq.MatrixGate(cirq.Circuit(inner).unitary(qubit_order=on, dtype=np.complex128))
            found.append(_behind(controls, values, matrix.on(*on)))
        elif isinstance(gate, (*SIMPLE_GATES, cirq.MatrixGate)):
            found.append(_behind(controls, values, inner))
        else:
            parts = _rewritten(inner) or _composite(inner, bool(controls))
            found += [simple for part in parts for simple in _simple(part.untagged, controls, values, spare)]
    return found


def _split(operation):
    """Controls, the tuples of values that they accept, and the operation behind them, however they are nested."""
    controls, accepted, inner = (), [()], operation
    while True:
        if isinstance(inner, cirq.ControlledOperation):
            own, values, inner = inner.controls, inner.control_values, inner.sub_operation.untagged
        elif isinstance(inner.gate, cirq.ControlledGate):
            gate, n = inner.gate, inner.gate.num_controls()
            own, values, inner = inner.qubits[:n], gate.control_values, gate.sub_gate.on(*inner.qubits[n:])
        else:
            return controls, accepted, inner
        controls += tuple(own)
        accepted = [(*outer, *v) for outer in accepted for v in dict.fromkeys(map(tuple, values.expand()))]


def _behind(controls, values, operation):
    return cirq.ControlledOperation(controls, operation, values) if controls else operation


def _rewritten(operation):
    """What is known to be made of simple gates, exactly; None for others."""
    gate, qubits = operation.gate, operation.qubits
    if isinstance(gate, cirq.PhasedXZGate):
        turn = cirq.PhasedXPowGate(phase_exponent=gate.axis_phase_exponent, exponent=gate.x_exponent)
        return [turn.on(*qubits), cirq.ZPowGate(exponent=gate.z_exponent).on(*qubits)]
    if isinstance(gate, cirq.CSwapGate):
        return [cirq.ControlledOperation(qubits[:1], cirq.SWAP(*qubits[1:]))]
    for kind, inner in ((cirq.CCZPowGate, cirq.CZPowGate), (cirq.CCXPowGate, cirq.CXPowGate)):
        if isinstance(gate, kind):
            found = [cirq.ControlledOperation(qubits[:1], inner(exponent=gate.exponent).on(*qubits[1:]))]
            return found + (_turns(gate.exponent * gate.global_shift, qubits) if gate.global_shift else [])
    return None


def _turns(half_turns, qubits):
    """exp(i pi half_turns), a phase, as two gates on a qubit."""
    return [cirq.ZPowGate(exponent=e, global_shift=s)(qubits[0]) for e, s in ((half_turns, 1), (-half_turns, 0))]


def _phase(coefficient, controls, values, spare):
    """A phase; behind controls it is a phase gate on the last of them."""
    if isinstance(coefficient, sympy.Basic):
        base, exponent = coefficient.as_base_exp()
        of_base = sympy.log(base) / (sympy.pi * sympy.I)
        if not base.free_symbols and abs(sympy.im(of_base)) < 1e-15:  # a sympy.Float, and no complex one
            of_base = sympy.re(of_base)
        half_turns = exponent * of_base
    elif not controls:
        return [cirq.global_phase_operation(coefficient)]
    else:
        half_turns = float(np.angle(coefficient) / np.pi)
    if not controls:
        return _turns(half_turns, spare)
    *others, last = controls
    gate = cirq.ZPowGate(exponent=half_turns) if values[-1] else cirq.ZPowGate(exponent=-half_turns, global_shift=-1)
    return [_behind(others, values[:-1], gate(last))]


def _composite(operation, is_controlled):
    """An operation whose gate is none of ours: its matrix, or what it is made of."""
    try:
        if len(operation.qubits) < 3 and operation.gate is not None and _has_unitary(operation):
            return [_as_matrix(operation)]
        parts = _decomposed(operation)
        simple_parts = [simple for part in parts for simple in simple_operations(part, operation.qubits[:1])]
        return simple_parts + _missing_phase(operation, simple_parts, is_controlled)
    except RecursionError:
        raise ValueError("its `_decompose_` does not end") from None
    except ValueError:
        if len(operation.qubits) <= _MOST_QUBITS and _has_unitary(operation):
            return [_as_matrix(operation)]
        raise


def _decomposed(operation):
    parts, is_channel = None, False
    try:
        parts = cirq.decompose_once(operation, default=None)
        is_channel = not cirq.is_parameterized(operation) and cirq.has_kraus(operation)
    except TypeError:  # of somebody's own `_unitary_`, which finds symbols where it wants numbers
        pass
    if parts is None:
        reason = " (it is not unitary)" if is_channel else "; give it a `_decompose_` into gates that are, or numbers"
        raise ValueError(_UNSUPPORTED + reason)
    if further := {q for part in parts for q in part.qubits} - set(operation.qubits):
        raise ValueError(f"its `_decompose_` acts on {min(further)}, too; it must act on the gate's own qubits")
    return parts


def _missing_phase(operation, parts, is_controlled):
    """The phase that a decomposition has lost: Cirq asks for none, but behind controls it counts."""
    if len(operation.qubits) > _MOST_CHECKED_QUBITS or not operation.qubits:
        return []
    names = sorted(set().union(*map(cirq.parameter_names, (operation, *parts))))
    numbers = dict(zip(names, np.linspace(0.3, 0.7, len(names)).tolist(), strict=True))
    truth = _unitary(cirq.resolve_parameters(operation, numbers))
    if truth is None:
        return []
    circuit = cirq.resolve_parameters(cirq.Circuit(parts), numbers)
    matrix = circuit.unitary(qubit_order=operation.qubits, qubits_that_should_be_present=operation.qubits)
    if not cirq.allclose_up_to_global_phase(matrix, truth, atol=1e-6):
        raise ValueError("its `_decompose_` is not its unitary")
    overlap = np.vdot(matrix, truth)
    phase = overlap / abs(overlap)
    if abs(phase - 1) < 1e-9:
        return []
    if names and is_controlled:
        raise ValueError("its `_decompose_` loses a phase, which its controls make visible")
    return [] if names else [cirq.global_phase_operation(phase)]


def _unitary(operation):
    try:
        return cirq.unitary(operation, default=None)
    except Exception:  # whatever a gate of somebody's own raises, of symbols where it wants numbers
        return None


def _has_unitary(operation):
    try:
        return bool(cirq.has_unitary(operation))
    except Exception:
        return False


def _as_matrix(operation):
    matrix, size = _unitary(operation), 2 ** len(operation.qubits)
    if matrix is None or matrix.shape != (size, size) or not cirq.is_unitary(matrix):
        raise ValueError("its `_unitary_` is not a unitary matrix of its size")
    return cirq.MatrixGate(matrix, name=str(operation.gate or operation)[:40]).on(*operation.qubits)


def without_matrices(operations):
    """Simple operations with gates in place of matrices, up to a phase that no readout sees; phases are left out."""
    found = []
    for operation in operations:
        if isinstance(_split(operation)[2].gate, cirq.MatrixGate):
            matrix = cirq.unitary(operation)
            if len(operation.qubits) == 1:
                parts = [gate.on(*operation.qubits) for gate in cirq.single_qubit_matrix_to_phased_x_z(matrix)]
            elif len(operation.qubits) == 2:
                parts = cirq.two_qubit_matrix_to_cz_operations(*operation.qubits, matrix, allow_partial_czs=True)
            else:
                parts = cirq.quantum_shannon_decomposition(list(operation.qubits), matrix)
            found += without_matrices([p for part in parts for p in simple_operations(part)])
        elif operation.qubits:
            found.append(operation)
    return found
