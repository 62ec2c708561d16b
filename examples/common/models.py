"""Recurrent layers by name, at a given number of parameters."""

import keras

import tfq_qrnn

RECURRENT = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}
NAMES = ("qrnn", "qrnn-linear", *RECURRENT)


def recurrent_layer(name, units=None, *, qubits, depth, hidden_units, backend, entangler, angle_scale):
    """The recurrent layer of a name: `units` is the width of a classical one, the rest describes a quantum one."""
    if name in RECURRENT:
        return RECURRENT[name](units)
    return tfq_qrnn.QRNN(
        n_qubits=qubits,
        circuit=tfq_qrnn.HardwareEfficient(qubits, depth, entangler=entangler),
        hidden_units=() if name == "qrnn-linear" else hidden_units,
        angle_scale=angle_scale,
        backend=backend,
    )


def count_trainable(model):
    return sum(int(keras.ops.size(weight)) for weight in model.trainable_weights)


def matched_units(build, target):
    """The number of units at which `build(units)` has the number of trainable parameters nearest to `target`."""
    counts, units = {0: 0}, 0
    while counts[units] < target:
        units += 1
        counts[units] = count_trainable(build(units))
    return min((units, max(units - 1, 1)), key=lambda u: abs(counts[u] - target))
