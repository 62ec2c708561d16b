"""MemoryMonitor writes what `trace` says, and training does not notice it."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tfq_qrnn

X = np.random.default_rng(0).normal(size=(16, 5, 4)).astype("float32")
Y = np.random.default_rng(1).integers(2, size=16)


def model(**arguments):
    keras.utils.set_random_seed(7)
    one = keras.Sequential(
        [
            keras.Input((5, 4)),
            keras.layers.Dropout(0.2),
            tfq_qrnn.QRNN(2, dropout=0.1, recurrent_dropout=0.1, **arguments),
            keras.layers.Dense(2),
        ]
    )
    one.compile(keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return one


def read(folder):
    events = EventAccumulator(str(folder / "memory"), size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    return events


def tensors(events, tag):
    return {event.step: tf.make_ndarray(event.tensor_proto) for event in events.Tensors(tag)}


def test_scalars_are_those_of_the_trace(tmp_path):
    one = model()
    before = tfq_qrnn.trace(one, X[:3])
    one.fit(X, Y, epochs=3, callbacks=[tfq_qrnn.MemoryMonitor(X[:3], tmp_path, every=3, images=False)], verbose=0)
    after = tfq_qrnn.trace(one, X[:3])
    events = read(tmp_path)
    for step, seen in ((0, before), (3, after)):
        expected = {
            "purity": seen.purities().mean(),
            "entropy": seen.entanglement_entropies().mean(),
            "fidelity_to_first": seen.fidelities()[:, 0].mean(),
            "readout_norm": np.linalg.norm(seen.readouts, axis=-1).mean(),
            "angle_norm": np.linalg.norm(seen.angles, axis=-1).mean(),
        }
        for name, value in expected.items():
            logged = tensors(events, f"memory/{name}")
            assert sorted(logged) == [0, 3]
            # one and the same computation, in float32
            assert logged[step] == pytest.approx(value, rel=1e-5), name
    assert before.angles.std() != pytest.approx(after.angles.std(), rel=0.01)


@pytest.mark.slow
def test_histograms_and_images(tmp_path):
    one = model()
    one.fit(X, Y, epochs=1, callbacks=[tfq_qrnn.MemoryMonitor(X[:3], tmp_path)], verbose=0)
    events, seen = read(tmp_path), tfq_qrnn.trace(one, X[:3])
    for name, values in (("angles", seen.angles), ("readouts", seen.readouts), ("purities", seen.purities())):
        left, right, count = tensors(events, f"memory/{name}")[1].T
        assert count.sum() == values.size
        assert (left[0], right[-1]) == pytest.approx((values.min(), values.max()), rel=1e-5)
    for name in ("glance", "bloch_vectors"):
        width, height, png = tensors(events, f"memory/{name}")[1][:3]
        picture = tf.image.decode_png(png).numpy()
        assert picture.shape[:2] == (int(height), int(width))
        assert picture[..., :3].std() > 10  # it is no blank sheet


@pytest.mark.slow
def test_training_is_the_same_with_and_without(tmp_path):
    weights, states = [], []
    for callbacks in ([], [tfq_qrnn.MemoryMonitor(X[:3], tmp_path, every=2)]):
        one = model()
        random.seed(0)
        np.random.seed(0)
        one.fit(X, Y, epochs=2, callbacks=callbacks, verbose=0)
        weights.append([np.array(variable) for variable in one.variables + one.optimizer.variables])
        states.append((random.getstate(), np.random.get_state()[1].tolist(), np.array(keras.random.uniform((3,)))))
    assert len(weights[0]) > 10  # the states of the seed generators are among them
    for without, with_it in zip(*weights, strict=True):
        np.testing.assert_array_equal(with_it, without)
    assert states[0][:2] == states[1][:2]
    np.testing.assert_array_equal(states[0][2], states[1][2])


def test_finds_the_layer_in_a_functional_model_with_masks(tmp_path):
    keras.utils.set_random_seed(0)
    tokens = np.array([[1, 2, 3, 0], [2, 0, 0, 0]])
    inputs = keras.Input((4,), dtype="int32")
    embedded = keras.layers.Embedding(5, 3, mask_zero=True)(inputs)
    sequence = tfq_qrnn.QRNN(2, return_sequences=True, name="lower")(embedded)
    one = keras.Model(inputs, keras.layers.Dense(1)(tfq_qrnn.QRNN(3, name="upper")(sequence)))
    one.compile("sgd", "mse")
    for name, layer in (("a", "upper"), ("b", one.get_layer("lower"))):
        monitor = tfq_qrnn.MemoryMonitor(tokens, tmp_path / name, layer=layer, images=False)
        one.fit(tokens, np.zeros(2), epochs=1, callbacks=[monitor], verbose=0)
    for name, layer in (("a", "upper"), ("b", "lower")):
        seen = tfq_qrnn.trace(one.get_layer(layer), tokens, model=one)
        if layer == "lower":
            np.testing.assert_array_equal(seen.mask, tokens > 0)
            purity = tensors(read(tmp_path / name), "memory/purity")[1]
            assert purity == pytest.approx(seen.purities().mean(-1)[tokens > 0].mean(), rel=1e-5)
        assert len(tensors(read(tmp_path / name), "memory/angles")) == 2
    for layer in (None, "middle"):
        monitor = tfq_qrnn.MemoryMonitor(tokens, tmp_path, layer=layer)
        with pytest.raises(ValueError, match=r"^Argument `layer` must .*(lower|upper)"):
            one.fit(tokens, np.zeros(2), callbacks=[monitor], verbose=0)


def test_refuses_at_the_door(tmp_path):
    with pytest.raises(ValueError, match=r"^Argument `every` must be an integer of 1 or more, but it is 0"):
        tfq_qrnn.MemoryMonitor(X, tmp_path, every=0)
    with pytest.raises(TypeError, match=r"^Argument `layer` must be a QRNN"):
        tfq_qrnn.MemoryMonitor(X, tmp_path, layer=keras.layers.LSTM(2))
    one = keras.Sequential([keras.layers.LSTM(2)])
    one.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"^Argument `layer` must contain exactly one QRNN .*, but it contains none"):
        one.fit(X, np.zeros((16, 2)), callbacks=[tfq_qrnn.MemoryMonitor(X, tmp_path)], verbose=0)
