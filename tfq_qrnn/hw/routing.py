"""CZ between qubits that no coupler joins.

On a path p0 ... pd, with the number of two-qubit gates it takes:

    relay    2d - 1       over free qubits in |0>: CNOTs carry p0's bit along them, CZ, CNOTs back
    ladder   4(d - 1)     over any qubits: CZ with the parity of p0 ... p(d-1), then with that of p1 ... p(d-1)

SWAPs there and back would take 6(d - 1) + 1. The ladder's second part, which goes first, is one CZ where d = 2, and on
a ring of three it cancels the ring's own. Where no free path takes fewer gates, a relay is a ladder. A program is
compiled in both ways, and the one with fewer two-qubit gates is taken.
"""

import itertools

import networkx

STRATEGIES = ("ladder", "relay")


def long_range_cz(emitter, first, second):
    """Emit a CZ between two qubits of a device that are not coupled, in the emitter's way."""
    emitter.routed = True
    path = _shortest_path(emitter.graph, first, second)
    if path is None:
        raise LookupError(f"no path leads from {first} to {second}")
    if emitter.strategy == "relay":
        free = emitter.graph.copy()
        free.remove_nodes_from(set(emitter.qubits) - {first, second})
        relay = _shortest_path(free, first, second)
        if relay is not None and 2 * len(relay) - 3 < 4 * (len(path) - 2):
            _cz_with_parity(emitter, relay)
            return
    _cz_with_parity(emitter, path[1:])
    _cz_with_parity(emitter, path)


def _cz_with_parity(emitter, path):
    """CZ of the last qubit with the parity of all before it."""
    *steps, last = itertools.pairwise(path)
    for a, b in steps:
        emitter.cnot(a, b)
    emitter.cz(*last)
    for a, b in reversed(steps):
        emitter.cnot(a, b)


def _shortest_path(graph, start, end):
    return networkx.single_source_shortest_path(graph, start).get(end)
