"""Which qubits of a chip a circuit's qubits take: subgraphs that match, and good places where none does.

A circuit is a `Profile`: how many two-qubit gates each pair has, how many one-qubit gates and idle moments each qubit.
Where its pairs fit on couplers, networkx enumerates the matches, up to a bound. Where they do not, qubits are put one
by one where the distances to those before are least, and then moved and exchanged as long as that helps.
"""

import collections
import itertools
import math
from collections.abc import Sequence

import cirq
import networkx
from networkx.algorithms.isomorphism import GraphMatcher

from tfq_qrnn.hw.error_rates import ErrorRates

_CHECKS = 30_000  # of networkx, about half a second
_MOMENT = 0.03  # microseconds; of Google's gates, 25 to 32 ns


def depth(operations: Sequence[tuple]) -> int:
    """Number of moments of native operations, without the Z that take no time."""
    at: collections.Counter = collections.Counter()
    for kind, on, _ in operations:
        if kind != "Z":
            at |= dict.fromkeys(on, 1 + max(at[q] for q in on))
    return max(at.values(), default=0)


class Profile:
    """What the circuit of one time step asks of the device, from its native operations on qubits 0 to n - 1.

    The first `n_read` of them are read at its end; by default all.
    """

    def __init__(self, n: int, operations: Sequence[tuple], n_read: int | None = None):
        self.n, self.n_read = n, n if n_read is None else n_read
        self.pairs = collections.Counter(frozenset(on) for _, on, _ in operations if len(on) == 2)
        self.ones = collections.Counter(on[0] for kind, on, _ in operations if kind == "PhasedXZ")
        busy = collections.Counter(i for kind, on, _ in operations if kind != "Z" for i in on)
        self.idle = [depth(operations) - busy[i] for i in range(n)]
        self.graph = networkx.Graph()
        self.graph.add_nodes_from(range(self.n))
        self.graph.add_edges_from(sorted(map(sorted, self.pairs)))

    def weights(self) -> tuple[float, float, float]:
        """Means: one-qubit gates of a qubit, two-qubit gates of a pair, microseconds that a qubit waits."""
        return (
            self.ones.total() / self.n,
            self.pairs.total() / max(1, len(self.pairs)),
            sum(self.idle) * _MOMENT / self.n,
        )


class Scores:
    """The errors of a circuit on a device's qubits; without `rates` all are 0."""

    def __init__(self, graph: networkx.Graph, rates: ErrorRates | None):
        self.rates, self.graph = rates, graph
        if rates is not None:
            self.graph = networkx.Graph()
            self.graph.add_nodes_from(q for q in graph if q in rates.readout and q in rates.one_qubit)
            pairs = [(a, b) for a, b in graph.edges if a in self.graph and b in self.graph]
            self.graph.add_edges_from(pair for pair in pairs if frozenset(pair) in rates.two_qubit)
            self.mean = sum(rates.two_qubit.values()) / max(1, len(rates.two_qubit))

    def error(self, profile: Profile, places: Sequence[cirq.Qid]) -> float:
        """The sum of all errors of one time step and its readout."""
        if (rates := self.rates) is None:
            return 0.0
        total = 0.0
        for i, q in enumerate(places):
            total += sum(rates.readout[q]) / 2 * (i < profile.n_read) + profile.ones[i] * rates.one_qubit[q]
            total += rates.decay(q, profile.idle[i] * _MOMENT)
        for pair, count in profile.pairs.items():
            total += count * rates.two_qubit.get(frozenset(places[i] for i in pair), self.mean)
        return total

    def of_operations(self, qubits: Sequence[cirq.Qid], operations: Sequence[tuple]) -> float:
        """The same of native operations on the device's qubits, without what idle qubits lose."""
        if (rates := self.rates) is None:
            return 0.0
        gates = sum(
            rates.two_qubit[frozenset(on)] if len(on) == 2 else rates.one_qubit[on[0]]
            for kind, on, _ in operations
            if kind != "Z"
        )
        return gates + sum(sum(rates.readout[q]) / 2 for q in qubits)


