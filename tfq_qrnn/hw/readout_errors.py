"""Readout errors: measured at known bit strings, inverted for blocks of one or two qubits.

A Pauli string is read block by block: pairs of its qubits in the circuit's order, and one that is left over. The
probabilities of what is read are those of what is there times the confusion matrix A of each block. So the mean of the
product of g = parity A^-1 over the blocks is an unbiased estimate, also where both qubits of a block flip together.

The matrices are known from a number of shots, too. To first order an estimate changes by -g dA q, where q are the
probabilities of what is there: its variance is a quadratic form of the covariances of g in the calibration's shots.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import cirq
import numpy as np
import sympy
from numpy.typing import ArrayLike

from tfq_qrnn._checks import as_floats
from tfq_qrnn._errors import argument_error, shown
from tfq_qrnn.hw.emitter import phased_xz

KEY = "m"
CALIBRATION_CIRCUITS = 16
_SEEDS = 256  # of patterns, of which the best is taken
_LEAST = 1e-3  # singular value of a confusion matrix

Block = tuple[int, ...]


def blocks_of(qubits: Sequence[int]) -> list[Block]:
    """The pairs of qubits, and one that is left over, by which a Pauli string is read."""
    return [tuple(qubits[start : start + 2]) for start in range(0, len(qubits), 2)]


@dataclasses.dataclass(frozen=True, eq=False)
class CalibrationShots:
    """What the shots of a calibration say about its own error.

    Attributes:
        patterns: The prepared bits, `(n_patterns, n_qubits)`.
        blocks: Blocks of qubits.
        covariances: Of the blocks' mean g over the shots of each pattern, `(n_patterns, blocks, blocks)`.
    """

    patterns: np.ndarray
    blocks: tuple[Block, ...]
    covariances: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ReadoutErrors:
    """Measured readout errors of the qubits.

    Attributes:
        e0, e1: Probabilities that 0 is read as 1, and 1 as 0, `(n_qubits,)`.
        pairs: `(i, j)` -> confusion matrix of two qubits that are read together, `(4, 4)`: the probabilities of 00, 01,
            10 and 11 in the rows where the column's bits are there. Other pairs flip independently.
        shots: The `CalibrationShots` they are known from; None for errors that are known exactly.

    Raises:
        ValueError: For some qubit e0 + e1 is 1 or more, or a pair's matrix cannot be inverted: a readout says nothing.
            Or they are no probabilities, or their shapes do not fit.

    >>> errors = tfq_qrnn.hw.ReadoutErrors(e0=np.array([0.02]), e1=np.array([0.08]))
    >>> float(np.round(1 - errors.e0 - errors.e1, 3)[0])  # contrast of the readout
    0.9
    """

    e0: np.ndarray
    e1: np.ndarray
    pairs: Mapping[Block, np.ndarray] = dataclasses.field(default_factory=dict)
    shots: CalibrationShots | None = None

    def __post_init__(self) -> None:
        for name in ("e0", "e1"):
            found = as_floats(name, getattr(self, name))
            if found.ndim != 1 or not np.all((found >= 0) & (found <= 1)):
                raise argument_error(name, "be a probability for each qubit", f"it is {shown(found)}")
            object.__setattr__(self, name, found)
        if len(self.e0) != len(self.e1):
            given = f"it has {len(self.e1)} and `e0` has {len(self.e0)}"
            raise argument_error("e1", "have as many probabilities as `e0`", given)
        if np.any(self.e0 + self.e1 >= 1):
            qubit = int(np.argmax(self.e0 + self.e1))
            given = (
                f"qubit {qubit} reads 0 as 1 with probability {self.e0[qubit]:.2f} and 1 as 0 with {self.e1[qubit]:.2f}"
            )
            raise argument_error("e0", "be below 1 - e1: at 1 - e1 and above a readout says nothing", given)
        for pair, matrix in self.pairs.items():
            if np.shape(matrix) != (4, 4):
                given = f"that of qubits {pair[0]} and {pair[1]} has {np.shape(matrix)}"
                raise argument_error("pairs", "have matrices of shape (4, 4)", given)
            if np.linalg.svd(matrix, compute_uv=False)[-1] < _LEAST:
                given = f"that of qubits {pair[0]} and {pair[1]} is {np.round(matrix, 2).tolist()}"
                raise argument_error("pairs", "have matrices with an inverse: else a readout says nothing", given)

    def blocks(self, qubits: Sequence[int]) -> list[Block]:
        """The blocks by which a Pauli string on these qubits is read."""
        pairs = blocks_of(qubits)
        return [block for pair in pairs for block in ([pair] if pair in self.pairs else [(q,) for q in pair])]

    def confusion(self, block: Block) -> np.ndarray:
        """The confusion matrix of a qubit, or of one of the pairs."""
        if block in self.pairs:
            return self.pairs[block]
        (q,) = block
        return np.array([[1 - self.e0[q], self.e1[q]], [self.e0[q], 1 - self.e1[q]]])

    @functools.cached_property
    def _inverses(self) -> dict[Block, np.ndarray]:
        return {}

    def inverse(self, block: Block) -> np.ndarray:
        """The inverse of `confusion`."""
        if block not in self._inverses:
            self._inverses[block] = np.linalg.inv(self.confusion(block))
        return self._inverses[block]


def weights_of(block: Block, errors: ReadoutErrors | None) -> np.ndarray:
    """g of each bit string of a block; its parity without errors."""
    if errors is None:
        return parity(block)
    if len(block) == 2:
        return parity(block) @ errors.inverse(block)
    (q,) = block  # written out: results of earlier versions are the same to the last bit
    return (parity(block) - (errors.e1[q] - errors.e0[q])) / (1.0 - errors.e0[q] - errors.e1[q])


def parity(block: Block) -> np.ndarray:
    """The product of the Z of a block's qubits, for each of its bit strings."""
    return np.array([1.0, -1.0, -1.0, 1.0] if len(block) == 2 else [1.0, -1.0])


