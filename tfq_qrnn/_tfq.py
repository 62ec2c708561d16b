"""TensorFlow Quantum, an extra that takes seconds to import: it is loaded where it is used."""

import importlib.util
import random


def require_tfq(what):
    """Raise ImportError, with the line to type, where TensorFlow Quantum is not installed; `what` needs it."""
    if importlib.util.find_spec("tensorflow_quantum") is None:
        raise ImportError(f'{what} needs TensorFlow Quantum, which is not installed: pip install "tfq_qrnn[tfq]"')


def load_tfq(what):
    """The module tensorflow_quantum, which `what` needs; Python's random numbers go on as if nothing was imported.

    As it is imported it makes Keras initializers, for which Keras draws seeds. Without this the weights of a model
    would depend on whether it was the first to need TensorFlow Quantum.
    """
    require_tfq(what)
    state = random.getstate()
    import tensorflow_quantum

    random.setstate(state)
    return tensorflow_quantum
