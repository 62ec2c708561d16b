"""Time series: the data are the published ones or one's own, the script learns on a slice of them."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.data import packages, series
from experiments.tasks import time_series


def lines(*rows):
    return "\n".join(["@problemName tiny", "@classLabel true a b", "@DATA", *rows])


TRAIN = lines(*(f"{i},{i + 1},{i}.5:{-i},0,1:a" if i % 2 else f"{i}e-1,2:{i},3:b" for i in range(20)))
TEST = lines("0.5,0.25:1,2:a", "7,8,7.5:-7,0,1:b")


def run(script, *arguments):
    script.main([str(argument) for argument in arguments])


def record_in(folder):
    return json.loads((folder / "record.json").read_text())


def test_the_vowels_are_the_published_ones():
    data = series.load_series("embedded")
    splits = data.train, data.validation, data.test
    assert [len(y) for _, y in splits] == [216, 54, 370]
    lengths = [len(one) for x, _ in splits for one in x]
    assert (min(lengths), max(lengths)) == (7, 29)  # M. Kudo, J. Toyama, M. Shimbo, 1999
    assert {one.shape[1] for x, _ in splits for one in x} == {12}
    # 30 series of each of nine men to train on; to test on as many as the authors list
    assert np.bincount(np.concatenate([data.train[1], data.validation[1]])).tolist() == [30] * 9
    assert np.bincount(data.test[1]).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    seen = [{one.tobytes() for one in x} for x, _ in splits]
    assert len(seen[0] | seen[1] | seen[2]) == 640
    assert packages.PACKAGES["aeon"].licence == data.licence


def test_channels_are_standardized_by_what_is_trained_on():
    rng = np.random.default_rng(0)
    x = [rng.normal(5, 3, (length, 2)) for length in rng.integers(2, 9, 30)]
    part = x[:20], np.zeros(20, int)
    data = series.Series("a", "b", ("0",), part, (x[20:25], np.zeros(5, int)), (x[25:], np.zeros(5, int)))
    found = data.examples()
    np.testing.assert_allclose(found["train"].x.flat_values.numpy().mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(found["train"].x.flat_values.numpy().std(0), 1, rtol=1e-6)
    expected = (x[25] - np.concatenate(part[0]).mean(0)) / np.concatenate(part[0]).std(0)
    np.testing.assert_allclose(found["test"].x[0].numpy(), expected, rtol=1e-5)
    assert [len(part) for part in data.examples(10).values()] == [10, 2, 2]


def test_a_file_of_series():
    found, labels = series.parse_ts(TEST)
    np.testing.assert_array_equal(found[0], [[0.5, 1], [0.25, 2]])
    np.testing.assert_array_equal(found[1], [[7, -7], [8, 0], [7.5, 1]])
    assert labels == ["a", "b"]
    for text, message in (
        ("1,2:a", "no @classLabel true before"),
        (lines("1,2:3:a"), "series 1 are not of one length"),
        (lines("1,2:a", "1,?:a"), "could not convert"),
        (lines("1,nan:a"), "missing or infinite"),
    ):
        with pytest.raises(ValueError, match=message):
            series.parse_ts(text)


def test_series_of_ones_own(tmp_path):
    (tmp_path / "Tiny_TRAIN.ts").write_text(TRAIN)
    (tmp_path / "Tiny_TEST.ts").write_text(TEST)
    data = series.load_series(str(tmp_path))
    # one test series is among those to train on, and leaves them
    assert [len(y) for _, y in (data.train, data.validation, data.test)] == [16, 3, 2]
    assert data.classes == ("a", "b")
    odd = [len(one) == 3 for one in data.train[0]]
    np.testing.assert_array_equal(data.train[1], np.where(odd, 0, 1))
    (tmp_path / "own").mkdir()
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 5, 20)
    x = rng.normal(size=(lengths.sum(), 3))
    np.savez(tmp_path / "own/series.npz", x=x, lengths=lengths, y=np.arange(20) % 2)
    data = series.load_series(str(tmp_path / "own"))
    assert [len(y) for _, y in (data.train, data.validation, data.test)] == [12, 4, 4]
    (tmp_path / "twice").mkdir()
    twice = np.concatenate([x, x]), np.tile(lengths, 2), np.tile(np.arange(20) % 2, 2)
    np.savez(tmp_path / "twice/series.npz", **dict(zip(("x", "lengths", "y"), twice, strict=True)))
    assert [len(y) for y in series.load_series(str(tmp_path / "twice")).test] == [4, 4]
    found = {
        one.tobytes(): label
        for part in (data.train, data.validation, data.test)
        for one, label in zip(*part, strict=True)
    }
    assert [found[one.tobytes()] for one in np.split(x, np.cumsum(lengths)[:-1])] == (np.arange(20) % 2).tolist()


def test_series_of_a_csv_are_read_as_they_stand(tmp_path):
    rows = [f"{i},{'ab'[i % 2]},{i},{t}" for i in range(20) for t in range(1 + i % 5)]
    (tmp_path / "mine.csv").write_text("\n".join(["series,label,level,time", *rows]))
    data = series.load_series(str(tmp_path / "mine.csv"))
    parts = (data.train, data.validation, data.test)
    assert [len(part[0]) for part in parts] == [12, 4, 4]
    found = {int(x[0, 0]): (x.tolist(), data.classes[y]) for part in parts for x, y in zip(*part, strict=True)}
    assert found == {i: ([[i, t] for t in range(1 + i % 5)], "ab"[i % 2]) for i in range(20)}


def test_series_that_cannot_be_read_are_refused(tmp_path):
    np.savez(tmp_path / "series.npz", x=np.zeros((5, 2)), lengths=np.array([2, 2]), y=np.array([0, 1]))
    for name, rows in (
        ("gap", "series,label,x\n7,a,1\n7,a,\n"),
        ("labels", "series,label,x\n7,a,1\n7,b,1\n"),
        ("head", "x\n1"),
    ):
        (tmp_path / f"{name}.csv").write_text(rows)
    for dataset, message in (
        ("nonsense", r"must be \"embedded\", \"tfds:NAME\", a file FILE.csv or a folder"),
        (str(tmp_path / "gap.csv"), "finite number for each channel, but time step 2 of the file has not"),
        (str(tmp_path / "labels.csv"), "must give all time steps of a series one label, but those of 7 have several"),
        (str(tmp_path / "head.csv"), "must have the columns series and label"),
        (str(tmp_path), "lengths that add up to them"),
        ("tfds:no_such_set", "cannot load 'no_such_set'"),
    ):
        with pytest.raises(SystemExit, match=message):
            series.load_series(dataset, str(tmp_path))
    with pytest.raises(SystemExit, match="To fetch them once"):
        series.load_series("embedded", str(tmp_path))


@pytest.mark.slow
def test_time_series_learns(tmp_path, capsys):
    small = ("--qubits", 3, "--limit", 90, "--epochs", 8, "--learning-rate", 0.03)
    run(time_series, *small, "--out", tmp_path)
    record = record_in(tmp_path)
    assert record["metrics"][-1]["loss"] < 0.75 * math.log(9)  # chance is log 9
    assert "Licence: CC BY 4.0" in capsys.readouterr().out
    # what fills a batch up is masked: alone or beside longer ones, a series has the same logits
    model = keras.models.load_model(tmp_path / "model.keras")
    examples = series.load_series("embedded").examples(50)["test"]
    beside = model(examples.x.to_tensor(series.PADDING))
    for index in range(5):
        np.testing.assert_allclose(beside[index], model(examples.x[index][None])[0], rtol=1e-4, atol=1e-5)  # float32


@pytest.mark.slow
def test_a_set_of_tensorflow_datasets(tmp_path):
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(0)
    features = tfds.features.FeaturesDict(
        {
            "series": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
    )

    def split(count):
        def generate():
            for index in range(count):
                sign = 2 * (index % 2) - 1
                yield {"series": rng.normal(sign, 0.5, (rng.integers(3, 9), 2)).astype("float32"), "label": index % 2}

        signature = {"series": tf.TensorSpec((None, 2)), "label": tf.TensorSpec((), tf.int64)}
        return tf.data.Dataset.from_generator(generate, output_signature=signature)

    tfds.dataset_builders.store_as_tfds_dataset(
        name="signs",
        version="1.0.0",
        features=features,
        split_datasets={"train": split(60), "test": split(20)},
        data_dir=tmp_path,
    )
    data = series.load_series("tfds:signs", tmp_path)
    splits = data.train, data.validation, data.test
    assert [len(labels) for _, labels in splits] == [48, 12, 20]
    for part, labels in splits:  # positive series and negative ones
        assert [one.mean() > 0 for one in part] == (labels == 1).tolist()
