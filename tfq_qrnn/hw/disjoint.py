"""Disjoint places on a chip for copies of a circuit, on which as many sequences run at once.

A copy takes qubits that are coupled as those of the circuit are. Where the circuit's couplers are a ring of up to
twelve qubits, all its places are listed; else some from each qubit on, by random searches. Of these an integer program
(`scipy.optimize.milp`) chooses: as many as there may be, and of all such choices the one with the least sum of errors.
Taking the best place that is left, one after the other, finds 8 rings of four on weber and 16 on Willow, of 10 and 24.
"""

import itertools
from collections.abc import Iterator, Sequence

import cirq
import networkx
import numpy as np
from networkx.algorithms.isomorphism import GraphMatcher
from scipy import optimize, sparse

from tfq_qrnn.hw.error_rates import ErrorRates
from tfq_qrnn.hw.matching import Profile, Scores
from tfq_qrnn.hw.rings import is_short_ring, rings

_TRIES, _VISITS = 30, 100_000  # random searches from each qubit, and places of a qubit that all of them look at
_SECONDS = 20  # for the integer program; two suffice but for rings of ten or more and chains on a hundred qubits
_TURNS = 64  # ways to lay the circuit on the same qubits


def disjoint_places(
    places: Sequence[cirq.Qid],
    n_read: int,
    operations: Sequence[tuple],
    graph: networkx.Graph,
    rates: ErrorRates | None,
    most: int | None = None,
    stays: bool = False,
) -> list[tuple[cirq.Qid, ...]]:
    """Where copies of a circuit run at once: tuples of qubits, the best one first.

    Args:
        places: The qubits of the circuit, of which the first `n_read` are read.
        operations: Its native operations on them.
        graph: The device's couplers.
        rates: With a calibration, qubits and couplers that it does not list are left out.
        most: How many copies; None for as many as there is room for.
        stays: Whether the first copy is the circuit where it is.
    """
    numbers = {q: i for i, q in enumerate(places)}
    indexed = [(kind, [numbers[q] for q in on], arguments) for kind, on, arguments in operations]
    profile, scores = Profile(len(places), indexed, n_read), Scores(graph, rates)
    kept = [tuple(places)] if stays else []
    free = scores.graph.subgraph(set(scores.graph) - {q for of_one in kept for q in of_one})
    best: dict[frozenset, tuple] = {}  # of the places on the same qubits the best one
    for found in itertools.chain([] if stays else [tuple(places)], _places(profile.graph, free)):
        error = scores.error(profile, found)
        if error < best.get(frozenset(found), (np.inf,))[0]:
            best[frozenset(found)] = error, found
    most = len(graph) if most is None else most
    chosen = _choose(list(best.values()), free, most - len(kept)) if most > len(kept) else []
    turned = [_turned(profile, scores, found) for found in chosen]
    return kept + sorted(turned, key=lambda found: scores.error(profile, found))


def _places(pattern: networkx.Graph, graph: networkx.Graph) -> Iterator[tuple]:
    """Places of a circuit whose pairs are `pattern`: all of a short ring, else some."""
    n = len(pattern)
    if is_short_ring(pattern) and all(isinstance(q, cirq.GridQubit) for q in graph):
        order = list(networkx.dfs_preorder_nodes(pattern, 0))
        for ring in rings(graph, n):
            at = dict(zip(order, ring, strict=True))
            yield tuple(at[i] for i in range(n))
        return
    rng = np.random.default_rng(0)
    order = [
        i for part in networkx.connected_components(pattern) for i in networkx.dfs_preorder_nodes(pattern, min(part))
    ]
    for start in graph:
        tries, left = _TRIES, _VISITS // len(graph)
        while tries and left > 0:
            found, visited = _grown(pattern, order, graph, start, rng, min(left, 20 * n))
            tries, left = tries - 1, left - visited
            if found is not None:
                yield found


def _grown(pattern, order, graph, start, rng, most):
    """One place, by a depth-first search in random order, or None; and how many steps it took, at most `most`."""
    n, stack, visited = len(order), [{order[0]: start}], 0
    while stack and visited < most:
        at, visited = stack.pop(), visited + 1
        if len(at) == n:
            return tuple(at[i] for i in range(n)), visited
        i, used = order[len(at)], set(at.values())
        coupled = [set(graph[at[j]]) for j in pattern[i] if j in at]
        if coupled:
            reach = set.intersection(*coupled) - used
        else:  # of another part of the circuit: beside the parts that have their place, if it can be
            reach = {q for p in used for q in graph[p]} - used or set(graph) - used
        reach = sorted(reach)
        stack += [{**at, i: reach[number]} for number in rng.permutation(len(reach))]
    return None, visited


def _choose(found, graph, most):
    """Disjoint places: as many as there may be, then with the least sum of errors. `found` has (error, place)."""
    if not found:
        return []
    errors = np.array([error for error, _ in found])
    rows = {q: row for row, q in enumerate(graph)}
    on = [(rows[q], column) for column, (_, place) in enumerate(found) for q in place]
    shape = len(rows), len(found)
    covers = sparse.csr_array((np.ones(len(on)), tuple(np.transpose(on))), shape)
    alone = optimize.LinearConstraint(covers, ub=1)
    few = optimize.LinearConstraint(np.ones((1, len(found))), ub=most)
    each = 1 + errors.max() * min(most, len(rows))  # one place more is worth any errors
    options = {"time_limit": _SECONDS, "mip_rel_gap": 0}
    solved = optimize.milp(errors - each, integrality=1, bounds=(0, 1), constraints=[alone, few], options=options)
    one_by_one: list = []
    for column in np.argsort(errors, kind="stable"):
        if len(one_by_one) < most and not any({*found[column][1]} & {*found[other][1]} for other in one_by_one):
            one_by_one.append(column)
    choices = [one_by_one] if solved.x is None else [one_by_one, np.flatnonzero(solved.x > 0.5)]
    return [found[column][1] for column in min(choices, key=lambda columns: np.sum(errors[columns] - each))]


def _turned(profile, scores, place):
    """The best way to lay the circuit on the same qubits."""
    ways = itertools.islice(GraphMatcher(profile.graph, profile.graph).isomorphisms_iter(), _TURNS)
    return min(
        (tuple(place[way[i]] for i in range(profile.n)) for way in ways), key=lambda at: scores.error(profile, at)
    )
