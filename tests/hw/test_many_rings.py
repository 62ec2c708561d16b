"""Many sequences at once on disjoint rings: against one ring, an exhaustive search, and what the sampler sees."""

import itertools
import json

import cirq
import keras
import networkx as nx
import numpy as np
import pytest
from hw_oracles import Stub, gate_counts, sequences, small_layer
from matplotlib.figure import Figure

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.factors import InFactors
from tfq_qrnn.hw.rings import coupling_graph
from tfq_qrnn.hw.sharing import shares

WILLOW = "tests/data/willow_pink.proto.txt"
SHOTS = 2000


class Exact(cirq.Sampler):
    """Shots without chance: of each measurement as many as its probability says, from cirq.Simulator.

    They depend on the angles of the ring alone: equal ones give equal shots, wherever and beside whatever they run.
    """

    def __init__(self):
        self.simulator = cirq.Simulator(dtype=np.complex128)
        self.calls = self.points = self.shots = self.most_qubits = 0
        self.circuits = []

    def run_sweep(self, program, params, repetitions=1):
        points = list(cirq.to_resolvers(params))
        self.calls, self.points, self.shots = (
            self.calls + 1,
            self.points + len(points),
            self.shots + len(points) * repetitions,
        )
        self.most_qubits = max(self.most_qubits, len(program.all_qubits()))
        self.circuits.append(program)
        return InFactors(lambda _: _ExactPart(self.simulator)).run_sweep(program, points, repetitions)


class _ExactPart(cirq.Sampler):
    def __init__(self, simulator):
        self.simulator = simulator

    def run_sweep(self, program, params, repetitions=1):
        found = []
        for point in cirq.to_resolvers(params):
            *before, last = cirq.resolve_parameters(program, point)
            (measured,) = last.operations
            order = [*measured.qubits, *sorted(program.all_qubits() - {*measured.qubits})]
            state = self.simulator.simulate(cirq.Circuit(before), qubit_order=order).final_state_vector
            weights = np.sum(np.abs(state.reshape(2 ** len(measured.qubits), -1)) ** 2, axis=1)
            # rounded, so that rings, whose sums are in another order, agree
            bounds = np.round(np.cumsum(weights), 9)
            outcomes = np.searchsorted(bounds, (np.arange(repetitions) + 0.5) / repetitions)
            bits = (outcomes[:, None] >> np.arange(len(measured.qubits))[::-1]) & 1
            found.append(cirq.ResultDict(params=point, measurements={measured.gate.key: bits.astype(np.uint8)}))
        return found


@pytest.fixture(scope="module")
def layer():
    return small_layer(4)


def masked(layer, batch, steps, seed=0):
    """A model with masks, and sequences of all lengths with holes."""
    model = keras.Sequential([keras.Input((steps, 3)), keras.layers.Masking(), layer])
    x, rng = 3 * sequences(batch, steps, seed=seed), np.random.default_rng(seed)  # as different as can be
    mask = rng.random((batch, steps)) < 0.7
    mask[0] = True
    x[~mask] = 0
    return model, x, mask


def fitting(plan):
    """Whether the circuits of a plan's rings have no qubit in common, and run on the device."""
    graph, natives = coupling_graph(plan.device), plan.replays[-1]
    for places in natives.places:
        native = natives.native.moved(places)
        assert all(graph.has_edge(*on) for _, on, _ in native.operations if len(on) == 2)
        assert native.qubits in plan.rings
    assert len({q for places in natives.places for q in places}) == sum(map(len, natives.places))
    plan.device.validate_circuit(plan.circuit(1))
    return True


