"""The stages of a program as TensorFlow ops.

The qubits are split into groups of a few neighbours. A layer of one-qubit gates is one matrix product per group: the
gates' 2x2 matrices, different for every sample, are multiplied out (as a Kronecker product) to the group's matrix,
which then acts on the state seen as (group, rest). Each product turns the group from the front to the back, so that
after all groups the qubits stand as before. Readouts come from each group's reduced density matrix.
"""

import functools
import operator

import numpy as np
import tensorflow as tf

from tfq_qrnn.backends.rounding import round_phases, round_unitary
from tfq_qrnn.backends.stages import DenseStage, DiagonalStage, LocalStage, MonomialStage, PauliStage, make_stages
from tfq_qrnn.gates import ConstantUnitary
from tfq_qrnn.observables import pauli_action, pauli_matrix

_GROUP = 3  # qubits; of groups of 2 to 5, the fastest or within a tenth of it for 6 to 14 qubits, on 2 CPU cores


class CompiledProgram:
    """The stages of a program, functions of a state, the angles and whether to undo them, and its readouts."""

    def __init__(self, program, dtype):
        real = np.dtype(dtype)
        dtypes = real, np.result_type(real, np.complex64)
        n, n_angles = program.n_qubits, program.n_angles
        self.stages = [_STAGES[type(stage)](stage, n, n_angles, *dtypes) for stage in make_stages(program)]
        of_the_state = isinstance(program.observables, str)
        self.readouts = _READ[program.observables] if of_the_state else _Readouts(program, *dtypes)


def _complex(real):
    return tf.complex(real, tf.zeros_like(real))  # tf.cast would warn on the way back


class _Linear:
    """angles -> scale * angles[index] + offset for many rotations at once; 0 where one is None."""

    def __init__(self, rotations, n_angles, real):
        self.matrix, self.offset = np.zeros((n_angles, len(rotations)), real), np.zeros(len(rotations), real)
        for column, rotation in enumerate(rotations):
            if rotation is not None:
                self.matrix[rotation.index, column], self.offset[column] = rotation.scale, rotation.offset

    def __call__(self, angles):
        return tf.matmul(angles, self.matrix) + self.offset


