"""What all tasks share: runs learn, are recorded, and go on after any stop as if there had been none."""

import dataclasses
import importlib
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.data import copying, images
from experiments.harness import arguments, experiment, pipelines, records, training
from experiments.tasks import mnist

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ("--limit", 150, "--qubits", 3, "--batch-size", 16, "--epochs", 3, "--learning-rate", 0.03)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def run(*given):
    mnist.main([str(argument) for argument in given])


@pytest.mark.slow
def test_mnist_learns_records_and_saves(tmp_path, capsys):
    run(*SMALL, "--epochs", 4, "--compare", "lstm", "--seed", 3, "--tensorboard", "--out", tmp_path)
    record = json.loads((tmp_path / "record.json").read_text())
    assert {"task", "settings", "versions", "parameters", "seconds", "metrics", "test", "runs"} <= set(record)
    losses = [epoch["loss"] for epoch in record["metrics"]]
    assert len(losses) == 4
    assert losses[-1] < 0.9 * np.log(10)  # chance is log 10
    assert [run["model"] for run in record["runs"]] == ["qrnn", "lstm"]
    parameters = [run["parameters"] for run in record["runs"]]
    assert parameters[0] == (28 + 9 + 1) * 2 * 19 + (19 + 1) * 12 + (9 + 1) * 10  # GLU: twice the columns
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
    printed = capsys.readouterr().out
    assert "Licence: CC BY-SA 3.0" in printed
    assert f"model.keras, loaded again: test loss {record['test']['loss']:.4f}" in printed


@pytest.fixture
def uncompiled(monkeypatch):
    """XLA takes seconds for what runs in milliseconds here; which models it compiles is tested below."""
    monkeypatch.setattr(training, "_is_worth_compiling", lambda *_: False)


def tiny(**changes):
    """A task of which a training takes a moment: no layer of it is recurrent."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)).astype("float32"), rng.integers(0, 2, 60)
    train, held_out = pipelines.Examples(x[:30], y[:30]), pipelines.Examples(x[30:], y[30:])

    def build(name, units):
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])

    task = experiment.Task("tiny", build, train, held_out, held_out, CROSS_ENTROPY, notes={"name": "noise"})
    return dataclasses.replace(task, **changes)


def run_tiny(out, *given, **changes):
    options = arguments.parser("", "tiny", None, epochs=2).parse_args([*map(str, given), "--out", str(out)])
    return experiment.run(tiny(**changes), options)


def test_what_is_trained_is_not_trained_again_and_other_settings_are_refused(tmp_path, monkeypatch):
    trained = []

    def fit(*_, title, folder, **__):
        folder.mkdir(parents=True)
        trained.append(title)
        return {"parameters": 1, "seconds": 1.0, "metrics": [{"loss": 1.0}], "test": {"accuracy": 0.5, "loss": 1.0}}

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(experiment, "_check_loaded", lambda *_: None)
    run_tiny(tmp_path)
    run_tiny(tmp_path, "--seed", 0, 1)
    assert trained == ["qrnn seed 0", "qrnn seed 1"]
    with pytest.raises(SystemExit, match=r"depth is 2 there and 3 here.*--fresh"):
        run_tiny(tmp_path, "--depth", 3)
    path = tmp_path / "settings.json"
    settings = records.read_json(path)
    assert settings.pop("shots") is None
    records.write_json(path, settings)  # of a version that had no such option
    run_tiny(tmp_path)
    with pytest.raises(SystemExit, match=r"data is .* there"):  # other data under the same name
        run_tiny(tmp_path, train=tiny().train.limited(20))
    run_tiny(tmp_path, "--depth", 3, "--fresh")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["qrnn-0"]


def test_a_saved_model_that_is_another_one_is_told(uncompiled, tmp_path):
    run_tiny(tmp_path)
    other = tiny().build("qrnn", None)
    other.save(tmp_path / "runs/qrnn-0/model.keras")
    with pytest.raises(SystemExit, match="is not the model that was trained"):
        run_tiny(tmp_path)


# One script and few kills, as each costs a start of TensorFlow; see CONTRIBUTING.md for more.
KILLS = int(os.environ.get("TFQ_QRNN_KILLS", 2))
KILLED = os.environ.get("TFQ_QRNN_KILLED", "mnist").split()


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(name, tmp_path):
    # an epoch takes about 0.1 s: more of them than the kills leave time for
    options = map(str, (*SMALL, "--epochs", 4 * KILLS, "--seed", 5))
    command = [sys.executable, "-m", f"experiments.tasks.{name}", *options, "--out"]
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
        importlib.import_module(f"experiments.tasks.{name}").main([*command[3:], str(tmp_path / folder)])
    records_of = [json.loads((tmp_path / folder / "record.json").read_text()) for folder in ("killed", "whole")]
    assert records_of[0]["metrics"] == records_of[1]["metrics"]
    assert records_of[0]["test"] == records_of[1]["test"]
    models = [keras.models.load_model(tmp_path / folder / "model.keras") for folder in ("killed", "whole")]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


def _checkpoint(tmp_path):
    """The number of the newest checkpoint."""
    names = [path.name for path in (tmp_path / "killed/runs/qrnn-5/checkpoints").glob("checkpoint-*")]
    return max((int(name.split("-")[1]) for name in names), default=0)


class Stopped(keras.callbacks.Callback):
    """Ends the program before an epoch, as Ctrl-C does."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_the_best_epoch_is_kept_over_an_interruption(uncompiled, tmp_path):
    """The learning rate makes the validation loss rise; the best weights come from before the interruption."""

    def fit(folder, *callbacks):
        keras.utils.set_random_seed(1)
        task = tiny()
        model = task.build("qrnn", None)
        splits, settings = (task.train, task.validation, task.test), training.Settings(6, 10, 0.3, keep_best=True)
        return model, training.fit(
            model, *splits, settings, seed=0, title="", loss=task.loss, folder=folder, callbacks=callbacks
        )

    whole, result = fit(tmp_path / "whole")
    assert type(whole.optimizer) is keras.optimizers.Adam  # which a saved model can be loaded with anywhere
    losses = [epoch["val_loss"] for epoch in result["metrics"]]
    assert result["best_epoch"] == np.argmin(losses) + 1 < 4
    assert result["test"]["loss"] == pytest.approx(min(losses), rel=1e-6)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped", Stopped(4))
    stopped, resumed = fit(tmp_path / "stopped")
    times = {"seconds": 0, "cpu_seconds": 0}
    assert {**resumed, **times} == {**result, **times}
    for one, other in zip(whole.get_weights(), stopped.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("losses", "best"),
    [((3, 2, 2.5), 2), ((3, 2, 2), 2), ((np.nan, 3, np.nan, 2), 4), ((np.inf, np.nan), 2), ((np.nan, 1), 2)],
)
def test_an_epoch_with_a_loss_that_is_no_number_is_not_the_best(losses, best, tmp_path):
    assert training.best_epoch(losses) == best
    # and the file has the weights of that epoch
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    callback = training._best_weights(tmp_path / "best.weights.h5", losses[:1])
    callback.set_model(model)
    for epoch, loss in enumerate(losses[1:], 2):
        model.set_weights([np.full((1, 1), float(epoch))])
        callback.on_epoch_end(epoch, {"val_loss": loss})
    if (tmp_path / "best.weights.h5").exists():
        model.load_weights(tmp_path / "best.weights.h5")
        assert model.get_weights()[0] == best
    else:
        assert best == 1 or np.isinf(losses[0])


