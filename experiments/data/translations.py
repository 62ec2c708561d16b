"""German-English pairs: number words, the phrases of a dictionary, sets of TensorFlow Datasets, and files."""

import dataclasses
import pathlib
import re
import sys

import numpy as np

from experiments.data.files import read_text
from experiments.data.texts import Texts, load_tfds, split_by_hash, without_leaks
from experiments.data.vocabulary import words
from experiments.late import late

(num2words,) = late("num2words")

PAIRS = """"embedded": number words; "few": the same with 500 to train on; "longer": trained with numbers below 10,000,
tested with those above; "ding": sentences of the dictionary Ding, from the Debian package trans-de-en;
"tfds:NAME": a set of TensorFlow Datasets with "de" and "en", such as tfds:wmt14_translate/de-en; or a UTF-8 file of
lines source<TAB>target, in any two languages, of which a tenth validates and a tenth tests, by hash"""

_COUNT, _BELOW = 12_000, 1_000_000  # number words: how many numbers, and from where
_FEW, _SHORT = 500, 10_000  # of "few" and "longer"
# German writes a number in one word. "und" last: it is in "hundert" and "tausend".
_PARTS = re.compile(
    "hundert|tausend|zwanzig|dreißig|vierzig|fünfzig|sechzig|siebzig|achtzig|neunzig|"
    "zehn|elf|zwölf|null|eins|eine|ein|zwei|drei|vier|fünf|sechs|sech|sieben|sieb|acht|neun|und"
)
DICTIONARY = pathlib.Path("/usr/share/trans/de-en")  # of the Debian package trans-de-en
_MARK = re.compile(r"[.!?]")
_NOTES = re.compile(r"\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|<[^>]*>|/[^/ ]*/")
_NO_SENTENCE = re.compile(r"\.\.\.|[/+|<>“”„~=]|\b(jdm|jdn|jds|etw|sb|sth)\b")


def load_pairs(dataset, data_dir=None, download=False, limit=None):
    """Pairs of a German and an English text.

    Args:
        dataset: "embedded" for number words, 9,600 to train on; "few" for the same with 500 to train on; "longer" for
            number words of which those to train on and to validate are below 10,000, and those to test are not;
            "ding" for the sentences of the dictionary Ding, where it is installed; "tfds:NAME" for a set of TensorFlow
            Datasets with "de" and "en"; or a file of lines `source<TAB>target`, in any two languages.
        data_dir: Where TensorFlow Datasets keeps its data.
        download: Whether TensorFlow Datasets may download what is not there.
        limit: Read, or make, this many training pairs at most.
    """
    if dataset.startswith("tfds:"):
        return load_tfds(dataset.removeprefix("tfds:"), _german_english, _sides, data_dir, download, limit)
    if dataset in ("embedded", "few", "longer"):
        return _number_words(dataset, limit)
    if dataset == "ding":
        name, licence, pairs = (
            "Ding, sentences",
            "GPL-2 or later (Frank Richter, TU Chemnitz)",
            list(_ding(DICTIONARY)),
        )
    else:
        name, licence = dataset, "that of your file"
        pairs = [_two(line) for line in read_text(dataset).splitlines() if line.strip()]
    splits = split_by_hash(pairs, lambda pair: pair[0].casefold())
    return Texts(name, licence, *without_leaks(*splits, _sides))


def _number_words(kind, limit):
    """Numbers below a million in words; German names units before tens, English after them."""
    numbers = np.random.default_rng(0).choice(_BELOW, _COUNT, replace=False).tolist()
    name = "German number words"
    train, validation, test = split_by_hash(numbers, str)
    if kind == "few":
        name, train = f"{name}, {_FEW} to train on", train[:_FEW]
    elif kind == "longer":
        name = f"{name}, those to test on longer than those to train on"
        train, validation, _ = split_by_hash(range(_SHORT), str)
        test = [number for number in test if number >= _SHORT]
    splits = Texts(name, "none needed, they are made by num2words", train, validation, test)
    if limit:
        splits = splits.limited(limit)  # making them takes seconds
    spelled = {
        split: [
            tuple(num2words.num2words(number, lang=language) for language in ("de", "en"))
            for number in getattr(splits, split)
        ]
        for split in ("train", "validation", "test")
    }
    return dataclasses.replace(splits, **spelled)


def _ding(path):
    """The whole sentences of lines `german | ... :: english | ...`, with synonyms after ";" and notes in brackets."""
    if not path.exists():
        sys.exit(
            f"The dictionary Ding is not in {path}. On Debian and Ubuntu: apt-get install trans-de-en. "
            "Its licence is GPL-2 or later; it is read where it is."
        )
    for line in path.read_text(encoding="utf-8").splitlines():
        german, _, english = line.partition(" :: ")
        sides = [[part.split(";")[0] for part in side.split(" | ")] for side in (german, english)]
        if line.startswith("#") or len(sides[0]) != len(sides[1]):
            continue
        for pair in zip(*sides, strict=True):
            if all(map(_MARK.search, pair)) and all(map(_is_sentence, plain := tuple(map(_plain, pair)))):
                yield plain


def _plain(text):
    return re.sub(r" ([.,!?])", r"\1", " ".join(_NOTES.sub(" ", text).split()))


def _is_sentence(text):
    return (
        text[-1:] in {".", "!", "?"}
        and text[0].isupper()
        and 3 <= len(text.split()) <= 30
        and not _NO_SENTENCE.search(text)
    )


def source_tokens(text):
    """Lower-case words; German number words in their parts: "zweiundvierzig" is zwei, und, vierzig."""
    return [part for word in words(text) for part in (_PARTS.findall(word) if _PARTS.sub("", word) == "" else [word])]


def target_tokens(text):
    return words(text)


def joined(tokens):
    """A text of tokens of `words`: no space before a mark, none around a hyphen."""
    return re.sub(r" ?- ?", "-", re.sub(r" ([.,;:!?)%])", r"\1", " ".join(tokens)))


def _two(line):
    parts = line.split("\t")
    if len(parts) != 2:
        sys.exit(f"Every line of the file must be a source, a tab and a target, but one is {line!r}.")
    return parts[0].strip(), parts[1].strip()


def _german_english(example):
    return example["de"].decode().strip(), example["en"].decode().strip()


def _sides(pair):
    return {"source: " + pair[0].casefold(), "target: " + pair[1].casefold()}
