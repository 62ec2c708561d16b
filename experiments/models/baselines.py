"""What a QRNN is compared with: an orthogonal RNN, a unitary RNN, and Keras's layers at any number of parameters."""

import contextlib

import keras
import numpy as np
import scipy.linalg
import tensorflow as tf

from tfq_qrnn import Controller
from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error
from tfq_qrnn.backends.base import zeros_to_ground

_register = keras.saving.register_keras_serializable(package="tfq_qrnn.experiments")


@_register
class ScoRNNCell(keras.layers.Layer):
    """Cell of an orthogonal RNN (K. Helfrich, D. Willmott, Q. Ye, arXiv:1707.09520).

        h_t = modReLU(U x_t + W h_(t-1)),  W = (I + A)^-1 (I - A) D,  modReLU(z) = sign(z) max(|z| + b, 0)

    A is skew-symmetric and trained, D is diagonal and fixed, with entries 1 and then -1: every orthogonal W has this
    form for some number of -1. U, b and the start of A are those of the authors' program: A consists of 2 x 2 blocks
    that turn by angles drawn from [0, pi/2].

    Args:
        units: Size of the hidden state.
        negative: How many entries of D are -1; half of them by default.
        skew_scale: A is this times what is trained. The authors train A with a tenth of the learning rate of the rest;
            under an optimizer whose steps do not depend on the size of the gradient, such as Adam, 0.1 does that.
        kernel_initializer: Initializer of U.
        seed: Seed of the start of A.
    """

    def __init__(self, units, negative=None, skew_scale=0.1, kernel_initializer=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = check_int("units", units, 1)
        self.negative = check_int("negative", units // 2 if negative is None else negative, 0, units)
        self.skew_scale = skew_scale
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomUniform(-0.01, 0.01, seed=seed)
        )
        self.seed = seed
        self._kernel_of_sequence = None

    def build(self, input_shape):
        def add(name, shape, initializer):
            return self.add_weight(shape=shape, name=name, initializer=initializer, autocast=False)

        rows, columns = np.triu_indices(self.units, 1)

        def turned_blocks(shape, dtype):
            angles = keras.initializers.RandomUniform(0, np.pi / 2, seed=self.seed)((self.units,), dtype)
            in_block = keras.ops.cast((columns == rows + 1) & (rows % 2 == 0), dtype)
            return in_block * keras.ops.tan(keras.ops.take(angles, rows) / 2) / self.skew_scale

        self.kernel = add("kernel", (input_shape[-1], self.units), self.kernel_initializer)
        self.skew = add("skew", rows.shape, turned_blocks)
        self.bias = add("bias", (self.units,), "zeros")
        # Where each entry of A is among [0, the upper triangle].
        self._position = np.zeros((self.units, self.units), np.int32)
        self._position[rows, columns] = self._position[columns, rows] = np.arange(1, len(rows) + 1)
        self.built = True

    def recurrent_kernel(self):
        """W, `(units, units)`."""
        dtype = self.variable_dtype
        entries = tf.concat([tf.zeros((1,), dtype), self.skew_scale * tf.convert_to_tensor(self.skew)], axis=0)
        upper = np.triu(np.ones((self.units, self.units)))
        a = tf.gather(entries, self._position) * tf.constant(2 * upper - 1, dtype)
        signs = np.where(np.arange(self.units) < self.units - self.negative, 1, -1)
        identity = tf.eye(self.units, dtype=dtype)
        return tf.linalg.solve(identity + a, identity - a) * tf.constant(signs, dtype)

    @contextlib.contextmanager
    def one_kernel(self):
        """Within it, W is computed once and not at each call."""
        self._kernel_of_sequence = self.recurrent_kernel()
        try:
            yield
        finally:
            self._kernel_of_sequence = None

    def call(self, inputs, states, training=False):
        (state,) = states if isinstance(states, (list, tuple)) else (states,)
        dtype = self.compute_dtype
        kernel = self.recurrent_kernel() if self._kernel_of_sequence is None else self._kernel_of_sequence
        z = tf.matmul(inputs, tf.cast(self.kernel, dtype)) + tf.matmul(state, tf.cast(kernel, dtype), transpose_b=True)
        state = tf.sign(z) * tf.nn.relu(tf.abs(z) + tf.cast(self.bias, dtype))
        return state, [state]

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "negative": self.negative,
            "skew_scale": self.skew_scale,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "seed": self.seed,
        }


