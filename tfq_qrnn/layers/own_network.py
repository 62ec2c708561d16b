"""Any Keras layer or model as the controller of a cell.

The scan goes backward by computing the angles of each step once more. So the network must be a function of its inputs,
its weights and the seeds of its random parts: what it computes then does not depend on when it is computed.
"""

import re
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn import _keras
from tfq_qrnn._errors import argument_error, argument_type_error

# Random ops of TensorFlow whose numbers nobody can draw again, and Python functions, which may do anything.
_NOT_REPEATABLE = re.compile("Random|TruncatedNormal|Multinomial|Stateful|PyFunc|EagerPyFunc|ParameterizedTruncated")


class _Call(NamedTuple):
    """What one call of a layer does: its output, its graph, which variables it changes, whether it adds losses."""

    output: Any
    graph: Any
    changed: dict
    has_losses: bool
    training: bool


class OwnNetwork:
    """A Keras layer with the methods of a `Controller` that a cell calls.

    Args:
        layer: A Keras layer or model from `(batch, features + n_readouts)` to `(batch, n_angles)`, in radians.
    """

    def __init__(self, layer):
        if not isinstance(layer, keras.Layer):
            rule = "be a width, a tuple of widths, a tfq_qrnn.Controller or a Keras layer"
            raise argument_type_error("controller", rule, layer)
        self.layer = layer

    def build(self, features, n_readouts, n_angles, dtype, may_be_half=False):
        """Build the layer where it is not built, and check that a backward walk can repeat what it does.

        Args:
            dtype: Name of the dtype that the angles must have.
            may_be_half: Whether they may be of half precision, too.
        """
        layer, width = self.layer, features + n_readouts
        rule = f"take inputs of shape (batch, {width}): {features} features and {n_readouts} readouts"
        try:
            with tf.init_scope():
                if not layer.built:
                    layer(tf.zeros((1, width), dtype))
                self.variables, self.seeds = layer.weights, _keras.seed_states(layer)
                calls = [self._trace(width, dtype, training) for training in (True, False)]
        except Exception as error:  # whatever a layer makes of inputs that it does not take
            raise argument_error("controller", rule, f"{layer.name} does not: {_sentence(error)}") from error
        output = calls[0].output
        if not isinstance(output, tf.TensorSpec | tf.Tensor) or output.shape.rank != 2 or output.shape[1] != n_angles:
            given = f"{layer.name} gives {getattr(output, 'shape', output)}"
            raise argument_error("controller", f"give angles of shape (batch, {n_angles})", given)
        half = may_be_half and output.dtype in (tf.float16, tf.bfloat16)
        if output.dtype.name != dtype and not half:
            given = f"{layer.name} gives {output.dtype.name}: make it with dtype={dtype!r}"
            raise argument_error("controller", f"compute in the dtype of the layer, {dtype}", given)
        for call in calls:
            self._refuse_state(call)

    def _trace(self, width, dtype, training):
        """What one call of the layer does, on inputs and weights that are not known."""
        changed, losses = {}, []

        class Scope(keras.StatelessScope):
            def add_update(self, update):
                changed[id(update[0])] = update[0]
                super().add_update(update)

        @tf.function(autograph=False)
        def call(inputs, *values):
            state = zip([*self.variables, *self.seeds], values, strict=True)
            with Scope(state_mapping=list(state), collect_losses=True, initialize_variables=False) as scope:
                output = self.layer(inputs, training=training)
            losses.extend(scope.losses)
            return output

        specs = [tf.TensorSpec(v.shape, v.dtype) for v in [*self.variables, *self.seeds]]
        traced = call.get_concrete_function(tf.TensorSpec((None, width), dtype), *specs)
        return _Call(traced.structured_outputs, traced.graph, changed, bool(losses), training)

    def _refuse_state(self, call):
        def refuse(rule, given):
            return argument_error("controller", rule, f"{self.layer.name} {given}")

        rule = "give angles that depend on its inputs and weights alone, so that they can be computed again"
        seeds = {id(seed) for seed in self.seeds}
        others = {variable.path for key, variable in call.changed.items() if key not in seeds}
        if any("seed_generator" in path for path in others):
            raise refuse(rule, "draws random numbers of no seed generator of its own: give its random layers a seed")
        if others:
            hint = ": take LayerNormalization" if any("moving_" in path for path in others) else ""
            raise refuse(rule, f"changes {', '.join(sorted(others))}{hint}")
        if call.changed and not call.training:
            raise refuse("be random in training only", "draws random numbers outside of it, too")
        graph = call.graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        if random := sorted({node.op for node in nodes if _NOT_REPEATABLE.match(node.op)}):
            raise refuse(rule, f"runs {', '.join(random)}: take keras.random with a SeedGenerator")
        if call.graph.variables:
            names = ", ".join(v.name for v in call.graph.variables)
            raise refuse("have Keras weights only (`add_weight`)", f"reads the TensorFlow variable {names}")
        if call.has_losses:
            raise refuse("add no losses as it is called", "does; regularizers of weights work")

    def __str__(self):
        return self.layer.name

    def project(self, inputs):
        """What the network gets of the inputs: all, at every step."""
        return inputs

    def recurrent_weights(self):
        """The tensors that `angles` takes beside inputs and readouts."""
        if list(map(id, self.variables)) != list(map(id, self.layer.weights)):
            raise argument_error("controller", "stay as it was built", f"{self.layer.name} has other weights now")
        with _keras.own_dtypes():
            return [tf.convert_to_tensor(variable) for variable in self.variables]

    def draw_seeds(self, steps):
        """Seeds of the random parts for so many steps, `(steps, n, 2)`; the generators go on behind them."""
        seeds = [tf.convert_to_tensor(state) for state in self.seeds]
        for state, seed in zip(self.seeds, seeds, strict=True):
            state.assign(seed + tf.cast(tf.stack([steps, 0]), seed.dtype))
        seeds = tf.reshape(tf.stack(seeds) if seeds else tf.zeros((0, 2), tf.int64), (1, len(seeds), 2))
        offsets = tf.stack([tf.range(steps), tf.zeros((steps,), tf.int32)], axis=1)
        return seeds + tf.cast(offsets, seeds.dtype)[:, None]

    def angles(self, inputs, readouts, weights, seeds=None):
        """Angles of one step, `(batch, n_angles)` in radians; a function of its arguments alone.

        Args:
            inputs: `(batch, features)`.
            readouts: `(batch, n_readouts)`.
            weights: What `recurrent_weights` gives.
            seeds: `(n, 2)`, of this step, in training; None outside of it.
        """
        state = list(zip(self.variables, weights, strict=True))
        if seeds is not None:
            state += [(variable, seeds[i]) for i, variable in enumerate(self.seeds)]
        with _keras.own_dtypes(), keras.StatelessScope(state_mapping=state, initialize_variables=False):
            angles = self.layer(tf.concat([inputs, readouts], axis=-1), training=seeds is not None)
        return tf.cast(angles, readouts.dtype)


