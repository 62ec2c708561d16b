"""What is sent for one sequence on one ring: circuits, and the points of their sweeps."""

import functools
from collections.abc import Callable

import cirq
import numpy as np

from tfq_qrnn.hw.compile import NativeProgram
from tfq_qrnn.hw.dressing import Dressed, gates, random_paulis
from tfq_qrnn.hw.estimate import Estimate, Survival
from tfq_qrnn.hw.mitigation import Mitigation
from tfq_qrnn.hw.readout import ReadoutPlan
from tfq_qrnn.hw.readout_errors import ReadoutErrors


class Points:
    """The circuits of a number of time steps, and their sweep: a point for each gauge and setting.

    Args:
        native: The `NativeProgram`.
        readout: The `ReadoutPlan`.
        mitigation: The `Mitigation`.

    Attributes:
        count: The points of a sequence.
    """

    def __init__(self, native: NativeProgram, readout: ReadoutPlan, mitigation: Mitigation):
        self.native, self.readout, self.mitigation = native, readout, mitigation
        self.count = len(readout.settings) * (mitigation.gauges or 1)
        self._dressed = functools.lru_cache(maxsize=8)(self._make_dressed)

    def repetitions(self, wanted: int) -> int:
        """The shots of each point: a setting has as many as are wanted, shared by its gauges."""
        return -(-wanted // (self.mitigation.gauges or 1))

    @functools.cached_property
    def circuits(self) -> Callable[[int], tuple[cirq.Circuit, ...]]:
        """Time steps -> the circuits that are sent for them, of which all but one are an estimator's."""

        @functools.lru_cache(maxsize=32)  # sequences of one length share them
        def circuits(timesteps):
            readout = self.readout.circuit(self.native.qubits)
            if self.mitigation.gauges is None:
                circuit = self.native.prefix(timesteps) + readout
            else:
                circuit = self._dressed(timesteps)[0].circuit + readout[1:]
            if self.mitigation.decouple:
                circuit = cirq.add_dynamical_decoupling(circuit, schema="XX_PAIR")
            return (circuit,) if self.mitigation.estimator is None else self.mitigation.estimator.of(circuit)

        return circuits

    def _make_dressed(self, timesteps):
        plain = self.native.prefix(timesteps) + self.readout.circuit(self.native.qubits)[:1]
        dressed, n = Dressed(gates(plain)), len(self.native.qubits)
        return dressed, random_paulis(dressed.n_turns, n, self.mitigation.gauges, self.mitigation.seed)

    def sweep(self, angles: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        """Names and values of the symbols, `(count, symbols)`, for angles `(timesteps, n_angles)`: gauge by gauge."""
        settings = [self.readout.values(setting) for setting in self.readout.settings]
        turns = self.native.half_turns(angles)
        names = (*turns, *settings[0])
        rows = np.array([[*turns.values(), *setting.values()] for setting in settings])
        if self.mitigation.gauges is None:
            return names, rows
        dressed, after = self._dressed(len(angles))
        values = dict(zip(names, rows.T, strict=True))
        return dressed.names, np.concatenate([dressed.values(values, gauge[None]) for gauge in after])

    def estimate(self, shots: np.ndarray, errors: ReadoutErrors | None, survival: Survival | None) -> Estimate:
        """The readouts of a sequence, from its shots `(circuits, count, repetitions, n_qubits)`."""
        estimates = []
        for bits in shots:  # of each setting those of all gauges together
            of_settings = bits.reshape(-1, len(self.readout.settings), *bits.shape[1:]).swapaxes(0, 1)
            bits = of_settings.reshape(len(of_settings), -1, bits.shape[-1])
            estimates.append(self.readout.evaluate(bits, errors, survival))
        estimator = self.mitigation.estimator
        return estimates[0] if estimator is None else estimator.combined(estimates)
