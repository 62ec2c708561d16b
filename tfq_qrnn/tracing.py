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
from tfq_qrnn.observables import parse_observables, pauli_action, pauli_terms
from tfq_qrnn.program import GateProgram

_STEP = "_traced_step"  # the attribute of a cell


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
        return self.expectation("XYZ").reshape(*self.states.shape[:2], n, 3)

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

    def reduced_density_matrix(self, qubits: int | cirq.Qid | Sequence[int | cirq.Qid]) -> np.ndarray:
        """The state of some qubits, the others traced out, `(batch, time, 2**k, 2**k)`, complex.

        Args:
            qubits: One or several, by number or as qubits of the circuit; the first is the most significant bit.

        Raises:
            ValueError, TypeError: There is no such qubit, or one is there twice.

        >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=3), np.ones((1, 5, 4), "float32"))
        >>> trace.reduced_density_matrix([0, 2]).shape
        (1, 5, 4, 4)
        """
        numbers = self._numbers_of(qubits)
        (batch, time), n = self.states.shape[:2], self.program.n_qubits
        order = numbers + [q for q in range(n) if q not in numbers]
        tensor = self.states.reshape(batch, time, *(2,) * n).transpose(0, 1, *(2 + q for q in order))
        matrices = tensor.reshape(batch, time, 2 ** len(numbers), -1)
        return matrices @ matrices.conj().swapaxes(-1, -2)

    def _numbers_of(self, qubits):
        listed = list(qubits) if isinstance(qubits, (list, tuple, range, np.ndarray)) else [qubits]
        n, own = self.program.n_qubits, self.program.qubits
        if not listed or len(listed) > n:
            raise argument_error("qubits", f"name from 1 to {n} qubits", f"it names {len(listed)}")
        for qubit in listed:
            if isinstance(qubit, cirq.Qid) and qubit not in own:
                rule = f"be qubits of the circuit, {', '.join(map(str, own))}"
                raise argument_error("qubits", rule, f"one is {qubit}")
        numbers = [own.index(q) if isinstance(q, cirq.Qid) else check_int("qubits", q, 0, n - 1) for q in listed]
        if len(set(numbers)) < len(numbers):
            raise argument_error("qubits", "name each qubit once", f"it is {shown(qubits)}")
        return numbers

    def expectation(
        self, observable: cirq.PauliString | cirq.PauliSum | str | Sequence[cirq.PauliString | cirq.PauliSum]
    ) -> np.ndarray:
        """Expectation values of an observable, `(batch, time)`; of a list, `(batch, time, n)`.

        Args:
            observable: A `cirq.PauliString` or `cirq.PauliSum` on qubits of the circuit, or what the argument
                `observables` of a layer takes: a list of them, or letters.

        Raises:
            ValueError, TypeError: It is none of these, or acts on other qubits.

        >>> trace = tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=2), np.ones((1, 5, 4), "float32"))
        >>> a, b = trace.program.qubits
        >>> trace.expectation(cirq.Z(a) * cirq.Z(b)).shape
        (1, 5)
        """
        single = isinstance(observable, (cirq.PauliString, cirq.PauliSum))
        qubits = self.program.qubits
        observables = parse_observables([observable] if single else observable, qubits)
        if observables == "state":
            return np.concatenate([self.states.real, self.states.imag], axis=-1)
        if observables == "probabilities":
            return np.abs(self.states) ** 2
        values = np.zeros((*self.states.shape[:2], len(observables)), self.readouts.dtype)
        for k, terms in enumerate(pauli_terms(observables, qubits)):
            for coefficient, pauli in terms:
                index, phase = pauli_action(pauli, len(qubits))
                products = self.states.conj() * phase * self.states[..., index]
                values[..., k] += coefficient * np.sum(products, axis=-1).real
        return values[..., 0] if single else values

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


def _step_of(cell):
    """One time step of a cell, which TensorFlow traces once for each shape."""
    if not hasattr(cell, _STEP):
        step = tf.function(functools.partial(_step, cell), reduce_retracing=True)
        # Past Keras, which tracks what it sees, and in a tuple: a SavedModel would hold the function.
        object.__setattr__(cell, _STEP, (step,))
    return getattr(cell, _STEP)[0]


def _step(cell, projected, valid, *before):
    readouts, memory, state = before
    angles = cell.angles(projected, readouts, cell.step_weights(readouts, training=False))
    memory, readouts = cell.backend.step(cell.program, memory, angles)
    # A backend that replays has no state to show: the reference backend follows the same angles.
    carried = isinstance(cell.backend, CarriedBackend)
    state = memory if carried else TensorFlow().forward(cell.program, state, angles)[0]
    after = [tf.where(valid, new, old) for new, old in zip((readouts, memory, state), before, strict=True)]
    return tf.where(valid, angles, np.nan), *after


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

    step = _step_of(cell)
    steps = list(range(x.shape[1]))[:: -1 if layer.go_backwards else 1]
    taken = []
    for t in steps:
        angles, readouts, memory, state = step(inputs[:, t], valid[:, t, None], readouts, memory, state)
        taken.append((angles, readouts, state))
    angles, all_readouts, states = (np.stack(values, axis=1) for values in zip(*taken, strict=True))
    half = states.shape[-1] // 2
    states = states[..., :half] + 1j * states[..., half:]
    return Trace(angles, all_readouts, states, cell.program, valid.numpy()[:, steps], from_ground)
