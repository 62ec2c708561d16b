"""What is done against errors: gauges, survival, estimators, and shots until a standard error is reached."""

import cirq
import numpy as np
import pytest

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.dressing import Dressed, gates, random_paulis
from tfq_qrnn.hw.estimate import Survival
from tfq_qrnn.hw.readout_errors import readout_errors
from tfq_qrnn.hw.survival import Echoes

LINE = cirq.LineQubit.range(5)
IDEAL = cirq.Simulator(dtype=np.complex128)


def compiled(n, observables="XYZ", depth=1):
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(n, depth), observables)
    return hw.compile_program(program, "weber"), hw.ReadoutPlan(program)


@pytest.mark.parametrize("n", [4, 5])
def test_gauges_leave_the_circuit_as_it_is(n):
    """Five qubits have relays, Z gates and constants."""
    native, readout = compiled(n)
    plain = native.prefix(2) + readout.circuit(native.qubits)[:1]
    dressed = Dressed(gates(plain))
    for count in (lambda c: [len(op.qubits) for moment in c for op in moment], len):
        assert count(dressed.circuit) == count(plain)
    rng = np.random.default_rng(0)
    values = {**native.half_turns(rng.uniform(-3, 3, (2, native.program.n_angles))), **readout.values("XYZXY"[:n])}
    table = dressed.values(
        {name: np.array([value]) for name, value in values.items()}, random_paulis(dressed.n_turns, n, 3, 7)
    )
    assert len(np.unique(table.round(6), axis=0)) == 3
    order = native.all_qubits
    want = np.abs(IDEAL.simulate(plain, values, qubit_order=order).final_state_vector) ** 2
    for row in table:
        state = IDEAL.simulate(dressed.circuit, dict(zip(dressed.names, row, strict=True)), qubit_order=order)
        np.testing.assert_allclose(np.abs(state.final_state_vector) ** 2, want, atol=1e-12)  # double precision


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
