"""QuantumAttention against plain numpy, density matrices and keras.layers.Attention."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_circuits import random_state, to_complex

from tfq_qrnn import QuantumAttention

RNG = np.random.default_rng(0)
QUERY, VALUE, KEY = (RNG.uniform(-0.5, 0.5, shape) for shape in ((2, 3, 6), (2, 4, 5), (2, 4, 6)))
QUERY_MASK = np.array([[1, 1, 0], [1, 1, 1]], bool)
VALUE_MASK = np.array([[1, 1, 1, 0], [0, 1, 0, 1]], bool)
VARIANTS = [("additive", None), ("additive", 7), ("dot", None), ("dot", 7), ("overlap", None)]
IDS = ["additive", "additive 7", "dot", "dot 7", "overlap"]


def softmax(scores):
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def scores_by_hand(layer, query, key):
    """One score at a time from the formula in the docstring."""
    scores = np.zeros((len(query), query.shape[1], key.shape[1]))
    for b, i, j in np.ndindex(scores.shape):
        q, k = query[b, i], key[b, j]
        if layer.score == "overlap":
            scores[b, i, j] = sum(np.log((1 + q[s : s + 3] @ k[s : s + 3]) / 2) for s in range(0, len(q), 3))
            continue
        if layer.score == "additive" or layer.units is not None:
            q, k = q @ layer.query_kernel.numpy(), k @ layer.key_kernel.numpy()
        if layer.score == "dot":
            scores[b, i, j] = q @ k
        else:
            scores[b, i, j] = np.tanh(q + k + layer.bias.numpy()) @ layer.score_kernel.numpy()[:, 0]
    return scores


def randomized(score, units, **kwargs):
    layer = QuantumAttention(score, units, dtype="float64", **kwargs)
    layer.build([QUERY.shape, VALUE.shape, KEY.shape])
    layer.set_weights([RNG.normal(size=weight.shape) for weight in layer.weights])
    return layer


@pytest.mark.parametrize(("score", "units"), VARIANTS, ids=IDS)
def test_scores_are_those_of_the_formula(score, units):
    layer = randomized(score, units)
    outputs, weights = layer([QUERY, VALUE, KEY], return_attention_scores=True)
    expected = softmax(scores_by_hand(layer, QUERY, KEY))
    np.testing.assert_allclose(weights, expected, atol=1e-14)  # a dozen operations in float64
    np.testing.assert_allclose(outputs, expected @ VALUE, atol=1e-14)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("score", "units"), VARIANTS, ids=IDS)
def test_masks_hide_values_and_blank_queries(score, units, causal):
    layer = randomized(score, units)
    mask = [QUERY_MASK, VALUE_MASK]
    shown = np.broadcast_to(VALUE_MASK[:, None], (2, 3, 4))
    if causal:  # position i sees positions up to i; a first value that is masked would leave the first query nothing
        mask = [QUERY_MASK, VALUE_MASK | (np.arange(4) == 0)]
        shown = mask[1][:, None] & np.tri(3, 4, dtype=bool)
    outputs, weights = layer([QUERY, VALUE, KEY], mask, return_attention_scores=True, use_causal_mask=causal)
    expected = softmax(np.where(shown, scores_by_hand(layer, QUERY, KEY), -np.inf))
    # Keras subtracts 1e9 from a score that is hidden, and the others are as they were: rounding only
    np.testing.assert_allclose(weights, expected, atol=1e-14)
    np.testing.assert_allclose(outputs, (expected @ VALUE) * QUERY_MASK[:, :, None], atol=1e-14)


@pytest.mark.parametrize("causal", [False, True])
def test_dot_is_the_attention_layer_of_keras(causal):
    ours, theirs = QuantumAttention("dot", dtype="float64"), keras.layers.Attention(dtype="float64")
    call = {"return_attention_scores": True, "use_causal_mask": causal}
    for mask in (None, [QUERY_MASK, np.ones((2, 4), bool)]):
        expected = theirs([QUERY, VALUE, KEY], mask=mask, **call)
        for value, other in zip(ours([QUERY, VALUE, KEY], mask=mask, **call), expected, strict=True):
            np.testing.assert_array_equal(value, other)
    np.testing.assert_array_equal(ours([QUERY, KEY]), theirs([QUERY, KEY]))  # the values are the keys


def reduced_density_matrix(state, qubit):
    n = int(np.log2(len(state)))
    matrix = np.moveaxis(state.reshape((2,) * n), qubit, 0).reshape(2, -1)
    return matrix @ matrix.conj().T


def test_overlap_is_the_product_of_the_overlaps_of_reduced_states():
    """Bloch vectors of random 3-qubit states: the score is log prod_q Tr(rho_q sigma_q)."""
    paulis = [np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    queries, keys = to_complex(random_state(3, 4, 1)), to_complex(random_state(3, 5, 2))

    def readouts(states):  # X0, Y0, Z0, X1, ... as QRNN returns them
        rho = [[reduced_density_matrix(state, q) for q in range(3)] for state in states]
        return np.array([[np.trace(r @ p).real for r in of_state for p in paulis] for of_state in rho])[None]

    expected = np.array(
        [
            [
                np.prod([np.trace(reduced_density_matrix(a, q) @ reduced_density_matrix(b, q)).real for q in range(3)])
                for b in keys
            ]
            for a in queries
        ]
    )
    layer = QuantumAttention("overlap", dtype="float64")
    scores = layer._calculate_scores(tf.constant(readouts(queries)), tf.constant(readouts(keys)))
    np.testing.assert_allclose(np.exp(scores[0]), expected, atol=1e-14)
    _, weights = layer([readouts(queries), readouts(keys)], return_attention_scores=True)
    np.testing.assert_allclose(weights[0], expected / expected.sum(axis=1, keepdims=True), atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_float16", "mixed_bfloat16"])
def test_opposite_pure_states_overlap_by_the_least_there_is(dtype):
    """<0|1> = 0, and log 0 is -inf: 1e-6 stands for it, with weights and gradients that are finite."""
    readouts = tf.constant([[[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])
    layer = QuantumAttention("overlap", dtype=dtype)
    with tf.GradientTape() as tape:
        tape.watch(readouts)
        outputs, weights = layer([readouts, readouts], return_attention_scores=True)
        loss = tf.reduce_sum(tf.cast(outputs, "float32") ** 2)
    assert np.all(np.isfinite(tape.gradient(loss, readouts)))
    # log 1 against log 1e-6 in a softmax: 1e-6 / (1 + 1e-6); in half precision the scores are off by up to 2**-5
    half = "16" in dtype
    np.testing.assert_allclose(np.asarray(weights, "float64")[0, 0, 1], 1e-6, rtol=0.05 if half else 1e-5)


@pytest.mark.parametrize(("policy", "resolution"), [("mixed_float16", 2**-11), ("mixed_bfloat16", 2**-8)])
@pytest.mark.parametrize(("score", "units"), VARIANTS, ids=IDS)
def test_half_precision_is_close_to_float32(score, units, policy, resolution):
    layer, half = QuantumAttention(score, units), QuantumAttention(score, units, dtype=policy)
    inputs = [x.astype("float32") for x in (QUERY, VALUE, KEY)]
    expected = layer(inputs)
    half.build([x.shape for x in inputs])
    half.set_weights(layer.get_weights())
    outputs = half(inputs)
    assert outputs.dtype == half.compute_dtype
    # scores of order 1 are sums of a few rounded products, and weights follow them one to one; values are at most 0.5
    np.testing.assert_allclose(np.asarray(outputs, "float32"), expected, atol=8 * resolution * 0.5)


def test_dropout_drops_weights_in_training_only_and_by_its_seed():
    inputs = [QUERY, VALUE, KEY]
    plain = QuantumAttention("dot", dtype="float64")(inputs, return_attention_scores=True)[1]
    first, second = (QuantumAttention("dot", dropout=0.5, seed=3, dtype="float64") for _ in range(2))
    np.testing.assert_array_equal(first(inputs, return_attention_scores=True)[1], plain)
    outputs, dropped = first(inputs, training=True, return_attention_scores=True)
    np.testing.assert_array_equal(second(inputs, training=True), outputs)
    kept = dropped.numpy() != 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(dropped.numpy()[kept], 2 * plain.numpy()[kept], rtol=1e-15)  # 1/(1 - 0.5)
    assert np.any(first(inputs, training=True).numpy() != outputs.numpy())  # another mask the next time


@pytest.mark.parametrize(("score", "units"), VARIANTS, ids=IDS)
def test_a_model_with_attention_is_saved_and_loaded(score, units, tmp_path):
    query, key = keras.Input((None, 6)), keras.Input((None, 6))
    outputs, weights = QuantumAttention(score, units, dropout=0.1, seed=1)([query, key], return_attention_scores=True)
    model = keras.Model([query, key], [outputs, weights])
    inputs = [QUERY.astype("float32"), KEY.astype("float32")]
    expected = model.predict(inputs, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for value, other in zip(loaded.predict(inputs, verbose=0), expected, strict=True):
        np.testing.assert_array_equal(value, other)


def test_config_holds_every_argument():
    layer = QuantumAttention("additive", units=5, dropout=0.25, seed=7, name="look", dtype="float64", trainable=False)
    again = QuantumAttention.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    for name, value in {"score": "additive", "units": 5, "dropout": 0.25, "seed": 7, "trainable": False}.items():
        assert getattr(again, name) == value
    assert again.dtype == "float64"


def test_learns_which_key_a_query_means():
    """Queries ask for the key with their own Bloch vector; the trained projection finds the rotation between them."""
    rng = np.random.default_rng(0)
    key = rng.normal(size=(64, 5, 3))
    key /= np.linalg.norm(key, axis=-1, keepdims=True)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    query, value = key[:, :1] @ rotation, np.tile(np.eye(5), (64, 1, 1))
    inputs = [keras.Input((1, 3)), keras.Input((5, 5)), keras.Input((5, 3))]
    model = keras.Model(inputs, QuantumAttention("dot", units=6)(inputs))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    wanted = np.tile(np.eye(5)[:1], (64, 1, 1))
    before = model.evaluate([query, value, key], wanted, verbose=0)
    model.fit([query, value, key], wanted, epochs=30, batch_size=64, verbose=0)
    assert model.evaluate([query, value, key], wanted, verbose=0) < before / 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"score": "cosine"}, ValueError, "`score` must be one of 'additive', 'dot', 'overlap', but it is 'cosine'"),
        ({"units": 0}, ValueError, "`units` must be an integer of 1 or more, but it is 0"),
        ({"units": 2.0}, TypeError, "`units` must be an integer of 1 or more, but it is 2.0"),
        ({"score": "overlap", "units": 4}, ValueError, '`units` must be None for score "overlap".*, but it is 4'),
        ({"dropout": 1.0}, ValueError, r"`dropout` must be a number in \[0, 1\), but it is 1.0"),
        ({"dropout": "0.5"}, TypeError, r"`dropout` must be a number in \[0, 1\), but it is '0.5'"),
        ({"seed": -1}, ValueError, "`seed` must be an integer from 0 to 2147483647, but it is -1"),
    ],
)
def test_refuses_arguments(arguments, error, message):
    with pytest.raises(error, match=rf"^Argument {message}"):
        QuantumAttention(**arguments)


@pytest.mark.parametrize(
    ("score", "widths", "message"),
    [
        ("overlap", (6, 9), '"XYZ" readouts of the same qubits for score "overlap", but they are 6 and 9 wide'),
        ("overlap", (4, 4), '"XYZ" readouts of the same qubits for score "overlap", but they are 4 and 4 wide'),
        ("dot", (6, 9), 'have queries as wide as the keys for score "dot".*, but they are 6 and 9 wide'),
    ],
)
def test_refuses_widths_that_do_not_fit_the_score(score, widths, message):
    query, key = (np.zeros((1, 2, width), "float32") for width in widths)
    with pytest.raises(ValueError, match=rf"Argument `inputs` must .*{message}"):
        QuantumAttention(score)([query, key])


def test_nan_in_one_sample_stays_there():
    query = QUERY.copy()
    query[0, 1] = np.nan
    for score in ("additive", "dot", "overlap"):
        layer = randomized(score, None)
        outputs, clean = layer([query, VALUE, KEY]).numpy(), layer([QUERY, VALUE, KEY]).numpy()
        assert np.all(np.isnan(outputs[0, 1]))
        np.testing.assert_array_equal(outputs[1], clean[1])
        np.testing.assert_array_equal(outputs[0, [0, 2]], clean[0, [0, 2]])
