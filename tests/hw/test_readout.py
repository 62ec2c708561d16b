"""Settings, estimates and readout errors."""

import cirq
import numpy as np
import pytest
from hw_oracles import run, sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw import readout
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
    _, patterns, _ = readout.calibration(cirq.LineQubit.range(5))
    assert patterns.shape == (16, 5)
    assert (patterns.sum(0) == 8).all()


def test_a_readout_that_says_nothing_is_refused():
    with pytest.raises(ValueError, match=r"qubit 1 reads 0 as 1 with probability 0.50 and 1 as 0 with 0.60"):
        hw.ReadoutErrors(np.array([0.1, 0.5]), np.array([0.1, 0.6]))
