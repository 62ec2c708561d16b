"""TensorFlow Quantum's own ops: finite shots, gate noise, its differentiators, and agreement with it.

These ops start at |0...0> at every call. So the memory is the angles so far, and each step replays the circuit of all
steps up to it: T steps cost O(T^2), in time and on the tape. The other backends carry the state instead.
"""

import dataclasses
import functools
from typing import Any

import cirq
import keras
import tensorflow as tf

from tfq_qrnn import _cirq_json
from tfq_qrnn._checks import check_choice, check_int
from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn._tfq import require_tfq
from tfq_qrnn.backends.base import Backend
from tfq_qrnn.backends.tfq_replay import DIFFERENTIATORS, Replay
from tfq_qrnn.program import GateProgram


@keras.saving.register_keras_serializable(package="tfq_qrnn")
@dataclasses.dataclass(frozen=True)
class TFQ(Backend):
    """TensorFlow Quantum's expectation ops, replaying the circuit from |0...0> at every step.

    Args:
        repetitions: None for exact expectation values, or the number of shots of each observable at each step. TFQ's
            sampling ops take no seed.
        noise: A one-qubit channel that acts on every qubit after every moment (TFQ's `depolarize`, `amplitude_damp`,
            `phase_damp`, `bit_flip`, `phase_flip`, `asymmetric_depolarize`, `generalized_amplitude_damp`). Every shot
            is a noise trajectory of its own, so `repetitions` must be given.
        differentiator: "adjoint", "parameter_shift", "central_difference" or "forward_difference". By default "adjoint"
            for exact values, "parameter_shift" for shots.
        max_timesteps: The most steps of a sequence; the memory has room for the angles of so many.

    Memory: `(batch, 1 + max_timesteps * n_angles)`, the number of steps so far and then their angles. TFQ computes in
    float32.

    Raises:
        ImportError: TensorFlow Quantum is not installed.
        ValueError, TypeError: An argument is out of its range, or the differentiator cannot work on shots.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2, backend=tfq_qrnn.backends.TFQ(repetitions=100, max_timesteps=3))
    >>> bool(np.all(np.abs(layer(np.ones((1, 3, 4), "float32"))) <= 1))  # means of 100 shots
    True
    """

    repetitions: int | None = None
    noise: object | None = None
    differentiator: str | None = None
    max_timesteps: int = 64

    def __post_init__(self) -> None:
        require_tfq("The TFQ backend")
        if self.repetitions is not None:
            object.__setattr__(self, "repetitions", check_int("repetitions", self.repetitions, 1, 2**31 - 1))
        # A circuit is made for every number of steps: a thousand of them take minutes.
        object.__setattr__(self, "max_timesteps", check_int("max_timesteps", self.max_timesteps, 1, 1000))
        if self.noise is not None:
            if not isinstance(self.noise, cirq.Gate):
                raise argument_type_error("noise", "be a Cirq channel on one qubit", self.noise)
            # TFQ applies a channel on two qubits to the first one only
            if type(self.noise).__name__ not in _cirq_json.CHANNEL or cirq.num_qubits(self.noise) != 1:
                raise argument_error("noise", "be a channel on one qubit that TFQ simulates", f"it is {self.noise!r}")
            if self.repetitions is None:
                raise argument_error("repetitions", "be given with `noise`", "it is None")
        if self.differentiator is not None:
            check_choice("differentiator", self.differentiator, tuple(DIFFERENTIATORS))
            if self.differentiator == "adjoint" and self.repetitions is not None:
                raise argument_error(
                    "differentiator", "work on shots where `repetitions` is given", "the adjoint method needs the state"
                )

    @property
    def supports_jit(self) -> bool:
        return False  # XLA has no kernels for TFQ's ops

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "noise": None if self.noise is None else cirq.to_json(self.noise)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TFQ":
        if (noise := config.get("noise")) is not None:
            try:
                noise = _cirq_json.read(noise, _cirq_json.CHANNEL)
            except ValueError as error:
                raise argument_error("noise", "be Cirq JSON of a channel that TFQ simulates", str(error)) from error
        return cls(**{**config, "noise": noise})

    def check(self, program: GateProgram, dtype: str | tf.DType) -> None:
        if tf.as_dtype(dtype) != tf.float32:
            raise argument_error("dtype", "be float32 for the TFQ backend", f"it is {tf.as_dtype(dtype).name}")
        program.require_paulis("the TFQ backend")
        _compile(program, self)

    def check_timesteps(self, timesteps: int | None) -> None:
        if timesteps is not None and timesteps > self.max_timesteps:
            raise argument_error(
                "inputs",
                f"have at most max_timesteps={self.max_timesteps} time steps with the TFQ backend, which replays them "
                "all at every step",
                f"they have {timesteps}; give TFQ(max_timesteps={timesteps}) or a backend that carries the state",
            )

    def memory_size(self, program: GateProgram) -> int:
        return 1 + self.max_timesteps * program.n_angles

    def initial_memory(self, program: GateProgram, batch_size: int | tf.Tensor, dtype: str | tf.DType) -> tf.Tensor:
        return tf.zeros((batch_size, self.memory_size(program)), dtype)

    def step(
        self, program: GateProgram, memory: tf.Tensor, angles: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        replay = _compile(program, self)
        batch = tf.shape(angles)[0]
        count = tf.cast(tf.round(tf.stop_gradient(memory[:, 0])), tf.int32)
        message = f"The TFQ backend replays at most max_timesteps={self.max_timesteps} time steps."
        with tf.control_dependencies([tf.debugging.assert_less(count, self.max_timesteps, message=message)]):
            here = tf.one_hot(count, self.max_timesteps, dtype=angles.dtype)
        history = tf.reshape(memory[:, 1:], (batch, self.max_timesteps, program.n_angles))
        history += here[:, :, None] * angles[:, None, :]
        readouts = replay(history, count)
        # a static width: a while_loop wants the shape that it was given
        history = tf.reshape(history, (batch, self.max_timesteps * program.n_angles))
        new_memory = tf.concat([memory[:, :1] + 1, history], axis=1)
        return new_memory, readouts

    def __str__(self) -> str:
        values = "exact values" if self.repetitions is None else counted(self.repetitions, "shot")
        noise = "" if self.noise is None else f", {self.noise} on every qubit after every moment"
        return f"TFQ: {values}{noise}, replaying at most {counted(self.max_timesteps, 'step')}"


_compile = functools.lru_cache(maxsize=16)(Replay)
