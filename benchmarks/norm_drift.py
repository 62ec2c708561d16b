"""How far does rounding move the norm of the memory, and what does that do to the readouts?

    python benchmarks/norm_drift.py

10,000 steps of 6 qubits at depth 2 (24 rotations a step), 8 sequences, forward only. Angles: "small" (normal, spread
0.1) and "large" (spread 1) are drawn anew at every step; "steady" are drawn once, spread 1, and stay. "ising" and "mix"
are "large" with constant gates after the circuit (constant_part.py). For each backend and precision the worst
||psi|^2 - 1| after 100, 1,000 and 10,000 steps; and the worst error of a readout at the end against the same in
float64, with the norm as it is and with the state divided by its norm.

Prints a Markdown table, and writes DIR/norm_drift.json.
"""

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from constant_part import with_constant_part

import tfq_qrnn

BATCH, QUBITS, CHUNK = 8, 6, 100
SPREADS = {"small": 0.1, "large": 1.0, "steady": 1.0, "ising": 1.0, "mix": 1.0}
SHOWN = (100, 1000, 10_000)


def run(backend, kind, dtype, timesteps):
    """Norms squared after each chunk of steps, `(chunks, batch)`, and the last readouts and memory."""
    program = tfq_qrnn.GateProgram(with_constant_part(QUBITS, kind if kind in ("ising", "mix") else "none"))
    backend = tfq_qrnn.backends.get(backend)
    rng = np.random.default_rng(0)
    steady = rng.normal(size=(1, BATCH, program.n_angles))

    @tf.function
    def advance(memory, angles):
        readouts = tf.zeros((BATCH, program.n_observables), dtype)
        for t in tf.range(CHUNK):
            memory, readouts = backend.forward(program, memory, angles[t])
        return memory, readouts

    memory, norms = backend.initial_memory(program, BATCH, dtype), []
    for _ in range(timesteps // CHUNK):
        angles = rng.normal(0, SPREADS[kind], (CHUNK, BATCH, program.n_angles))
        angles = np.broadcast_to(steady, angles.shape) if kind == "steady" else angles
        # the same numbers in both precisions: what is measured is the computation's rounding, not the angles'
        memory, readouts = advance(memory, tf.constant(angles.astype(np.float32), dtype))
        norms.append(np.sum(memory.numpy().astype(np.float64) ** 2, axis=1))
    return np.array(norms), readouts.numpy().astype(np.float64)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", default=["native", "tensorflow"])
    parser.add_argument("--angles", nargs="+", default=list(SPREADS), choices=list(SPREADS))
    parser.add_argument("--timesteps", type=int, default=10_000)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/norm_drift"))
    options = parser.parse_args()
    rows = []
    shown = [t for t in SHOWN if t <= options.timesteps]
    print(f"| backend | precision | angles | {' | '.join(f'T = {t:,}' for t in shown)} | readouts | divided |")
    print("|---" * (5 + len(shown)) + "|")
    for backend in options.backends:
        for kind in options.angles:
            exact = run(backend, kind, "float64", options.timesteps)
            for dtype, (norms, readouts) in (
                ("float32", run(backend, kind, "float32", options.timesteps)),
                ("float64", exact),
            ):
                drift = np.abs(norms - 1).max(axis=1)
                row = {
                    "backend": backend,
                    "precision": dtype,
                    "angles": kind,
                    "drift": {t: float(drift[t // CHUNK - 1]) for t in shown},
                    "readouts": float(np.abs(readouts - exact[1]).max()),
                    "divided": float(np.abs(readouts / norms[-1][:, None] - exact[1]).max()),
                }
                rows.append(row)
                figures = [*row["drift"].values(), row["readouts"], row["divided"]]
                cells = [f"{value:.1e}" if dtype == "float32" or value in figures[:-2] else "" for value in figures]
                print(f"| {backend} | {dtype} | {kind} | {' | '.join(cells)} |", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "norm_drift.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
