"""Blocks whose qubits no coupler joins.

A CZ along a path p0 ... pd of couplers takes, in CZ:

    relay    2d - 1       over free qubits in |0>: CNOTs carry p0's bit along them, CZ, CNOTs back
    ladder   4(d - 1)     over any qubits: CZ with the parity of p0 ... p(d-1), then with that of p1 ... p(d-1)

The ladder's second part, which goes first, is one CZ where d = 2, and on a ring of three it cancels the ring's own.
Where no free path takes fewer gates, a relay is a ladder. The third way is Cirq's `RouteCQC`, whose SWAPs merge with
the blocks on their pairs; further SWAPs bring every qubit back to where the step began. A program is compiled in all
three, and the one with the fewest CZ is taken.
"""

import collections
import contextlib
import functools
import itertools

import cirq
import networkx
import numpy as np

from tfq_qrnn.hw.blocks import collect, emit
from tfq_qrnn.hw.emitter import Emitter
from tfq_qrnn.hw.rotations import Rotation

STRATEGIES = ("ladder", "relay")
_SEARCHED = 6  # qubits, of which there are 720 orders


def in_place(form, qubits, graph):
    """A form of a program on qubits of a device: `[(routing, operations), ...]`, one for each way that differs.

    Empty where no path of couplers joins two qubits that it needs.
    """
    found = []
    for strategy in STRATEGIES:
        emitter = Emitter(form.n_angles, qubits, graph, functools.partial(_far_cz, strategy))
        try:
            form.emit(emitter, qubits)
        except networkx.NetworkXNoPath:
            return []
        found.append((strategy if emitter.routed else None, emitter.finish()))
        if not emitter.routed:
            break
    return found


def _far_cz(strategy, emitter, first, second):
    path = _shortest_path(emitter.graph, first, second)
    if path is None:
        raise networkx.NetworkXNoPath
    if strategy == "relay":
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


def route_by_cirq(form, n_qubits, graph, qubits=None):
    """A form of a program routed by `cirq.RouteCQC`: `[(qubits, "RouteCQC", operations), ...]`.

    Without `qubits` Cirq chooses where they start. It moves qubits only over those of the program.
    """
    if qubits is not None and not networkx.is_connected(graph.subgraph(qubits)):
        return []
    found = []
    for pieces in form.pieces:
        with contextlib.suppress(ValueError, IndexError):  # no place, and a fault of Cirq where no SWAP helps
            found.append(_route_by_cirq(pieces, form.n_angles, n_qubits, graph, qubits))
    return found


def _route_by_cirq(pieces, n_angles, n_qubits, graph, qubits):
    line = cirq.LineQubit.range(n_qubits)
    circuit = cirq.Circuit()
    for number, items in enumerate(pieces):
        own = sorted({q for item in items for q in item.qubits})
        gate = cirq.CZ if len(own) == 2 else cirq.X
        circuit.append(gate(*(line[q] for q in own)).with_tags(number))
    mapper = None if qubits is None else cirq.HardCodedInitialMapper(dict(zip(line, qubits, strict=True)))
    routed, start, _ = cirq.RouteCQC(graph).route_circuit(circuit, tag_inserted_swaps=True, initial_mapper=mapper)
    turns, items, swaps, places = np.append(np.zeros(n_angles), 0.5), [], [], dict(start)
    for operation in routed.all_operations():
        if cirq.RoutingSwapTag() in operation.tags:
            swaps.append(operation.qubits)
            items += [Rotation(dict.fromkeys(operation.qubits, letter), turns) for letter in "XYZ"]
            a, b = operation.qubits
            places = {q: {a: b, b: a}.get(p, p) for q, p in places.items()}
        else:
            (number,) = operation.tags
            items += [item.moved([places[q] for q in line]) for item in pieces[number]]
    for pair in _way_home(swaps, graph.subgraph(start.values())):
        items += [Rotation(dict.fromkeys(pair, letter), turns) for letter in "XYZ"]
    qubits = tuple(start[q] for q in line)
    emitter = Emitter(n_angles, qubits, graph)
    everywhere = {q: q for q in graph}
    emit(collect(items), emitter, everywhere)
    return qubits, "RouteCQC", emitter.finish()


def _way_home(swaps, graph):
    """SWAPs that undo others: the fewest where a search is short, else the same ones backward."""
    if len(graph) > _SEARCHED:
        return swaps[::-1]
    nodes = sorted(graph)
    home, state = tuple(nodes), list(nodes)
    moves = [(pair, tuple(map(nodes.index, pair))) for pair in sorted(map(sorted, graph.edges))]
    for pair in swaps:
        i, j = map(nodes.index, pair)
        state[i], state[j] = state[j], state[i]
    came, waiting = {tuple(state): []}, collections.deque([tuple(state)])
    while home not in came:
        state = waiting.popleft()
        for pair, (i, j) in moves:
            new = list(state)
            new[i], new[j] = new[j], new[i]
            if tuple(new) not in came:
                came[tuple(new)] = [*came[state], tuple(pair)]
                waiting.append(tuple(new))
    return came[home]
