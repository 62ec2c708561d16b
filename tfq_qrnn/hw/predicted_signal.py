"""How much of a readout a device's errors leave, predicted by simulation.

The circuit runs at random angles, once as it is and once with random Paulis after its gates, at the rates of the
calibration. The slope of the second readouts over the first is what survives. (The product of 1 - error over all gates
would be less: it counts errors that no readout sees.)
"""

from collections.abc import Sequence

import cirq
import numpy as np

from tfq_qrnn.hw.compile import NativeProgram
from tfq_qrnn.hw.density_matrix import apply_matrix, unitaries
from tfq_qrnn.hw.error_rates import ErrorRates
from tfq_qrnn.observables import pauli_action

_STEPS, _EARLY = 8, 4  # simulated; beyond, what survives falls as between these two
_AMPLITUDES, _MOST_SAMPLES, _LEAST_SAMPLES = 2**20, 256, 16


def predicted_signal(
    native: NativeProgram, n_timesteps: int, rates: ErrorRates, rings: Sequence[Sequence[cirq.Qid]] = ()
) -> tuple[float, ...]:
    """For each time step the fraction of a readout that is left, that of the readout errors included.

    On several rings, each `native.all_qubits` elsewhere, it is the mean: the samples of the simulation share them.

    Raises:
        ValueError: The calibration lacks a rate that is needed.
    """
    check_rates(native, rates)
    rings = rings or [native.all_qubits]
    read = [q for ring in rings for q in ring[: len(native.qubits)]]
    contrast = float(np.mean([1 - sum(rates.readout[q]) for q in read]))
    found = _slopes(native, min(n_timesteps, _STEPS), rates, rings)
    if n_timesteps > _STEPS:
        ratio = min(1.0, (found[-1] / found[_EARLY - 1]) ** (1 / (_STEPS - _EARLY)))
        found += [found[-1] * ratio**k for k in range(1, n_timesteps - _STEPS + 1)]
    return tuple(contrast * slope for slope in found)


def check_rates(native: NativeProgram, rates: ErrorRates) -> None:
    """Refuse a calibration that lacks a rate that the circuit needs."""
    pairs = {frozenset(on) for _, on, _ in native.operations if len(on) == 2}
    rates.check(native.all_qubits, sorted(pairs, key=sorted))


def _slopes(native, n_timesteps, rates, rings):
    qubits, rng = native.all_qubits, np.random.default_rng(0)
    n = len(qubits)
    samples = int(np.clip(_AMPLITUDES >> n, _LEAST_SAMPLES, _MOST_SAMPLES))
    states = np.zeros((*(2,) * n, 2 * samples), np.complex64)  # the first half without errors
    states[(0,) * n] = 1
    of_samples, slopes = np.arange(samples) % len(rings), []
    for _ in range(n_timesteps):
        angles = rng.uniform(-np.pi, np.pi, (samples, 1, native.program.n_angles))
        resolvers = [cirq.ParamResolver(native.half_turns(of_one)) for of_one in angles] * 2
        for operation in native.step(0).all_operations():
            places = [qubits.index(q) for q in operation.qubits]
            if cirq.is_parameterized(operation):
                matrix = unitaries(operation, resolvers)
            else:
                matrix = cirq.unitary(operation).astype(np.complex64)
            states = apply_matrix(states, matrix, places)
            errors = np.array([_error(operation.gate, [ring[i] for i in places], rates) for ring in rings])
            for sample in np.flatnonzero(rng.random(samples) < errors[of_samples]):
                _random_pauli(states[..., samples + sample], places, rng)
        exact, noisy = np.split(_readouts(native, states.reshape(2**n, -1)), 2, axis=1)
        slopes.append(max(float(np.sum(noisy * exact) / max(np.sum(exact**2), 1e-12)), 1e-6))
    return slopes


def _error(gate, qubits, rates):
    if isinstance(gate, cirq.ZPowGate):
        return 0.0  # a change of frame
    return rates.one_qubit[qubits[0]] if len(qubits) == 1 else rates.two_qubit[frozenset(qubits)]


def _random_pauli(state, places, rng):
    """Apply a random Pauli other than the identity to one state, in place."""
    number = rng.integers(1, 4 ** len(places))
    for place in places:
        number, letter = divmod(number, 4)
        axes = np.moveaxis(state, place, 0)
        if letter in (1, 2):  # X, or Y but for a phase
            axes[:] = axes[::-1].copy()
        if letter in (2, 3):
            axes[1] *= -1


def _readouts(native, states):
    """Expectation values without their constants, `(observables, states)`."""
    n, found = len(native.all_qubits), []
    for terms in native.program.readout_terms:
        value = np.zeros(states.shape[1])
        for coefficient, pauli in terms:
            if pauli:
                index, phase = pauli_action(pauli, n)
                value += coefficient * np.sum(states.conj() * phase[:, None] * states[index], axis=0).real
        found.append(value)
    return np.array(found)
