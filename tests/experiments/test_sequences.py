"""Copying memory and time series: the data are what the task says, the scripts learn on a slice of them."""

import json
import math

import copying_memory
import keras
import numpy as np
import pytest
import tensorflow as tf
import time_series
from common import copying, packages, pipelines, series, training


def lines(*rows):
    return "\n".join(["@problemName tiny", "@classLabel true a b", "@DATA", *rows])


TRAIN = lines(*(f"{i},{i + 1},{i}.5:{-i},0,1:a" if i % 2 else f"{i}e-1,2:{i},3:b" for i in range(20)))
TEST = lines("0.5,0.25:1,2:a", "7,8,7.5:-7,0,1:b")


def run(script, *arguments):
    script.main([str(argument) for argument in arguments])


def record_in(folder):
    return json.loads((folder / "record.json").read_text())


# ---------------------------------------------------------------------------------------------- copying memory


def test_a_batch_of_the_copying_task():
    symbols = tf.constant([[3, 1, 4, 1, 5, 2, 6, 5, 3, 8]])
    x, y = (part.numpy() for part in copying.make_batch(symbols, tf.constant(4)))
    assert x.argmax(-1)[0].tolist() == [3, 1, 4, 1, 5, 2, 6, 5, 3, 8] + [0, 0, 0, 9] + [0] * 10
    assert y[0].tolist() == [0] * 14 + [3, 1, 4, 1, 5, 2, 6, 5, 3, 8]
    np.testing.assert_array_equal(x.sum(-1), 1)
    logits = keras.ops.one_hot(y, copying.N_OUTPUTS)
    wrong = tf.one_hot((y + (np.arange(24) >= 21)) % copying.N_OUTPUTS, copying.N_OUTPUTS)  # the last three symbols
    assert float(copying.recalled(y, logits)[0]) == 1
    assert float(copying.recalled(y, wrong)[0]) == pytest.approx(0.7)


def test_the_memoryless_line_is_the_loss_of_waiting_and_guessing():
    strings = copying.Strings("test", 200, 30)
    logits = np.full((200, 50, copying.N_OUTPUTS), -1e9, "float32")
    logits[:, :40, copying.BLANK] = 0
    logits[:, 40:, 1:] = 0
    ((_, y),) = strings.batches(200).as_numpy_iterator()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits)
    assert float(loss) == pytest.approx(copying.memoryless_line(30), rel=1e-5)
    np.testing.assert_allclose(copying.normalized_loss(y, logits), 1, rtol=1e-5)
    assert copying.memoryless_line(1000) == pytest.approx(0.0204, abs=1e-4)  # Arjovsky et al.


def strings_of(split, seed, count=3000):
    found = copying.Strings(split, count, 1).batches(500, seed)
    return np.concatenate([y[:, -10:] for _, y in found.as_numpy_iterator()])


def test_no_string_is_in_two_splits_and_symbols_are_uniform():
    found = {split: np.concatenate([strings_of(split, s) for s in (0, 1)]) for split in ("train", "validation", "test")}
    residues = [set((symbols - 1).sum(1) % 8) for symbols in found.values()]
    assert residues == [{0, 1, 2, 3, 4, 5}, {6}, {7}]  # by construction, so for every seed
    for symbols in found.values():
        assert len({tuple(string) for string in symbols}) > 5990  # of 6,000: two seeds have other strings
        counts = np.stack([np.bincount(column, minlength=9)[1:] for column in symbols.T])
        assert np.all(np.abs(counts - 750) < 5 * math.sqrt(750))  # five deviations of a count of that mean
        pairs = np.bincount(8 * (symbols[:, 8] - 1) + symbols[:, 9] - 1, minlength=64)
        assert np.all(np.abs(pairs - 6000 / 64) < 5 * math.sqrt(6000 / 64))


def test_what_validates_is_not_what_tests():
    """Not even in the nine symbols that the split does not set: of 8^9, 300 strings share none."""
    validation, test = (
        {tuple(symbols[:9]) for symbols in strings_of(split, None, 300)} for split in ("validation", "test")
    )
    assert len(validation) == len(test) == 300
    assert not validation & test


