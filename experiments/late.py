"""Modules that load at their first use: a command line answers before TensorFlow does, which takes ten seconds or more.

    keras, training = late("keras", "experiments.harness.training")

What Python 3.15 calls `lazy import`. Scripts, the data sets and the options name the heavy modules so: `--help`, wrong
arguments and missing data need none of them. What is heavy itself, such as a subclass of a Keras layer, stands in a
module that imports as usual, and that scripts name late.
"""

import importlib

from experiments.quiet import import_tensorflow

_WITHOUT_TENSORFLOW = ("cirq", "matplotlib", "num2words", "pandas", "sacrebleu", "tensorflow_datasets")


class _Late:
    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        return getattr(_load(self._name), attribute)


def _load(name):
    if name.split(".")[0] not in _WITHOUT_TENSORFLOW:
        import_tensorflow()
    return importlib.import_module(name)


def late(*names):
    """Stand-ins for modules, one for each dotted name."""
    return [_Late(name) for name in names]
