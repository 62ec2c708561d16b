"""Rings on the chip, compared with networkx's exhaustive search."""

import itertools
import time

import cirq
import networkx as nx
import numpy as np
import pytest

from tfq_qrnn import hw
from tfq_qrnn.hw.placement import coupling_graph, polygons

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
