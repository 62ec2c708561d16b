"""How much of a readout a device leaves, measured: circuits as deep as those of a time step, whose result is known.

They run the first half of the moments at random angles, and undo it in the second half: as many gates on the same
qubits, at a result that is known. Random Paulis after each one-qubit gate make it a random bit string (`dressing`), so
that decay to |0> helps no readout. What a product of Z keeps of its sign there is taken for what any product of as many
Paulis keeps.
"""

import cirq
import numpy as np

from tfq_qrnn._errors import argument_error
from tfq_qrnn.hw.compile import NativeProgram
from tfq_qrnn.hw.dressing import Dressed, gates, random_paulis, undone
from tfq_qrnn.hw.estimate import Slopes, Survival, factors_of
from tfq_qrnn.hw.readout import ReadoutPlan
from tfq_qrnn.hw.readout_errors import KEY, ReadoutErrors, calibration_patterns

_CERTAIN = 5  # standard errors


class Echoes:
    """The circuits that measure what is left after some time steps, on the first ring.

    Args:
        native: The `NativeProgram`.
        readout: The `ReadoutPlan`.
        seed: Of the angles and the Paulis.
    """

    def __init__(self, native: NativeProgram, readout: ReadoutPlan, seed: int):
        self.native, self.readout, self.seed = native, readout, seed
        _, self.patterns = calibration_patterns(len(native.qubits), readout.blocks)
        self.strings = sorted({qubits for terms in readout.terms for _, _, qubits in terms})
        self.weights = {weight: place for place, weight in enumerate(sorted({*map(len, self.strings)}))}

    def _dressed(self, timesteps):
        moments = gates(self.native.prefix(timesteps))
        half = moments[: -(-len(moments) // 2)]
        return Dressed([*half, *undone(half), *gates(self.readout.circuit(self.native.qubits)[:1])])

    def depth(self, timesteps: int) -> int:
        """Moments of `circuit`."""
        return 2 * -(-timesteps * len(self.native.step(0)) // 2) + 2

    def circuit(self, timesteps: int) -> cirq.Circuit:
        """Half of the moments of some time steps, their inverse, the readout layer and the measurement."""
        return self._dressed(timesteps).circuit + cirq.Circuit(cirq.measure(*self.native.qubits, key=KEY))

    def points(self, timesteps: int) -> tuple[tuple[str, ...], np.ndarray]:
        """Names and values of the symbols, `(16, symbols)`."""
        dressed, count, n = self._dressed(timesteps), len(self.patterns), len(self.native.qubits)
        rng = np.random.default_rng((self.seed, timesteps))
        angles = rng.uniform(-np.pi, np.pi, (count, timesteps, self.native.program.n_angles))
        turns = list(map(self.native.half_turns, angles))
        values = {name: np.array([of_one[name] for of_one in turns]) for name in turns[0]}
        values |= {name: np.full(count, value) for name, value in self.readout.values("Z" * n).items()}
        after = random_paulis(dressed.n_turns, n, count, self.seed)
        after[:, -n:, 0] = self.patterns
        return dressed.names, dressed.values(values, after)

    def survival(self, bits: np.ndarray, errors: ReadoutErrors | None, timesteps: int) -> Survival:
        """From the shots, `(16, repetitions, n_qubits)`.

        Raises:
            ValueError: Hardly anything is left.
        """
        count = np.zeros(len(self.weights))
        for string in self.strings:
            count[self.weights[len(string)]] += 1
        means = np.zeros((len(bits), len(self.weights)))
        slopes = None if errors is None or errors.shots is None else Slopes(len(self.weights), errors)
        for number, (shots, pattern) in enumerate(zip(bits, self.patterns, strict=True)):
            for string in self.strings:
                place = self.weights[len(string)]
                sign = (-1.0) ** int(pattern[list(string)].sum()) / count[place]
                blocks, read, factors = factors_of(shots, string, errors)
                means[number, place] += sign * np.mean(np.prod(factors, axis=0))
                if slopes is not None:
                    slopes.add(place, sign / len(bits), blocks, read, factors)
        values, covariance = means.mean(0), np.atleast_2d(np.cov(means.T)) / len(means)
        for weight, place in self.weights.items():
            deviation = np.sqrt(covariance[place, place])
            if values[place] < _CERTAIN * deviation:
                left = f"{values[place]:.3f} +- {deviation:.3f}"
                given = f"after {timesteps} time steps {left} is left of products of {weight} Paulis"
                raise argument_error("survival", "be False where hardly a readout is left", given)
        return Survival(self.weights, values, covariance, None if slopes is None else slopes.values)
