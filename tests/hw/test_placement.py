"""Places on the chip, compared with networkx's exhaustive search and Cirq's router."""

import itertools
import time
import warnings

import cirq
import cirq_google
import networkx as nx
import numpy as np
import pytest
import sympy
from hw_oracles import gate_counts, overlap

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.placement import place
from tfq_qrnn.hw.rings import coupling_graph, polygons

WILLOW = "tests/data/willow_pink.proto.txt"


def random_rates(device, seed):
    rng = np.random.default_rng(seed)
    graph = coupling_graph(device)
    pairs = {frozenset((a, b)) for a in graph for b in graph[a]}
    return hw.ErrorRates(
        dict.fromkeys(graph, 0.001),
        {pair: float(rng.uniform(0.002, 0.02)) for pair in sorted(pairs, key=sorted)},
        {q: tuple(rng.uniform(0.002, 0.05, 2)) for q in graph},
        "CZ",
    )


def cost(qubits, rates, closed):
    pairs = [*itertools.pairwise(qubits), *([(qubits[-1], qubits[0])] if closed else [])]
    return sum(sum(rates.readout[q]) / 2 for q in qubits) + sum(rates.two_qubit[frozenset(pair)] for pair in pairs)


@pytest.mark.parametrize("device", ["weber", "rainbow", WILLOW])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 8, 11, 12, 16])
def test_places_are_rings_or_chains(device, n):
    device = hw.load_device(device)
    for calibration in (None, random_rates(device, n)):
        qubits = hw.place_ring(device, n, calibration)
        graph = coupling_graph(device)
        assert len(set(qubits)) == n
        assert all(b in graph[a] for a, b in itertools.pairwise(qubits))
        if n % 2 == 0 and n > 2:
            assert qubits[0] in graph[qubits[-1]]


@pytest.mark.parametrize("n", [4, 6, 8])
def test_the_best_ring_is_found(n):
    device = hw.load_device("rainbow")
    rates = random_rates(device, seed=n)
    rings = [ring for ring in nx.simple_cycles(device.metadata.nx_graph, length_bound=n) if len(ring) == n]
    best = min(cost(ring, rates, closed=True) for ring in rings)
    # sums of the same numbers in another order
    assert cost(hw.place_ring(device, n, rates), rates, closed=True) == pytest.approx(best, abs=1e-12)


def test_a_real_calibration_places_better_than_none():
    with pytest.warns(UserWarning, match="sqrt-iSWAP"):
        rates = hw.error_rates(hw.load_calibration("weber"))
    for n in (4, 8):
        placed, first = hw.place_ring("weber", n, rates), hw.place_ring("weber", n)
        assert cost(placed, rates, True) < cost(first, rates, True)


def test_number_of_polygons():
    """Self-avoiding polygons of the square lattice: 1, 2, 7, 28, 124 (OEIS A002931)."""
    assert [len(polygons(n)) for n in (4, 6, 8, 10, 12)] == [1, 2, 7, 28, 124]


def test_odd_chains_leave_a_relay_between_their_ends():
    graph = coupling_graph(hw.load_device("weber"))
    for n in (3, 5, 7):
        qubits = hw.place_ring("weber", n)
        assert any(q not in qubits for q in set(graph[qubits[0]]) & set(graph[qubits[-1]]))


def test_twelve_qubits_on_105_take_less_than_a_fifth_of_a_second():
    device = hw.load_device(WILLOW)
    assert len(device.metadata.qubit_set) == 105
    rates, seconds = random_rates(device, 0), []
    for _ in range(5):
        start = time.process_time()  # other processes share the machine
        hw.place_ring(device, 12, rates)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2


def test_what_does_not_fit_says_what_does():
    with pytest.raises(ValueError, match=r"which has 23 qubits, but it is 24; a \w+ of \d+ fits"):
        hw.place_ring("rainbow", 24)
    with pytest.raises(ValueError, match=r"a value that cannot be printed; a \w+ of \d+ fits"):
        hw.place_ring("rainbow", 10**5000)
    with pytest.raises(TypeError, match="`n` must be an integer"):
        hw.place_ring("rainbow", 4.0)
    with pytest.raises(TypeError, match="`device` must be a device with a grid"):
        hw.place_ring(cirq.UNCONSTRAINED_DEVICE, 4)