@pytest.mark.parametrize(
    ("device", "n", "most"), [("weber", 4, 10), ("rainbow", 4, 3), (WILLOW, 4, 24), ("weber", 8, 5)]
)
def test_as_many_rings_as_fit(device, n, most):
    layer = small_layer(n, observables="Z")
    plan = hw.plan(layer, hw.load_device(device), 2, rings="all")
    assert len(plan.rings) == most
    assert fitting(plan)
    assert plan.qubits == plan.rings[0]
    for ring in plan.rings:
        assert all(a.is_adjacent(b) for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
    if device == "rainbow":  # against all sets of its squares
        squares = [{*ring} for ring in nx.simple_cycles(coupling_graph(plan.device), 4)]
        sets = (some for k in (4, 3) for some in itertools.combinations(squares, k))
        assert len(next(some for some in sets if len(set.union(*some)) == 4 * len(some))) == most


def test_the_best_rings_come_first_and_a_number_leaves_out_the_worst(layer):
    plans = {rings: hw.plan(layer, "weber", 2, rings=rings) for rings in (1, 3, "all")}
    rates = plans[1].rates

    def error(ring):
        pairs = zip(ring, ring[1:] + ring[:1], strict=True)
        return sum(sum(rates.readout[q]) / 2 for q in ring) + sum(2 * rates.two_qubit[frozenset(p)] for p in pairs)

    errors = {rings: [error(ring) for ring in plan.rings] for rings, plan in plans.items()}
    assert plans[3].qubits == plans[1].qubits  # the best one of all is among the best three
    assert max(errors[3]) < np.median(errors["all"])
    assert errors["all"][0] < np.mean(errors["all"]) < errors["all"][-1]
    signal = [plans[rings].cost(1, 10).signal[-1] for rings in (1, 3, "all")]
    assert signal[0] > signal[2]
    # at the qubits that are asked for, or where the program stands, the first one stays
    asked = hw.plan(layer, "weber", 2, rings=4, qubits=plans["all"].rings[-1])
    assert asked.qubits == plans["all"].rings[-1]
    assert fitting(asked)


@pytest.mark.parametrize("rings", [2, 3, "all"])
def test_rings_give_what_one_gives_and_each_sequence_has_its_row(layer, rings):
    """Without chance in the shots; sequences of all lengths, each unlike all others."""
    model, x, mask = masked(layer, 8, 3)
    one, many = Exact(), Exact()
    first = hw.plan(model, "weber", 3).run(x, one, SHOTS, progress=False)
    plan = hw.plan(model, "weber", 3, rings=rings)
    result = plan.run(x, many, SHOTS, progress=False)
    # a shot in 2,000 may fall to the other side of a bound, and feedback follows it
    np.testing.assert_allclose(result.readouts, first.readouts, atol=10 / SHOTS)
    np.testing.assert_allclose(result.outputs, first.outputs, atol=10 / SHOTS)
    finals = first.readouts[:, -1]
    others = np.linalg.norm(finals[:, None] - finals, axis=-1) + 10 * np.eye(len(finals))
    assert others.min() > 0.2  # a swap would be seen
    said = plan.cost(SHOTS, mask=mask)
    assert (said.jobs, said.circuits, said.shots) == (many.calls, many.points, many.shots)
    count = len(plan.rings)
    assert many.points == 3 * sum(-(-int(number) // count) for number in mask.sum(0))
    assert one.points == 3 * mask.sum()
    assert many.calls <= one.calls
    assert many.most_qubits == 4 * said.rings == 4 * result.cost.rings
    assert max(sweep.qubits for sweep in said.sweeps) == many.most_qubits
    assert max(sweep.depth for sweep in said.sweeps) == max(len(circuit) for circuit in many.circuits)


def test_a_batch_takes_no_more_circuits_and_rings_than_it_needs(layer):
    plan = hw.plan(layer, "weber", 2, rings="all", points_per_job=4)
    for batch, circuits, used in ((1, 1, 1), (7, 1, 7), (10, 1, 10), (11, 2, 6), (25, 3, 9), (1_000_001, 100_001, 10)):
        cost = plan.cost(100, batch)
        assert (cost.circuits, cost.rings) == (2 * 3 * circuits, used)
        assert cost.shots == 100 * cost.circuits
    sampler = Exact()
    result = plan.run(sequences(11, 2), sampler, 10, progress=False)
    assert (sampler.calls, sampler.points) == (result.cost.jobs, result.cost.circuits) == (4, 12)
    assert "4 jobs, 12 circuits, 120 shots, on 6 rings at once" in str(result.cost)
    counts = [gate_counts(circuit[:-2]) for circuit in sampler.circuits]
    assert [tuple(np.array(count) // [1, 6, 6]) for count in counts[::2]] == [
        (depth, ones, twos)
        for depth, ones, twos in zip(
            result.cost.depth, result.cost.one_qubit_gates, result.cost.two_qubit_gates, strict=True
        )
    ]


@pytest.mark.parametrize("seed", range(20))
def test_shares_hold_each_sequence_once(seed):
    rng = np.random.default_rng(seed)
    rings, lengths = int(rng.integers(1, 9)), rng.integers(1, 6, rng.integers(1, 40))
    groups = [(int(steps), int(np.sum(lengths == steps))) for steps in np.unique(lengths)]
    found, order = shares(groups, rings), sorted(lengths.tolist(), reverse=True)
    members = [(share.timesteps[ring], i) for share in found for ring, part in enumerate(share.members) for i in part]
    assert sorted(i for _, i in members) == list(range(len(lengths)))
    assert all(order[i] == steps for steps, i in members)
    assert sum(share.points for share in found) == -(-len(lengths) // rings)
    assert len(found) <= len(groups)
    assert all([*share.timesteps] == sorted(share.timesteps, reverse=True) for share in found)
    assert all(len(part) <= share.points for share in found for part in share.members)


def test_readout_errors_of_each_ring(layer, tmp_path):
    """Each ring has flips of its own; all are measured in the same 16 circuits, and undone."""
    plan = hw.plan(layer, "weber", 2, rings=3, mitigate_readout=True)
    flips = {q: 0.02 * number for ring, number in zip(plan.rings, (1, 4, 8), strict=True) for q in ring}

    class Flipping(Stub):
        def run_sweep(self, program, params, repetitions=1):
            rng, found = np.random.default_rng(self.calls), []
            qubits = {cirq.measurement_key_name(o): o.qubits for o in program[-1].operations}
            for result in super().run_sweep(program, params, repetitions):
                records = {
                    key: bits ^ (rng.random(bits.shape) < [flips[q] for q in qubits[key]])
                    for key, bits in result.measurements.items()
                }
                found.append(cirq.ResultDict(params=result.params, measurements=records))
            return found

    sampler, x = Flipping(), sequences(6, 2)
    result = plan.run(x, sampler, 20_000, calibration_repetitions=5000, progress=False)
    assert sampler.calls == result.cost.jobs == 1 + 2
    assert result.cost.circuits == 16 + 2 * 2 * 3
    for number, errors in zip((1, 4, 8), result.ring_errors, strict=True):
        # 40,000 shots of each value: five standard deviations
        np.testing.assert_allclose(errors.e0, 0.02 * number, atol=5 * np.sqrt(0.16 * 0.84 / 40_000))
        np.testing.assert_allclose(errors.e1, 0.02 * number, atol=5 * np.sqrt(0.16 * 0.84 / 40_000))
    # 0.012 a shot noise divided by a contrast of 0.68; two steps; without mitigation it is 0.2
    np.testing.assert_allclose(result.readouts, layer(x), atol=0.1)
    again = hw.Result.load(result.save(tmp_path / "result.npz"))
    assert repr(again) == repr(result)
    for one, other in zip(result.ring_errors, again.ring_errors, strict=True):
        np.testing.assert_array_equal(one.e0, other.e0)
        np.testing.assert_array_equal(one.shots.covariances, other.shots.covariances)


def test_a_run_goes_on_in_its_own_rings(layer, tmp_path):
    """Killed after the second job; the next day's calibration says the contrary of the first one's."""
    x, journal = sequences(5, 3), tmp_path / "journal"
    plan = hw.plan(layer, "weber", 3, rings=3)
    whole = plan.run(x, Exact(), 100, journal=journal, progress=False)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]))
    worse = {pair: 0.1 - error for pair, error in plan.rates.two_qubit.items()}
    rates = hw.ErrorRates(plan.rates.one_qubit, worse, plan.rates.readout, "CZ")
    tomorrow = hw.plan(layer, "weber", 3, rings=3, calibration=rates)
    assert {*tomorrow.rings} != {*plan.rings}
    sampler = Exact()
    again = tomorrow.run(x, sampler, 100, journal=journal, progress=False)
    assert sampler.calls == 1
    assert set(sampler.circuits[0].all_qubits()) <= {q for ring in plan.rings for q in ring}
    np.testing.assert_array_equal(again.readouts, whole.readouts)
    header = json.loads(lines[0])["record"]
    assert len(header["rings"][0]) == 3
    for rings in (1, 2):
        with pytest.raises(ValueError, match=r"`journal` must be of the same .* differs in .*rings"):
            hw.plan(layer, "weber", 3, rings=rings).run(x, Exact(), 100, journal=journal, progress=False)


def test_simulators_get_one_ring_at_a_time(layer):
    """Of forty qubits; the shots of rings with equal angles are independent."""
    plan, x = hw.plan(layer, "weber", 1, rings="all"), np.repeat(sequences(1, 1), 10, axis=0)
    for sampler in (
        hw.sampler("virtual", "weber", seed=0),
        cirq.Simulator(seed=0),
        cirq.DensityMatrixSimulator(seed=0),
    ):
        result = plan.run(x, sampler, 1000, progress=False)
        assert result.cost.circuits == 3
        pulls = (result.readouts - result.exact) / result.standard_errors
        assert np.abs(pulls).max() < 5
        assert np.ptp(result.readouts, axis=0).min() >= 0
        assert np.median(np.ptp(result.readouts, axis=0)) > 0.02  # ten equal rows would be one seed for all
    # a run that goes on: shots depend on the seed and on the ring
    first, second = (plan.run(x, hw.sampler("virtual", "weber", seed=4), 50, progress=False) for _ in range(2))
    np.testing.assert_array_equal(first.readouts, second.readouts)


def test_circuits_that_do_not_fall_apart_go_to_the_simulator_whole():
    a, b = cirq.LineQubit.range(2)
    sampler = hw.sampler("simulator", seed=0)
    twice = cirq.Circuit(cirq.X(b), cirq.measure(a, key="m"), cirq.measure(b, key="m"))  # one key, on two parts
    np.testing.assert_array_equal(sampler.run(twice, repetitions=2).records["m"], [[[0], [1]]] * 2)
    with pytest.raises(ValueError, match="no measurements"):
        sampler.run(cirq.Circuit(cirq.X(a), cirq.X(b)))


def test_stacks_decoupling_and_both_directions_on_rings():
    inputs, x = keras.Input((2, 3)), sequences(4, 2)
    both = keras.layers.Bidirectional(small_layer(2, return_sequences=True))(inputs)
    model = keras.Model(inputs, small_layer(3, features=12, return_sequences=False)(both))
    settings = {"mitigation": hw.Mitigation(decouple=True), "points_per_job": 3}
    one, many = Exact(), Exact()
    first = hw.plan(model, "weber", 2, **settings).run(x, one, SHOTS, progress=False)
    plan = hw.plan(model, "weber", 2, rings=4, **settings)
    result = plan.run(x, many, SHOTS, progress=False)
    np.testing.assert_allclose(result.outputs, first.outputs, atol=20 / SHOTS)
    assert [len(replay.places) for replay in plan.replays] == [4, 4, 4]
    assert (many.points, one.points) == (result.cost.circuits, first.cost.circuits) == (3 * 2 * 3, 3 * 2 * 3 * 4)
    assert "on 4 rings" in repr(plan)


def test_exports_and_pictures(layer, tmp_path):
    plan = hw.plan(layer, "weber", 1, rings=3)
    exported = hw.load(plan.export(tmp_path / "circuits"))
    assert exported.qubits == plan.qubits
    assert exported.programs[0].all_qubits() == {*plan.qubits}
    ax = tfq_qrnn.plotting.placement(plan, ax=Figure().subplots())
    at = {text.get_position(): text.get_text() for text in ax.texts}
    assert [[at[q.col, q.row] for q in ring] for ring in plan.rings] == [["0", "1", "2", "3"]] * 3
    assert ax.get_title() == "3 rings of 4 qubits, 8 CZ in a time step"


@pytest.mark.parametrize("circuit", ["chain", "star", "alone", "apart"])
def test_any_other_circuit_has_its_copies(circuit):
    line = cirq.LineQubit.range(4)
    pairs = {
        "chain": [(0, 1), (1, 2), (2, 3)],
        "star": [(0, 1), (0, 2), (0, 3)],
        "alone": [],
        "apart": [(0, 1), (2, 3)],
    }
    made = cirq.Circuit([cirq.ry(0.3)(q) for q in line], [cirq.CZ(line[a], line[b]) for a, b in pairs[circuit]])
    layer = tfq_qrnn.QRNN(circuit=tfq_qrnn.CircuitAnsatz(made), observables="Z", controller=())
    plan = hw.plan(layer, "rainbow", 1, rings="all")
    assert fitting(plan)
    assert len(plan.rings) >= (5 if circuit == "alone" else 4)  # of 23 qubits


def test_refusals(layer):
    for device, rings, message in (
        (
            "weber",
            11,
            "`rings` must be at most 10: no more places of 4 qubits fit the device side by side, but it is 11",
        ),
        ("weber", 0, "`rings` must be an integer of 1 or more, but it is 0"),
        ("weber", "most", "`rings` must be one of 'all', but it is 'most'"),
        (None, 2, "`rings` must be 1 without a device"),
    ):
        with pytest.raises(ValueError, match=message):
            hw.plan(layer, device, 1, rings=rings)
    with pytest.raises(TypeError, match="`rings` must be an integer of 1 or more"):
        hw.plan(layer, "weber", 1, rings=2.0)
