"""Measurement: from observables to settings of the last layer, and from shots back to expectation values.

A setting is a letter for each qubit; a layer of PhasedXZ gates turns it to Z. Its exponents are symbols, so that all
settings are one program and a sweep. Two symbols do where every setting has one letter for all qubits.
"""

import itertools
from collections.abc import Sequence

import cirq
import networkx
import numpy as np
import sympy

from tfq_qrnn._errors import counted
from tfq_qrnn.hw.emitter import TURN_TO_Z, phased_xz
from tfq_qrnn.hw.estimate import Estimate, Slopes, Survival, factors_of
from tfq_qrnn.hw.readout_errors import KEY, ReadoutErrors, blocks_of
from tfq_qrnn.program import GateProgram


class ReadoutPlan:
    """How the observables of a program are measured.

    Pauli strings that agree qubit by qubit share a setting: "XYZ" on every qubit takes three.

    Args:
        program: A `GateProgram`.

    Attributes:
        settings: A string with a letter per qubit for each setting; where nothing is read it is "Z".
        blocks: The pairs and single qubits by which the observables are read (see `readout_errors`).

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
                self.terms[number].append((observable, coefficient, tuple(sorted(dict(pauli)))))
        filled = []
        for group in groups:
            same = set(group.values())
            rest = same.pop() if len(same) == 1 else "Z"  # one letter: then two symbols may do
            filled.append("".join(group.get(q, rest) for q in range(self.n_qubits)))
        self.settings = tuple(filled)
        strings = [qubits for terms in self.terms for _, _, qubits in terms]
        self.blocks = tuple(dict.fromkeys(block for qubits in strings for block in blocks_of(qubits)))
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
        found = self.evaluate(bits, errors)
        return found.values, found.standard_errors

    def evaluate(
        self, bits: np.ndarray, errors: ReadoutErrors | None = None, survival: Survival | None = None
    ) -> Estimate:
        """`estimate`, with what the errors come from, and divided by what is left of the readouts."""
        values, variances = self.constants.copy(), np.zeros(self.n_observables)
        slopes = Slopes(self.n_observables, errors) if errors is not None and errors.shots is not None else None
        left = Survival({}, np.ones(1), np.zeros((1, 1))) if survival is None else survival
        parts = np.zeros((self.n_observables, len(left.values)))
        for shots, terms in zip(bits, self.terms, strict=True):
            count, sums, bounds = len(shots), np.zeros((len(shots), self.n_observables)), np.zeros(self.n_observables)
            for observable, coefficient, qubits in terms:
                place = left.weights.get(len(qubits), 0)
                share = coefficient / left.values[place]
                blocks, read, factors = factors_of(shots, qubits, errors)
                products = share * np.prod(factors, axis=0)
                sums[:, observable] += products
                bounds[observable] += abs(share)
                parts[observable, place] += products.mean()
                if slopes is not None:
                    slopes.add(observable, share, blocks, read, factors)
            means = sums.mean(0)
            values += means
            squares = np.sum((sums - means) ** 2, axis=0) + (bounds - means) ** 2 + (bounds + means) ** 2
            variances += np.where(bounds > 0, squares / (count + 2) / count, 0.0)
        shares = parts / left.values
        fixed = np.einsum("ow,wv,ov->o", shares, left.covariance, shares)
        if slopes is None:
            return Estimate(values, variances, fixed)
        if left.slopes is not None:
            slopes.values -= np.einsum("ow,wpb->opb", shares, left.slopes)
        return Estimate(values, variances, fixed, slopes.values, slopes.shots)


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
