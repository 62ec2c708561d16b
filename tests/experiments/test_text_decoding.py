"""Beam search against brute force on made-up models, the sampler against its probabilities, and BLEU."""

import functools
import itertools

import keras
import numpy as np
import pytest
import sacrebleu
import tensorflow as tf

from experiments.data import translations, vocabulary
from experiments.models import decoding, recurrent, seq2seq

START, END = 0, 1


def history_model(logits):
    """A step function whose next token depends on the whole history, as in a recurrent network.

    `logits(row, history)` gives the logits of row `row` after the tokens of `history`; the state is the history itself.
    """

    def step(tokens, state):
        rows, history = state
        history = tf.concat([history[:, 1:], tokens[:, None]], axis=1)

        def look_up(rows, history):
            values = [logits(int(r), tuple(h[h >= 0])) for r, h in zip(rows, history, strict=True)]
            return np.array(values, np.float32)

        values = tf.numpy_function(look_up, [rows[:, 0], history], tf.float32)
        size = len(logits(0, (START,)))
        return tf.nn.log_softmax(tf.ensure_shape(values, (None, size))), [rows, history]

    def state(rows, steps):
        return [tf.range(rows)[:, None], tf.fill((rows, steps), -1)]

    return step, state


def random_logits(size, seed):
    def logits(row, history):
        return np.random.default_rng([seed, row, *history]).normal(size=size)

    return functools.cache(logits)


def brute_force(logits, row, size, steps):
    """Log-probabilities of all sequences of `steps` tokens, END repeated after the end."""
    found = {}
    for tokens in itertools.product(range(size), repeat=steps):
        end = tokens.index(END) if END in tokens else steps
        if any(token != END for token in tokens[end:]):
            continue
        total, history = 0.0, (START,)
        for token in tokens[: end + 1]:
            values = logits(row, history).astype(np.float64)
            total += values[token] - np.log(np.exp(values).sum())
            history += (token,)
        found[tokens] = total
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_as_wide_as_the_vocabulary_finds_the_best_two_tokens(seed):
    size, rows = 5, 3
    logits = random_logits(size, seed)
    step, state = history_model(logits)
    tokens, scores = tf.function(decoding.beam_search)(step, state(rows, 3), START, END, 2, width=size)
    for row in range(rows):
        found = brute_force(logits, row, size, 2)
        best = max(found, key=found.get)
        assert tuple(tokens[row].numpy()) == best
        np.testing.assert_allclose(scores[row], found[best], atol=1e-5)  # two float32 softmaxes


def test_a_wide_enough_beam_is_brute_force_and_wider_ones_find_more():
    size, steps, rows = 4, 4, 10
    logits = random_logits(size, 7)
    step, state = history_model(logits)
    by_width = {}
    for width in (1, 2, size**steps):
        tokens, scores = decoding.beam_search(step, state(rows, steps + 1), START, END, steps, width)
        for row in range(rows):  # what is returned has the log-probability that is returned with it
            found = brute_force(logits, row, size, steps)
            np.testing.assert_allclose(scores[row], found[tuple(tokens[row].numpy())], atol=1e-5)
        by_width[width] = scores.numpy()
    best = [max(brute_force(logits, row, size, steps).values()) for row in range(rows)]
    np.testing.assert_allclose(by_width[size**steps], best, atol=1e-5)
    assert by_width[1].sum() < by_width[2].sum() < by_width[size**steps].sum() - 1e-3


def test_greedy_takes_the_likeliest_token_and_a_beam_sees_past_it():
    """Token 2 is likelier at first, 0.7 against 0.3, but then 3 is followed by END surely, and 2 by one of three."""

    def logits(row, history):
        table = {(START,): [0, 0, 0.7, 0.3], (START, 2): [0.4, 0.3, 0.3, 0], (START, 3): [0, 1, 0, 0]}
        return np.log(np.array(table.get(history, [0, 1, 0, 0])) + 1e-9)

    step, state = history_model(logits)
    greedy, log_p = decoding.beam_search(step, state(1, 4), START, END, 3)
    np.testing.assert_array_equal(greedy[0], [2, START, END])
    np.testing.assert_allclose(np.exp(log_p), [0.28], rtol=1e-5)
    beam, log_p = decoding.beam_search(step, state(1, 4), START, END, 3, width=2)
    np.testing.assert_array_equal(beam[0], [3, END, END])
    np.testing.assert_allclose(np.exp(log_p), [0.3], rtol=1e-5)
    # per token, log 0.28 / 3 of the longer one is more than log 0.3 / 2
    longer, _ = decoding.beam_search(step, state(1, 4), START, END, 3, width=3, length_penalty=1.0)
    assert longer.numpy().tolist() == [[2, START, END]]


