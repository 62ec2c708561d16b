"""Circuits for the device compute what was trained: compared with the trained circuit in cirq.Simulator."""

import itertools

import cirq
import cirq_google
import numpy as np
import pytest
import sympy
from hw_oracles import gate_counts, overlap
from random_circuits import random_circuit

import tfq_qrnn
from tfq_qrnn import hw

WEBER = hw.load_device("weber")
# float64 throughout: what remains is the rounding of a few hundred gates
EXACT = 1e-9


def compiled(ansatz, device=WEBER, **arguments):
    program = tfq_qrnn.GateProgram(ansatz, **arguments)
    return hw.compile_program(program, device, hw.place_ring(device, program.n_qubits))


@pytest.mark.parametrize("n", range(1, 9))
def test_default_ansatz_is_what_was_trained(n):
    native = compiled(tfq_qrnn.HardwareEfficient(n))
    assert overlap(native, timesteps=2, seed=n) == pytest.approx(1, abs=EXACT)
    WEBER.validate_circuit(native.prefix(3))


@pytest.mark.parametrize("rotations", [("rx", "rz"), ("rz", "ry"), ("rz", "rx", "rz"), ("ry",), ("rx", "ry"), ("rz",)])
@pytest.mark.parametrize("topology", ["ring", "chain", "full"])
def test_rotations_and_topologies(rotations, topology):
    native = compiled(tfq_qrnn.HardwareEfficient(4, 2, rotations=rotations, topology=topology))
    assert overlap(native, timesteps=2, seed=1) == pytest.approx(1, abs=EXACT)
    WEBER.validate_circuit(native.prefix(2))


@pytest.mark.parametrize("entangler", ["cnot", "iswap", "sqrt_iswap"])
def test_other_entanglers(entangler):
    native = compiled(tfq_qrnn.HardwareEfficient(4, entangler=entangler))
    # Cirq's compiler of constant two-qubit gates works to 1e-8
    assert overlap(native, timesteps=2, seed=2) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", range(16))
def test_random_ansatz(seed):
    native = compiled(random_circuit(1 + seed % 4, 6, seed))
    assert overlap(native, timesteps=2, seed=seed) == pytest.approx(1, abs=1e-6)  # as above
    WEBER.validate_circuit(native.prefix(2))


def test_trainable_circuit_is_part_of_it():
    cell = tfq_qrnn.QRNNCell(3, trainable_circuit=tfq_qrnn.HardwareEfficient(3, 1, rotations=("rx",)))
    native = hw.compile_program(cell.program, WEBER, hw.place_ring(WEBER, 3))
    assert overlap(native, timesteps=2, seed=0) == pytest.approx(1, abs=EXACT)


def test_depth_and_gates_at_8_qubits_and_8_steps():
    circuit = compiled(tfq_qrnn.HardwareEfficient(8)).prefix(8)
    assert gate_counts(circuit) == (48, 128, 128)
    kinds = {type(operation.gate) for operation in circuit.all_operations()}
    assert kinds == {cirq.PhasedXZGate, cirq.CZPowGate}


def test_rz_then_ry_is_still_one_gate():
    """Z^z then Y^y is Z^z Z^a X^y Z^-a with a = 1/2 - z."""
    native = compiled(tfq_qrnn.HardwareEfficient(4, 1, rotations=("rz", "ry")))
    assert gate_counts(native.prefix(1)) == (3, 4, 4)


def test_symbols_survive_googles_serializer_exactly():
    circuit = compiled(tfq_qrnn.HardwareEfficient(4)).prefix(2)
    serializer = cirq_google.CIRCUIT_SERIALIZER
    assert serializer.deserialize(serializer.serialize(circuit)) == circuit


def test_symbols_are_half_turns_of_radians():
    native = compiled(tfq_qrnn.HardwareEfficient(2, 1, rotations=("ry",)))
    assert list(native.half_turns(np.array([[np.pi / 2, -np.pi]])).values()) == [0.5, -1.0]


def test_offsets_and_shared_symbols():
    a, b = sympy.symbols("a b")
    q = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(
        cirq.ry(2 * a - 0.3)(q[0]),
        cirq.X(q[1]) ** (0.25 * b + 0.1),
        cirq.CZ(*q),
        cirq.PhasedXPowGate(phase_exponent=a, exponent=b)(q[0]),
        cirq.rz(-a)(q[1]),
    )
    assert overlap(compiled(circuit), timesteps=3, seed=3) == pytest.approx(1, abs=EXACT)


