"""A simulator whose shots depend on its seed and on the number of the call: a run that resumes gives what an unbroken
one gives, without the calls before."""

from collections.abc import Callable, Sequence

import cirq
import numpy as np

from tfq_qrnn.hw.sampler_info import processor_of, wrapped_samplers


class SeededSampler(cirq.Sampler):
    """A new simulator for each call.

    Args:
        make: Seed -> `cirq.Sampler`.
        seed: An integer, or None for another one each time.
        noise: What a journal knows its noise by, a text; None for none.

    Attributes:
        calls: The number of the next call.
    """

    def __init__(self, make: Callable[[int], cirq.Sampler], seed: int | None = None, noise: str | None = None):
        self.make, self.seed, self.noise, self.calls = make, seed, noise, 0
        self.entropy = np.random.SeedSequence(seed).entropy

    def run_sweep(
        self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1
    ) -> Sequence[cirq.Result]:
        seed = np.random.SeedSequence(self.entropy, spawn_key=(self.calls,)).generate_state(1)[0]
        self.calls += 1
        return self.make(int(seed)).run_sweep(program, params, repetitions)


def seeded_sampler_of(sampler: cirq.Sampler) -> SeededSampler | None:
    """The `SeededSampler` behind a sampler, in a virtual engine, too; None where there is none."""
    inner = wrapped_samplers(sampler) + wrapped_samplers(getattr(processor_of(sampler), "_sampler", None))
    return next((found for found in inner if isinstance(found, SeededSampler)), None)
