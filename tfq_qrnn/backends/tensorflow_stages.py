"""The stages of a program as TensorFlow ops.

The qubits are split into groups of a few neighbours. A layer of one-qubit gates is one matrix product per group: the
gates' 2x2 matrices, different for every sample, are multiplied out (as a Kronecker product) to the group's matrix,
which then acts on the state seen as (group, rest). Each product turns the group from the front to the back, so that
after all groups the qubits stand as before. Readouts come from each group's reduced density matrix.
"""

import numpy as np
import tensorflow as tf

from tfq_qrnn.backends.stages import DenseStage, DiagonalStage, LocalStage, MonomialStage, PauliStage, make_stages
from tfq_qrnn.gates import ConstantUnitary
from tfq_qrnn.observables import pauli_action, pauli_matrix

_GROUP = 3  # qubits; of groups of 2 to 5, the fastest or within a tenth of it for 6 to 14 qubits, on 2 CPU cores


class CompiledProgram:
    """The stages of a program, each with `apply` and `invert`, and its readouts."""

    def __init__(self, program, dtype):
        real = np.dtype(dtype)
        complex_ = np.result_type(real, np.complex64)
        n = program.n_qubits
        self.stages = [
            _STAGES[type(stage)](stage, n, program.n_angles, real, complex_) for stage in make_stages(program)
        ]
        self.readouts = _Readouts(program, complex_)


def _complex(real):
    return tf.complex(real, tf.zeros_like(real))  # tf.cast would warn on the way back


class _Linear:
    """angles -> scale * angles[index] + offset for many instructions at once; index None gives the offset."""

    def __init__(self, terms, n_angles, real):
        matrix = np.zeros((n_angles, len(terms)), real)
        for column, (index, scale, _) in enumerate(terms):
            if index is not None:
                matrix[index, column] = scale
        self.matrix, self.offset = matrix, np.array([offset for _, _, offset in terms], real)

    def __call__(self, angles):
        return tf.matmul(angles, self.matrix) + self.offset


