"""Quantum data: the states from which sequences start."""

import re
from collections.abc import Sequence

import cirq
import numpy as np
import tensorflow as tf

from tfq_qrnn._checks import check_n_qubits
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn._tfq import load_tfq

_RULE = "be cirq.Circuits, a tensor that tfq.convert_to_tensor made, or states"
# Of the square of a norm. States come in float32, whose rounding adds up over the amplitudes; a state that is off by
# more is another one.
_MOST_OFF = 1e-4


def prepare(circuits: Sequence[cirq.Circuit] | tf.Tensor | np.ndarray, n_qubits: int) -> tf.Tensor:
    """The states that circuits prepare, or states as they are, as memories.

    The result is the memory of an `initial_state`.

    Args:
        circuits: `(batch,)` circuits without symbols: a list of `cirq.Circuit`, which are simulated in complex128; or a
            tensor that `tfq.convert_to_tensor` made, whose states TensorFlow Quantum computes in float32 (it drops
            measurements as it makes the tensor, so none is noticed here). Or states `(batch, 2**n_qubits)`, real or
            complex, normalised.
        n_qubits: Number of qubits of every circuit. A circuit's qubits count in sorted order, the first the most
            significant bit; `cirq.I` holds the place of an idle one.

    Returns:
        `(batch, 2 * 2**n_qubits)` float32: real parts of the states, then imaginary parts.

    Raises:
        ValueError: A circuit has another number of qubits, symbols, measurements or channels; a state is not normalised
            or has another size.
        TypeError: `circuits` is none of these.
        ImportError: It is a circuit tensor, and TensorFlow Quantum is not installed.

    >>> flipped = cirq.Circuit(cirq.X(cirq.LineQubit(0)))
    >>> print(tfq_qrnn.prepare([flipped], n_qubits=1))
    tf.Tensor([[0. 1. 0. 0.]], shape=(1, 4), dtype=float32)
    >>> print(tfq_qrnn.prepare(np.array([[0.6, 0.8j]]), n_qubits=1))
    tf.Tensor([[0.6 0.  0.  0.8]], shape=(1, 4), dtype=float32)
    """
    n_qubits = check_n_qubits(n_qubits)
    if isinstance(circuits, cirq.AbstractCircuit):
        raise argument_type_error("circuits", "be a list of circuits, a batch", circuits)
    if isinstance(circuits, (list, tuple)) and any(isinstance(circuit, cirq.AbstractCircuit) for circuit in circuits):
        states = tf.constant([_simulate(circuit, i, n_qubits) for i, circuit in enumerate(circuits)], tf.complex64)
    else:
        try:
            circuits = tf.convert_to_tensor(circuits)
        except (TypeError, ValueError):
            raise argument_type_error("circuits", _RULE, circuits) from None
        if circuits.dtype == tf.string:
            states = _states_of_tfq(circuits, n_qubits)
        elif circuits.dtype.is_floating or circuits.dtype.is_complex:
            states = _check_states(circuits, n_qubits)
        else:
            raise argument_type_error("circuits", _RULE, circuits)
    return tf.concat([tf.math.real(states), tf.math.imag(states)], axis=-1)


def _simulate(circuit, i, n_qubits):
    if not isinstance(circuit, cirq.AbstractCircuit):
        raise argument_type_error("circuits", "hold circuits only", circuit)
    if (found := len(circuit.all_qubits())) != n_qubits:
        raise argument_error("circuits", f"act on n_qubits={n_qubits} qubits each", f"circuit {i} acts on {found}")
    if circuit.has_measurements() or not cirq.has_unitary(circuit):
        raise argument_error(
            "circuits", "be circuits without symbols, measurements or channels", f"circuit {i} has some"
        )
    return circuit.final_state_vector(dtype=np.complex128)


def _check_states(states, n_qubits):
    if states.shape.rank != 2 or states.shape[1] != 2**n_qubits:
        raise argument_error("circuits", f"have shape (batch, {2**n_qubits})", f"the states have {states.shape}")
    norms = tf.reduce_sum(tf.cast(tf.abs(states) ** 2, tf.float64), axis=1)
    if tf.executing_eagerly():
        for i in np.flatnonzero(~(np.abs(norms - 1) <= _MOST_OFF))[:1]:
            raise argument_error("circuits", "be normalised states", f"the norm of state {i} is {norms[i] ** 0.5:.6g}")
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.reduce_all(tf.abs(norms - 1) <= _MOST_OFF), ["`circuits` must be normalised states"])]
    ):
        return tf.cast(states, tf.complex64)


def _states_of_tfq(circuits, n_qubits):
    if circuits.shape.rank != 1:
        raise argument_error("circuits", "have shape (batch,)", f"its shape is {circuits.shape}")
    tfq = load_tfq("A circuit tensor")
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
    return tf.ensure_shape(states, (circuits.shape[0], size))
