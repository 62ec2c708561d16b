"""One time step of a hybrid quantum-classical recurrent network."""

import keras
import tensorflow as tf
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell  # private; LSTMCell's dropout, made nowhere else

from tfq_qrnn import backends
from tfq_qrnn._checks import check_int, check_n_qubits, check_rate, check_real, check_seed
from tfq_qrnn._errors import argument_error, counted
from tfq_qrnn.backends import registry
from tfq_qrnn.layers.controller import Controller
from tfq_qrnn.layers.summary import summarize
from tfq_qrnn.layers.versioned import Versioned


@keras.saving.register_keras_serializable(package="tfq_qrnn")
class QRNNCell(Versioned, keras.layers.Layer, DropoutRNNCell):
    """Cell of a recurrent layer whose memory is the quantum state of a circuit.

    At each time step a small classical network, the controller, turns the input and the last readouts into angles; a
    parametrized circuit with these angles evolves the state, which is never collapsed; expectation values are read out,
    returned, and fed back (W. Xu, arXiv:2510.25557):

        angles = angle_scale * (W h + b),  h = hidden layers of [inputs, readouts]
        memory = U(angles) memory
        readouts = <memory| P |memory> for every observable P

    Args:
        n_qubits: Number of qubits, 1 or more.
        depth: Number of layers of the default circuit, `HardwareEfficient(n_qubits, depth)`.
        circuit: Another circuit: an ansatz or a `cirq.Circuit` with symbols on `n_qubits` qubits. Overrides `depth`.
        observables: Letters from "XYZ", each read on every qubit, qubit by qubit (X0, Y0, Z0, X1, ...); or a list of
            `cirq.PauliString` and `cirq.PauliSum`.
        hidden_units: Widths of the controller's hidden layers; `()` makes it linear.
        activation: Activation of the hidden layers: any of Keras, also "glu".
        use_bias: Whether the controller has biases.
        angle_scale: A number, a number per angle of `circuit`, or "auto". It sets how far one step of an optimizer
            turns a qubit, and with it whether long sequences train. "auto" is 0.1, or 0.5 / sqrt(timesteps) where a
            layer is built for a known number of time steps and that is less. Measured with
            `experiments/mnist.py --pixels P --learning-rate R`: digits in 28, 196 and 784 steps (P = 28, 4, 1) train at
            R = 3e-3 and 1e-2, where a scale of 1 stays at chance but at 28 steps and 3e-3; the table is in "For Keras
            users" of the documentation.
        trainable_angle_scale: Whether the scale is trained.
        feedback_gain: Factor on the initial weights of the readouts that are fed back. The feedback is what makes small
            differences grow from step to step; with 0.1 a layer starts near a unitary, which keeps every norm, and
            learns as much feedback as it needs.
        initial_rotation: Standard deviation, in radians, of a constant rotation with which each angle starts; a random
            one for each, part of the last bias. The memory then turns in many frequencies by itself, and so tells
            early inputs from late ones. With 0 a step without input leaves the memory nearly as it is. Without
            `use_bias` there is none. How both defaults were chosen is in "Training long sequences" of the
            documentation.
        kernel_initializer: Initializer of the controller's kernels.
        bias_initializer: Initializer of the controller's biases.
        kernel_regularizer: Regularizer of the kernels.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the kernels.
        bias_constraint: Constraint of the biases.
        trainable_circuit: An optional second circuit, on the same qubits, applied after the first at each step; its
            angles are weights that do not depend on the input.
        circuit_initializer: Initializer of these angles, in radians.
        dropout: Fraction of the inputs to drop.
        recurrent_dropout: Fraction of the readouts fed back to drop.
        seed: Seed of the dropout and of the initial rotation.
        backend: "auto", "native", "tensorflow", "tfq" or a backend of `tfq_qrnn.backends`.
        **kwargs: Arguments of a Keras layer.

    Call arguments:
        inputs: `(batch, features)`.
        states: `[readouts (batch, n_observables), memory (batch, 2 * 2**n_qubits)]`; the memory holds the real parts of
            the state, then the imaginary parts, qubit 0 the most significant bit. An all-zero memory is |0...0>.
        training: Whether dropout applies.

    Returns:
        `(readouts, [readouts, memory])`, readouts `(batch, n_observables)`.

    Raises:
        ValueError, TypeError: An argument is out of its range; the message names it.

    >>> layer = keras.layers.RNN(tfq_qrnn.QRNNCell(n_qubits=3))
    >>> layer(np.ones((2, 5, 4), "float32")).shape
    TensorShape([2, 9])
    """

    def __init__(
        self,
        n_qubits,
        depth=2,
        circuit=None,
        observables="XYZ",
        hidden_units=(32,),
        activation="gelu",
        use_bias=True,
        angle_scale="auto",
        trainable_angle_scale=False,
        feedback_gain=0.1,
        initial_rotation=0.1,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        trainable_circuit=None,
        circuit_initializer="random_normal",
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        backend="auto",
        **kwargs,
    ):
        # Here and not above, so that `import tfq_qrnn` is quick.
        from tfq_qrnn import circuits
        from tfq_qrnn.program import GateProgram

        super().__init__(**kwargs)
        if self.compute_dtype in ("float16", "bfloat16"):
            # A statevector in half precision is noise, and TensorFlow has no complex type for it.
            self.dtype_policy = keras.DTypePolicy("float32")
        self.n_qubits = check_n_qubits(n_qubits)
        self.depth = check_int("depth", depth, 1)
        self.circuit = None if circuit is None else circuits.as_ansatz(circuit)
        self.trainable_circuit = None if trainable_circuit is None else circuits.as_ansatz(trainable_circuit)
        ansatz = self.circuit or circuits.HardwareEfficient(n_qubits, depth)
        if len(ansatz.qubits) != n_qubits:
            raise argument_error(
                "circuit",
                f"act on n_qubits={n_qubits} qubits",
                f"it acts on {len(ansatz.qubits)}; cirq.I holds the place of an idle one",
            )
        program_ansatz, self._n_trainable_angles = ansatz, 0
        if self.trainable_circuit is not None:
            program_ansatz = circuits.concatenate(ansatz, self.trainable_circuit)
            self._n_trainable_angles = self.trainable_circuit.n_angles
        self.program = GateProgram(program_ansatz, observables)
        self.observables = observables if isinstance(observables, str) else self.program.observables
        self.circuit_initializer = keras.initializers.get(circuit_initializer)
        self.backend = backend if isinstance(backend, str) else backends.get(backend)
        self.engine = backends.get(backend)
        self.engine.check(self.program, self.compute_dtype)
        self.supports_jit = self.engine.supports_jit
        self.seed = check_seed(seed)
        self.controller = Controller(
            ansatz.n_angles,
            hidden_units=hidden_units,
            activation=activation,
            use_bias=use_bias,
            angle_scale=angle_scale,
            trainable_angle_scale=trainable_angle_scale,
            feedback_gain=feedback_gain,
            initial_rotation=initial_rotation,
            seed=self.seed,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            dtype=self.dtype_policy,
            name="controller",
        )
        self.dropout = check_rate("dropout", dropout)
        self.recurrent_dropout = check_rate("recurrent_dropout", recurrent_dropout)
        self.seed_generator = keras.random.SeedGenerator(seed=self.seed)
        # Readouts first: RNN makes its recurrent dropout masks from states[0].
        self.state_size = [self.program.n_observables, self.engine.memory_size(self.program)]
        self.output_size = self.program.n_observables

    def build(self, input_shape, timesteps=None):
        """Make the weights for inputs `(batch, features)`, and for sequences of `timesteps` where that is known."""
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise argument_error("inputs", "have a known number of features at each step", f"a step is {input_shape}")
        self.controller.build(input_shape[-1], self.output_size, timesteps)
        self.circuit_angles = None
        if self._n_trainable_angles:
            self.circuit_angles = self.add_weight(
                shape=(self._n_trainable_angles,),
                name="circuit_angles",
                initializer=self.circuit_initializer,
                autocast=False,
            )
        self.built = True

    def check_states(self, name, states):
        """Raise ValueError where `states` is no `[readouts, memory]` of this cell's sizes."""
        sizes = tuple(self.state_size)
        states = states if isinstance(states, (list, tuple)) else [states]
        shapes = [tuple(getattr(state, "shape", ())) for state in states]
        if len(shapes) != 2 or any(s[1:] not in ((n,), (None,)) for s, n in zip(shapes, sizes, strict=True)):
            raise argument_error(
                name,
                f"be [readouts, memory] of shapes (batch, {sizes[0]}) and (batch, {sizes[1]})",
                f"its shapes are {', '.join(map(str, shapes))}",
            )
        for state in states:
            check_real(name, state)

    def call(self, inputs, states, training=False):
        self.check_states("states", states)
        check_real("inputs", inputs)
        readouts, memory = states
        if training and self.dropout > 0:
            # RNN draws the mask for its own inputs, which half-precision policies leave in half precision
            inputs = inputs * tf.cast(self.get_dropout_mask(inputs), inputs.dtype)
        projected = self.with_noise(self.controller.project(inputs), training)
        angles = self.angles(projected, readouts, self.step_weights(readouts, training))
        memory, readouts = self.engine.step(self.program, memory, angles)
        return readouts, [readouts, memory]

    def step_weights(self, readouts, training):
        """The tensors that `angles` takes beside the projected input and the readouts."""
        weights = self.controller.recurrent_weights()
        if self.circuit_angles is not None:
            weights.append(tf.convert_to_tensor(self.circuit_angles))
        if training and self.recurrent_dropout > 0:
            weights.append(self.get_recurrent_dropout_mask(readouts))
        else:
            weights.append(tf.ones((), self.compute_dtype))
        return weights

    def angles(self, projected, readouts, weights):
        """All angles of the program, `(batch, n_angles)`, and the noise of `with_noise`; of its arguments alone."""
        *weights, dropout_mask = weights
        noise, width = None, self.controller.kernels[0].shape[1]
        if projected.shape[-1] != width:
            projected, noise = projected[:, :width], projected[:, width:]
        trained = weights.pop() if self._n_trainable_angles else None
        angles = self.controller.angles(projected, readouts * dropout_mask, weights)
        if trained is not None:
            trained = tf.broadcast_to(trained, (tf.shape(angles)[0], self._n_trainable_angles))
            angles = tf.concat([angles, trained], axis=-1)
        return angles if noise is None else tf.concat([angles, noise], axis=-1)

    def with_noise(self, projected, training):
        """Projected inputs `(..., width)`, with the random numbers of a noisy backend beside them in training."""
        if not training or not isinstance(self.engine, backends.Noisy):
            return projected
        shape = tf.shape(projected)[:-1]
        noise = self.engine.draw(self.program, shape, self.seed_generator.next(), projected.dtype)
        noise = tf.ensure_shape(noise, (*projected.shape[:-1], self.engine.n_draws(self.program)))
        return tf.concat([projected, noise], axis=-1)

    def get_initial_state(self, batch_size=None):
        return [
            tf.zeros((batch_size, self.output_size), self.compute_dtype),
            self.engine.initial_memory(self.program, batch_size, self.compute_dtype),
        ]

    def get_config(self):
        from tfq_qrnn.observables import serialize_observables

        controller = self.controller
        config = {
            "n_qubits": self.n_qubits,
            "depth": self.depth,
            "circuit": _serialize(self.circuit),
            "observables": serialize_observables(self.observables),
            "hidden_units": list(controller.hidden_units),
            "activation": keras.activations.serialize(controller.activation),
            "use_bias": controller.use_bias,
            "angle_scale": controller.angle_scale,
            "trainable_angle_scale": controller.trainable_angle_scale,
            "feedback_gain": controller.feedback_gain,
            "initial_rotation": controller.initial_rotation,
            "kernel_initializer": keras.initializers.serialize(controller.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(controller.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(controller.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(controller.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(controller.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(controller.bias_constraint),
            "trainable_circuit": _serialize(self.trainable_circuit),
            "circuit_initializer": keras.initializers.serialize(self.circuit_initializer),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
            "backend": registry.serialize(self.backend),
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        return cls(**deserialize_arguments(config))

    def summary(self, print_fn=print):
        """Print what the cell is: circuit, readouts, parameters, memory, work per step, backend.

        Args:
            print_fn: What prints the text.

        Operations are those of floating-point numbers, for one sequence, forward, counted as if every gate were applied
        on its own to all 2**n_qubits amplitudes; backends join gates, and a training step takes some three times as
        many.

        >>> circuit = tfq_qrnn.HardwareEfficient(n_qubits=4, depth=1).circuit
        >>> layer = tfq_qrnn.QRNN(n_qubits=4, circuit=circuit, observables="Z", backend="tensorflow")
        >>> layer.build((None, 28, 5))
        >>> layer.cell.summary()
        QRNNCell "qrnn_cell"
          circuit              4 qubits, CircuitAnsatz(4 qubits, 8 angles, 12 gates in 4 moments)
          gates per step       8 on one qubit, 4 on two or more
          angles per step      8
          readouts             4 (Z of every qubit)
          controller           9 -> 32 gelu -> 8, times 0.0945
          parameters           584 = 544 kernels + 40 biases
          memory               128 B per sequence, 16 amplitudes
          operations per step  2,112 = 768 state + 256 readouts + 1,088 controller
          backend              TensorFlow: plain ops, on any device; float32
        """
        print_fn(summarize(self))

    def __repr__(self):
        return (
            f"<QRNNCell name={self.name}, {self.program.ansatz!r}, {counted(self.program.n_observables, 'readout')}, "
            f"backend={self.engine!r}, built={self.built}>"
        )


def _serialize(ansatz):
    return None if ansatz is None else keras.saving.serialize_keras_object(ansatz)


def deserialize_arguments(config):
    """The constructor's arguments from a config: what Keras's own deserializers do not take as a dict."""
    from tfq_qrnn import circuits  # noqa: F401  registers the ansätze
    from tfq_qrnn.observables import deserialize_observables

    config = dict(config)
    for name in ("circuit", "trainable_circuit"):
        if isinstance(config.get(name), dict):
            config[name] = keras.saving.deserialize_keras_object(config[name])
    if "observables" in config:
        config["observables"] = deserialize_observables(config["observables"])
    if "backend" in config:
        config["backend"] = registry.deserialize(config["backend"])
    return config
