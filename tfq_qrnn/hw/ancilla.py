"""Readout by an ancilla, in the middle of a circuit, at an adjustable strength.

The ancilla starts in |0>. RY(pi/2), CZ, RY(-theta), CZ on it and a memory qubit q, then measure it:

    <Z of the ancilla> = sin(theta) <Z of q>;  q keeps <Z>, and <X>, <Y> shrink by cos(theta)

for CZ RY(-theta) CZ is exp(i theta/2 Y Z). With q turned before and back after, the same holds for X and Y. At
theta = pi/2 it is a projective measurement; a weak one disturbs little, and takes 1/sin^2(theta) times the shots. Where
a qubit is read in several Paulis, one after the other, each finds its own shrunk by the cos(theta) of those before it
in the same step; this factor is known, and divided out. What the readouts of earlier steps did to the memory is not.

No reset is needed, which Google's devices refuse in mid-circuit: an ancilla that was read as 1 starts the next readout
in |1>, which turns the sign of its outcome and nothing else.

A neural controller does not run on the device, so that the loop still starts at |0...0> for each time step. What the
ancilla saves are the settings: one circuit reads X, Y and Z of every qubit, and disturbs the memory for all later
steps.
"""

import contextlib
import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence

import cirq
import networkx
import numpy as np

from tfq_qrnn._checks import check_choice, check_number
from tfq_qrnn._errors import argument_error, argument_type_error, counted
from tfq_qrnn.hw.compile import compile_program
from tfq_qrnn.hw.devices import as_device, as_qubits
from tfq_qrnn.hw.emitter import TURN_TO_Z, phased_xz
from tfq_qrnn.hw.jobs import Job
from tfq_qrnn.hw.rings import coupling_graph, place_ring, rings
from tfq_qrnn.observables import pauli_action
from tfq_qrnn.program import GateProgram


def _check_strength(strength):
    strength = check_number("strength", strength)
    if not 0 < strength <= math.pi / 2:
        raise argument_error("strength", "be above 0 and at most pi/2", f"it is {strength:g}")
    return strength


def weak_readout(pauli: str, memory: cirq.Qid, ancilla: cirq.Qid, strength: float, key: str) -> cirq.Circuit:
    """Circuit of one readout of a memory qubit by an ancilla, in gates of Google's processors.

    Args:
        pauli: "X", "Y" or "Z".
        memory, ancilla: Two coupled qubits.
        strength: theta in radians, above 0 and at most pi/2.
        key: Key of the ancilla's measurement.

    Raises:
        ValueError, TypeError: An argument is out of its range.

    >>> a, b = cirq.GridQubit.rect(1, 2)
    >>> circuit = tfq_qrnn.hw.weak_readout("Z", a, b, strength=np.pi / 2, key="r")
    >>> print(cirq.Simulator().run(cirq.Circuit(cirq.X(a)) + circuit, repetitions=4))
    r=1111
    """
    check_choice("pauli", pauli, ("X", "Y", "Z"))
    for name, qubit in (("memory", memory), ("ancilla", ancilla)):
        as_qubits(name, [qubit])
    if memory == ancilla:
        raise argument_error("ancilla", "be another qubit than the memory's", f"both are {memory}")
    if not isinstance(key, str):
        raise argument_type_error("key", "be a text", key)
    turns = _check_strength(strength) / math.pi
    circuit = cirq.Circuit(phased_xz(0.5, 0.5).on(ancilla))
    if pauli != "Z":
        turn, phase = TURN_TO_Z[pauli]
        circuit.append(phased_xz(turn, phase).on(memory))
    circuit.append([cirq.CZ(ancilla, memory), phased_xz(-turns, 0.5).on(ancilla), cirq.CZ(ancilla, memory)])
    if pauli != "Z":
        circuit.append(phased_xz(-turn, phase).on(memory))
    circuit.append(cirq.measure(ancilla, key=key))
    return circuit


