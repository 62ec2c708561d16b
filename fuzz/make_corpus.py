"""Writes the seeds of the native op's fuzzer: small real programs, each with settings of its own.

    python fuzz/make_corpus.py

The files of `fuzz/corpus/` are kept, for they are also replayed as a test; what a run of the fuzzer found lies there
beside them (`found_*`). An input is eight bytes of settings (time steps, batch, activation, layers, mask, poison,
float64 and threads, kernels; see native_program.cc), then the program's bytes.
"""

import pathlib
import sys

import cirq
import sympy

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "support"))

from random_circuits import random_circuit  # noqa: E402

from tfq_qrnn import Drift, GateProgram, HardwareEfficient  # noqa: E402
from tfq_qrnn.backends.native_encoding import encode_program  # noqa: E402

CORPUS = ROOT / "fuzz" / "corpus"


def programs():
    """(name, program): every kind of stage and of readout, below and above the size of one tile."""
    a, b = sympy.symbols("a b")
    q = cirq.LineQubit.range(3)
    yield "one_qubit", GateProgram(HardwareEfficient(1, 1), "Z")
    yield "ring", GateProgram(HardwareEfficient(3, 2))
    yield "cnot", GateProgram(HardwareEfficient(3, 1, ("rx", "ry", "rz"), "cnot", "full"))
    yield "iswap", GateProgram(HardwareEfficient(2, 1, ("rx",), "sqrt_iswap"), "XZ")
    yield "nine_qubits", GateProgram(HardwareEfficient(9, 1))
    yield "nine_qubits_dense", GateProgram(HardwareEfficient(9, 1, ("ry",), "sqrt_iswap", "chain"), "Z")
    yield "drift", GateProgram(HardwareEfficient(3, 1, drift=Drift(coupling=1.0)), "pairs")
    yield "probabilities", GateProgram(HardwareEfficient(2, 1, drift=Drift(axis="z")), "probabilities")
    yield "state", GateProgram(HardwareEfficient(2, 1), "state")
    yield "no_angles", GateProgram(cirq.Circuit(cirq.H(q[0]), cirq.CNOT(q[0], q[1])), "XZ")
    yield "dense", GateProgram(cirq.Circuit(cirq.ISWAP(q[0], q[1]) ** 0.5, cirq.ry(a)(q[2])), "Z")
    yield "phases", GateProgram(cirq.Circuit(cirq.T(q[0]), cirq.CZ(q[0], q[1]) ** 0.3, cirq.rx(a)(q[1])))
    yield (
        "strings",
        GateProgram(
            cirq.Circuit(cirq.XX(q[0], q[1]) ** a, cirq.ZZ(q[1], q[2]) ** b, cirq.FSimGate(a, b)(q[0], q[2])),
            [cirq.X(q[0]) * cirq.Y(q[2]), 0.5 * cirq.Z(q[1]) + 2.0, cirq.Z(q[0]) * cirq.Z(q[1]) * cirq.Z(q[2])],
        ),
    )
    yield "controlled", GateProgram(cirq.Circuit(cirq.rx(a)(q[0]).controlled_by(q[1], q[2])), "Y")
    for seed in range(4):
        yield f"random_{seed}", GateProgram(random_circuit(2 + seed, 12, seed))


def main():
    CORPUS.mkdir(parents=True, exist_ok=True)
    for number, (name, program) in enumerate(programs()):
        for precision in (0, 1):
            settings = [
                1 + number % 3,
                number,
                5 * number + precision,
                number % 4,
                number % 2,
                number % 4,
                number // 2 % 2 + 2 * precision,
                3 * number + precision,
            ]
            path = CORPUS / f"{name}_{'float64' if precision else 'float32'}"
            path.write_bytes(bytes(value % 256 for value in settings) + encode_program(program))
    print(f"{len(list(CORPUS.iterdir()))} files in {CORPUS}")


if __name__ == "__main__":
    main()