@pytest.mark.parametrize(("n", "per_layer", "routing"), [(3, 4, "ladder"), (5, 7, "relay"), (7, 9, "relay")])
def test_missing_coupler_of_an_odd_ring_is_replaced_in_the_cheapest_way(n, per_layer, routing):
    """A relay makes a CZ of three; on three qubits the ladder makes it of two more, for one cancels."""
    native = compiled(tfq_qrnn.HardwareEfficient(n, 1))
    assert (native.routing, gate_counts(native.prefix(1))[2]) == (routing, per_layer)
    assert len(native.relays) == (routing == "relay")


def test_without_room_for_a_relay_a_ladder_does():
    qubits = cirq.GridQubit.rect(1, 5)
    device = cirq_google.GridDevice(
        cirq.GridDeviceMetadata(
            list(itertools.pairwise(qubits)), gateset=cirq.Gateset(cirq.CZ, cirq.PhasedXZGate, cirq.Z)
        )
    )
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(5, 1))
    native = hw.compile_program(program, device, qubits)
    # 4 couplers, and 4 (d - 1) = 12 for the fifth: SWAPs there and back would take 6 (d - 1) + 1 = 19; less what
    # cancels
    assert native.routing == "ladder"
    assert gate_counts(native.prefix(1))[2] <= 16
    assert overlap(native, timesteps=2, seed=0) == pytest.approx(1, abs=EXACT)


def test_every_way_of_routing_is_right(monkeypatch):
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(5, 1, topology="full"))
    for strategy in ("ladder", "relay"):
        monkeypatch.setattr("tfq_qrnn.hw.routing.STRATEGIES", (strategy,))
        native = hw.compile_program(program, WEBER, hw.place_ring(WEBER, 5))
        assert overlap(native, timesteps=1, seed=4) == pytest.approx(1, abs=EXACT)
        assert native.routing == strategy


def test_refusals():
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(2))
    q = hw.place_ring(WEBER, 2)
    with pytest.raises(ValueError, match="`qubits` must be 2 different qubits"):
        hw.compile_program(program, WEBER, q[:1])
    with pytest.raises(ValueError, match="`qubits` must be on the device, but q\\(99, 99\\) is not"):
        hw.compile_program(program, WEBER, (q[0], cirq.GridQubit(99, 99)))
    with pytest.raises(ValueError, match="`angles` must have shape \\(timesteps, 8\\)"):
        hw.compile_program(program).half_turns(np.zeros(8))
    a, b, c, d = cirq.GridQubit(0, 0), cirq.GridQubit(0, 1), cirq.GridQubit(5, 0), cirq.GridQubit(5, 1)
    apart = cirq_google.GridDevice(cirq.GridDeviceMetadata([(a, b), (c, d)], gateset=cirq.Gateset(cirq.CZ)))
    with pytest.raises(ValueError, match="be connected by couplers"):
        hw.compile_program(program, apart, (a, c))


def test_devices_without_cz_are_refused():
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(4))
    for device in (cirq_google.Sycamore, cirq_google.Sycamore23):
        with pytest.raises(ValueError, match=r"`device` must have the gate CZ, .*, but its gates are .*SYC"):
            hw.compile_program(program, device)


def test_constants_survive_googles_serializer_exactly():
    """A constant that float32 does not hold is one symbol for all steps."""
    a, q = sympy.Symbol("a"), cirq.LineQubit(0)
    native = hw.compile_program(tfq_qrnn.GateProgram(cirq.Circuit(cirq.ry(a)(q), cirq.rz(0.1)(q), cirq.rx(0.3)(q))))
    circuit, values = native.prefix(3), native.half_turns(np.zeros((3, 1)))
    assert cirq.parameter_names(circuit) == set(values)
    assert sum("const" in name for name in values) == native.n_symbols - 1
    assert len(values) == 3 + native.n_symbols - 1
    serializer = cirq_google.CIRCUIT_SERIALIZER
    assert serializer.deserialize(serializer.serialize(circuit)) == circuit
    assert overlap(native, timesteps=3, seed=0) == pytest.approx(1, abs=EXACT)
