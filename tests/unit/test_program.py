"""GateProgram against cirq's own unitaries, and what it refuses."""

import re

import cirq
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from random_circuits import random_circuit, with_constant_part

from tfq_qrnn.circuits import CircuitAnsatz, HardwareEfficient
from tfq_qrnn.gates import ConstantUnitary, PauliRotation
from tfq_qrnn.observables import pauli_action
from tfq_qrnn.program import GateProgram, embed_unitary

QUBITS = cirq.LineQubit.range(4)
A, B, C = sympy.symbols("a b c")


class Rotated(cirq.Gate):
    """As a user may write it: it tells Cirq nothing of its symbols."""

    def __init__(self, angle):
        self.angle = angle

    def _num_qubits_(self):
        return 2

    def _decompose_(self, qubits):
        return [cirq.rx(self.angle)(qubits[0]), cirq.CNOT(*qubits), cirq.rz(B)(qubits[1])]


class MatrixOnly(cirq.Gate):
    def __init__(self, angle):
        self.angle = angle

    def _num_qubits_(self):
        return 1

    def _unitary_(self):
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, sin], [-sin, cos]]) * np.exp(0.3j)


class LosesItsPhase(cirq.Gate):
    def _num_qubits_(self):
        return 3

    def _unitary_(self):
        return 1j * cirq.unitary(cirq.CCX)

    def _decompose_(self, qubits):
        return [cirq.CCX(*qubits)]


class Endless(cirq.Gate):
    def _num_qubits_(self):
        return 1

    def _decompose_(self, qubits):
        return [Endless()(*qubits)]


def nested(*operations, **arguments):
    return cirq.CircuitOperation(cirq.FrozenCircuit(operations), use_repetition_ids=False, **arguments)


def unitary_of(program, angles, instructions=None):
    """The unitary of a program's instructions, multiplied out in numpy."""
    n = program.n_qubits
    total = np.eye(2**n, dtype=np.complex128)
    for instruction in program.instructions if instructions is None else instructions:
        if isinstance(instruction, ConstantUnitary):
            total = embed_unitary(instruction, tuple(range(n))) @ total
        else:
            half = (instruction.scale * angles[instruction.index] + instruction.offset) / 2
            index, phase = pauli_action(instruction.pauli, n)
            total = np.cos(half) * total - 1j * np.sin(half) * phase[:, None] * total[index]
    return total


@given(seed=st.integers(0, 10**6), n_qubits=st.integers(1, 4))
def test_instructions_multiply_to_the_unitary_of_cirq(seed, n_qubits):
    program = GateProgram(random_circuit(n_qubits, 12, seed))
    angles = np.random.default_rng(seed).uniform(-4, 4, program.n_angles)
    expected = program.resolve(angles).unitary(qubit_order=program.qubits, dtype=np.complex128)
    # 12 gates in float64, with sympy's 15 digits for the coefficients
    np.testing.assert_allclose(unitary_of(program, angles), expected, atol=1e-12)
    np.testing.assert_allclose(unitary_of(program, angles, program.sparse_instructions), expected, atol=1e-12)


def test_every_gate_of_tfq_is_lowered(tfq):
    for gate in tfq.util.get_supported_gates():
        qubits = QUBITS[: cirq.num_qubits(gate)]
        controlled = cirq.ControlledOperation([QUBITS[3]], gate.on(*qubits), control_values=[0])
        for operation in (gate.on(*qubits), controlled):
            circuit = cirq.Circuit(cirq.I.on_each(*operation.qubits), operation)
            program = GateProgram(circuit)
            np.testing.assert_allclose(
                unitary_of(program, []), circuit.unitary(qubit_order=program.qubits, dtype=np.complex128), atol=1e-12
            )


