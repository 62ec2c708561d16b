"""By what a journal knows a model and its input: hashes of what is computed with."""

import json

import cirq
import keras
import numpy as np

from tfq_qrnn._files import digest
from tfq_qrnn.hw.models import Loop, recurrent_cells
from tfq_qrnn.layers.controller import Controller
from tfq_qrnn.layers.qrnn_cell import QRNNCell


def fingerprint(model: keras.Layer, loop: Loop) -> dict[str, str]:
    """Hashes of a model and of its input, where `loop` is the first one."""
    cells = recurrent_cells(model)
    described = cell_digest(cells[0])
    if len(cells) > 1:  # what stands between the cells counts, too
        weights = map(keras.ops.convert_to_numpy, model.weights)
        described = digest(*(cell_digest(cell).encode() for cell in cells), *map(_bytes, weights))
    return {"model": described, "input": digest(*map(_bytes, (loop.inputs, loop.mask, loop.readouts)))}


def cell_digest(cell: QRNNCell) -> str:
    """A hash of a cell's circuit, observables, controller and weights, whatever its layers are called."""
    program, weights = cell.program, map(keras.ops.convert_to_numpy, cell.weights)
    described = {
        "circuit": cirq.to_json(program.circuit),
        "symbols": list(map(str, program.symbols)),
        "observables": cirq.to_json(program.observables),
        "controller": _without_names(_config(cell.controller), {}),
        "dtype": cell.compute_dtype,
    }
    return digest(json.dumps(described, sort_keys=True).encode(), *map(_bytes, weights))


def _config(controller):
    try:
        found = keras.saving.serialize_keras_object(controller)
    except NotImplementedError:  # a class of the user's own without `get_config`
        return f"{type(controller).__module__}.{type(controller).__qualname__}"
    if isinstance(controller, Controller):
        # Where the biases started: the biases are hashed themselves, and the first journals do not have it.
        del found["config"]["gate_bias"]
    return found


def _without_names(config, numbers):
    """A Keras config with numbers in place of layers' names, which Keras counts up with each layer that is made."""
    if isinstance(config, dict):
        return {
            # A dtype policy has nothing but its name.
            key: numbers.setdefault(value, len(numbers))
            if key == "name" and len(config) > 1
            else _without_names(value, numbers)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        if len(config) == 3 and isinstance(config[0], str) and config[0] in numbers:  # a functional model's connection
            return [numbers[config[0]], *config[1:]]
        return [_without_names(value, numbers) for value in config]
    return config


def _bytes(array):
    return f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
