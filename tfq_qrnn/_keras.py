"""What is used of Keras beyond its public names, each with the reason.

Nothing else in the package reaches there, but for two methods of Attention that QuantumAttention overrides.
"""

import contextlib
import sys

import keras
from keras.src.backend.common import global_state
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

from tfq_qrnn._errors import argument_error

__all__ = [
    "DropoutRNNCell",
    "all_layers",
    "gradients_are_sums",
    "is_in_file",
    "own_dtypes",
    "refuse_keras_2",
    "seed_states",
]

# DropoutRNNCell: RNN has a cell make its dropout masks before the loop only where it is of this class, as LSTMCell is.


def all_layers(layer):
    """A layer and every layer within it, in wrappers such as Bidirectional, too, which `Model.layers` leaves out."""
    return list(layer._flatten_layers())


def refuse_keras_2(name, *values):
    """Raise ValueError where a layer is called within a model of tf_keras, which would not see its weights."""
    if "tf_keras" not in sys.modules:
        return
    from tf_keras.src.engine.base_layer_utils import call_context

    tensors = [value for value in keras.tree.flatten(values) if type(value).__module__.startswith("tf_keras.")]
    if tensors or call_context().in_call:
        raise argument_error(
            name,
            "come from Keras 3, `import keras`",
            "it comes from a model of Keras 2 (tf_keras, which is `tf.keras` where TF_USE_LEGACY_KERAS=1), which would "
            "not train this layer: make the model with `keras` in place of `tf.keras`, and call TensorFlow Quantum's "
            "layers outside of it, on its inputs or outputs",
        )


def is_in_file():
    """Whether Keras writes or reads a `.keras` file: there, weights stand beside the config, all that a clone gets."""
    return global_state.get_global_attribute("shared_objects/id_to_config_map") is not None


def seed_states(layer):
    """The states of the random generators within a layer, Dropout's for instance."""
    return [generator.state for inner in all_layers(layer) for generator in inner._seed_generators]


@contextlib.contextmanager
def own_dtypes():
    """Variables have their own dtype here: a layer of half precision rounds all that is read while it runs."""
    scope = global_state.get_global_attribute("autocast_scope")
    # Not AutocastScope(None), within which a model of float32 would round its layers of float64.
    global_state.set_global_attribute("autocast_scope", None)
    try:
        yield
    finally:
        global_state.set_global_attribute("autocast_scope", scope)


@contextlib.contextmanager
def gradients_are_sums(optimizer):
    """Have an optimizer take gradients as they are; under `MirroredStrategy` it sums what each replica has clipped."""
    optimizer._all_reduce_sum_gradients = lambda pairs: pairs
    try:
        yield
    finally:
        del optimizer._all_reduce_sum_gradients