def place_ancillas(device: cirq.Device | None, qubits: Sequence[cirq.Qid]) -> tuple[cirq.Qid, ...]:
    """A free neighbour for each qubit, all different; named qubits where the device is None."""
    graph = coupling_graph(device)
    if graph is None:
        return tuple(cirq.NamedQubit(f"ancilla {i}") for i in range(len(qubits)))
    couplers = networkx.Graph()
    couplers.add_nodes_from(range(len(qubits)))
    couplers.add_edges_from((i, a) for i, q in enumerate(qubits) for a in graph[q] if a not in qubits)
    ancillas = networkx.bipartite.maximum_matching(couplers, top_nodes=range(len(qubits)))
    if missing := [q for i, q in enumerate(qubits) if i not in ancillas]:
        raise argument_error("qubits", "each have a free neighbour", f"{', '.join(map(str, missing))} has none")
    return tuple(ancillas[i] for i in range(len(qubits)))


def _place_beside_free_qubits(device, n):
    """The first ring whose qubits have free neighbours; where there is none, any."""
    graph = coupling_graph(device)
    if n % 2 == 0 and 4 <= n <= 12:
        for ring in rings(graph, n):
            with contextlib.suppress(ValueError):
                place_ancillas(device, ring)
                return tuple(ring)
    return place_ring(device, n)


