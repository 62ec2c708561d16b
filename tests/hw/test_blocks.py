"""Blocks of two qubits: unitaries compared with Cirq's up to a phase, numbers of CZ with what is known to be least."""

import warnings

import cirq
import numpy as np
import pytest
import sympy
from hw_oracles import gate_counts
from random_circuits import random_circuit

import tfq_qrnn
from tfq_qrnn import hw

A, B = sympy.symbols("a b")
Q = cirq.LineQubit.range(3)


def compiled(circuit):
    return hw.compile_program(tfq_qrnn.GateProgram(circuit))


def assert_same_unitary(native, atol):
    """One time step with random angles, against the program's own circuit."""
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, native.program.n_angles)
    qubits = {"qubit_order": native.qubits, "qubits_that_should_be_present": native.qubits}
    want = native.program.resolve(angles).unitary(**qubits)
    got = cirq.resolve_parameters(native.prefix(1), native.half_turns(angles[None])).unitary(**qubits)
    cirq.testing.assert_allclose_up_to_global_phase(got, want, atol=atol)


def cz_of_cirq(circuit):
    """CZ that Cirq's compiler needs for a symbolic circuit; what it leaves parametrized takes two, or more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        made = cirq.optimize_for_target_gateset(circuit, gateset=cirq.CZTargetGateset())
    return sum(
        {1: 0, 2: 1 if operation.gate == cirq.CZ else 2}.get(len(operation.qubits), 6)
        for operation in made.all_operations()
    )


@pytest.mark.parametrize(
    ("gate", "count"),
    [
        (cirq.ISWAP**A, 2),
        (cirq.PhasedISwapPowGate(phase_exponent=A, exponent=B), 2),
        (cirq.FSimGate(A, B), 3),
        (cirq.FSimGate(A, 0.0), 2),
        (cirq.SWAP**A, 3),
        (cirq.ZZ**A, 2),
        (cirq.XX ** (2 * A + 0.1), 2),
        (cirq.CZ**A, 2),
        (cirq.CNOT**A, 2),
        (cirq.ControlledGate(cirq.ry(A)), 2),
        (cirq.ZZ**0.3, 2),
        (cirq.ZZ**0.5, 1),
        (cirq.ZZ**1.0, 0),
        (cirq.CZ**-1.0, 1),
        (cirq.SWAP, 3),
        (cirq.ISWAP, 2),
        (cirq.FSimGate(0.4, 0.3), 3),
    ],
)
def test_gates_take_the_least_cz(gate, count):
    native = compiled(cirq.Circuit(gate(*Q[:2])))
    assert gate_counts(native.prefix(1))[2] == count
    assert_same_unitary(native, atol=1e-7)  # where constants go through Cirq's decomposition, 1e-8 of angles


@pytest.mark.parametrize("order", ["abc", "bca", "cab", "acb"])
def test_three_commuting_strings_in_any_order(order):
    strings = {"a": cirq.XX, "b": cirq.YY, "c": cirq.ZZ}
    angles = dict(zip("abc", sympy.symbols("x y z"), strict=True))
    native = compiled(cirq.Circuit((strings[name] ** angles[name])(*Q[:2]) for name in order))
    assert gate_counts(native.prefix(1))[2] == 3
    assert_same_unitary(native, atol=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_random_symbolic_circuits_take_no_more_cz_than_with_cirq(seed):
    circuit = random_circuit(2 + seed % 3, 6 + seed, seed, composite=False)  # Cirq fails on some matrices
    native = compiled(circuit)
    assert gate_counts(native.prefix(1))[2] <= cz_of_cirq(circuit)
    assert_same_unitary(native, atol=1e-6)  # of some decompositions, each to 1e-8


@pytest.mark.parametrize("seed", range(4))
def test_random_constant_circuits_of_two_qubits_take_at_most_three(seed):
    circuit = cirq.testing.random_circuit(Q[:2], 12, 0.9, {cirq.CZ: 2, cirq.T: 1, cirq.H: 1}, random_state=seed)
    native = compiled(circuit + cirq.I.on_each(*Q[:2]))
    assert gate_counts(native.prefix(1))[2] <= min(3, sum(len(o.qubits) == 2 for o in circuit.all_operations()))
    assert_same_unitary(native, atol=1e-7)


def drifting(n, order):
    """The default ansatz, then constant RZ and ZZ on a ring."""
    ansatz, rng = tfq_qrnn.HardwareEfficient(n, 2), np.random.default_rng(0)
    q = ansatz.qubits
    return ansatz.circuit + cirq.Circuit(
        [cirq.rz(rng.normal())(qubit) for qubit in q],
        [cirq.ZZ(q[i], q[(i + 1) % n]) ** rng.normal() for i in order],
    )


@pytest.mark.parametrize("n", [4, 6])
def test_a_constant_ring_merges_with_the_ring_before_it(n):
    """CZ and ZZ(J) on a pair are one ZZ(J + pi/2) but for local Z: two CZ, though other pairs stand between them."""
    native = compiled(drifting(n, range(n)))
    depth, ones, twos = gate_counts(native.prefix(1))
    assert twos == n + 2 * n  # Cirq's compiler: 4 n
    # RY RZ, the first ring, RY RZ, turns to X, then twice CZ, X^J, CZ and turns back, and a Z that takes no time
    assert depth <= 13
    assert sum(isinstance(o.gate, cirq.ZPowGate) for o in native.prefix(1).all_operations()) <= n
    # none of the RZ is a gate of its own: 2 layers of RY RZ, and turn, X^J and turn back for each pair
    assert ones <= 2 * n + 3 * n + n
    assert_same_unitary(native, atol=1e-12)


def test_the_order_of_commuting_gates_costs_no_depth():
    shuffled = np.random.default_rng(1).permutation(8)
    depths = {gate_counts(compiled(drifting(8, order)).prefix(1))[0] for order in (range(8), (0, 2, 4, 6, 1, 3, 5, 7))}
    assert depths == {13}
    assert gate_counts(compiled(drifting(8, shuffled)).prefix(1))[0] <= 19  # a third colour of the ring at the worst


def test_constant_layers_of_ry_rz_and_cz_are_layers_of_phased_xz():
    ansatz, rng = tfq_qrnn.HardwareEfficient(4, 2), np.random.default_rng(0)
    q, layers = ansatz.qubits, []
    for _ in range(2):
        layers += [gate(rng.normal())(qubit) for gate in (cirq.ry, cirq.rz) for qubit in q]
        layers += [cirq.CZ(q[i], q[(i + 1) % 4]) for i in (0, 2, 1, 3)]
    native = compiled(ansatz.circuit + cirq.Circuit(layers))
    assert gate_counts(native.prefix(1)) == (12, 16, 16)  # as four layers of the ansatz
    assert_same_unitary(native, atol=1e-12)


def test_gates_of_three_qubits():
    for operation in (
        cirq.ControlledOperation([Q[2]], (cirq.ISWAP**A)(*Q[:2])),
        cirq.ControlledOperation([Q[2]], cirq.FSimGate(A, B)(*Q[:2])),
        cirq.ControlledOperation([Q[2]], cirq.ISWAP(*Q[:2])),
        cirq.ControlledOperation([Q[2]], cirq.CX(*Q[:2]), control_values=[0]),
    ):
        native = compiled(cirq.Circuit(operation))
        assert gate_counts(native.prefix(1))[2] <= cz_of_cirq(cirq.Circuit(operation))
        assert_same_unitary(native, atol=1e-7)
