"""What a cell is and what it costs, as text."""

import numpy as np

from tfq_qrnn._errors import counted, readable_bytes
from tfq_qrnn.backends import CarriedBackend


def summarize(cell):
    """The lines of `QRNNCell.summary`."""
    program, controller = cell.program, cell.controller
    itemsize = np.dtype(cell.compute_dtype).itemsize
    amplitudes = 2**program.n_qubits
    gates = list(program.circuit.all_operations())
    several = sum(len(gate.qubits) > 1 for gate in gates)
    trained = cell._n_trainable_angles
    observables = cell.observables if isinstance(cell.observables, str) else None
    read = f" ({', '.join(observables)} of every qubit)" if observables else ""
    hidden = "".join(f" -> {units} {_name(controller.activation)}" for units in controller.hidden_units)
    inputs = program.n_observables + (controller.input_features if cell.built else 0)
    width = f"{inputs}" if cell.built else f"(features + {inputs})"
    rows = [
        ("circuit", f"{counted(program.n_qubits, 'qubit')}, {program.ansatz!r}"),
        ("gates per step", f"{len(gates) - several} on one qubit, {several} on two or more"),
        (
            "angles per step",
            f"{program.n_angles}" + (f", the last {trained} of them weights of their own" if trained else ""),
        ),
        ("readouts", f"{program.n_observables}{read}"),
        ("controller", f"{width}{hidden} -> {controller.n_angles}{_scale(cell)}"),
        ("parameters", _parameters(cell)),
        ("memory", _memory(cell, amplitudes, itemsize)),
        ("operations per step", _work(cell, amplitudes)),
        ("backend", f"{cell.engine!s}; {cell.compute_dtype}"),
    ]
    wide = max(len(name) for name, _ in rows)
    return "\n".join([f'QRNNCell "{cell.name}"', *(f"  {name:{wide}}  {text}" for name, text in rows)])


def _name(activation):
    return getattr(activation, "__name__", type(activation).__name__)


def _scale(cell):
    if not cell.built:
        return f", angle_scale={cell.controller.angle_scale!r}" if np.ndim(cell.controller.angle_scale) == 0 else ""
    scale = np.asarray(cell.controller.scale)
    if scale.ndim == 0:
        return f", times {scale:.3g}"
    return f", times {scale.min():.3g} to {scale.max():.3g}"


def _parameters(cell):
    if not cell.built:
        return "none yet: the cell is not built"

    def size(weights):
        return sum(int(np.prod(weight.shape)) for weight in weights)

    controller = cell.controller
    parts = [(size(controller.kernels), "kernels"), (size(controller.biases), "biases")]
    if controller.trainable_angle_scale:
        parts.append((size([controller.scale]), "angle scale"))
    if cell.circuit_angles is not None:
        parts.append((size([cell.circuit_angles]), "circuit angles"))
    return f"{sum(count for count, _ in parts):,} = " + " + ".join(
        f"{count:,} {name}" for count, name in parts if count
    )


def _memory(cell, amplitudes, itemsize):
    size = cell.state_size[1]
    what = f"{amplitudes:,} amplitudes" if size == 2 * amplitudes else "the angles of all steps so far"
    return f"{readable_bytes(size * itemsize)} per sequence, {what}"


def _work(cell, amplitudes):
    """Floating-point operations of one step of one sequence, forward, counted gate by gate."""
    state, readout = 0, 0
    for instruction in cell.program.instructions:
        matrix = getattr(instruction, "matrix", None)
        # cos(a/2) psi - i sin(a/2) P psi: two real multiples of a complex number, and their sum
        state += 6 if matrix is None else _constant(matrix)
    for terms in cell.program.readout_terms:
        readout += 4 * len(terms)  # the real part of psi* (P psi), and its sum
    total = (state + readout) * amplitudes
    text = f"{state * amplitudes:,} state + {readout * amplitudes:,} readouts"
    if cell.built:
        dense = sum(2 * int(np.prod(kernel.shape)) for kernel in cell.controller.kernels)
        total, text = total + dense, f"{text} + {dense:,} controller"
    replays = "" if isinstance(cell.engine, CarriedBackend) else "; step t of a replay costs t times the state's part"
    return f"{total:,} = {text}{replays}"


def _constant(matrix):
    """Operations per amplitude of a constant unitary: none where it moves amplitudes and turns them by quarters."""
    entries = np.abs(matrix) > 1e-12
    if entries.sum() == len(matrix) and np.allclose(matrix[entries] ** 4, 1):
        return 0
    return 8 * int(entries.sum(axis=1).max()) - 2
