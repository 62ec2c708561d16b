"""What a training step reads and writes."""

import re

import keras

from tfq_qrnn import _keras
from tfq_qrnn._errors import argument_error, argument_type_error


def training_variables(model):
    """{name: variable} of a model and its optimizer, in order; those that stand only in lists are there, too.

    Names have no numbers of Keras's: the same model, made second in a process, has others.
    """
    if not isinstance(model, keras.Model):
        raise argument_type_error("model", "be a Keras model", model)
    if not model.built:
        raise argument_error("model", "be built", "it has no weights yet: give it an Input, or call it once")
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise argument_error("model", "be compiled", "it has no optimizer")
    if not optimizer.built:
        with model.distribute_strategy.scope(), keras.name_scope(optimizer.name):
            optimizer.build(model.trainable_variables)
    # Keras does not count the states of stateful recurrent layers among a model's variables.
    states = keras.tree.flatten([getattr(layer, "states", None) for layer in _keras.all_layers(model)])
    found = [("model", v) for v in [*model.variables, *states] if isinstance(v, keras.Variable)]
    found += [("optimizer", v) for v in optimizer.variables]
    return {f"{i:05d}-{owner}-" + re.sub(r"_\d+", "", v.name): v for i, (owner, v) in enumerate(found)}


def described(variables):
    """A line for each variable: what two models must have in common to continue from the same numbers."""
    return [f"{name} {v.dtype} {list(v.shape)}" for name, v in variables.items()]
