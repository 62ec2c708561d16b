"""`export`: models that trained on any backend, served by TensorFlow alone."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfq_qrnn
from tfq_qrnn import backends

FAST = "native" if backends.native.missing() is None else "tensorflow"

# `sys.modules[...] = None` makes an import fail.
SERVE = """
import json, sys
sys.modules.update(tfq_qrnn=None, keras=None, cirq=None, tensorflow_quantum=None)
import numpy as np
import tensorflow as tf
for name, timesteps in json.loads(sys.argv[1]).items():
    served = tf.saved_model.load(f"{name}/model")
    ((key, spec),) = served.signatures["serving_default"].structured_input_signature[1].items()
    assert spec.shape.as_list() == [None, timesteps, 3], spec
    for number in range(2):
        x = tf.constant(np.load(f"{name}/x{number}.npy"))
        (y,) = served.signatures["serving_default"](**{key: x}).values()
        np.testing.assert_allclose(y, served.serve(x))
        np.save(f"{name}/y{number}.npy", y)
"""


def qrnn(**arguments):
    return tfq_qrnn.QRNN(2, depth=1, controller=tfq_qrnn.Controller((4,), angle_scale=0.5), backend=FAST, **arguments)


def one_after_another():
    layers = keras.layers.Masking(), qrnn(return_sequences=True), qrnn(), keras.layers.Dense(2)
    return keras.Sequential([keras.Input((None, 3)), *layers])


def in_wrappers_and_models():
    """A model in a model, both directions, attention, and an own network as the controller."""
    network = keras.Sequential([keras.layers.Dense(5, "tanh"), keras.layers.Dense(4), keras.layers.Rescaling(0.2)])
    inner = keras.Sequential(
        [keras.Input((None, 3)), keras.layers.Bidirectional(qrnn(return_sequences=True), merge_mode="ave")]
    )
    own = tfq_qrnn.QRNN(2, depth=1, controller=network, backend=FAST, return_sequences=True)
    inputs = keras.Input((None, 3))
    sequence = inner(inputs)
    attended = tfq_qrnn.QuantumAttention(score="overlap")([own(inputs), sequence])
    return keras.Model(inputs, keras.layers.Dense(1)(attended))


def of_cells():
    cells = [tfq_qrnn.QRNNCell(2, depth=1, controller=(4,), backend=FAST, observables=o) for o in ("Z", "state")]
    return keras.Sequential([keras.Input((6, 3)), keras.layers.RNN(cells)])


@pytest.mark.slow
def test_models_that_trained_on_the_op_are_served_without_it(tmp_path):
    kinds = {"one": one_after_another, "wrapped": in_wrappers_and_models, "cells": of_cells}
    expected, timesteps = {}, {}
    for name, make in kinds.items():
        model, random = make(), np.random.default_rng(0)
        fixed = timesteps[str(tmp_path / name)] = model.input_shape[1]
        inputs = [random.normal(size=(b, fixed or t, 3)).astype("float32") for b, t in ((1, 4), (5, 7))]
        model.compile("adam", "mse")
        model.fit(inputs[1], tf.zeros_like(model(inputs[1])), verbose=0)
        tfq_qrnn.export(model, tmp_path / name / "model")
        for number, x in enumerate(inputs):
            np.save(tmp_path / name / f"x{number}.npy", x)
            expected[name, number] = model(x).numpy()
    done = subprocess.run([sys.executable, "-c", SERVE, json.dumps(timesteps)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (name, number), values in expected.items():
        served = np.load(tmp_path / name / f"y{number}.npy")
        # two backends in float32, of some hundred roundings, with readouts fed back over seven steps
        np.testing.assert_allclose(served, values, rtol=1e-4, atol=2e-5)


def test_the_model_stays_as_it_was(tmp_path):
    model = keras.Sequential([keras.Input((3, 3)), qrnn(), keras.layers.Dense(1)])
    layer, x = model.layers[0], np.ones((2, 3, 3), "float32")
    before = layer.cell.backend, layer.supports_jit, layer.get_config(), model(x)
    for _ in range(2):  # a SavedModel is replaced
        tfq_qrnn.export(model, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert before[:3] == (layer.cell.backend, layer.supports_jit, layer.get_config())
    np.testing.assert_array_equal(model(x), before[3])
    graph = (tmp_path / "model" / "saved_model.pb").read_bytes()
    assert b"TfqQrnn" not in graph

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = qrnn()

        def call(self, x):
            return self.inner(x)

    other = Subclassed()
    with pytest.raises(ValueError, match="not yet been built"):
        tfq_qrnn.export(other, tmp_path / "other")
    assert other.inner.cell.backend == layer.cell.backend
    other(x)
    tfq_qrnn.export(other, tmp_path / "other", input_signature=[tf.TensorSpec((None, None, 3))])
    served = tf.saved_model.load(tmp_path / "other")
    np.testing.assert_allclose(served.serve(x), other(x), atol=1e-5)


def test_shots_and_noise_are_left_out(tmp_path):
    noisy = tfq_qrnn.QRNN(2, backend=backends.Noisy(repetitions=10))
    model = keras.Sequential([keras.Input((3, 3)), noisy])
    tfq_qrnn.export(model, tmp_path / "model")
    x = np.ones((2, 3, 3), "float32")
    served = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(served.serve(x), model(x), atol=1e-5)
    assert isinstance(noisy.cell.backend, backends.Noisy)


@pytest.mark.tfq
def test_a_model_on_tfq_is_served_without_it(tmp_path):
    model = keras.Sequential([keras.Input((3, 3)), tfq_qrnn.QRNN(2, backend=backends.TFQ(max_timesteps=3))])
    tfq_qrnn.export(model, tmp_path / "model")
    x = np.ones((2, 3, 3), "float32")
    served = tf.saved_model.load(tmp_path / "model")
    np.testing.assert_allclose(served.serve(x), model(x), atol=1e-5)
    stateful = tfq_qrnn.QRNN(2, backend=backends.TFQ(max_timesteps=3), stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 3)), stateful])
    with pytest.raises(ValueError, match="`model` must have no stateful layer on the TFQ backend, but "):
        tfq_qrnn.export(model, tmp_path / "stateful")


def test_what_is_no_model_or_no_place_for_one_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"^Argument `model` must be a Keras model, but it is <QRNN"):
        tfq_qrnn.export(qrnn(), tmp_path / "model")
    (tmp_path / "notes.txt").touch()
    model = keras.Sequential([keras.Input((3, 3)), qrnn()])
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match=r"^Argument `path` must be a new folder, or one with a SavedModel, but "):
            tfq_qrnn.export(model, path)
    with pytest.raises(TypeError, match=r"^Argument `path` must be a path, but it is 3"):
        tfq_qrnn.export(model, 3)


@pytest.mark.slow
def test_tflite_converts_it_and_runs_it_where_it_has_the_ops_of_tensorflow(tmp_path, monkeypatch):
    """The block of the page, which compares its numbers itself."""
    page = pathlib.Path(__file__).parents[2] / "docs" / "export.md"
    (block,) = re.findall(r"^```py\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = keras.Sequential([keras.Input((None, 3)), qrnn(), keras.layers.Dense(2)])
    tfq_qrnn.export(model, tmp_path / "exported_model")
    if tf.__version__.startswith("2.18."):
        exec(block, {})
    else:
        with pytest.raises(RuntimeError, match="Flex delegate"):
            exec(block, {})
