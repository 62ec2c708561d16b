"""TensorFlow Quantum, which takes seconds to import: it is loaded where it is used."""

import random


def load_tfq():
    """The module tensorflow_quantum; Python's random numbers go on as if it had not been imported.

    As it is imported it makes Keras initializers, for which Keras draws seeds. Without this the weights of a model
    would depend on whether it was the first to need TensorFlow Quantum.
    """
    state = random.getstate()
    import tensorflow_quantum

    random.setstate(state)
    return tensorflow_quantum
