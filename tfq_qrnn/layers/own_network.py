"""Any Keras layer or model as the controller of a cell.

The scan goes backward by computing the angles of each step once more. So the network must be a function of its inputs,
its weights and the seeds of its random parts: what it computes then does not depend on when it is computed.
"""

import re

import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn import _keras
from tfq_qrnn._errors import argument_error, argument_type_error

# Random ops of TensorFlow whose numbers nobody can draw again, and Python functions, which may do anything.
_NOT_REPEATABLE = re.compile("Random|TruncatedNormal|Multinomial|Stateful|PyFunc|EagerPyFunc|ParameterizedTruncated")


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
        except Exception as error:  # whatever a layer makes of inputs that it does not take
            raise argument_error("controller", rule, f"{layer.name} does not: {error}") from error
        self.variables, self.seeds = layer.weights, _keras.seed_states(layer)
        values = [(v, tf.zeros(v.shape, v.dtype)) for v in [*self.variables, *self.seeds]]
        changed, losses = set(), []

        @tf.function(autograph=False)
        def probe(inputs):
            scope = keras.StatelessScope(
                state_mapping=[(v, tf.identity(value)) for v, value in values],
                collect_losses=True,
                initialize_variables=False,
            )
            with scope:
                before = {id(v): scope.get_current_value(v) for v, _ in values}
                output = layer(inputs, training=True)
            changed.update(k for k, value in scope.state_mapping.items() if before.get(k) is not value)
            losses.extend(scope.losses)
            return output

        try:
            with tf.init_scope():
                traced = probe.get_concrete_function(tf.TensorSpec((None, width), dtype))
        except Exception as error:
            raise argument_error("controller", rule, f"{layer.name} does not: {error}") from error
        output = traced.structured_outputs
        if not isinstance(output, tf.TensorSpec | tf.Tensor) or output.shape.rank != 2 or output.shape[1] != n_angles:
            given = f"{layer.name} gives {getattr(output, 'shape', output)}"
            raise argument_error("controller", f"give angles of shape (batch, {n_angles})", given)
        half = may_be_half and output.dtype in (tf.float16, tf.bfloat16)
        if output.dtype.name != dtype and not half:
            given = f"{layer.name} gives {output.dtype.name}: make it with dtype={dtype!r}"
            raise argument_error("controller", f"compute in the dtype of the layer, {dtype}", given)
        self._refuse_state(changed, losses, traced)

    def _refuse_state(self, changed, losses, traced):
        def refuse(rule, given):
            return argument_error("controller", rule, f"{self.layer.name} {given}")

        rule = "give angles that depend on its inputs and weights alone, so that they can be computed again"
        names = {id(v): v.path for v in self.variables}
        if stateful := sorted(names[k] for k in changed if k in names):
            raise refuse(rule, f"changes {', '.join(stateful)}: take LayerNormalization for BatchNormalization")
        if changed - {id(v) for v in self.seeds} - set(names):
            raise refuse(rule, "draws random numbers of no seed generator of its own: give its random layers a seed")
        graph = traced.graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        if random := sorted({node.op for node in nodes if _NOT_REPEATABLE.match(node.op)}):
            raise refuse(rule, f"runs {', '.join(random)}: take keras.random with a SeedGenerator")
        if traced.graph.variables:
            names = ", ".join(v.name for v in traced.graph.variables)
            raise refuse("have Keras weights only (`add_weight`)", f"reads the TensorFlow variable {names}")
        if losses:
            raise refuse("add no losses as it is called", "does; regularizers of weights work")

    def __str__(self):
        return self.layer.name

    def project(self, inputs):
        """What the network gets of the inputs: all, at every step."""
        return inputs

    def recurrent_weights(self):
        """The tensors that `angles` takes beside inputs and readouts."""
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
        with keras.StatelessScope(state_mapping=state, initialize_variables=False):
            angles = self.layer(tf.concat([inputs, readouts], axis=-1), training=seeds is not None)
        return tf.cast(angles, readouts.dtype)


def serialize(layer):
    """A layer as it stands in the config of a cell.

    In a `.keras` file Keras finds the layer itself, and gives it to all that share it. Elsewhere a config is all that
    a clone gets (Bidirectional makes two): a built layer's weights go with it.
    """
    if _keras.is_writing_file():
        return layer
    config = keras.saving.serialize_keras_object(layer)
    if layer.built:
        config["weights"] = [{"dtype": str(w.dtype), "values": np.array(w).tolist()} for w in layer.get_weights()]
    return config


def deserialize(config):
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
        layer.set_weights([np.array(w["values"], w["dtype"]) for w in weights])
    return layer
