"""What the memory does over a sequence."""

import dataclasses

import cirq
import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn._checks import argument_error, argument_type_error
from tfq_qrnn.backends import CarriedBackend, TensorFlow
from tfq_qrnn.backends.base import zeros_to_ground
from tfq_qrnn.layers import QRNNCell
from tfq_qrnn.observables import pauli_action
from tfq_qrnn.program import GateProgram


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Trace:
    """Angles, readouts and states of every time step; step t is what stands after it.

    Attributes:
        angles: `(batch, time, n_angles)`, in radians, in the order of the program's symbols.
        readouts: `(batch, time, n_observables)`.
        states: `(batch, time, 2**n_qubits)`, complex; qubit 0 is the most significant bit.
        program: The `GateProgram` of one time step.
        from_ground: Whether the sequences start from |0...0>.
    """

    angles: np.ndarray
    readouts: np.ndarray
    states: np.ndarray
    program: GateProgram
    from_ground: bool = True

    def bloch_vectors(self):
        """<X>, <Y>, <Z> of every qubit, `(batch, time, n_qubits, 3)`."""
        n = self.program.n_qubits
        vectors = np.empty((*self.states.shape[:2], n, 3), self.readouts.dtype)
        for qubit in range(n):
            for i, letter in enumerate("XYZ"):
                index, phase = pauli_action(((qubit, letter),), n)
                vectors[:, :, qubit, i] = np.sum(self.states.conj() * phase * self.states[..., index], axis=-1).real
        return vectors

    def purities(self):
        """Tr(rho_q^2) of every qubit, `(batch, time, n_qubits)`: 1 for a product state, 1/2 at most entangled."""
        return (1 + np.sum(self.bloch_vectors() ** 2, axis=-1)) / 2

    def entanglement_entropies(self):
        """Von Neumann entropies in bits across the cuts 0..k | k+1..n-1, `(batch, time, n_qubits - 1)`."""
        n = self.program.n_qubits
        entropies = np.zeros((*self.states.shape[:2], n - 1), self.readouts.dtype)
        for cut in range(n - 1):
            matrices = self.states.reshape(*self.states.shape[:2], 2 ** (cut + 1), -1)
            weights = np.linalg.svd(matrices, compute_uv=False) ** 2
            logarithms = np.log2(np.where(weights > 0, weights, 1))  # 0 log 0 = 0
            entropies[..., cut] = -np.sum(weights * logarithms, axis=-1)
        return entropies

    def fidelities(self):
        """|<psi_s|psi_t>|^2 between all time steps s and t of a sequence, `(batch, time, time)`."""
        return np.abs(np.einsum("bsi,bti->bst", self.states.conj(), self.states)) ** 2

    def circuit(self, index) -> cirq.Circuit:
        """The circuit of one whole sequence, its angles resolved: all time steps, one after the other.

        Args:
            index: Which sequence of the batch.

        Raises:
            ValueError: There is no such sequence, or the trace starts from an `initial_state`, whose preparation no
                circuit here is; `program.resolve(angles)` gives its steps.
        """
        if not self.from_ground:
            raise argument_error("initial_state", "be None for a trace's circuit", "this trace started from one")
        if not -len(self.angles) <= index < len(self.angles):
            raise argument_error("index", f"be below the batch size, {len(self.angles)}", f"it is {index}")
        return sum((self.program.resolve(angles) for angles in self.angles[index]), cirq.Circuit())

    def __repr__(self):
        batch, time = self.states.shape[:2]
        return f"Trace({batch} sequences, {time} time steps, {self.program!r})"


def trace(layer, x, initial_state=None):
    """Run a layer on sequences and keep what its memory does.

    Args:
        layer: A `QRNN`, or a `keras.layers.RNN` over a `QRNNCell`. With `go_backwards` the sequences are read from
            their end, as the layer does; dropout is off. With the TFQ backend, readouts (and so the angles) are that
            backend's, with its shots and noise; states are the exact ones of these angles.
        x: `(batch, time, features)`, one time step or more; every step counts, there is no mask.
        initial_state: `[readouts, memory]` as the layer takes it; by default zeros and |0...0>.

    Returns:
        A `Trace`.

    Raises:
        TypeError: `layer` has no QRNNCell.
        ValueError: `x` is no batch of sequences, or `initial_state` is not of the layer's sizes.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2)
    >>> seen = tfq_qrnn.trace(layer, np.ones((1, 3, 4), "float32"))
    >>> seen.bloch_vectors().shape
    (1, 3, 2, 3)
    >>> print(len(list(seen.circuit(0).findall_operations(lambda op: op.gate == cirq.CZ))))
    6
    """
    cell = getattr(layer, "cell", None)
    if not isinstance(layer, keras.layers.RNN) or not isinstance(cell, QRNNCell):
        raise argument_type_error("layer", "be a QRNN or a keras.layers.RNN over a QRNNCell", layer)
    x = tf.convert_to_tensor(x)
    if x.shape.rank != 3 or not x.shape[1]:
        raise argument_error("x", "have shape (batch, time, features)", f"its shape is {x.shape}")
    if not layer.built:
        layer.build(x.shape)
    cell.engine.check_timesteps(x.shape[1])
    from_ground = initial_state is None
    if from_ground:
        initial_state = cell.get_initial_state(x.shape[0])
    initial_state = [tf.convert_to_tensor(state) for state in initial_state]
    cell.check_states("initial_state", initial_state)
    readouts, memory = (tf.cast(state, cell.compute_dtype) for state in initial_state)
    inputs = cell.controller.project(tf.cast(x, cell.compute_dtype))
    carried = isinstance(cell.engine, CarriedBackend)
    state = zeros_to_ground(memory) if carried else TensorFlow().initial_memory(cell.program, x.shape[0], memory.dtype)

    @tf.function
    def step(projected, readouts, memory, state):
        angles = cell.angles(projected, readouts, cell.step_weights(readouts, training=False))
        memory, readouts = cell.engine.step(cell.program, memory, angles)
        # A backend that replays has no state to show: the reference backend follows the same angles.
        state = memory if carried else TensorFlow().forward(cell.program, state, angles)[0]
        return angles, readouts, memory, state

    steps = range(x.shape[1])
    angles, all_readouts, states = [], [], []
    for t in reversed(steps) if layer.go_backwards else steps:
        angle, readouts, memory, state = step(inputs[:, t], readouts, memory, state)
        angles.append(angle)
        all_readouts.append(readouts)
        states.append(state)
    angles, all_readouts, states = (
        np.stack([v.numpy() for v in values], 1) for values in (angles, all_readouts, states)
    )
    half = states.shape[-1] // 2
    return Trace(angles, all_readouts, states[..., :half] + 1j * states[..., half:], cell.program, from_ground)
