"""A job: a circuit and a sweep for a sampler, and what makes shots of its results."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable

import cirq
import numpy as np

from tfq_qrnn._errors import argument_error


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One call of a sampler.

    Attributes:
        description: JSON-able; which job of the run it is.
        circuit: A function that gives the circuit, with symbols.
        names, values: The symbols and their values, `(points, symbols)`.
        repetitions: Shots of each point.
        keys: Measurement key -> number of its qubits.
        angles: Those of the last time step, by which a journal tells that it was measured where this run is.
    """

    description: dict
    circuit: Callable[[], cirq.Circuit]
    names: tuple[str, ...]
    values: np.ndarray
    repetitions: int
    keys: dict[str, int]
    angles: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of its shots: `(points, repetitions, qubits)`, the qubits of all keys one after the other."""
        return len(self.values), self.repetitions, sum(self.keys.values())

    @functools.cached_property
    def sweep(self) -> cirq.Sweep:
        """A Zip of Points: dicts would be nested as deep as there are symbols, and take twice the bytes."""
        if not self.names:
            return cirq.ListSweep([{}] * len(self.values))
        return cirq.Zip(*map(cirq.Points, self.names, self.values.T.tolist()))

    def bits(self, results: Iterable[cirq.Result]) -> np.ndarray:
        """The shots of a sampler's results, uint8 of `shape`, matched by their params; ValueError for any others."""
        points, repetitions, _ = self.shape

        def refuse(given):
            wanted = " and ".join(f"{key!r} of shape ({repetitions}, {size})" for key, size in self.keys.items())
            sizes = " or ".join(map(str, sorted({*self.keys.values()})))
            shown = wanted if len(self.keys) < 4 else f"{len(self.keys)} keys, each of shape ({repetitions}, {sizes})"
            return argument_error("sampler", f"return {points} results, each with the key {shown} in 0 and 1", given)

        if not isinstance(results, Iterable):
            raise refuse(f"it returned {type(results).__name__}")
        results = list(results)
        if len(results) != points:
            raise refuse(f"it returned {len(results)} results")
        # Google's engine has the values as float32. Equal points may take each other's shots.
        places = collections.defaultdict(collections.deque)
        for place, row in enumerate(self.values.astype(np.float32)):
            places[row.tobytes()].append(place)
        bits = np.empty(self.shape, np.uint8)
        for number, result in enumerate(results):
            measurements = getattr(result, "measurements", None)
            if measurements is None:
                raise refuse(f"result {number} is of type {type(result).__name__}")
            if {*measurements} != {*self.keys}:
                raise refuse(f"result {number} has the keys {sorted(measurements)}")
            shots = [np.asarray(measurements[key]) for key in self.keys]
            for array, size in zip(shots, self.keys.values(), strict=True):
                if array.shape != (repetitions, size):
                    raise refuse(f"result {number} has the shape {array.shape}")
                if not np.isin(array, (0, 1)).all():
                    raise refuse(f"result {number} holds other numbers")
            place = places[self._point(result)]
            if not place:
                raise refuse(f"result {number} has params of no point, or of one that came twice")
            bits[place.popleft()] = np.concatenate(shots, axis=1)
        return bits

    def _point(self, result):
        try:
            given = {str(name): value for name, value in result.params.param_dict.items()}
            return np.array([given[name] for name in self.names], np.float32).tobytes()
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
