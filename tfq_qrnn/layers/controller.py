"""The classical network that turns an input and the last readouts into angles."""

import math
import numbers

import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn._checks import check_bool, check_int, check_number
from tfq_qrnn._errors import argument_error, argument_type_error, readable_bytes, shown
from tfq_qrnn._memory import total_memory

# One step of Adam turns every angle by about `learning_rate * angle_scale`, and over T time steps the turns add up.
_AUTO_SCALE = 0.1
_MOST_SCALE = float(np.finfo(np.float32).max)


class Controller(keras.layers.Layer):
    """Dense layers, then angles = angle_scale * (W h + b).

    The first layer sees the input and the readouts. Its part in the input, `project`, does not depend on the recurrence
    and is computed for a whole sequence at once.

    Args:
        n_angles: Number of angles.
        hidden_units: Widths of the hidden layers; `()` is the linear controller.
        activation: Keras activation of the hidden layers; "glu" doubles a layer's width and halves it again.
        angle_scale: A number, a number per angle, or "auto": 0.1, or 0.5 / sqrt(timesteps) where that is less.
        feedback_gain: Factor on the first kernel's initial values in the rows of the readouts.
        initial_rotation: Standard deviation, in radians, of the constant part of each angle at the start.
        use_bias: Whether the layers have biases.
        trainable_angle_scale: Whether the scale is trained.
        seed: Seed of these constant parts.
        **kwargs: Initializers, regularizers and constraints of kernels and biases, and the arguments of a Keras layer.
    """

    def __init__(
        self,
        n_angles,
        hidden_units,
        activation,
        angle_scale,
        feedback_gain,
        initial_rotation,
        use_bias=True,
        trainable_angle_scale=False,
        seed=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.n_angles = n_angles
        self.hidden_units = _check_hidden_units(hidden_units)
        if isinstance(activation, keras.layers.Layer):
            raise argument_type_error("activation", "be a name or a function, not a layer", activation)
        self.activation = keras.activations.get(activation)
        self.use_bias = check_bool("use_bias", use_bias)
        self.angle_scale = _check_angle_scale(angle_scale, n_angles)
        self.trainable_angle_scale = check_bool("trainable_angle_scale", trainable_angle_scale)
        self.feedback_gain = check_number("feedback_gain", feedback_gain)
        self.initial_rotation = check_number("initial_rotation", initial_rotation, minimum=0)
        self.seed = seed
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, input_features, readout_features, timesteps=None):
        self.input_features = input_features
        scale = self.angle_scale
        if scale == "auto":
            scale = _AUTO_SCALE if timesteps is None else min(_AUTO_SCALE, 0.5 / math.sqrt(timesteps))
        fan = 2 if self.activation is keras.activations.glu else 1
        widths = [units * fan for units in self.hidden_units] + [self.n_angles]
        inputs = [input_features + readout_features, *self.hidden_units]
        _check_room(sum(rows * columns for rows, columns in zip(inputs, widths, strict=True)))
        self.kernels, self.biases = [], []
        last = len(self.hidden_units)
        for i, (rows, columns) in enumerate(zip(inputs, widths, strict=True)):
            suffix = f"_{i}" if i else ""
            self.kernels.append(
                self.add_weight(
                    shape=(rows, columns),
                    name=f"kernel{suffix}",
                    initializer=_clone(self.kernel_initializer) if i else self._first_kernel,
                    regularizer=self.kernel_regularizer,
                    constraint=self.kernel_constraint,
                    autocast=False,
                )
            )
            if self.use_bias:
                self.biases.append(
                    self.add_weight(
                        shape=(columns,),
                        name=f"bias{suffix}",
                        initializer=self._last_bias(scale) if i == last else _clone(self.bias_initializer),
                        regularizer=self.bias_regularizer,
                        constraint=self.bias_constraint,
                        autocast=False,
                    )
                )
        # A weight even where it is fixed: a model that was built for long sequences keeps its scale elsewhere.
        self.scale = self.add_weight(
            shape=np.shape(scale),
            name="angle_scale",
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(scale, dtype),
            trainable=self.trainable_angle_scale,
            autocast=False,
        )
        self.built = True

    def _first_kernel(self, shape, dtype=None):
        """Initial values of the first kernel, inputs first: one draw for all rows, then the gain on those fed back."""
        gains = np.ones((shape[0], 1))
        gains[self.input_features :] = self.feedback_gain
        return _clone(self.kernel_initializer)(shape, dtype=dtype) * keras.ops.convert_to_tensor(gains, dtype)

    def _last_bias(self, scale):
        """The initializer of the angles' biases, with a rotation that is the same whatever the scale is."""

        def initialize(shape, dtype=None):
            bias = _clone(self.bias_initializer)(shape, dtype=dtype)
            if self.initial_rotation == 0:
                return bias
            rotations = keras.initializers.RandomNormal(stddev=self.initial_rotation, seed=self.seed)(shape, dtype)
            scales = np.broadcast_to(scale, shape)
            inverse = np.divide(1.0, scales, out=np.zeros(shape), where=scales != 0)
            return bias + rotations * keras.ops.convert_to_tensor(inverse, dtype)

        return initialize

    def project(self, inputs):
        """The first layer's part in the inputs, bias included: `(..., features)` -> `(..., width)`."""
        projected = keras.ops.matmul(inputs, self.kernels[0][: self.input_features])
        return projected + self.biases[0] if self.use_bias else projected

    def recurrent_weights(self):
        """The tensors that `angles` takes beside the projected input, in the order in which it takes them."""
        kernels = [self.kernels[0][self.input_features :], *self.kernels[1:]]
        return [tf.convert_to_tensor(w) for w in (self.scale, *kernels, *self.biases[1:])]

    def angles(self, projected, readouts, weights):
        """Angles from a projected input and the last readouts; a function of its arguments alone.

        Args:
            projected: `(batch, width)`, what `project` gives.
            readouts: `(batch, n_readouts)`.
            weights: What `recurrent_weights` gives.

        Returns:
            `(batch, n_angles)`, in radians.
        """
        scale, recurrent_kernel, *others = weights
        layers = len(self.hidden_units)
        hidden = projected + keras.ops.matmul(readouts, recurrent_kernel)
        for i in range(layers):
            hidden = keras.ops.matmul(self.activation(hidden), others[i])
            if self.use_bias:
                hidden = hidden + others[layers + i]
        return scale * hidden


