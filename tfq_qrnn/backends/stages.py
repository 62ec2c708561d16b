"""A program's instructions grouped into stages, each one sweep over the state.

One-qubit instructions wait, per qubit, until an instruction on several qubits needs one of theirs; then all that wait
form one `LocalStage`. Runs of sign flips and permutations on several qubits (CZ, CNOT, SWAP, iSWAP, Z strings) become
one `MonomialStage`, runs of rotations about Z strings one `DiagonalStage`.
"""

import dataclasses

import cirq
import numpy as np

from tfq_qrnn.gates import ConstantUnitary, PauliRotation
from tfq_qrnn.observables import pauli_action
from tfq_qrnn.program import is_monomial


@dataclasses.dataclass(frozen=True, eq=False)
class LocalStage:
    """For each qubit its one-qubit instructions, first acting first; a tuple per qubit, possibly empty."""

    instructions: tuple[tuple[PauliRotation | ConstantUnitary, ...], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class MonomialStage:
    """new[i] = phase[i] * old[index[i]]; `index` is None where nothing moves, `phase` None where all are 1."""

    index: np.ndarray | None
    phase: np.ndarray | None


@dataclasses.dataclass(frozen=True, eq=False)
class DenseStage:
    """A constant unitary on several qubits with more than one entry per row."""

    constant: ConstantUnitary


@dataclasses.dataclass(frozen=True, eq=False)
class DiagonalStage:
    """new[i] = exp(-i/2 sum_k angle_k signs[k, i]) old[i]; also the global phases, whose signs are 1."""

    rotations: tuple[PauliRotation, ...]
    signs: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class PauliStage:
    """A rotation about a Pauli string on several qubits with an X or a Y."""

    rotation: PauliRotation
    index: np.ndarray
    phase: np.ndarray


def make_stages(program):
    """The stages of a `GateProgram`, first acting first."""
    n = program.n_qubits
    stages, waiting = [], [[] for _ in range(n)]

    def flush():
        if any(waiting):
            stages.append(LocalStage(tuple(tuple(instructions) for instructions in waiting)))
            waiting[:] = [[] for _ in range(n)]

    for instruction in program.sparse_instructions:
        qubits = instruction.qubits
        if len(qubits) == 1:
            waiting[qubits[0]].append(instruction)
            continue
        if any(waiting[q] for q in qubits):
            flush()
        # Nothing that waits acts on these qubits, so the instruction may go before it.
        _append(stages, _stage_of(instruction, n), n)
    flush()
    return tuple(stages)


def _append(stages, stage, n):
    """Add a stage, merged with the last one where both are monomial or both diagonal."""
    last = stages[-1] if stages else None
    if isinstance(stage, MonomialStage) and isinstance(last, MonomialStage):
        stages[-1] = _compose(last, stage, n)
        if stages[-1].index is None and stages[-1].phase is None:
            stages.pop()
    elif isinstance(stage, DiagonalStage) and isinstance(last, DiagonalStage):
        stages[-1] = DiagonalStage(last.rotations + stage.rotations, np.concatenate([last.signs, stage.signs]))
    else:
        stages.append(stage)


def _stage_of(instruction, n):
    if isinstance(instruction, PauliRotation):
        index, phase = pauli_action(instruction.pauli, n)
        if all(letter == "Z" for _, letter in instruction.pauli):
            return DiagonalStage((instruction,), phase.real[None])
        return PauliStage(instruction, index, phase)
    if is_monomial(instruction.matrix):
        return _monomial(instruction, n)
    return DenseStage(instruction)


def _monomial(constant, n):
    """A one-entry-per-row unitary on some qubits as an index map of the whole register."""
    entries = np.abs(constant.matrix) > 0.5  # of a unitary with one entry per row

    def apply(matrix, vector):
        tensor = matrix.reshape((2,) * (2 * len(constant.qubits)))
        return cirq.targeted_left_multiply(tensor, vector.reshape((2,) * n), constant.qubits).reshape(-1)

    index = apply(entries.astype(np.int64), np.arange(2**n))
    return _simplified(index, apply(np.where(entries, constant.matrix, 0), np.ones(2**n, np.complex128)))


def _compose(first, second, n):
    basis = np.arange(2**n)
    first_index = basis if first.index is None else first.index
    second_index = basis if second.index is None else second.index
    first_phase = np.ones(2**n) if first.phase is None else first.phase
    second_phase = np.ones(2**n) if second.phase is None else second.phase
    return _simplified(first_index[second_index], second_phase * first_phase[second_index])


def _simplified(index, phase):
    return MonomialStage(
        None if np.array_equal(index, np.arange(len(index))) else index.astype(np.int32),
        None if np.allclose(phase, 1, rtol=0, atol=1e-14) else phase,
    )
