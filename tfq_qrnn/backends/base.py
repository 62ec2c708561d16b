"""What a backend is: one application of a program to a batch of memories, with its gradient.

A backend is a frozen value that can be serialized. A memory is a real tensor `(batch, memory_size)`; what it holds is
the backend's own affair, except that all zeros mean |0...0>.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfq_qrnn._errors import argument_error, readable_bytes
from tfq_qrnn._memory import total_memory, training_bytes
from tfq_qrnn.program import GateProgram


@dataclasses.dataclass(frozen=True)
class Backend(abc.ABC):
    """One way to run a `GateProgram`.

    >>> program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(n_qubits=2))
    >>> [tfq_qrnn.backends.get(name).memory_size(program) for name in ("tensorflow", "tfq")]
    [8, 513]
    """

    def check(self, program: GateProgram, dtype: str | tf.DType) -> None:
        """Raise ValueError, naming it, for what this backend cannot run."""
        return  # most run everything; AutoGraph warns of a function that has nothing but a docstring

    @abc.abstractmethod
    def memory_size(self, program: GateProgram) -> int:
        """Length of one sequence's memory."""

    @abc.abstractmethod
    def initial_memory(self, program: GateProgram, batch_size: int | tf.Tensor, dtype: str | tf.DType) -> tf.Tensor:
        """The memory of |0...0>, `(batch_size, memory_size)`."""

    def check_timesteps(self, timesteps: int | None) -> None:
        """Raise ValueError for a sequence of more steps than this backend can run."""
        return

    def draw(
        self, program: GateProgram, like: tf.Tensor, seed_generator: keras.random.SeedGenerator
    ) -> tf.Tensor | None:
        """The random numbers that steps take in training, `(..., n)`; None where a step takes none.

        Args:
            like: `(..., width)`, of the dtype of the numbers.
            seed_generator: A `keras.random.SeedGenerator`; not used where nothing is drawn.
        """
        return None

    @abc.abstractmethod
    def step(
        self, program: GateProgram, memory: tf.Tensor, angles: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Apply the program once.

        Args:
            program: A `GateProgram`.
            memory: `(batch, memory_size)`, real.
            angles: `(batch, n_angles)`, of the same dtype, in radians.
            noise: What `draw` gave for this step, `(batch, n)`; None runs it without noise.

        Returns:
            `(new_memory, readouts)`, readouts of shape `(batch, n_observables)`; differentiable.
        """

    @property
    def supports_jit(self) -> bool:
        """Whether XLA can compile it."""
        return True

    def get_config(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Backend":
        return cls(**config)


@dataclasses.dataclass(frozen=True)
class CarriedBackend(Backend):
    """A backend whose memory is the statevector: real parts, then imaginary parts, qubit 0 the most significant bit.

    Its gradient is the adjoint method: walking backward, it undoes the circuit, so that no intermediate state is kept.

    >>> program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(n_qubits=1, depth=1), observables="Z")
    >>> backend, angles = tfq_qrnn.backends.TensorFlow(), tf.constant([[0.3, 0.1]])
    >>> before = backend.initial_memory(program, 1, "float32")
    >>> after, readouts = backend.forward(program, before, angles)
    >>> undone, *_ = backend.undo(program, after, angles, tf.zeros_like(after), tf.zeros_like(readouts))
    >>> bool(np.allclose(undone, before, atol=1e-6))
    True
    """

    @abc.abstractmethod
    def forward(
        self, program: GateProgram, memory: tf.Tensor, angles: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`step` without a gradient, and without reading zeros as |0...0>."""

    @abc.abstractmethod
    def undo(
        self,
        program: GateProgram,
        memory: tf.Tensor,
        angles: tf.Tensor,
        memory_gradient: tf.Tensor,
        readouts_gradient: tf.Tensor,
        noise: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The step before, and the gradients there.

        Args:
            memory: The memory after the step.
            angles, noise: Those of the step.
            memory_gradient, readouts_gradient: Gradients of the loss in the step's two results.

        Returns:
            `(memory, memory_gradient, angles_gradient)`, the memory before the step.
        """

    def sequence(
        self, program: GateProgram, n_layers: int, activation: Callable, use_bias: bool, trained: bool
    ) -> Callable | None:
        """A function that runs a whole sequence under a dense controller, or None where nothing is faster than a scan.

        Args:
            n_layers: Number of dense layers, the last one linear.
            activation: Keras activation of the others.
            use_bias: Whether they have biases.
            trained: Whether the program's last angles are weights instead.

        Returns:
            `run(inputs, mask, readouts, memory, *weights) -> (all_readouts, last_readouts, last_memory)`, arguments and
            results as of the function that `reversible_scan` makes.
        """

    def memory_size(self, program: GateProgram) -> int:
        return 2 * 2**program.n_qubits

    def initial_memory(self, program: GateProgram, batch_size: int | tf.Tensor, dtype: str | tf.DType) -> tf.Tensor:
        _check_batch(program, batch_size, tf.as_dtype(dtype))
        ground = tf.one_hot(tf.zeros((batch_size,), tf.int32), self.memory_size(program), dtype=dtype)
        return tf.ensure_shape(ground, (None, self.memory_size(program)))

    def step(
        self, program: GateProgram, memory: tf.Tensor, angles: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        @tf.custom_gradient
        def apply(memory, angles, *noise):
            new_memory, readouts = self.forward(program, memory, angles, *noise)

            def gradient(memory_gradient, readouts_gradient):
                _, *gradients = self.undo(program, new_memory, angles, memory_gradient, readouts_gradient, *noise)
                return (*gradients, *(None for _ in noise))

            return (new_memory, readouts), gradient

        return apply(zeros_to_ground(memory), angles, *([] if noise is None else [noise]))


def _check_batch(program, batch_size, dtype):
    """Refuse a batch that this machine cannot hold, where its size is known."""
    size = int(tf.get_static_value(tf.convert_to_tensor(batch_size)) or 0)
    each, total = training_bytes(program.n_qubits, dtype.size), total_memory()
    if size * each > total:
        raise argument_error(
            "inputs",
            f"hold at most {total // each} sequences, or memory runs out",
            f"{size} of {program.n_qubits} qubits take {readable_bytes(size * each)} in training and this machine has "
            f"{readable_bytes(total)}",
        )


def zeros_to_ground(memory: tf.Tensor) -> tf.Tensor:
    """Memories with all-zero rows replaced by |0...0>. The gradient passes through unchanged."""
    is_zero = tf.reduce_all(tf.equal(memory, 0), axis=-1, keepdims=True)
    one = tf.cast(is_zero, memory.dtype)
    return tf.concat([memory[:, :1] + one, memory[:, 1:]], axis=-1)
