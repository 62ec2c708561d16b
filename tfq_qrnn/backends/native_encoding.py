"""A GateProgram as the bytes that the native op reads (`ParseProgram` in native/program.cc).

Rotations about Z commute with CZ and with each other. So the Z rotations at both ends of a layer of one-qubit gates are
split off and merged with the phases around them; what remains of RZ RY is RY, a real matrix, for which the op has a
cheaper kernel. A constant gate is a phase times RZ RY RZ: it comes apart in the same way.
"""

import functools
import itertools
import math

import numpy as np

from tfq_qrnn.backends.stages import DenseStage, DiagonalStage, LocalStage, MonomialStage, PauliStage, make_stages
from tfq_qrnn.backends.turns import ROUNDING, Turn, axis_of, split_constants
from tfq_qrnn.gates import PauliRotation
from tfq_qrnn.observables import OF_THE_STATE

_FORMAT, _FORMAT_OF_THE_STATE = 2, 3  # 1 had no _CONSTANT_Y, and 3 reads the state itself
_LOCAL, _DIAGONAL, _PERMUTATION, _DENSE, _PAULI = range(5)
_NO_PHASE, _SIGNS, _COMPLEX = range(3)
_CONSTANT_AXIS, _CONSTANT_Y = 3, 4


@functools.lru_cache(maxsize=64)
def encode_program(program):
    """The bytes of a `GateProgram`."""
    return _Encoder(program).encode()


