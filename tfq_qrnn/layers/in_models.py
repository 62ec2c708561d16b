"""Finding the recurrent layer in a Keras model, and seeing what it is called with there."""

import contextlib

import keras
import tensorflow as tf

from tfq_qrnn import _keras
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.layers.qrnn_cell import QRNNCell


def is_recurrent(layer):
    return isinstance(layer, keras.layers.RNN) and isinstance(layer.cell, QRNNCell)


def find_layer(model):
    """The QRNN, or RNN over a QRNNCell, that `model` is or contains.

    Raises:
        TypeError: `model` is no Keras layer.
        ValueError: It contains none, or several.
    """
    if is_recurrent(model):
        return model
    if not isinstance(model, keras.Layer):
        raise argument_type_error("layer", "be a QRNN, an RNN over a QRNNCell, or a Keras model with one", model)
    found = find_layers(model)
    if len(found) != 1:
        names = ", ".join(layer.name for layer in found) or "none"
        raise argument_error("layer", "contain exactly one QRNN or RNN over a QRNNCell", f"it contains {names}")
    return found[0]


def find_layers(model):
    """Every QRNN, or RNN over a QRNNCell, in a Keras layer; those in wrappers such as Bidirectional, too."""
    return list({id(layer): layer for layer in _keras.all_layers(model) if is_recurrent(layer)}.values())


def calls_within(model, layer, x):
    """What `layer` is called with while `model` is called on `x`: a list of `(sequences, initial_state, mask)`.

    The call leaves nothing behind: states of stateful layers and of random generators are put back.
    """
    calls, original = [], layer.call

    def call(sequences, initial_state=None, mask=None, training=False):
        calls.append((sequences, initial_state, None if mask is None else keras.tree.flatten(mask)[0]))
        return original(sequences, initial_state=initial_state, mask=mask, training=training)

    variables = list(model.non_trainable_variables)
    for inner in _keras.all_layers(model):
        if isinstance(inner, keras.layers.RNN) and inner.stateful and inner.states is not None:
            variables += keras.tree.flatten(inner.states)  # Keras does not count them among the variables
    before = [(variable, tf.identity(variable.value)) for variable in variables]
    with replaced(layer, call):
        model(x, training=False)
    for variable, value in before:
        variable.assign(value)
    return calls


@contextlib.contextmanager
def replaced(layer, call):
    """Have `layer` run another `call` for a while."""
    # On the instance, past Keras's tracking of attributes: any model that calls the layer, also a subclassed one, then
    # calls this instead.
    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")
