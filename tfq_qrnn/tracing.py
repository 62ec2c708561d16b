"""What the memory does over a sequence."""

import dataclasses
import functools
from collections.abc import Sequence

import cirq
import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn import _keras
from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error, argument_type_error, counted, shown
from tfq_qrnn.backends import CarriedBackend, TensorFlow
from tfq_qrnn.backends.base import zeros_to_ground
from tfq_qrnn.layers.in_models import calls_within, find_layer, find_layers, is_recurrent
from tfq_qrnn.observables import pauli_action
from tfq_qrnn.program import GateProgram


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Trace:
    """Angles, readouts and states of every time step; step t is what stands after it.

    Attributes:
        angles: `(batch, time, n_angles)`, in radians, in the order of the program's symbols; NaN at masked steps, whose
            circuit does not run.
        readouts: `(batch, time, n_observables)`.
        states: `(batch, time, 2**n_qubits)`, complex; qubit 0 is the most significant bit.
        program: The `GateProgram` of one time step.
        mask: `(batch, time)`, bool; a masked step leaves state and readouts as they are.
        from_ground: Whether the sequences start from |0...0>.

    >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 3, 4), "float32"))
    >>> trace.states.shape, trace.purities().shape, trace.entanglement_entropies().shape
    ((1, 3, 4), (1, 3, 2), (1, 3, 1))
    >>> bool(np.allclose(trace.fidelities()[0].diagonal(), 1))
    True
    """

    angles: np.ndarray
    readouts: np.ndarray
    states: np.ndarray
    program: GateProgram
    mask: np.ndarray
    from_ground: bool = True

    def bloch_vectors(self) -> np.ndarray:
        """<X>, <Y>, <Z> of every qubit, `(batch, time, n_qubits, 3)`."""
        n = self.program.n_qubits
        vectors = np.empty((*self.states.shape[:2], n, 3), self.readouts.dtype)
        for qubit in range(n):
            for i, letter in enumerate("XYZ"):
                index, phase = pauli_action(((qubit, letter),), n)
                vectors[:, :, qubit, i] = np.sum(self.states.conj() * phase * self.states[..., index], axis=-1).real
        return vectors

    def purities(self) -> np.ndarray:
        """Tr(rho_q^2) of every qubit, `(batch, time, n_qubits)`: 1 for a product state, 1/2 at most entangled."""
        return (1 + np.sum(self.bloch_vectors() ** 2, axis=-1)) / 2

    def entanglement_entropies(self) -> np.ndarray:
        """Von Neumann entropies in bits across the cuts 0..k | k+1..n-1, `(batch, time, n_qubits - 1)`."""
        n = self.program.n_qubits
        entropies = np.zeros((*self.states.shape[:2], n - 1), self.readouts.dtype)
        for cut in range(n - 1):
            matrices = self.states.reshape(*self.states.shape[:2], 2 ** (cut + 1), -1)
            weights = np.linalg.svd(matrices, compute_uv=False) ** 2
            logarithms = np.log2(np.where(weights > 0, weights, 1))  # 0 log 0 = 0
            entropies[..., cut] = -np.sum(weights * logarithms, axis=-1)
        return entropies

    def fidelities(self) -> np.ndarray:
        """|<psi_s|psi_t>|^2 between all time steps s and t of a sequence, `(batch, time, time)`."""
        return np.abs(np.einsum("bsi,bti->bst", self.states.conj(), self.states)) ** 2

    def fidelities_between(self, index: int, other: int) -> np.ndarray:
        """|<psi_t|phi_t>|^2 between two sequences of the batch at each time step, `(time,)`.

        The trace distance of their states, which bounds how well any measurement tells them apart, is
        sqrt(1 - fidelity).

        Raises:
            ValueError: There is no such sequence.
        """
        first, second = (self.states[self.check_index(i)] for i in (index, other))
        return np.abs(np.sum(first.conj() * second, axis=-1)) ** 2

    def circuit(self, index: int) -> cirq.Circuit:
        """The circuit of one whole sequence, its angles resolved: all time steps that are not masked, in their order.

        Args:
            index: Which sequence of the batch.

        Raises:
            ValueError: There is no such sequence, or the trace starts from an `initial_state`, whose preparation no
                circuit here is; `program.resolve(angles)` gives its steps.
        """
        if not self.from_ground:
            raise argument_error("initial_state", "be None for a trace's circuit", "this trace started from one")
        angles = self.angles[self.check_index(index)][self.mask[index]]
        return sum((self.program.resolve(step) for step in angles), cirq.Circuit())

    def check_index(self, index: int, name: str = "index") -> int:
        """The index of a sequence as it is; ValueError where there is none."""
        batch = len(self.angles)
        check_int(name, index, -batch)
        if index >= batch:
            raise argument_error(name, f"be below the batch size, {batch}", f"it is {shown(index)}")
        return index

    def __repr__(self) -> str:
        batch, time = self.states.shape[:2]
        masked = int(np.sum(~self.mask))
        return (
            f"Trace({counted(batch, 'sequence')}, {counted(time, 'time step')}, "
            f"{f'{masked} of {self.mask.size} steps masked, ' if masked else ''}{self.program!r})"
        )


def _only_layer(model):
    found = find_layers(model)
    if len(found) > 1:
        names = ", ".join(layer.name for layer in found)
        given = f"it contains {names}; choose one, and name the model too: trace(layer, x, model=model)"
        raise argument_error("layer", "contain exactly one QRNN or RNN over a QRNNCell", given)
    if not found:
        for layer in _keras.all_layers(model):
            _refuse_stacked(layer)
    return find_layer(model)


