"""Measurement: from observables to settings of the last layer, and from shots back to expectation values.

A setting is a letter for each qubit; a layer of PhasedXZ gates turns it to Z. Its exponents are symbols, so that all
settings are one program and a sweep. Two symbols do where every setting has one letter for all qubits.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import cirq
import networkx
import numpy as np
import sympy
from numpy.typing import ArrayLike

from tfq_qrnn._errors import argument_error, counted
from tfq_qrnn.hw.emitter import TURN_TO_Z, phased_xz
from tfq_qrnn.program import GateProgram

KEY = "m"
CALIBRATION_CIRCUITS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class ReadoutErrors:
    """Measured readout errors of the qubits: probabilities that 0 is read as 1 (`e0`) and 1 as 0 (`e1`), `(n_qubits,)`.

    Raises:
        ValueError: For some qubit e0 + e1 is 1 or more: its readout says nothing.

    >>> errors = tfq_qrnn.hw.ReadoutErrors(e0=np.array([0.02]), e1=np.array([0.08]))
    >>> float(np.round(1 - errors.e0 - errors.e1, 3)[0])  # contrast of the readout
    0.9
    """

    e0: np.ndarray
    e1: np.ndarray

    def __post_init__(self) -> None:
        if np.any(self.e0 + self.e1 >= 1):
            qubit = int(np.argmax(self.e0 + self.e1))
            given = (
                f"qubit {qubit} reads 0 as 1 with probability {self.e0[qubit]:.2f} and 1 as 0 with {self.e1[qubit]:.2f}"
            )
            raise argument_error("e0", "be below 1 - e1: at 1 - e1 and above a readout says nothing", given)

    def signs(self, bits: np.ndarray) -> np.ndarray:
        """Unbiased values of Z from bits `(..., n_qubits)`: (m - (e1 - e0)) / (1 - e0 - e1) with m = 1 - 2 bit."""
        return (1.0 - 2.0 * bits - (self.e1 - self.e0)) / (1.0 - self.e0 - self.e1)


class ReadoutPlan:
    """How the observables of a program are measured.

    Pauli strings that agree qubit by qubit share a setting: "XYZ" on every qubit takes three.

    Args:
        program: A `GateProgram`.

    Attributes:
        settings: A string with a letter per qubit for each setting; where nothing is read it is "Z".

    >>> program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(3))
    >>> tfq_qrnn.hw.ReadoutPlan(program)
    ReadoutPlan(9 observables in 3 settings: XXX, YYY, ZZZ)
    """

    def __init__(self, program: GateProgram):
        self.n_qubits, self.n_observables = program.n_qubits, program.n_observables
        self.constants = np.zeros(self.n_observables)
        terms = [(observable, *term) for observable, of_one in enumerate(program.readout_terms) for term in of_one]
        for observable, coefficient, pauli in terms:
            if not pauli:
                self.constants[observable] += coefficient
        groups = group_paulis([dict(pauli) for *_, pauli in terms if pauli])
        # one list of (observable, coefficient, qubit indices) per setting
        self.terms = [[] for _ in groups]
        for observable, coefficient, pauli in terms:
            if pauli:
                number = next(i for i, group in enumerate(groups) if dict(pauli).items() <= group.items())
                self.terms[number].append((observable, coefficient, tuple(dict(pauli))))
        filled = []
        for group in groups:
            same = set(group.values())
            rest = same.pop() if len(same) == 1 else "Z"  # one letter: then two symbols may do
            filled.append("".join(group.get(q, rest) for q in range(self.n_qubits)))
        self.settings = tuple(filled)
        self.uniform = all(len(set(setting)) == 1 for setting in self.settings)

    def __repr__(self) -> str:
        settings = f"{counted(len(self.settings), 'setting')}: {', '.join(self.settings)}"
        return f"ReadoutPlan({counted(self.n_observables, 'observable')} in {settings})"

    def _names(self, qubit):
        suffix = "" if self.uniform else f"_{qubit:02}"
        return f"basis_x{suffix}", f"basis_a{suffix}"

    def circuit(self, qubits: Sequence[cirq.Qid]) -> cirq.Circuit:
        """The last layer and the measurement, with the key "m", of qubits in the program's order."""
        gates = [phased_xz(*map(sympy.Symbol, self._names(i))).on(qubit) for i, qubit in enumerate(qubits)]
        return cirq.Circuit(cirq.Moment(gates), cirq.Moment(cirq.measure(*qubits, key=KEY)))

    def values(self, setting: str) -> dict[str, float]:
        """The values of the layer's symbols for one of the settings, by name."""
        values = {}
        for i, letter in enumerate(setting):
            values.update(zip(self._names(i), TURN_TO_Z.get(letter, (0.0, 0.0)), strict=True))
        return values

    def estimate(self, bits: np.ndarray, errors: ReadoutErrors | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Expectation values from shots.

        Args:
            bits: `(len(settings), repetitions, n_qubits)` of 0 and 1.
            errors: `ReadoutErrors` to invert, or None.

        Returns:
            `(values, standard_errors)`, each `(n_observables,)`. The errors count two more shots, one at each end of
            the range: they stay above zero where all shots agree, and exist for a single shot.
        """
        values, variances = self.constants.copy(), np.zeros(self.n_observables)
        for shots, terms in zip(bits, self.terms, strict=True):
            signs = 1.0 - 2.0 * shots if errors is None else errors.signs(shots)
            sums = np.zeros((len(shots), self.n_observables))
            bounds = np.zeros(self.n_observables)
            for observable, coefficient, qubits in terms:
                sums[:, observable] += coefficient * np.prod(signs[:, qubits], axis=1)
                bounds[observable] += abs(coefficient)
            means = sums.mean(0)
            values += means
            squares = np.sum((sums - means) ** 2, axis=0) + (bounds - means) ** 2 + (bounds + means) ** 2
            count = len(shots)
            variances += np.where(bounds > 0, squares / (count + 2) / count, 0.0)
        return values, np.sqrt(variances)


def group_paulis(paulis: Sequence[dict]) -> list[dict]:
    """As few settings as some colourings find, each a dict of qubit and letter, that hold all Pauli strings.

    Two strings that disagree at a qubit take two settings: the settings are the colours of the graph of these pairs.
    """
    graph = networkx.Graph()
    distinct = list({tuple(sorted(pauli.items())): pauli for pauli in paulis}.values())
    graph.add_nodes_from(range(len(distinct)))
    for (i, first), (j, second) in itertools.combinations(enumerate(distinct), 2):
        if any(second.get(q, letter) != letter for q, letter in first.items()):
            graph.add_edge(i, j)
    strategies = ("DSATUR", "largest_first", "smallest_last", lambda graph, _: sorted(graph))
    colours = min((networkx.greedy_color(graph, of) for of in strategies), key=lambda colours: len({*colours.values()}))
    groups: dict[int, dict] = {}
    for i, pauli in enumerate(distinct):  # settings in the order of their first string
        groups.setdefault(colours[i], {}).update(pauli)
    return list(groups.values())


def calibration(qubits: Sequence[cirq.Qid]) -> tuple[cirq.Circuit, np.ndarray, list[dict[str, float]]]:
    """What measures readout errors: a circuit, the bit strings to prepare with it, and its symbols' values for each.

    Random neighbours average over crosstalk; each string's complement gives every qubit as many zeros as ones.
    """
    names = [f"flip_{i:02}" for i in range(len(qubits))]
    flips = [phased_xz(sympy.Symbol(name), 0.0).on(qubit) for name, qubit in zip(names, qubits, strict=True)]
    circuit = cirq.Circuit(cirq.Moment(flips), cirq.Moment(cirq.measure(*qubits, key=KEY)))
    patterns = np.random.default_rng(0).integers(0, 2, (CALIBRATION_CIRCUITS // 2, len(qubits)))
    patterns = np.stack([patterns, 1 - patterns], axis=1).reshape(-1, len(qubits))
    return circuit, patterns, [dict(zip(names, map(float, pattern), strict=True)) for pattern in patterns]


def readout_errors(patterns: ArrayLike, bits: np.ndarray) -> ReadoutErrors:
    """Readout errors from the shots `(n_patterns, repetitions, n_qubits)` of a calibration."""
    ones, prepared = np.mean(bits, axis=1), np.asarray(patterns, bool)
    return ReadoutErrors(np.mean(ones, axis=0, where=~prepared), np.mean(1.0 - ones, axis=0, where=prepared))