def _check_room(n_weights):
    """Refuse weights that cannot be held in training: themselves, their gradients and two moments of Adam."""
    needed, total = 16 * n_weights, total_memory()
    if needed > total:
        raise argument_error(
            "hidden_units",
            "leave room for the weights",
            f"they take {readable_bytes(needed)} in training and this machine has {readable_bytes(total)}",
        )


def _clone(initializer):
    # One seeded initializer would give the same numbers to two weights of one shape, and Keras warns.
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer


def _check_hidden_units(hidden_units):
    if not isinstance(hidden_units, (tuple, list)):
        raise argument_type_error("hidden_units", "be a tuple of widths, () for a linear controller", hidden_units)
    return tuple(check_int("hidden_units", units, 1) for units in hidden_units)


def _check_angle_scale(angle_scale, n_angles):
    rule = f'be a number, {n_angles} numbers, or "auto"'
    if isinstance(angle_scale, str):
        if angle_scale != "auto":
            raise argument_error("angle_scale", rule, f"it is {shown(angle_scale)}")
        return angle_scale
    if isinstance(angle_scale, numbers.Real) and not isinstance(angle_scale, bool):
        if not -_MOST_SCALE <= angle_scale <= _MOST_SCALE:
            raise argument_error("angle_scale", "be finite", f"it is {shown(angle_scale)}")
        return float(angle_scale)
    try:
        scales = np.asarray(angle_scale, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise argument_type_error("angle_scale", rule, angle_scale) from None
    if isinstance(angle_scale, bool) or scales.shape != (n_angles,):
        raise argument_error("angle_scale", rule, f"its shape is {scales.shape}")
    if not np.all(np.isfinite(scales)):
        raise argument_error("angle_scale", "be finite", f"it holds {scales[~np.isfinite(scales)][0]}")
    return scales.tolist()
