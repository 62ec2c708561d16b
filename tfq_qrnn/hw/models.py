"""What a recurrent layer is given in its model, and putting measured readouts in its place."""

import dataclasses

import cirq
import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn._errors import argument_error
from tfq_qrnn._files import digest
from tfq_qrnn.backends import TensorFlow
from tfq_qrnn.backends.base import zeros_to_ground
from tfq_qrnn.layers.find import calls_within, replaced
from tfq_qrnn.observables import serialize_observables


@dataclasses.dataclass(frozen=True, eq=False)
class Sequences:
    """What a recurrent layer was called with, in the order in which it reads it.

    Attributes:
        inputs: `(batch, time, features)`.
        mask: bool `(batch, time)`.
        readouts: The first readouts, `(batch, n_observables)`.
    """

    inputs: np.ndarray
    mask: np.ndarray
    readouts: np.ndarray


def read_sequences(model, layer, x):
    """Call a model on `x` and keep what its recurrent layer is given: `Sequences`.

    Raises:
        ValueError: The layer is called twice, `x` is no batch of sequences, or the memory does not start in |0...0>.
    """
    if model is layer:
        x = tf.convert_to_tensor(x)
        if x.shape.rank != 3 or 0 in x.shape:
            raise argument_error("x", "have shape (batch, time, features), each 1 or more", f"its shape is {x.shape}")
    if not layer.built or not getattr(model, "built", True):
        model(x)
    if layer.stateful or layer.return_state:
        raise argument_error(
            "layer",
            "neither take nor return a memory, which stays on the device",
            "it is stateful or returns its state",
        )
    calls = calls_within(model, layer, x)
    if len(calls) != 1:
        raise argument_error("layer", "call its recurrent layer once", f"it calls it {len(calls)} times")
    sequences, initial_state, mask = calls[0]
    cell = layer.cell
    inputs = tf.cast(sequences, cell.compute_dtype).numpy()
    ground = [keras.ops.convert_to_numpy(state) for state in cell.get_initial_state(len(inputs))]
    readouts, memory = ground if initial_state is None else map(keras.ops.convert_to_numpy, initial_state)
    if memory.any() and not np.allclose(memory, ground[1], atol=1e-6):  # all zeros are |0...0> too
        raise argument_error("x", "start at |0...0>: a device prepares no other memory", "the layer has another state")
    mask = np.ones(inputs.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    if layer.go_backwards:
        inputs, mask = inputs[:, ::-1], mask[:, ::-1]
    return Sequences(inputs, mask, readouts.astype(inputs.dtype))


def outputs_with(model, layer, x, sequences, readouts):
    """What a model returns where its recurrent layer gives these readouts, `(batch, time, n_observables)`."""
    mask = sequences.mask[:, :, None]
    shown = readouts
    if not mask.all():
        # Keras: a masked step repeats the readouts before it, or zeros; before the first valid step there are zeros.
        visible = mask if layer.zero_output_for_mask else np.cumsum(mask, axis=1) > 0
        shown = np.where(visible, readouts, 0)
    shown = tf.constant(shown.astype(layer.cell.compute_dtype))

    def call(*_, **__):
        output = shown if layer.return_sequences else shown[:, -1]
        return tf.cast(output, layer.compute_dtype)

    with replaced(layer, call):
        return keras.tree.map_structure(keras.ops.convert_to_numpy, model(x))


class Controller:
    """The trained controller of a layer: readouts -> angles, one step at a time."""

    def __init__(self, cell, sequences):
        self.cell, self.mask = cell, sequences.mask
        self.projected = cell.controller.project(tf.constant(sequences.inputs))
        self.weights = cell.step_weights(tf.constant(sequences.readouts), training=False)

    def angles(self, t, readouts):
        """The angles of step `t`, `(batch, n_angles)` in radians."""
        readouts = tf.constant(readouts.astype(self.cell.compute_dtype))
        angles = self.cell.angles(self.projected[:, t], readouts, self.weights).numpy()
        if not np.isfinite(angles[self.mask[:, t]]).all():
            raise argument_error("x", "give finite angles", f"those of time step {t + 1} are not all finite")
        return angles


def exact_readouts(cell, sequences):
    """The loop without noise: readouts `(batch, time, n_observables)`, simulated."""
    controller, backend = Controller(cell, sequences), TensorFlow()
    readouts, memory = (
        sequences.readouts,
        backend.initial_memory(cell.program, len(sequences.inputs), cell.compute_dtype),
    )
    memory = zeros_to_ground(memory)
    all_readouts = []
    step = tf.function(lambda memory, angles: backend.forward(cell.program, memory, angles))
    for t in range(sequences.inputs.shape[1]):
        valid = sequences.mask[:, t, None]
        new_memory, new = step(memory, tf.constant(controller.angles(t, readouts)))
        memory = tf.where(valid, new_memory, memory)
        readouts = np.where(valid, new.numpy(), readouts)
        all_readouts.append(readouts)
    return np.stack(all_readouts, axis=1)


def fingerprint(cell, sequences):
    """Hashes of what a run computes with: the cell's circuit, settings and weights, and the input."""
    controller = cell.controller
    config = {
        "observables": serialize_observables(cell.observables),
        "symbols": [str(symbol) for symbol in cell.program.symbols],
        "hidden_units": list(controller.hidden_units),
        "activation": str(keras.activations.serialize(controller.activation)),
        "use_bias": controller.use_bias,
        "dtype": cell.compute_dtype,
    }
    weights = [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in cell.weights if weight.dtype != "uint32"]
    return {
        "model": digest(
            cirq.to_json(cell.program.circuit).encode(), repr(sorted(config.items())).encode(), *map(_bytes, weights)
        ),
        "input": digest(*map(_bytes, (sequences.inputs, sequences.mask, sequences.readouts))),
    }


def _bytes(array):
    return f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
