"""The recurrent layer: to QRNNCell what LSTM is to LSTMCell."""

import numbers
from collections.abc import Sequence
from typing import Any

import cirq
import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn import _keras, backends
from tfq_qrnn._checks import check_real
from tfq_qrnn._errors import argument_error, shown
from tfq_qrnn.backends.base import CarriedBackend, zeros_to_ground
from tfq_qrnn.circuits import Ansatz
from tfq_qrnn.layers.controller import Controller
from tfq_qrnn.layers.qrnn_cell import QRNNCell, deserialize_arguments, refuse_units
from tfq_qrnn.layers.reversible_scan import reversible_scan
from tfq_qrnn.layers.versioned import Versioned


@keras.saving.register_keras_serializable(package="tfq_qrnn")
class QRNN(Versioned, keras.layers.RNN):
    """Recurrent layer whose memory is the quantum state of a circuit.

    With the same weights `QRNN(...)` gives what `keras.layers.RNN(QRNNCell(...))` gives, outputs and gradients. Where
    the backend carries the state it runs the whole sequence in one loop and goes backward by undoing the circuit, so
    that the memory of a training step holds no state but the last, however many time steps there are.

    `tfq_qrnn.export` writes a SavedModel that needs nothing of this package. (`model.export` writes the op of the
    native backend as it is: whoever loads that needs its library first, `tfq_qrnn.backends.Native()`.)

    Args:
        n_qubits, depth, circuit, observables, controller, trainable_circuit, circuit_initializer: As in `QRNNCell`.
        dropout, recurrent_dropout: As in `QRNNCell`, with one mask for all time steps, as in LSTM.
        seed, backend: As in `QRNNCell`.
        return_sequences: Whether to return the readouts of every time step, or only the last.
        return_state: Whether to return the last state too.
        go_backwards: Whether to read the sequence from its end; outputs come in that order.
        stateful: Whether each batch starts from the states at which the last one ended. `reset_state()` gives |0...0>.
        unroll: Whether to unroll the loop; its memory then grows with the number of time steps.
        zero_output_for_mask: Whether a masked step outputs zeros, or the readouts of the step before.
        activity_regularizer: Regularizer of the output.
        **kwargs: Arguments of a Keras layer.

    Call arguments:
        sequences: `(batch, time, features)`.
        initial_state: `[readouts (batch, n_observables), memory (batch, 2 * 2**n_qubits)]`, as `return_state` gives
            them. Memories are normalised states; one of all zeros is |0...0>.
        mask: `(batch, time)`, bool; a masked step leaves the state as it is.
        training: Whether dropout applies.

    Returns:
        `(batch, n_observables)`, or `(batch, time, n_observables)` with `return_sequences`; with `return_state` a tuple
        of it, readouts and memory.

    Raises:
        ValueError, TypeError: An argument is out of its range; the message names it.

    >>> layer = tfq_qrnn.QRNN(n_qubits=3, return_sequences=True)
    >>> layer(np.ones((2, 5, 4), "float32")).shape
    TensorShape([2, 5, 9])
    """

    def __init__(
        self,
        n_qubits: int | None = None,
        depth: int = 2,
        circuit: Ansatz | cirq.AbstractCircuit | None = None,
        observables: str | Sequence[cirq.PauliString | cirq.PauliSum] = "XYZ",
        controller: int | Sequence[int] | keras.Layer = (32,),
        trainable_circuit: Ansatz | cirq.AbstractCircuit | None = None,
        circuit_initializer: str | keras.initializers.Initializer = "random_normal",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        backend: str | backends.Backend = "auto",
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        activity_regularizer: str | keras.regularizers.Regularizer | None = None,
        **kwargs: Any,
    ):
        refuse_units(kwargs)
        shared = (n_qubits, depth, circuit, observables, controller, trainable_circuit, circuit_initializer)
        of_layer = {"dtype": kwargs.get("dtype"), "trainable": kwargs.get("trainable", True), "name": "qrnn_cell"}
        cell = QRNNCell(*shared, dropout, recurrent_dropout, seed, backend, **of_layer)
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self._make_scans()

    def _make_scans(self) -> None:
        """Make what runs whole sequences on the cell's backend."""
        cell = self.cell
        self.supports_jit = cell.supports_jit
        self._scan = self._native_scan = None
        if isinstance(cell.backend, CarriedBackend):
            self._scan = reversible_scan(cell.backend, cell.program, cell.angles)
            if isinstance(cell.controller, Controller):
                self._native_scan = cell.backend.sequence(
                    cell.program,
                    n_layers=len(cell.controller.hidden_units) + 1,
                    activation=cell.controller.activation,
                    use_bias=cell.controller.use_bias,
                    trained=cell.trainable_circuit is not None,
                )

    def build(self, sequences_shape: tuple[int | None, ...], initial_state_shape: Any = None) -> None:
        shape = sequences_shape if isinstance(sequences_shape, (list, tuple, tf.TensorShape)) else ()
        if len(shape) != 3 or not all(size is None or isinstance(size, numbers.Integral) for size in shape):
            raise argument_error(
                "sequences", "have shape (batch, time, features)", f"its shape is {shown(sequences_shape)}"
            )
        self._check_timesteps(sequences_shape)  # a functional model is refused when it is made
        if not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]), timesteps=sequences_shape[1])
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: sequences_shape[-1]})
        super().build(sequences_shape, initial_state_shape)

    def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        _keras.refuse_keras_2("sequences", sequences, args, kwargs)
        if isinstance(sequences, tf.RaggedTensor):  # before Keras sees it
            how = "write layer(x.to_tensor(), mask=tf.sequence_mask(x.row_lengths()))"
            raise argument_error("sequences", "be a dense tensor", f"it is a RaggedTensor; {how}")
        return super().__call__(sequences, *args, **kwargs)

    def call(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> Any:
        self._check_timesteps(sequences.shape)
        check_real("sequences", sequences)
        _check_mask(mask, sequences)
        if initial_state is not None:
            self.cell.check_states("initial_state", initial_state)
            batches = {state.shape[0] for state in (sequences, *initial_state)} - {None}
            if len(batches) > 1:
                raise argument_error(
                    "initial_state", f"have the batch size of the sequences, {sequences.shape[0]}", "it has another"
                )
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def _check_timesteps(self, shape):
        if shape[1] is not None and shape[1] < 1:
            raise argument_error("sequences", "have one time step or more", f"its shape is {tuple(shape)}")
        self.cell.backend.check_timesteps(shape[1])

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Sequence[tf.Tensor], mask: tf.Tensor | None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        if self._scan is None or self.unroll:
            return super().inner_loop(sequences, initial_state, mask, training=training)
        cell = self.cell
        mask = keras.tree.flatten(mask)[0] if mask is not None else None
        readouts, memory = map(tf.convert_to_tensor, initial_state)  # those of a stateful layer are variables
        inputs = tf.cast(sequences, cell.compute_dtype)
        if training and cell.dropout > 0:
            inputs = inputs * tf.cast(cell.get_dropout_mask(inputs[:, 0]), inputs.dtype)[:, None]
        projected = cell.project(inputs)
        noise, seeds = cell.draw(projected, training)
        inputs = tf.transpose(projected, (1, 0, 2))
        valid = None if mask is None else tf.transpose(tf.cast(mask, tf.bool))
        if self.go_backwards:
            backwards = (inputs, valid, noise, seeds)
            inputs, valid, noise, seeds = (None if v is None else tf.reverse(v, [0]) for v in backwards)
        arguments = (readouts, zeros_to_ground(memory), *cell.step_weights(readouts, training))
        if self._native_scan and noise is None:
            outputs, readouts, memory = self._native_scan(inputs, valid, *arguments)
        else:
            outputs, readouts, memory = self._scan(inputs, valid, noise, seeds, *arguments)
        outputs = tf.transpose(outputs, (1, 0, 2))
        if mask is not None:
            visible = tf.transpose(valid)[:, :, None]
            if not self.zero_output_for_mask:
                # Keras: before its first valid step a sequence outputs zeros, whatever its initial state.
                visible = tf.cumsum(tf.cast(visible, tf.int32), axis=1) > 0
            outputs = tf.where(visible, outputs, tf.zeros_like(outputs))
        return outputs[:, -1], outputs, [readouts, memory]

    def reset_state(self) -> None:
        """Put the memory of every sequence back to |0...0> and its readouts to zeros."""
        if self.states is not None:
            fresh = self.get_initial_state(self.states[0].shape[0])
            for variable, value in zip(self.states, fresh, strict=True):
                variable.assign(value)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["cell"]
        own = {"name", "trainable", "dtype"}
        cell_config = {key: value for key, value in self.cell.get_config().items() if key not in own}
        regularizer = keras.regularizers.serialize(self.activity_regularizer)
        return {**config, **cell_config, "activity_regularizer": regularizer}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "QRNN":
        return cls(**deserialize_arguments(config))


def _check_mask(mask, sequences):
    """Keras transposes masks, adds an axis to them, and fails somewhere else."""
    while isinstance(mask, (list, tuple)) and len(mask) == 1:
        mask = mask[0]
    if mask is None or getattr(getattr(mask, "shape", None), "rank", 0) is None:
        return
    shape, wanted = tuple(mask.shape if hasattr(mask, "shape") else np.shape(mask)), tuple(sequences.shape[:2])
    pairs = zip(shape, wanted, strict=False)
    if len(shape) != 2 or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
        text = f"({', '.join('any' if size is None else str(size) for size in wanted)})"
        raise argument_error("mask", f"have the shape (batch, time) of the sequences, {text}", f"its shape is {shape}")