@pytest.mark.slow
def test_a_curriculum_goes_on_where_it_was_stopped(uncompiled, tmp_path):
    """One half wave of a cosine over the batches of all epochs, whose lengths grow."""

    class Seen(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    class Strings(copying.Strings):
        def batches(self, *given, **keywords):
            lengths.append(self.length)
            return super().batches(*given, **keywords)

    def fit(folder, *callbacks):
        keras.utils.set_random_seed(0)
        rates.clear(), lengths.clear()
        model = keras.Sequential([keras.Input((None, copying.N_INPUTS)), keras.layers.Dense(copying.N_OUTPUTS)])
        train, held_out = Strings("train", 8, 320, 10), copying.Strings("test", 4, 320)
        settings, loss = training.Settings(epochs=10, batch_size=4, learning_rate=0.1), copying.normalized_loss
        callbacks = [Seen(), *callbacks]
        found = training.fit(
            model, train, held_out, held_out, settings, seed=0, title="", loss=loss, folder=folder, callbacks=callbacks
        )
        return found["metrics"]

    rates, lengths = [], []
    wave = [0.05 + 0.05 * math.cos(math.pi * batch / 20) for batch in range(20)]
    whole = fit(tmp_path / "whole")
    assert lengths[-10:] == [10, 10, 10, 10, 10, 20, 40, 80, 160, 320]
    assert rates == pytest.approx(wave, rel=1e-5)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped", Stopped(6))
    assert fit(tmp_path / "stopped") == whole
    assert lengths[-4:] == [40, 80, 160, 320]
    assert rates == pytest.approx(wave[12:], rel=1e-5)


def test_xla_compiles_for_one_length_that_is_not_long():
    rnn = keras.Sequential([keras.Input((None, copying.N_INPUTS)), keras.layers.SimpleRNN(3)])
    short, long, growing = (copying.Strings("train", 8, *blanks) for blanks in ((100,), (300,), (100, 10)))
    padded = pipelines.Examples(pipelines.ragged([np.zeros((2, 1)), np.zeros((5, 1))]), np.zeros(2, int))
    assert training._is_worth_compiling(short, 4, rnn)
    assert not any(training._is_worth_compiling(data, 4, rnn) for data in (long, growing, padded))
    rnn.layers[0].supports_jit = False
    assert not training._is_worth_compiling(short, 4, rnn)


def test_the_learning_rate_rises_then_decays(uncompiled):
    rates = []

    def optimizer(schedule, clipnorm):
        rates.extend(float(schedule(step)) for step in range(21))
        return training.Adam(schedule, clipnorm=clipnorm)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    data = pipelines.Examples(np.ones((16, 1), "float32"), np.ones((16, 1), "float32"))
    for warmup, rising in ((0.2, [0, 0.025, 0.05, 0.075]), (0, [])):  # of 20 steps
        rates.clear()
        settings = training.Settings(epochs=5, batch_size=4, learning_rate=0.1, warmup=warmup)
        training.fit(model, data, data, data, settings, seed=0, title="", loss="mse", optimizer=optimizer)
        decay = 0.05 * (1 + np.cos(np.linspace(0, np.pi, 21 - len(rising))))
        np.testing.assert_allclose(rates, [*rising, *decay], atol=1e-8)  # float32


def test_a_gradient_that_is_not_finite_is_taken_for_zero(uncompiled):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    start = model.get_weights()
    y = np.ones((12, 1), "float32")
    y[5] = np.inf  # one of three batches
    data = pipelines.Examples(np.ones((12, 1), "float32"), y)
    settings = training.Settings(epochs=40, batch_size=4, learning_rate=0.1)
    training.fit(model, data, data.limited(4), data.limited(4), settings, seed=0, title="", loss="mse")
    assert abs(float(model(np.ones((1, 1)))[0, 0]) - 1) < 0.05 < abs(float(start[0][0, 0]) - 1)


def test_where_one_gradient_is_not_finite_all_are_zero():
    """And a variable that has none is left alone."""
    variables = [keras.Variable([1.0]) for _ in range(3)]
    optimizer = training.Adam(0.1, clipnorm=1.0)
    optimizer.build(variables)
    optimizer.apply([tf.constant([2.0]), tf.constant([np.inf]), None], variables)
    assert [float(variable[0]) for variable in variables] == [1, 1, 1]
    optimizer.apply([tf.constant([2.0]), tf.constant([2.0]), None], variables)
    assert [float(variable[0]) < 0.95 for variable in variables] == [True, True, False]


def test_a_sparse_gradient_that_is_not_finite_is_taken_for_zero():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Embedding(3, 1)])
    start, optimizer = model.get_weights()[0], training.Adam(0.1)
    for value, moved in ((np.inf, 0), (1, 0.1)):
        gradient = tf.IndexedSlices(tf.constant([[value]], tf.float32), tf.constant([2]), tf.constant([3, 1]))
        optimizer.apply([gradient], model.trainable_variables)
        # Adam's bias corrections count the step that was none, so that the next is a little shorter
        np.testing.assert_allclose(start - model.get_weights()[0], [[0], [0], [moved]], rtol=0.3)


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


