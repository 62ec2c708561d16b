"""One time step of a hybrid quantum-classical recurrent network."""

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import cirq
import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn import _keras, backends
from tfq_qrnn._checks import check_int, check_n_qubits, check_rate, check_real, check_seed
from tfq_qrnn._errors import argument_error, counted, readable_bytes
from tfq_qrnn._keras import DropoutRNNCell
from tfq_qrnn.backends import registry
from tfq_qrnn.circuits import Ansatz, HardwareEfficient, as_ansatz, concatenate
from tfq_qrnn.drift import Drift
from tfq_qrnn.layers import own_network
from tfq_qrnn.layers.controller import Controller, check_widths
from tfq_qrnn.layers.own_network import OwnNetwork
from tfq_qrnn.layers.reversible_scan import at_step
from tfq_qrnn.layers.versioned import Versioned
from tfq_qrnn.observables import deserialize_observables, serialize_observables
from tfq_qrnn.program import GateProgram


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
        n_qubits: Number of qubits, 1 or more; may be left out where `circuit` tells it.
        depth: Number of layers of the default circuit, `HardwareEfficient(n_qubits, depth, drift=Drift())`.
        circuit: Another circuit: an ansatz or a `cirq.Circuit` with symbols on `n_qubits` qubits. Overrides `depth`.
        observables: Letters from "XYZ", each read on every qubit, qubit by qubit (X0, Y0, Z0, X1, ...); "pairs", which
            are all three and ZZ of neighbours on a ring; a list of `cirq.PauliString` and `cirq.PauliSum`;
            "probabilities" of all basis states, `2**n_qubits`; or "state", real parts of all amplitudes, then imaginary
            parts. The last two take a backend that carries the state.
        controller: The classical network. A width or a tuple of widths of hidden layers, `()` for a linear one; a
            `tfq_qrnn.Controller`, which has all its settings; or any Keras layer or model from
            `(batch, features + n_readouts)` to `(batch, n_angles)`, the angles in radians. "Your own controller" of the
            documentation says what such a network must be.
        trainable_circuit: An optional second circuit, on the same qubits, applied after the first at each step; its
            angles are weights that do not depend on the input.
        circuit_initializer: Initializer of these angles, in radians.
        dropout: Fraction of the inputs to drop.
        recurrent_dropout: Fraction of the readouts fed back to drop.
        seed: Seed of the dropout and of the controller's initial rotation.
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
        **kwargs: Any,
    ):
        refuse_units(kwargs)
        super().__init__(**kwargs)
        self._is_half = self.compute_dtype in ("float16", "bfloat16")
        if self._is_half:
            # A statevector in half precision is noise, and TensorFlow has no complex type for it.
            self.dtype_policy = keras.DTypePolicy("float32")
        if circuit is not None:
            self.circuit = as_ansatz(circuit)
            n_qubits = len(self.circuit.qubits) if n_qubits is None else n_qubits
        elif n_qubits is None:
            raise argument_error("n_qubits", "be given where `circuit` does not tell it", "it is None")
        self.n_qubits = check_n_qubits(n_qubits)
        self.depth = check_int("depth", depth, 1)
        if circuit is None:
            self.circuit = HardwareEfficient(n_qubits, depth, drift=Drift())
        self.trainable_circuit = None if trainable_circuit is None else as_ansatz(trainable_circuit)
        if len(self.circuit.qubits) != n_qubits:
            raise argument_error(
                "circuit",
                f"act on n_qubits={n_qubits} qubits",
                f"it acts on {len(self.circuit.qubits)}; cirq.I holds the place of an idle one",
            )
        program_ansatz, self._n_trainable_angles = self.circuit, 0
        if self.trainable_circuit is not None:
            program_ansatz = concatenate(self.circuit, self.trainable_circuit)
            self._n_trainable_angles = self.trainable_circuit.n_angles
        self.program = GateProgram(program_ansatz, observables)
        self.observables = observables if isinstance(observables, str) else self.program.observables
        self.circuit_initializer = keras.initializers.get(circuit_initializer)
        self._backend_config = registry.serialize(backend)
        self._use_backend(backends.get(backend))
        self.seed = check_seed(seed)
        self._widths = None
        if isinstance(controller, (numbers.Integral, tuple, list)) and not isinstance(controller, bool):
            widths = [controller] if isinstance(controller, numbers.Integral) else controller
            self._widths = check_widths("controller", widths)
            controller = Controller(self._widths, dtype=self.dtype_policy, name="controller")
        self._own_network = None if isinstance(controller, Controller) else OwnNetwork(controller)
        self.controller = controller
        self.dropout = check_rate("dropout", dropout)
        self.recurrent_dropout = check_rate("recurrent_dropout", recurrent_dropout)
        self.seed_generator = keras.random.SeedGenerator(seed=self.seed)
        self.output_size = self.program.n_observables

    def _use_backend(self, backend: backends.Backend) -> None:
        """Run on another backend from now on; the config keeps the one that the cell was made with."""
        backend.check(self.program, self.compute_dtype)
        self.backend = backend
        self.supports_jit = backend.supports_jit
        # Readouts first: RNN makes its recurrent dropout masks from states[0].
        self.state_size = [self.program.n_observables, backend.memory_size(self.program)]

    def build(self, input_shape: tuple[int | None, ...], timesteps: int | None = None) -> None:
        """Make the weights for inputs `(batch, features)`, and for sequences of `timesteps` where that is known."""
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise argument_error("inputs", "have a known number of features at each step", f"a step is {input_shape}")
        sizes = (input_shape[-1], self.output_size, self.program.n_angles - self._n_trainable_angles)
        if self._own_network:
            self._own_network.build(*sizes, self.compute_dtype, may_be_half=self._is_half)
        elif self.controller.built:
            self.controller.check_sizes(*sizes, self.compute_dtype)  # another cell has built it
        else:
            if self.controller.has_own_dtype and self.controller.compute_dtype != self.compute_dtype:
                given = f"it has {self.controller.compute_dtype}: leave `dtype` out"
                raise argument_error("controller", f"have the dtype of the layer, {self.compute_dtype}", given)
            self.controller.dtype_policy = self.dtype_policy
            self.controller.build_for(*sizes, timesteps, self.seed)
        self.circuit_angles = None
        if self._n_trainable_angles:
            self.circuit_angles = self.add_weight(
                shape=(self._n_trainable_angles,),
                name="circuit_angles",
                initializer=self.circuit_initializer,
                autocast=False,
            )
        self.built = True

    def check_states(self, name: str, states: Sequence[tf.Tensor]) -> None:
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

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        _keras.refuse_keras_2("inputs", inputs, args, kwargs)
        return super().__call__(inputs, *args, **kwargs)

    def call(
        self, inputs: tf.Tensor, states: Sequence[tf.Tensor], training: bool = False
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        self.check_states("states", states)
        check_real("inputs", inputs)
        readouts, memory = states
        if training and self.dropout > 0:
            # RNN draws the mask for its own inputs, which half-precision policies leave in half precision
            inputs = inputs * tf.cast(self.get_dropout_mask(inputs), inputs.dtype)
        projected = self.project(inputs)
        noise, seeds = self.draw(projected[:, None], training)
        angles = self.angles(projected, readouts, self.step_weights(readouts, training), at_step(seeds, 0))
        memory, readouts = self.backend.step(self.program, memory, angles, at_step(noise, 0))
        return readouts, [readouts, memory]

    def _network(self):
        # A method and no property: Keras would save the controller under this name, too.
        return self._own_network or self.controller

    def project(self, inputs: tf.Tensor) -> tf.Tensor:
        """What `angles` needs of the inputs, `(..., features)` -> `(..., width)`, for a whole sequence at once."""
        return self._network().project(tf.cast(inputs, self.compute_dtype))

    def step_weights(self, readouts: tf.Tensor, training: bool) -> list[tf.Tensor]:
        """The tensors that `angles` takes beside the projected input and the readouts."""
        weights = self._network().recurrent_weights()
        if self.circuit_angles is not None:
            weights.append(tf.convert_to_tensor(self.circuit_angles))
        if training and self.recurrent_dropout > 0:
            weights.append(self.get_recurrent_dropout_mask(readouts))
        else:
            weights.append(tf.ones((), self.compute_dtype))
        return weights

    def draw(self, projected: tf.Tensor, training: bool) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """What is random in a sequence, drawn before it runs: backward, each step finds what it had forward.

        Args:
            projected: `(batch, time, width)`.
            training: Whether anything is random.

        Returns:
            `(noise, seeds)`, time first: the numbers of a noisy backend, `(time, batch, n)`, and the seeds of the
            controller's random parts, `(time, n, 2)`; None for what there is not.
        """
        if not training:
            return None, None
        noise = self.backend.draw(self.program, projected, self.seed_generator)
        noise = None if noise is None else tf.transpose(noise, (1, 0, 2))
        return noise, self._network().draw_seeds(tf.shape(projected)[1])

    def angles(
        self, projected: tf.Tensor, readouts: tf.Tensor, weights: Sequence[tf.Tensor], seeds: tf.Tensor | None = None
    ) -> tf.Tensor:
        """All angles of a step, `(batch, n_angles)` in radians; a function of its arguments alone.

        Args:
            projected: `(batch, width)`, what `project` gives.
            readouts: `(batch, n_observables)`.
            weights: What `step_weights` gives.
            seeds: What `draw` gives for the step.
        """
        *weights, dropout_mask = weights
        trained = weights.pop() if self._n_trainable_angles else None
        angles = self._network().angles(projected, readouts * dropout_mask, weights, seeds)
        if trained is not None:
            trained = tf.broadcast_to(trained, (tf.shape(angles)[0], self._n_trainable_angles))
            angles = tf.concat([angles, trained], axis=-1)
        return angles

    def get_initial_state(self, batch_size: int | tf.Tensor | None = None) -> list[tf.Tensor]:
        return [
            tf.zeros((batch_size, self.output_size), self.compute_dtype),
            self.backend.initial_memory(self.program, batch_size, self.compute_dtype),
        ]

    def get_config(self) -> dict[str, Any]:
        config = {
            "n_qubits": self.n_qubits,
            "depth": self.depth,
            "circuit": _serialize(self.circuit),  # the default, too: a file keeps what it was saved with
            "observables": serialize_observables(self.observables),
            "controller": own_network.serialize(self.controller) if self._widths is None else list(self._widths),
            "trainable_circuit": _serialize(self.trainable_circuit),
            "circuit_initializer": keras.initializers.serialize(self.circuit_initializer),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
            "backend": self._backend_config,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "QRNNCell":
        return cls(**deserialize_arguments(config))

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print what the cell is: circuit, readouts, controller, parameters, memory, backend.

        Args:
            print_fn: What prints the text.

        >>> circuit = tfq_qrnn.HardwareEfficient(n_qubits=4, depth=1).circuit
        >>> layer = tfq_qrnn.QRNN(n_qubits=4, circuit=circuit, observables="Z", backend="tensorflow")
        >>> layer.build((None, 28, 5))
        >>> layer.cell.summary()
        QRNNCell "qrnn_cell"
          circuit     CircuitAnsatz(4 qubits, 8 angles, 12 gates in 4 moments)
          readouts    4: Z(q(0)), Z(q(1)), Z(q(2)), Z(q(3))
          controller  Controller: 9 -> 32 glu -> 8, times 0.1
          parameters  904
          memory      128 B per sequence
          backend     TensorFlow: plain ops, on any device; float32
        """
        program, parameters = self.program, "none yet: the cell is not built"
        if self.built:
            parameters = f"{sum(math.prod(weight.shape) for weight in self.trainable_weights):,}"
        names = program.observable_names
        memory = readable_bytes(self.state_size[1] * np.dtype(self.compute_dtype).itemsize)
        rows = {
            "circuit": repr(program.ansatz),
            "readouts": f"{len(names):,}: {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}",
            "controller": f"{type(self.controller).__name__}: {self._network()}",
            "parameters": parameters,
            "memory": f"{memory} per sequence",
            "backend": f"{self.backend!s}; {self.compute_dtype}",
        }
        print_fn("\n".join([f'QRNNCell "{self.name}"', *(f"  {name:10}  {text}" for name, text in rows.items())]))

    def __repr__(self) -> str:
        return (
            f"<QRNNCell name={self.name}, {self.program.ansatz!r}, {counted(self.program.n_observables, 'readout')}, "
            f"backend={self.backend!r}, built={self.built}>"
        )


def refuse_units(arguments: dict[str, Any]) -> None:
    """`units` of other recurrent layers has no counterpart; Keras would only say that it does not know it."""
    if "units" in arguments:
        raise argument_error(
            "n_qubits",
            "give the size of the memory",
            "`units` is given; n_qubits=4 has 4 qubits and 12 outputs, <X>, <Y> and <Z> of each, or 4 with "
            'observables="Z"',
        )


def _serialize(ansatz):
    return None if ansatz is None else keras.saving.serialize_keras_object(ansatz)


def _as_saved(config):
    """A config with the defaults of the time when it was written: those of today have a drift, and gates.

    A config names its circuit, and the circuit its drift; one that does not is older than both.
    """
    config = dict(config)
    if "circuit" not in config or "drift" in ((config["circuit"] or {}).get("config") or {}):
        return config
    if config["circuit"] is None:
        config["circuit"] = HardwareEfficient(config["n_qubits"], config["depth"])
    if isinstance(config.get("controller"), (list, tuple)):
        config["controller"] = Controller(config["controller"], activation="gelu", initial_rotation=0.1, gate_bias=0.0)
    return config


def deserialize_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """The constructor's arguments from a config: what Keras's own deserializers do not take as a dict."""
    config = _as_saved(config)
    for name in ("circuit", "trainable_circuit"):
        if isinstance(config.get(name), dict):
            config[name] = keras.saving.deserialize_keras_object(config[name])
    if isinstance(config.get("controller"), dict):
        config["controller"] = own_network.deserialize(config["controller"])
    if "observables" in config:
        config["observables"] = deserialize_observables(config["observables"])
    if "backend" in config:
        config["backend"] = registry.deserialize(config["backend"])
    return config