def test_samples_follow_the_probabilities_and_the_seed():
    probabilities = np.array([[0.5, 0.3, 0.2]])

    def step(tokens, state):
        return tf.repeat(tf.math.log(tf.constant(probabilities, tf.float32)), 1000, axis=0), state

    def draw(seed, temperature=1.0):
        return decoding.sample(step, [tf.zeros((1000, 1))], tf.zeros(1000, tf.int32), 4, seed, temperature).numpy()

    np.testing.assert_array_equal(draw(3), draw(3))
    assert np.any(draw(3) != draw(4))
    for temperature in (1.0, 0.5):
        expected = probabilities[0] ** (1 / temperature) / np.sum(probabilities ** (1 / temperature))
        # five standard errors of a share of 4,000 draws
        np.testing.assert_allclose(np.bincount(draw(3, temperature).ravel()) / 4000, expected, atol=5 * 0.5 / 4000**0.5)


STEPPED = [("qrnn", "additive"), ("lstm", "none")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "attention"), STEPPED)
def test_decoding_step_by_step_is_the_model_that_was_trained(kind, attention, tmp_path):
    """The state carried from step to step, masks and beams: log-probabilities are those of one teacher-forced pass."""

    def named(name):
        sizes = {"qubits": 2, "depth": 1, "hidden_units": (4,), "angle_scale": 1.0}
        units = (5, 3) if kind == "lstm" else 6  # a pair is a width, behind a narrower layer
        return recurrent.recurrent_layer(kind, units, **sizes, return_sequences=True, return_state=True, name=name)

    model = seq2seq.encoder_decoder(named, 9, 7, 4, attention)
    model.set_weights([2 * weight for weight in model.get_weights()])  # further from uniform
    path = tmp_path / "model.keras"
    model.save(path)
    source = np.array([[4, 5, 6, 7], [5, 8, 0, 0], [8, 0, 0, 0]], np.int32)
    for width in (1, 3):
        translator = seq2seq.Translator(keras.models.load_model(path), steps=6, width=width)
        tokens, scores = translator(source)
        target = np.concatenate([np.full((3, 1), vocabulary.START), tokens[:, :-1]], axis=1).astype(np.int32)
        ended = np.cumsum(tokens == vocabulary.END, axis=1) - (tokens == vocabulary.END) > 0
        logits = model([source, target]).numpy()
        logits[:, :, [vocabulary.PADDING, vocabulary.START]] = -1e30  # no text holds them
        log_p = tf.nn.log_softmax(logits).numpy()
        picked = np.take_along_axis(log_p, tokens[:, :, None], axis=2)[:, :, 0]
        np.testing.assert_allclose(scores, np.where(ended, 0, picked).sum(axis=1), atol=1e-5)
        if width == 1:
            np.testing.assert_array_equal(np.where(ended, 0, tokens - log_p.argmax(axis=2)), 0)
        # padding changes nothing
        alone, _ = translator(source[2:, :1])
        np.testing.assert_array_equal(alone[0], tokens[2])


def test_attention_weights_are_on_the_source_tokens_alone():
    model = seq2seq.encoder_decoder(
        lambda name: keras.layers.GRU(4, return_sequences=True, return_state=True, name=name), 9, 7, 4
    )
    weights = seq2seq.attention_weights(model, np.array([[4, 5, 6], [5, 0, 0]]), np.array([[2, 4], [2, 5]]))
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-6)
    np.testing.assert_array_equal(weights[1, :, 1:], 0)
    assert np.all(weights[0] > 0)


def test_bleu_of_a_text_that_is_joined_again_is_100():
    texts = ["two thousand, three hundred and forty-five", "What is that? I don't know, (perhaps) 5 %."]
    again = [translations.joined(vocabulary.words(text)) for text in texts]
    assert sacrebleu.corpus_bleu(again, [texts], lowercase=True).score == pytest.approx(100)
    assert sacrebleu.corpus_bleu(["two thousand and five"] * 2, [texts], lowercase=True).score < 20
