"""The memory of this machine, and what a simulated state takes of it."""

import os
import pathlib


def training_bytes(n_qubits, itemsize=4):
    """What a training step of one sequence holds at most: ten times its state.

    The state, its gradient, both going in and coming out, and the working copies of a block of at least four lanes.
    """
    return 10 * 2 * itemsize * 2**n_qubits


def total_memory():
    """Bytes of memory of this machine, or of the container that this process is in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = pathlib.Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total
