"""`pqc`: one application of a program to a batch of states."""

import tensorflow as tf

from tfq_qrnn._checks import check_n_qubits
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.backends.base import Backend
from tfq_qrnn.backends.registry import get
from tfq_qrnn.program import GateProgram


def pqc(
    memory: tf.Tensor, angles: tf.Tensor, program: GateProgram, backend: str | Backend = "auto"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Apply a parametrized quantum circuit to a batch of states and read it out.

    This is TensorFlow Quantum's ControlledPQC with a state that goes in and comes out. It is differentiable in the
    memory and in the angles, in eager mode, in tf.function and, where the backend can, under XLA.

    Args:
        memory: `(batch, 2 * 2**n_qubits)`, float32 or float64: real parts of the state, then imaginary parts; qubit 0
            is the most significant bit. States are normalised; a row of zeros means |0...0>. (The TFQ backend carries
            the angles so far instead, and starts from zeros.)
        angles: `(batch, n_angles)`, of the memory's dtype, in radians, in the order of the program's symbols.
        program: A `tfq_qrnn.GateProgram`.
        backend: "auto", "native", "tensorflow", "tfq" or a backend.

    Returns:
        `(new_memory, readouts)`: the state after the circuit, shaped like `memory`, and the expectation values of the
        program's observables, `(batch, n_observables)`.

    Raises:
        ValueError: A shape or dtype does not fit, or the backend cannot run the program.
        TypeError: `program` is no GateProgram.

    >>> program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(n_qubits=1, depth=1), observables="Z")
    >>> memory, readouts = tfq_qrnn.pqc(tf.zeros((1, 4)), tf.constant([[np.pi / 3, 0.0]]), program)
    >>> print(np.round(readouts, 4))  # cos(pi/3)
    [[0.5]]
    """
    if not isinstance(program, GateProgram):
        raise argument_type_error("program", "be a tfq_qrnn.GateProgram", program)
    check_n_qubits(program.n_qubits, "program")
    backend = get(backend)
    memory, angles = tf.convert_to_tensor(memory), tf.convert_to_tensor(angles)
    for name, value, width in (
        ("memory", memory, backend.memory_size(program)),
        ("angles", angles, program.n_angles),
    ):
        if value.dtype not in (tf.float32, tf.float64):
            raise argument_error(name, "be float32 or float64", f"its dtype is {value.dtype.name}")
        if not value.shape.is_compatible_with((None, width)):
            raise argument_error(name, f"have shape (batch, {width})", f"its shape is {value.shape}")
    if memory.dtype != angles.dtype:
        raise argument_error("angles", f"have the memory's dtype, {memory.dtype.name}", f"it is {angles.dtype.name}")
    if not memory.shape[:1].is_compatible_with(angles.shape[:1]):
        raise argument_error(
            "angles", f"have the memory's batch size, {memory.shape[0]}", f"its shape is {angles.shape}"
        )
    backend.check(program, memory.dtype)
    return backend.step(program, memory, angles)
