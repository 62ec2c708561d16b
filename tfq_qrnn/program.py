"""GateProgram: a circuit, its symbols and what is read out, in the one form that every backend runs."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import cirq
import numpy as np
import sympy
from numpy.typing import ArrayLike

from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn._tfq import load_tfq
from tfq_qrnn.circuits import Ansatz, CircuitAnsatz, resolve_circuit
from tfq_qrnn.gates import ConstantUnitary, PauliRotation, lower_operation
from tfq_qrnn.observables import parse_observables, pauli_terms


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class GateProgram:
    """One time step of a quantum memory: a unitary with angles, then expectation values.

    Args:
        circuit: A `cirq.Circuit`, an ansatz, or a TensorFlow Quantum circuit tensor with one circuit. Gates are those
            of `tfq.util.get_supported_gates()`, also controlled ones; their arguments are numbers or linear in one
            symbol.
        observables: Letters from "XYZ", each read on every qubit, qubit by qubit (X0, Y0, Z0, X1, ...); or a list of
            `cirq.PauliString` and `cirq.PauliSum`.
        symbols: The symbols in the order of the angles; by default in the order of their first appearance.

    Angles are bound by index, never by a sorted name.

    Raises:
        ValueError: A measurement, channel or unknown gate, or an argument that is not linear in one symbol: the message
            names the gate, its qubits and its moment.
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
    observables: tuple[cirq.PauliSum, ...]

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
        return len(self.observables)

    def resolve(self, angles: ArrayLike) -> cirq.Circuit:
        """The circuit with `angles`, `(n_angles,)` floats, for its symbols."""
        return resolve_circuit(self.circuit, self.symbols, angles)

    def to_tfq(self) -> Any:
        """The circuit as a TensorFlow Quantum circuit tensor of shape `(1,)`.

        TFQ keeps six digits of every number: made from the tensor again, a program's angles count by a factor that is
        off by up to 4e-7. (The TFQ backend does not go this way.)

        Raises:
            ImportError: TensorFlow Quantum is not installed.
            ValueError: The circuit has qubits or arguments that TensorFlow Quantum cannot serialize: qubits that are
                neither GridQubit nor LineQubit, or an offset beside a symbol.
        """
        return load_tfq("`to_tfq`").convert_to_tensor([self.circuit])

    @functools.cached_property
    def instructions(self) -> tuple[PauliRotation | ConstantUnitary, ...]:
        """The circuit lowered to Pauli rotations and constant unitaries, adjacent constants merged."""
        qubit_index = {qubit: i for i, qubit in enumerate(self.qubits)}
        symbol_index = {str(symbol): i for i, symbol in enumerate(self.symbols)}
        instructions = []
        for number, moment in enumerate(self.circuit):
            for operation in moment:
                try:
                    instructions += lower_operation(operation, qubit_index, symbol_index)
                except ValueError as error:
                    raise argument_error(
                        "circuit",
                        "hold only gates that TensorFlow Quantum supports, with arguments linear in one symbol",
                        f"moment {number} has {operation.without_classical_controls()!s} "
                        f"on qubits {', '.join(map(str, operation.qubits))}: {error}",
                    ) from error
        return tuple(merge_constants(instructions))

    @functools.cached_property
    def readout_terms(self) -> tuple:
        """Every observable as a tuple of `(coefficient, ((qubit index, letter), ...))`."""
        return tuple(pauli_terms(observable, self.qubits) for observable in self.observables)

    def __hash__(self) -> int:
        return hash((self.ansatz, self.readout_terms))

    def __repr__(self) -> str:
        return (
            f"GateProgram({counted(self.n_qubits, 'qubit')}, {counted(self.n_angles, 'angle')}, "
            f"{counted(self.n_observables, 'observable')}, {counted(len(self.instructions), 'instruction')})"
        )

    def __str__(self) -> str:
        return f"{self.circuit}\nreads {', '.join(str(o).removeprefix('1.000*') for o in self.observables)}"


def _from_tfq(tensor):
    if isinstance(tensor, (str, bytes)):
        tensor = np.array(tensor)
    array = np.asarray(tensor)
    if array.dtype.kind not in "OSU":
        raise argument_type_error("circuit", "be a cirq.Circuit, an ansatz or a TFQ circuit tensor", tensor)
    if array.size != 1:
        raise argument_error("circuit", "hold one circuit", f"the circuit tensor has shape {array.shape}")
    tfq = load_tfq("A circuit tensor")
    try:
        return tfq.from_tensor(array.reshape(1))[0]
    except Exception as error:  # TFQ raises TypeError, RuntimeError or protobuf's DecodeError
        raise argument_error("circuit", "be a tensor that tfq.convert_to_tensor made", str(error)) from error


def merge_constants(instructions: Sequence[PauliRotation | ConstantUnitary]) -> list[PauliRotation | ConstantUnitary]:
    """Multiply each constant unitary into the one before it where one's qubits contain the other's; drop identities."""
    merged: list[PauliRotation | ConstantUnitary] = []
    for instruction in instructions:
        if isinstance(instruction, PauliRotation):
            merged.append(instruction)
            continue
        while instruction is not None:
            touching = [i for i, other in enumerate(merged) if set(other.qubits) & set(instruction.qubits)]
            before = merged[touching[-1]] if touching else None
            if not isinstance(before, ConstantUnitary):
                break
            if set(instruction.qubits) <= set(before.qubits):  # it moves back to the other's place
                merged[touching[-1]] = ConstantUnitary(
                    before.qubits, embed_unitary(instruction, before.qubits) @ before.matrix
                )
                instruction = None
            elif set(before.qubits) <= set(instruction.qubits):  # the other moves forward to this place
                del merged[touching[-1]]
                instruction = ConstantUnitary(
                    instruction.qubits, instruction.matrix @ embed_unitary(before, instruction.qubits)
                )
            else:
                break
        if instruction is not None:
            merged.append(instruction)
    return [i for i in merged if isinstance(i, PauliRotation) or not _is_identity(i.matrix)]


def _is_identity(matrix):
    # Products of exact gates are off by a few roundings of float64 and no more.
    return np.allclose(matrix, np.eye(len(matrix)), rtol=0, atol=1e-14)


def embed_unitary(constant: ConstantUnitary, qubits: tuple[int, ...]) -> np.ndarray:
    """The matrix of a constant unitary on a larger tuple of qubits, the first the most significant bit."""
    rest = tuple(q for q in qubits if q not in constant.qubits)
    n = len(qubits)
    tensor = np.kron(constant.matrix, np.eye(2 ** len(rest))).reshape((2,) * (2 * n))
    order = [(constant.qubits + rest).index(q) for q in qubits]
    return tensor.transpose(order + [n + i for i in order]).reshape(2**n, 2**n)