def stays(profile: Profile, qubits: Sequence[cirq.Qid], graph: networkx.Graph) -> bool:
    """Whether qubits are on the device, and coupled as the circuit needs it."""
    return all(q in graph for q in qubits) and all(graph.has_edge(*(qubits[i] for i in pair)) for pair in profile.pairs)


class _EnoughError(Exception):
    """The search has taken long enough."""


class _Bounded(GraphMatcher):
    checks = 0

    def syntactic_feasibility(self, node: cirq.Qid, other: int) -> bool:
        self.checks += 1
        if self.checks > _CHECKS:
            raise _EnoughError
        return super().syntactic_feasibility(node, other)


def best_match(profile: Profile, scores: Scores) -> tuple[cirq.Qid, ...] | None:
    """The least error among the places where every pair has its coupler; None where no such place was found."""
    graph = scores.graph
    if networkx.is_bipartite(graph) and not networkx.is_bipartite(profile.graph):
        return None
    best, least = None, math.inf
    try:
        for match in _Bounded(graph, profile.graph).subgraph_monomorphisms_iter():
            places = sorted(match, key=match.get)
            error = scores.error(profile, places)
            if error < least:
                best, least = tuple(places), error
            if scores.rates is None:
                break
    except _EnoughError:
        pass
    return best


def near_places(
    profile: Profile, scores: Scores, starts: Sequence[Sequence[cirq.Qid]] = ()
) -> list[tuple[cirq.Qid, ...]]:
    """Places with short paths between the qubits of each pair: `starts` and some of our own, improved."""
    distance = dict(networkx.all_pairs_shortest_path_length(scores.graph))
    weights = [[profile.pairs[frozenset((i, j))] for j in range(profile.n)] for i in range(profile.n)]
    largest = max(networkx.connected_components(scores.graph), key=len, default=())
    if len(largest) < profile.n:
        return []
    hubs = sorted(largest, key=lambda q: (-scores.graph.degree(q), sum(distance[q].values())))[:4]
    grown = [_grow(profile.n, weights, scores.graph, distance, hub) for hub in hubs]
    cost = _cost_function(profile, scores, distance)
    found = {_improve(list(places), scores.graph, cost) for places in (*starts, *grown)}
    return sorted(found, key=cost)


def _extra(count, d):
    """More CZ for `count` of them between qubits at distance d: relays, or SWAPs once there and back."""
    return min(2 * count, 6) * (d - 1)


def _cost_function(profile, scores, distance):
    pairs = [(*sorted(pair), count) for pair, count in profile.pairs.items()]

    def cost(places):
        far = sum(_extra(count, distance[places[i]].get(places[j], math.inf)) for i, j, count in pairs)
        return far, scores.error(profile, places)

    return cost


def _grow(n, weights, graph, distance, hub):
    """Qubits from the busiest on, each where it is nearest to those before."""
    first = max(range(n), key=lambda i: (sum(weights[i]), -i))
    places, rest = {first: hub}, set(range(n)) - {first}
    while rest:
        i = max(rest, key=lambda i: (sum(weights[i][j] for j in places), sum(weights[i]), -i))
        reach = {q for p in places.values() for q in graph[p]} - set(places.values())
        places[i] = min(
            sorted(reach),
            key=lambda q: (sum(_extra(weights[i][j], distance[q][p]) for j, p in places.items()), -graph.degree(q)),
        )
        rest.remove(i)
    return tuple(places[i] for i in range(n))


def _improve(places, graph, cost):
    """Move and exchange qubits as long as that lowers the cost."""
    least, n = cost(places), len(places)
    while True:
        reach = sorted({q for p in places for q in (p, *graph[p])})
        tries = []
        for i, q in itertools.product(range(n), reach):
            trial = [q if j == i else places[i] if p == q else p for j, p in enumerate(places)]
            tries.append((cost(trial), trial))
        found, trial = min(tries)
        if found >= least:
            return tuple(places)
        least, places = found, trial
