"""Ansätze: what they draw, in which order their angles stand, and that they are values."""

import dataclasses
import math

import cirq
import numpy as np
import pytest
import sympy
from random_circuits import random_circuit

from tfq_qrnn.circuits import Ansatz, CircuitAnsatz, HardwareEfficient, as_ansatz, concatenate
from tfq_qrnn.drift import Drift
from tfq_qrnn.program import GateProgram

QUBITS = cirq.LineQubit.range(4)
A, B = sympy.symbols("a b")
ANSATZE = [
    HardwareEfficient(1),
    HardwareEfficient(3, depth=3, rotations=("rx", "rz"), entangler="sqrt_iswap", topology="full"),
    HardwareEfficient(3, drift=Drift(coupling=0.5, seed=2)),
    CircuitAnsatz(random_circuit(3, 15, seed=1)),
    CircuitAnsatz(random_circuit(3, 15, seed=1), drift=Drift(axis="z")),
    CircuitAnsatz(cirq.Circuit(cirq.ry(B)(QUBITS[0]), cirq.rz(2 * A + 1)(QUBITS[0])), symbols=[A, B]),
    CircuitAnsatz(cirq.Circuit(cirq.ry(A)(cirq.GridQubit(2, 3)), cirq.H(cirq.GridQubit(1, 4)))),
]


