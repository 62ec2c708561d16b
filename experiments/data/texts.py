"""Sets of texts with a fixed split: what is shared by sentiment, language models and translation.

Which example goes where depends on the hash of a key alone, and nothing that a key names is in two splits.
"""

import dataclasses
import hashlib
import sys

from experiments.data import catalogue


@dataclasses.dataclass(frozen=True)
class Texts:
    """Examples by split, in a fixed order: `(text, label)`, a document, or `(source, target)`."""

    name: str
    licence: str
    train: list
    validation: list
    test: list

    def __str__(self):
        sizes = f"{len(self.train):,} to train on, {len(self.validation):,} to validate, {len(self.test):,} to test"
        return f"{self.name}: {sizes}. Licence: {self.licence}."

    def limited(self, count):
        """The same with `count` training examples at most, and a fifth as many in each other split."""
        few = max(1, count // 5)
        return dataclasses.replace(
            self, train=self.train[:count], validation=self.validation[:few], test=self.test[:few]
        )


def split_by_hash(examples, key):
    """Training, validation and test examples, 8:1:1 of the keys; those of one key stay together.

    Args:
        examples: A list.
        key: Function of an example: what must not be in two splits, as a string.
    """
    groups = {}
    for example in examples:
        groups.setdefault(key(example), []).append(example)
    if len(groups) < 3:
        sys.exit(f"A set of texts must have 3 parts or more to be split, but there are {len(groups)}.")
    names = sorted(groups, key=_hash)
    held_out = max(1, len(names) // 10)
    parts = names[2 * held_out :], names[held_out : 2 * held_out], names[:held_out]
    return tuple(
        # in an order in which the first ones stand for all, and not for the first key
        sorted((example for name in part for example in groups[name]), key=lambda example: _hash(repr(example)))
        for part in parts
    )


def _hash(text):
    return hashlib.sha256(text.encode()).digest()


def without_leaks(train, validation, test, keys):
    """The three splits without repetitions, and without training examples that share a key with one to test on.

    Args:
        train, validation, test: Lists of examples.
        keys: Function of an example: the strings of which none may be in two splits.
    """
    seen, kept = set(), []
    for examples in (test, validation, train):
        kept.append([example for example in dict.fromkeys(examples) if seen.isdisjoint(keys(example))])
        seen.update(key for example in kept[-1] for key in keys(example))
    if not all(kept):
        sys.exit("Without what is to be tested on there is nothing to train on, or nothing to validate on.")
    return tuple(reversed(kept))


def load_tfds(name, read, keys, data_dir=None, download=False, limit=None):
    """A set of TensorFlow Datasets as `Texts`.

    Args:
        name: Its name, with a config where it has several.
        read: What makes an example of ours from one of theirs; None leaves it out.
        keys: As in `without_leaks`.
        data_dir: Where TensorFlow Datasets keeps its data.
        download: Whether it may download what is not there.
        limit: Read this many examples of a split at most.

    Where the test split holds nothing (its labels are kept secret), the validation split is the test; where there is
    no other, a tenth of the training split validates.
    """
    found = catalogue.load_splits(name, data_dir, download, limit)
    splits = ("train", "validation", "test")
    try:
        parts = {split: [text for text in map(read, found.get(split, [])) if text is not None] for split in splits}
    except KeyError as error:
        sys.exit(f"{name!r} is no set of such texts: its examples have no {error}.")
    if not parts["test"]:
        parts["test"], parts["validation"] = parts["validation"], []
    if not parts["test"]:
        sys.exit(f"{name!r} has no texts to test on.")
    if not parts["validation"]:
        rest, parts["validation"], other = split_by_hash(parts["train"], lambda example: min(keys(example)))
        parts["train"] = rest + other
    return Texts(name, catalogue.licence(name), *without_leaks(**parts, keys=keys))
