"""Quantum data: circuits that prepare the state from which a sequence starts."""

import re

import numpy as np
import tensorflow as tf

from tfq_qrnn._checks import check_n_qubits
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn._tfq import load_tfq


def prepare(circuits, n_qubits):
    """The states that a batch of TensorFlow Quantum circuits prepares, as memories.

    The result is the memory of an `initial_state`. It is computed by TFQ's state op, in float32; TFQ drops measurements
    from a circuit when it makes the tensor, so none is noticed here.

    Args:
        circuits: `(batch,)` circuits without symbols, as `tfq.convert_to_tensor` makes them.
        n_qubits: Number of qubits of every circuit. A circuit's qubits count in sorted order, the first the most
            significant bit; `cirq.I` holds the place of an idle one.

    Returns:
        `(batch, 2 * 2**n_qubits)` float32: real parts of the states, then imaginary parts.

    Raises:
        ValueError: A circuit has another number of qubits, symbols, or channels.
        TypeError: `circuits` is no tensor of strings.

    >>> import cirq, tensorflow_quantum as tfq
    >>> flipped = tfq.convert_to_tensor([cirq.Circuit(cirq.X(cirq.LineQubit(0)))])
    >>> print(np.abs(np.round(tfq_qrnn.prepare(flipped, n_qubits=1), 3)))
    [[0. 1. 0. 0.]]
    """
    n_qubits = check_n_qubits(n_qubits)
    try:
        circuits = tf.convert_to_tensor(circuits)
    except (TypeError, ValueError):
        raise argument_type_error("circuits", "be a tensor that tfq.convert_to_tensor made", circuits) from None
    if circuits.dtype != tf.string:
        raise argument_type_error("circuits", "be a tensor that tfq.convert_to_tensor made", circuits)
    if circuits.shape.rank != 1:
        raise argument_error("circuits", "have shape (batch,)", f"its shape is {circuits.shape}")
    tfq = load_tfq()
    no_symbols = tf.zeros((tf.shape(circuits)[0], 0))
    try:
        states = tfq.get_state_op()(circuits, tf.zeros((0,), tf.string), no_symbols)
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:  # the latter from bytes in TFQ's message
        message = getattr(error, "message", "they are no circuits")
        reason = re.sub(r"^\{\{.*?\}\} | \[Op:.*$", "", message, flags=re.DOTALL).rstrip(".")
        raise argument_error("circuits", "be circuits without symbols or channels", f"TFQ says: {reason}") from error
    sizes, size = states.row_lengths(), 2**n_qubits
    rule = f"act on n_qubits={n_qubits} qubits each"
    if tf.executing_eagerly():
        for i in np.flatnonzero(sizes.numpy() != size)[:1]:
            raise argument_error("circuits", rule, f"circuit {i} acts on {int(np.log2(sizes[i]))}")
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.reduce_all(sizes == size), [f"`circuits` must {rule}", sizes])]
    ):
        states = tf.reshape(states.to_tensor(), (-1, size))
    states = tf.ensure_shape(states, (circuits.shape[0], size))
    return tf.concat([tf.math.real(states), tf.math.imag(states)], axis=-1)
