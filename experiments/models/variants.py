"""A cell with gated feedback, a controller without feedback, and an Adam with two rates, which studies try."""

import keras
import tensorflow as tf

import tfq_qrnn
from experiments.harness import training


@keras.saving.register_keras_serializable(package="tfq_qrnn.experiments")
class GatedCell(tfq_qrnn.QRNNCell):
    """A cell that multiplies what is fed back by sigmoid(W [inputs, readouts] + b)."""

    def build(self, input_shape, timesteps=None):
        super().build(input_shape, timesteps)
        self.gate = keras.layers.Dense(
            self.output_size, "sigmoid", bias_initializer=keras.initializers.Constant(-2), name="gate"
        )
        self.gate.build((None, input_shape[-1] + self.output_size))

    def call(self, inputs, states, training=False):
        readouts, memory = states
        gate = self.gate(keras.ops.concatenate([inputs, readouts], axis=-1))
        return super().call(inputs, [gate * readouts, memory], training=training)


@keras.saving.register_keras_serializable(package="tfq_qrnn.experiments")
class OpenLoop(tfq_qrnn.Controller):
    """A controller to which nothing is fed back. The weights of the readouts are there, count, and do nothing."""

    def recurrent_weights(self):
        scale, kernel, *others = super().recurrent_weights()
        return [scale, tf.zeros_like(kernel), *others]


@keras.saving.register_keras_serializable(package="tfq_qrnn.experiments")
class GroupedAdam(training.Adam):
    """Adam whose rate is `controller_rate` times as large for the weights of a controller."""

    def __init__(self, *args, controller_rate, **kwargs):
        super().__init__(*args, **kwargs)
        self.controller_rate = controller_rate

    def build(self, variables):
        super().build(variables)
        # TensorFlow's variables, which know no path, come to update_step
        self._of_controller = {variable.value.ref() for variable in variables if "/controller/" in variable.path}

    def update_step(self, gradient, variable, learning_rate):
        factor = self.controller_rate if variable.ref() in self._of_controller else 1.0
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self):
        return {**super().get_config(), "controller_rate": self.controller_rate}