BLOCK = (cirq.rx(A)(QUBITS[0]), cirq.CZ(*QUBITS[:2]), cirq.X(QUBITS[1]) ** sympy.Rational(1, 3))
PHASED_XZ = cirq.PhasedXZGate(x_exponent=A, z_exponent=B, axis_phase_exponent=C)
EITHER = cirq.SumOfProducts([[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("operation", "same"),
    [
        (cirq.rx(sympy.pi / 4)(QUBITS[0]), cirq.rx(np.pi / 4)(QUBITS[0])),
        (cirq.X(QUBITS[0]) ** sympy.Rational(1, 3), cirq.X(QUBITS[0]) ** (1 / 3)),
        (cirq.X(QUBITS[0]) ** (A - A), cirq.I(QUBITS[0])),
        (cirq.FSimGate(A, sympy.pi / 6)(*QUBITS[:2]), None),
        (cirq.X(QUBITS[3]).controlled_by(*QUBITS[:2]), None),
        (cirq.Z.controlled(2)(*QUBITS[:3]), None),
        (cirq.CNOT.controlled()(*QUBITS[1:]), None),
        (cirq.CCX(*QUBITS[:3]) ** A, None),
        (cirq.CCZPowGate(exponent=2 * A + 0.1, global_shift=0.3)(*QUBITS[:3]), None),
        (cirq.CSWAP(*QUBITS[1:]).controlled_by(QUBITS[0], control_values=[0]), None),
        (PHASED_XZ(QUBITS[2]), None),
        (PHASED_XZ(QUBITS[2]).controlled_by(QUBITS[0], control_values=[0]), None),
        (cirq.MatrixGate(cirq.testing.random_unitary(4, random_state=1))(QUBITS[2], QUBITS[0]), None),
        (cirq.MatrixGate(cirq.testing.random_unitary(8, random_state=1))(*QUBITS[:3]).controlled_by(QUBITS[3]), None),
        (cirq.MatrixGate(cirq.testing.random_unitary(8, random_state=1))(QUBITS[2], QUBITS[0], QUBITS[1]), None),
        (nested(*BLOCK), BLOCK),
        (nested(*BLOCK, repetitions=-1), [cirq.inverse(operation) for operation in reversed(BLOCK)]),
        (
            nested(*BLOCK, repetitions=2, param_resolver={"a": 2 * B}, qubit_map={QUBITS[0]: QUBITS[3]}),
            2 * (cirq.rx(2 * B)(QUBITS[3]), cirq.CZ(QUBITS[3], QUBITS[1]), cirq.X(QUBITS[1]) ** (1 / 3)),
        ),
        (
            nested(*BLOCK).controlled_by(*QUBITS[2:], control_values=EITHER),
            [o.controlled_by(*QUBITS[2:], control_values=EITHER) for o in (*BLOCK[:2], cirq.X(QUBITS[1]) ** (1 / 3))],
        ),
        (cirq.global_phase_operation(1j), None),
        (cirq.global_phase_operation(1j).controlled_by(*QUBITS[:2], control_values=[1, 0]), None),
        (cirq.GlobalPhaseGate(sympy.exp(0.5j * A))(), None),
        (cirq.GlobalPhaseGate(sympy.exp(0.5j * A))().controlled_by(*QUBITS[:2], control_values=[1, 0]), None),
        (cirq.rx(A)(QUBITS[0]).controlled_by(*QUBITS[1:3], control_values=EITHER), None),
        (Rotated(A)(*QUBITS[:2]), [cirq.rx(A)(QUBITS[0]), cirq.CNOT(*QUBITS[:2]), cirq.rz(B)(QUBITS[1])]),
        (MatrixOnly(0.4)(QUBITS[1]).controlled_by(QUBITS[0]), None),
        (LosesItsPhase()(*QUBITS[:3]), None),
        (LosesItsPhase()(*QUBITS[:3]).controlled_by(QUBITS[3]), None),
        (cirq.IdentityGate(3)(*QUBITS[:3]), None),
        (cirq.QubitPermutationGate([1, 2, 0, 3])(*QUBITS), None),
        (-1 * cirq.X(QUBITS[0]) * cirq.Z(QUBITS[1]), None),
        (cirq.PauliStringPhasor(cirq.X(QUBITS[0]) * cirq.Z(QUBITS[1]), exponent_neg=A), None),
        (cirq.qft(*QUBITS), None),
        (cirq.DiagonalGate([A, 0.2, 0.3, 0.1])(*QUBITS[:2]), None),
    ],
    ids=lambda value: re.sub(" object at 0x[0-9a-f]+", "", str(value)),  # two processes name the tests alike
)
def test_composite_gates_are_the_unitary_of_cirq(operation, same):
    """Phases included. `same` is the circuit with names that Cirq itself resolves; its own form where there is none."""
    program = GateProgram(cirq.Circuit(cirq.H.on_each(*QUBITS), operation))
    angles = np.random.default_rng(0).uniform(-2, 2, program.n_angles)
    values = dict(zip(map(str, program.symbols), angles, strict=True))
    circuit = cirq.Circuit(cirq.H.on_each(*QUBITS), operation if same is None else same)
    expected = cirq.resolve_parameters(circuit, {"": 0.0, **values}).unitary(qubit_order=QUBITS, dtype=np.complex128)
    np.testing.assert_allclose(unitary_of(program, angles), expected, atol=1e-12)  # a few gates in float64
    np.testing.assert_allclose(program.resolve(angles).unitary(dtype=np.complex128), expected, atol=1e-12)
    ansatz = program.ansatz
    assert type(ansatz).from_json(ansatz.to_json()) == ansatz


def test_composite_gates_keep_moments_and_order_of_symbols():
    circuit = cirq.Circuit(
        cirq.Moment(Rotated(A)(*QUBITS[:2]), cirq.ry(C)(QUBITS[2])), cirq.Moment(cirq.CCZ(*QUBITS[:3]))
    )
    program = GateProgram(circuit)
    assert [str(symbol) for symbol in program.symbols] == ["a", "c", "b"]
    assert program.circuit[-1] == circuit[-1]
    assert len(program.circuit) == 4  # three of the gate's own
    plain = cirq.Circuit(
        cirq.Moment(cirq.rx(A)(QUBITS[0])), cirq.Moment(cirq.PhasedXZGate.from_matrix(np.eye(2))(QUBITS[0]))
    )
    assert GateProgram(plain).circuit == plain


def test_rotations_lower_to_one_instruction_each_without_phases():
    program = GateProgram(HardwareEfficient(2, depth=1))
    assert [i.pauli for i in program.instructions if isinstance(i, PauliRotation)] == [
        ((0, "Y"),),
        ((1, "Y"),),
        ((0, "Z"),),
        ((1, "Z"),),
    ]
    assert [i.scale for i in program.instructions[:4]] == pytest.approx([1.0] * 4, abs=1e-15)


def test_adjacent_constants_are_merged():
    circuit = cirq.Circuit(
        [cirq.H(QUBITS[0]), cirq.T(QUBITS[0]), cirq.CZ(*QUBITS[:2]), cirq.S(QUBITS[1]), cirq.CNOT(*QUBITS[:2])]
    )
    (constant,) = GateProgram(circuit).instructions
    np.testing.assert_allclose(constant.matrix, circuit.unitary(), atol=1e-14)
    assert GateProgram(cirq.Circuit(cirq.CNOT(*QUBITS[:2]), cirq.CNOT(*QUBITS[:2]))).instructions == ()
    blocked = GateProgram(cirq.Circuit(cirq.H(QUBITS[0]), cirq.rz(A)(QUBITS[0]), cirq.H(QUBITS[0])))
    assert len(blocked.instructions) == 3


def test_sparse_constants_stay_sparse():
    """A layer of constant gates between rings of CZ is one unitary a qubit; only what is a permutation with phases, or
    dense already, is merged over more."""
    program = GateProgram(with_constant_part(HardwareEfficient(4, 1), "mix"))
    constants = [i for i in program.sparse_instructions if isinstance(i, ConstantUnitary)]
    assert len(constants) == 3 * 4 + 2 * 4  # three rings of CZ, two layers
    for constant in constants:
        assert len(constant.qubits) == 1 or np.allclose(np.abs(constant.matrix), np.eye(4))
    assert any(np.count_nonzero(i.matrix) > 8 for i in program.instructions if isinstance(i, ConstantUnitary))
    merged = cirq.Circuit(cirq.ISWAP(*QUBITS[:2]) ** 0.5, cirq.H(QUBITS[1]), cirq.CZ(*QUBITS[:2]), cirq.S(QUBITS[0]))
    assert len(GateProgram(merged).sparse_instructions) == 1


def test_symbols_are_bound_by_index_and_not_by_name():
    names = [f"theta_{i}" for i in range(12)]  # theta_10 sorts before theta_2
    circuit = cirq.Circuit(cirq.ry(sympy.Symbol(name))(QUBITS[0]) for name in names)
    program = GateProgram(circuit)
    assert [str(s) for s in program.symbols] == names
    assert [i.index for i in program.instructions] == list(range(12))
    reordered = GateProgram(CircuitAnsatz(circuit, symbols=names[::-1]))
    assert [i.index for i in reordered.instructions] == list(range(12))[::-1]


def test_symbols_of_one_gate_stand_in_the_order_of_its_arguments():
    assert GateProgram(cirq.Circuit(cirq.FSimGate(B, A)(*QUBITS[:2]))).symbols == (B, A)


@pytest.mark.tfq
def test_goes_to_tfq_and_back():
    circuit = random_circuit(3, 15, seed=3, controls=False, offsets=False)
    program = GateProgram(circuit, "Z")
    back = GateProgram(program.to_tfq(), "Z", symbols=program.symbols)
    angles = np.linspace(-1, 1, program.n_angles)
    # TFQ's serializer rounds every number to six digits
    np.testing.assert_allclose(unitary_of(back, angles), unitary_of(program, angles), atol=1e-4)
    exact = GateProgram(HardwareEfficient(3, entangler="cnot"))
    assert GateProgram(exact.to_tfq()).circuit == GateProgram(exact.to_tfq()).circuit
    assert [str(s) for s in GateProgram(exact.to_tfq()).symbols] == [str(s) for s in exact.symbols]


def test_programs_are_values():
    assert GateProgram(HardwareEfficient(3)) == GateProgram(HardwareEfficient(3))
    assert hash(GateProgram(HardwareEfficient(3))) == hash(GateProgram(HardwareEfficient(3)))
    assert GateProgram(HardwareEfficient(3)) != GateProgram(HardwareEfficient(3), "Z")
    assert GateProgram(HardwareEfficient(3)) != GateProgram(HardwareEfficient(3, depth=1))


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        (cirq.measure(QUBITS[2], key="m"), ["MeasurementGate", "q(2)", "moment 1", "collapse"]),
        (cirq.reset(QUBITS[2]), ["reset", "q(2)", "moment 1", "not unitary"]),
        (cirq.depolarize(0.1)(QUBITS[2]), ["depolarize", "q(2)", "moment 1", "not unitary"]),
        (cirq.rx(A**2)(QUBITS[2]), ["Rx", "q(2)", "moment 1", "not linear in a"]),
        (cirq.rx(A + B)(QUBITS[2]), ["Rx", "q(2)", "moment 1", "2 symbols"]),
        (cirq.X(QUBITS[2]) ** sympy.sin(A), ["q(2)", "moment 1", "not linear in a"]),
        (cirq.rx(sympy.I * A)(QUBITS[2]), ["Rx", "q(2)", "moment 1", "not real"]),
        (cirq.X(QUBITS[2]) ** sympy.I, ["q(2)", "moment 1", "Complex exponent"]),
        (nested(cirq.measure(QUBITS[2], key="m")), ["q(2)", "moment 1", "collapse"]),
        (nested(cirq.depolarize(0.1)(QUBITS[2])), ["q(2)", "moment 1", "not unitary"]),
        (Rotated(A * B)(*QUBITS[1:3]), ["q(1), q(2)", "moment 1", "2 symbols"]),
        (MatrixOnly(A)(QUBITS[2]), ["q(2)", "moment 1", "give it a `_decompose_`"]),
        (MatrixOnly(0.5j)(QUBITS[2]), ["q(2)", "moment 1", "`_unitary_` is not a unitary matrix"]),
        (Endless()(QUBITS[2]), ["q(2)", "moment 1", "does not end"]),
        (cirq.GlobalPhaseGate(sympy.exp(A))(), ["no qubit", "moment 1", "not real"]),
    ],
)
def test_refuses_and_names_gate_qubit_and_moment(operation, names):
    circuit = cirq.Circuit(cirq.Moment(cirq.X.on_each(*QUBITS[:3])), cirq.Moment(operation))
    with pytest.raises(ValueError, match=r"^Argument `circuit` must .*, but ") as error:
        GateProgram(circuit)
    for name in names:
        assert name in str(error.value)