def _sentence(error):
    """What an error of Keras says, without where it was raised."""
    text = str(error)
    bold = re.search("\\x1b\\[1m(.*?)\\x1b\\[0m", text, re.DOTALL)
    return (bold[1] if bold else text).strip().split("\n")[0].rstrip(".")


def serialize(layer: keras.Layer) -> keras.Layer | dict[str, Any]:
    """A layer as it stands in the config of a cell.

    In a `.keras` file Keras finds the layer itself, and gives it to all that share it. Elsewhere a config is all that
    a clone gets (Bidirectional makes two): a built layer's weights go with it.
    """
    if _keras.is_in_file():
        return layer
    config = keras.saving.serialize_keras_object(layer)
    if layer.built:
        config["weights"] = [np.array(weight).tolist() for weight in layer.get_weights()]
    return config


def deserialize(config: dict[str, Any]) -> keras.Layer:
    """The layer that `serialize` was given."""
    config = dict(config)
    weights = config.pop("weights", None)
    layer = keras.saving.deserialize_keras_object(config)
    if weights is not None:
        if not layer.built:
            raise argument_error(
                "controller",
                "be built by its config, so that a copy can have its weights",
                f"{layer.name} is not: give it a `build` method",
            )
        try:  # of the dtypes and shapes of the layer: what a file says of them may be of any size
            values = [
                np.array(value, w.dtype).reshape(w.shape) for w, value in zip(layer.weights, weights, strict=True)
            ]
        except (TypeError, ValueError) as error:
            raise argument_error("controller", "come with its own weights", f"it comes with others: {error}") from error
        layer.set_weights(values)
    return layer
