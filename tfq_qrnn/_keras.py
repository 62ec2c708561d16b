"""What is used of Keras beyond its public names, each with the reason; nothing else in the package reaches there."""

import contextlib

from keras.src.backend.common import global_state
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

__all__ = ["DropoutRNNCell", "all_layers", "gradients_are_sums", "is_writing_file", "seed_states"]

# DropoutRNNCell: RNN has a cell make its dropout masks before the loop only where it is of this class, as LSTMCell is.


def all_layers(layer):
    """A layer and every layer within it, in wrappers such as Bidirectional, too, which `Model.layers` leaves out."""
    return list(layer._flatten_layers())


def is_writing_file():
    """Whether Keras is writing a `.keras` file: its weights stand beside the config, which is all that a clone gets."""
    return global_state.get_global_attribute("shared_objects/id_to_config_map") is not None


def seed_states(layer):
    """The states of the random generators within a layer, Dropout's for instance."""
    return [generator.state for inner in all_layers(layer) for generator in inner._seed_generators]


@contextlib.contextmanager
def gradients_are_sums(optimizer):
    """Have an optimizer take gradients as they are; under `MirroredStrategy` it sums what each replica has clipped."""
    optimizer._all_reduce_sum_gradients = lambda pairs: pairs
    try:
        yield
    finally:
        del optimizer._all_reduce_sum_gradients