def test_refuses_classical_control():
    circuit = cirq.Circuit(cirq.X(QUBITS[0]), cirq.X(QUBITS[1]).with_classical_controls("m"))
    with pytest.raises(ValueError, match="not one that TensorFlow Quantum supports"):
        GateProgram(circuit)


@pytest.mark.parametrize("circuit", [3, None, np.zeros(2), [1, 2]])
def test_refuses_what_is_no_circuit(circuit):
    with pytest.raises((TypeError, ValueError), match=r"^Argument `circuit` must "):
        GateProgram(circuit)


@pytest.mark.tfq
def test_composite_gates_go_to_tfq_and_back():
    """Controls too: TFQ keeps them at the gate, and mixes up operations that share one."""
    q = QUBITS
    shared = cirq.X**A
    program = GateProgram(
        cirq.Circuit(
            *(cirq.H.on_each(*q), cirq.rx(sympy.pi / 4)(q[0]), Rotated(A)(*q[:2]), cirq.CSWAP(*q[1:]), PHASED_XZ(q[3])),
            *(cirq.ControlledOperation([q[i]], shared(q[3]), [i]) for i in range(2)),
            *(
                shared(q[2]),
                cirq.rx(B)(q[0]).controlled_by(*q[2:], control_values=EITHER),
                cirq.IdentityGate(2)(*q[:2]),
            ),
            cirq.MatrixGate(cirq.testing.random_unitary(8, random_state=1))(*q[:3]),
        ),
        "Z",
    )
    back = GateProgram(program.to_tfq(), "Z", symbols=program.symbols)
    angles = np.linspace(-1, 1, program.n_angles)
    # TFQ's serializer rounds every number to six digits, and of some sixty gates each counts; phases get lost
    cirq.testing.assert_allclose_up_to_global_phase(unitary_of(back, angles), unitary_of(program, angles), atol=1e-4)
    assert back.qubits == program.qubits
    with pytest.raises(ValueError, match=r"^Argument `circuit` must be one that TensorFlow Quantum can serialize, but"):
        GateProgram(cirq.Circuit(cirq.rx(A + 1)(q[0]))).to_tfq()