@pytest.mark.parametrize("ansatz", ANSATZE, ids=lambda ansatz: type(ansatz).__name__)
def test_an_ansatz_is_a_consistent_value(ansatz):
    """What every ansatz promises: JSON round trip, equality, hash, frozen, all symbols bound."""
    again = Ansatz.from_json(ansatz.to_json())
    assert again == ansatz
    assert hash(again) == hash(ansatz)
    assert type(ansatz).from_config(ansatz.get_config()) == ansatz
    assert again.circuit == ansatz.circuit
    assert again.symbols == ansatz.symbols
    assert ansatz.n_angles == len(ansatz.symbols)
    assert {str(s) for s in ansatz.symbols} == cirq.parameter_names(ansatz.circuit)
    assert ansatz.qubits == tuple(sorted(ansatz.circuit.all_qubits()))
    assert not cirq.is_parameterized(ansatz.resolve(np.linspace(-1, 1, ansatz.n_angles)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        ansatz.n_qubits = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        ansatz.names = ()


def test_ansatze_with_other_arguments_are_not_equal():
    base = HardwareEfficient(3)
    others = [
        HardwareEfficient(4),
        HardwareEfficient(3, depth=1),
        HardwareEfficient(3, rotations=("rz", "ry")),
        HardwareEfficient(3, entangler="cnot"),
        HardwareEfficient(3, topology="chain"),
    ]
    assert len({base, HardwareEfficient(3, depth=2), *others}) == 6
    circuit = cirq.Circuit(cirq.rx(A)(QUBITS[0]), cirq.rz(B)(QUBITS[0]))
    assert CircuitAnsatz(circuit, [A, B]) == CircuitAnsatz(circuit)
    assert CircuitAnsatz(circuit, [B, A]) != CircuitAnsatz(circuit)


def test_a_list_of_rotations_is_the_tuple():
    assert HardwareEfficient(2, rotations=["ry", "rz"]) == HardwareEfficient(2)


def test_circuits_are_drawn_whatever_their_states_would_take():
    ansatz = HardwareEfficient(60, depth=1)
    assert len(ansatz.circuit.all_qubits()) == 60
    assert CircuitAnsatz(ansatz.circuit).n_angles == GateProgram(ansatz).n_angles == 120


def test_the_circuit_of_an_ansatz_is_a_copy():
    ansatz = CircuitAnsatz(cirq.Circuit(cirq.rx(A)(QUBITS[0])))
    drawn = ansatz.circuit
    drawn.append(cirq.X(QUBITS[0]))
    assert len(ansatz.circuit) == 1


@pytest.mark.parametrize(
    ("n_qubits", "topology", "entangler", "edges"),
    [
        (1, "ring", "cz", []),
        (1, "full", "cnot", []),
        (2, "ring", "cz", [(0, 1)]),  # a ring of two would couple the pair twice, and CZ CZ = 1
        (2, "ring", "cnot", [(0, 1)]),
        (2, "full", "iswap", [(0, 1)]),
        (3, "ring", "cnot", [(0, 1), (1, 2), (2, 0)]),
        (4, "chain", "cnot", [(0, 1), (1, 2), (2, 3)]),
        (4, "ring", "cz", [(0, 1), (2, 3), (1, 2), (3, 0)]),  # even pairs side by side, then odd ones
        (4, "full", "sqrt_iswap", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]),
    ],
)
def test_the_topology_couples_these_pairs(n_qubits, topology, entangler, edges):
    ansatz = HardwareEfficient(n_qubits, depth=1, topology=topology, entangler=entangler)
    assert list(ansatz.edges) == edges
    pairs = [op.qubits for op in ansatz.circuit.all_operations() if len(op.qubits) == 2]
    assert {frozenset(pair) for pair in pairs} == {frozenset((QUBITS[i], QUBITS[j])) for i, j in edges}
    assert len(pairs) == len(edges)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("topology", ["ring", "chain", "full"])
@pytest.mark.parametrize(
    ("entangler", "gate"),
    [("cz", cirq.CZ), ("cnot", cirq.CNOT), ("iswap", cirq.ISWAP), ("sqrt_iswap", cirq.ISWAP**0.5)],
)
def test_the_circuit_is_rotations_then_entanglers_in_every_layer(depth, topology, entangler, gate):
    """Built by hand, operation by operation; the unitaries agree whatever the moments."""
    ansatz = HardwareEfficient(3, depth=depth, topology=topology, entangler=entangler)
    pairs = {"ring": [(0, 1), (1, 2), (2, 0)], "chain": [(0, 1), (1, 2)], "full": [(0, 1), (0, 2), (1, 2)]}[topology]
    angles = np.random.default_rng(depth).uniform(-3, 3, ansatz.n_angles)
    operations, rest = [], list(angles)
    for _ in range(depth):
        operations += [cirq.ry(rest.pop(0))(q) for q in QUBITS[:3]]
        operations += [cirq.rz(rest.pop(0))(q) for q in QUBITS[:3]]
        operations += [gate(QUBITS[i], QUBITS[j]) for i, j in pairs]
    assert not rest
    # about 20 products of 8x8 matrices in complex128
    np.testing.assert_allclose(ansatz.resolve(angles).unitary(), cirq.Circuit(operations).unitary(), atol=1e-13)
    kinds = [op.gate for op in ansatz.circuit.all_operations() if len(op.qubits) == 2]
    assert kinds == [gate] * (depth * len(pairs))


def test_a_ring_of_cz_of_even_size_takes_two_moments():
    assert len(HardwareEfficient(6, depth=1).circuit) == 2 + 2  # RY, RZ, even pairs, odd pairs


def test_symbols_sort_by_name_as_by_index():
    """More than ten angles: theta_10 must not come before theta_2."""
    ansatz = HardwareEfficient(4, depth=2)
    names = [str(s) for s in ansatz.symbols]
    assert names == sorted(names) == [f"theta_{i:02}" for i in range(16)]
    drawn = [op.gate._rads for op in ansatz.circuit.all_operations() if len(op.qubits) == 1]
    assert drawn == list(ansatz.symbols)  # layer by layer, rotation by rotation, qubit by qubit


def test_rotations_act_in_the_order_given():
    ansatz = HardwareEfficient(1, depth=1, rotations=("rz", "rx"))
    expected = cirq.Circuit(cirq.rz(0.3)(QUBITS[0]), cirq.rx(0.7)(QUBITS[0]))
    np.testing.assert_allclose(ansatz.resolve([0.3, 0.7]).unitary(), expected.unitary(), atol=1e-15)


def test_angles_are_bound_in_the_order_of_the_symbols_given():
    circuit = cirq.Circuit(cirq.ry(A)(QUBITS[0]), cirq.rz(B)(QUBITS[0]))
    resolved = CircuitAnsatz(circuit, symbols=["b", "a"]).resolve([0.1, 0.2])
    assert resolved == cirq.Circuit(cirq.ry(0.2)(QUBITS[0]), cirq.rz(0.1)(QUBITS[0]))


def test_resolve_takes_one_number_per_symbol():
    with pytest.raises(ValueError, match=r"^Argument `angles` must have shape \(4,\), but its shape is \(3,\)"):
        HardwareEfficient(1, depth=2).resolve([1.0, 2.0, 3.0])


def test_as_ansatz_wraps_a_circuit_and_leaves_an_ansatz():
    ansatz = HardwareEfficient(2)
    assert as_ansatz(ansatz) is ansatz
    assert as_ansatz(ansatz.circuit).symbols == ansatz.symbols


def unitary_after(first, second, angles):
    return (
        second.resolve(angles[first.n_angles :]).unitary(
            qubit_order=first.qubits, qubits_that_should_be_present=[*first.qubits]
        )
        @ first.resolve(angles[: first.n_angles]).unitary()
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (HardwareEfficient(2), HardwareEfficient(2, depth=1, entangler="cnot")),
        (HardwareEfficient(3), CircuitAnsatz(cirq.Circuit(cirq.ry(A)(QUBITS[1])))),
        # renaming a to trained_a must not meet the trained_a that is there, also inside an expression
        (
            CircuitAnsatz(cirq.Circuit(cirq.rx(A)(QUBITS[0]))),
            CircuitAnsatz(cirq.Circuit(cirq.ry(2 * A)(QUBITS[0]), cirq.rz(3 * sympy.Symbol("trained_a"))(QUBITS[0]))),
        ),
    ],
)
def test_concatenation_is_the_first_then_the_second_with_angles_of_both(first, second):
    both = concatenate(first, second)
    assert both.symbols[: first.n_angles] == first.symbols
    assert both.n_angles == first.n_angles + second.n_angles
    angles = np.random.default_rng(0).uniform(-3, 3, both.n_angles)
    np.testing.assert_allclose(both.resolve(angles).unitary(), unitary_after(first, second, angles), atol=1e-14)