def test_qubits_that_the_calibration_misses_are_left_out():
    device = hw.load_device("rainbow")
    rates = random_rates(device, 0)
    bad = hw.place_ring(device, 4, rates)[0]
    del rates.readout[bad]
    assert bad not in hw.place_ring(device, 4, rates)


def program(edges, qubits):
    """A rotation on each qubit, CZ on each edge, and a rotation again."""
    symbols = iter(sympy.symbols(f"s0:{2 * len(qubits)}"))
    layers = [[cirq.ry(next(symbols))(q) for q in qubits] for _ in range(2)]
    return tfq_qrnn.GateProgram(cirq.Circuit(layers[0], [cirq.CZ(*edge) for edge in edges], layers[1]))


def on_grid(rows, columns, row=0, column=0):
    qubits = cirq.GridQubit.rect(rows, columns, row, column)
    return program([(a, b) for a in qubits for b in qubits if a < b and a.is_adjacent(b)], qubits)


def cz_of_cirq(circuit, device):
    """CZ by Cirq's own router and compiler, whose qubits may end elsewhere than they begin."""
    routed = cirq.RouteCQC(device.metadata.nx_graph)(circuit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        made = cirq.optimize_for_target_gateset(routed, gateset=cirq.CZTargetGateset())
    return sum({1: 0, 2: 1 if o.gate == cirq.CZ else 2}[len(o.qubits)] for o in made.all_operations())


@pytest.mark.parametrize(("rows", "columns", "cz"), [(2, 3, 7), (3, 3, 12), (3, 4, 17)])
def test_grids_take_one_cz_for_each_pair(rows, columns, cz):
    device = hw.load_device("weber")
    native = hw.compile_program(on_grid(rows, columns), device)
    assert gate_counts(native.prefix(1))[2] == cz < cz_of_cirq(native.program.circuit, device)
    assert overlap(native, timesteps=1, seed=0) == pytest.approx(1, abs=1e-9)
    device.validate_circuit(native.prefix(2))


def test_a_program_on_qubits_that_fit_stays_there():
    device = hw.load_device("weber")
    there = on_grid(2, 2, row=4, column=4)
    assert place(there, device) == there.qubits
    assert place(there, device, calibration=random_rates(device, 0)) == there.qubits
    assert hw.compile_program(there, device).qubits == there.qubits
    away = on_grid(2, 2, row=40)
    assert set(place(away, device)) <= device.metadata.qubit_set
    assert place(away, device, qubits=there.qubits) == there.qubits
    assert place(away, None) == away.qubits


def test_a_match_is_the_best_one_by_the_calibration():
    """Against all matches that networkx finds, scored here by what the calibration says of each gate."""
    device = hw.load_device("rainbow")
    rates = random_rates(device, 3)
    rng = np.random.default_rng(0)
    rates.one_qubit.update({q: float(rng.uniform(0.0005, 0.01)) for q in rates.one_qubit})
    rates.t1.update({q: float(rng.uniform(5, 30)) for q in rates.one_qubit})
    star = cirq.LineQubit.range(4)
    made = program([(star[0], q) for q in star[1:]], star)
    circuit = hw.compile_program(made).prefix(1)
    gates = [o for o in circuit.all_operations() if not isinstance(o.gate, cirq.ZPowGate)]

    def error(at):
        total = sum(
            rates.two_qubit[frozenset(at[q] for q in o.qubits)]
            if len(o.qubits) == 2
            else rates.one_qubit[at[o.qubits[0]]]
            for o in gates
        )
        for q, place_of_q in at.items():
            idle = len(circuit) - sum(q in o.qubits for o in gates)
            total += sum(rates.readout[place_of_q]) / 2 + idle * 0.03 / (2 * rates.t1[place_of_q])
        return total

    matcher = nx.isomorphism.GraphMatcher(coupling_graph(device), nx.star_graph(star))
    found = [{q: p for p, q in match.items()} for match in matcher.subgraph_monomorphisms_iter()]
    best = min(map(error, found))
    chosen = dict(zip(star, place(made, device, calibration=rates), strict=True))
    assert error(chosen) == pytest.approx(best, abs=1e-12)  # sums of the same numbers in another order


def test_a_calibration_leads_to_better_places_also_for_rings():
    device = hw.load_device("weber")
    rates = random_rates(device, 1)
    ring = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(6))
    with_it, without = place(ring, device, calibration=rates), place(ring, device)
    assert cost(with_it, rates, True) < cost(without, rates, True)


