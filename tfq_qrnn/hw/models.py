"""The recurrent cells of a model as it calls them, and the loop around each: readouts -> controller -> angles."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn import _keras
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.layers.in_models import calls_within, replaced
from tfq_qrnn.layers.qrnn_cell import QRNNCell
from tfq_qrnn.tracing import trace


def recurrent_layers(model: keras.Layer) -> list[keras.layers.RNN]:
    """The QRNNs, and RNNs over QRNNCells or stacks of them, that `model` is or contains.

    Raises:
        TypeError: `model` is no Keras layer.
        ValueError: It contains none.
    """
    if not isinstance(model, keras.Layer):
        raise argument_type_error("layer", "be a QRNN, an RNN over QRNNCells, or a Keras model with them", model)
    found = {id(layer): layer for layer in _keras.all_layers(model) if isinstance(layer, keras.layers.RNN)}
    layers = [layer for layer in found.values() if any(isinstance(cell, QRNNCell) for cell in cells_of(layer))]
    if not layers:
        raise argument_error("layer", "contain a QRNN or an RNN over QRNNCells", "it contains none")
    for layer in layers:
        if others := [cell for cell in cells_of(layer) if not isinstance(cell, QRNNCell)]:
            raise argument_error("layer", "stack nothing but QRNNCells in an RNN", f"it has {others[0]!r}")
        for cell in cells_of(layer):
            cell.program.require_paulis("hardware")
        if layer.stateful or layer.return_state:
            raise argument_error(
                "layer",
                "neither take nor return a memory, which stays on the device",
                f"{layer.name} is stateful or returns its state",
            )
    return layers


def cells_of(layer: keras.layers.RNN) -> list[QRNNCell]:
    """The cells of a `keras.layers.RNN`, from the first to the last."""
    return list(layer.cell.cells) if isinstance(layer.cell, keras.layers.StackedRNNCells) else [layer.cell]


def recurrent_cells(model: keras.Layer) -> list[QRNNCell]:
    """The cells of all recurrent layers of a model."""
    return [cell for layer in recurrent_layers(model) for cell in cells_of(layer)]


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """One cell on sequences, in the order in which its layer reads them.

    Attributes:
        number: Which of the model's cells it is, as `recurrent_cells` lists them.
        cell: The `QRNNCell`.
        inputs: `(batch, time, features)`.
        mask: bool `(batch, time)`.
        readouts: The first readouts, `(batch, n_observables)`.
    """

    number: int
    cell: QRNNCell
    inputs: np.ndarray
    mask: np.ndarray
    readouts: np.ndarray

    def close(self, measure: Callable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All time steps: readouts, standard errors and angles, each `(batch, time, ...)`.

        `measure(t, members, angles)` gives readouts and standard errors, each `(len(members), n_observables)`, of time
        step `t` of the sequences `members`: a list of groups, each of sequences that have run equally many steps, with
        all their angles so far, `(members, steps, n_angles)`, in `angles`. A masked step repeats the readouts before.
        """
        cell = self.cell
        projected = cell.project(tf.constant(self.inputs))
        weights = cell.step_weights(tf.constant(self.readouts), training=False)
        readouts, errors = self.readouts.astype(np.float64), np.zeros(self.readouts.shape)
        histories = [[] for _ in readouts]  # the angles of the steps that a sequence has run
        kept = []
        for t, groups in enumerate(groups_of(self.mask)):
            angles = cell.angles(projected[:, t], tf.constant(readouts.astype(cell.compute_dtype)), weights).numpy()
            valid = np.flatnonzero(self.mask[:, t])
            if not np.isfinite(angles[valid]).all():
                raise argument_error("x", "give finite angles", f"those of time step {t + 1} are not all finite")
            for b in valid:
                histories[b].append(angles[b])
            readouts, errors = readouts.copy(), errors.copy()
            members = [group for _, group in groups]
            found = measure(t, members, [np.array([histories[b] for b in group]) for group in members])
            for group, (values, deviations) in zip(members, found, strict=True):
                readouts[group], errors[group] = values, deviations
            kept.append((readouts, errors, angles))
        return tuple(np.stack(values, axis=1) for values in zip(*kept, strict=True))

    def exact(self) -> np.ndarray:
        """The readouts of the loop without noise or shots, `(batch, time, n_observables)`: those of `trace`."""
        layer = keras.layers.RNN(self.cell, name="exact")
        state = [self.readouts, self.cell.get_initial_state(len(self.inputs))[1]]
        return trace(layer, self.inputs, initial_state=state, mask=self.mask).readouts


