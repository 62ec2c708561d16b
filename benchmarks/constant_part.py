"""Constant gates after a `HardwareEfficient(n, 2)`: what the benchmarks measure beside the circuit alone."""

import cirq
import numpy as np

import tfq_qrnn


def with_constant_part(n_qubits, kind):
    """A circuit whose constant gates have angles with a spread of 1 radian.

    "ising" is RZ on every qubit and ZZ on the ring; "mix" is twice RY and RZ on every qubit and CZ on the ring; with
    "none" there are none. "drift" is that of the layers' default circuit, whose frequencies are its own.
    """
    if kind == "drift":
        return tfq_qrnn.HardwareEfficient(n_qubits, 2, drift=tfq_qrnn.Drift())
    ansatz, rng = tfq_qrnn.HardwareEfficient(n_qubits, 2), np.random.default_rng(0)
    qubits = ansatz.qubits
    ring = [(qubits[i], qubits[(i + 1) % n_qubits]) for i in range(n_qubits)]

    def layer(gate):
        return [gate(angle)(qubit) for angle, qubit in zip(rng.normal(size=n_qubits), qubits, strict=True)]

    if kind == "none":
        operations = []
    elif kind == "ising":
        operations = [layer(cirq.rz), [cirq.ZZ(*pair) ** (rng.normal() / np.pi) for pair in ring]]
    else:
        operations = [[layer(cirq.ry), layer(cirq.rz), [cirq.CZ(*pair) for pair in ring]] for _ in range(2)]
    return tfq_qrnn.CircuitAnsatz(ansatz.circuit + cirq.Circuit(operations), symbols=ansatz.symbols)
