"""Random circuits over every gate that a program takes, with symbols, numbers and controls."""

import cirq
import numpy as np
import sympy

from tfq_qrnn import CircuitAnsatz

ONE_QUBIT = (cirq.XPowGate, cirq.YPowGate, cirq.ZPowGate, cirq.HPowGate, cirq.PhasedXPowGate)
TWO_QUBIT = (
    cirq.XXPowGate,
    cirq.YYPowGate,
    cirq.ZZPowGate,
    cirq.CZPowGate,
    cirq.CXPowGate,
    cirq.SwapPowGate,
    cirq.ISwapPowGate,
    cirq.PhasedISwapPowGate,
    cirq.FSimGate,
)
FIXED = (cirq.X, cirq.Y, cirq.Z, cirq.H, cirq.S, cirq.T, cirq.I, cirq.CZ, cirq.CNOT, cirq.SWAP, cirq.ISWAP, cirq.XX)


class Own(cirq.Gate):
    """A gate of somebody's own, which tells Cirq nothing but what it is made of."""

    def __init__(self, angle):
        self.angle = angle

    def _num_qubits_(self):
        return 1

    def _decompose_(self, qubits):
        return [cirq.rx(self.angle)(qubits[0]), cirq.S(qubits[0])]


def random_composite(qubits, argument, rng):
    """An operation that is made of others, or given by its matrix."""
    n = len(qubits)

    def matrix(size):
        return cirq.MatrixGate(cirq.testing.random_unitary(size, random_state=int(rng.integers(99))))

    def phased_xz():
        return cirq.PhasedXZGate(x_exponent=argument(), z_exponent=argument(), axis_phase_exponent=argument())

    one = [
        lambda: cirq.rx(sympy.pi / int(rng.integers(1, 9)))(qubits[0]),
        lambda: (cirq.Y ** sympy.Rational(int(rng.integers(1, 9)), 7))(qubits[0]),
        lambda: cirq.PhasedXZGate(x_exponent=argument(), z_exponent=argument(), axis_phase_exponent=argument())(
            *qubits[:1]
        ),
        lambda: matrix(2)(qubits[0]),
        lambda: Own(argument())(qubits[0]),
        lambda: cirq.global_phase_operation(np.exp(1j * rng.uniform(-3, 3))),
    ]
    two = [
        lambda: matrix(4)(*qubits[:2]),
        lambda: phased_xz()(qubits[0]).controlled_by(qubits[1]),
        lambda: cirq.CircuitOperation(
            cirq.FrozenCircuit(cirq.ry(argument())(qubits[0]), cirq.CZ(*qubits[:2])),
            repetitions=int(rng.integers(1, 3)),
            use_repetition_ids=False,
        ),
    ]
    three = [
        lambda: cirq.CCX(*qubits[:3]) ** argument(),
        lambda: cirq.CCZ(*qubits[:3]) ** argument(),
        lambda: cirq.CSWAP(*qubits[:3]),
        lambda: cirq.X(qubits[0]).controlled_by(*qubits[1:3]),
        lambda: matrix(8)(*qubits[:3]),
    ]
    kinds = one + (two if n > 1 else []) + (three if n > 2 else [])
    return kinds[rng.integers(len(kinds))]()


def random_circuit(n_qubits, n_operations, seed, controls=True, offsets=True, composite=True):
    """A circuit on `n_qubits` LineQubits (each is used), about half of its gates with symbols.

    About one operation in six is followed by one of `random_composite`.
    """
    of_composites = np.random.default_rng((seed, 1))
    rng = np.random.default_rng(seed)
    qubits = cirq.LineQubit.range(n_qubits)
    symbols = sympy.symbols(f"s0:{max(1, n_operations)}")

    def argument(rng=rng):
        kind = rng.integers(4)
        if kind == 0:
            return float(rng.uniform(-2, 2))
        symbol = symbols[rng.integers(len(symbols))]
        if kind == 1:
            return symbol
        scaled = float(np.round(rng.uniform(-2, 2), 3)) * symbol  # TFQ's serializer keeps six digits
        return scaled + float(np.round(rng.uniform(-1, 1), 3)) if kind == 3 and offsets else scaled

    def parametrized(kind):
        if kind is cirq.FSimGate:
            return kind(theta=argument(), phi=argument())
        if kind in (cirq.PhasedXPowGate, cirq.PhasedISwapPowGate):
            return kind(phase_exponent=argument(), exponent=argument())
        if kind in (cirq.XPowGate, cirq.YPowGate, cirq.ZPowGate) and rng.random() < 0.3:
            return {cirq.XPowGate: cirq.rx, cirq.YPowGate: cirq.ry, cirq.ZPowGate: cirq.rz}[kind](argument())
        # not for PhasedISwapPowGate above, whose global_shift cirq.resolve_parameters loses (Cirq 1.5)
        return kind(exponent=argument(), global_shift=float(rng.choice([0.0, 0.0, 0.25])))

    kinds = ONE_QUBIT + (TWO_QUBIT if n_qubits > 1 else ())
    fixed = [gate for gate in FIXED if cirq.num_qubits(gate) <= n_qubits]
    operations = [cirq.I(q) for q in qubits]
    for _ in range(n_operations):
        gate = fixed[rng.integers(len(fixed))] if rng.random() < 0.3 else parametrized(kinds[rng.integers(len(kinds))])
        chosen = [qubits[i] for i in rng.permutation(n_qubits)]
        n = cirq.num_qubits(gate)
        operation = gate.on(*chosen[:n])
        if controls and n < n_qubits and rng.random() < 0.2:
            operation = cirq.ControlledOperation([chosen[n]], operation, control_values=[int(rng.integers(2))])
        operations.append(operation)
        if composite and of_composites.random() < 1 / 6:
            on = [qubits[i] for i in of_composites.permutation(n_qubits)]
            operations.append(random_composite(on, lambda: argument(of_composites), of_composites))
    return cirq.Circuit(operations)


def with_constant_part(ansatz, kind, seed=0):
    """A `CircuitAnsatz`: the ansatz on LineQubits, then constant gates at random angles with a spread of 1 radian.

    "ising" is RZ on every qubit and ZZ on the ring; "mix" is twice RY and RZ on every qubit and CZ on the ring.
    """
    n_qubits, rng = ansatz.n_qubits, np.random.default_rng(seed)
    qubits = cirq.LineQubit.range(n_qubits)
    ring = [(qubits[i], qubits[(i + 1) % n_qubits]) for i in range(n_qubits if n_qubits > 2 else n_qubits - 1)]

    def layer(gate):
        return [gate(angle)(qubit) for angle, qubit in zip(rng.normal(size=n_qubits), qubits, strict=True)]

    if kind == "ising":
        operations = [layer(cirq.rz), [cirq.ZZ(*pair) ** (rng.normal() / np.pi) for pair in ring]]
    else:
        operations = [[layer(cirq.ry), layer(cirq.rz), [cirq.CZ(*pair) for pair in ring]] for _ in range(2)]
    return CircuitAnsatz(ansatz.circuit + cirq.Circuit(operations), symbols=ansatz.symbols)


def random_state(n_qubits, batch, seed, dtype=np.float64):
    """Normalised random memories, `(batch, 2 * 2**n)`."""
    rng = np.random.default_rng(seed)
    memory = rng.normal(size=(batch, 2 * 2**n_qubits))
    return (memory / np.linalg.norm(memory, axis=1, keepdims=True)).astype(dtype)


def to_complex(memory):
    memory = np.asarray(memory)
    half = memory.shape[-1] // 2
    return memory[..., :half] + 1j * memory[..., half:]
