"""From a model's next-token probabilities to sequences: greedy, by beam search, or at random.

All of them take `step(tokens, state) -> (log_probabilities, state)`: `tokens (rows,)` int32 are the last ones of every
row, `state` is a list of tensors `(rows, ...)`, log_probabilities `(rows, tokens)`. They run inside tf.function.
"""

import tensorflow as tf

_NEVER = -1e9  # a log-probability that no sequence of possible tokens comes near to, and no -inf * 0


def beam_search(step, state, start, end, steps, width=1, length_penalty=0.0):
    """The most probable sequence that was found, for every row.

    At each step the `width` best beginnings of a row are kept; one that has ended stays as it is. With `width=1` it is
    greedy decoding.

    Args:
        step: See above; called with `rows * width` rows, those of a row next to each other.
        state: States `(rows, ...)` before the first step.
        start, end: The tokens before the first one, and after the last.
        steps: How many tokens a sequence may have, with its end.
        width: How many beginnings to keep.
        length_penalty: The winner has the highest log-probability / length**length_penalty.

    Returns:
        tokens `(rows, steps)` int32, `end` after the end; and their log-probabilities `(rows,)`.
    """
    rows = tf.shape(state[0])[0]
    first_beam = tf.range(width) == 0  # the others start as copies of it, and must not count
    scores = tf.where(first_beam[None], tf.zeros((rows, 1)), _NEVER)
    tokens = tf.fill((rows, width, steps), end)
    last = tf.fill((rows, width), start)
    ended = tf.zeros((rows, width), tf.bool)
    lengths = tf.zeros((rows, width), tf.int32)
    state = [tf.repeat(part, width, axis=0) for part in state]

    def body(i, tokens, last, scores, ended, lengths, state):
        shapes = [part.shape for part in state]
        log_probabilities, state = step(tf.reshape(last, (-1,)), state)
        size = log_probabilities.shape[-1]
        log_probabilities = tf.cast(tf.reshape(log_probabilities, (rows, width, size)), tf.float32)
        only_end = tf.where(tf.range(size) == end, 0.0, _NEVER)
        log_probabilities = tf.where(ended[:, :, None], only_end, log_probabilities)
        totals = tf.reshape(scores[:, :, None] + log_probabilities, (rows, width * size))
        scores, best = tf.math.top_k(totals, width)
        parents, last = best // size, best % size
        tokens, ended, lengths = (tf.gather(x, parents, batch_dims=1) for x in (tokens, ended, lengths))
        lengths += tf.cast(~ended, tf.int32)
        ended |= last == end
        tokens = tf.where(tf.range(steps) == i, last[:, :, None], tokens)
        flat = tf.reshape(parents + width * tf.range(rows)[:, None], (-1,))
        state = [tf.ensure_shape(tf.gather(part, flat), s) for part, s in zip(state, shapes, strict=True)]
        return i + 1, tokens, last, scores, ended, lengths, state

    loop = (tf.constant(0), tokens, last, scores, ended, lengths, state)
    _, tokens, _, scores, _, lengths, _ = tf.while_loop(
        lambda i, tokens, last, scores, ended, *_: (i < steps) & ~tf.reduce_all(ended), body, loop
    )
    winner = tf.argmax(scores / tf.cast(tf.maximum(lengths, 1), tf.float32) ** length_penalty, axis=1)
    return tf.gather(tokens, winner, batch_dims=1), tf.gather(scores, winner, batch_dims=1)


def sample(step, state, last, steps, seed, temperature=1.0):
    """Tokens `(rows, steps)` drawn one after the other; the same for the same seed.

    Args:
        step, state: See above.
        last: Tokens `(rows,)` before the first that is drawn.
        steps: How many to draw.
        seed: An integer.
        temperature: Below 1 the probable tokens become more probable still.
    """
    drawn = tf.TensorArray(tf.int32, steps)

    def body(i, last, drawn, state):
        log_probabilities, state = step(last, state)
        token = tf.random.stateless_categorical(log_probabilities / temperature, 1, (seed, i), tf.int32)[:, 0]
        return i + 1, token, drawn.write(i, token), state

    _, _, drawn, _ = tf.while_loop(lambda i, *_: i < steps, body, (tf.constant(0), last, drawn, state))
    return tf.transpose(drawn.stack())
