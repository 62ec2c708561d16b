"""What is done against errors: gauges, survival, estimators, and shots until a standard error is reached."""

import dataclasses

import cirq
import keras
import numpy as np
import pytest
from hw_oracles import Stub, fed_back, run, sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.density_matrix import SweepSimulator
from tfq_qrnn.hw.dressing import random_paulis
from tfq_qrnn.hw.estimate import Survival
from tfq_qrnn.hw.points import Points
from tfq_qrnn.hw.readout_errors import readout_errors
from tfq_qrnn.hw.survival import Echoes

WEBER = hw.load_device("weber")
LINE = cirq.LineQubit.range(5)
IDEAL = cirq.Simulator(dtype=np.complex128)


def compiled(n, observables="XYZ", depth=1):
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(n, depth), observables)
    return hw.compile_program(program, "weber"), hw.ReadoutPlan(program)


@pytest.mark.parametrize("n", [4, 5])
def test_gauges_and_decoupling_leave_the_circuit_as_it_is(n):
    """Five qubits have relays, Z gates, constants, and idle moments to fill."""
    native, readout = compiled(n)
    order, rng = native.all_qubits, np.random.default_rng(0)
    angles = rng.uniform(-3, 3, (2, native.program.n_angles))
    plain = Points(native, readout, hw.Mitigation())
    names, table = plain.sweep(angles)
    for mitigation in (hw.Mitigation(gauges=3), hw.Mitigation(gauges=2, decouple=True)):
        points = Points(native, readout, mitigation)
        (circuit,), (own, values) = points.circuits(2), points.sweep(angles)
        WEBER.validate_circuit(circuit)
        count = [[len(op.qubits) for moment in c for op in moment] for c in (circuit, plain.circuits(2)[0])]
        assert (count[0] == count[1]) == (not mitigation.decouple or n == 4)  # a ring of four has no idle moment
        assert mitigation.decouple or len(circuit) == len(plain.circuits(2)[0])
        assert len(np.unique(values.round(6), axis=0)) == points.count == len(readout.settings) * mitigation.gauges
        for number, row in enumerate(values):
            wanted = dict(zip(names, table[number % len(table)], strict=True))
            states = [
                IDEAL.simulate(c[:-1], point, qubit_order=order).final_state_vector
                for c, point in ((plain.circuits(2)[0], wanted), (circuit, dict(zip(own, row, strict=True))))
            ]
            # Cirq's decoupling merges gates to 1e-8
            np.testing.assert_allclose(abs(states[1]) ** 2, abs(states[0]) ** 2, atol=1e-6)


def test_the_paulis_of_a_longer_circuit_begin_as_those_of_a_shorter_one():
    np.testing.assert_array_equal(random_paulis(20, 4, 2, 1)[:, :6], random_paulis(10, 4, 2, 1)[:, :6])


def test_an_echo_is_as_deep_as_the_circuit_and_ends_in_its_pattern():
    native, readout = compiled(5, [cirq.Z(LINE[0]), cirq.X(LINE[1]) * cirq.X(LINE[2]) + cirq.Y(LINE[3])])
    echoes = Echoes(native, readout, seed=3)
    for timesteps in (1, 2):
        circuit, (names, table) = echoes.circuit(timesteps), echoes.points(timesteps)
        plain = native.prefix(timesteps) + readout.circuit(native.qubits)
        pairs = [sum(len(op.qubits) == 2 for op in c.all_operations()) for c in (circuit, plain)]
        assert len(circuit) - len(plain) in (0, 1)  # one more where the number of moments is odd
        assert pairs[0] == pairs[1]
        for row, pattern in zip(table[:4], echoes.patterns, strict=False):
            result = IDEAL.run(circuit, dict(zip(names, row, strict=True)), repetitions=3)
            assert (result.measurements["m"] == pattern).all()


