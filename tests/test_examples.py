"""The example scripts, on a slice of their data: they must learn something there, and leave what they promise."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfq_qrnn  # noqa: F401  its layers are in the saved models

ROOT = pathlib.Path(__file__).parent.parent


def run(*arguments):
    return subprocess.run(
        [sys.executable, "examples/mnist.py", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.slow
def test_mnist_learns_records_and_saves(tmp_path):
    result = run("--limit", 500, "--epochs", 4, "--compare", "lstm", "--seed", 3, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "record.json").read_text())
    assert {"settings", "versions", "parameters", "seconds", "metrics", "test", "runs"} <= set(record)
    losses = [epoch["loss"] for epoch in record["metrics"]]
    assert len(losses) == 4
    assert losses[-1] < 0.8 * np.log(10)  # chance is log 10
    parameters = [run["parameters"] for run in record["runs"]]
    assert parameters[0] == 2486  # 46*32 + 32, 32*24 + 24, 18*10 + 10
    assert abs(parameters[1] - parameters[0]) < 0.05 * parameters[0]
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model.count_params() >= record["parameters"]
    assert (tmp_path / "pictures.png").read_bytes().startswith(b"\x89PNG")
    for name in ("qrnn", "lstm", "logits differ by 0.0e+00", "pictures.png"):
        assert name in result.stdout


@pytest.mark.slow
def test_mnist_gives_the_same_result_twice(tmp_path):
    for name in "ab":
        assert run("--limit", 64, "--epochs", 1, "--permuted", "--out", tmp_path / name).returncode == 0
    first, second = (json.loads((tmp_path / name / "record.json").read_text()) for name in "ab")
    assert first["metrics"] == second["metrics"]
    assert first["test"] == second["test"]


@pytest.mark.slow
def test_mnist_reads_a_set_of_tensorflow_datasets(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    rng = np.random.default_rng(0)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(6, 6, 1)), "label": tfds.features.ClassLabel(num_classes=2)}
    )
    labels = {"train": np.arange(60) % 2, "test": np.arange(20) % 2}
    splits = {
        name: tf.data.Dataset.from_tensor_slices(
            {
                "image": (rng.integers(0, 100, (len(y), 6, 6, 1)) + 100 * y[:, None, None, None]).astype("uint8"),
                "label": y,
            }
        )
        for name, y in labels.items()
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="bright", version="1.0.0", features=features, split_datasets=splits, data_dir=tmp_path / "data"
    )
    common = ("--data-dir", tmp_path / "data", "--qubits", 2, "--epochs", 15, "--batch-size", 8, "--pixels", 3)
    result = run("--dataset", "tfds:bright", *common, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "54 sequences of 12 steps" in result.stdout
    # bright images against dark ones
    assert json.loads((tmp_path / "out" / "record.json").read_text())["test"]["accuracy"] > 0.9


@pytest.mark.slow
def test_mnist_says_what_to_do_when_data_is_missing(tmp_path):
    for arguments, message in (
        (("--dataset", "tfds:mnist", "--data-dir", tmp_path), "Pass --download to fetch it"),
        (("--dataset", "tfds:no_such_set", "--data-dir", tmp_path), "cannot load 'no_such_set'"),
        (("--dataset", "nonsense"), 'Argument `--dataset` must be "embedded" or "tfds:NAME"'),
        (("--pixels", "3"), "must divide 784 pixels, but it is 3"),
        (("--epochs", "0"), "must be 1 or more, but is 0"),
    ):
        result = run(*arguments, "--out", tmp_path / "out")
        assert result.returncode != 0
        assert message in result.stderr


def test_splits_share_no_image():
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        from common import images
    finally:
        sys.path.pop(0)
    data = images.load_images("embedded")
    train, validation, test = ({image.tobytes() for image in x} for x, _ in (data.train, data.validation, data.test))
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert [len(y) for _, y in (data.train, data.validation, data.test)] == [4000, 500, 500]
    sequences = images.as_sequences(data.train[0][:2], 28)
    np.testing.assert_array_equal(sequences[1, 5] * 255, data.train[0][1, 5, :, 0])
    permutation = np.arange(784)[::-1]
    np.testing.assert_array_equal(
        images.as_sequences(data.train[0][:2], 4, permutation)[0, 0, ::-1], sequences[0, -1, -4:]
    )


@pytest.mark.slow
def test_the_benchmark_prints_and_records_what_it_measured(tmp_path):
    methods = ["kernel", "tensorflow", "lstm"]
    command = [sys.executable, "benchmarks/training_step.py", "--qubits", "4", "--threads", "1", "--limit", "20"]
    result = subprocess.run(
        [*command, "--methods", *methods, "--quick", "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "training_step.json").read_text())["rows"]
    assert {row["method"] for row in rows} >= {"tensorflow", "lstm"}
    assert all(row["best_ms"] > 0 for row in rows)
    assert "| n=4 T=28 batch=32" in result.stdout
    assert (tmp_path / "training_step.png").exists()
