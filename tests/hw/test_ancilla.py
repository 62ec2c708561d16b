"""Readout by ancillas against theory: <Z_a> = sin(theta) <P>, and the other components shrink by cos(theta)."""

import cirq
import keras
import numpy as np
import pytest
from hw_oracles import sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.ancilla import place_ancillas
from tfq_qrnn.hw.rings import coupling_graph

MEMORY, ANCILLA = cirq.GridQubit(5, 3), cirq.GridQubit(5, 4)
PREPARE = cirq.Circuit(cirq.PhasedXZGate(x_exponent=0.37, z_exponent=0.21, axis_phase_exponent=0.11)(MEMORY))


def bloch(circuit, qubit):
    simulator = cirq.DensityMatrixSimulator(dtype=np.complex128)
    state = simulator.simulate(circuit, qubit_order=[MEMORY, ANCILLA]).final_density_matrix
    order = {MEMORY: 0, ANCILLA: 1}
    return np.array(
        [
            cirq.PauliString(p(qubit)).expectation_from_density_matrix(state, order).real
            for p in (cirq.X, cirq.Y, cirq.Z)
        ]
    )


def unmeasured(circuit):
    return cirq.Circuit(op for op in circuit.all_operations() if not cirq.is_measurement(op))


@pytest.mark.parametrize("strength", [0.2, 0.6, 1.1, np.pi / 2])
@pytest.mark.parametrize("pauli", "XYZ")
@pytest.mark.parametrize("start", [0, 1])
def test_outcome_and_disturbance(pauli, strength, start):
    before = bloch(PREPARE, MEMORY)
    flip = cirq.Circuit(cirq.X(ANCILLA) if start else cirq.I(ANCILLA))
    circuit = PREPARE + flip + unmeasured(hw.weak_readout(pauli, MEMORY, ANCILLA, strength, "r"))
    k = "XYZ".index(pauli)
    # complex128, a dozen gates
    assert bloch(circuit, ANCILLA)[2] == pytest.approx((-1) ** start * np.sin(strength) * before[k], abs=1e-6)
    want = before * np.cos(strength)
    want[k] = before[k]
    np.testing.assert_allclose(bloch(circuit, MEMORY), want, atol=1e-6)


def test_disturbance_on_the_virtual_engine():
    """Read X weakly and then strongly Z, of a qubit in |0>: <Z> falls from 1 to cos(theta)."""
    strength, shots = 0.8, 4000
    circuit = hw.weak_readout("X", MEMORY, ANCILLA, strength, "weak")
    circuit.append(cirq.measure(MEMORY, key="strong"))
    result = hw.sampler("virtual", "weber", seed=1).run(circuit, repetitions=shots)
    weak, strong = (np.mean(1 - 2.0 * result.measurements[key]) for key in ("weak", "strong"))
    tolerance = 5 / np.sqrt(shots)  # five standard deviations
    assert weak == pytest.approx(0, abs=tolerance)
    assert strong == pytest.approx(np.cos(strength), abs=tolerance)


def test_circuits_are_valid_on_the_device_and_reuse_their_ancillas():
    device = hw.load_device("weber")
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(4))
    loop = hw.AncillaLoop(program, 0.5, device)
    circuit = loop.circuit(2)
    device.validate_circuit(circuit)
    assert len(circuit.all_qubits()) == 8
    assert len(circuit.all_measurement_key_names()) == 2 * 12
    graph = coupling_graph(device)
    assert all(a in graph[q] for q, a in zip(loop.native.qubits, loop.ancillas, strict=True))


def test_one_step_is_unbiased(layer):
    """What the readouts of one qubit do to each other within a step is divided out."""
    result = hw.run_with_ancillas(layer, sequences(1, 1), 0.7, 100_000, seed=1)
    deviations = (result.readouts - result.exact) / result.standard_errors
    assert np.abs(deviations).max() < 4.5


