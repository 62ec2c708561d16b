"""A recurrent layer as its model calls it, and the loop around it: readouts -> controller -> angles -> readouts."""

import functools
import json

import cirq
import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn._errors import argument_error
from tfq_qrnn._files import digest
from tfq_qrnn.backends import TensorFlow
from tfq_qrnn.layers.in_models import calls_within, find_layer, replaced


class LayerCall:
    """The one call of the recurrent layer in a model, or of `model` itself, while it is called on `x`.

    Attributes:
        cell: The layer's `QRNNCell`.
        inputs: `(batch, time, features)`, in the order in which the layer reads them.
        mask: bool `(batch, time)`.
        readouts: The first readouts, `(batch, n_observables)`.
    """

    def __init__(self, model, x):
        self.model, self.layer = model, find_layer(model)
        if model is self.layer:
            x = tf.convert_to_tensor(x)
            if x.shape.rank != 3 or 0 in x.shape:
                raise argument_error(
                    "x", "have shape (batch, time, features), each 1 or more", f"its shape is {x.shape}"
                )
        self.x, layer, cell = x, self.layer, self.layer.cell
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
        inputs = tf.cast(sequences, cell.compute_dtype).numpy()
        ground = [keras.ops.convert_to_numpy(state) for state in cell.get_initial_state(len(inputs))]
        readouts, memory = ground if initial_state is None else map(keras.ops.convert_to_numpy, initial_state)
        if memory.any() and not np.allclose(memory, ground[1], atol=1e-6):  # all zeros are |0...0> too
            raise argument_error(
                "x", "start at |0...0>: a device prepares no other memory", "the layer has another state"
            )
        mask = np.ones(inputs.shape[:2], bool) if mask is None else np.asarray(mask, bool)
        if layer.go_backwards:
            inputs, mask = inputs[:, ::-1], mask[:, ::-1]
        self.cell, self.inputs, self.mask, self.readouts = cell, inputs, mask, readouts.astype(inputs.dtype)

    def close_loop(self, measure):
        """All time steps: readouts, standard errors and angles, each `(batch, time, ...)`.

        `measure(t, members, angles)` gives readouts and standard errors, each `(len(members), n_observables)`, of time
        step `t` of the sequences `members`, which have run equally many steps, from all their angles so far,
        `(len(members), steps, n_angles)`. A masked step repeats the readouts before.
        """
        cell = self.cell
        projected = cell.project(tf.constant(self.inputs))
        weights = cell.step_weights(tf.constant(self.readouts), training=False)
        readouts, errors = self.readouts.astype(np.float64), np.zeros(self.readouts.shape)
        histories = [[] for _ in readouts]  # the angles of the steps that a sequence has run
        kept = []
        for t in range(self.mask.shape[1]):
            angles = cell.angles(projected[:, t], tf.constant(readouts.astype(cell.compute_dtype)), weights).numpy()
            valid = np.flatnonzero(self.mask[:, t])
            if not np.isfinite(angles[valid]).all():
                raise argument_error("x", "give finite angles", f"those of time step {t + 1} are not all finite")
            for b in valid:
                histories[b].append(angles[b])
            # Sequences with other masks have run other numbers of steps, and need other circuits.
            readouts, errors = readouts.copy(), errors.copy()
            for steps in sorted({len(histories[b]) for b in valid}):
                members = [int(b) for b in valid if len(histories[b]) == steps]
                readouts[members], errors[members] = measure(t, members, np.array([histories[b] for b in members]))
            kept.append((readouts, errors, angles))
        return tuple(np.stack(values, axis=1) for values in zip(*kept, strict=True))

    def exact_readouts(self):
        """The loop without noise: readouts `(batch, time, n_observables)`, simulated."""
        program, dtype = self.cell.program, self.cell.compute_dtype
        memory, step = TensorFlow().initial_memory(program, len(self.inputs), dtype).numpy(), _step(program, dtype)

        def measure(_, members, angles):
            memory[members], readouts = step(memory[members], angles[:, -1])
            return readouts, 0.0

        return self.close_loop(measure)[0]

    def outputs(self, readouts):
        """What the model returns where its recurrent layer gives these readouts, `(batch, time, n_observables)`."""
        mask = self.mask[:, :, None]
        if not mask.all():
            # Keras: a masked step repeats the readouts before it, or zeros; before the first valid one there are zeros.
            visible = mask if self.layer.zero_output_for_mask else np.cumsum(mask, axis=1) > 0
            readouts = np.where(visible, readouts, 0)
        output = tf.constant((readouts if self.layer.return_sequences else readouts[:, -1]).astype(self.inputs.dtype))
        with replaced(self.layer, lambda *_, **__: tf.cast(output, self.layer.compute_dtype)):
            return keras.tree.map_structure(keras.ops.convert_to_numpy, self.model(self.x))

    def fingerprint(self):
        """Hashes of what is computed with."""
        return {
            "model": cell_digest(self.cell),
            "input": digest(*map(_bytes, (self.inputs, self.mask, self.readouts))),
        }


@functools.lru_cache(maxsize=8)
def _step(program, dtype):
    """(memory, angles) -> (memory, readouts), traced once for all runs of a program."""
    backend = TensorFlow()
    sizes = backend.memory_size(program), program.n_angles
    signature = [tf.TensorSpec((None, size), dtype) for size in sizes]
    return tf.function(functools.partial(backend.forward, program), input_signature=signature)


def cell_digest(cell):
    """A hash of a cell's circuit, observables, controller and weights, whatever its layers are called."""
    program, weights = cell.program, map(keras.ops.convert_to_numpy, cell.weights)
    described = {
        "circuit": cirq.to_json(program.circuit),
        "symbols": list(map(str, program.symbols)),
        "observables": cirq.to_json(program.observables),
        "controller": _without_names(_config(cell.controller), {}),
        "dtype": cell.compute_dtype,
    }
    return digest(json.dumps(described, sort_keys=True).encode(), *map(_bytes, weights))


def _config(controller):
    try:
        return keras.saving.serialize_keras_object(controller)
    except NotImplementedError:  # a class of the user's own without `get_config`
        return f"{type(controller).__module__}.{type(controller).__qualname__}"


def _without_names(config, numbers):
    """A Keras config with numbers in place of layers' names, which Keras counts up with each layer that is made."""
    if isinstance(config, dict):
        return {
            # A dtype policy has nothing but its name.
            key: numbers.setdefault(value, len(numbers))
            if key == "name" and len(config) > 1
            else _without_names(value, numbers)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        if len(config) == 3 and isinstance(config[0], str) and config[0] in numbers:  # a functional model's connection
            return [numbers[config[0]], *config[1:]]
        return [_without_names(value, numbers) for value in config]
    return config


def _bytes(array):
    return f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