@_register
class UnitaryCell(keras.layers.Layer):
    """Cell of a unitary RNN: a QRNN without its circuit, and without anything else taken away.

    The memory is a complex vector of as many entries as a QRNN has amplitudes, the readouts are as many, with the
    spectrum of Pauli operators, and the same controller turns input and last readouts into as many angles; so the
    trained parameters are equal in number. What is missing is what makes the QRNN's evolution a circuit: gates on one
    or two factors of a tensor product. Here U is that of M. Arjovsky, A. Shah, Y. Bengio (arXiv:1511.06464) without
    its reflections, diagonal unitaries between Fourier transforms F and a fixed permutation P,

        memory = F^-1 D(angles_2) P F D(angles_1) memory,  repeated `depth` times,

    with phases that the controller sets: each angle turns the state about a diagonal operator of entries 1/2 and -1/2,
    in equal number and random places, as a rotation gate turns it about half a Pauli operator. The readouts are
    expectation values of such operators of entries 1 and -1, in three bases: as it stands, behind F, and behind
    F with a chirp before it. All of it starts from one seed and is not trained; the controller's biases are, and with
    them a constant part of U.

    With `eigenphases` the permutation makes way for a drift: without news a step is then F^-1 exp(-i eigenphases) F, as
    that of a QRNN is the unitary of its `tfq_qrnn.Drift`.

    Args:
        dimension: Number of complex entries of the memory, 2 or more; 2**n beside n qubits.
        n_readouts: Number of readouts; 3 n beside a QRNN that reads X, Y and Z.
        n_angles: Number of angles.
        depth: How often the two diagonals are repeated.
        controller: A `tfq_qrnn.Controller`; one as it is by default where there is none.
        eigenphases: `(dimension,)`, radians per step, in any order; None for the permutation.
        seed: Seed of the operators, of the permutation, and of the order of the eigenphases.
    """

    def __init__(
        self,
        dimension,
        n_readouts,
        n_angles,
        depth=2,
        controller=None,
        eigenphases=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dimension = check_int("dimension", dimension, 2)
        self.n_readouts = self.output_size = check_int("n_readouts", n_readouts, 1)
        self.n_angles = check_int("n_angles", n_angles, 1)
        self.depth = check_int("depth", depth, 1)
        self.seed = check_int("seed", seed, 0)
        if self.compute_dtype not in ("float32", "float64"):
            raise argument_error("dtype", "be float32 or float64", f"it is {self.compute_dtype}")
        if isinstance(controller, dict):  # of a config
            kind = keras.saving.get_registered_object(controller["class"])
            controller = kind.from_config(controller["config"])
        self.controller = Controller(name="controller") if controller is None else controller
        self.state_size = [n_readouts, 2 * dimension]
        random = np.random.default_rng(seed)
        signs = np.where(np.arange(dimension) % 2, -1.0, 1.0)
        draw = lambda count: np.stack([random.permutation(signs) for _ in range(count)])  # noqa: E731
        self._generators = np.array_split(draw(n_angles) / 2, 2 * self.depth)
        self._observables = np.array_split(draw(n_readouts), min(3, n_readouts))
        self._permutation = random.permutation(dimension)
        self.eigenphases = None if eigenphases is None else [float(phase) for phase in eigenphases]
        if eigenphases is not None and len(self.eigenphases) != dimension:
            raise argument_error(
                "eigenphases", f"have {dimension} values, as `dimension` says", f"it has {len(self.eigenphases)}"
            )
        self._drift = np.zeros(2 * self.depth * dimension)
        if eigenphases is not None:  # they act with the last diagonal, between the transforms
            self._drift[-dimension:] = random.permutation(self.eigenphases)
        # Gauss's sums make the basis of chirp and F unbiased with the two others, as those of X, Y and Z are.
        numbers = np.arange(dimension)
        self._chirp = np.exp(1j * np.pi * numbers * (numbers + dimension % 2) / dimension)
        # One product for all diagonals and one for all readouts: what a step costs is the number of its operations.
        self._all_generators = scipy.linalg.block_diag(*self._generators)
        norms = (1, dimension, dimension)  # of the probabilities behind a transform that is not normalized
        self._all_observables = scipy.linalg.block_diag(
            *(signs.T / norm for signs, norm in zip(self._observables, norms, strict=False))
        )

    def build(self, input_shape, timesteps=None):
        self.controller.dtype_policy = self.dtype_policy
        self.controller.build_for(input_shape[-1], self.n_readouts, self.n_angles, timesteps)
        self.built = True

    def evolve(self, state, angles):
        """States `(batch, dimension)`, complex, after one step with angles `(batch, n_angles)`."""
        phases = tf.matmul(angles, tf.constant(self._all_generators, angles.dtype))
        phases += tf.constant(self._drift, angles.dtype)
        for block, turns in enumerate(tf.split(tf.complex(tf.cos(phases), -tf.sin(phases)), 2 * self.depth, axis=-1)):
            # The two transforms come in pairs, so that their norms, sqrt(dimension) and its inverse, cancel.
            state = (tf.signal.ifft if block % 2 else tf.signal.fft)(state * turns)
            if block % 2 == 0 and self.eigenphases is None:
                state = tf.gather(state, self._permutation, axis=-1)
        return state

    def read(self, state):
        """Readouts `(batch, n_readouts)` of states `(batch, dimension)`, each in [-1, 1]."""
        chirped = state * tf.constant(self._chirp, state.dtype)
        amplitudes = tf.concat([state, tf.signal.fft(state), tf.signal.fft(chirped)][: len(self._observables)], axis=-1)
        probabilities = tf.math.real(amplitudes) ** 2 + tf.math.imag(amplitudes) ** 2
        return tf.matmul(probabilities, tf.constant(self._all_observables, probabilities.dtype))

    def call(self, inputs, states, training=False):
        readouts, memory = states
        projected = self.controller.project(inputs)
        angles = self.controller.angles(projected, readouts, self.controller.recurrent_weights())
        memory = zeros_to_ground(memory)
        state = self.evolve(tf.complex(memory[:, : self.dimension], memory[:, self.dimension :]), angles)
        readouts = self.read(state)
        return readouts, [readouts, tf.concat([tf.math.real(state), tf.math.imag(state)], axis=-1)]

    def get_config(self):
        return {
            **super().get_config(),
            "dimension": self.dimension,
            "n_readouts": self.n_readouts,
            "n_angles": self.n_angles,
            "depth": self.depth,
            "controller": {
                "class": keras.saving.get_registered_name(type(self.controller)),
                "config": self.controller.get_config(),
            },
            "eigenphases": self.eigenphases,
            "seed": self.seed,
        }


_FLAGS = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask")
_LAYER_ARGUMENTS = (*_FLAGS, "name", "trainable", "dtype")


class _LayerOfCell(keras.layers.RNN):
    """A layer that makes its cell, as LSTM makes LSTMCell: it takes the arguments of both."""

    def __init__(self, *arguments, **kwargs):
        own = {key: kwargs.pop(key) for key in _LAYER_ARGUMENTS if key in kwargs}
        super().__init__(self.cell_class(*arguments, dtype=own.get("dtype"), **kwargs), **own)

    def get_config(self):
        config = super().get_config()
        del config["cell"]
        cell_config = {k: v for k, v in self.cell.get_config().items() if k not in ("name", "trainable", "dtype")}
        return {**config, **cell_config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


@_register
class ScoRNN(_LayerOfCell):
    """Orthogonal RNN; see `ScoRNNCell`. It computes W once for a sequence."""

    cell_class = ScoRNNCell

    def inner_loop(self, sequences, initial_state, mask, training=False):
        with self.cell.one_kernel():
            return super().inner_loop(sequences, initial_state, mask, training=training)


@_register
class UnitaryRNN(_LayerOfCell):
    """Unitary RNN; see `UnitaryCell`."""

    cell_class = UnitaryCell

    def build(self, sequences_shape, initial_state_shape=None):
        if not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]), timesteps=sequences_shape[1])
        super().build(sequences_shape, initial_state_shape)