def test_second_step_is_disturbed_as_theory_says():
    """Identity circuits leave |0>: X, Y, Z are read; X and Y readouts each shrink <Z> by cos(theta), every step."""
    layer, x = small_layer(1, circuit=tfq_qrnn.HardwareEfficient(1, drift=None)), sequences(1, 3)
    layer.cell.controller.scale.assign(0.0)
    strength, shots = 0.6, 200_000
    result = hw.run_with_ancillas(layer, x, strength, shots, seed=2)
    want = np.cos(strength) ** (2 * np.arange(3))
    np.testing.assert_allclose(result.exact[0, :, 2], 1, atol=1e-6)  # float32
    np.testing.assert_allclose(result.readouts[0, :, 2], want, atol=5 * result.standard_errors.max())


@pytest.fixture(scope="module")
def layer():
    return small_layer(2)


@pytest.fixture(scope="module")
def trajectories(layer):
    return hw.run_with_ancillas(layer, sequences(1, 2), 0.9, 200_000)


# The virtual engine simulates as cirq.Simulator does: what it adds are its checks, for which few shots are enough.
@pytest.mark.parametrize(
    ("engine", "shots"), [pytest.param(False, 800, marks=pytest.mark.slow), pytest.param(True, 100)]
)
def test_circuits_give_what_trajectories_give(layer, trajectories, engine, shots):
    sampler = hw.sampler("virtual", "weber", seed=0) if engine else cirq.Simulator(seed=0)
    many, few = trajectories, hw.run_with_ancillas(layer, sequences(1, 2), 0.9, shots, sampler=sampler)
    first = np.abs(few.readouts - many.readouts)[:, 0] / few.standard_errors[:, 0]
    assert first.max() < 4.5
    # the second step's angles follow the first one's readouts, which differ by their own shots
    second = np.abs(few.readouts - many.readouts)[:, 1] / few.standard_errors[:, 1]
    assert second.max() < 9


def test_masked_steps_are_left_out():
    """A sequence that starts with two masked steps gives what it gives without them, shot for shot."""
    x = sequences(1, 4)
    x[:, :2] = 0
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.Masking(), small_layer(2)])
    masked, short = (hw.run_with_ancillas(model, inputs, 0.9, 50, seed=3) for inputs in (x, x[:, 2:]))
    np.testing.assert_array_equal(masked.readouts[:, 2:], short.readouts)
    assert not masked.readouts[:, :2].any()


def test_costs_and_outputs(layer):
    x = sequences(3, 2)
    result = hw.run_with_ancillas(layer, x, 0.5, 10)
    assert (result.cost.jobs, result.cost.circuits, result.cost.shots) == (2, 6, 60)
    assert result.cost.two_qubit_gates == (2 + 12, 2 * (2 + 12))  # two CZ of the circuit, two for each of six readouts
    assert result.outputs.shape == (3, 2, 6)
    again = hw.run_with_ancillas(layer, x, 0.5, 10)
    np.testing.assert_array_equal(result.readouts, again.readouts)  # seeded


def test_refusals(layer):
    x = sequences(1, 1)
    for strength, error, message in (
        (0, ValueError, "above 0 and at most pi/2, but it is 0"),
        (2.0, ValueError, "above 0 and at most pi/2"),
        (np.pi / 2, ValueError, "below pi/2 where a qubit is read in several Paulis"),
        ("weak", TypeError, "`strength` must be a finite number"),
    ):
        with pytest.raises(error, match=message):
            hw.run_with_ancillas(layer, x, strength, 10)
    with pytest.raises(ValueError, match=r"`x` must have shape .* each 1 or more, but its shape is \(0, 1, 3\)"):
        hw.run_with_ancillas(layer, x[:0], 0.5, 10)
    with pytest.raises(ValueError, match="`seed` must be an integer from 0"):
        hw.run_with_ancillas(layer, x, 0.5, 10, seed=-1)
    hw.run_with_ancillas(small_layer(2, observables="Z"), x, np.pi / 2, 10)
    a, b = cirq.LineQubit.range(2)
    with pytest.raises(ValueError, match="be Paulis of one qubit each"):
        hw.run_with_ancillas(small_layer(2, observables=[cirq.Z(a) * cirq.Z(b)]), x, 0.5, 10)
    with pytest.raises(ValueError, match="each have a free neighbour"):
        place_ancillas(hw.load_device("weber"), sorted(hw.load_device("weber").metadata.qubit_set))
    with pytest.raises(ValueError, match="`pauli` must be one of"):
        hw.weak_readout("A", MEMORY, ANCILLA, 0.5, "r")
