"""Settings, estimates and readout errors."""

import functools

import cirq
import numpy as np
import pytest
from hw_oracles import run, sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw import readout_errors
from tfq_qrnn.hw.density_matrix import SweepSimulator

a, b, c = cirq.LineQubit.range(3)


def plan(observables, n=3):
    return hw.ReadoutPlan(tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(n, 1), observables))


def test_settings_group_what_commutes_qubit_by_qubit():
    assert plan("XYZ").settings == ("XXX", "YYY", "ZZZ")
    assert plan("ZX").settings == ("ZZZ", "XXX")
    assert plan([cirq.Z(a) * cirq.Z(b), cirq.Z(c)]).settings == ("ZZZ",)
    mixed = plan([cirq.X(a) * cirq.Z(b), cirq.Y(a), cirq.X(c) * cirq.Z(b)])
    assert mixed.settings == ("XZX", "YYY")
    assert not mixed.uniform


def test_settings_are_colours():
    """Thirty strings, by taking the first setting that fits: ten."""
    rng, line = np.random.default_rng(0), cirq.LineQubit.range(6)
    strings = []
    for _ in range(30):
        places = rng.choice(6, size=rng.integers(1, 4), replace=False)
        strings.append(cirq.PauliString({line[q]: "XYZ"[rng.integers(3)] for q in places}))
    settings = plan(strings, n=6)
    assert len(settings.settings) == 7
    for number, terms in enumerate(settings.terms):
        for observable, _, qubits in terms:
            setting = settings.settings[number]
            assert all(setting[q] == str(strings[observable][line[q]]) for q in qubits)
    assert sum(map(len, settings.terms)) == 30


def test_three_settings_are_one_program_with_two_symbols():
    program = plan("XYZ").circuit((a, b, c))
    assert cirq.parameter_names(program) == {"basis_x", "basis_a"}
    assert len(program) == 2


@pytest.mark.parametrize("letter", "XYZ")
def test_the_layer_turns_a_setting_to_z(letter):
    settings = plan(letter)
    layer = cirq.resolve_parameters(settings.circuit((a, b, c)), settings.values(settings.settings[0]))
    turn = cirq.unitary(cirq.Circuit(op for op in layer[0] if op.qubits[0] == a))
    pauli = cirq.unitary(getattr(cirq, letter))
    np.testing.assert_allclose(turn @ pauli @ turn.conj().T, cirq.unitary(cirq.Z), atol=1e-12)  # float64


def test_estimates_are_means_of_products():
    settings = plan([cirq.Z(a) * cirq.Z(b) - 2 * cirq.Z(c) + 0.5, cirq.Z(c)])
    bits = np.array([[[0, 0, 0], [0, 1, 0], [1, 1, 1], [1, 1, 0]]])
    values, errors = settings.estimate(bits)
    # Z Z: 1, -1, 1, 1; Z of c: 1, 1, -1, 1
    assert values.tolist() == [0.5 + 0.5 - 2 * 0.5, 0.5]
    sums = np.array([-1.0, -3.0, 3.0, -1.0])
    squares = np.sum((sums + 0.5) ** 2) + (3 + 0.5) ** 2 + (3 - 0.5) ** 2
    assert errors[0] == pytest.approx(np.sqrt(squares / 6 / 4))


def test_standard_errors_never_vanish():
    settings = plan("Z", n=2)
    for shots in (1, 100):
        values, errors = settings.estimate(np.zeros((1, shots, 2)))
        assert values.tolist() == [1, 1]
        np.testing.assert_allclose(errors, np.sqrt(4 / (shots + 2) / shots))


def test_constants_need_no_shots():
    assert plan([cirq.PauliString(coefficient=0.75), cirq.Z(a)]).estimate(np.zeros((1, 2, 3)))[0].tolist() == [0.75, 1]


class _ReadoutNoise(cirq.NoiseModel):
    """0 is read as 1 with probability e0, and 1 as 0 with e1."""

    def __init__(self, e0, e1):
        # A channel on the diagonal: |0> -> |1> with e0, |1> -> |0> with e1.
        kraus = [np.diag([np.sqrt(1 - e0), np.sqrt(1 - e1)]), [[0, 0], [np.sqrt(e0), 0]], [[0, np.sqrt(e1)], [0, 0]]]
        self.channel = cirq.KrausChannel([np.array(k, complex) for k in kraus])

    def noisy_moment(self, moment, system_qubits):
        if not cirq.Circuit(moment).has_measurements():
            return moment
        return [cirq.Moment(self.channel.on(q) for q in sorted(moment.qubits)), moment]


@pytest.mark.parametrize("observables", ["XYZ", "ZZ"])
def test_mitigation_at_2_and_8_percent(observables):
    """The raw error of <Z> = m is (e1 - e0) - (e0 + e1) m: rms 0.07 here. Inverted, the shots remain: 0.007 each."""
    if observables == "ZZ":
        q = cirq.LineQubit.range(4)
        observables = [cirq.Z(q[i]) * cirq.Z(q[i + 1]) for i in range(3)] + [cirq.X(q[0]) * cirq.X(q[3])]
    layer, x = small_layer(4, observables=observables), sequences(4, 1)
    rms = []
    for mitigate in (False, True):
        sampler = SweepSimulator(_ReadoutNoise(0.02, 0.08), seed=1)
        result = run(layer, x, sampler, 20_000, mitigate_readout=mitigate)
        rms.append(np.sqrt(np.mean((result.readouts - result.exact) ** 2)))
    assert rms[0] > 0.05
    assert rms[1] < 0.01
    # 16 patterns of 20,000 shots, half of them on each side: a standard deviation of 7e-4 at 8 %; five of them
    np.testing.assert_allclose(result.readout_errors.e0, 0.02, atol=3.5e-3)
    np.testing.assert_allclose(result.readout_errors.e1, 0.08, atol=3.5e-3)


