"""Rings and chains of couplers on a chip.

The grid of couplers is bipartite: it has rings of even length only. A ring of n qubits on it is a self-avoiding polygon
of the square lattice, moved to some place; up to n = 12 there are at most 124 of them, all are tried, and the best one
is exact. Longer rings, and chains, come from a depth-first search that takes the better neighbour first, leaves a
branch that is already worse than the best, and visits a bounded number of paths from each start.
"""

import functools
import itertools
import math
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import cirq
import networkx

from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error, argument_type_error, shown
from tfq_qrnn.hw.devices import as_device
from tfq_qrnn.hw.error_rates import ErrorRates, rates_of

if TYPE_CHECKING:
    from cirq_google import Calibration

_EXACT = 12
_VISITS = 25_000  # about 0.15 s


def place_ring(
    device: str | pathlib.Path | cirq.Device, n: int, calibration: "Calibration | ErrorRates | None" = None
) -> tuple[cirq.GridQubit, ...]:
    """Qubits of a device that stand in a ring; in a chain where n is odd or below 4.

    Args:
        device: A `cirq_google.GridDevice`, the name of a processor or the path of a specification.
        n: Number of qubits, 1 or more.
        calibration: A `cirq_google.Calibration`; the best place by it is chosen, that with the least sum of the CZ
            errors of its couplers and the mean readout errors of its qubits. Qubits and couplers that it does not list
            are left out.

    Returns:
        A tuple of `n` `cirq.GridQubit`, each coupled with the next one, and in a ring the last one with the first. A
        chain of odd length has, where there is room, a free qubit between its ends: over it the missing coupler of a
        ring costs two gates more.

    Raises:
        ValueError: The device has no such ring or chain; the message says what would fit.

    >>> qubits = tfq_qrnn.hw.place_ring("weber", 4)
    >>> all(a.is_adjacent(b) for a, b in zip(qubits, qubits[1:] + qubits[:1]))
    True
    """
    n = check_int("n", n, 1)
    device = as_device(device)
    graph = coupling_graph(device)
    if graph is None or not all(isinstance(q, cirq.GridQubit) for q in graph):
        raise argument_type_error("device", "be a device with a grid of couplers", device)
    scores = _Scores(graph, None if calibration is None else rates_of(calibration))
    if found := _place(scores, n):
        return found
    fits = next((k for k in range(min(n - 1, len(scores.neighbours)), 0, -1) if _place(scores, k, _VISITS // 10)), 0)
    shape, found = ("ring" if _is_ring(k) else "chain" for k in (n, fits))
    listed = "" if calibration is None else " in its calibration"
    raise argument_error(
        "n",
        f"leave room for a {shape} on the device, which has {len(scores.neighbours)} qubits{listed}",
        f"it is {shown(n)}; a {found} of {fits} fits",
    )


def find_ring(
    graph: networkx.Graph, rates: ErrorRates | None, n: int, ones: float = 0.0, twos: float = 1.0, idle: float = 0.0
) -> tuple[cirq.GridQubit, ...] | None:
    """`place_ring` on a graph of couplers, or None; with weights for errors of gates and idle microseconds."""
    return _place(_Scores(graph, rates, ones, twos, idle), n)


def find_chain(
    graph: networkx.Graph, rates: ErrorRates | None, n: int, ones: float = 0.0, twos: float = 1.0, idle: float = 0.0
) -> tuple[cirq.GridQubit, ...] | None:
    """A chain, also of even length, or None."""
    return _search(_Scores(graph, rates, ones, twos, idle), n, False, _VISITS)


def coupling_graph(device: cirq.Device | None) -> networkx.Graph | None:
    """A device's couplers as a `networkx.Graph`, in the qubits' order; None where every pair is coupled."""
    if device is None or device is cirq.UNCONSTRAINED_DEVICE:
        return None
    if device.metadata is None:
        raise argument_error("device", "say which qubits are coupled", "it has no metadata")
    graph = networkx.Graph()
    graph.add_nodes_from(sorted(device.metadata.nx_graph))
    graph.add_edges_from(sorted(map(sorted, device.metadata.nx_graph.edges)))
    return graph


class _Scores:
    """A device's usable qubits and couplers, and the cost of each."""

    def __init__(
        self, graph: networkx.Graph, rates: ErrorRates | None, ones: float = 0.0, twos: float = 1.0, idle: float = 0.0
    ):
        self.scored = rates is not None
        self.qubit, self.pair = dict.fromkeys(graph, 0.0), {frozenset(pair): 0.0 for pair in graph.edges}
        if rates is not None:
            self.qubit = {
                q: sum(rates.readout[q]) / 2 + ones * rates.one_qubit.get(q, 0.0) + rates.decay(q, idle)
                for q in graph
                if q in rates.readout
            }
            self.pair = {pair: twos * error for pair, error in rates.two_qubit.items()}
        self.neighbours = {
            q: tuple(r for r in graph[q] if r in self.qubit and frozenset((q, r)) in self.pair) for q in self.qubit
        }

    def edge(self, a, b):
        return self.pair[frozenset((a, b))]

    def of(self, qubits, closed):
        pairs = [*itertools.pairwise(qubits), *([(qubits[-1], qubits[0])] if closed else [])]
        return sum(self.qubit[q] for q in qubits) + sum(self.edge(a, b) for a, b in pairs)

    def without_worst(self, ring):
        """The chain that a ring leaves when its worst qubit is taken out."""
        n = len(ring)

        def cost(i):
            return self.qubit[ring[i]] + self.edge(ring[i - 1], ring[i]) + self.edge(ring[i], ring[(i + 1) % n])

        worst = max(range(n), key=cost) if self.scored else n - 1
        return ring[worst + 1 :] + ring[:worst]


def is_short_ring(graph: networkx.Graph) -> bool:
    """Whether a graph is a ring whose places on the grid `rings` lists."""
    n = len(graph)
    return _is_ring(n) and n <= _EXACT and networkx.is_connected(graph) and {d for _, d in graph.degree} == {2}


def _is_ring(n):
    return n % 2 == 0 and n > 2


def _place(scores, n, visits=_VISITS):
    if n > len(scores.neighbours):
        return None
    if _is_ring(n) and n <= _EXACT:
        return _best_polygon(scores, n)
    if 2 < n < _EXACT and (relayed := _best_polygon(scores, n + 1, spare=True)):
        return relayed
    return _search(scores, n, _is_ring(n), visits)


@functools.lru_cache(maxsize=16)
def polygons(n: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """The self-avoiding polygons of n vertices on the square lattice, as tuples of (row, column) from (0, 0) on.

    The first vertex is the least one, and the second less than the last: each is listed once.
    """
    found = []

    def extend(path, used):
        row, column = path[-1]
        for step in ((row, column + 1), (row + 1, column), (row, column - 1), (row - 1, column)):
            if step == (0, 0):
                if len(path) == n and path[1] < path[-1]:
                    found.append(tuple(path))
            elif step > (0, 0) and step not in used and abs(step[0]) + abs(step[1]) <= n - len(path):
                extend([*path, step], used | {step})

    extend([(0, 0)], {(0, 0)})
    return tuple(found)


def _best_polygon(scores, n, spare=False):
    """The best ring of n qubits; with `spare` the best chain that one leaves when its worst qubit is taken out."""
    found = rings(scores.neighbours, n)
    if not scores.scored:
        found = itertools.islice(found, 1)
    if spare:
        found = map(scores.without_worst, found)
    return min(map(tuple, found), key=lambda qubits: scores.of(qubits, closed=not spare), default=None)


def rings(graph: networkx.Graph, n: int) -> Iterator[list[cirq.GridQubit]]:
    """All rings of n qubits, lists of qubits, for an even n of 4 to 12."""
    at = {(q.row, q.col): q for q in graph}
    near = {(q.row, q.col): {(r.row, r.col) for r in graph[q]} for q in graph}
    for row, column in at:
        for polygon in polygons(n):
            ring = [(row + i, column + j) for i, j in polygon]
            if all(b in near.get(a, ()) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)):
                yield [at[place] for place in ring]


def _search(scores, n, closed, visits):
    """A good ring or chain of n qubits, by bounded depth-first searches from every qubit."""
    best, best_cost = None, math.inf
    allowed = max(2 * n, visits // len(scores.neighbours))
    for start in sorted(scores.neighbours, key=lambda q: scores.qubit[q]):
        stack, visited = [((start,), scores.qubit[start])], 0
        while stack and visited < allowed:
            path, cost = stack.pop()
            visited += 1
            last = path[-1]
            if cost >= best_cost:
                continue
            if len(path) == n:
                if closed and start not in scores.neighbours[last]:
                    continue
                cost += scores.edge(last, start) if closed else 0.0
                if cost < best_cost:
                    best, best_cost = path, cost
                    if not scores.scored:
                        return best
                continue
            steps = [
                (cost + scores.edge(last, q) + scores.qubit[q], q)
                for q in scores.neighbours[last]
                if q not in path and not (closed and abs(q.row - start.row) + abs(q.col - start.col) > n - len(path))
            ]
            for new_cost, q in sorted(steps, reverse=True):
                stack.append(((*path, q), new_cost))
    return best
