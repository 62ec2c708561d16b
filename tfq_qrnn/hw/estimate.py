"""Readouts as shots estimate them, with what their errors come from."""

import dataclasses

import numpy as np

from tfq_qrnn.hw.readout_errors import Block, CalibrationShots, ReadoutErrors, blocks_of, codes, weights_of


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """Expectation values from shots.

    Attributes:
        values: `(n_observables,)`.
        variances: Of the shots that they were measured with, `(n_observables,)`.
        fixed: Variances that more such shots do not lower: those of what survives, `(n_observables,)`.
        slopes: How they change with each block's g of each pattern of the calibration (see `readout_errors`),
            `(n_observables, n_patterns, blocks)`; None without a calibration.
        shots: The calibration's `CalibrationShots`, or None.
    """

    values: np.ndarray
    variances: np.ndarray
    fixed: np.ndarray
    slopes: np.ndarray | None = None
    shots: CalibrationShots | None = None

    @property
    def floor(self) -> np.ndarray:
        """What more shots do not lower of the standard errors."""
        if self.slopes is None or self.shots is None:
            return np.sqrt(self.fixed)
        return np.sqrt(self.fixed + np.einsum("opb,pbc,opc->o", self.slopes, self.shots.covariances, self.slopes))

    @property
    def standard_errors(self) -> np.ndarray:
        """Of the shots and of all that was measured before them."""
        return np.sqrt(self.variances + self.floor**2)


@dataclasses.dataclass(frozen=True, eq=False)
class Survival:
    """What is left of products of Paulis.

    Attributes:
        weights: How many Paulis a product has -> its place in the arrays.
        values: What is left of it, `(weights,)`.
        covariance: `(weights, weights)`.
        slopes: As in `Estimate`, `(weights, n_patterns, blocks)`, or None.
    """

    weights: dict[int, int]
    values: np.ndarray
    covariance: np.ndarray
    slopes: np.ndarray | None = None


def factors_of(
    bits: np.ndarray, qubits: tuple[int, ...], errors: ReadoutErrors | None
) -> tuple[list[Block], list[np.ndarray], list[np.ndarray]]:
    """The blocks of a Pauli string, and their bit strings and factors in shots `(repetitions, n_qubits)`.

    The mean of the factors' product is the string's expectation value.
    """
    blocks = blocks_of(qubits) if errors is None else errors.blocks(qubits)
    read = [codes(bits, block) for block in blocks]
    weights = [weights_of(block, errors) for block in blocks]
    return blocks, read, [weight[code] for weight, code in zip(weights, read, strict=True)]


class Slopes:
    """Adds up how observables change with a calibration, by Pauli string.

    With q the probabilities of a block's bit strings that are there, times the product of all other blocks, a term c
    changes by -c dA q: in each pattern by -q[what is prepared], shared by the patterns that prepare the same.
    """

    def __init__(self, n_observables: int, errors: ReadoutErrors):
        self.errors, self.shots = errors, errors.shots
        self.numbers = {block: number for number, block in enumerate(self.shots.blocks)}
        self.values = np.zeros((n_observables, len(self.shots.patterns), len(self.numbers)))
        self.prepared = {block: codes(self.shots.patterns, block) for block in self.numbers}

    def add(self, observable: int, coefficient: float, blocks: list[Block], read: list, factors: list) -> None:
        """A term's blocks, with their bit strings and factors in all shots."""
        for number, (block, code) in enumerate(zip(blocks, read, strict=True)):
            others = np.prod(factors[:number] + factors[number + 1 :], axis=0) * np.ones(len(code))
            size = 2 ** len(block)
            there = self.errors.inverse(block) @ np.bincount(code, weights=others, minlength=size) / len(code)
            prepared = self.prepared[block]
            share = np.bincount(prepared, minlength=size)[prepared]
            self.values[observable, :, self.numbers[block]] -= coefficient * there[prepared] / share
