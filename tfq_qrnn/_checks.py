"""The checks that public functions share. What fails one raises a message of `_errors`."""

import math
import numbers

import numpy as np

from tfq_qrnn._errors import argument_error, argument_type_error, readable_bytes, shown
from tfq_qrnn._memory import total_memory, training_bytes


def check_int(name, value, minimum, maximum=None):
    """An integer in [minimum, maximum]; booleans and floats are refused."""
    rule = f"be an integer of {minimum} or more" if maximum is None else f"be an integer from {minimum} to {maximum}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise argument_type_error(name, rule, value)
    if value < minimum or (maximum is not None and value > maximum):
        raise argument_error(name, rule, f"it is {shown(int(value))}")
    return int(value)


def check_bool(name, value):
    if not isinstance(value, bool):
        raise argument_type_error(name, "be True or False", value)
    return value


def check_number(name, value, minimum=None):
    """A finite real number, of `minimum` or more where there is one; booleans are refused."""
    rule = "be a finite number" if minimum is None else f"be a finite number of {minimum} or more"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise argument_type_error(name, rule, value)
    if not math.isfinite(value) or (minimum is not None and value < minimum):
        raise argument_error(name, rule, f"it is {value}")
    return float(value)


def check_rate(name, value):
    """A dropout rate, 0 <= rate < 1."""
    rule = "be a number in [0, 1)"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise argument_type_error(name, rule, value)
    if not 0 <= value < 1:
        raise argument_error(name, rule, f"it is {shown(value)}")
    return float(value)


def as_floats(name, value):
    """An array of float64; text, objects and complex numbers are refused."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "OSUc":
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):  # ragged, or an object that makes no array
        pass
    raise argument_type_error(name, "be an array of numbers", value)


def check_real(name, tensor):
    """A tensor of real numbers; integers and booleans are numbers, complex ones would lose their imaginary part."""
    dtype = getattr(tensor.dtype, "name", str(tensor.dtype))
    if dtype.startswith("complex") or dtype in ("string", "object"):
        raise TypeError(f"Argument `{name}` must be real numbers, but its dtype is {dtype}.")
    return tensor


def check_seed(seed):
    """None, or an integer that Keras and TensorFlow take as a seed."""
    return None if seed is None else check_int("seed", seed, 0, 2**31 - 1)


def check_choice(name, value, choices):
    """One of a few names."""
    rule = f"be one of {', '.join(map(repr, choices))}"
    if not isinstance(value, str):
        raise argument_type_error(name, rule, value)
    if value not in choices:
        raise argument_error(name, rule, f"it is {shown(value)}")
    return value


def check_n_qubits(n_qubits, name="n_qubits"):
    """An integer of 1 or more whose statevectors this machine can hold, for one sequence in float32."""
    n_qubits = check_int(name, n_qubits, 1)
    needed, total = training_bytes(min(n_qubits, 500)), total_memory()  # beyond, Python's floats overflow
    if needed > total:
        raise argument_error(
            name,
            "leave room for the statevectors",
            f"one sequence of {shown(n_qubits)} qubits takes {readable_bytes(needed)} and this machine has "
            f"{readable_bytes(total)}; at most {(total // training_bytes(0)).bit_length() - 1} qubits fit",
        )
    return n_qubits
