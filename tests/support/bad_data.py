"""Nonsense in the data files that the experiments are given by path; see `bad_input`, whose entries have the same form.

A script ends with a message, which is a `SystemExit`, or goes on with data that can be trained on.
"""

import contextlib
import io
import pathlib
import tempfile
import warnings

import numpy as np
from bad_input import arrays, finite, require
from hypothesis import strategies as st

from experiments.data import corpora, images, series, translations
from experiments.data.vocabulary import Vocabulary, words
from experiments.harness.pipelines import Examples
from experiments.tasks import language_model, sentiment, translation

_FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="bad_data"))
_LOAD = {
    "images": images.load_images,
    "series": series.load_series,
    "corpus": corpora.load_corpus,
    "sentiment": corpora.load_sentiment,
    "translation": translations.load_pairs,
}
_RNG = np.random.default_rng(0)
_IMAGES = {"x": _RNG.integers(0, 256, (12, 2, 3)).astype("uint8"), "y": np.arange(12) % 3}
_IMAGES |= {"x_test": _RNG.integers(0, 256, (4, 2, 3)).astype("uint8"), "y_test": np.arange(4) % 3}
_SPLITS = ("train", "validation", "test")
_SERIES = {"x": _RNG.normal(size=(24, 2)), "lengths": np.tile([1, 2, 3], 4), "y": np.arange(12) % 2}
_TS = {
    part: "@problemName p\n@classLabel true a b\n@data\n"
    + "".join(f"{i},{i}.5e-1:1,{-i}:{'ab'[i % 2]}\n" for i in numbers)
    for part, numbers in (("TRAIN", range(8)), ("TEST", range(8, 12)))
}
_TEXTS = {
    "sentiment": "".join(f"{i % 2}\ta text of {['good', 'bad'][i % 2]} number {i}\n" for i in range(12)),
    "translation": "".join(f"ein Satz {i}\ta sentence {i}\n" for i in range(12)),
    "corpus": "".join(f"line {i} of a text that is long enough to be cut in blocks, {i * i}\n" for i in range(300)),
}

# Where in the bytes of a file, and what is written there.
_changes = st.lists(
    st.tuples(st.integers(0, 10**6), st.sampled_from([b"", b"\0", b"\xff\xfe", b"\t", b"\n", b"\x1c", b"9" * 20])),
    max_size=4,
)
_numbers = st.sampled_from([-1, 0, 1, 255, 256, 10**12, -(2**63), 2**63 - 1, np.nan, np.inf, 1e30, 1e300, 1e-300])


def _changed(data, changes):
    for position, new in changes:
        at = position % (len(data) + 1)
        data = data[:at] + new + data[at + len(new) % 5 :]
    return data


@st.composite
def _npz(draw, usual):
    """Arrays as they should be, or with one left out, of another shape or dtype, or with odd numbers in it."""
    found = dict(usual)
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(found)))
        kind = draw(st.sampled_from(["missing", "other", "dtype", "number", "objects", "short"]))
        if kind == "missing":
            del found[name]
        elif kind == "other":
            found[name] = draw(arrays((3,), (3, 2), (2, 3, 2)))
        elif kind == "objects":
            found[name] = np.array([None, {}])
        elif kind == "short":
            found[name] = found[name][: draw(st.integers(0, 3))]
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dtype = draw(st.sampled_from(["float64", "int64", "uint64", "float16", "complex64", "<U9", "bool"]))
                found[name] = np.array(found[name]).astype(dtype if kind == "dtype" else "float64")
            if kind == "number":
                found[name].flat[draw(st.integers(0, found[name].size - 1))] = draw(_numbers)
    return found, draw(st.booleans()), draw(st.one_of(st.just([]), _changes))


def _write(path, value):
    found, compressed, changes = value
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **found)
    path.write_bytes(_changed(buffer.getvalue(), changes))


def _check_examples(splits, n_classes):
    for name, examples in splits.items():
        require(len(examples) > 0, f"no examples in {name}")
        x = examples.x.flat_values.numpy() if hasattr(examples.x, "flat_values") else examples.x
        require(finite(x), f"not finite in {name}")
        y = np.asarray(examples.y)
        require(y.min() >= 0 and y.max() < n_classes <= 1000, f"labels {y.min()}..{y.max()} of {n_classes} classes")
        next(iter(examples.batches(3)))


def _images(value):
    _write(_FOLDER / "images.npz", value)
    data = images.load_images(str(_FOLDER / "images.npz"))
    _check_examples(
        {name: Examples(images.as_sequences(getattr(data, name)[0], 3), getattr(data, name)[1]) for name in _SPLITS},
        data.n_classes,
    )


def _series_npz(value):
    folder = _FOLDER / "npz"
    folder.mkdir(exist_ok=True)
    _write(folder / "series.npz", value)
    data = series.load_series(str(folder))
    _check_examples(data.examples(), len(data.classes))


def _series_ts(value):
    folder = _FOLDER / "ts"
    folder.mkdir(exist_ok=True)
    for (part, text), changes in zip(_TS.items(), value, strict=True):
        (folder / f"p_{part}.ts").write_bytes(_changed(text.encode(), changes))
    data = series.load_series(str(folder))
    _check_examples(data.examples(), len(data.classes))


def _text(value):
    kind, changes = value
    path = _FOLDER / "text"
    path.write_bytes(_changed(_TEXTS[kind].encode(), changes))
    data = _LOAD[kind](str(path))
    require(all(getattr(data, name) for name in _SPLITS), "an empty split")
    if kind == "sentiment":
        vocabulary = Vocabulary.of((words(text) for text, _ in data.train), 100)
        splits = {name: sentiment.numbered(getattr(data, name), vocabulary, 60) for name in _SPLITS}
        _check_examples(splits, 1000)
    elif kind == "corpus":
        vocabulary = Vocabulary.of(map(list, data.train), 100)
        for name in _SPLITS:
            language_model.windows(getattr(data, name), list, vocabulary, 16, 100)
    else:
        pairs = translation.tokenized(data.train, 20)
        sides = [Vocabulary.of((pair[side] for pair in pairs), 100) for side in (0, 1)]
        if pairs:
            next(iter(translation.numbered(pairs, *sides).batches(3)))


def _name(value):
    kind, name = value
    with contextlib.redirect_stderr(io.StringIO()):
        _LOAD[kind](name, str(_FOLDER))


_names = st.one_of(
    st.sampled_from(["", "/dev/zero", "/dev/null", "\0", "Ω" * 1000, "x" * 1000, ".", "..", "nowhere", "/", "\ud800"]),
    st.sampled_from(["tfds:", "tfds:../x", "tfds:mnist", "tfds:mnist/no", "tfds:\0", "tfds:mnist:9.9.9", "tfds:a b"]),
    st.sampled_from(["/dev/zero.npz", "\0.npz", "x" * 1000 + ".npz", str(pathlib.Path(__file__)), "embedded "]),
)
ENTRIES = {
    "experiments: images.npz": (_npz(_IMAGES), _images),
    "experiments: series.npz": (_npz(_SERIES), _series_npz),
    "experiments: series.ts": (st.tuples(_changes, _changes), _series_ts),
    "experiments: texts": (st.tuples(st.sampled_from(sorted(_TEXTS)), _changes), _text),
    "experiments: --dataset": (st.tuples(st.sampled_from(sorted(_LOAD)), _names), _name),
}
