"""What `repr`, `print` and `summary` say, against counts made another way."""

import re

import cirq
import keras
import numpy as np
import pytest
import sympy

import tfq_qrnn
from tfq_qrnn import backends, hw

A, B = cirq.LineQubit.range(2)


def summary(layer):
    """The summary as a dict: row -> text."""
    lines = []
    layer.cell.summary(print_fn=lines.append)
    (text,) = lines
    title, *rows = text.splitlines()
    assert title == f'QRNNCell "{layer.cell.name}"'
    return dict(re.fullmatch(r"  (.+?)  +(.+)", row).groups() for row in rows)


def test_an_ansatz_evaluates_or_counts_and_prints_its_circuit():
    ansatz = tfq_qrnn.HardwareEfficient(3, 1, rotations=("rx",), entangler="cnot")
    assert eval(repr(ansatz), {"HardwareEfficient": tfq_qrnn.HardwareEfficient}) == ansatz
    assert str(ansatz) == str(ansatz.circuit)
    drawn = cirq.Circuit(cirq.ry(sympy.Symbol("s"))(A), cirq.CNOT(A, B), cirq.H(B))
    own = tfq_qrnn.CircuitAnsatz(drawn)
    assert repr(own) == "CircuitAnsatz(2 qubits, 1 angle, 3 gates in 3 moments)"
    assert str(own) == str(drawn)
    assert str(tfq_qrnn.GateProgram(own, observables="Z")).startswith(str(drawn))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: backends.TensorFlow(), "TensorFlow: plain ops"),
        (
            lambda: backends.Noisy(100, (0.01, 0, 0.02), "tensorflow"),
            "Noisy: 100 shots, Pauli errors 0.01, 0, 0.02, in",
        ),
        pytest.param(lambda: backends.TFQ(), "TFQ: exact values, replaying at most 64 steps", marks=pytest.mark.tfq),
        pytest.param(
            lambda: backends.TFQ(1000, cirq.depolarize(0.01)),
            "TFQ: 1,000 shots, depolarize(p=0.01) on every qubit after",
            marks=pytest.mark.tfq,
        ),
    ],
)
def test_backends_evaluate_and_say_what_they_run(make, said):
    backend = make()
    assert eval(repr(backend), {**vars(backends), "cirq": cirq}) == backend
    assert str(backend).startswith(said)


def test_summary_counts_what_is_there():
    layer = tfq_qrnn.QRNN(
        3,
        circuit=tfq_qrnn.HardwareEfficient(3, 2, entangler="sqrt_iswap"),
        trainable_circuit=tfq_qrnn.HardwareEfficient(3, 1),
        controller=tfq_qrnn.Controller((7, 5), trainable_angle_scale=True),
        observables=[cirq.Z(A), cirq.X(A) * cirq.X(B)],
        backend="tensorflow",
        dtype="float64",
    )
    assert summary(layer)["parameters"] == "none yet: the cell is not built"
    layer.build((None, 10, 4))
    rows = summary(layer)
    assert int(rows["parameters"]) == sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
    assert rows["circuit"] == repr(layer.cell.program.ansatz)
    assert rows["readouts"] == "2: Z(q(0)), X(q(0))*X(q(1))"
    assert rows["controller"] == "Controller: 6 -> 7 glu -> 5 glu -> 12, times 0.1"
    assert rows["memory"] == f"{layer.cell.state_size[1] * 8} B per sequence"
    assert rows["backend"] == "TensorFlow: plain ops, on any device; float64"


@pytest.mark.tfq
def test_summary_of_a_replay():
    replay = tfq_qrnn.QRNN(2, observables="XZ", controller=(), backend=backends.TFQ(max_timesteps=10))
    rows = summary(replay)
    assert rows["readouts"] == "4: X(q(0)), Z(q(0)), X(q(1)), Z(q(1))"
    assert rows["controller"] == "Controller: [], not built"
    assert rows["memory"] == "324 B per sequence"  # 1 + 10 x 8 numbers of 4 bytes


def test_summary_of_an_own_network():
    own = tfq_qrnn.QRNN(3, controller=keras.layers.Dense(12, name="mine"))
    assert summary(own)["controller"] == "Dense: mine"
    assert summary(own)["readouts"] == "9: X(q(0)), Y(q(0)), Z(q(0)), X(q(1)), Y(q(1)), Z(q(1)), ..."


def test_a_cell_says_its_circuit_and_backend():
    cell = tfq_qrnn.QRNNCell(2, name="cell", backend="tensorflow")
    assert repr(cell) == (
        f"<QRNNCell name=cell, {cell.program.ansatz!r}, 6 readouts, backend=TensorFlow(), built=False>"
    )


def test_a_closed_loop_says_what_it_gave_and_cost():
    keras.utils.set_random_seed(0)
    layer = tfq_qrnn.QRNN(2)
    x = np.ones((1, 3, 4), "float32")
    result = hw.run(layer, x, hw.sampler("simulator", seed=0), repetitions=50, progress=False)
    error = np.sqrt(np.mean((result.readouts - result.exact) ** 2))
    assert repr(result).startswith(f"Result(1 sequence, 3 time steps, 6 observables, rms error {error:.3f}; Cost(")
    cost = hw.cost(layer, n_timesteps=3, repetitions=50)
    assert repr(cost) == (
        "Cost(3 jobs, 9 circuits, 450 shots, about 1 s on a processor and 5 s in all; "
        f"depth {cost.depth[-1]} and {cost.two_qubit_gates[-1]} two-qubit gates at the last of 3 time steps)"
    )
    assert str(cost).startswith("3 jobs, 9 circuits, 450 shots, about 1 s on a processor and 5 s in all\nstep  depth")


def test_a_native_program_counts_its_gates_and_prints_a_step():
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(3, 1))
    device = hw.load_device("weber")
    native = hw.compile_program(program, device, hw.place_ring(device, 3))
    step = native.step(0)
    couplers = sum(len(op.qubits) == 2 for op in step.all_operations())
    singles = sum(len(op.qubits) == 1 for op in step.all_operations())
    said = repr(native)
    assert f"{singles} one-qubit gates, {couplers} two-qubit gates, {native.n_symbols} symbols" in said
    assert all(str(qubit) in said for qubit in native.all_qubits)
    assert str(native) == str(step)
    assert len(said) < 250


def test_a_trace_counts():
    seen = tfq_qrnn.trace(tfq_qrnn.QRNN(2), np.ones((1, 3, 4), "float32"))
    assert repr(seen) == f"Trace(1 sequence, 3 time steps, {seen.program!r})"
