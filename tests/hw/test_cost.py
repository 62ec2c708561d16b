"""Costs, compared with what the runs really do."""

import dataclasses
import itertools
import re

import keras
import numpy as np
import pytest
from cirq_google.engine import runtime_estimator
from hw_oracles import Stub, gate_counts, sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.density_matrix import SweepSimulator
from tfq_qrnn.hw.samplers import noise_model

RATES = pytest.mark.filterwarnings("ignore:This calibration has no error of the CZ")


class _Counting(Stub):
    """Counts points and shots, and keeps the circuits."""

    def __init__(self):
        super().__init__()
        self.points = self.shots = self.most_points = 0
        self.circuits, self.sent = [], []

    def run_sweep(self, program, params, repetitions=1):
        self.points += len(params)
        self.most_points = max(self.most_points, len(params))
        self.shots += len(params) * repetitions
        self.sent.append((program, len(params), repetitions))
        self.circuits.append(program)
        return super().run_sweep(program, params, repetitions)


ALL = hw.Mitigation(gauges=2, survival=True, decouple=True)
NONE, SURVIVAL = hw.Mitigation(), hw.Mitigation(survival=True)


@pytest.mark.parametrize(
    ("mitigate", "points_per_job", "mitigation"),
    [(False, None, NONE), (True, 4, NONE), (False, 100, ALL), (True, 4, ALL), (True, None, SURVIVAL)],
)
def test_a_run_costs_what_was_said(mitigate, points_per_job, mitigation):
    layer, sampler = small_layer(3), _Counting()
    settings = {"mitigate_readout": mitigate, "points_per_job": points_per_job, "mitigation": mitigation}
    plan = hw.plan(layer, "weber", 4, **settings)
    said = plan.cost(200, batch_size=2)
    result = plan.run(sequences(2, 4), sampler, 200, progress=False)
    assert (said.jobs, said.circuits, said.shots) == (sampler.calls, sampler.points, sampler.shots)
    assert said.shots == 4 * 2 * 3 * 200 + (mitigate + 4 * plan.mitigation.survival) * 16 * 1000
    assert result.cost == dataclasses.replace(said, signal=None)
    assert sampler.most_points <= (points_per_job or 16)
    sent = [plan.circuit(t) for t in range(1, 5)]  # with the layer of the setting, and the measurement
    assert all(any(circuit is one for one in sampler.circuits) for circuit in sent)
    counts = [gate_counts(circuit[:-2]) for circuit in sent]
    assert list(zip(said.depth, said.one_qubit_gates, said.two_qubit_gates, strict=True)) == counts
    # Google's model, by its public function and the circuits themselves
    seconds = sum(
        runtime_estimator.estimate_run_sweep_time(circuit, [{}] * points, repetitions, latency=0)
        for circuit, points, repetitions in sampler.sent
    )
    assert said.device_seconds == pytest.approx(seconds)


def test_masked_batches_cost_what_they_send():
    mask = np.ones((3, 4), bool)
    mask[1, :2] = mask[2, 1] = False
    x = sequences(3, 4)
    x[~mask] = 0
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.Masking(), small_layer(2)])
    plan, sampler = hw.plan(model, None, 4, points_per_job=2), _Counting()
    said = plan.cost(10, mask=mask)
    plan.run(x, sampler, 10, progress=False)
    assert (said.jobs, said.circuits, said.shots) == (sampler.calls, sampler.points, sampler.shots)
    with pytest.raises(ValueError, match=r"`mask` must be bool of shape \(batch, time\), time up to 4"):
        plan.cost(10, mask=np.ones((2, 5), bool))


def test_figures_at_8_qubits_and_8_steps():
    plan = hw.plan(tfq_qrnn.QRNN(8), "weber", 8)
    cost = plan.cost(1000, batch_size=5)
    assert (cost.depth[-1], cost.one_qubit_gates[-1], cost.two_qubit_gates[-1]) == gate_counts(plan.circuit(8)[:-2])
    assert cost.two_qubit_gates[-1] == 128
    assert (cost.jobs, cost.circuits, cost.shots, cost.round_trips) == (8, 120, 120_000, 8)
    assert cost.wall_seconds == pytest.approx(cost.device_seconds + 8 * 1.5)
    slow = hw.cost(tfq_qrnn.QRNN(8), 8, 1000, seconds_per_job=2.5)
    assert slow.wall_seconds == pytest.approx(slow.device_seconds + 20)


@RATES
def test_predicted_signal_is_that_of_the_noisy_run():
    """Against the density matrix of the device's noise model, at other angles than the prediction's."""
    steps, samples = 4, 20
    rates = hw.error_rates(hw.load_calibration("weber"))
    plan = hw.plan(small_layer(4), "weber", steps, calibration=rates)
    signal = plan.cost(1).signal
    native, readouts = plan.replays[0].native, plan.replays[0].readout
    noisy, exact = SweepSimulator(noise_model(hw.load_calibration("weber")), 0), SweepSimulator(seed=1)
    contrast = np.mean([1 - sum(rates.readout[q]) for q in plan.qubits])
    # Without measurement noise: what the readout errors take is the contrast, and they shift <Z> too.
    errors = hw.ReadoutErrors(*np.array([rates.readout[q] for q in plan.qubits]).T)
    for t in (1, steps):
        angles = np.random.default_rng(t).uniform(-np.pi, np.pi, (samples, t, native.program.n_angles))
        points = [
            {**native.half_turns(of_one), **readouts.values(setting)}
            for of_one in angles
            for setting in readouts.settings
        ]
        values = []
        for simulator, inverted in ((noisy, errors), (exact, None)):
            results = simulator.run_sweep(plan.circuit(t), points, 2000)
            bits = np.array([result.measurements["m"] for result in results]).reshape(samples, 3, 2000, 4)
            values.append(np.array([readouts.estimate(of_one, inverted)[0] for of_one in bits]))
        slope = np.sum(values[0] * values[1]) / np.sum(values[1] ** 2)
        # 240 readouts of 2,000 shots: the slope is known to some 0.02, the prediction to 0.01
        assert signal[t - 1] / contrast == pytest.approx(slope, abs=0.06)
    assert all(a > b > 0 for a, b in itertools.pairwise(signal))


@RATES
def test_the_signal_of_long_runs_goes_on_falling():
    rates = hw.error_rates(hw.load_calibration("weber"))
    signal = hw.plan(tfq_qrnn.QRNN(2), "weber", 40, calibration=rates).cost(1).signal
    assert len(signal) == 40
    assert signal[7] > signal[8] > signal[39] > 0


def test_long_runs_are_printed_short():
    text = str(hw.cost(tfq_qrnn.QRNN(2), 100, 10))
    assert len(text.splitlines()) == 12
    assert re.match("100 jobs, 300 circuits, 3,000 shots, about [0-9]+ s on a processor and [0-9]+ s in all", text)


def test_refusals():
    for arguments, message in (((0, 1), "`n_timesteps`"), ((10**9, 1), "`n_timesteps`"), ((1, 0), "`repetitions`")):
        with pytest.raises(ValueError, match=message):
            hw.cost(tfq_qrnn.QRNN(2), *arguments)
    with pytest.raises(ValueError, match="`points_per_job` must be an integer of 1 or more"):
        hw.cost(tfq_qrnn.QRNN(2), 1, 1, points_per_job=0)


def test_numpys_integers_do_not_overflow():
    assert hw.cost(tfq_qrnn.QRNN(2), np.uint8(100), np.uint8(200)).shots == 3 * 100 * 200
