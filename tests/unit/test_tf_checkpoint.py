"""TensorFlow's own checkpoints have every number of a model: compared after a restore into one with other numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfq_qrnn


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.qrnn = tfq_qrnn.QRNN(2, controller=(4, 3))
        self.dense = keras.layers.Dense(1)

    def call(self, inputs):
        return self.dense(self.qrnn(inputs))


CIRCUIT = tfq_qrnn.HardwareEfficient(2, 1)


class OwnNetwork(keras.layers.Layer):
    """A controller that is no `Controller`; its weights are attributes."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], CIRCUIT.n_angles), initializer="random_normal")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.kernel)


LAYERS = {
    "QRNN": lambda: tfq_qrnn.QRNN(2, controller=(4, 3)),
    "RNN": lambda: keras.layers.RNN(tfq_qrnn.QRNNCell(2, controller=(4, 3))),
    "linear": lambda: tfq_qrnn.QRNN(2, controller=()),
    "trained scale": lambda: tfq_qrnn.QRNN(2, controller=tfq_qrnn.Controller((4,), trainable_angle_scale=True)),
    "Bidirectional": lambda: keras.layers.Bidirectional(tfq_qrnn.QRNN(2)),
    "trained circuit": lambda: tfq_qrnn.QRNN(2, trainable_circuit=CIRCUIT),
    "trained circuit, RNN": lambda: keras.layers.RNN(tfq_qrnn.QRNNCell(2, trainable_circuit=CIRCUIT)),
    "own network": lambda: tfq_qrnn.QRNN(circuit=CIRCUIT, controller=OwnNetwork()),
    "own model": lambda: tfq_qrnn.QRNN(
        circuit=CIRCUIT,
        controller=keras.Sequential([keras.layers.Dense(4, "tanh"), keras.layers.Dense(CIRCUIT.n_angles)]),
    ),
}


def built(name, number):
    """A model and an optimizer whose numbers are all different, and others for another `number`."""
    if name == "subclassed":
        model = Subclassed()
        model(np.zeros((1, 3, 2), "float32"))
    else:
        model = keras.Sequential([keras.Input((3, 2)), LAYERS[name](), keras.layers.Dense(1)])
    optimizer = keras.optimizers.Adam(use_ema=True)
    optimizer.build(model.trainable_variables)
    for index, variable in enumerate([*model.variables, *optimizer.variables]):
        size = int(np.prod(variable.shape))
        numbers = 1000 * number + 10 * index + np.arange(size).reshape(variable.shape) / max(size, 1)
        variable.assign(numbers.astype(variable.dtype))
    return model, optimizer


@pytest.mark.parametrize("with_optimizer", [False, True], ids=["", "optimizer"])
@pytest.mark.parametrize("name", [*LAYERS, "subclassed"])
def test_every_number_is_in_it(tmp_path, name, with_optimizer):
    (model, optimizer), (other, other_optimizer) = built(name, 1), built(name, 2)
    parts, other_parts = {"model": model}, {"model": other}
    if with_optimizer:
        parts["optimizer"], other_parts["optimizer"] = optimizer, other_optimizer
    path = tf.train.Checkpoint(**parts).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(**other_parts).restore(path).assert_consumed()
    saved = [*model.weights, *(optimizer.variables if with_optimizer else [])]
    restored = [*other.weights, *(other_optimizer.variables if with_optimizer else [])]
    lost = [v.path for v, w in zip(saved, restored, strict=True) if not np.array_equal(v, w)]
    assert lost == []