def test_calibration_patterns_are_balanced():
    pairs = [(i, j) for i in range(8) for j in range(i)]
    for n, blocks in ((5, ()), (8, pairs)):
        _, patterns, _ = readout_errors.calibration(cirq.LineQubit.range(n), blocks)
        assert patterns.shape == (16, n)
        assert (patterns.sum(0) == 8).all()
        for pair in blocks:  # all four bit strings of a pair
            assert len({*map(tuple, patterns[:, pair].tolist())}) == 4


def _bits(rng, probabilities, shots):
    """Shots of bit strings with these probabilities."""
    n = len(probabilities).bit_length() - 1
    return (rng.choice(2**n, size=shots, p=probabilities)[:, None] >> np.arange(n - 1, -1, -1)) & 1


def _confusion(e0, e1, together):
    """Independent flips of three qubits, and then the first two flip together with some probability."""
    independent = functools.reduce(np.kron, [np.array([[1 - p, q], [p, 1 - q]]) for p, q in zip(e0, e1, strict=True)])
    both = np.kron(np.kron([[0, 1], [1, 0]], [[0, 1], [1, 0]]), np.eye(2))
    return ((1 - together) * np.eye(8) + together * both) @ independent


def test_errors_of_pairs_are_inverted_and_standard_errors_are_the_true_spread():
    """Multinomial statistics are the truth: 4 % correlated flips, 100 shots of a calibration, many times over.

    With each qubit's own errors <Z Z> would be 1.18 times too large. Without the calibration's own error the standard
    errors would be less than half of the spread.
    """
    rng, times = np.random.default_rng(0), 200
    observables = [
        cirq.Z(a),
        cirq.Z(a) * cirq.Z(b),
        cirq.Z(a) * cirq.Z(b) * cirq.Z(c) - 0.5 * cirq.Z(b) * cirq.Z(c) + 1,
    ]
    settings = plan(observables)
    there, read = rng.dirichlet(np.full(8, 0.4)), _confusion([0.02, 0.03, 0.01], [0.08, 0.05, 0.10], 0.04)
    z = 1 - 2.0 * ((np.arange(8) >> np.array([[2], [1], [0]])) & 1)
    want = [z[0] @ there, z[0] * z[1] @ there, z[0] * z[1] * z[2] @ there - 0.5 * z[1] * z[2] @ there + 1]
    _, patterns, _ = readout_errors.calibration((a, b, c), settings.blocks)
    estimates = []
    for _ in range(times):
        calibration = np.array([_bits(rng, read[:, pattern @ [4, 2, 1]], 100) for pattern in patterns])
        errors = readout_errors.readout_errors(patterns, calibration, settings.blocks)
        estimates.append(settings.estimate(_bits(rng, read @ there, 4000)[None], errors))
    values, told = np.array(estimates).transpose(1, 0, 2)
    spread, rms = values.std(0), np.sqrt(np.mean(told**2, axis=0))
    assert np.abs(values.mean(0) - want).max() < 5 * spread.max() / np.sqrt(times)  # five standard deviations
    np.testing.assert_allclose(spread / rms, 1, atol=5 / np.sqrt(2 * times))  # a spread is known to 1 / sqrt(2 N)
    assert np.array_equal(errors.pairs[0, 1].sum(0), np.ones(4))


def test_a_pair_whose_strings_were_not_all_prepared_flips_independently():
    patterns = np.array([[0, 0], [1, 1]], np.uint8)
    errors = readout_errors.readout_errors(patterns, np.repeat(patterns[:, None], 5, axis=1), [(0, 1)])
    assert errors.pairs == {}
    assert errors.shots.blocks == ((0,), (1,))


def test_a_readout_that_says_nothing_is_refused():
    with pytest.raises(ValueError, match="`pairs` must have matrices with an inverse"):
        hw.ReadoutErrors(np.zeros(2), np.zeros(2), {(0, 1): np.full((4, 4), 0.25)})
    for arguments, message in (
        ((np.zeros(2), np.zeros(2), {(0, 1): np.eye(2)}), r"`pairs` must have matrices of shape \(4, 4\)"),
        (([0.1], [0.1, 0.2]), "`e1` must have as many probabilities as `e0`, but it has 2 and `e0` has 1"),
        (([-0.1], [0.1]), "`e0` must be a probability for each qubit"),
        (([0.1], [np.nan]), "`e1` must be a probability for each qubit"),
    ):
        with pytest.raises(ValueError, match=message):
            hw.ReadoutErrors(*arguments)
    with pytest.raises(ValueError, match=r"qubit 1 reads 0 as 1 with probability 0.50 and 1 as 0 with 0.60"):
        hw.ReadoutErrors(np.array([0.1, 0.5]), np.array([0.1, 0.6]))