@pytest.mark.tfq
def test_refuses_a_tensor_that_tfq_did_not_make():
    with pytest.raises(ValueError, match=r"^Argument `circuit` must be a tensor that tfq"):
        GateProgram(b"nonsense")


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        ("W", "letters from 'XYZ', 'pairs', .* or 'state', but it is 'W'"),
        ("", "letters from 'XYZ'"),
        ("XX", r"letters from 'XYZ', .*, \[cirq.X\(a\) \* cirq.X\(b\)\]"),
        ("ZZ", r"letters from 'XYZ', .*, \[cirq.Z\(a\) \* cirq.Z\(b\)\]"),
        ([], "at least one observable"),
        ([cirq.X(QUBITS[3])], r"qubits of the circuit, but .* acts on q\(3\)"),
        ([1j * cirq.X(QUBITS[0])], "real, finite coefficients"),
        ([3], "only cirq.PauliString or cirq.PauliSum"),
        (cirq.X(QUBITS[0]), "letters from 'XYZ', .*, or a list"),
    ],
)
def test_refuses_unknown_observables(observables, message):
    with pytest.raises((TypeError, ValueError), match=r"^Argument `observables` must .*" + message):
        GateProgram(HardwareEfficient(2), observables)


def test_letters_are_read_qubit_by_qubit():
    program = GateProgram(HardwareEfficient(2), "ZX")
    assert program.readout_terms == (
        ((1.0, ((0, "Z"),)),),
        ((1.0, ((0, "X"),)),),
        ((1.0, ((1, "Z"),)),),
        ((1.0, ((1, "X"),)),),
    )


def test_pairs_are_all_letters_and_zz_of_neighbours():
    """On a ring of four, those that act side by side together; two qubits have one pair, one has none."""
    a, b, c, d = cirq.LineQubit.range(4)
    wanted = [letter(q) for q in (a, b, c, d) for letter in (cirq.X, cirq.Y, cirq.Z)]
    wanted += [cirq.Z(a) * cirq.Z(b), cirq.Z(c) * cirq.Z(d), cirq.Z(b) * cirq.Z(c), cirq.Z(d) * cirq.Z(a)]
    program = GateProgram(HardwareEfficient(4), observables="pairs")
    assert program.readout_terms == GateProgram(HardwareEfficient(4), observables=wanted).readout_terms
    assert GateProgram(HardwareEfficient(2), observables="pairs").n_observables == 7
    assert GateProgram(HardwareEfficient(1), observables="pairs").n_observables == 3
