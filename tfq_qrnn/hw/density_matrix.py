"""A noisy simulator for sweeps: all points of a sweep side by side.

`cirq.DensityMatrixSimulator` works out the noise of a circuit again for each point of a sweep, and runs the points one
after the other. A closed loop sends the same circuit with hundreds of points: here the noise is worked out once, every
gate and channel is one superoperator, and it acts on the density matrices of all points at once. At 4 qubits, 120
points and the noise of weber this takes a second instead of 29, however many threads BLAS has.
"""

import functools
from collections.abc import Sequence

import cirq
import numpy as np

_BYTES = 2**28  # of density matrices side by side


class SweepSimulator(cirq.Sampler):
    """Samples circuits of unitaries and channels, with a `cirq.NoiseModel` or None.

    A circuit with measurements in its middle goes to `cirq.DensityMatrixSimulator`.
    """

    def __init__(self, noise: cirq.NoiseModel | None = None, seed: int | None = None):
        self.noise = noise
        self.rng = np.random.default_rng(seed)
        self.fallback = cirq.DensityMatrixSimulator(noise=noise, seed=seed)

    def run_sweep(
        self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1
    ) -> Sequence[cirq.Result]:
        resolvers = list(cirq.to_resolvers(params))
        if not program.are_all_measurements_terminal() or not program.has_measurements():
            return self.fallback.run_sweep(program, params, repetitions)
        qubits = tuple(sorted(program.all_qubits()))
        circuit = program if self.noise is None else program.unfreeze().with_noise(self.noise)
        share = max(1, _BYTES // (8 * 4 ** len(qubits)))
        results = []
        for start in range(0, len(resolvers), share):
            results += self._run(circuit, qubits, resolvers[start : start + share], repetitions)
        return results

    def _run(self, circuit, qubits, resolvers, repetitions):
        n, measurements = len(qubits), []
        state = np.zeros((*(2,) * (2 * n), len(resolvers)), np.complex64)  # row bits, column bits, points
        state[(0,) * (2 * n)] = 1
        for operation in circuit.all_operations():
            rows = [qubits.index(q) for q in operation.qubits]
            columns = [n + row for row in rows]
            if isinstance(operation.gate, cirq.MeasurementGate):
                measurements.append((operation.gate, rows))
            elif cirq.is_parameterized(operation):
                matrices = unitaries(operation, resolvers)
                state = apply_matrix(apply_matrix(state, matrices, rows), matrices.conj(), columns)
            else:
                state = apply_matrix(state, _superoperator(operation.untagged.gate), rows + columns)
        diagonals = np.einsum("iip->pi", state.reshape(2**n, 2**n, -1)).real.astype(np.float64)
        results = []
        for resolver, weights in zip(resolvers, np.maximum(diagonals, 0), strict=True):
            outcomes = self.rng.choice(2**n, size=repetitions, p=weights / weights.sum())
            bits = (outcomes[:, None] >> np.arange(n - 1, -1, -1)) & 1
            records = {
                gate.key: bits[:, places].astype(np.uint8) ^ np.array(gate.full_invert_mask(), np.uint8)
                for gate, places in measurements
            }
            results.append(cirq.ResultDict(params=resolver, measurements=records))
        return results


def _superoperator(gate):
    """The matrix of a gate or channel on (row bits, column bits)."""
    try:
        return _cached_superoperator(gate)
    except TypeError:  # a KrausChannel has no hash
        return _cached_superoperator.__wrapped__(gate)


@functools.lru_cache(maxsize=4096)
def _cached_superoperator(gate):
    return cirq.kraus_to_superoperator(cirq.kraus(gate)).astype(np.complex64)


def unitaries(operation: cirq.Operation, resolvers: Sequence[cirq.ParamResolver]) -> np.ndarray:
    """The matrices of a gate with symbols at all points, `(d, d, points)`."""
    gate = operation.untagged.gate
    if not isinstance(gate, cirq.PhasedXZGate):
        matrices = [cirq.unitary(cirq.resolve_parameters(operation, resolver)) for resolver in resolvers]
        return np.moveaxis(np.array(matrices, np.complex64), 0, -1)
    x, z, a = (
        np.array([resolver.value_of(argument) for resolver in resolvers], float)
        for argument in (gate.x_exponent, gate.z_exponent, gate.axis_phase_exponent)
    )
    # Z^z Z^a X^x Z^-a
    diagonal, other = (1 + np.exp(1j * np.pi * x)) / 2, (1 - np.exp(1j * np.pi * x)) / 2
    turn, phase = np.exp(1j * np.pi * z), np.exp(1j * np.pi * a)
    matrices = [[diagonal, other * phase.conj()], [other * phase * turn, diagonal * turn]]
    return np.array(matrices, np.complex64)


def apply_matrix(state: np.ndarray, matrix: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """A state after a matrix, `(d, d)` or one for each point `(d, d, points)`, on some of its axes."""
    front = np.moveaxis(state, axes, range(len(axes)))
    vectors = front.reshape(2 ** len(axes), -1, front.shape[-1])
    # Sums over what is not zero: few entries of a channel. BLAS would start its threads for each of these small
    # products, and on busy cores they wait for each other ten times as long as they compute.
    product = np.zeros_like(vectors)
    for i, j in zip(*np.nonzero(matrix if matrix.ndim == 2 else matrix.any(-1)), strict=True):
        product[i] += matrix[i, j] * vectors[j]
    return np.moveaxis(product.reshape(front.shape), range(len(axes)), axes)
