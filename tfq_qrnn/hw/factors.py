"""Simulators of circuits that fall apart: rings that nothing couples are simulated one after the other."""

from collections.abc import Callable, Sequence

import cirq
import numpy as np


class InFactors(cirq.Sampler):
    """Samples each part of a circuit, that no gate and no measurement joins with the others, by a simulator of its own.

    So ten rings of four qubits take ten times a simulation of four qubits, and not one of forty. A circuit of one part
    goes to the simulator as it is.

    Args:
        make: Seed -> `cirq.Sampler`.
        seed: Of the first part; those of the others come from it.

    >>> qubits = cirq.LineQubit.range(60)
    >>> circuit = cirq.Circuit(cirq.H.on_each(*qubits), [cirq.measure(q, key=str(q)) for q in qubits])
    >>> sampler = tfq_qrnn.hw.factors.InFactors(lambda seed: cirq.Simulator(seed=seed, split_untangled_states=False))
    >>> len(sampler.run(circuit, repetitions=3).measurements)
    60
    """

    def __init__(self, make: Callable[[int], cirq.Sampler], seed: int = 0):
        self.make, self.seed = make, seed

    def run_sweep(
        self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1
    ) -> Sequence[cirq.Result]:
        factors = [program] if cirq.control_keys(program) else list(program.factorize())
        measured = sorted(
            (part for part in factors if part.has_measurements()), key=lambda part: min(part.all_qubits())
        )
        keys = [cirq.measurement_key_names(part) for part in measured]
        if len(factors) == 1 or not keys or len(frozenset().union(*keys)) < sum(map(len, keys)):  # or a key is shared
            return self.make(self.seed).run_sweep(program, params, repetitions)
        points = list(cirq.to_resolvers(params))
        more = np.random.SeedSequence(self.seed).generate_state(len(measured) - 1).tolist()
        found: list[dict] = [{} for _ in points]
        for part, seed in zip(measured, [self.seed, *more], strict=True):
            for records, result in zip(found, self.make(seed).run_sweep(part, points, repetitions), strict=True):
                records.update(result.records)
        return [cirq.ResultDict(params=point, records=of_one) for point, of_one in zip(points, found, strict=True)]


def in_factors(sampler: cirq.Sampler) -> cirq.Sampler:
    """A simulator of Cirq's kind, such as `cirq.Simulator`, by parts; any other sampler as it is."""
    return InFactors(lambda _: sampler) if isinstance(sampler, cirq.SimulatesSamples) else sampler