def test_standard_errors_hold_those_of_what_survives():
    """Bits that flip with known probabilities are the truth: the told errors are the spread over many repetitions."""
    rng, times, n = np.random.default_rng(1), 150, 2
    native, readout = compiled(n, [cirq.Z(LINE[0]), cirq.Z(LINE[0]) * cirq.Z(LINE[1]) + cirq.Z(LINE[1])])
    echoes, read, there = Echoes(native, readout, 0), 0.06, np.array([0.2, 0.35])
    flipped = (1 - 0.7) / 2  # 0.7 survives of each qubit
    patterns = echoes.patterns

    def shots(ones, count):
        bits = rng.random((*ones.shape[:-1], count, n)) < ones[..., None, :]
        return (bits ^ (rng.random(bits.shape) < read)).astype(np.uint8)

    estimates = []
    for _ in range(times):
        errors = readout_errors(patterns, shots(patterns.astype(float), 100), readout.blocks)
        survival = echoes.survival(shots(np.where(patterns, 1 - flipped, flipped), 100), errors, 1)
        bits = shots(flipped + (1 - 2 * flipped) * there, 4000)[None]
        found = readout.evaluate(bits, errors, survival)
        estimates.append((found.values, found.standard_errors))
    values, told = np.array(estimates).transpose(1, 0, 2)
    z = 1 - 2 * there
    spread, rms = values.std(0), np.sqrt(np.mean(told**2, axis=0))
    want = [z[0], z[0] * z[1] + z[1]]
    assert np.abs(values.mean(0) - want).max() < 5 * spread.max() / np.sqrt(times)  # five standard deviations
    np.testing.assert_allclose(spread / rms, 1, atol=5 / np.sqrt(2 * times))  # a spread is known to 1 / sqrt(2 N)
    assert isinstance(survival, Survival)


def test_what_hardly_survives_is_refused():
    native, readout = compiled(2, "Z")
    echoes = Echoes(native, readout, 0)
    bits = np.random.default_rng(0).integers(0, 2, (16, 50, 2))
    with pytest.raises(ValueError, match=r"after 8 time steps -?0\.\d+ \+- 0\.\d+ is left of products of 1 Paulis"):
        echoes.survival(bits, None, 8)


class _Changed(Stub):
    """The simulator, whose CZ are other gates."""

    def __init__(self, gate, noise=None, seed=0):
        super().__init__(seed=seed)
        self.gate, self.shots, self.simulator = gate, 0, SweepSimulator(noise, seed)

    def run_sweep(self, program, params, repetitions=1):
        self.shots += len(params) * repetitions
        changed = cirq.map_operations(program, lambda op, _: self.gate(*op.qubits) if op.gate == cirq.CZ else op)
        return super().run_sweep(changed, params, repetitions)


def _rms(result):
    return np.sqrt(np.mean((result.readouts - result.exact) ** 2))


def test_coherent_errors_average_out_over_gauges():
    """CZ^1.12: one set of random Paulis is another coherent error, many are noise of less than half of it."""
    native, readout = compiled(2, depth=2)
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (4, 2, native.program.n_angles))
    signs = np.array([[1, 1, -1, -1], [1, -1, 1, -1]])

    def readouts(gauges, exponent=1.12):
        points = Points(native, readout, hw.Mitigation(gauges=gauges))
        circuit = points.circuits(2)[0][:-1]
        circuit = cirq.map_operations(circuit, lambda op, _: op**exponent if op.gate == cirq.CZ else op)
        means = []
        for of_one in angles:
            names, table = points.sweep(of_one)
            sweep = cirq.Zip(*map(cirq.Points, names, table.T.tolist()))
            states = IDEAL.simulate_sweep(circuit, sweep, qubit_order=native.qubits)
            values = np.array([signs @ np.abs(state.final_state_vector) ** 2 for state in states])
            means.append(values.reshape(-1, len(readout.settings), 2).mean(0))
        return np.array(means)

    rms = [np.sqrt(np.mean((readouts(gauges) - readouts(None, 1)) ** 2)) for gauges in (None, 1, 12)]
    assert rms[2] < 0.5 * min(rms[:2])


