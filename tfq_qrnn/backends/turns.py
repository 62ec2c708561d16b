"""One-qubit gates as turns about axes: a constant gate is a phase times RZ RY RZ."""

import cmath
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tfq_qrnn.gates import ConstantUnitary, PauliRotation

ROUNDING = 1e-14  # of products of a few exact matrices


@dataclasses.dataclass(frozen=True)
class Turn:
    """exp(-i angle/2 P) with P = Y or Z, constant."""

    axis: str
    angle: float

    @property
    def matrix(self) -> np.ndarray:
        c, s = math.cos(self.angle / 2), math.sin(self.angle / 2)
        return np.array([[c, -s], [s, c]] if self.axis == "Y" else [[c - 1j * s, 0], [0, c + 1j * s]])


def axis_of(turn: PauliRotation | Turn) -> str:
    return turn.axis if isinstance(turn, Turn) else turn.pauli[0][1]


def split_constants(
    instructions: Sequence[PauliRotation | ConstantUnitary],
) -> tuple[list[PauliRotation | Turn], float]:
    """One qubit's instructions with its constants as turns about Z and Y, and the phase that these leave out.

    A turn joins its neighbour where the two are about one axis.
    """
    turns, total = [], 0.0
    for instruction in instructions:
        if isinstance(instruction, ConstantUnitary):
            split, phase = _euler(instruction.matrix)
            total += phase
        else:
            split = [instruction]
        for turn in split:
            last = turns[-1] if turns else None
            if last is not None and axis_of(last) == axis_of(turn) and Turn in (type(last), type(turn)):
                turns[-1] = _join(last, turn)
            else:
                turns.append(turn)
    return turns, total


def _join(first, second):
    if isinstance(first, Turn) and isinstance(second, Turn):
        return Turn(first.axis, first.angle + second.angle)
    rotation, turn = (second, first) if isinstance(first, Turn) else (first, second)
    return dataclasses.replace(rotation, offset=rotation.offset + turn.angle)


def _euler(matrix):
    """A one-qubit unitary as exp(i phase) RZ RY RZ: the turns, first acting first, none that is nothing; the phase.

    The angles about Z are the least that there are: what RY can do is left to it.
    """
    phase = cmath.phase(np.linalg.det(matrix)) / 2
    cosine, sine = matrix[1, 1] * cmath.exp(-1j * phase), matrix[1, 0] * cmath.exp(-1j * phase)
    # cosine = exp(i (first + last)/2) cos, sine = exp(i (last - first)/2) sin
    (c, half_sum), (s, half_difference) = (_signed_polar(value) for value in (cosine, sine))
    turns = [
        Turn("Z", half_sum - half_difference),
        Turn("Y", 2 * math.atan2(s, c)),
        Turn("Z", half_sum + half_difference),
    ]
    return [turn for turn in turns if abs(turn.angle) > ROUNDING], phase


def _signed_polar(value):
    """A complex number as (r, phi) with phi in (-pi/2, pi/2]; phi is 0 where r is."""
    if abs(value) < ROUNDING:
        return 0.0, 0.0
    phi = cmath.phase(value)
    turned = phi > math.pi / 2 or phi <= -math.pi / 2
    return (-abs(value), phi - math.copysign(math.pi, phi)) if turned else (abs(value), phi)
