"""Tokens, and the numbers that stand for them in a model."""

import collections
import json
import pathlib
import re

import numpy as np

PADDING, UNKNOWN, START, END = range(4)
_SPECIAL = ["", "<unknown>", "<start>", "<end>"]
_WORD = re.compile(r"\n|\w+(?:['\u2019]\w+)*|[^\w\s]")


def words(text):
    """Lower-case words, marks and line ends of a text."""
    return _WORD.findall(text.lower())


class Vocabulary:
    """The tokens that a model knows, the most frequent first. Number 0 is padding; see the constants above.

    Args:
        tokens: A list of tokens, without the special ones.
    """

    def __init__(self, tokens):
        self.tokens = [*_SPECIAL, *tokens]
        self._numbers = {token: number for number, token in enumerate(tokens, len(_SPECIAL))}

    @classmethod
    def of(cls, texts, size, at_least=1):
        """The `size` most frequent tokens that occur `at_least` so often in lists of tokens: those to train on."""
        counts = collections.Counter(token for tokens in texts for token in tokens)
        common = sorted(counts, key=lambda token: (-counts[token], token))[:size]
        return cls([token for token in common if counts[token] >= at_least])

    def __len__(self):
        return len(self.tokens)

    def encode(self, tokens):
        """int32 numbers; a token that is not known is UNKNOWN."""
        return np.array([self._numbers.get(token, UNKNOWN) for token in tokens], np.int32)

    def decode(self, numbers):
        """The tokens up to END, without the other special ones."""
        numbers = list(map(int, numbers))
        numbers = numbers[: numbers.index(END)] if END in numbers else numbers
        return [self.tokens[number] for number in numbers if number > END or number == UNKNOWN]

    def save(self, path):
        pathlib.Path(path).write_text(json.dumps(self.tokens[len(_SPECIAL) :], ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def load(cls, path):
        return cls(json.loads(pathlib.Path(path).read_text("utf-8")))
