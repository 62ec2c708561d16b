"""Costs, compared with what the runs really do."""

import numpy as np
import pytest
from hw_oracles import Stub, gate_counts, run, sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw

RATES = pytest.mark.filterwarnings("ignore:This calibration has no error of the CZ")


class _Counting(Stub):
    """Counts points and shots, and keeps the circuits."""

    def __init__(self):
        super().__init__()
        self.points = self.shots = 0
        self.circuits = []

    def run_sweep(self, program, params, repetitions=1):
        self.points += len(params)
        self.shots += len(params) * repetitions
        self.circuits.append(program)
        return super().run_sweep(program, params, repetitions)


@pytest.mark.parametrize("mitigate", [False, True])
@pytest.mark.parametrize("points_per_job", [None, 4, 100])
def test_a_run_costs_what_was_said(mitigate, points_per_job):
    layer, sampler = small_layer(3), _Counting()
    arguments = {"device": "weber", "mitigate_readout": mitigate, "points_per_job": points_per_job}
    said = hw.cost(layer, 4, 1000, batch_size=2, **arguments)
    result = run(layer, sequences(2, 4), sampler, 1000, **arguments)
    assert (said.jobs, said.circuits, said.shots) == (sampler.calls, sampler.points, sampler.shots)
    assert result.cost == said
    prefixes = {len(circuit): circuit[:-2] for circuit in sampler.circuits}
    counts = [gate_counts(prefixes[length]) for length in sorted(prefixes)][mitigate:]
    assert list(zip(said.depth, said.one_qubit_gates, said.two_qubit_gates, strict=True)) == counts


def test_figures_at_8_qubits_and_8_steps():
    cost = hw.cost(tfq_qrnn.QRNN(8), 8, 1000, device="weber", batch_size=5)
    assert (cost.depth[-1], cost.one_qubit_gates[-1], cost.two_qubit_gates[-1]) == (48, 128, 128)
    assert (cost.jobs, cost.circuits, cost.shots, cost.seconds) == (8, 120, 120_000, 8.0)
    assert hw.cost(tfq_qrnn.QRNN(8), 8, 1000, seconds_per_job=2.5).seconds == 20.0


@RATES
def test_predicted_signal_is_that_of_the_noisy_run():
    """A guess from below: it counts the errors of gates that a readout does not see, too."""
    layer, x = small_layer(4), sequences(6, 3)
    rates = hw.error_rates(hw.load_calibration("weber"))
    qubits = hw.place_ring("weber", 4, rates)
    signal = hw.cost(layer, 3, 1, device="weber", qubits=qubits, calibration=rates).signal
    # Only the first step: later ones also differ in their angles. Readout errors are inverted, for they shift <Z> too.
    arguments = {"qubits": qubits, "mitigate_readout": True}
    result = run(layer, x[:, :1], hw.sampler("noisy", "weber", seed=0), 20_000, **arguments)
    slope = np.sum(result.readouts * result.exact) / np.sum(result.exact**2)
    contrast = np.mean([1 - sum(rates.readout[q]) for q in qubits])
    assert signal[0] / contrast - 0.02 < slope < 1  # 288,000 shots: the slope is known to 0.004
    assert slope - signal[0] / contrast < 0.1
    assert signal[0] > signal[1] > signal[2] > 0
    assert signal[2] / contrast == pytest.approx((signal[0] / contrast) ** 3)


def test_long_runs_are_printed_short():
    text = str(hw.cost(tfq_qrnn.QRNN(2), 100, 10))
    assert len(text.splitlines()) == 12
    assert text.startswith("100 jobs, 300 circuits, 3,000 shots, about 100 s")


def test_refusals():
    for arguments, message in (((0, 1), "`n_timesteps`"), ((10**9, 1), "`n_timesteps`"), ((1, 0), "`repetitions`")):
        with pytest.raises(ValueError, match=message):
            hw.cost(tfq_qrnn.QRNN(2), *arguments)
    with pytest.raises(ValueError, match="`points_per_job` must be an integer of 1 or more"):
        hw.cost(tfq_qrnn.QRNN(2), 1, 1, points_per_job=0)


def test_numpys_integers_do_not_overflow():
    assert hw.cost(tfq_qrnn.QRNN(2), np.uint8(100), np.uint8(200)).shots == 3 * 100 * 200
