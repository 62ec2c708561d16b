"""How the sequences of one time step share circuits, where several rings run at once."""

import bisect
import dataclasses
import itertools
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Share:
    """One circuit, and who runs in it at each point of its sweep.

    Attributes:
        timesteps: For each ring how many steps its circuit has; the first one's are the most.
        points: Number of points, each of which runs a sequence on each ring.
        members: For each ring the sequences of its first points, a range: numbers in the order of their steps, those
            with the most first. At the points after these the ring is idle.
    """

    timesteps: tuple[int, ...]
    points: int
    members: tuple[range, ...]


def n_points(sequences: int, rings: int) -> int:
    """The points of a sweep that runs as many sequences: as few as can be."""
    return -(-sequences // rings)


def n_used(sequences: int, rings: int) -> int:
    """The rings that are needed for this: the first ones, no more than leave the number of points as it is."""
    return -(-sequences // n_points(sequences, rings))


def shares(groups: Sequence[tuple[int, int]], rings: int) -> list[Share]:
    """The circuits of one time step, of pairs of how many steps some sequences have run, and how many these are.

    Each ring takes as many sequences as the others, one after the other in the order of their steps. So few points have
    another circuit than the point before, and the longest ones run on the first rings.
    """
    groups = sorted(groups, reverse=True)
    ends = list(itertools.accumulate(count for _, count in groups))
    if not ends:
        return []
    points, used = n_points(ends[-1], rings), n_used(ends[-1], rings)
    found = []
    for start, stop in itertools.pairwise(sorted({0, points, *(end % points for end in ends[:-1])})):
        firsts = [ring * points + start for ring in range(used)]
        timesteps = tuple(groups[bisect.bisect_right(ends, min(first, ends[-1] - 1))][0] for first in firsts)
        members = tuple(range(first, max(first, min(first + stop - start, ends[-1]))) for first in firsts)
        found.append(Share(timesteps, stop - start, members))
    return found[::-1]  # of one ring the shortest first