def groups_of(mask: np.ndarray) -> list[list[tuple[int, list[int]]]]:
    """For each time step the sequences that run it, `(steps so far, sequences)`: others so far need other circuits."""
    counts = np.cumsum(mask, axis=1)
    return [
        [(int(steps), np.flatnonzero(valid & (count == steps)).tolist()) for steps in np.unique(count[valid])]
        for valid, count in zip(mask.T, counts.T, strict=True)
    ]


def lengths_of(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """The same with the numbers of the sequences."""
    return [[(steps, len(members)) for steps, members in groups] for groups in groups_of(mask)]


def run_through(model: keras.Layer, x: Any, solve: Callable[[Loop], np.ndarray]) -> Any:
    """What a model returns for `x` where `solve(loop)` gives the readouts of each recurrent cell's loop.

    The loops come in the order in which the model calls its layers: each sees what those before it gave.
    """
    layers = recurrent_layers(model)
    x = _built(model, layers, x)
    numbers = {id(cell): number for number, cell in enumerate(recurrent_cells(model))}
    with contextlib.ExitStack() as solved:
        for layer in _in_order_of_calls(model, layers, x):
            inputs, mask, states = _call(model, layer, x)
            for cell, state in zip(cells_of(layer), states, strict=True):
                inputs = inputs.astype(cell.compute_dtype)
                readouts = solve(Loop(numbers[id(cell)], cell, inputs, mask, state.astype(inputs.dtype)))
                inputs = readouts
            output = _output(layer, mask, readouts)
            solved.enter_context(replaced(layer, lambda *_, output=output, **__: output))
        return keras.tree.map_structure(keras.ops.convert_to_numpy, model(x))


def _built(model, layers, x):
    """The input, and the model built."""
    if model in layers:
        x = tf.convert_to_tensor(x)
        if x.shape.rank != 3 or 0 in x.shape:
            raise argument_error("x", "have shape (batch, time, features), each 1 or more", f"its shape is {x.shape}")
    if not (getattr(model, "built", True) and all(layer.built for layer in layers)):
        model(x)
    return x


def _in_order_of_calls(model, layers, x):
    if len(layers) == 1:
        return layers
    order = []
    with contextlib.ExitStack() as recorders:
        for layer in layers:

            def call(*arguments, layer=layer, original=layer.call, **keywords):
                order.append(layer)
                return original(*arguments, **keywords)

            recorders.enter_context(replaced(layer, call))
        model(x, training=False)
    return sorted(layers, key=lambda layer: order.index(layer) if layer in order else len(order))


def _call(model, layer, x):
    """Inputs and mask of a layer's one call, in the order in which it reads, and the first readouts of each cell."""
    calls = calls_within(model, layer, x)
    if len(calls) != 1:
        raise argument_error("layer", f"call {layer.name} once", f"it calls it {len(calls)} times")
    sequences, initial_state, mask = calls[0]
    inputs = keras.ops.convert_to_numpy(sequences)
    mask = np.ones(inputs.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    if layer.go_backwards:
        inputs, mask = inputs[:, ::-1], mask[:, ::-1]
    grounds = [state for cell in cells_of(layer) for state in cell.get_initial_state(len(inputs))]
    given = grounds if initial_state is None else keras.tree.flatten(initial_state)
    given, grounds = ([*map(keras.ops.convert_to_numpy, states)] for states in (given, grounds))
    for memory, ground in zip(given[1::2], grounds[1::2], strict=True):
        if memory.any() and not np.allclose(memory, ground, atol=1e-6):  # all zeros are |0...0> too
            raise argument_error(
                "x", "start at |0...0>: a device prepares no other memory", f"{layer.name} has another state"
            )
    return inputs, mask, given[::2]


def _output(layer, mask, readouts):
    """What a layer returns where its last cell gives these readouts, `(batch, time, n_observables)`."""
    mask = mask[:, :, None]
    if not mask.all():
        # Keras: a masked step repeats the readouts before it, or zeros; before the first valid one there are zeros.
        visible = mask if layer.zero_output_for_mask else np.cumsum(mask, axis=1) > 0
        readouts = np.where(visible, readouts, 0)
    return tf.cast(tf.constant(readouts if layer.return_sequences else readouts[:, -1]), layer.compute_dtype)


def sequence_length(model: keras.Layer, x: Any) -> int:
    """The number of time steps that a model's recurrent layers read of `x`: the most, where they differ."""
    layers = recurrent_layers(model)
    x = _built(model, layers, x)
    return max(_call(model, layer, x)[0].shape[1] for layer in layers)
