"""Ansätze: what the unitary U of one time step looks like.

An ansatz is a frozen value. It knows its qubits and the order of its angles, and draws itself as a `cirq.Circuit`, with
symbols (`circuit`) or with given angles (`resolve`).
"""

import abc
import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import Any

import cirq
import keras
import sympy
from numpy.typing import ArrayLike

from tfq_qrnn import _cirq_json, _files
from tfq_qrnn._checks import as_floats, check_choice, check_int
from tfq_qrnn._decompositions import simple_circuit
from tfq_qrnn._errors import argument_error, argument_type_error, counted, shown
from tfq_qrnn.drift import Drift, neighbours, side_by_side
from tfq_qrnn.gates import check_operation

_ROTATIONS = {"rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz}
_ENTANGLERS = {"cz": cirq.CZ, "cnot": cirq.CNOT, "iswap": cirq.ISWAP, "sqrt_iswap": cirq.SQRT_ISWAP}
_TOPOLOGIES = ("ring", "chain", "full")
_FORMAT = "tfq_qrnn ansatz 1"
_MOST_ANGLES = 100_000  # Cirq takes some ten seconds to draw so many


class Ansatz(abc.ABC):
    """A parametrized circuit with ordered symbols; the base of `HardwareEfficient` and `CircuitAnsatz`."""

    @property
    @abc.abstractmethod
    def circuit(self) -> cirq.Circuit:
        """The circuit with its symbols."""

    @property
    @abc.abstractmethod
    def symbols(self) -> tuple[sympy.Symbol, ...]:
        """The symbols, in the order of the angles."""

    @property
    def qubits(self) -> tuple[cirq.Qid, ...]:
        """The qubits in Cirq's order; the first is the most significant bit of the state."""
        return tuple(sorted(self.circuit.all_qubits()))

    @property
    def n_angles(self) -> int:
        return len(self.symbols)

    def resolve(self, angles: ArrayLike) -> cirq.Circuit:
        """The circuit with numbers for its symbols.

        Args:
            angles: `(n_angles,)` floats, in radians for rotations that take radians, in the order of `symbols`.
        """
        angles, symbols = as_floats("angles", angles), self.symbols
        if angles.shape != (len(symbols),):
            raise argument_error("angles", f"have shape ({len(symbols)},)", f"its shape is {angles.shape}")
        return cirq.resolve_parameters(self.circuit, dict(zip(map(str, symbols), angles.tolist(), strict=True)))

    def __str__(self) -> str:
        return str(self.circuit)

    @abc.abstractmethod
    def get_config(self) -> dict:
        """The JSON-able arguments that make this value again."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Ansatz":
        return cls(**config)

    def to_json(self) -> str:
        """This value as JSON text; `Ansatz.from_json` reads it back."""
        return json.dumps({"format": _FORMAT, "ansatz": type(self).__name__, "config": self.get_config()})

    @staticmethod
    def from_json(text: str) -> "Ansatz":
        """The ansatz that `to_json` wrote.

        Raises:
            ValueError: The text is not JSON of an ansatz of this package.
        """
        kinds = {kind.__name__: kind for kind in (HardwareEfficient, CircuitAnsatz)}
        rule = "be JSON that `to_json` wrote"
        try:
            data = _files.parse_json(text)
            found = data.get("format", _FORMAT)
            if found == _FORMAT:
                return kinds[data["ansatz"]].from_config(dict(data["config"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if str(error).startswith("Argument `"):
                raise
            raise argument_error("text", rule, f"it is {shown(text)}: {error!r}") from error
        raise argument_error("text", rule, f"its format is {shown(found)}")


def parameter_symbols(circuit: cirq.AbstractCircuit) -> tuple[str, ...]:
    """The names of a circuit's symbols in the order of their first appearance.

    Within one operation they stand in the order of the gate's own arguments (`theta` before `phi` in an FSimGate,
    `phase_exponent` before `exponent` in a PhasedXPowGate).
    """
    names = {}
    for operation in circuit.all_operations():
        if cirq.is_parameterized(operation):
            for expression in _expressions(operation):
                names.update(dict.fromkeys(sorted(str(s) for s in expression.free_symbols)))
    return tuple(names)


def _expressions(value):
    if isinstance(value, sympy.Basic):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _expressions(item)
    elif hasattr(value, "_json_dict_") and not isinstance(value, cirq.Qid):
        for item in value._json_dict_().values():
            yield from _expressions(item)


@keras.saving.register_keras_serializable(package="tfq_qrnn")
@dataclasses.dataclass(frozen=True)
class HardwareEfficient(Ansatz):
    """Layers of one-qubit rotations, each followed by entangling gates between neighbours.

    The default, RY and RZ on every qubit and then a ring of CZ, is what superconducting processors run natively.

    Args:
        n_qubits: Number of qubits, 1 or more.
        depth: Number of layers, 1 or more.
        rotations: The rotations of a layer in the order they act: some of "rx", "ry", "rz".
        entangler: "cz", "cnot" (control first), "iswap" or "sqrt_iswap".
        topology: "ring", "chain" or "full" (every pair). No pair is coupled twice, so a ring of two is a chain, and one
            qubit has no entangler.
        drift: A `tfq_qrnn.Drift`, constant gates after the last layer; None for none.

    The angles are in radians, layer by layer; within a layer rotation by rotation; within a rotation qubit by qubit.

    Raises:
        ValueError, TypeError: An argument is out of its range.

    >>> print(HardwareEfficient(n_qubits=2, depth=1).circuit)
    0: ───Ry(theta_0)───Rz(theta_2)───@───
                                      │
    1: ───Ry(theta_1)───Rz(theta_3)───@───
    """

    n_qubits: int
    depth: int = 2
    rotations: tuple[str, ...] = ("ry", "rz")
    entangler: str = "cz"
    topology: str = "ring"
    drift: Drift | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_qubits", check_int("n_qubits", self.n_qubits, 1))
        object.__setattr__(self, "depth", check_int("depth", self.depth, 1))
        if isinstance(self.rotations, str) or not isinstance(self.rotations, (tuple, list)):
            raise argument_type_error("rotations", "be a tuple of names", self.rotations)
        object.__setattr__(self, "rotations", tuple(self.rotations))
        if not self.rotations:
            raise argument_error("rotations", "name at least one rotation", "it is empty")
        for rotation in self.rotations:
            check_choice("rotations", rotation, tuple(_ROTATIONS))
        if self.depth * len(self.rotations) * self.n_qubits > _MOST_ANGLES:
            raise argument_error("depth", f"give at most {_MOST_ANGLES:,} angles", f"it is {shown(self.depth)}")
        check_choice("entangler", self.entangler, tuple(_ENTANGLERS))
        check_choice("topology", self.topology, _TOPOLOGIES)
        object.__setattr__(self, "drift", _as_drift(self.drift))

    @property
    def qubits(self) -> tuple[cirq.Qid, ...]:
        return tuple(cirq.LineQubit.range(self.n_qubits))

    @property
    def symbols(self) -> tuple[sympy.Symbol, ...]:
        count = self.depth * len(self.rotations) * self.n_qubits
        width = len(str(count - 1))  # zero-padded: sorting by name and by index agree
        return tuple(sympy.Symbol(f"theta_{i:0{width}}") for i in range(count))

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """The coupled pairs `(i, j)` in the order their gates act."""
        n = self.n_qubits
        if self.topology == "full":
            return tuple(itertools.combinations(range(n), 2))
        edges = neighbours(n, is_ring=self.topology == "ring")
        if self.entangler == "cz":  # they commute
            edges = side_by_side(edges)
        return tuple(edges)

    @property
    def circuit(self) -> cirq.Circuit:
        qubits, symbols = self.qubits, iter(self.symbols)
        gate = _ENTANGLERS[self.entangler]
        circuit = cirq.Circuit()
        for _ in range(self.depth):
            for rotation in self.rotations:
                circuit += cirq.Circuit(cirq.Moment(_ROTATIONS[rotation](next(symbols))(q) for q in qubits))
            circuit += cirq.Circuit(gate(qubits[i], qubits[j]) for i, j in self.edges)
        return _with_drift(circuit, self.drift, qubits)

    def get_config(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "rotations": list(self.rotations)}


@keras.saving.register_keras_serializable(package="tfq_qrnn")
@dataclasses.dataclass(frozen=True, init=False, repr=False)
class CircuitAnsatz(Ansatz):
    """Any circuit of the gates that TensorFlow Quantum supports, and of gates that are made of these.

    Args:
        circuit: A `cirq.Circuit` (or FrozenCircuit). Exponents and angles are numbers or linear in one symbol. Circuit
            operations and gates of your own stand in `circuit` decomposed.
        symbols: The symbols, or their names, in the order of the angles. By default in the order of their first
            appearance in the circuit, moment by moment.
        drift: A `tfq_qrnn.Drift`, constant gates after the circuit; None for none.

    Raises:
        TypeError: `circuit` is no Cirq circuit.
        ValueError: `symbols` misses a symbol of the circuit, names one that it does not have, or names one twice; or a
            gate of your own is not made of supported ones.

    >>> a, b = sympy.symbols("a b")
    >>> qubit = cirq.LineQubit(0)
    >>> ansatz = CircuitAnsatz(cirq.Circuit(cirq.ry(b)(qubit), cirq.rz(a)(qubit)))
    >>> ansatz.symbols
    (b, a)
    >>> ansatz
    CircuitAnsatz(1 qubit, 2 angles, 2 gates in 2 moments)
    >>> print(ansatz)
    0: ───Ry(b)───Rz(a)───
    """

    frozen: cirq.FrozenCircuit
    names: tuple[str, ...]
    drift: Drift | None

    def __init__(
        self,
        circuit: cirq.AbstractCircuit,
        symbols: Sequence[sympy.Symbol | str] | None = None,
        drift: Drift | None = None,
    ):
        if not isinstance(circuit, cirq.AbstractCircuit):
            raise argument_type_error("circuit", "be a cirq.Circuit", circuit)
        if not circuit.all_qubits():
            raise argument_error("circuit", "act on one qubit or more", "it is empty")
        if qudits := [q for q in circuit.all_qubits() if q.dimension != 2]:
            raise argument_error("circuit", "act on qubits", f"{qudits[0]} has dimension {qudits[0].dimension}")
        circuit = simple_circuit(circuit, check_operation)
        found = parameter_symbols(circuit)
        if symbols is None:
            names = found
        elif not isinstance(symbols, (tuple, list)) or not all(isinstance(s, (str, sympy.Symbol)) for s in symbols):
            raise argument_type_error("symbols", "be a list of symbols", symbols)
        else:
            names = tuple(str(symbol) for symbol in symbols)
            if doubled := sorted({name for name in names if names.count(name) > 1}):
                raise argument_error("symbols", "name every symbol once", f"it repeats {', '.join(doubled)}")
            if unused := sorted(set(names) - set(found)):
                raise argument_error(
                    "symbols", "name symbols of the circuit", f"the circuit does not use {', '.join(unused)}"
                )
            if unbound := [name for name in found if name not in names]:
                raise argument_error(
                    "symbols", "name every symbol of the circuit", f"it leaves {', '.join(unbound)} unbound"
                )
        object.__setattr__(self, "frozen", circuit.freeze())
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "drift", _as_drift(drift))

    @property
    def n_qubits(self) -> int:
        return len(self.frozen.all_qubits())

    @property
    def circuit(self) -> cirq.Circuit:
        return _with_drift(self.frozen.unfreeze(), self.drift, sorted(self.frozen.all_qubits()))

    @property
    def symbols(self) -> tuple[sympy.Symbol, ...]:
        return tuple(sympy.Symbol(name) for name in self.names)

    def __repr__(self) -> str:
        circuit = self.circuit
        gates = sum(1 for _ in circuit.all_operations())
        return (
            f"CircuitAnsatz({counted(self.n_qubits, 'qubit')}, {counted(self.n_angles, 'angle')}, "
            f"{counted(gates, 'gate')} in {counted(len(circuit), 'moment')})"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "circuit": cirq.to_json(_with_text_tags(self.frozen.unfreeze())),
            "symbols": list(self.names),
            "drift": self.drift and self.drift.get_config(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CircuitAnsatz":
        try:
            circuit = _cirq_json.read(config["circuit"], _cirq_json.CIRCUIT)
        except ValueError as error:
            raise argument_error("circuit", "be Cirq JSON of gates that are supported", str(error)) from error
        return cls(circuit, symbols=config["symbols"], drift=config.get("drift"))


def _as_drift(drift):
    """A drift, None, or the config of one, as it stands in that of an ansatz."""
    if isinstance(drift, dict):
        return Drift(**drift)
    if drift is not None and not isinstance(drift, Drift):
        raise argument_type_error("drift", "be a tfq_qrnn.Drift or None", drift)
    return drift


def _with_drift(circuit, drift, qubits):
    return circuit if drift is None else circuit + drift.circuit(qubits)


def _with_text_tags(circuit):
    """The circuit without tags of other classes, which no file of ours holds."""

    def plain(operation, _):
        return operation.untagged.with_tags(*(tag for tag in operation.tags if isinstance(tag, str)))

    return cirq.map_operations(circuit, plain)


def as_ansatz(circuit: Ansatz | cirq.AbstractCircuit) -> Ansatz:
    """An ansatz as it is, or a circuit as a `CircuitAnsatz`."""
    return circuit if isinstance(circuit, Ansatz) else CircuitAnsatz(circuit)


def concatenate(first: Ansatz, second: Ansatz) -> CircuitAnsatz:
    """The first ansatz, then the second, with the angles of both in this order.

    The second one's symbols are renamed where the first has their names.

    Raises:
        ValueError: The second acts on a qubit that the first does not have.
    """
    if missing := [q for q in second.qubits if q not in first.qubits]:
        raise argument_error(
            "trainable_circuit",
            f"act on the qubits of the circuit, {', '.join(map(str, first.qubits))}",
            f"it acts on {', '.join(map(str, missing))}",
        )
    taken = {str(symbol) for symbol in first.symbols}
    names = {}
    for symbol in second.symbols:
        name = str(symbol)
        while name in taken:
            name = f"trained_{name}"
        taken.add(name)
        names[str(symbol)] = sympy.Symbol(name)
    renamed = cirq.resolve_parameters(second.circuit, names, recursive=False)
    return CircuitAnsatz(first.circuit + renamed, symbols=[*first.symbols, *names.values()])
