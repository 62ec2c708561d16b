"""Constants in float32 that keep the norm.

A constant is rounded in the same way at every step, so that what the norm of its result is off by adds up over a
sequence: rounded to the nearest, a gate moves the norm by some 3e-8 a step. native/program.cc does the same.
"""

import numpy as np
from numpy.typing import DTypeLike

_FARTHEST = 5e-7  # a phase is turned by so much at most
_TURN_COSTS = 2e-3  # in units of the norm: no turn that wins nothing
_SCALES = 1 + 2e-9 * np.array(sorted(range(-50, 51), key=abs))


def round_phases(phases: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Complex numbers of modulus 1, `(n,)`, rounded so that each has a modulus as near to 1 as it can have.

    The lesser of its two parts makes up for the rounding of the greater one.
    """
    rounded = phases.astype(dtype)
    if rounded.dtype == np.complex128:
        return rounded
    real = rounded.real.dtype
    imaginary_is_greater = np.abs(phases.real) < np.abs(phases.imag)
    greater, lesser = (
        np.where(imaginary_is_greater, *parts) for parts in ((phases.imag, phases.real), (phases.real, phases.imag))
    )
    best, least = (greater.astype(real), lesser.astype(real)), np.inf

    def cost(x, y):
        return np.abs(x.astype(np.float64) ** 2 + y.astype(np.float64) ** 2 - 1) + _TURN_COSTS * np.abs(y - lesser)

    least = cost(*best)
    for x in _with_neighbours(greater.astype(real)):
        length = np.sqrt(np.maximum(0, 1 - x.astype(np.float64) ** 2))
        fitting = np.clip(np.copysign(length, lesser), lesser - _FARTHEST, lesser + _FARTHEST)
        for y in _with_neighbours(fitting.astype(real)):
            better = (found := cost(x, y)) < least
            least = np.where(better, found, least)
            best = tuple(np.where(better, new, old) for new, old in zip((x, y), best, strict=True))
    x, y = best
    return np.where(imaginary_is_greater, y + 1j * x, x + 1j * y).astype(dtype)


def _with_neighbours(values):
    return values, np.nextafter(values, values.dtype.type(-2)), np.nextafter(values, values.dtype.type(2))


def round_unitary(matrix: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """A unitary matrix, multiplied by what makes the norm right for an average state."""
    rounded = [(scale * matrix).astype(dtype) for scale in _SCALES]
    if rounded[0].dtype == np.complex128:
        return rounded[0]
    off = [abs(np.sum(np.abs(each.astype(np.complex128)) ** 2) - len(matrix)) for each in rounded]
    return rounded[int(np.argmin(off))]