def _refuse_stacked(layer):
    if isinstance(layer, keras.layers.RNN) and isinstance(layer.cell, keras.layers.StackedRNNCells):
        given = f"{layer.name} has stacked cells; make a QRNN of each, all but the last with return_sequences=True"
        raise argument_error("layer", "have one cell", given)


def trace(
    layer: keras.Layer,
    x: tf.Tensor | np.ndarray,
    initial_state: Sequence[tf.Tensor | np.ndarray] | None = None,
    mask: tf.Tensor | np.ndarray | None = None,
    model: keras.Model | None = None,
) -> Trace:
    """Run a layer on sequences and keep what its memory does.

    Args:
        layer: A `QRNN`, a `keras.layers.RNN` over a `QRNNCell`, or a Keras model with exactly one of them. With
            `go_backwards` the sequences are read from their end, as the layer does; dropout is off. With the TFQ
            backend, readouts (and so the angles) are that backend's, with its shots and noise; states are the exact
            ones of these angles.
        x: `(batch, time, features)`, one time step or more; for a model, what the model takes.
        initial_state: `[readouts, memory]` as the layer takes it; by default zeros and |0...0>, also for a stateful
            layer. In a model it is what the model gives the layer.
        mask: `(batch, time)`, bool; a masked step leaves the memory as it is. By default every step counts. In a model
            it is what the model gives the layer.
        model: The model around `layer`, where it has several: `x` is then what the model takes.

    Returns:
        A `Trace`, its steps in the order in which the layer reads them.

    Raises:
        TypeError: `layer` has no QRNNCell.
        ValueError: `x` is no batch of sequences, `initial_state` or `mask` is not of its sizes, or the model has not
            exactly one such layer, or does not call it once.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2)
    >>> seen = tfq_qrnn.trace(layer, np.ones((1, 3, 4), "float32"))
    >>> seen
    Trace(1 sequence, 3 time steps, GateProgram(2 qubits, 8 angles, 6 observables, 10 instructions))
    >>> seen.bloch_vectors().shape
    (1, 3, 2, 3)
    >>> print(len(list(seen.circuit(0).findall_operations(lambda op: op.gate == cirq.CZ))))
    6
    """
    if model is None and not is_recurrent(layer):
        if not isinstance(layer, keras.Model):
            _refuse_stacked(layer)
            raise argument_type_error("layer", "be a QRNN, a keras.layers.RNN over a QRNNCell, or a model", layer)
        layer, model = _only_layer(layer), layer
    if model is not None:
        for name, value in (("initial_state", initial_state), ("mask", mask)):
            if value is not None:
                raise argument_error(name, "be None for a layer in a model, which gives it", "it is there")
        calls = calls_within(model, layer, x)
        if len(calls) != 1:
            raise argument_error("model", f"call its layer {layer.name} once", f"it calls it {len(calls)} times")
        x, initial_state, mask = calls[0]
    x = tf.convert_to_tensor(x)
    if x.shape.rank != 3 or not x.shape[1]:
        raise argument_error("x", "have shape (batch, time, features)", f"its shape is {x.shape}")
    valid = tf.ones(x.shape[:2], tf.bool) if mask is None else tf.convert_to_tensor(mask)
    if valid.dtype != tf.bool or valid.shape != x.shape[:2]:
        given = f"it is {valid.dtype.name} of shape {tuple(valid.shape)}"
        raise argument_error("mask", f"be bool of shape {tuple(x.shape[:2])}", given)
    if not layer.built:
        layer.build(x.shape)
    cell = layer.cell
    cell.backend.check_timesteps(x.shape[1])
    from_ground = initial_state is None
    if from_ground:
        initial_state = cell.get_initial_state(x.shape[0])
    if isinstance(initial_state, (list, tuple)):
        initial_state = [tf.convert_to_tensor(state) for state in initial_state]
    cell.check_states("initial_state", initial_state)
    readouts, memory = (tf.cast(state, cell.compute_dtype) for state in initial_state)
    inputs = cell.project(x)
    carried = isinstance(cell.backend, CarriedBackend)
    state = zeros_to_ground(memory) if carried else TensorFlow().initial_memory(cell.program, x.shape[0], memory.dtype)

    def step(projected, valid, *before):
        readouts, memory, state = before
        angles = cell.angles(projected, readouts, cell.step_weights(readouts, training=False))
        memory, readouts = cell.backend.step(cell.program, memory, angles)
        # A backend that replays has no state to show: the reference backend follows the same angles.
        state = memory if carried else TensorFlow().forward(cell.program, state, angles)[0]
        after = [tf.where(valid, new, old) for new, old in zip((readouts, memory, state), before, strict=True)]
        return tf.where(valid, angles, np.nan), *after

    # A partial has no code of its own, by which TensorFlow would warn of one function that is traced again and again.
    step = tf.function(functools.partial(step))
    steps = list(range(x.shape[1]))[:: -1 if layer.go_backwards else 1]
    taken = []
    for t in steps:
        angles, readouts, memory, state = step(inputs[:, t], valid[:, t, None], readouts, memory, state)
        taken.append((angles, readouts, state))
    angles, all_readouts, states = (np.stack(values, axis=1) for values in zip(*taken, strict=True))
    half = states.shape[-1] // 2
    states = states[..., :half] + 1j * states[..., half:]
    return Trace(angles, all_readouts, states, cell.program, valid.numpy()[:, steps], from_ground)