class AncillaLoop:
    """The circuits of a loop that is read by ancillas.

    Args:
        program: A `GateProgram` whose observables are single Paulis of single qubits, such as "XYZ".
        strength: theta in radians.
        device: A device; None couples every pair.
        qubits: Qubits of the device; by default a ring.

    Raises:
        ValueError: Another observable, or no room for the ancillas.

    >>> program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(2), observables="Z")
    >>> loop = tfq_qrnn.hw.AncillaLoop(program, strength=0.4)
    >>> loop
    AncillaLoop(2 observables at strength 0.4, by ancilla 0, ancilla 1)
    >>> print(np.round(loop.scales, 3))  # sin(0.4): what an ancilla sees of <Z>
    [0.389 0.389]
    """

    def __init__(
        self,
        program: GateProgram,
        strength: float,
        device: str | pathlib.Path | cirq.Device | None = None,
        qubits: Sequence[cirq.Qid] | None = None,
    ):
        self.program, self.strength = program, _check_strength(strength)
        device = as_device(device)
        if qubits is None and device is not None:
            qubits = _place_beside_free_qubits(device, program.n_qubits)
        self.native = compile_program(program, device, qubits)
        if self.native.relays:
            raise argument_error(
                "qubits", "be coupled as the circuit is", "it needs relays, which the ancillas disturb"
            )
        self.ancillas = place_ancillas(device, self.native.qubits)
        self.readings = []  # (qubit index, letter, coefficient) per observable
        self.scales = []  # what an observable of 1 gives on its ancilla
        for terms in program.readout_terms:
            if len(terms) != 1 or len(terms[0][1]) != 1:
                raise argument_error(
                    "observables", "be Paulis of one qubit each to be read by ancillas", "one of them is another"
                )
            ((coefficient, ((index, letter),)),) = terms
            others = {p for q, p, _ in self.readings if q == index and p != letter}
            self.scales.append(math.sin(self.strength) * math.cos(self.strength) ** len(others))
            self.readings.append((index, letter, coefficient))
        if min(self.scales) < 1e-6:
            raise argument_error(
                "strength",
                "be below pi/2 where a qubit is read in several Paulis",
                "the first leaves nothing of the rest",
            )

    def __repr__(self) -> str:
        ancillas = ", ".join(map(str, self.ancillas))
        return f"AncillaLoop({counted(len(self.readings), 'observable')} at strength {self.strength:g}, by {ancillas})"

    def circuit(self, timesteps: int) -> cirq.Circuit:
        """Time steps 1..timesteps with their readouts; the key of observable k at step t is "r_{t}_{k}"."""
        circuit = cirq.Circuit()
        for t in range(timesteps):
            circuit += self.native.step(t)
            circuit += cirq.Circuit(
                weak_readout(
                    letter, self.native.qubits[q], self.ancillas[q], self.strength, f"r_{t:04}_{k:03}"
                ).all_operations()
                for k, (q, letter, _) in enumerate(self.readings)
            )
        return circuit

    def estimate(self, measurements: Mapping[str, np.ndarray], t: int) -> tuple[np.ndarray, np.ndarray]:
        """Readouts of time step `t` and their standard errors, from a result's measurements."""
        means = []
        for k, (qubit, *_) in enumerate(self.readings):
            sign = 1.0 - 2.0 * measurements[f"r_{t:04}_{k:03}"][:, 0]
            before = [j for j in range(k) if self.readings[j][0] == qubit]
            last = (t, before[-1]) if before else (t - 1, max(j for j, r in enumerate(self.readings) if r[0] == qubit))
            if last[0] >= 0:  # the ancilla started as it was read the last time
                sign = sign * (1.0 - 2.0 * measurements[f"r_{last[0]:04}_{last[1]:03}"][:, 0])
            means.append(sign.mean())
        return self._readouts(means, len(sign))

    def measured(self, t: int, members: list, angles: list, repetitions: int, send: Callable) -> list:
        """Readouts and standard errors of a time step, as `models.Loop.close` takes them; `send` sends jobs."""
        jobs = []
        for group, rows in zip(members, angles, strict=True):
            steps, points = rows.shape[1], [self.native.half_turns(of_one) for of_one in rows]
            values = np.array([list(point.values()) for point in points]).reshape(len(points), -1)
            circuit = functools.partial(self.circuit, steps)
            keys = {f"r_{step:04}_{k:03}": 1 for step in range(steps) for k in range(len(self.readings))}
            description = describe(t, steps, group)
            jobs.append(Job(description, circuit, tuple(points[0]), values, repetitions, keys, rows[:, -1]))
        found = []
        for job, bits in zip(jobs, send(jobs), strict=True):
            keyed = [dict(zip(job.keys, shots.T[:, :, None], strict=True)) for shots in bits]
            found.append(_stacked(self.estimate(of_one, job.description["timesteps"] - 1) for of_one in keyed))
        return found

    def estimates(self, rows: np.ndarray, repetitions: int, rng: np.random.Generator) -> tuple:
        """The same by `trajectories`, of sequences with equally many steps."""
        return _stacked(self.trajectories(angles, repetitions, rng) for angles in rows)

    def _readouts(self, means, repetitions):
        """From the mean outcomes of the ancillas; the variance of one is taken as 1, its greatest."""
        coefficients = np.array([coefficient for *_, coefficient in self.readings])
        return coefficients * means / self.scales, np.abs(coefficients) / self.scales / math.sqrt(repetitions)

    def trajectories(
        self, angles: np.ndarray, repetitions: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Simulated shots of one sequence: readouts of its last step and standard errors.

        Each shot is a statevector, which every readout changes as the ancilla's outcome s has it:
        K_s = sqrt((1 + s sin(theta))/2) (1 + P)/2 + sqrt((1 - s sin(theta))/2) (1 - P)/2.
        """
        n, sine = self.program.n_qubits, math.sin(self.strength)
        more, less = math.sqrt((1 + sine) / 2), math.sqrt((1 - sine) / 2)
        states = np.zeros((repetitions, 2**n), np.complex128)
        states[:, 0] = 1
        paulis = [pauli_action(((qubit, letter),), n) for qubit, letter, _ in self.readings]
        for row in angles:
            unitary = self.program.resolve(row).unitary(qubit_order=self.program.qubits)
            states = states @ unitary.T
            means = []
            for index, phase in paulis:
                turned = states[:, index] * phase
                expected = np.sum(states.conj() * turned, axis=1).real
                sign = np.where(rng.random(repetitions) < (1 + sine * expected) / 2, 1.0, -1.0)[:, None]
                states = (more + less) / 2 * states + sign * (more - less) / 2 * turned
                states /= np.linalg.norm(states, axis=1, keepdims=True)
                means.append(sign.mean())
        return self._readouts(means, repetitions)


def _stacked(pairs):
    return tuple(map(np.stack, zip(*pairs, strict=True)))


def describe(t: int, timesteps: int, members: list[int]) -> dict:
    """Which job of a run it is."""
    return {"kind": "ancillas", "step": t, "timesteps": timesteps, "sequences": members}