def test_ragged_examples_of_several_inputs():
    x = {"a": pipelines.ragged([np.arange(n) for n in (1, 3, 2)]), "b": np.arange(3)}
    y = pipelines.ragged([np.arange(n) for n in (2, 1, 4)])
    batches = list(pipelines.Examples(x, y).batches(3).as_numpy_iterator())
    assert sum(len(batch["b"]) for batch, _ in batches) == 3
    for batch, target in batches:
        for row, number in enumerate(batch["b"]):
            length, target_length = (1, 3, 2)[number], (2, 1, 4)[number]
            np.testing.assert_array_equal(batch["a"][row, :length], np.arange(length))
            np.testing.assert_array_equal(target[row, :target_length], np.arange(target_length))
            assert not batch["a"][row, length:].any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--epochs 0", "must be 1 or more, but is 0"),
        ("--pauli-error 2", "must be 0 or more and below 1, but is 2"),
        ("--feedback-gain nan", "must be finite, but is nan"),
        ("--initial-rotation inf", "must be 0 or more, but is inf"),
        ("--observables XW", 'must be different letters of "XYZ", or "pairs", but is XW'),
        ("--activation foo", "tanh_shrink, threshold, but is foo"),
        ("--seed 4294967296", "must be 0 or more and below 2**32, but is 4294967296"),
        ("--test-shots 9 --compare lstm", "must be left out with other models than qrnn"),
    ],
)
def test_options_out_of_range_are_refused(given, message, capsys):
    with pytest.raises(SystemExit):
        mnist.parse_arguments(given.split())
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--activation glu --compare qrnn-linear", "qrnn-linear has 1,563, where the qrnn has 2,456"),
        ("--qubits 1 --depth 1 --hidden 1 --compare gru", "which gru cannot be"),
    ],
)
def test_models_of_other_sizes_are_refused(given, message, tmp_path):
    with pytest.raises(SystemExit, match=message):
        run("--limit", 32, *given.split(), "--out", tmp_path)


def test_mean_and_spread():
    assert records.mean_and_spread([2.0]) == "2.0"
    assert records.mean_and_spread([1.0, 3.0], 2, " %") == "2.00 ± 1.41 %"
    runs = [{"model": "a", "parameters": 10, "seconds": 1.0, "test": {"accuracy": v}} for v in (0.5, 0.7)]
    assert "60.0 ± 14.1 %" in experiment.table(tiny(), runs)