def test_batches_are_a_function_of_seed_and_epoch():
    train = copying.Strings("train", 100, 40, 20)
    four = list(train.batches(30, 3, range(4)).as_numpy_iterator())
    last = list(train.batches(30, 3, range(3, 4)).as_numpy_iterator())
    assert [len(y) for _, y in four] == [30, 30, 30, 10] * 4
    for (a, b), (c, d) in zip(four[12:], last, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    assert not np.array_equal(four[0][1][:, -10:], four[4][1][:, -10:])
    test = copying.Strings("test", 20, 5)
    np.testing.assert_array_equal(*(next(test.batches(20).as_numpy_iterator())[1] for _ in range(2)))


def test_the_length_is_held_and_then_grows_by_a_factor():
    train = copying.Strings("train", 40, 320, 10)
    lengths = [train.at(n / 10).length for n in range(11)]  # by the 32nd part of a factor of 32, five times
    assert lengths == [10, 10, 10, 10, 10, 20, 40, 80, 160, 320, 320]
    lengths = [y.shape[1] - 20 for _, y in train.at(0.7).batches(10, 0, range(3)).as_numpy_iterator()]
    assert lengths == [80] * 12
    always = copying.Strings("train", 20, 7)
    assert always.at(0.9) == always


def test_xla_compiles_for_one_length_that_is_not_long():
    rnn = keras.Sequential([keras.Input((None, copying.N_INPUTS)), keras.layers.SimpleRNN(3)])
    short, long, growing = (copying.Strings("train", 8, *blanks) for blanks in ((100,), (300,), (100, 10)))
    padded = pipelines.Examples(pipelines.ragged([np.zeros((2, 1)), np.zeros((5, 1))]), np.zeros(2, int))
    assert training._is_worth_compiling(short, 4, rnn)
    assert not any(training._is_worth_compiling(data, 4, rnn) for data in (long, growing, padded))
    rnn.layers[0].supports_jit = False
    assert not training._is_worth_compiling(short, 4, rnn)


def test_the_learning_rate_rises_then_decays():
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


def test_a_gradient_that_is_not_finite_is_taken_for_zero():
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


def test_copying_memory_learns(tmp_path, capsys):
    small = ("--blanks", 2, "--start", 1, "--qubits", 3, "--hidden", 16, "--steps", 30)
    small += ("--limit", 200, "--learning-rate", 0.03, "--epochs", 20)
    run(copying_memory, *small, "--out", tmp_path)
    record, line, printed = record_in(tmp_path), copying.memoryless_line(2), capsys.readouterr().out
    assert f"{line:.4f}" in printed
    assert record["score"]["metric"] == "loss"
    losses = [epoch["val_loss"] for epoch in record["metrics"]]
    assert record["runs"][0]["best_epoch"] == 1 + int(np.argmin(losses))
    assert record["test"]["loss"] < 0.95  # 1 is what a model pays that remembers nothing
    # five deviations of 2,000 guesses among eight
    assert record["test"]["recalled"] > 1 / 8 + 5 * math.sqrt(7 / 64 / 2000)
    assert keras.models.load_model(tmp_path / "model.keras").input_shape == (None, None, 10)


def test_a_growing_task_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    small = ("--blanks", 9, "--start", 2, "--qubits", 2, "--hidden", 4, "--steps", 3)
    small += ("--limit", 8, "--batch-size", 4, "--epochs", 10)
    run(copying_memory, *small, "--out", tmp_path / "whole")
    end, lengths = training._Epochs.on_epoch_end, []

    def stopped(self, epoch, logs=None):
        end(self, epoch, logs)
        lengths.append(epoch)
        if len(lengths) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Epochs, "on_epoch_end", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(copying_memory, *small, "--out", tmp_path / "stopped")
    run(copying_memory, *small, "--out", tmp_path / "stopped")
    assert lengths == list(range(10))
    whole, resumed = (record_in(tmp_path / name) for name in ("whole", "stopped"))
    assert whole["metrics"] == resumed["metrics"]
    assert whole["test"] == resumed["test"]


def test_the_learning_rate_decays_over_all_lengths():
    """One half wave of a cosine over the batches of all epochs, each of which is a fit of its own."""
    rates, lengths = [], []

    class Seen(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    class Strings(copying.Strings):
        def batches(self, *arguments, **keywords):
            lengths.append(self.length)
            return super().batches(*arguments, **keywords)

    model = keras.Sequential([keras.Input((None, copying.N_INPUTS)), keras.layers.Dense(copying.N_OUTPUTS)])
    train, held_out = Strings("train", 8, 320, 10), copying.Strings("test", 4, 320)
    settings = training.Settings(epochs=10, batch_size=4, learning_rate=0.1)
    training.fit(
        model, train, held_out, held_out, settings, seed=0, title="", loss=copying.normalized_loss, callbacks=[Seen()]
    )
    assert lengths == [10, 10, 10, 10, 10, 20, 40, 80, 160, 320]
    assert rates == pytest.approx([0.05 + 0.05 * math.cos(math.pi * batch / 20) for batch in range(20)], rel=1e-5)


def build_of(monkeypatch, *arguments):
    """What the script would train."""
    tasks = []
    monkeypatch.setattr(copying_memory.experiment, "run", lambda task, options: tasks.append(task) or [[], None])
    monkeypatch.setattr(copying_memory.plots, "pictures", lambda *arguments: "")
    run(copying_memory, *arguments)
    keras.utils.set_random_seed(0)
    return tasks[0].build


def test_a_blank_does_not_turn_the_memory_at_the_start(monkeypatch):
    """After a thousand blanks the memory is as it was; shut as it is on symbols, it is not."""

    def moved(*arguments):
        layer = build_of(monkeypatch, *arguments)("qrnn", None).layers[0]
        symbols = tf.one_hot([[3, 1, 4, 1, 5, 2, 6, 5, 3, 8]], copying.N_INPUTS)
        blanks = tf.one_hot(tf.zeros((1, 1000), tf.int32), copying.N_INPUTS)
        before = layer(symbols)[:, -1]
        after = layer(tf.concat([symbols, blanks], 1))[:, -1]
        return float(tf.reduce_max(tf.abs(after - before)))

    assert moved() < 0.2  # GELU is -1e-4 at -4: a thousand steps of some 1e-4 radians
    assert moved("--closed-on-blanks", 2) > 0.5


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_gates_start_with_memories_of_up_to_t_steps(name, monkeypatch):
    """sigmoid(log t) is 1 - 1 / (t + 1): a gate that forgets in t steps."""
    units = 200
    layer = build_of(monkeypatch, "--model", name, "--chrono", "--blanks", 50)(name, units).layers[0]
    bias = np.array(layer.cell.bias)
    if name == "lstm":
        np.testing.assert_array_equal(bias[:units], -bias[units : 2 * units])
        forget, others = bias[units : 2 * units], bias[2 * units :]
    else:
        forget, others = bias[0, :units], np.concatenate([bias[0, units:], bias[1]])
    assert not np.any(others)
    times = np.exp(forget)
    assert 1 <= times.min() < 3
    assert 47 < times.max() <= 50
    assert abs(times.mean() - 25.5) < 5 * 49 / math.sqrt(12 * units)  # uniform; five deviations of the mean


def test_copying_memory_without_a_curriculum(tmp_path):
    small = ("--blanks", 6, "--qubits", 2, "--hidden", 8, "--steps", 10, "--limit", 20, "--initial-rotation", 0.1)
    run(copying_memory, *small, "--epochs", 4, "--learning-rate", 0.05, "--out", tmp_path)
    losses = [epoch["loss"] for epoch in record_in(tmp_path)["metrics"]]
    assert losses[-1] < 0.75 * losses[0]  # log 9 = 2.2 is a guess; that most are blanks is learned at once


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--blanks", 0), "must be 1 or more"),
        (("--hidden",), "`--hidden` must name a layer or more"),
        (("--chrono",), "`--chrono` must be left out without a model lstm or gru"),
        (("--start", 100), "must be below `--blanks`, 100, but it is 100"),
        (
            ("--start", 9, "--epochs", 8),
            "`--epochs` must be 10 or more with `--start`, for the last tenth of them is at T, but it is 8",
        ),
    ],
)
def test_copying_memory_refuses(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(copying_memory, *arguments, "--out", tmp_path)
    assert message in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- time series


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


def test_series_that_cannot_be_read_are_refused(tmp_path):
    np.savez(tmp_path / "series.npz", x=np.zeros((5, 2)), lengths=np.array([2, 2]), y=np.array([0, 1]))
    for dataset, message in (
        ("nonsense", r"must be \"embedded\", \"tfds:NAME\" or a folder"),
        (str(tmp_path), "lengths that add up to them"),
        ("tfds:no_such_set", "cannot load 'no_such_set'"),
    ):
        with pytest.raises(SystemExit, match=message):
            series.load_series(dataset, str(tmp_path))
    with pytest.raises(SystemExit, match="To fetch it once"):
        series.load_series("embedded", str(tmp_path))


def test_time_series_learns(tmp_path, capsys):
    small = ("--qubits", 3, "--limit", 90, "--epochs", 8, "--learning-rate", 0.03, "--compare", "gru")
    run(time_series, *small, "--out", tmp_path)
    record = record_in(tmp_path)
    assert record["metrics"][-1]["loss"] < 0.75 * math.log(9)  # chance is log 9
    assert "Licence: CC BY 4.0" in capsys.readouterr().out
    gru, qrnn = (next(r["parameters"] for r in record["runs"] if r["model"] == name) for name in ("gru", "qrnn"))
    assert abs(gru - qrnn) <= 0.03 * qrnn
    # what fills a batch up is masked: alone or beside longer ones, a series has the same logits
    model = keras.models.load_model(tmp_path / "model.keras")
    examples = series.load_series("embedded").examples(50)["test"]
    beside = model(examples.x.to_tensor(series.PADDING))
    for index in range(5):
        np.testing.assert_allclose(beside[index], model(examples.x[index][None])[0], rtol=1e-4, atol=1e-5)  # float32


def test_time_series_reads_a_set_of_tensorflow_datasets(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
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
        data_dir=tmp_path / "data",
    )
    common = ("--dataset", "tfds:signs", "--data-dir", tmp_path / "data", "--qubits", 2, "--learning-rate", 0.05)
    run(time_series, *common, "--epochs", 6, "--batch-size", 8, "--out", tmp_path / "out")
    assert record_in(tmp_path / "out")["test"]["accuracy"] > 0.9  # positive series against negative ones


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
