"""Copying memory: the data are what the task says, the script learns on a slice of them."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments import plan
from experiments.data import copying
from experiments.tasks import copying_memory


def run(script, *arguments):
    script.main([str(argument) for argument in arguments])


def record_in(folder):
    return json.loads((folder / "record.json").read_text())


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


@pytest.mark.slow
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


def build_of(monkeypatch, *arguments):
    """What the script would train."""
    tasks = []
    monkeypatch.setattr(copying_memory.experiment, "run", lambda task, options: tasks.append(task) or [[], None])
    monkeypatch.setattr(copying_memory.plots, "pictures", lambda *arguments: "")
    run(copying_memory, *arguments)
    keras.utils.set_random_seed(0)
    return tasks[0].build


def test_a_blank_does_not_turn_the_memory_at_the_start(monkeypatch):
    """After a thousand blanks the memory is as it was; shut as it is on symbols, it is not. By hand, without drift."""

    def moved(*arguments):
        by_hand = [*plan.SHUT, *arguments]
        layer = build_of(monkeypatch, *by_hand)("qrnn", None).layers[0]
        symbols = tf.one_hot([[3, 1, 4, 1, 5, 2, 6, 5, 3, 8]], copying.N_INPUTS)
        blanks = tf.one_hot(tf.zeros((1, 1000), tf.int32), copying.N_INPUTS)
        before = layer(symbols)[:, -1]
        after = layer(tf.concat([symbols, blanks], 1))[:, -1]
        return float(tf.reduce_max(tf.abs(after - before)))

    assert moved() < 0.2  # GELU is -1e-4 at -4: a thousand steps of some 1e-4 radians
    assert moved("--closed-on-blanks", 2) > 0.5


def test_by_itself_a_drift_about_z_leaves_alone_what_was_not_told(monkeypatch):
    """Before a symbol comes, the gates are all but closed and |0...0> stays: blanks give Z = 1, X = Y = 0."""
    layer = build_of(monkeypatch, "--gate-bias", -20)("qrnn", None).layers[0]
    readouts = layer(tf.one_hot(tf.zeros((1, 300), tf.int32), copying.N_INPUTS))[0, -1]
    np.testing.assert_allclose(readouts, [0, 0, 1] * 6, rtol=0, atol=1e-4)  # gates of 2e-9, float32


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--blanks", 0), "must be 1 or more"),
        (("--closed", 2, "--hidden"), "`--closed` must be 0 without hidden units"),
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
