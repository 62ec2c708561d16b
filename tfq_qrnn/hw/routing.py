"""CZ between qubits that no coupler joins.

On a path p0 ... pd, with the number of two-qubit gates it takes:

    relay    2d - 1       over free qubits in |0>: CNOTs carry p0's bit along them, CZ, CNOTs back
    ladder   4(d - 1)     over any qubits: CZ with the parity of p0 ... p(d-1), then with that of p1 ... p(d-1)
    swaps    6(d - 1) + 1 SWAPs bring p0 beside pd, and back

The ladder's second part, which goes first, is one CZ where d = 2, and on a ring of three it cancels the ring's own.
Where no free path takes fewer gates, a relay is a ladder. A program is compiled in each way, and the one with the
fewest two-qubit gates is taken. SWAPs never win against ladders; they are here so that this is seen rather than
claimed.
"""

import collections
import itertools

STRATEGIES = ("ladder", "relay", "swaps")


def long_range_cz(emitter, first, second):
    """Emit a CZ between two qubits of a device that are not coupled, in the emitter's way.

    Raises:
        LookupError: There is no path.
    """
    emitter.routed = True
    path = shortest_path(emitter.graph, first, second, lambda q: True)
    if path is None:
        raise LookupError(f"no path from {first} to {second}")
    strategy = emitter.strategy
    if strategy == "relay":
        free = shortest_path(emitter.graph, first, second, lambda q: q not in emitter.program_qubits)
        if free is not None and 2 * len(free) - 3 < 4 * (len(path) - 2):
            path = free
        else:
            strategy = "ladder"
    steps = list(itertools.pairwise(path))
    if strategy == "swaps":
        for a, b in steps[:-1]:
            _swap(emitter, a, b)
        emitter.cz(path[-2], path[-1])
        for a, b in reversed(steps[:-1]):
            _swap(emitter, a, b)
        return
    if strategy == "ladder":
        _cz_with_parity(emitter, steps[1:])
    _cz_with_parity(emitter, steps)


def _cz_with_parity(emitter, steps):
    """CZ of the last qubit with the parity of all before it."""
    for a, b in steps[:-1]:
        emitter.cnot(a, b)
    emitter.cz(*steps[-1])
    for a, b in reversed(steps[:-1]):
        emitter.cnot(a, b)


def _swap(emitter, a, b):
    for control, target in ((a, b), (b, a), (a, b)):
        emitter.cnot(control, target)


def shortest_path(graph, start, end, through):
    """The shortest path between two qubits whose inner qubits satisfy `through`; None where there is none."""
    came_from, queue = {start: None}, collections.deque([start])
    while queue:
        here = queue.popleft()
        for q in graph[here]:
            if q in came_from or not (q == end or through(q)):
                continue
            came_from[q] = here
            if q == end:
                path = [end]
                while came_from[path[-1]] is not None:
                    path.append(came_from[path[-1]])
                return path[::-1]
            queue.append(q)
    return None
