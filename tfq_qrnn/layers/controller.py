"""The classical network that turns an input and the last readouts into angles."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn._checks import check_bool, check_int, check_number
from tfq_qrnn._errors import argument_error, argument_type_error, readable_bytes, shown
from tfq_qrnn._memory import total_memory

# One step of Adam turns every angle by about `learning_rate * angle_scale`, and over T time steps the turns add up.
_AUTO_SCALE, _AUTO_TURN = 0.1, 7.0
_GLU_START = -2.0
_MOST_SCALE = float(np.finfo(np.float32).max)


@keras.saving.register_keras_serializable(package="tfq_qrnn")
class Controller(keras.layers.Layer):
    """The classical network of a `QRNNCell`: dense layers, then angles = angle_scale * (W h + b).

    The cell that builds it tells it how many features, readouts and angles there are, the length of the sequences where
    that is known, the dtype, and the seed. Given to two layers it is shared, as Keras layers are.

    Args:
        hidden_units: Widths of the hidden layers; `()` is the linear controller.
        activation: Keras activation of the hidden layers; "glu" doubles a layer's width and halves it again: one half
            times the sigmoid of the other, its gates.
        use_bias: Whether the layers have biases.
        angle_scale: A number, a number per angle, or "auto". It sets how far one step of an optimizer turns a qubit,
            and with it whether long sequences train. "auto" is 0.1, or 7 / timesteps where a layer is built for a
            known number of time steps and that is less. "For Keras users" of the documentation has the measurements.
        trainable_angle_scale: Whether the scale is trained.
        feedback_gain: Factor on the initial weights of the readouts that are fed back. The feedback makes small
            differences grow from step to step. With 0.1 a layer starts near a unitary, which keeps every norm, and
            learns as much feedback as it needs.
        initial_rotation: Standard deviation, in radians, of a constant rotation with which each angle starts: a random
            one for each, the start of the last bias, which is trained. None for no last bias: an angle is then zero
            where all gates are closed. A constant that is not trained is the circuit's `tfq_qrnn.Drift`. Without
            `use_bias` there is none.
        gate_bias: Where the biases of the gates start: with "glu" those of its gates, -2 by default, where they let an
            eighth through; with another activation those of all hidden units, 0 by default. Below zero a controller
            starts quiet, and opens for what is news. Without `use_bias` there is none.
        kernel_initializer: Initializer of the kernels.
        bias_initializer: Initializer of the biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the kernels.
        bias_constraint: Constraint of the biases.
        **kwargs: Arguments of a Keras layer.

    Call arguments:
        inputs: `(batch, features + n_readouts)`, the input of a step and the last readouts.

    Returns:
        `(batch, n_angles)`, in radians.

    Raises:
        ValueError, TypeError: An argument is out of its range; the message names it.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2, controller=Controller((16,), activation="tanh", angle_scale=0.3))
    >>> layer(np.ones((1, 3, 4), "float32")).shape
    TensorShape([1, 6])
    >>> layer.cell.controller(np.ones((1, 4 + 6), "float32")).shape  # angles of 4 features and 6 readouts
    TensorShape([1, 8])
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (32,),
        activation: str | Callable = "glu",
        use_bias: bool = True,
        angle_scale: str | float | Sequence[float] = "auto",
        trainable_angle_scale: bool = False,
        feedback_gain: float = 0.1,
        initial_rotation: float | None = 0.0,
        gate_bias: float | None = None,
        kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
        bias_initializer: str | keras.initializers.Initializer = "zeros",
        kernel_regularizer: str | keras.regularizers.Regularizer | None = None,
        bias_regularizer: str | keras.regularizers.Regularizer | None = None,
        kernel_constraint: str | keras.constraints.Constraint | None = None,
        bias_constraint: str | keras.constraints.Constraint | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.n_angles: int | None = None  # until a cell builds it
        self.has_own_dtype = kwargs.get("dtype") is not None
        self.hidden_units = check_widths("hidden_units", hidden_units)
        if isinstance(activation, keras.layers.Layer):
            raise argument_type_error("activation", "be a name or a function, not a layer", activation)
        self.activation = keras.activations.get(activation)
        self.use_bias = check_bool("use_bias", use_bias)
        self.angle_scale = _check_angle_scale(angle_scale)
        self.trainable_angle_scale = check_bool("trainable_angle_scale", trainable_angle_scale)
        self.feedback_gain = check_number("feedback_gain", feedback_gain)
        if initial_rotation is not None:
            initial_rotation = check_number("initial_rotation", initial_rotation, minimum=0)
        self.initial_rotation = initial_rotation
        self.gate_bias = None if gate_bias is None else check_number("gate_bias", gate_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build_for(
        self, features: int, n_readouts: int, n_angles: int, timesteps: int | None = None, seed: int | None = None
    ) -> None:
        """Make the weights for a cell of these sizes."""
        self.features, self.n_readouts, self.n_angles = features, n_readouts, n_angles
        self.timesteps, self.seed = timesteps, seed
        self.build((None, features + n_readouts))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.n_angles is None:
            raise argument_error(
                "controller", "be built by the QRNN or QRNNCell that it is given to", "it has none yet"
            )
        features, n_readouts, n_angles, timesteps = self.features, self.n_readouts, self.n_angles, self.timesteps
        scale = self.angle_scale
        if scale == "auto":
            scale = _AUTO_SCALE if timesteps is None else min(_AUTO_SCALE, _AUTO_TURN / timesteps)
        if np.shape(scale) not in ((), (n_angles,)):
            raise argument_error(
                "angle_scale", f"be one number or {n_angles}, one per angle", f"it has {np.size(scale)}"
            )
        fan = 2 if self.activation is keras.activations.glu else 1
        rows = [features + n_readouts, *self.hidden_units]
        columns = [units * fan for units in self.hidden_units] + [n_angles]
        _check_room(sum(r * c for r, c in zip(rows, columns, strict=True)))
        self.kernels, self.biases = [], []
        last = len(self.hidden_units)
        for i, shape in enumerate(zip(rows, columns, strict=True)):
            initializer = _clone(self.kernel_initializer) if i else self._first_kernel
            self.kernels.append(self._add("kernel", i, shape, initializer))
            if self.use_bias and not (i == last and self.initial_rotation is None):
                initializer = self._last_bias(scale) if i == last else self._hidden_bias
                self.biases.append(self._add("bias", i, shape[1:], initializer))
        # A weight even where it is fixed: a model that was built for long sequences keeps its scale elsewhere.
        self.scale = self.add_weight(
            shape=np.shape(scale),
            name="angle_scale",
            initializer=lambda shape, dtype: keras.ops.convert_to_tensor(scale, dtype),
            trainable=self.trainable_angle_scale,
            autocast=False,
        )
        self.built = True

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Controller":
        return cls(**{"gate_bias": 0.0, **config})  # a config from before it was one of the arguments

    def get_build_config(self) -> dict[str, Any] | None:
        names = ("features", "n_readouts", "n_angles", "timesteps", "seed")
        return {name: getattr(self, name) for name in names} if self.built else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        self.build_for(**config)

    def check_sizes(self, features: int, n_readouts: int, n_angles: int, dtype: str) -> None:
        """Raise ValueError where this controller was built for a cell of other sizes."""
        found, wanted = (self.features, self.n_readouts, self.n_angles), (features, n_readouts, n_angles)
        if found != wanted or self.compute_dtype != dtype:
            raise argument_error(
                "controller",
                f"be built for {features} features, {n_readouts} readouts and {n_angles} angles in {dtype}",
                "it is shared with a layer of {} features, {} readouts and {} angles in {}; give each its own".format(
                    *found, self.compute_dtype
                ),
            )

    def _add(self, kind, index, shape, initializer):
        name = f"{kind}_{index}" if index else kind
        weight = self.add_weight(
            shape=shape,
            name=name,
            initializer=initializer,
            regularizer=getattr(self, f"{kind}_regularizer"),
            constraint=getattr(self, f"{kind}_constraint"),
            autocast=False,
        )
        setattr(self, f"_{name}", weight)  # tf.train.Checkpoint finds weights by attribute, and not in Keras's lists
        return weight

    def _first_kernel(self, shape, dtype=None):
        """Initial values of the first kernel, inputs first: one draw for all rows, then the gain on those fed back."""
        gains = np.ones((shape[0], 1))
        gains[self.features :] = self.feedback_gain
        return _clone(self.kernel_initializer)(shape, dtype=dtype) * keras.ops.convert_to_tensor(gains, dtype)

    def _hidden_bias(self, shape, dtype=None):
        """Initial values of a hidden layer's biases; the second half are those of the gates of GLU."""
        is_glu = self.activation is keras.activations.glu
        start = self.gate_bias if self.gate_bias is not None else _GLU_START if is_glu else 0.0
        is_gate = np.arange(shape[0]) >= (shape[0] // 2 if is_glu else 0)
        return _clone(self.bias_initializer)(shape, dtype=dtype) + keras.ops.convert_to_tensor(start * is_gate, dtype)

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

    def project(self, inputs: tf.Tensor) -> tf.Tensor:
        """The first layer's part in the inputs, bias included: `(..., features)` -> `(..., width)`."""
        projected = keras.ops.matmul(inputs, self.kernels[0][: self.features])
        return projected + self.biases[0] if self.biases else projected

    def draw_seeds(self, steps: tf.Tensor) -> None:
        """None: nothing here is random."""

    def recurrent_weights(self) -> list[tf.Tensor]:
        """The tensors that `angles` takes beside the projected input, in the order in which it takes them."""
        kernels = [self.kernels[0][self.features :], *self.kernels[1:]]
        biases = list(self.biases[1:])
        if self.use_bias and self.hidden_units and self.initial_rotation is None:
            biases.append(tf.zeros((self.n_angles,), self.scale.dtype))
        return [tf.convert_to_tensor(w) for w in (self.scale, *kernels, *biases)]

    def angles(
        self, projected: tf.Tensor, readouts: tf.Tensor, weights: Sequence[tf.Tensor], seeds: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Angles from a projected input and the last readouts; a function of its arguments alone.

        Args:
            projected: `(batch, width)`, what `project` gives.
            readouts: `(batch, n_readouts)`.
            weights: What `recurrent_weights` gives.
            seeds: Not used: nothing here is random.

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

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        inputs = keras.ops.cast(inputs, self.scale.dtype)
        readouts = inputs[:, self.features :]
        return self.angles(self.project(inputs[:, : self.features]), readouts, self.recurrent_weights())

    def __str__(self) -> str:
        if not self.built:
            return f"{list(self.hidden_units)}, not built"
        name = getattr(self.activation, "__name__", type(self.activation).__name__)
        widths = "".join(f" -> {units} {name}" for units in self.hidden_units)
        scale = np.unique(np.asarray(self.scale))
        times = f"{scale[0]:.3g}" if len(scale) == 1 else f"{scale[0]:.3g} to {scale[-1]:.3g}"
        return f"{self.features + self.n_readouts}{widths} -> {self.n_angles}, times {times}"

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.n_angles)

    def get_config(self) -> dict[str, Any]:
        config = {
            "hidden_units": list(self.hidden_units),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "angle_scale": self.angle_scale,
            "trainable_angle_scale": self.trainable_angle_scale,
            "feedback_gain": self.feedback_gain,
            "initial_rotation": self.initial_rotation,
            "gate_bias": self.gate_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }
        config = {**super().get_config(), **config}
        if not (self.built or self.has_own_dtype):
            del config["dtype"]  # the cell that builds it gives it its own
        return config


def _check_room(n_weights):
    """Refuse weights that cannot be held in training: themselves, their gradients and two moments of Adam."""
    needed, total = 16 * n_weights, total_memory()
    if needed > total:
        raise argument_error(
            "controller",
            "leave room for its weights",
            f"they take {readable_bytes(needed)} in training and this machine has {readable_bytes(total)}",
        )


def _clone(initializer):
    # One seeded initializer would give the same numbers to two weights of one shape, and Keras warns.
    return initializer.clone() if isinstance(initializer, keras.initializers.Initializer) else initializer


def check_widths(name: str, widths: Sequence) -> tuple[int, ...]:
    """A tuple of widths of hidden layers; `()` for none."""
    if not isinstance(widths, (tuple, list)):
        raise argument_type_error(name, "be a tuple of widths, () for a linear controller", widths)
    return tuple(check_int(name, units, 1) for units in widths)


def _check_angle_scale(angle_scale):
    rule = 'be a finite number, a list of them, one per angle, or "auto"'
    if isinstance(angle_scale, str):
        if angle_scale != "auto":
            raise argument_error("angle_scale", rule, f"it is {shown(angle_scale)}")
        return angle_scale
    try:
        scales = np.asarray(angle_scale, np.float64)
    except OverflowError:  # an integer of 400 digits
        scales = np.array(np.inf)
    except (TypeError, ValueError):
        raise argument_type_error("angle_scale", rule, angle_scale) from None
    if isinstance(angle_scale, bool) or scales.ndim > 1 or not np.all(np.abs(scales) <= _MOST_SCALE):
        raise argument_error("angle_scale", rule, f"it is {shown(angle_scale)}")
    return scales.tolist()
