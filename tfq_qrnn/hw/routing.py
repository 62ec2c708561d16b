"""Blocks whose qubits no coupler joins.

A CZ along a path p0 ... pd of couplers takes, in CZ:

    relay    2d - 1       over free qubits in |0>: CNOTs carry p0's bit along them, CZ, CNOTs back
    ladder   4(d - 1)     over any qubits: CZ with the parity of p0 ... p(d-1), then with that of p1 ... p(d-1)

The ladder's second part, which goes first, is one CZ where d = 2, and on a ring of three it cancels the ring's own.
Where no free path takes fewer gates, a relay is a ladder. The third way is Cirq's `RouteCQC`, whose SWAPs merge with
the blocks on their pairs. Every qubit must end where the step began: either further SWAPs bring it there, or the second
half of the step is routed backward from there, and SWAPs join both halves. So layers that are the same cancel each
other's SWAPs. A program is compiled in all these ways, and the one with the fewest CZ is taken.
"""

import collections
import contextlib
import functools
import itertools
from collections.abc import Sequence

import cirq
import networkx
import numpy as np

from tfq_qrnn.hw.blocks import Block, collect, emit, layered
from tfq_qrnn.hw.emitter import Emitter
from tfq_qrnn.hw.native_forms import GateByGate, InBlocks
from tfq_qrnn.hw.rotations import Rotation

STRATEGIES = ("ladder", "relay")
_SEARCHED = 6  # qubits, of which there are 720 orders


def in_place(
    form: GateByGate | InBlocks, qubits: Sequence, graph: networkx.Graph | None
) -> list[tuple[str | None, list]]:
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


def route_by_cirq(
    form: GateByGate | InBlocks, n_qubits: int, graph: networkx.Graph, qubits: Sequence[cirq.Qid] | None = None
) -> list[tuple[tuple[cirq.Qid, ...], str, list]]:
    """A form of a program routed by `cirq.RouteCQC`: `[(qubits, "RouteCQC", operations), ...]`.

    Without `qubits` Cirq chooses where they start. It moves qubits only over those of the program.
    """
    if qubits is not None and not networkx.is_connected(graph.subgraph(qubits)):
        return []
    found = []
    for pieces in form.pieces:
        for half in (len(pieces), len(pieces) // 2):
            with contextlib.suppress(ValueError, IndexError):  # no place, and a fault of Cirq where no SWAP helps
                found.append(_there_and_back(pieces, half, form.n_angles, n_qubits, graph, qubits))
    return found


def _there_and_back(pieces, half, n_angles, n_qubits, graph, qubits):
    """The first part routed from the places where the step begins; the rest from there, too, but backward in time.

    Between both stand the SWAPs from where the one ends to where the other does.
    """
    line = cirq.LineQubit.range(n_qubits)
    idle = [Block(frozenset([i]), []) for i in range(n_qubits)]  # so that Cirq places each qubit
    there, start, middle = _route(idle + pieces[:half], line, graph, qubits)
    back, _, other = _route(idle + layered(pieces[half:][::-1]), line, graph, start)
    turns, items = np.append(np.zeros(n_angles), 0.5), []
    for pair, block, places in (*there, *_swaps(middle, other, graph.subgraph(start)), *back[::-1]):
        items += [Rotation(dict.fromkeys(pair, letter), turns) for letter in "XYZ"] if pair else []
        items += [item.moved(places) for item in block.items] if block else []
    emitter = Emitter(n_angles, start, graph)
    emit(collect(items), emitter, {q: q for q in graph})
    return start, "RouteCQC", emitter.finish()


def _route(blocks, line, graph, qubits):
    """Blocks routed by Cirq: `[(pair to swap, None, None) or (None, block, places), ...]`, first and last places."""
    circuit = cirq.Circuit()
    for number, block in enumerate(blocks):
        gate = cirq.CZ if len(block.qubits) == 2 else cirq.X
        circuit.append(gate(*(line[q] for q in sorted(block.qubits))).with_tags(number))
    mapper = None if qubits is None else cirq.HardCodedInitialMapper(dict(zip(line, qubits, strict=True)))
    routed, start, _ = cirq.RouteCQC(graph).route_circuit(circuit, tag_inserted_swaps=True, initial_mapper=mapper)
    found, places = [], [start[q] for q in line]
    for operation in routed.all_operations():
        if cirq.RoutingSwapTag() in operation.tags:
            a, b = operation.qubits
            places = [{a: b, b: a}.get(p, p) for p in places]
            found.append(((a, b), None, None))
        else:
            (number,) = operation.tags
            found.append((None, blocks[number], places))
    return found, tuple(start[q] for q in line), places


def _swaps(places, wanted, graph):
    """SWAPs that bring qubits from some places to others: the fewest where a search is short."""
    first, last = tuple(places), tuple(wanted)
    came, waiting = {first: []}, collections.deque([first])
    while waiting and last not in came and len(first) <= _SEARCHED:
        state = waiting.popleft()
        for a, b in map(sorted, graph.edges):
            new = tuple({a: b, b: a}.get(p, p) for p in state)
            if new not in came:
                came[new] = [*came[state], ((a, b), None, None)]
                waiting.append(new)
    return came[last] if last in came else _one_by_one(places, wanted, graph)


def _one_by_one(places, wanted, graph):
    """Each qubit along a shortest path, from the outermost on, past none that is where it belongs."""
    graph, state, swaps = graph.copy(), list(places), []
    while len(graph):
        q = next(q for q in sorted(graph) if len(graph) == 1 or networkx.is_connected(graph.subgraph(set(graph) - {q})))
        path = networkx.shortest_path(graph, state[list(wanted).index(q)], q)
        for a, b in itertools.pairwise(path):
            state = [{a: b, b: a}.get(p, p) for p in state]
            swaps.append(((a, b), None, None))
        graph.remove_node(q)
    return swaps
