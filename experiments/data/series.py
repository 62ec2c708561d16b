"""Labelled multivariate time series of different lengths, with a fixed split."""

import dataclasses
import hashlib
import io
import os
import pathlib
import re
import sys

import numpy as np

from experiments.data import files, packages
from experiments.data.catalogue import licence, load_splits
from experiments.late import late

pd, pipelines = late("pandas", "experiments.harness.pipelines")

DATASETS = """"embedded" (JapaneseVowels, in the package aeon; fetched once by `make data`), "tfds:NAME" (any set of
TensorFlow Datasets with a label and one other feature, of shape (time,) or (time, channels)), or your own series: a
file FILE.csv with a row for each time step and the columns series, label and one for each channel; or a folder with
NAME_TRAIN.ts and NAME_TEST.ts in the format of the UCR and UEA archives, with @classLabel true, or with series.npz of x
(all time steps, channels), the series one after the other, lengths (count,) and y (count,), labels from 0. A fifth
validates, and where there is no test set a fifth tests, by hash"""

PADDING = -1e30  # no measured value; a Masking layer takes it away
_VOWELS = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"


@dataclasses.dataclass(frozen=True)
class Series:
    """Series, arrays `(time, channels)`, and labels `(count,)`, by split."""

    name: str
    licence: str
    classes: tuple[str, ...]
    train: tuple[list[np.ndarray], np.ndarray]
    validation: tuple[list[np.ndarray], np.ndarray]
    test: tuple[list[np.ndarray], np.ndarray]

    def examples(self, limit=None):
        """The splits as `Examples`, each channel standardized by its mean and deviation over what is trained on."""
        values = np.concatenate(self.train[0])
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is not finite, and is refused
            mean, deviation = values.mean(0), values.std(0)
        # a channel that changes by its rounding alone is centred and no more
        deviation = np.where(deviation <= 1e-12 * np.abs(values).max(0), 1, deviation)
        if not (np.isfinite(mean) & np.isfinite(deviation)).all():
            sys.exit(f"The values of {self.name} are too large to be standardized.")
        found = {}
        for name in ("train", "validation", "test"):
            x, y = getattr(self, name)
            count = limit if name == "train" or not limit else max(1, limit // 5)
            with np.errstate(over="ignore"):
                x = [((one - mean) / deviation).astype(np.float32) for one in x[:count]]
            if not all((one > PADDING).all() and np.isfinite(one).all() for one in x):
                sys.exit(f"{self.name} has values that are out of all proportion to those that are trained on.")
            found[name] = pipelines.Examples(pipelines.ragged(x), y[:count], padding=PADDING)
        return found


def load_series(dataset, data_dir=None, download=False):
    """The series of a name, one of `DATASETS`.

    The test set is that of the data where they have one. What validates, a fifth of the rest, depends on the hash of a
    series; no series is in two splits, and none twice in one.
    """
    if dataset == "embedded":
        parts = [packages.read("aeon", _VOWELS.format(part), data_dir) for part in ("TRAIN", "TEST")]
        texts = [data.decode() for part in parts for data in part.values()]
        return _from_ts("JapaneseVowels", packages.PACKAGES["aeon"].licence, texts)
    if dataset.startswith("tfds:"):
        return _tfds(dataset.removeprefix("tfds:"), data_dir, download)
    if dataset.endswith(".csv"):
        return _from_csv(dataset)
    folder = pathlib.Path(dataset)
    if os.path.isdir(folder):  # which takes every text, as pathlib does not
        parts = [sorted(folder.glob(f"*_{part}.ts")) for part in ("TRAIN", "TEST")]
        if list(map(len, parts)) == [1, 1]:
            texts = [files.read_text(path, errors="replace") for (path,) in parts]
            return _from_ts(parts[0][0].stem.removesuffix("_TRAIN"), "your own", texts)
        if (folder / "series.npz").exists():
            return _from_npz(folder / "series.npz")
    sys.exit(
        'Argument `--dataset` must be "embedded", "tfds:NAME", a file FILE.csv or a folder with NAME_TRAIN.ts and '
        f"NAME_TEST.ts or with series.npz, but it is {dataset!r}. See --help."
    )


def parse_ts(text):
    """The series and the labels of a text in the .ts format: `[(time, channels)]` and `[label]`.

    A line is a series, its channels separated by colons, their values by commas, its label last.
    """
    head, _, body = re.split(r"(?im)^(@data)\s*$", text, maxsplit=1) if re.search(r"(?im)^@data", text) else ("",) * 3
    if not re.search(r"(?im)^@classlabel\s+true", head):
        raise ValueError("it has no @classLabel true before its @data")
    series, labels = [], []
    for number, line in enumerate(filter(None, map(str.strip, body.splitlines())), 1):
        *channels, label = line.split(":")
        values = [[float(value) for value in channel.split(",")] for channel in channels]
        if not values or len(set(map(len, values))) > 1:
            raise ValueError(f"the channels of its series {number} are not of one length")
        one = np.array(values, np.float64).T
        if not np.isfinite(one).all():
            raise ValueError(f"its series {number} has values that are missing or infinite")
        series.append(one)
        labels.append(label)
    return series, labels


def _from_ts(name, licence, texts):
    try:
        parts = [parse_ts(text) for text in texts]
    except ValueError as error:
        sys.exit(f"The series {name} cannot be read: {error}.")
    if len({one.shape[1] for series, _ in parts for one in series}) != 1 or not all(series for series, _ in parts):
        sys.exit(f"The series {name} must be one or more in each file, all of as many channels.")
    classes = sorted({label for _, labels in parts for label in labels})
    numbers = {label: number for number, label in enumerate(classes)}
    return _split(name, licence, classes, *((x, np.array([numbers[y] for y in labels])) for x, labels in parts))


def _from_csv(path):
    text = files.read_text(path)
    try:
        table = pd.read_csv(io.StringIO(text), dtype={"series": str, "label": str})
    except ValueError as error:  # as pandas's own are
        sys.exit(f"{path} cannot be read as CSV: {error}")
    channels = [name for name in table.columns if name not in ("series", "label")]
    if not {"series", "label"} < set(table.columns) or table[["series", "label"]].isna().any(axis=None):
        sys.exit(f"{path} must have the columns series and label and one for each channel, the first two filled in.")
    values = table[channels].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if (bad := np.flatnonzero(~np.isfinite(values).all(axis=1))).size:
        sys.exit(f"{path} must have a finite number for each channel, but time step {bad[0] + 1} of the file has not.")
    series, labels = [], []
    for name, rows in table.groupby("series", sort=False):
        if rows.label.nunique() > 1:
            sys.exit(f"{path} must give all time steps of a series one label, but those of {name} have several.")
        series.append(values[rows.index])
        labels.append(rows.label.iloc[0])
    classes = sorted(set(labels))
    y = np.array([classes.index(label) for label in labels], np.int64)
    return _split(pathlib.Path(path).name, "your own", classes, (series, y))


def _from_npz(path):
    found = files.read_arrays(path, ("x", "lengths", "y"))
    if not {"x", "lengths", "y"} <= found.keys():
        sys.exit(f"{path} must have arrays x, lengths and y, but it has {sorted(found)}.")
    x, lengths, y = found["x"], found["lengths"], found["y"]
    if x.ndim != 2 or not x.size or lengths.ndim != 1 or y.shape != lengths.shape or lengths.sum() != len(x):
        sys.exit(
            f"{path} must hold x (time steps, channels), lengths that add up to them, and a label for each length, but "
            f"it holds {x.shape}, {lengths.shape} with the sum {lengths.sum()}, and {y.shape}."
        )
    if (
        {lengths.dtype.kind, y.dtype.kind} - set("iu")
        or not 1 <= lengths.min() <= lengths.max() <= len(x)
        or y.min() < 0
        or y.max() >= len(y)
    ):
        sys.exit(
            f"{path} must hold integers of 1 or more as lengths, and from 0 and below {len(y)}, the number of series, "
            f"as labels, but it holds {lengths.dtype} from {lengths.min()} on, and {y.dtype} in {y.min()}..{y.max()}."
        )
    series = np.split(x.astype(np.float64), np.cumsum(lengths)[:-1])
    return _split(path.parent.name, "your own", list(map(str, range(y.max() + 1))), (series, y.astype(np.int64)))


def _tfds(name, data_dir, download):
    splits, parts = load_splits(name, data_dir, download), []
    for split in ("train", "test"):
        keys = [key for key, value in splits[split][0].items() if key != "label" and np.ndim(value) in (1, 2)]
        if len(keys) != 1 or "label" not in splits[split][0]:
            sys.exit(f"{name!r} must have a label and one feature (time,) or (time, channels), but it has {keys}.")
        series = [np.asarray(one[keys[0]], np.float64) for one in splits[split]]
        series = [one[:, None] if one.ndim == 1 else one for one in series]
        parts.append((series, np.array([int(one["label"]) for one in splits[split]])))
    classes = list(map(str, range(1 + max(labels.max() for _, labels in parts))))
    return _split(name, licence(name), classes, *parts)


def _split(name, licence, classes, rest, test=None):
    rest = _distinct_by_hash(*rest)
    if test is not None:
        test = _distinct_by_hash(*test)
        tested = {one.tobytes() for one in test[0]}
        kept = [i for i, one in enumerate(rest[0]) if one.tobytes() not in tested]
        rest = [rest[0][i] for i in kept], rest[1][kept]
    held_out = max(1, len(rest[0]) // 5)
    if test is None:
        test, rest = _cut(rest, slice(held_out)), _cut(rest, slice(held_out, None))
    parts = _cut(rest, slice(held_out, None)), _cut(rest, slice(held_out)), test
    if not all(map(len, (part[0] for part in parts))):
        sys.exit(f"{name} has too few different series to train on some, and to validate and test on others.")
    return Series(name, licence, tuple(classes), *parts)


def _cut(split, part):
    return split[0][part], split[1][part]


def _distinct_by_hash(series, labels):
    """Series in the order of their hashes, each once."""
    digests = {}
    for index, one in enumerate(series):
        digests.setdefault(hashlib.sha256(np.ascontiguousarray(one).data).digest(), index)
    order = [digests[digest] for digest in sorted(digests)]
    return [series[i] for i in order], labels[order]