class _Depolarized(cirq.NoiseModel):
    """Each CZ turns its qubits with some probability to any state."""

    def __init__(self, probability):
        self.channel = cirq.depolarize(probability * 15 / 16, n_qubits=2)

    def noisy_operation(self, operation):
        return [operation, self.channel(*operation.qubits)] if operation.gate == cirq.CZ else operation


def folded(circuit):
    return circuit, cirq.Circuit([m] * 3 if any(op.gate == cirq.CZ for op in m) else m for m in circuit)


def straight(values):
    return values[0] + (values[0] - values[1]) / 2


ZERO_NOISE = hw.Estimator(folded, straight)


@pytest.mark.slow
def test_survival_and_extrapolation_undo_depolarization():
    """What survives of any Pauli string on two qubits is 1 - p for each CZ: the divisor is known exactly."""
    layer, x, p, shots = small_layer(2), sequences(4, 2), 0.05, 10_000
    plan = hw.plan(layer, None, 2, mitigation=hw.Mitigation(survival=True))
    (known,) = plan.replays[0].characterization.measure(
        lambda jobs: [job.bits(_noisy(p).run_sweep(job.circuit(), job.sweep, 4000)) for job in jobs], 4000, 1, [1, 2]
    )
    for timesteps, survival in known.survivals.items():
        pairs = sum(op.gate == cirq.CZ for op in plan.circuit(timesteps).all_operations())
        assert survival.values[0] == pytest.approx((1 - p) ** pairs, abs=5 * np.sqrt(survival.covariance[0, 0]))
    raw, divided, extrapolated = (
        _rms(run(layer, x, _noisy(p), shots, mitigation=mitigation))
        for mitigation in (None, hw.Mitigation(survival=True), hw.Mitigation(estimator=ZERO_NOISE))
    )
    assert raw > 0.08
    assert divided < 0.35 * raw
    assert extrapolated < 0.5 * raw  # a straight line leaves the second order


def _noisy(p):
    return SweepSimulator(_Depolarized(p), seed=0)


def test_an_estimators_standard_errors_follow_from_its_derivatives():
    layer, x = small_layer(2), sequences(40, 1)
    result = run(layer, x, Stub(seed=3), 1000, mitigation=hw.Mitigation(estimator=ZERO_NOISE))
    inner = np.abs(result.exact) < 0.9
    ratios = ((result.readouts - result.exact) / result.standard_errors)[inner]
    assert np.sqrt(np.mean(ratios**2)) == pytest.approx(1, abs=5 / np.sqrt(2 * len(ratios)))
    for circuits, combine, message in (
        (lambda c: [cirq.Circuit()], straight, "make circuits with the same symbols and measurement"),
        (lambda c: 3, straight, "return a list of circuits from `circuits`, but it is 3"),
        (folded, lambda values: values, r"return an array of shape \(6,\) from `combine`, but its shape is \(2, 6\)"),
        (folded, lambda values: 1j * values[0], r"return finite numbers from `combine`, but they are array"),
        (folded, lambda values: values[0] + np.nan, r"return finite numbers from `combine`, but they are array"),
    ):
        mitigation = hw.Mitigation(estimator=hw.Estimator(circuits, combine))
        with pytest.raises((ValueError, TypeError), match=message):
            run(layer, x[:1], Stub(), 10, mitigation=mitigation)