class _Encoder:
    def __init__(self, program):
        self.program, self.n = program, program.n_qubits
        self.ints, self.floats, self.blob, self.n_stages = [], [], [], 0
        # The diagonal that waits: Z rotations, phases, constant Z rotations qubit by qubit, a phase of the whole state.
        self.z_rotations, self.phase, self.z_angles, self.global_phase = [], None, np.zeros(self.n), 0.0

    def encode(self):
        add = {
            LocalStage: self._local,
            MonomialStage: self._monomial,
            DenseStage: self._dense,
            DiagonalStage: self._diagonal,
            PauliStage: self._pauli,
        }
        for stage in make_stages(self.program):
            add[type(stage)](stage)
        self._flush_diagonal()
        self._observables()
        # Programs of before, in files and in memory, have the format that older libraries read, too.
        program_format = _FORMAT_OF_THE_STATE if isinstance(self.program.observables, str) else _FORMAT
        head = [program_format, self.n, self.program.n_angles, self.program.n_observables, self.n_stages]
        ints, floats = np.array(head + self.ints, np.int64), np.array(self.floats, np.float64)
        sizes = np.array([ints.size, floats.size], np.int64)
        return b"".join([sizes.tobytes(), ints.tobytes(), floats.tobytes(), *self.blob])

    def _begin(self, kind):
        self.n_stages += 1
        self.ints.append(kind)

    def _rotation(self, rotation):
        self.ints.append(rotation.index)
        self.floats += [rotation.scale, rotation.offset]

    def _mask(self, pauli, letters):
        return sum(1 << (self.n - 1 - q) for q, letter in pauli if letter in letters)

    def _string(self, pauli):
        n_y = sum(letter == "Y" for _, letter in pauli)
        self.ints += [self._mask(pauli, "XY"), self._mask(pauli, "YZ"), n_y]

    def _local(self, stage):
        cores, after = [], []
        for qubit, instructions in enumerate(stage.instructions):
            turns, phase = split_constants(instructions)
            self.global_phase += phase
            end = len(turns) - sum(1 for _ in itertools.takewhile(_is_z, reversed(turns)))
            start = sum(1 for _ in itertools.takewhile(_is_z, turns[:end]))
            self._wait(qubit, turns[:start])
            after.append((qubit, turns[end:]))
            if start < end:
                cores.append((qubit, turns[start:end]))
        if cores:
            self._flush_diagonal()
            self._begin(_LOCAL)
            self.ints.append(len(cores))
            for qubit, turns in cores:
                self._core(qubit, turns)
        for qubit, turns in after:
            self._wait(qubit, turns)

    def _wait(self, qubit, turns):
        for turn in turns:
            if isinstance(turn, Turn):
                self.z_angles[qubit] += turn.angle
            else:
                self.z_rotations.append(turn)

    def _core(self, qubit, turns):
        if len(turns) == 1 and isinstance(turns[0], Turn):  # about Y, for those about Z are split off
            self.ints += [qubit, 1, _CONSTANT_Y]
            self.floats += [math.cos(turns[0].angle / 2), math.sin(turns[0].angle / 2)]
            return
        factors = []
        for constant, group in itertools.groupby(turns, lambda turn: isinstance(turn, Turn)):
            group = list(group)
            factors += [functools.reduce(np.matmul, [turn.matrix for turn in reversed(group)])] if constant else group
        self.ints += [qubit, len(factors)]
        for factor in factors:
            if isinstance(factor, PauliRotation):
                self.ints.append("XYZ".index(axis_of(factor)))
                self._rotation(factor)
            else:
                self.ints.append(_CONSTANT_AXIS)
                entries = factor.reshape(-1)
                self.floats += np.stack([entries.real, entries.imag], axis=1).reshape(-1).tolist()

    def _diagonal(self, stage):
        self.z_rotations += stage.rotations

    def _monomial(self, stage):
        if stage.index is not None:
            self._flush_diagonal()
            self._begin(_PERMUTATION)
            self.blob.append(stage.index.astype(np.int32).tobytes())
        if stage.phase is not None:
            self.phase = stage.phase if self.phase is None else self.phase * stage.phase

    def _flush_diagonal(self):
        """Write the diagonal that waits, if one does, before an operation that does not commute with it."""
        if self.z_angles.any() or self.global_phase:
            exponents = np.full(1, self.global_phase)
            for angle in self.z_angles:
                exponents = np.add.outer(exponents, [-angle / 2, angle / 2]).reshape(-1)
            phase = np.exp(1j * exponents)
            phase = phase if self.phase is None else self.phase * phase
            self.phase = None if np.allclose(phase, 1, rtol=0, atol=ROUNDING) else phase
            self.z_angles, self.global_phase = np.zeros(self.n), 0.0
        if not self.z_rotations and self.phase is None:
            return
        self._begin(_DIAGONAL)
        for local in (True, False):
            rotations = [r for r in self.z_rotations if (len(r.pauli) == 1) == local]
            self.ints.append(len(rotations))
            for rotation in rotations:
                self.ints.append(self._mask(rotation.pauli, "Z"))
                self._rotation(rotation)
        if self.phase is None:
            self.ints.append(_NO_PHASE)
        elif np.allclose(self.phase.imag, 0, rtol=0, atol=ROUNDING):
            self.ints.append(_SIGNS)
            self.blob.append(np.sign(self.phase.real).astype(np.int8).tobytes())
        else:
            self.ints.append(_COMPLEX)
            self.blob += [self.phase.real.astype(np.float64).tobytes(), self.phase.imag.astype(np.float64).tobytes()]
        self.z_rotations, self.phase = [], None

    def _dense(self, stage):
        self._flush_diagonal()
        self._begin(_DENSE)
        qubits, matrix = stage.constant.qubits, stage.constant.matrix
        self.ints += [len(qubits), *qubits]
        self.floats += [*matrix.real.reshape(-1).tolist(), *matrix.imag.reshape(-1).tolist()]

    def _pauli(self, stage):
        self._flush_diagonal()
        self._begin(_PAULI)
        self._string(stage.rotation.pauli)
        self._rotation(stage.rotation)

    def _observables(self):
        if isinstance(self.program.observables, str):
            self.ints.append(OF_THE_STATE[self.program.observables])
            return
        strings, terms = {}, []
        for observable, pauli_sum in enumerate(self.program.readout_terms):
            for coefficient, pauli in pauli_sum:
                if len(pauli) == 1:
                    value = 3 * pauli[0][0] + "XYZ".index(pauli[0][1])
                else:
                    value = 3 * self.n + strings.setdefault(pauli, len(strings))
                terms.append((observable, value, coefficient))
        self.ints.append(len(strings))
        for pauli in strings:
            self._string(pauli)
        self.ints.append(len(terms))
        for observable, value, coefficient in terms:
            self.ints += [observable, value]
            self.floats.append(coefficient)


def _is_z(turn):
    return axis_of(turn) == "Z"
