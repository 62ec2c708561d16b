"""The example scripts on images, and what all of them share: on a slice of the data they learn, record and resume."""

import importlib
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import zipfile

import keras
import mnist
import numpy as np
import pytest
import tensorflow as tf
from common import catalogue, experiment, files, images, pipelines, records, training

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ("--limit", 150, "--qubits", 3, "--batch-size", 16, "--epochs", 3, "--learning-rate", 0.03)


def run(*arguments):
    mnist.main([str(argument) for argument in arguments])


def test_mnist_learns_records_and_saves(tmp_path, capsys):
    run(*SMALL, "--epochs", 4, "--compare", "lstm", "--seed", 3, "--tensorboard", "--out", tmp_path)
    record = json.loads((tmp_path / "record.json").read_text())
    assert {"task", "settings", "versions", "parameters", "seconds", "metrics", "test", "runs"} <= set(record)
    losses = [epoch["loss"] for epoch in record["metrics"]]
    assert len(losses) == 4
    assert losses[-1] < 0.9 * np.log(10)  # chance is log 10
    assert [run["model"] for run in record["runs"]] == ["qrnn", "lstm"]
    parameters = [run["parameters"] for run in record["runs"]]
    assert parameters[0] == (28 + 9) * 32 + 32 + (32 + 1) * 12 + (9 + 1) * 10
    assert abs(parameters[1] - parameters[0]) <= 0.03 * parameters[0]
    model = keras.models.load_model(tmp_path / "model.keras")
    digits = images.load_images("embedded").limited(150)
    logits = model.predict(images.as_sequences(digits.test[0], 28), verbose=0)
    assert np.mean(logits.argmax(-1) == digits.test[1]) == pytest.approx(record["test"]["accuracy"])
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0].startswith("model,seed,epoch,")
    assert [line.split(",")[:3] for line in lines[1:]] == [
        [m, "3", str(e)] for m in ("qrnn", "lstm") for e in range(1, 5)
    ]
    assert (tmp_path / "pictures.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "logs" / "qrnn-3").rglob("events*"))
    assert not list(tmp_path.rglob("*checkpoint*")) + list(tmp_path.rglob("*partial*"))
    assert "Licence: CC BY-SA 3.0" in capsys.readouterr().out


def test_what_is_trained_is_not_trained_again_and_other_settings_are_refused(tmp_path, monkeypatch):
    small = ("--limit", 32, "--qubits", 2, "--epochs", 1, "--permuted")
    trained, fit = [], training.fit
    monkeypatch.setattr(training, "fit", lambda *a, title, **k: trained.append(title) or fit(*a, title=title, **k))
    run(*small, "--out", tmp_path / "a")
    run(*small, "--out", tmp_path / "a", "--seed", 0, 1)
    run(*small, "--out", tmp_path / "b", "--seed", 1)
    assert trained == ["qrnn seed 0", "qrnn seed 1", "qrnn seed 1"]
    first, second = (json.loads((tmp_path / name / "runs/qrnn-1/record.json").read_text()) for name in "ab")
    assert first["metrics"] == second["metrics"]  # the same seed, the same numbers
    assert first["test"] == second["test"]
    with pytest.raises(SystemExit, match=r"depth is 2 there and 3 here.*--fresh"):
        run(*small, "--out", tmp_path / "a", "--depth", 3)
    path = tmp_path / "a" / "settings.json"
    settings = records.read_json(path)
    assert settings.pop("shots") is None
    records.write_json(path, settings)  # of a version that had no such option
    run(*small, "--out", tmp_path / "a")
    monkeypatch.setattr(images, "_distinct_by_hash", lambda x, y: (x[:100, :, :, None], y[:100]))
    with pytest.raises(SystemExit, match=r"data is .* there"):  # other digits under the same name
        run(*small, "--out", tmp_path / "a")
    monkeypatch.undo()
    run(*small, "--out", tmp_path / "a", "--depth", 3, "--fresh")
    assert [path.name for path in (tmp_path / "a" / "runs").iterdir()] == ["qrnn-0"]


# One example and few kills, as each costs a start of TensorFlow; see CONTRIBUTING.md for more.
KILLS = int(os.environ.get("TFQ_QRNN_KILLS", 3))
KILLED = os.environ.get("TFQ_QRNN_KILLED", "mnist").split()


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(name, tmp_path):
    # an epoch takes about 0.1 s: more of them than the kills leave time for
    options = map(str, (*SMALL, "--epochs", 4 * KILLS, "--seed", 5))
    command = [sys.executable, f"experiments/{name}.py", *options, "--out"]
    chance, killed, seen = random.Random(0), 0, 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [*command, str(tmp_path / "killed")], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while process.poll() is None and _checkpoint(tmp_path) == seen:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        assert process.wait() in (0, -9), process.stderr.read()[-2000:]
        process.stderr.close()
        killed, seen = killed + (process.returncode == -9), max(seen, _checkpoint(tmp_path))
    print(f"{name}: killed {killed} times, last after epoch {seen} of {4 * KILLS}")
    assert killed >= KILLS - 1  # or it was hardly interrupted
    for folder in ("killed", "whole"):
        importlib.import_module(name).main([*command[2:], str(tmp_path / folder)])
    records_of = [json.loads((tmp_path / folder / "record.json").read_text()) for folder in ("killed", "whole")]
    assert records_of[0]["metrics"] == records_of[1]["metrics"]
    assert records_of[0]["test"] == records_of[1]["test"]
    models = [keras.models.load_model(tmp_path / folder / "model.keras") for folder in ("killed", "whole")]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


def _checkpoint(tmp_path):
    """The number of the newest checkpoint."""
    names = [path.stem for path in (tmp_path / "killed/runs/qrnn-5/checkpoints").glob("checkpoint-*.npz")]
    return max((int(name.split("-")[1]) for name in names), default=0)


def test_the_best_epoch_is_kept_over_an_interruption(tmp_path, monkeypatch):
    """The learning rate makes the validation loss rise; the best weights come from before the interruption."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)).astype("float32"), rng.integers(0, 2, 60)
    train, validation = pipelines.Examples(x[:30], y[:30]), pipelines.Examples(x[30:], y[30:])
    settings = training.Settings(6, 10, 0.3, keep_best=True)

    def fit(folder):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return model, training.fit(
            model, train, validation, validation, settings, seed=0, title="", loss=loss, folder=folder
        )

    whole, result = fit(tmp_path / "whole")
    assert type(whole.optimizer) is keras.optimizers.Adam  # which a saved model can be loaded with anywhere
    losses = [epoch["val_loss"] for epoch in result["metrics"]]
    assert result["best_epoch"] == np.argmin(losses) + 1 < 4
    assert result["test"]["loss"] == pytest.approx(min(losses), rel=1e-6)
    validate, calls = training._Epochs.on_epoch_end, []

    def interrupted(self, epoch, logs=None):
        validate(self, epoch, logs)
        calls.append(epoch)
        if calls == [0, 1, 2, 3]:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Epochs, "on_epoch_end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped")
    stopped, resumed = fit(tmp_path / "stopped")
    assert calls == [0, 1, 2, 3, 4, 5]
    times = {"seconds": 0, "cpu_seconds": 0}
    assert {**resumed, **times} == {**result, **times}
    for one, other in zip(whole.get_weights(), stopped.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_epoch_with_a_loss_that_is_no_number_is_not_the_best():
    epochs = training._Epochs("", training.Settings(3, 1, 0.1, keep_best=True), 1, None)
    epochs.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    epochs.on_train_begin()
    best = []
    for epoch, loss in enumerate((np.nan, 3.0, np.nan, 2.0, 2.5)):
        epochs.on_epoch_end(epoch, {"val_loss": loss})
        best.append(epochs.progress["best"])
    assert best == [0, 1, 1, 3, 3]


def test_the_order_of_the_data_depends_on_seed_and_epoch_alone():
    lengths = np.random.default_rng(0).integers(3, 30, 50)
    x = pipelines.ragged([np.full((length, 2), i, "float32") for i, length in enumerate(lengths)])
    for examples in (pipelines.Examples(x, np.arange(50), padding=-1), pipelines.Examples(lengths, np.arange(50))):
        steps = examples.steps(8)
        three = list(examples.batches(8, 1, range(3)).as_numpy_iterator())
        last = list(examples.batches(8, 1, range(2, 3)).as_numpy_iterator())
        assert len(three) == 3 * steps
        assert len(last) == steps
        for (a, b), (c, d) in zip(three[2 * steps :], last, strict=True):
            np.testing.assert_array_equal(a, c)
            np.testing.assert_array_equal(b, d)
        epochs = [np.concatenate([y for _, y in three[k * steps : (k + 1) * steps]]) for k in range(3)]
        assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
        assert not np.array_equal(epochs[0], epochs[1])
        other = np.concatenate([y for _, y in examples.batches(8, 2).as_numpy_iterator()])
        assert not np.array_equal(epochs[0], other)
    # each sequence whole, then padding, and next to others of about its length
    padded = pipelines.Examples(x, np.arange(50), padding=-1).batches(8, 1)
    waste = 0
    for batch, numbers in padded.as_numpy_iterator():
        for sequence, number in zip(batch, numbers, strict=True):
            np.testing.assert_array_equal(sequence[: lengths[number]], number)
            np.testing.assert_array_equal(sequence[lengths[number] :], -1)
        waste += batch.shape[0] * batch.shape[1] - lengths[numbers].sum()
    assert waste < 0.35 * lengths.sum()  # 27 values of the length in 4 buckets; without buckets it is over 0.7


def write_tfds(folder, **others):
    """Bright images and dark ones, as a data set of TensorFlow Datasets."""
    tfds = pytest.importorskip("tensorflow_datasets")
    rng = np.random.default_rng(0)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(6, 6, 1)), "label": tfds.features.ClassLabel(num_classes=2)}
    )

    def split(count):
        y = np.arange(count) % 2
        x = (rng.integers(0, 100, (count, 6, 6, 1)) + 100 * y[:, None, None, None]).astype("uint8")
        return tf.data.Dataset.from_tensor_slices({"image": x, "label": y})

    tfds.dataset_builders.store_as_tfds_dataset(
        name="bright",
        version="1.0.0",
        features=features,
        split_datasets={"train": split(60), "test": split(20), **{name: split(size) for name, size in others.items()}},
        data_dir=folder,
    )


def test_mnist_reads_a_set_of_tensorflow_datasets(tmp_path, capsys):
    write_tfds(tmp_path / "data")
    common = ("--data-dir", tmp_path / "data", "--qubits", 2, "--epochs", 8, "--batch-size", 8, "--pixels", 3)
    run("--dataset", "tfds:bright", *common, "--learning-rate", 0.05, "--out", tmp_path / "out")
    assert "54 sequences of 12 steps" in capsys.readouterr().out
    # bright images against dark ones
    assert json.loads((tmp_path / "out" / "record.json").read_text())["test"]["accuracy"] > 0.9


def test_a_validation_split_of_tensorflow_datasets_validates(tmp_path):
    write_tfds(tmp_path, validation=14)
    data = images.load_images("tfds:bright", tmp_path)
    # no image of these is drawn twice
    assert [len(labels) for _, labels in (data.train, data.validation, data.test)] == [60, 14, 20]


def test_official_splits_share_no_image():
    x, y = np.arange(12, dtype=np.uint8).reshape(-1, 1, 1), np.arange(12)
    # two images to test on are in the validation set, too, and two of its own in the training set
    data = images._split("numbers", "free", (x[:8], y[:8]), (x[9:], y[9:]), (x[6:11], y[6:11]))
    assert [sorted(labels) for _, labels in (data.train, data.validation, data.test)] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
    ]


def test_mnist_says_what_to_do_when_something_is_wrong(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(catalogue, "_SOURCE", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.setenv("no_proxy", "*")
    np.savez(tmp_path / "bad.npz", x=np.zeros((4, 5)), y=np.zeros(4, int))
    for arguments, message in (
        (("--dataset", "tfds:mnist", "--data-dir", tmp_path), "Pass --download to fetch it"),
        (("--dataset", "tfds:mnist", "--data-dir", tmp_path, "--download"), "127.0.0.1:9 cannot be reached"),
        (("--dataset", "tfds:no_such_set", "--data-dir", tmp_path), "cannot load 'no_such_set'"),
        (("--dataset", "nonsense"), 'Argument `--dataset` must be "embedded"'),
        (("--dataset", tmp_path / "none.npz"), "cannot be read"),
        (("--dataset", tmp_path / "bad.npz"), "but it holds float64 (4, 5)"),
        (("--pixels", "3"), "must divide 784 pixels, but it is 3"),
        (("--epochs", "0"), "must be 1 or more, but is 0"),
        (("--pauli-error", "2"), "must be 0 or more and below 1, but is 2"),
        (("--feedback-gain", "nan"), "must be finite, but is nan"),
        (("--initial-rotation", "inf"), "must be 0 or more, but is inf"),
        (("--observables", "XW"), 'must be different letters of "XYZ", or "pairs", but is XW'),
        (("--activation", "foo"), "must be an activation of Keras, or glu, but is foo"),
        (("--seed", 2**32), "must be 0 or more and below 2**32, but is 4294967296"),
        (("--test-shots", "9", "--compare", "lstm"), "must be left out with other models than qrnn"),
        (("--activation", "glu", "--compare", "qrnn-linear"), "qrnn-linear has 2,486, where the qrnn has 3,990"),
        (("--qubits", "1", "--depth", "1", "--hidden", "1", "--compare", "gru"), "which gru cannot be"),
    ):
        with pytest.raises(SystemExit) as caught:
            run(*arguments, "--out", tmp_path / "out")
        assert message in f"{caught.value} {capsys.readouterr().err}"


class Opens:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_files_of_ones_own_run_nothing_and_are_read_within_bounds(tmp_path, monkeypatch):
    y = np.zeros(4, int)
    np.savez(tmp_path / "code.npz", x=np.array([Opens(tmp_path / "written")] * 4), y=y)
    np.savez_compressed(tmp_path / "swells.npz", x=np.zeros((4, 2, 10**5), np.uint8), y=y)
    head = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (4, 2, 1000000000000), }"
    with zipfile.ZipFile(tmp_path / "says_more.npz", "w") as archive:
        archive.writestr("x.npy", head.ljust(127) + b"\n" + bytes(100))
        archive.writestr("y.npy", b"")
    os.mkfifo(tmp_path / "pipe.npz")
    os.symlink("/dev/zero", tmp_path / "device.npz")
    monkeypatch.setattr(files, "_most", lambda: 10**5)
    for name, message in (
        ("code", "Object arrays cannot be loaded"),
        ("swells", "it holds more than 97.7 KiB"),
        ("says_more", "cannot be read"),
        ("pipe", "is no regular file"),
        ("device", "is no regular file"),
    ):
        with pytest.raises(SystemExit, match=message):
            images.load_images(str(tmp_path / f"{name}.npz"))
    assert not (tmp_path / "written").exists()
    (tmp_path / "long.txt").write_bytes(bytes(10**5 + 1))
    for name, message in (
        ("long.txt", "long.txt has more than 97.7 KiB"),
        ("pipe.npz", "no regular"),
        ("device.npz", "no"),
    ):
        with pytest.raises(SystemExit, match=message):
            files.read_text(tmp_path / name)


def test_splits_share_no_image():
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


def test_images_of_ones_own_lose_their_repetitions(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 4, 5)).astype(np.uint8)
    y = x[:, 0, 0] % 3
    np.savez(tmp_path / "one.npz", x=np.concatenate([x, x[:10]]), y=np.concatenate([y, y[:10]]))
    np.savez(tmp_path / "two.npz", x=x, y=y, x_test=x[:7].astype("float32"), y_test=y[:7])
    for name, sizes in (("one", [32, 4, 4]), ("two", [30, 3, 7])):
        data = images.load_images(str(tmp_path / f"{name}.npz"))
        splits = data.train, data.validation, data.test
        assert [len(labels) for _, labels in splits] == sizes
        assert len({image.tobytes() for part, _ in splits for image in part}) == 40
        for part, labels in splits:
            np.testing.assert_array_equal(labels, part[:, 0, 0, 0] % 3)


def test_fashion_mnist_of_the_debian_package():
    if not images._FASHION.exists():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    data = images.load_images("fashion")
    splits = data.train, data.validation, data.test
    assert sum(len(y) for _, y in splits[:2]) <= 60_000  # less what is there twice, or tested
    seen = [{image.tobytes() for image in x} for x, _ in splits]
    assert len(seen[0] | seen[1] | seen[2]) == sum(map(len, seen))
    # a file of images that is read as labels, or from a wrong offset, would not have the classes in equal parts
    assert np.bincount(data.test[1]).tolist() == [1000] * 10


def test_mean_and_spread():
    assert records.mean_and_spread([2.0]) == "2.0"
    assert records.mean_and_spread([1.0, 3.0], 2, " %") == "2.00 ± 1.41 %"
    runs = [{"model": "a", "parameters": 10, "seconds": 1.0, "test": {"accuracy": v}} for v in (0.5, 0.7)]
    task = experiment.Task("t", None, None, None, None, None)
    assert "60.0 ± 14.1 %" in experiment.table(task, runs)


@pytest.mark.slow
def test_the_benchmark_prints_and_records_what_it_measured(tmp_path):
    methods = ["kernel", "tensorflow", "lstm"]
    command = [sys.executable, "benchmarks/training_step.py", "--qubits", "4", "--threads", "1", "--limit", "200"]
    result = subprocess.run(
        [*command, "--methods", *methods, "--quick", "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "training_step.json").read_text())["rows"]
    assert {row["method"] for row in rows} >= {"tensorflow", "lstm"}
    assert all(row["best_ms"] > 0 for row in rows)
    assert "| n=4 T=28 batch=32" in result.stdout
    assert (tmp_path / "training_step.png").exists()


@pytest.mark.slow
def test_the_study_of_long_sequences_finds_what_the_physics_says(tmp_path):
    command = [sys.executable, "experiments/studies/long_sequences.py", "--quick", "--out", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "record.json").read_text())["rows"]
    found = {(row["angle_scale"], row["gain"]): row for row in rows}
    for scale in (0.1, 1):
        # Without feedback a sequence is a unitary: it keeps the length of a difference and of the gradient.
        norms = found[scale, 0]["gradient"]["memory"]
        np.testing.assert_allclose(norms, norms[-1], rtol=1e-9)
        # Rounding, 1e-16 a gate, against a difference of 1e-6.
        assert abs(found[scale, 0]["lyapunov"]) < 1e-8
    # With it differences grow, the faster the larger the angles are.
    assert found[1, 1]["lyapunov"] > 0.01
    assert found[1, 1]["lyapunov"] > 3 * found[0.1, 1]["lyapunov"]
    assert (tmp_path / "long_sequences.png").read_bytes().startswith(b"\x89PNG")
    assert "Lyapunov exponent" in result.stdout
