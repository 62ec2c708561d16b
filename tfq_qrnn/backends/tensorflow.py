"""The reference backend: plain TensorFlow ops, on any device, under XLA, in float32 and float64.

Backward, each stage of the program is undone on the state and differentiated on its own: memory grows neither with the
depth nor with the number of time steps.
"""

import dataclasses
import functools

import keras
import tensorflow as tf

from tfq_qrnn.backends.base import CarriedBackend
from tfq_qrnn.backends.tensorflow_stages import CompiledProgram
from tfq_qrnn.program import GateProgram


@keras.saving.register_keras_serializable(package="tfq_qrnn")
@dataclasses.dataclass(frozen=True)
class TensorFlow(CarriedBackend):
    """Plain TensorFlow ops: eager, tf.function, XLA; CPU, GPU and TPU.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2, backend=tfq_qrnn.backends.TensorFlow())
    >>> layer(np.ones((1, 3, 4), "float32")).shape
    TensorShape([1, 6])
    """

    def forward(
        self, program: GateProgram, memory: tf.Tensor, angles: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        compiled = _compile(program, memory.dtype.name)
        state = _to_complex(memory)
        for stage in compiled.stages:
            state = stage(state, angles)
        return _to_real(state), compiled.readouts(state)

    def undo(
        self,
        program: GateProgram,
        memory: tf.Tensor,
        angles: tf.Tensor,
        memory_gradient: tf.Tensor,
        readouts_gradient: tf.Tensor,
        noise: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        compiled = _compile(program, memory.dtype.name)
        state, gradient = _to_complex(memory), _to_complex(memory_gradient)
        gradient += _differentiate(compiled.readouts, (state,), readouts_gradient)[0]
        angles_gradient = tf.zeros_like(angles)
        for stage in reversed(compiled.stages):
            state = stage(state, angles, undo=True)
            gradient, contribution = _differentiate(stage, (state, angles), gradient)
            if contribution is not None:
                angles_gradient += contribution
        return _to_real(state), _to_real(gradient), angles_gradient

    def __str__(self) -> str:
        return "TensorFlow: plain ops, on any device"


def _differentiate(function, arguments, output_gradient):
    """The gradients of one function in its arguments, None where it does not depend on one."""
    # Copies: in the gradient of a while_loop, tensors of the forward loop come in through a capture that no tape sees.
    arguments = tuple(tf.identity(argument) for argument in arguments)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(arguments)
        output = function(*arguments)
    return tape.gradient(output, arguments, output_gradients=output_gradient)


def _to_complex(memory):
    half = memory.shape[-1] // 2
    return tf.complex(memory[:, :half], memory[:, half:])


def _to_real(state):
    return tf.concat([tf.math.real(state), tf.math.imag(state)], axis=-1)


_compile = functools.lru_cache(maxsize=64)(CompiledProgram)  # once for each program and dtype
