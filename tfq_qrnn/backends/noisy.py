"""Noise in training, on a state that is carried: finite shots, and random Paulis.

All randomness is drawn before the loop (`draw`). So undoing a step undoes the very same Paulis, and gradients are those
of the trajectory that was run.
"""

import dataclasses
import functools
import numbers
from collections.abc import Callable
from typing import Any

import cirq
import keras
import numpy as np
import sympy
import tensorflow as tf

from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error, argument_type_error, counted, shown
from tfq_qrnn.backends.base import CarriedBackend
from tfq_qrnn.backends.registry import deserialize, get, serialize
from tfq_qrnn.circuits import CircuitAnsatz
from tfq_qrnn.program import GateProgram


@keras.saving.register_keras_serializable(package="tfq_qrnn")
@dataclasses.dataclass(frozen=True)
class Noisy(CarriedBackend):
    """A carried backend that trains with the noise of a device.

    Layers are noisy while they train (`training=True`), and exact otherwise; `tfq_qrnn.pqc` is exact. The randomness
    follows the layer's `seed` and `keras.utils.set_random_seed`.

    Shot noise: each Pauli string is read as its expectation value m plus a normal number of variance
    (1 - m^2)/repetitions, the mean and the variance of `repetitions` shots, each string with shots of its own. Its
    gradient is that of m: unbiased, and as cheap as without noise.
    Pauli noise: after each moment of the circuit, each qubit of each sequence turns by X, Y or Z with the given
    probabilities. Averages over trajectories are those of the channel; a trajectory costs some more one-qubit
    rotations.

    Args:
        repetitions: Shots of each Pauli string at each time step; None for exact values.
        pauli_error: Probability of an error on each qubit after each moment, X, Y and Z alike (`cirq.depolarize`), or a
            probability for each of them (`cirq.asymmetric_depolarize`).
        backend: The carried backend that runs the circuits, or its name.

    Raises:
        ValueError, TypeError: An argument is out of its range.

    >>> layer = tfq_qrnn.QRNN(n_qubits=2, seed=1, backend=tfq_qrnn.backends.Noisy(repetitions=100, pauli_error=0.01))
    >>> layer(np.ones((1, 3, 4), "float32"), training=True).shape
    TensorShape([1, 6])
    """

    repetitions: int | None = None
    pauli_error: float | tuple[float, float, float] = 0.0
    backend: CarriedBackend | str = "auto"

    def __post_init__(self) -> None:
        if self.repetitions is not None:
            object.__setattr__(self, "repetitions", check_int("repetitions", self.repetitions, 1, 2**31 - 1))
        object.__setattr__(self, "pauli_error", _check_pauli_error(self.pauli_error))
        object.__setattr__(self, "backend", get(self.backend))
        if not isinstance(self.backend, CarriedBackend) or isinstance(self.backend, Noisy):
            raise argument_type_error("backend", "be a backend that carries the state", self.backend)

    def __str__(self) -> str:
        shots = "exact values" if self.repetitions is None else counted(self.repetitions, "shot")
        errors = ", ".join(f"{p:g}" for p in self.pauli_error)
        return f"Noisy: {shots}, Pauli errors {errors}, in training; {self.backend}"

    @property
    def supports_jit(self) -> bool:
        return self.backend.supports_jit

    def get_config(self) -> dict[str, Any]:
        return {
            "repetitions": self.repetitions,
            "pauli_error": list(self.pauli_error),
            "backend": serialize(self.backend),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Noisy":
        return cls(**{**config, "backend": deserialize(config["backend"])})

    def check(self, program: GateProgram, dtype: str | tf.DType) -> None:
        program.require_paulis("the Noisy backend")
        self.backend.check(program, dtype)
        self.backend.check(_expand(program, self).program, dtype)

    def sequence(self, *arguments: Any, **options: Any) -> Callable | None:
        return self.backend.sequence(*arguments, **options)  # runs without noise

    def draw(
        self, program: GateProgram, like: tf.Tensor, seed_generator: keras.random.SeedGenerator
    ) -> tf.Tensor | None:
        """Turns of the Paulis, in radians, then normal numbers for the shots."""
        expanded, dtype, shape = _expand(program, self), like.dtype, tf.shape(like)[:-1]
        x, y, z = self.pauli_error
        seed = tf.cast(seed_generator.next(), tf.int64)
        uniform = tf.random.stateless_uniform(tf.concat([shape, [expanded.n_sites]], 0), seed, dtype=dtype)
        normal = tf.random.stateless_normal(
            tf.concat([shape, [expanded.n_terms]], 0), seed + tf.constant([0, 1], tf.int64), dtype=dtype
        )
        pi = tf.constant(np.pi, dtype)
        # X in [0, x), Y in [x, x + y), Z in [x + y, x + y + z); Y is X and Z, up to a phase.
        about_x = pi * tf.cast(uniform < x + y, dtype)
        about_z = pi * tf.cast((uniform >= x) & (uniform < x + y + z), dtype)
        drawn = tf.concat([about_x, about_z, normal], axis=-1)
        return tf.ensure_shape(drawn, (*like.shape[:-1], 2 * expanded.n_sites + expanded.n_terms))

    def forward(
        self, program: GateProgram, memory: tf.Tensor, angles: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if noise is None:
            return self.backend.forward(program, memory, angles)
        expanded = _expand(program, self)
        turns, normal = noise[:, : 2 * expanded.n_sites], noise[:, 2 * expanded.n_sites :]
        memory, terms = self.backend.forward(expanded.program, memory, tf.concat([angles, turns], axis=1))
        if self.repetitions is not None:
            variance = tf.nn.relu(1 - terms * terms) / self.repetitions
            terms += normal * tf.sqrt(variance)
        weights, constants = (tf.constant(value, terms.dtype) for value in (expanded.weights, expanded.constants))
        return memory, tf.matmul(terms, weights) + constants

    def undo(
        self,
        program: GateProgram,
        memory: tf.Tensor,
        angles: tf.Tensor,
        memory_gradient: tf.Tensor,
        readouts_gradient: tf.Tensor,
        noise: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        if noise is None:
            return self.backend.undo(program, memory, angles, memory_gradient, readouts_gradient)
        expanded = _expand(program, self)
        used = tf.concat([angles, noise[:, : 2 * expanded.n_sites]], axis=1)
        terms_gradient = tf.matmul(readouts_gradient, tf.constant(expanded.weights, angles.dtype), transpose_b=True)
        memory, memory_gradient, gradient = self.backend.undo(
            expanded.program, memory, used, memory_gradient, terms_gradient
        )
        return memory, memory_gradient, gradient[:, : program.n_angles]


def _check_pauli_error(error):
    rule = "be a probability, or three for X, Y and Z, of 1 at most together"
    single = isinstance(error, numbers.Real) and not isinstance(error, bool)
    values, share = ([error] * 3, 3) if single else (error, 1)
    if not isinstance(values, (tuple, list)) or len(values) != 3:
        raise argument_type_error("pauli_error", rule, error)
    if not all(isinstance(v, numbers.Real) and 0 <= v <= 1 for v in values) or sum(values) > share + 1e-12:
        raise argument_error("pauli_error", rule, f"it is {shown(error)}")
    return tuple(float(v) / share for v in values)


class _Expanded:
    """A program with a rotation about X and one about Z after each moment on each qubit, and Pauli strings to read."""

    def __init__(self, program: GateProgram, backend: Noisy):
        circuit, names, about_x, about_z = program.circuit, [str(symbol) for symbol in program.symbols], [], []
        if any(backend.pauli_error):
            prefix = "noise"
            while any(name.startswith(prefix) for name in names):
                prefix += "_"
            noisy = cirq.Circuit()
            for number, moment in enumerate(circuit):
                noisy += moment
                for rotation, symbols in ((cirq.rx, about_x), (cirq.rz, about_z)):
                    new = sympy.symbols(f"{prefix}_{rotation.__name__}_{number}_:{program.n_qubits}")  # a tuple
                    noisy += cirq.Moment(rotation(symbol).on(q) for symbol, q in zip(new, program.qubits, strict=True))
                    symbols += new
            circuit = noisy
        self.n_sites = len(about_x)
        strings = dict.fromkeys(pauli for terms in program.readout_terms for _, pauli in terms if pauli)
        # Where there are constants only, something must be read, and weighs nothing.
        strings = list(strings) or [((0, "Z"),)]
        self.n_terms = len(strings) if backend.repetitions is not None else 0
        self.weights, self.constants = np.zeros((len(strings), program.n_observables)), np.zeros(program.n_observables)
        for observable, terms in enumerate(program.readout_terms):
            for coefficient, pauli in terms:
                if pauli:
                    self.weights[strings.index(pauli), observable] += coefficient
                else:
                    self.constants[observable] += coefficient
        observables = [
            cirq.PauliString({program.qubits[q]: getattr(cirq, letter) for q, letter in pauli}) for pauli in strings
        ]
        self.program = GateProgram(CircuitAnsatz(circuit, [*names, *about_x, *about_z]), observables)


_expand = functools.lru_cache(maxsize=64)(_Expanded)