def test_concatenation_refuses_other_qubits():
    with pytest.raises(ValueError, match=r"^Argument `trainable_circuit` must act on .*, but it acts on q\(1\)"):
        concatenate(HardwareEfficient(1), HardwareEfficient(2))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_qubits": 0}, ValueError, "`n_qubits` must be an integer of 1 or more, but it is 0"),
        ({"n_qubits": -1}, ValueError, "`n_qubits` must be an integer of 1 or more, but it is -1"),
        ({"n_qubits": 2.5}, TypeError, "`n_qubits` must be an integer .*, but it is 2.5 of type float"),
        ({"n_qubits": True}, TypeError, "`n_qubits` must be an integer .*, but it is True of type bool"),
        ({"depth": 0}, ValueError, "`depth` must be an integer of 1 or more, but it is 0"),
        ({"depth": "2"}, TypeError, "`depth` must be an integer of 1 or more, but it is '2'"),
        ({"rotations": "ry"}, TypeError, "`rotations` must be a tuple of names, but it is 'ry'"),
        ({"rotations": ()}, ValueError, "`rotations` must name at least one rotation, but it is empty"),
        ({"rotations": ("ry", "u3")}, ValueError, "`rotations` must be one of 'rx', 'ry', 'rz', but it is 'u3'"),
        ({"entangler": "swap"}, ValueError, "`entangler` must be one of .*, but it is 'swap'"),
        ({"topology": "star"}, ValueError, "`topology` must be one of .*, but it is 'star'"),
    ],
)
def test_hardware_efficient_refuses(arguments, error, message):
    with pytest.raises(error, match=rf"^Argument {message}"):
        HardwareEfficient(**{"n_qubits": 2, **arguments})


@pytest.mark.parametrize(
    ("circuit", "symbols", "error", "message"),
    [
        (3, None, TypeError, "`circuit` must be a cirq.Circuit, but it is 3"),
        (cirq.Circuit(), None, ValueError, "`circuit` must act on one qubit or more, but it is empty"),
        (cirq.Circuit(cirq.rx(A)(QUBITS[0])), "a", TypeError, "`symbols` must be a list of symbols, but it is 'a'"),
        (
            cirq.Circuit(cirq.rx(A)(QUBITS[0])),
            ["a", "a"],
            ValueError,
            "`symbols` must name every symbol once, but it repeats a",
        ),
        (
            cirq.Circuit(cirq.rx(A)(QUBITS[0])),
            ["a", "b"],
            ValueError,
            "`symbols` must name symbols of the circuit, but the circuit does not use b",
        ),
        (
            cirq.Circuit(cirq.rx(A)(QUBITS[0]), cirq.rz(B)(QUBITS[0])),
            ["a"],
            ValueError,
            "`symbols` must name every symbol of the circuit, but it leaves b unbound",
        ),
    ],
)
def test_circuit_ansatz_refuses(circuit, symbols, error, message):
    with pytest.raises(error, match=rf"^Argument {message}"):
        CircuitAnsatz(circuit, symbols)


@pytest.mark.parametrize("text", ["", "[]", '{"ansatz": "Other", "config": {}}', '{"ansatz": "HardwareEfficient"}'])
def test_from_json_refuses_other_text(text):
    with pytest.raises(ValueError, match=r"^Argument `text` must be JSON that `to_json` wrote, but it is "):
        Ansatz.from_json(text)


@pytest.mark.parametrize("n_qubits", [1, 2])
def test_the_smallest_rings_prepare_what_pen_and_paper_say(n_qubits):
    """RY(t)|0> has <Z> = cos t; CZ is diagonal and leaves it."""
    circuit = HardwareEfficient(n_qubits, depth=1).resolve([1.1] * n_qubits + [0.4] * n_qubits)
    state = cirq.Simulator(dtype=np.complex128).simulate(circuit).final_state_vector
    for i in range(n_qubits):
        z = cirq.Z(QUBITS[i]).expectation_from_state_vector(state, {q: k for k, q in enumerate(QUBITS[:n_qubits])})
        assert z.real == pytest.approx(math.cos(1.1), abs=1e-14)