@pytest.mark.parametrize("name", ["star", "wheel", "odd ring", "complete", "tree", "random"])
def test_what_does_not_fit_takes_no_more_cz_than_with_cirq(name):
    graph = {
        "star": nx.star_graph(5),
        "wheel": nx.wheel_graph(6),
        "odd ring": nx.cycle_graph(7),
        "complete": nx.complete_graph(5),
        "tree": nx.full_rary_tree(4, 8),
        "random": nx.gnm_random_graph(6, 8, seed=1),
    }[name]
    device, line = hw.load_device("weber"), cirq.LineQubit.range(len(graph))
    made = program([(line[a], line[b]) for a, b in graph.edges], line)
    native = hw.compile_program(made, device)
    assert gate_counts(native.prefix(1))[2] <= cz_of_cirq(made.circuit, device)
    # each qubit ends where it began: the second step is as right as the first
    assert overlap(native, timesteps=2, seed=0) == pytest.approx(1, abs=1e-6)  # Cirq's decompositions, each to 1e-8
    device.validate_circuit(native.prefix(2))


def test_swaps_of_cirqs_router_bring_all_qubits_home():
    """Heavy blocks on distant pairs: SWAPs win, and merge with the blocks."""
    line, symbols = cirq.LineQubit.range(4), iter(sympy.symbols("s0:14"))
    circuit = cirq.Circuit(
        [cirq.ry(next(symbols))(q) for q in line],  # FSim alone leaves |0000> as it is
        [
            cirq.FSimGate(next(symbols), next(symbols))(line[a], line[b])
            for a, b in ((3, 0), (2, 1), (3, 2), (3, 1), (1, 0))
        ],
    )
    device = hw.load_device("weber")
    native = hw.compile_program(tfq_qrnn.GateProgram(circuit), device)
    assert native.routing == "RouteCQC"
    assert overlap(native, timesteps=3, seed=0) == pytest.approx(1, abs=1e-6)  # as above
    assert gate_counts(native.prefix(1))[2] <= cz_of_cirq(circuit, device)


def test_places_without_room_say_so():
    small = cirq_google.GridDevice(cirq.GridDeviceMetadata([cirq.GridQubit.rect(1, 2)], gateset=cirq.Gateset(cirq.CZ)))
    three = program([], cirq.LineQubit.range(3))
    with pytest.raises(ValueError, match="which has 2 qubits, but it is 3"):
        place(three, small)
    with pytest.raises(TypeError, match=r"`program` must be a tfq_qrnn.GateProgram"):
        place(3, small)


def test_layers_that_are_the_same_cancel_each_others_swaps():
    """The second half is routed backward: two full layers on six qubits need no SWAPs but those of the first."""
    device = hw.load_device("weber")
    one, two = (
        hw.compile_program(tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(6, depth, topology="full")), device)
        for depth in (1, 2)
    )
    assert gate_counts(two.prefix(1))[2] < 2 * gate_counts(one.prefix(1))[2]
    assert gate_counts(two.prefix(1))[2] <= cz_of_cirq(two.program.circuit, device)
    assert overlap(two, timesteps=2, seed=0) == pytest.approx(1, abs=1e-6)  # Cirq's decompositions, each to 1e-8