def _groups(n):
    """Sizes of the groups, as even as can be, none larger than _GROUP."""
    return [len(part) for part in np.array_split(np.arange(n), -(-n // _GROUP))]


class _Local:
    """A layer of one-qubit gates.

    Each gate of a qubit is cos(angle/2) even + sin(angle/2) odd with constant 2x2 matrices: (1, -iP) for a rotation,
    with the constant unitaries beside it multiplied in. Without any rotation the groups' matrices are constant.
    """

    def __init__(self, stage, n, n_angles, real, complex_):
        slots = []  # one list of (rotation, even, odd) per qubit
        for instructions in stage.instructions:
            gates, constant = [], np.eye(2, dtype=np.complex128)
            for instruction in instructions:
                if isinstance(instruction, ConstantUnitary):
                    constant = instruction.matrix @ constant
                else:
                    letter = instruction.pauli[0][1]
                    gates.append((instruction, constant, -1j * pauli_matrix(((0, letter),), 1) @ constant))
                    constant = np.eye(2, dtype=np.complex128)
            rotation, even, odd = gates.pop() if gates else (None, np.eye(2), np.zeros((2, 2)))
            slots.append([*gates, (rotation, constant @ even, constant @ odd)])
        depth = max(len(gates) for gates in slots)
        for gates in slots:
            gates += [(None, np.eye(2), np.zeros((2, 2)))] * (depth - len(gates))
        self.n, self.depth, self.groups = n, depth, _groups(n)
        even = np.array([[gates[k][1] for gates in slots] for k in range(depth)], np.complex128)
        odd = np.array([[gates[k][2] for gates in slots] for k in range(depth)], np.complex128)
        rotations = [gates[k][0] for k in range(depth) for gates in slots]
        self.constant = None
        if not any(rotations):
            parts = np.split(even[0], np.cumsum(self.groups)[:-1])
            self.constant = [round_unitary(functools.reduce(np.kron, part), complex_) for part in parts]
        self.angles = _Linear(rotations, n_angles, real)
        self.even, self.odd = even.astype(complex_), odd.astype(complex_)

    def matrices(self, angles):
        """The matrix of each group, `(batch, 2**size, 2**size)`, or without the batch where all are constant."""
        if self.constant is not None:
            return self.constant
        half = tf.reshape(self.angles(angles) / 2, (-1, self.depth, self.n, 1, 1))
        gates = _complex(tf.cos(half)) * self.even + _complex(tf.sin(half)) * self.odd
        product = gates[:, 0]
        for k in range(1, self.depth):
            product = tf.matmul(gates[:, k], product)
        matrices, qubit = [], 0
        for size in self.groups:
            matrix = product[:, qubit]
            for q in range(qubit + 1, qubit + size):
                matrix = _kronecker(matrix, product[:, q])
            matrices.append(matrix)
            qubit += size
        return matrices

    def __call__(self, state, angles, undo=False):
        shape = tf.shape(state)
        for matrix in self.matrices(angles):
            size = matrix.shape[-1]
            state = tf.reshape(state, (-1, size, 2**self.n // size))
            matrix = tf.math.conj(matrix) if undo else matrix
            state = tf.matmul(state, matrix, transpose_a=True, transpose_b=not undo)  # the group goes to the back
        return tf.reshape(state, shape)


def _kronecker(a, b):
    # By way of few axes: with that of a vectorized Jacobian, TensorFlow broadcasts no more than these.
    rows, columns = a.shape[1], b.shape[1]
    product = tf.reshape(a, (-1, rows**2, 1)) * tf.reshape(b, (-1, 1, columns**2))
    product = tf.transpose(tf.reshape(product, (-1, rows, rows, columns, columns)), (0, 1, 3, 2, 4))
    return tf.reshape(product, (-1, rows * columns, rows * columns))


class _Monomial:
    def __init__(self, stage, n, n_angles, real, complex_):
        self.index, self.phase = stage.index, stage.phase
        if self.index is not None:
            self.inverse = np.argsort(self.index).astype(np.int32)
        if self.phase is not None:
            signs = np.all(self.phase.imag == 0)
            self.phase = self.phase.real.astype(real) if signs else round_phases(self.phase, complex_)

    def __call__(self, state, angles, undo=False):
        if undo:
            return self._move(self._turn(state, undo), undo)
        return self._turn(self._move(state, undo), undo)

    def _move(self, state, undo):
        if self.index is None:
            return state
        return tf.gather(state, self.inverse if undo else self.index, axis=1)

    def _turn(self, state, undo):
        if self.phase is None:
            return state
        if np.iscomplexobj(self.phase):
            return state * (self.phase.conj() if undo else self.phase)
        # Signs: two real products are cheaper than a complex one.
        return tf.complex(tf.math.real(state) * self.phase, tf.math.imag(state) * self.phase)


class _Dense:
    """A constant matrix on some qubits: bring them to the front, multiply, bring them back."""

    def __init__(self, stage, n, n_angles, real, complex_):
        qubits = stage.constant.qubits
        order = list(qubits) + [q for q in range(n) if q not in qubits]
        self.to_front = np.arange(2**n).reshape((2,) * n).transpose(order).reshape(-1).astype(np.int32)
        self.to_back = np.argsort(self.to_front).astype(np.int32)
        self.matrix = round_unitary(stage.constant.matrix, complex_)

    def __call__(self, state, angles, undo=False):
        matrix, size = self.matrix.conj().T if undo else self.matrix, len(self.to_front)
        front = tf.reshape(tf.gather(state, self.to_front, axis=1), (-1, len(matrix), size // len(matrix)))
        product = tf.einsum("ij,bjr->bir", tf.constant(matrix), front)
        return tf.gather(tf.reshape(product, (-1, size)), self.to_back, axis=1)


class _Diagonal:
    def __init__(self, stage, n, n_angles, real, complex_):
        self.angles = _Linear(stage.rotations, n_angles, real)
        self.signs = stage.signs.astype(real)

    def __call__(self, state, angles, undo=False):
        exponent = tf.matmul(self.angles(angles) / 2, self.signs)
        sine = tf.sin(exponent)
        return state * tf.complex(tf.cos(exponent), sine if undo else -sine)


class _Pauli:
    def __init__(self, stage, n, n_angles, real, complex_):
        self.angle = _Linear([stage.rotation], n_angles, real)
        self.index, self.phase = stage.index, (-1j * stage.phase).astype(complex_)

    def __call__(self, state, angles, undo=False):
        half = self.angle(angles) / (-2 if undo else 2)
        turned = tf.gather(state, self.index, axis=1) * self.phase
        return _complex(tf.cos(half)) * state + _complex(tf.sin(half)) * turned


_STAGES = {
    LocalStage: _Local,
    MonomialStage: _Monomial,
    DenseStage: _Dense,
    DiagonalStage: _Diagonal,
    PauliStage: _Pauli,
}


def _probabilities(state):
    return tf.math.real(state) ** 2 + tf.math.imag(state) ** 2


def _amplitudes(state):
    return tf.concat([tf.math.real(state), tf.math.imag(state)], axis=-1)


_READ = {"probabilities": _probabilities, "state": _amplitudes}


class _Readouts:
    """State -> expectation values of the observables, `(batch, n_observables)`.

    Pauli strings inside one group are read from its reduced density matrix; each of the others takes a sweep.
    """

    def __init__(self, program, real, complex_):
        self.n, self.n_observables = program.n_qubits, program.n_observables
        self.groups = _groups(self.n)
        group_of, starts = np.repeat(np.arange(len(self.groups)), self.groups), np.cumsum([0, *self.groups])
        # Column k of local[g] is the operator of observable k on group g, to be traced with the density matrix.
        local = [np.zeros((4**size, self.n_observables), np.complex128) for size in self.groups]
        self.used = set()
        self.wide = []  # (observable, coefficient, index, phase)
        for k, terms in enumerate(program.readout_terms):
            for coefficient, pauli in terms:
                first, *others = sorted({int(group_of[q]) for q, _ in pauli}) or [0]
                if others:
                    index, phase = pauli_action(pauli, self.n)
                    self.wide.append((k, coefficient, index, phase.astype(complex_)))
                else:
                    inside = tuple((q - int(starts[first]), letter) for q, letter in pauli)
                    matrix = pauli_matrix(inside, self.groups[first])
                    # <P> = sum_ij rho_ij P_ji, and rho is flattened row by row
                    local[first][:, k] += coefficient * matrix.T.reshape(-1)
                    self.used.add(first)
        # Re(rho P) = Re rho Re P - Im rho Im P: two real products
        self.real = [operators.real.astype(real) for operators in local]
        self.imaginary = [-operators.imag.astype(real) for operators in local]

    def __call__(self, state):
        reads, rotated, last = [], state, max(self.used, default=-1)
        for g, size in enumerate(self.groups[: last + 1]):
            rotated = tf.reshape(rotated, (-1, 2**size, 2 ** (self.n - size)))
            if g in self.used:
                density = tf.reshape(tf.matmul(rotated, rotated, adjoint_b=True), (-1, 4**size))
                read = tf.matmul(tf.math.real(density), self.real[g])
                reads.append(read + tf.matmul(tf.math.imag(density), self.imaginary[g]))
            if g < last:
                rotated = tf.transpose(rotated, (0, 2, 1))
        for k, coefficient, index, phase in self.wide:
            turned = tf.gather(state, index, axis=1) * phase
            value = coefficient * tf.reduce_sum(tf.math.real(tf.math.conj(state) * turned), axis=1, keepdims=True)
            reads.append(tf.pad(value, ((0, 0), (k, self.n_observables - 1 - k))))
        return functools.reduce(operator.add, reads)