def test_shots_are_sent_until_a_standard_error_is_reached(tmp_path):
    layer, x, journal = small_layer(2), sequences(2, 2), tmp_path / "run.jsonl"
    settings = {"standard_error": 0.02, "max_shots": 200_000, "journal": journal}
    sampler = _Changed(cirq.CZ)
    result = run(layer, x, sampler, 500, **settings)
    assert 0.01 < result.standard_errors.max() <= 0.02
    assert result.cost.shots == sampler.shots < 200_000
    assert result.cost.shots % (500 * 2 * 3) == 0
    assert np.abs(result.readouts - result.exact)[:, 0].max() < 5 * 0.02  # five standard deviations
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]))
    again = run(layer, x, _Changed(cirq.CZ), 500, **settings)  # another seed for what is sent again
    assert again.standard_errors.max() <= 0.02
    for name, value in (("standard_error", 0.03), ("max_shots", 300_000)):
        with pytest.raises(ValueError, match=f"differs in {name}"):
            run(layer, x, sampler, 500, **{**settings, name: value})
    with pytest.warns(
        UserWarning, match="time step 1 reach 0.0.* and not 0.001: `max_shots`, or `max_jobs`, allows no"
    ):
        few = run(layer, x, _Changed(cirq.CZ), 500, standard_error=0.001, max_shots=15_000)
    assert few.cost.shots == 12_000
    with pytest.warns(UserWarning, match="come from what is measured before them: raise `calibration_repetitions`"):
        run(
            layer,
            x,
            SweepSimulator(_Depolarized(0.1)),
            500,
            standard_error=0.005,
            max_shots=10**7,
            mitigation=hw.Mitigation(survival=True),
            calibration_repetitions=50,
        )
    with pytest.raises(ValueError, match="`max_shots` must be given with standard_error"):
        run(layer, x, sampler, 500, standard_error=0.1)
    with pytest.raises(ValueError, match="`standard_error` must be above 0, but it is 0"):
        run(layer, x, sampler, 500, standard_error=0, max_shots=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mitigation",
    [
        hw.Mitigation(readout=True, decouple=True, gauges=2, survival=True),
        hw.Mitigation(readout=True, gauges=3, estimator=ZERO_NOISE),
    ],
    ids=["survival", "estimator"],
)
def test_all_goes_together_on_masks_stacks_and_rings_with_a_journal(mitigation, tmp_path):
    keras.utils.set_random_seed(0)
    x = sequences(3, 2)
    x[1, 1] = 0
    cells = [tfq_qrnn.QRNNCell(1, observables=letters, controller=fed_back()) for letters in ("XYZ", "Z")]
    inner = keras.layers.RNN(cells, return_sequences=True)
    if mitigation.survival:
        inner = keras.layers.Bidirectional(small_layer(1))
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.Masking(), inner])
    plan, sampler = hw.plan(model, "weber", 2, rings=2, mitigation=mitigation), Stub()
    settings = {"progress": False, "journal": tmp_path / "run.jsonl", "calibration_repetitions": 500}
    result = plan.run(x, sampler, 3000, **settings)
    assert sampler.calls == result.cost.jobs
    np.testing.assert_allclose(
        result.outputs, model(x), atol=0.25
    )  # 3,000 shots, extrapolated: five deviations of 0.04
    assert len(result.earlier) == 1
    again = plan.run(x, Stub(seed=1), 3000, **settings)  # nothing is sent
    np.testing.assert_array_equal(again.readouts, result.readouts)
    other = hw.plan(model, "weber", 2, rings=2, mitigation=dataclasses.replace(mitigation, gauges=4))
    with pytest.raises(ValueError, match=r"be of the same model, .* differs in gauges"):
        other.run(x, sampler, 3000, **settings)
    with pytest.raises(ValueError, match="`gauges` must be None for an export"):
        hw.plan(small_layer(2), "weber", 1, mitigation=mitigation).export(tmp_path / "export")


def test_what_does_not_go_together_is_refused_by_name():
    for functions, name in (((3, straight), "circuits"), ((folded, 3), "combine")):
        with pytest.raises(TypeError, match=f"`{name}` must be a function, but it is 3"):
            hw.Estimator(*functions)
    headers = [hw.Mitigation(readout=readout, survival=True).header(None) for readout in (False, True)]
    assert headers[0] != headers[1]  # a journal tells them apart
    with pytest.raises(ValueError, match="`estimator` must be None with survival=True"):
        hw.Mitigation(survival=True, estimator=ZERO_NOISE)
    for arguments, message in (
        ({"gauges": 0}, "`gauges` must be an integer of 1 or more"),
        ({"readout": 1}, "`readout` must be True or False"),
        ({"estimator": straight}, r"`estimator` must be a hw.Estimator or None"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            hw.Mitigation(**arguments)
    with pytest.raises(TypeError, match=r"`mitigation` must be a hw.Mitigation or None"):
        hw.plan(small_layer(2), None, 1, mitigation=True)
