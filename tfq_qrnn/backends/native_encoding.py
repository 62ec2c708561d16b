"""A GateProgram as the bytes that the native op reads (`ParseProgram` in native/program.cc).

Rotations about Z commute with CZ and with each other. So the Z rotations at both ends of a layer of one-qubit gates are
split off and merged with the phases around them; what remains of RZ RY is RY, a real matrix, for which the op has a
cheaper kernel.
"""

import functools
import itertools

import numpy as np

from tfq_qrnn.backends.stages import DenseStage, DiagonalStage, LocalStage, MonomialStage, PauliStage, make_stages
from tfq_qrnn.gates import ConstantUnitary, PauliRotation

_FORMAT = 1
_LOCAL, _DIAGONAL, _PERMUTATION, _DENSE, _PAULI = range(5)
_NO_PHASE, _SIGNS, _COMPLEX = range(3)
_CONSTANT_AXIS = 3


@functools.lru_cache(maxsize=64)
def encode_program(program):
    """The bytes of a `GateProgram`."""
    return _Encoder(program).encode()


class _Encoder:
    def __init__(self, program):
        self.program, self.n = program, program.n_qubits
        self.ints, self.floats, self.blob, self.n_stages = [], [], [], 0
        self.z_rotations, self.phase = [], None  # the diagonal that waits

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
        head = [_FORMAT, self.n, self.program.n_angles, self.program.n_observables, self.n_stages]
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
        before, cores, after = [], [], []
        for qubit, instructions in enumerate(stage.instructions):
            end = len(instructions) - sum(1 for _ in itertools.takewhile(_is_z, reversed(instructions)))
            start = sum(1 for _ in itertools.takewhile(_is_z, instructions[:end]))
            before += instructions[:start]
            after += instructions[end:]
            if start < end:
                cores.append((qubit, instructions[start:end]))
        self.z_rotations += before
        if cores:
            self._flush_diagonal()
            self._begin(_LOCAL)
            self.ints.append(len(cores))
            for qubit, instructions in cores:
                self.ints += [qubit, len(instructions)]
                for instruction in instructions:
                    self._factor(instruction)
        self.z_rotations += after

    def _factor(self, instruction):
        if isinstance(instruction, ConstantUnitary):
            self.ints.append(_CONSTANT_AXIS)
            entries = instruction.matrix.reshape(-1)
            self.floats += np.stack([entries.real, entries.imag], axis=1).reshape(-1).tolist()
        else:
            self.ints.append("XYZ".index(instruction.pauli[0][1]))
            self._rotation(instruction)

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
        elif np.allclose(np.abs(self.phase.real), 1, rtol=0, atol=1e-14):
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


def _is_z(instruction):
    return isinstance(instruction, PauliRotation) and instruction.pauli[0][1] == "Z"