def codes(bits: np.ndarray, block: Block) -> np.ndarray:
    """Which bit string a block has, of bits `(..., n_qubits)`."""
    first, *second = (bits[..., q].astype(np.intp) for q in block)
    return 2 * first + second[0] if second else first


def calibration_patterns(n_qubits: int, blocks: Sequence[Block] = ()) -> tuple[int, np.ndarray]:
    """The bit strings at which readout errors are measured, `(16, n_qubits)`, and the seed that they come from.

    Random neighbours average over crosstalk; each string's complement gives every qubit as many zeros as ones. The
    seed is the first one that gives the blocks of two the most even numbers of all four bit strings.
    """

    def patterns(seed):
        half = np.random.default_rng(seed).integers(0, 2, (CALIBRATION_CIRCUITS // 2, n_qubits))
        return np.stack([half, 1 - half], axis=1).reshape(-1, n_qubits)

    pairs = np.array([block for block in blocks if len(block) == 2], int).reshape(-1, 2)

    def rarest(seed):
        first, second = patterns(seed)[:, pairs.T].transpose(1, 0, 2)
        same = np.sum(first == second, axis=0)
        return min(same.min(), CALIBRATION_CIRCUITS - same.max())

    seed = max(range(_SEEDS), key=rarest) if len(pairs) else 0
    return seed, patterns(seed)


def calibration(
    qubits: Sequence[cirq.Qid], blocks: Sequence[Block] = ()
) -> tuple[cirq.Circuit, np.ndarray, list[dict[str, float]]]:
    """What measures readout errors: a circuit, the bit strings to prepare with it, and its symbols' values for each."""
    names = [f"flip_{i:02}" for i in range(len(qubits))]
    flips = [phased_xz(sympy.Symbol(name), 0.0).on(qubit) for name, qubit in zip(names, qubits, strict=True)]
    circuit = cirq.Circuit(cirq.Moment(flips), cirq.Moment(cirq.measure(*qubits, key=KEY)))
    _, patterns = calibration_patterns(len(qubits), blocks)
    return circuit, patterns, [dict(zip(names, map(float, pattern), strict=True)) for pattern in patterns]


def readout_errors(patterns: ArrayLike, bits: np.ndarray, blocks: Sequence[Block] = ()) -> ReadoutErrors:
    """Readout errors from the shots of a calibration.

    Args:
        patterns: The prepared bits, `(n_patterns, n_qubits)`.
        bits: The shots, `(n_patterns, repetitions, n_qubits)`.
        blocks: Of one or two qubits, by which observables are read. A pair whose four bit strings are not all among the
            patterns is taken to flip independently.
    """
    patterns = np.asarray(patterns, np.uint8)
    ones, prepared = np.mean(bits, axis=1), patterns.astype(bool)
    zeros_read, ones_read = np.mean(ones, axis=0, where=~prepared), np.mean(1.0 - ones, axis=0, where=prepared)
    pairs: dict[Block, np.ndarray] = {}
    for block in blocks:
        there, read = codes(patterns, block), codes(bits, block)
        if len(block) == 2 and len({*there.tolist()}) == 4:
            counts = [np.bincount(read[there == z].ravel(), minlength=4) for z in range(4)]
            pairs[block] = np.array([count / count.sum() for count in counts]).T
    known = ReadoutErrors(zeros_read, ones_read, pairs)
    own = tuple(dict.fromkeys(own for block in blocks for own in known.blocks(block)))
    covariances = np.zeros((len(patterns), len(own), len(own)))
    for covariance, of_one in zip(covariances, bits, strict=True):
        values = [(parity(block) @ known.inverse(block))[codes(of_one, block)] for block in own]
        covariance[:] = np.atleast_2d(np.cov(values, bias=True)) / max(len(of_one) - 1, 1)
    return dataclasses.replace(known, shots=CalibrationShots(patterns, own, covariances))
