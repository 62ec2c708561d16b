"""Where on the chip a circuit goes, and what runs there.

A program on qubits that fit the device stays there. Any other goes where each of its pairs has a coupler: a ring, a
chain, or a subgraph that networkx matches. Where there is no such place, several are tried in several ways (see
`routing`), `cirq.RouteCQC` among them. The fewest CZ win, then the least error by the calibration.
"""

import itertools
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cirq
import networkx

from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.hw.devices import as_device, as_qubits, check_gates
from tfq_qrnn.hw.error_rates import ErrorRates, rates_of
from tfq_qrnn.hw.matching import Profile, Scores, best_match, depth, near_places, stays
from tfq_qrnn.hw.native_forms import native_forms
from tfq_qrnn.hw.rings import coupling_graph, find_chain, find_ring, place_ring
from tfq_qrnn.hw.routing import in_place, route_by_cirq
from tfq_qrnn.program import GateProgram

if TYPE_CHECKING:
    from cirq_google import Calibration


def place(
    program: GateProgram,
    device: str | pathlib.Path | cirq.Device | None,
    qubits: Sequence[cirq.Qid] | None = None,
    calibration: "Calibration | ErrorRates | None" = None,
) -> tuple[cirq.Qid, ...]:
    """The qubits of a device on which a program takes the fewest CZ, and among those the best by a calibration.

    Args:
        program: A `GateProgram`.
        device: A `cirq_google.GridDevice`, the name of a processor or a path; None couples every pair.
        qubits: Where the program's qubits must go, in its order: they are checked and returned.
        calibration: A `cirq_google.Calibration`; `calibration_of` finds one. Errors of two-qubit and one-qubit gates
            and decay by T1 count as often as a time step has them, readout errors once. Qubits and couplers that it
            does not list are left out, but for a program that stays where it is.

    Returns:
        A tuple of qubits in the program's order. A program on qubits of the device whose pairs are coupled stays there.

    Raises:
        ValueError: The qubits are too few, too many or not on the device, the device has too few, or it has no CZ.

    >>> a, b, c = cirq.LineQubit.range(3)
    >>> star = tfq_qrnn.GateProgram(cirq.Circuit(cirq.CZ(a, b), cirq.CZ(a, c)))
    >>> center, *others = tfq_qrnn.hw.placement.place(star, "weber")
    >>> all(center.is_adjacent(q) for q in others)
    True
    """
    return place_and_compile(program, device, qubits, calibration)[0]


def place_and_compile(
    program: GateProgram,
    device: str | pathlib.Path | cirq.Device | None,
    qubits: Sequence[cirq.Qid] | None = None,
    calibration: "Calibration | ErrorRates | None" = None,
) -> tuple[tuple[cirq.Qid, ...], str | None, list]:
    """`place`, and what runs there: `(qubits, routing, operations)`."""
    if not isinstance(program, GateProgram):
        raise argument_type_error("program", "be a tfq_qrnn.GateProgram", program)
    device, rates = as_device(device), None if calibration is None else rates_of(calibration)
    graph, given = coupling_graph(device), qubits is not None
    if qubits is not None:
        qubits = as_qubits("qubits", qubits)
        if len(qubits) != program.n_qubits or len(set(qubits)) != len(qubits):
            raise argument_error(
                "qubits", f"be {program.n_qubits} different qubits", f"it is {', '.join(map(str, qubits))}"
            )
    ways = native_forms(program)
    if graph is None:
        return _cheapest(ways, program.qubits if qubits is None else qubits)
    check_gates(device)
    if qubits is not None and (strangers := [q for q in qubits if q not in graph]):
        raise argument_error("qubits", "be on the device", f"{', '.join(map(str, strangers))} is not")
    _, _, operations = _cheapest(ways, range(program.n_qubits))
    profile, scores = Profile(program.n_qubits, operations), Scores(graph, None if given else rates)
    if not given and stays(profile, program.qubits, graph):
        qubits, scores = program.qubits, Scores(graph, None)
    starts = _candidates(profile, scores) if qubits is None else [qubits]
    found = [
        (start, *way) for form, start in itertools.product(ways, starts) for way in in_place(form, start, scores.graph)
    ]
    if all(routing is not None for _, routing, _ in found):
        # From our best places, and where Cirq would start itself.
        for form, start in itertools.product(ways, starts if given else [*starts, None]):
            found += route_by_cirq(form, program.n_qubits, scores.graph, start)
    if not found:
        if qubits is not None:
            raise argument_error(
                "qubits", "be connected by couplers of the device", f"no path joins {', '.join(map(str, qubits))}"
            )
        place_ring(device, program.n_qubits, rates)  # its message says what fits
        raise argument_error("device", f"join {program.n_qubits} qubits by couplers", "it has fewer that are joined")
    return min(found, key=lambda way: _key(way, scores))


def _cheapest(forms, qubits):
    """What the forms of a program make where every pair is coupled; the first one on a tie."""
    ways = [(qubits, *way) for form in forms for way in in_place(form, qubits, None)]
    return min(ways, key=_key)


def _key(way, scores=None):
    qubits, _, operations = way
    count = sum(kind == "CZ" for kind, _, _ in operations)
    error = 0.0 if scores is None else scores.of_operations(qubits, operations)
    return count, error, depth(operations), len(operations)


def _candidates(profile, scores):
    """Where to try: one place if every pair has its coupler there, else some that are near to that."""
    found = list(_along_a_ring(profile, scores))
    if not any(stays(profile, places, scores.graph) for places in found):
        match = best_match(profile, scores)
        found += [] if match is None else [match]
    fitting = [places for places in found if stays(profile, places, scores.graph)]
    if fitting:
        return [min(fitting, key=lambda places: scores.error(profile, places))]
    return [*found, *near_places(profile, scores, found)[:2]]


def _along_a_ring(profile, scores):
    """Rings and chains of the chip for a circuit whose pairs form a ring or chains, in all orders that serve."""
    graph, n = profile.graph, profile.n
    if not graph.edges or max(degree for _, degree in graph.degree) > 2:
        return
    closed = networkx.is_connected(graph) and graph.number_of_edges() == n > 2
    order = []
    for part in map(graph.subgraph, networkx.connected_components(graph)):
        ends = [i for i in part if part.degree(i) < 2] or list(part)
        order += networkx.dfs_preorder_nodes(part, min(ends), sort_neighbors=sorted)
    weights = profile.weights()
    rings = [find_ring(scores.graph, scores.rates, n, *weights)]
    if not closed:
        rings.append(find_chain(scores.graph, scores.rates, n, *weights))
    for ring in filter(None, rings):
        turned = [ring[i:] + ring[:i] for i in range(n)] if closed and n % 2 == 0 else [ring]
        for places in turned:
            for way in (places, places[:1] + places[:0:-1] if closed and n % 2 == 0 else places[::-1]):
                at = dict(zip(order, way, strict=True))
                yield tuple(at[i] for i in range(n))
