"""What is read out: Pauli sums over the qubits of a circuit, or numbers of the state itself."""

import itertools
import math

import cirq
import numpy as np

from tfq_qrnn import _cirq_json
from tfq_qrnn._errors import argument_error, argument_type_error, shown
from tfq_qrnn.drift import neighbours, side_by_side

_PAULIS = {"X": cirq.X, "Y": cirq.Y, "Z": cirq.Z}
OF_THE_STATE = {"probabilities": 1, "state": 2}  # how many numbers of each amplitude


def parse_observables(observables, qubits):
    """The observables of a `GateProgram`: `cirq.PauliSum`s in the order in which they are read out, or a name."""
    if isinstance(observables, str) and observables in OF_THE_STATE:
        return observables
    if observables == "pairs":
        singles = parse_observables("XYZ", qubits)
        pairs = side_by_side(neighbours(len(qubits), is_ring=True))
        return singles + tuple(cirq.PauliSum() + cirq.Z(qubits[i]) * cirq.Z(qubits[j]) for i, j in pairs)
    if isinstance(observables, str):
        if not observables or set(observables) - set(_PAULIS) or len(set(observables)) < len(observables):
            product = ""
            if len(observables) > 1 and not set(observables) - set(_PAULIS):  # "ZZ"
                factors = " * ".join(f"cirq.{letter}({q})" for letter, q in zip(observables, "abcdefgh", strict=False))
                product = f"; a product on several qubits is a list of operators, [{factors}]"
            given = f"it is {shown(observables)}{product if len(observables) < 9 else ''}"
            raise argument_error(
                "observables", "be different letters from 'XYZ', 'pairs', 'probabilities' or 'state'", given
            )
        return tuple(cirq.PauliSum() + _PAULIS[letter](q) for q in qubits for letter in observables)
    if isinstance(observables, (cirq.PauliString, cirq.PauliSum)) or not isinstance(observables, (list, tuple)):
        raise argument_type_error(
            "observables",
            "be letters from 'XYZ', 'pairs', 'probabilities', 'state', or a list of Pauli strings or sums",
            observables,
        )
    if not observables:
        raise argument_error("observables", "name at least one observable", "it is empty")
    for observable in observables:
        if not isinstance(observable, (cirq.PauliString, cirq.PauliSum)):
            raise argument_type_error("observables", "hold only cirq.PauliString or cirq.PauliSum", observable)
    sums = tuple(cirq.PauliSum() + observable for observable in observables)
    for term in itertools.chain(*sums):
        if term.coefficient.imag or not math.isfinite(term.coefficient.real):
            raise argument_error("observables", "have real, finite coefficients", f"one has {term.coefficient}")
        if other := [q for q in term.qubits if q not in qubits]:
            known = ", ".join(map(str, qubits))
            raise argument_error(
                "observables", "act on qubits of the circuit", f"{term} acts on {other[0]}; the circuit has {known}"
            )
    return sums


def pauli_terms(observables, qubits):
    """Every `cirq.PauliSum` as a tuple of `(coefficient, ((qubit index, letter), ...))`."""
    return tuple(
        tuple(
            (term.coefficient.real, tuple(sorted((qubits.index(q), str(p)) for q, p in term.items())))
            for term in observable
        )
        for observable in observables
    )


def pauli_action(pauli, n_qubits):
    """A Pauli string `((qubit, letter), ...)` as `(index, phase)`: `(P psi)[i] = phase[i] * psi[index[i]]`."""
    basis = np.arange(2**n_qubits)
    flips, phase = 0, np.ones(2**n_qubits, np.complex128)
    for qubit, letter in pauli:
        shift = n_qubits - 1 - qubit
        sign = 1 - 2 * ((basis >> shift) & 1)  # +1 where this row's bit is 0
        if letter != "Z":
            flips |= 1 << shift
        if letter == "Y":
            phase = phase * (-1j * sign)
        elif letter == "Z":
            phase = phase * sign
    return (basis ^ flips).astype(np.int32), phase


def pauli_matrix(pauli, n_qubits):
    """The matrix of a Pauli string on a register of `n_qubits`."""
    index, phase = pauli_action(pauli, n_qubits)
    return phase[:, None] * np.eye(2**n_qubits)[index]


def serialize_observables(observables):
    """Letters as they are, operators as Cirq JSON: what `get_config` holds."""
    if isinstance(observables, str):
        return observables
    return cirq.to_json([cirq.PauliSum() + observable for observable in observables])


def deserialize_observables(config):
    """What `serialize_observables` was given: letters stay, Cirq JSON becomes a list of `cirq.PauliSum`."""
    if isinstance(config, str) and config.lstrip().startswith("["):
        try:
            return _cirq_json.read(config, _cirq_json.OBSERVABLES)
        except ValueError as error:
            raise argument_error("observables", "be letters or Cirq JSON of Pauli sums", str(error)) from error
    return config
