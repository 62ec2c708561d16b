"""A program in which `tf.keras` is Keras 2, which TensorFlow Quantum's own layers need."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "backends.md"

REFUSED = """
import re
assert loss < 2, loss

class Subclassed(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = tfq_qrnn.QRNN(2)

    def call(self, x):
        return self.inner(x)

x = tf.ones((2, 4, 1))
given = tf.keras.Input((4, 1))
for make in (
    lambda: tfq_qrnn.QRNN(2)(given),
    lambda: keras.layers.RNN(tfq_qrnn.QRNNCell(2))(given),
    lambda: Subclassed()(x),
):
    try:
        make()
    except ValueError as error:
        told = "must come from Keras 3, .*make the model with `keras` in place of `tf.keras`"
        assert re.search(told, str(error)), error
    else:
        raise AssertionError("it was built")
try:
    tf.keras.Sequential([tf.keras.Input((4, 1)), tfq_qrnn.QRNN(2)])
except TypeError as error:
    assert "The added layer must be an instance of class Layer" in str(error)
assert model(x).shape == (2, 1)
"""


@pytest.mark.slow
@pytest.mark.tfq
def test_layers_of_both_train_in_one_program_and_models_of_keras_2_are_refused():
    (program,) = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", program + REFUSED], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
