"""Tokens, and the numbers that stand for them in a model."""

import collections
import re

from experiments.late import late

keras, tf, records = late("keras", "tensorflow", "experiments.harness.records")

PADDING, UNKNOWN, START, END = range(4)
_WORD = re.compile(r"\n|\w+(?:['\u2019]\w+)*|[^\w\s]")


def words(text):
    """Lower-case words, marks and line ends of a text."""
    return _WORD.findall(text.lower())


class Vocabulary:
    """The tokens that a model knows, the most frequent first, in a Keras StringLookup. Number 0 is padding; see above.

    Its own `adapt` would put tokens of the same count in another order, and could not leave out rare ones; and what
    cuts texts here, Unicode words or German numbers in parts, is not in TensorFlow's regular expressions, which a
    TextVectorization would need.

    Args:
        tokens: A list of tokens, without the special ones.
    """

    def __init__(self, tokens):
        special = {"mask_token": "", "oov_token": "<unknown>"}
        self._lookup = keras.layers.StringLookup(vocabulary=["<start>", "<end>", *tokens], **special)
        self.tokens = list(map(str, self._lookup.get_vocabulary()))

    @classmethod
    def of(cls, texts, size, at_least=1):
        """The `size` most frequent tokens that occur `at_least` so often in lists of tokens: those to train on."""
        counts = collections.Counter(token for tokens in texts for token in tokens)
        common = sorted(counts, key=lambda token: (-counts[token], token))[:size]
        return cls([token for token in common if counts[token] >= at_least])

    def __len__(self):
        return len(self.tokens)

    def encode(self, texts):
        """Lists of tokens as int32 numbers, a ragged tensor; a token that is not known is UNKNOWN."""
        tokens = tf.constant([token for text in texts for token in text], tf.string)
        numbers = tf.cast(self._lookup(tokens), tf.int32)
        return tf.RaggedTensor.from_row_lengths(numbers, [len(text) for text in texts])

    def decode(self, numbers):
        """The tokens up to END, without the other special ones."""
        numbers = list(map(int, numbers))
        numbers = numbers[: numbers.index(END)] if END in numbers else numbers
        return [self.tokens[number] for number in numbers if number > END or number == UNKNOWN]

    def save(self, path):
        """The list of all tokens, special ones too, at the places of their numbers, as JSON."""
        records.write_json(path, self.tokens)