class _Adapted:
    """A recurrent layer behind a narrow residual layer, x + B gelu(A x), that fills up its number of parameters.

    One unit more is a leap of several per cent in the parameters of a small layer; one more column of A is not. B
    starts at zero, so that the layer starts as it would without.

    Args:
        units: As in the layer.
        adapter: Columns of A.
    """

    def __init__(self, units, adapter, **kwargs):
        super().__init__(units, **kwargs)
        self.adapter = check_int("adapter", adapter, 1)

    def build(self, sequences_shape, initial_state_shape=None):
        features = sequences_shape[-1]
        self.adapter_in = self.add_weight(shape=(features, self.adapter), name="adapter_in")
        self.adapter_out = self.add_weight(shape=(self.adapter, features), name="adapter_out", initializer="zeros")
        super().build(sequences_shape, initial_state_shape)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        hidden = keras.ops.gelu(keras.ops.matmul(sequences, self.adapter_in))
        sequences = sequences + keras.ops.matmul(hidden, self.adapter_out)
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def get_config(self):
        return {**super().get_config(), "adapter": self.adapter}


@_register
class AdaptedLSTM(_Adapted, keras.layers.LSTM):
    __doc__ = _Adapted.__doc__


@_register
class AdaptedGRU(_Adapted, keras.layers.GRU):
    __doc__ = _Adapted.__doc__


@_register
class AdaptedSimpleRNN(_Adapted, keras.layers.SimpleRNN):
    __doc__ = _Adapted.__doc__


@_register
class AdaptedScoRNN(_Adapted, ScoRNN):
    __doc__ = _Adapted.__doc__
