"""GateProgram: a circuit, its symbols and what is read out, in the one form that every backend runs."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import cirq
import numpy as np
import sympy
from numpy.typing import ArrayLike

from tfq_qrnn._decompositions import circuit_error
from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn._tfq import load_tfq
from tfq_qrnn.circuits import Ansatz, CircuitAnsatz
from tfq_qrnn.gates import ConstantUnitary, PauliRotation, lower_operation, map_simple_arguments
from tfq_qrnn.observables import OF_THE_STATE, parse_observables, pauli_terms


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class GateProgram:
    """One time step of a quantum memory: a unitary with angles, then expectation values.

    Args:
        circuit: A `cirq.Circuit`, an ansatz, or a TensorFlow Quantum circuit tensor with one circuit. Gates are those
            of `tfq.util.get_supported_gates()`, also controlled ones, and gates that are made of these; their arguments
            are numbers or linear in one symbol. Without symbols, gates may also be given by their matrix.
        observables: Letters from "XYZ", each read on every qubit, qubit by qubit (X0, Y0, Z0, X1, ...); "pairs", which
            are all three and ZZ of neighbours on a ring; a list of `cirq.PauliString` and `cirq.PauliSum` with real
            coefficients; "probabilities" of all basis states, `2**n_qubits`; or "state", the amplitudes, real parts,
            then imaginary parts. Qubit 0 is the most significant bit. The last two are for backends that carry the
            state; no device measures them at each step.
        symbols: The symbols in the order of the angles; by default in the order of their first appearance.

    Angles are bound by index, never by a sorted name.

    Raises:
        ValueError: A measurement, a channel, a gate that is not made of these, or an argument that is not linear in one
            symbol: the message names the gate, its qubits and its moment.
        TypeError: `circuit` is none of the above.

    >>> a = sympy.Symbol("a")
    >>> program = GateProgram(cirq.Circuit(cirq.ry(a)(cirq.LineQubit(0))), observables="Z")
    >>> program
    GateProgram(1 qubit, 1 angle, 1 observable, 1 instruction)
    >>> print(program)
    0: ───Ry(a)───
    reads Z(q(0))
    """

    ansatz: Ansatz
    observables: tuple[cirq.PauliSum, ...] | str

    def __init__(
        self,
        circuit: Ansatz | cirq.AbstractCircuit | Any,
        observables: str | Sequence[cirq.PauliString | cirq.PauliSum] = "XYZ",
        symbols: Sequence[sympy.Symbol | str] | None = None,
    ):
        if isinstance(circuit, Ansatz):
            if symbols is not None:
                raise argument_error("symbols", "be None where an ansatz is given", "the ansatz has its own")
            ansatz = circuit
        else:
            if not isinstance(circuit, cirq.AbstractCircuit):
                circuit = _from_tfq(circuit)
            ansatz = CircuitAnsatz(circuit, symbols)
        object.__setattr__(self, "ansatz", ansatz)
        object.__setattr__(self, "observables", parse_observables(observables, ansatz.qubits))
        self.instructions  # noqa: B018  an unsupported gate is refused here, not at the first run

    @property
    def circuit(self) -> cirq.Circuit:
        return self.ansatz.circuit

    @functools.cached_property
    def qubits(self) -> tuple[cirq.Qid, ...]:
        return self.ansatz.qubits

    @functools.cached_property
    def symbols(self) -> tuple[sympy.Symbol, ...]:
        return self.ansatz.symbols

    @property
    def n_qubits(self) -> int:
        return len(self.qubits)

    @property
    def n_angles(self) -> int:
        return len(self.symbols)

    @property
    def n_observables(self) -> int:
        if isinstance(self.observables, str):
            return OF_THE_STATE[self.observables] * 2**self.n_qubits
        return len(self.observables)

    def resolve(self, angles: ArrayLike) -> cirq.Circuit:
        """The circuit with `angles`, `(n_angles,)` floats, for its symbols."""
        return self.ansatz.resolve(angles)

    def to_tfq(self) -> Any:
        """The circuit as a TensorFlow Quantum circuit tensor of shape `(1,)`.

        TFQ keeps six digits of every number: made from the tensor again, a program's angles count by a factor that is
        off by up to 4e-7. (The TFQ backend does not go this way.) Gates that TFQ does not know are decomposed, up to a
        phase that no readout sees.

        Raises:
            ImportError: TensorFlow Quantum is not installed.
            ValueError: The circuit has qubits or arguments that TensorFlow Quantum cannot serialize: qubits that are
                neither GridQubit nor LineQubit, or an offset beside a symbol.
        """
        tfq, circuit = load_tfq("`to_tfq`"), cirq.Circuit()
        for moment in self.circuit:
            circuit += cirq.Circuit(map_simple_arguments(operation, _as_number) for operation in moment)
        idle = [cirq.I(q) for q in self.qubits if q not in circuit.all_qubits()]
        circuit = cirq.Circuit(idle) + circuit
        try:
            return tfq.convert_to_tensor([circuit])
        except (TypeError, ValueError) as error:
            raise argument_error(
                "circuit", "be one that TensorFlow Quantum can serialize", str(error).rstrip(".")
            ) from error

    @functools.cached_property
    def instructions(self) -> tuple[PauliRotation | ConstantUnitary, ...]:
        """The circuit lowered to Pauli rotations and constant unitaries, adjacent constants merged."""
        return _merge_constants(self._lowered, _contains)

    @functools.cached_property
    def sparse_instructions(self) -> tuple[PauliRotation | ConstantUnitary, ...]:
        """The same, but CZ and the like are not merged with gates that would fill their matrices."""
        return _merge_constants(self._lowered, _contains_and_stays_sparse)

    @functools.cached_property
    def _lowered(self):
        qubit_index = {qubit: i for i, qubit in enumerate(self.qubits)}
        symbol_index = {str(symbol): i for i, symbol in enumerate(self.symbols)}
        instructions = []
        for number, moment in enumerate(self.circuit):
            for operation in moment:
                try:
                    instructions += lower_operation(operation, qubit_index, symbol_index)
                except ValueError as error:
                    raise circuit_error(number, operation, error) from error
        return instructions

    @functools.cached_property
    def readout_terms(self) -> tuple:
        """Every observable as a tuple of `(coefficient, ((qubit index, letter), ...))`.

        Raises:
            ValueError: The program reads the state itself.
        """
        self.require_paulis("what measures its readouts")
        return pauli_terms(self.observables, self.qubits)

    def require_paulis(self, who: str) -> None:
        """Raise ValueError, in the name of `who`, where the program reads no Pauli operators but the state itself."""
        if isinstance(self.observables, str):
            rule = f"be Pauli operators for {who}"
            given = f"it is {self.observables!r}, which backends.Native() and backends.TensorFlow() read from the state"
            raise argument_error("observables", rule, given)

    @property
    def observable_names(self) -> list[str]:
        """What each readout is, in short."""
        if not isinstance(self.observables, str):
            return [str(observable).removeprefix("1.000*") for observable in self.observables]
        forms = ("|<{}|psi>|^2",) if self.observables == "probabilities" else ("Re <{}|psi>", "Im <{}|psi>")
        return [form.format(f"{i:0{self.n_qubits}b}") for form in forms for i in range(2**self.n_qubits)]

    def __hash__(self) -> int:
        return hash((self.ansatz, self.observables if isinstance(self.observables, str) else self.readout_terms))

    def __repr__(self) -> str:
        return (
            f"GateProgram({counted(self.n_qubits, 'qubit')}, {counted(self.n_angles, 'angle')}, "
            f"{counted(self.n_observables, 'observable')}, {counted(len(self.instructions), 'instruction')})"
        )

    def __str__(self) -> str:
        reads = self.observables if isinstance(self.observables, str) else ", ".join(self.observable_names)
        return f"{self.circuit}\nreads {reads}"


def _as_number(value):
    return float(value) if isinstance(value, sympy.Basic) and not value.free_symbols else value


def _from_tfq(tensor):
    array = np.asarray(tensor)
    if not all(isinstance(value, (str, bytes)) for value in array.flat):
        raise argument_type_error("circuit", "be a cirq.Circuit, an ansatz or a TFQ circuit tensor", tensor)
    if array.size != 1:
        raise argument_error("circuit", "hold one circuit", f"the circuit tensor has shape {array.shape}")
    tfq = load_tfq("A circuit tensor")
    try:
        return tfq.from_tensor(array.reshape(1))[0]
    except Exception as error:  # TFQ raises TypeError, RuntimeError or protobuf's DecodeError
        raise argument_error("circuit", "be a tensor that tfq.convert_to_tensor made", str(error)) from error


def _merge_constants(instructions, may_merge):
    """Multiply each constant unitary into the one before it, `may_merge(wider, narrower)` willing; drop identities."""
    merged = []
    for instruction in instructions:
        _append(merged, instruction, may_merge)
    # Products of exact gates are off by a few roundings of float64 and no more.
    return tuple(
        i
        for i in merged
        if isinstance(i, PauliRotation) or not np.allclose(i.matrix, np.eye(len(i.matrix)), rtol=0, atol=1e-14)
    )


def _contains(wider, narrower):
    return set(wider.qubits) >= set(narrower.qubits)


def _contains_and_stays_sparse(wider, narrower):
    same = len(wider.qubits) == len(narrower.qubits)
    return _contains(wider, narrower) and (same or is_monomial(narrower.matrix) or not is_monomial(wider.matrix))


def is_monomial(matrix: np.ndarray) -> bool:
    """Whether each row has one entry that is not zero."""
    return bool(np.all(np.count_nonzero(np.abs(matrix) > 1e-14, axis=1) == 1))


def _append(merged, instruction, may_merge):
    own = set(instruction.qubits)
    touching = (i for i in reversed(range(len(merged))) if own & set(merged[i].qubits))
    if isinstance(instruction, ConstantUnitary) and (place := next(touching, None)) is not None:
        before = merged[place]
        narrower, wider = sorted((instruction, before), key=lambda other: len(other.qubits))
        if isinstance(before, ConstantUnitary) and may_merge(wider, narrower):
            product = embed_unitary(instruction, wider.qubits) @ embed_unitary(before, wider.qubits)
            del merged[place]
            if wider is before:  # the instruction moves back to its place
                merged.insert(place, ConstantUnitary(wider.qubits, product))
            else:  # it moves forward to the end, and may meet another there
                _append(merged, ConstantUnitary(wider.qubits, product), may_merge)
            return
    merged.append(instruction)


def embed_unitary(constant: ConstantUnitary, qubits: tuple[int, ...]) -> np.ndarray:
    """The matrix of a constant unitary on a larger tuple of qubits, the first the most significant bit."""
    n, k = len(qubits), len(constant.qubits)
    gate, identity = constant.matrix.reshape((2,) * (2 * k)), np.eye(2**n).reshape((2,) * (2 * n))
    axes = [qubits.index(q) for q in constant.qubits]
    return cirq.targeted_left_multiply(gate, identity, axes).reshape(2**n, 2**n)