def _groups(n):
    """Sizes of the groups, as even as can be, none larger than _GROUP."""
    count = -(-n // _GROUP)
    return [len(part) for part in np.array_split(np.arange(n), count)]


class _Local:
    """A layer of one-qubit gates.

    Each gate of a qubit is cos(angle/2) even + sin(angle/2) odd with constant 2x2 matrices: (1, -iP) for a rotation,
    with the constant unitaries beside it multiplied in.
    """

    def __init__(self, stage, n, n_angles, real, complex_):
        paulis = {letter: pauli_matrix(((0, letter),), 1) for letter in "XYZ"}
        slots = []  # one list of (term, even, odd) per qubit
        for instructions in stage.instructions:
            gates, constant = [], np.eye(2, dtype=np.complex128)
            for instruction in instructions:
                if isinstance(instruction, ConstantUnitary):
                    constant = instruction.matrix @ constant
                else:
                    odd = -1j * paulis[instruction.pauli[0][1]]
                    term = (instruction.index, instruction.scale, instruction.offset)
                    gates.append((term, constant, odd @ constant))
                    constant = np.eye(2, dtype=np.complex128)
            if gates:
                term, even, odd = gates[-1]
                gates[-1] = (term, constant @ even, constant @ odd)
            else:
                gates.append(((None, 0.0, 0.0), constant, np.zeros((2, 2))))
            slots.append(gates)
        depth = max(len(gates) for gates in slots)
        for gates in slots:
            gates += [((None, 0.0, 0.0), np.eye(2), np.zeros((2, 2)))] * (depth - len(gates))
        self.n, self.depth, self.groups = n, depth, _groups(n)
        self.angles = _Linear([gates[k][0] for k in range(depth) for gates in slots], n_angles, real)
        self.even = np.array([[gates[k][1] for gates in slots] for k in range(depth)], complex_)
        self.odd = np.array([[gates[k][2] for gates in slots] for k in range(depth)], complex_)

    def matrices(self, angles):
        """The matrix of each group, `(batch, 2**size, 2**size)`."""
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

    def apply(self, state, angles):
        shape = tf.shape(state)
        for matrix in self.matrices(angles):
            size = matrix.shape[-1]
            state = tf.reshape(state, (-1, size, 2**self.n // size))
            state = tf.matmul(state, matrix, transpose_a=True, transpose_b=True)  # the group goes to the back
        return tf.reshape(state, shape)

    def invert(self, state, angles):
        shape = tf.shape(state)
        for matrix in self.matrices(angles):
            size = matrix.shape[-1]
            state = tf.reshape(state, (-1, size, 2**self.n // size))
            state = tf.matmul(state, tf.math.conj(matrix), transpose_a=True)
        return tf.reshape(state, shape)


def _kronecker(a, b):
    rows, columns = a.shape[1], b.shape[1]
    product = a[:, :, None, :, None] * b[:, None, :, None, :]
    return tf.reshape(product, (-1, rows * columns, rows * columns))


class _Monomial:
    def __init__(self, stage, n, n_angles, real, complex_):
        self.index = stage.index
        self.inverse = None if stage.index is None else np.argsort(stage.index).astype(np.int32)
        phase = stage.phase
        if phase is not None and np.all(phase.imag == 0):
            # Signs: two real products are cheaper than a complex one.
            self.phase = self.conjugate = phase.real.astype(real)
        elif phase is not None:
            self.phase, self.conjugate = phase.astype(complex_), phase.conj().astype(complex_)
        else:
            self.phase = self.conjugate = None

    def apply(self, state, angles):
        if self.index is not None:
            state = tf.gather(state, self.index, axis=1)
        return _times(state, self.phase)

    def invert(self, state, angles):
        state = _times(state, self.conjugate)
        return state if self.inverse is None else tf.gather(state, self.inverse, axis=1)


def _times(state, phase):
    if phase is None:
        return state
    if np.iscomplexobj(phase):
        return state * phase
    return tf.complex(tf.math.real(state) * phase, tf.math.imag(state) * phase)


class _Dense:
    """A constant matrix on some qubits: bring them to the front, multiply, bring them back."""

    def __init__(self, stage, n, n_angles, real, complex_):
        qubits = stage.constant.qubits
        order = list(qubits) + [q for q in range(n) if q not in qubits]
        self.to_front = np.arange(2**n).reshape((2,) * n).transpose(order).reshape(-1).astype(np.int32)
        self.to_back = np.argsort(self.to_front).astype(np.int32)
        self.matrix = stage.constant.matrix.astype(complex_)
        self.size = 2**n

    def _multiply(self, state, matrix):
        front = tf.reshape(tf.gather(state, self.to_front, axis=1), (-1, len(matrix), self.size // len(matrix)))
        product = tf.einsum("ij,bjr->bir", tf.constant(matrix), front)
        return tf.gather(tf.reshape(product, (-1, self.size)), self.to_back, axis=1)

    def apply(self, state, angles):
        return self._multiply(state, self.matrix)

    def invert(self, state, angles):
        return self._multiply(state, self.matrix.conj().T)


class _Diagonal:
    def __init__(self, stage, n, n_angles, real, complex_):
        self.angles = _Linear([(r.index, r.scale, r.offset) for r in stage.rotations], n_angles, real)
        self.signs = stage.signs.astype(real)

    def _phase(self, angles):
        exponent = tf.matmul(self.angles(angles) / 2, self.signs)
        return tf.complex(tf.cos(exponent), -tf.sin(exponent))

    def apply(self, state, angles):
        return state * self._phase(angles)

    def invert(self, state, angles):
        return state * tf.math.conj(self._phase(angles))


class _Pauli:
    def __init__(self, stage, n, n_angles, real, complex_):
        rotation = stage.rotation
        self.angle = _Linear([(rotation.index, rotation.scale, rotation.offset)], n_angles, real)
        self.index, self.phase = stage.index, (-1j * stage.phase).astype(complex_)

    def _rotate(self, state, angles, sign):
        half = self.angle(angles) / 2
        turned = tf.gather(state, self.index, axis=1) * self.phase
        return _complex(tf.cos(half)) * state + _complex(sign * tf.sin(half)) * turned

    def apply(self, state, angles):
        return self._rotate(state, angles, 1)

    def invert(self, state, angles):
        return self._rotate(state, angles, -1)


_STAGES = {
    LocalStage: _Local,
    MonomialStage: _Monomial,
    DenseStage: _Dense,
    DiagonalStage: _Diagonal,
    PauliStage: _Pauli,
}


class _Readouts:
    """State -> expectation values of the observables, `(batch, n_observables)`.

    Pauli strings inside one group are read from its reduced density matrix; each of the others takes a sweep.
    """

    def __init__(self, program, complex_):
        self.n, self.complex = program.n_qubits, complex_
        self.groups = _groups(self.n)
        starts = np.cumsum([0, *self.groups])
        # Column k of local[g] is the operator of observable k on group g, to be traced with the density matrix.
        local = [np.zeros((4**size, program.n_observables), np.complex128) for size in self.groups]
        self.used = [False] * len(self.groups)
        self.wide = []  # (observable, coefficient, index, phase)
        for k, terms in enumerate(program.readout_terms):
            for coefficient, pauli in terms:
                group = next(
                    (
                        g
                        for g, size in enumerate(self.groups)
                        if all(starts[g] <= q < starts[g] + size for q, _ in pauli)
                    ),
                    None,
                )
                if group is None:
                    index, phase = pauli_action(pauli, self.n)
                    self.wide.append((k, coefficient, index, phase.astype(complex_)))
                    continue
                size = self.groups[group]
                operator = pauli_matrix(tuple((q - int(starts[group]), letter) for q, letter in pauli), size)
                # <P> = sum_ij rho_ij P_ji, and rho is flattened row by row
                local[group][:, k] += coefficient * operator.T.reshape(-1)
                self.used[group] = True
        real = np.zeros(0, complex_).real.dtype
        # Re(rho P) = Re rho Re P - Im rho Im P: two real products
        self.real = [operators.real.astype(real) for operators in local]
        self.imaginary = [-operators.imag.astype(real) for operators in local]
        self.n_observables = program.n_observables

    def __call__(self, state):
        total = None
        remaining = sum(self.used)
        rotated = state
        for g, size in enumerate(self.groups):
            if not remaining:
                break
            rotated = tf.reshape(rotated, (-1, 2**size, 2 ** (self.n - size)))
            if self.used[g]:
                remaining -= 1
                density = tf.reshape(tf.matmul(rotated, rotated, adjoint_b=True), (-1, 4**size))
                read = tf.matmul(tf.math.real(density), self.real[g])
                read += tf.matmul(tf.math.imag(density), self.imaginary[g])
                total = read if total is None else total + read
            if remaining:
                rotated = tf.transpose(rotated, (0, 2, 1))
        for k, coefficient, index, phase in self.wide:
            turned = tf.gather(state, index, axis=1) * phase
            value = coefficient * tf.reduce_sum(tf.math.real(tf.math.conj(state) * turned), axis=1, keepdims=True)
            read = tf.pad(value, ((0, 0), (k, self.n_observables - 1 - k)))
            total = read if total is None else total + read
        return total
