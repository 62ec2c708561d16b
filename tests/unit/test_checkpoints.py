"""A checkpoint is whole or not there, is read only where it fits, and a resumed training gives the same bits."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from killed_worker import large_model, small_model

import tfq_qrnn
from tfq_qrnn import _files

ROOT = pathlib.Path(__file__).parents[2]
PARTS = ("progress.json", "variables.index", "variables.data-00000-of-00001")


def dense_model(units=3, dtype=None, layers=1):
    model = keras.Sequential([keras.Input((2,)), *(keras.layers.Dense(units, dtype=dtype) for _ in range(layers))])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def state(model):
    return [np.array(variable) for variable in [*model.variables, *model.optimizer.variables]]


def assert_same(model, expected):
    for variable, value in zip([*model.variables, *model.optimizer.variables], expected, strict=True):
        np.testing.assert_array_equal(np.array(variable), value, err_msg=variable.path)


def three_checkpoints(folder, model, keep=2):
    """Saves with all weights at 1, 2 and 3; returns the paths."""
    checkpoints, paths = tfq_qrnn.Checkpoints(folder, keep), []
    for value in (1, 2, 3):
        for variable in model.trainable_variables:
            variable.assign(np.full(variable.shape, value, "float32"))
        paths.append(checkpoints.save(model, {"epoch": value}))
    return paths


def sign(path):
    """Make the digest of a checkpoint right again, as somebody else could."""
    (path / "digest").write_text(_files.digest(*((path / name).read_bytes() for name in PARTS)))


def with_header(path, **changes):
    header = json.loads((path / "progress.json").read_text())
    (path / "progress.json").write_text(json.dumps({**header, **changes}))
    sign(path)


@pytest.mark.slow
def test_a_resumed_fit_gives_the_same_bits(tmp_path):
    """With everything that has a state: dropout, a stateful layer, moving averages, slots, a schedule, a loss scale."""

    def build():
        inputs = keras.Input((4, 3), batch_size=8)
        hidden = tfq_qrnn.QRNN(2, depth=1, dropout=0.2, recurrent_dropout=0.1, stateful=True, seed=1)(inputs)
        hidden = keras.layers.BatchNormalization()(keras.layers.Dropout(0.1)(hidden))
        model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
        schedule = keras.optimizers.schedules.CosineDecay(0.01, 20)
        adam = keras.optimizers.Adam(schedule, clipnorm=1.0, use_ema=True, gradient_accumulation_steps=2)
        model.compile(keras.optimizers.LossScaleOptimizer(adam, dynamic_growth_steps=3), "mse", metrics=["mae"])
        return model

    x = np.random.default_rng(0).normal(size=(32, 4, 3)).astype("float32")
    data = {"x": x, "y": x.sum(axis=(1, 2))[:, None], "batch_size": 8, "shuffle": False, "verbose": 0}
    data["validation_data"] = x[:8], data["y"][:8]
    keras.utils.set_random_seed(0)
    whole = build()
    expected = whole.fit(**data, epochs=4)
    keras.utils.set_random_seed(0)
    build().fit(**data, epochs=2, callbacks=[tfq_qrnn.Checkpoints(tmp_path).callback()])
    keras.utils.set_random_seed(7)  # other initial weights and seeds: all must come from the file
    resumed, checkpoints = build(), tfq_qrnn.Checkpoints(tmp_path)
    progress = checkpoints.restore(resumed)
    assert progress["epoch"] == 2
    resumed.fit(**data, epochs=4, initial_epoch=progress["epoch"], callbacks=[checkpoints.callback()])
    assert_same(resumed, state(whole))
    for mine, other in zip(resumed.layers[1].states, whole.layers[1].states, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert checkpoints.restore(resumed) == {"epoch": 4, "history": expected.history}


def test_keeps_the_newest(tmp_path):
    paths = three_checkpoints(tmp_path, dense_model())
    assert sorted(tmp_path.glob("checkpoint-*")) == paths[1:]
    assert [path.name for path in paths] == [f"checkpoint-0000000{number}" for number in (1, 2, 3)]
    reader = tf.train.load_checkpoint(paths[2] / "variables")  # plain TensorFlow, for whoever wants to look
    kernel = reader.get_tensor("00000-model-kernel/.ATTRIBUTES/VARIABLE_VALUE")
    np.testing.assert_array_equal(kernel, np.full((2, 3), 3, "float32"))
    header = json.loads((paths[2] / "progress.json").read_text())
    assert header == {"format": "tfq_qrnn checkpoint 1", "progress": {"epoch": 3}}


@pytest.mark.parametrize(
    "cell",
    [
        tfq_qrnn.QRNNCell,
        lambda n: tfq_qrnn.QRNNCell(n, trainable_circuit=tfq_qrnn.HardwareEfficient(n, 1)),
        keras.layers.LSTMCell,
    ],
    ids=["QRNN", "trained circuit", "LSTM"],
)
def test_weights_that_keras_holds_only_in_lists_are_kept(tmp_path, cell):
    """`tf.train.Checkpoint(model=...)` misses all those of stacked cells, LSTM's too."""

    def build(seed):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((3, 2)), keras.layers.RNN([cell(2), cell(1)])])
        model.compile("sgd", "mse")
        return model

    saved, other = build(1), build(2)
    tfq_qrnn.Checkpoints(tmp_path).save(saved, {})
    tfq_qrnn.Checkpoints(tmp_path).restore(other)
    assert sum(np.any(np.array(v)) for v in saved.variables) > 3  # not all zero
    assert_same(other, state(saved))


@pytest.mark.parametrize("part", [*PARTS, "digest"])
def test_a_damaged_file_is_left_out(tmp_path, part):
    model = dense_model()
    path = three_checkpoints(tmp_path, model)[2]
    whole = (path / part).read_bytes()
    rng = random.Random(0)
    damaged = [whole[:length] for length in [0, 1, *rng.sample(range(len(whole)), 10), len(whole) - 1]]
    for position in [0, len(whole) - 1, *rng.sample(range(len(whole)), 15)]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.randrange(8)
        damaged.append(bytes(flipped))
    for data in [*damaged, whole + b"\0", b"\0" * len(whole), None]:
        (path / part).unlink() if data is None else (path / part).write_bytes(data)
        with pytest.warns(UserWarning, match=r"checkpoint-00000003 is damaged and left out: "):
            assert tfq_qrnn.Checkpoints(tmp_path).restore(model) == {"epoch": 2}
        np.testing.assert_array_equal(model.layers[0].kernel, np.full((2, 3), 2, "float32"))


def test_a_damaged_file_is_not_one_of_those_kept(tmp_path):
    model = dense_model()
    paths = three_checkpoints(tmp_path, model)
    (paths[2] / PARTS[2]).write_bytes((paths[2] / PARTS[2]).read_bytes()[:-1])
    checkpoints = tfq_qrnn.Checkpoints(tmp_path)
    with pytest.warns(UserWarning, match="damaged"):
        checkpoints.restore(model)
    newest = checkpoints.save(model, {"epoch": 3})
    assert newest.name == "checkpoint-00000004"
    assert paths[1].exists()
    checkpoints.save(model, {"epoch": 4})
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2


def test_nothing_larger_than_the_model_is_read(tmp_path, monkeypatch):
    """Files with a right digest that somebody else made: a warning or an error, and the model stays as it was."""
    model, trained = dense_model(), dense_model(units=10**6)
    paths = three_checkpoints(tmp_path, model)
    before = state(model)
    three_checkpoints(tmp_path / "large", trained, keep=1)
    large = tmp_path / "large" / "checkpoint-00000003"
    source = paths[2].rename(tmp_path / "source")

    def changed(change):
        shutil.rmtree(paths[2], ignore_errors=True)
        shutil.copytree(source, paths[2])
        change(paths[2])
        sign(paths[2])

    for change in (
        lambda path: (path / "progress.json").write_text("[" * 100_000),
        lambda path: (path / "progress.json").write_text("{}"),
        lambda path: (path / "variables.index").write_bytes(b"no index at all"),
        lambda path: (path / "variables.index").write_bytes((source / "variables.index").read_bytes()[:-10]),
        lambda path: (path / "variables.data-00000-of-00001").write_bytes(b"\0" * 8),
        lambda path: shutil.copy(large / "variables.data-00000-of-00001", path),
    ):
        changed(change)
        with pytest.warns(UserWarning, match="damaged and left out"):
            assert tfq_qrnn.Checkpoints(tmp_path).restore(model) == {"epoch": 2}
    np.testing.assert_array_equal(model.layers[0].kernel, np.full((2, 3), 2, "float32"))

    def refuse(*arguments):
        raise AssertionError("a tensor was read")

    changed(lambda path: [shutil.copy(large / name, path) for name in PARTS])
    before = state(model)
    monkeypatch.setattr(type(tf.train.load_checkpoint(large / "variables")), "get_tensor", refuse)
    with pytest.raises(ValueError, match=r"has 00000-model-kernel float32 \[2, 1000000\] where 00000-model-kernel "):
        tfq_qrnn.Checkpoints(tmp_path).restore(model)
    assert_same(model, before)


@pytest.mark.parametrize(
    ("other", "given"),
    [
        (
            {"units": 4},
            r"has 00000-model-kernel float32 \[2, 3\] where 00000-model-kernel float32 \[2, 4\] is needed",
        ),
        ({"dtype": "float64"}, "has 00000-model-kernel float32 .* where 00000-model-kernel float64 "),
        ({"layers": 2}, "has 00002-optimizer-iteration .* where 00002-model-kernel "),
    ],
)
def test_another_model_is_refused_and_unchanged(tmp_path, other, given):
    three_checkpoints(tmp_path, dense_model())
    model = dense_model(**other)
    before = state(model)
    with pytest.raises(ValueError, match=f"Argument `model` must fit the checkpoint, but .*{given}"):
        tfq_qrnn.Checkpoints(tmp_path).restore(model)
    assert_same(model, before)


def test_another_optimizer_is_refused(tmp_path):
    three_checkpoints(tmp_path, dense_model())
    model = dense_model()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"has 00004-optimizer-.*kernel_momentum .* where nothing is needed"):
        tfq_qrnn.Checkpoints(tmp_path).restore(model)
    np.testing.assert_array_equal(model.optimizer.iterations, 0)


def test_a_newer_format_is_refused_and_the_first_one_is_read(tmp_path):
    model = dense_model()
    paths = three_checkpoints(tmp_path, model)
    with_header(paths[2], format="tfq_qrnn checkpoint 2")
    message = "has format 'tfq_qrnn checkpoint 2' where format 'tfq_qrnn checkpoint 1' is needed"
    with pytest.raises(ValueError, match=message):
        tfq_qrnn.Checkpoints(tmp_path).restore(model)
    stored = ROOT / "tests" / "data" / "checkpoint_1"  # written by tfq_qrnn 0.1.0
    shutil.copytree(stored, tmp_path / "old" / "checkpoint-00000007")
    assert tfq_qrnn.Checkpoints(tmp_path / "old").restore(model) == {"epoch": 1}
    np.testing.assert_array_equal(model.layers[0].kernel, np.full((2, 3), 1, "float32"))


def test_bfloat16_weights_come_back(tmp_path):
    model = dense_model(dtype="bfloat16")
    before = state(model)
    tfq_qrnn.Checkpoints(tmp_path).save(model, {})
    model.layers[0].kernel.assign(np.zeros((2, 3)))
    tfq_qrnn.Checkpoints(tmp_path).restore(model)
    assert_same(model, before)


def test_one_process_writes(tmp_path):
    model = dense_model()
    checkpoints = tfq_qrnn.Checkpoints(tmp_path)
    checkpoints.save(model, {"epoch": 1})
    tfq_qrnn.Checkpoints(tmp_path).save(model, {"epoch": 2})  # the same process may
    descriptor = os.open(tmp_path / ".lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):  # another one would wait
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    del checkpoints
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(ValueError, match="Argument `folder` must be of one training at a time, but another process"):
        tfq_qrnn.Checkpoints(tmp_path).callback().on_train_begin()
    assert tfq_qrnn.Checkpoints(tmp_path).restore(model) == {"epoch": 2}  # reading is always possible
    os.close(descriptor)


def test_a_full_disk_costs_nothing(tmp_path, monkeypatch):
    model = dense_model()
    checkpoints = tfq_qrnn.Checkpoints(tmp_path, keep=1)
    path = checkpoints.save(model, {"epoch": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            checkpoints.save(model, {"epoch": 2})
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".lock", path]
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, most))  # a limit of the system's, met within TensorFlow
    try:
        with pytest.raises(OSError, match=r"The checkpoint .*002 cannot be written: .*File too large"):
            checkpoints.save(model, {"epoch": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".lock", path]
    assert checkpoints.restore(model) == {"epoch": 1}


@pytest.mark.parametrize(
    ("progress", "message"),
    [
        (3, "Argument `progress` must be a dict"),
        ({"a": (1, 2)}, "Argument `progress` must be a dict of str, numbers"),
        ({"a": [np.float32(1)]}, "Argument `progress` must be a dict of str, numbers"),
        ({"a": np.ones(2)}, "Argument `progress` must be a dict of str, numbers"),
        ({1: "a"}, "Argument `progress` must be a dict of str, numbers"),
        ({(1, 2): "a"}, "Argument `progress` must be a dict of str, numbers"),
    ],
)
def test_progress_comes_back_as_it_was_or_is_refused(tmp_path, progress, message):
    with pytest.raises(TypeError, match=message):
        tfq_qrnn.Checkpoints(tmp_path).save(dense_model(), progress)
    assert not list(tmp_path.iterdir())


def test_progress_has_a_size(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "MOST_BYTES", 1024)
    with pytest.raises(ValueError, match="Argument `progress` must have at most 1 KiB as JSON, but it has 2"):
        tfq_qrnn.Checkpoints(tmp_path).save(dense_model(), {"notes": "x" * 2048})
    progress = {"loss": [float("nan"), float("inf"), 1e-300], "done": True, "none": None, "name": "é"}
    tfq_qrnn.Checkpoints(tmp_path).save(dense_model(), progress)
    assert repr(tfq_qrnn.Checkpoints(tmp_path).restore(dense_model())) == repr(progress)


def test_models_that_cannot_be_saved_are_refused(tmp_path):
    for model, message in (
        (keras.Sequential([keras.layers.Dense(1)]), "Argument `model` must be built"),
        (keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), "Argument `model` must be compiled"),
    ):
        with pytest.raises(ValueError, match=message):
            tfq_qrnn.Checkpoints(tmp_path).save(model, {})
    with pytest.raises(TypeError, match="Argument `model` must be a Keras model"):
        tfq_qrnn.Checkpoints(tmp_path).restore("model")
    with pytest.raises(ValueError, match="Argument `keep` must be an integer of 1 or more"):
        tfq_qrnn.Checkpoints(tmp_path, keep=0)


class Children:
    """Children of tests/support/killed_worker.py, one at a time."""

    def __init__(self, process):
        self.process = process

    def start(self, *task):
        print(*task, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def status(self):
        return int(self.process.stdout.readline())


@contextlib.contextmanager
def children():
    command = [sys.executable, "tests/support/killed_worker.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:
        yield Children(process)
        process.stdin.close()


def wait_for(condition):
    """Far longer than it takes, for machines on which much else runs."""
    deadline = time.monotonic() + 400
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_weights(tmp_path):
    """SIGKILL ten times at random within a training, and twelve times within saves that follow each other at once."""
    rng, epochs = random.Random(0), 40

    def newest(folder):
        return max((path.name for path in folder.glob("checkpoint-*")), default="")

    with children() as worker, warnings.catch_warnings():
        warnings.simplefilter("error")  # a damaged checkpoint would be reported by one
        worker.start("train", tmp_path / "whole", epochs)
        assert worker.status() == 0
        reached = []
        for _ in range(10):
            before = newest(tmp_path / "killed")
            pid = worker.start("train", tmp_path / "killed", epochs)
            wait_for(lambda before=before: newest(tmp_path / "killed") != before)
            time.sleep(rng.uniform(0, 0.05))
            os.kill(pid, signal.SIGKILL)
            assert worker.status() == signal.SIGKILL
            reached.append(newest(tmp_path / "killed"))
        assert reached == sorted(set(reached))  # each of the ten got further
        worker.start("train", tmp_path / "killed", epochs)
        assert worker.status() == 0
        whole, killed = small_model(), small_model()
        progress = [
            tfq_qrnn.Checkpoints(tmp_path / name).restore(model)
            for name, model in (("whole", whole), ("killed", killed))
        ]
        assert progress[0] == progress[1]
        assert progress[0]["epoch"] == epochs
        assert_same(killed, state(whole))

        folder, model, leftovers = tmp_path / "saved", large_model(), 0
        for _ in range(12):
            before = newest(folder)
            pid = worker.start("save", folder)
            wait_for(lambda before=before: newest(folder) != before)
            time.sleep(rng.uniform(0, 0.02))
            os.kill(pid, signal.SIGKILL)
            assert worker.status() == signal.SIGKILL
            leftovers += any(folder.glob(".partial-*"))
            progress = tfq_qrnn.Checkpoints(folder).restore(model)
            np.testing.assert_array_equal(model.layers[0].kernel, np.full((200, 300), progress["number"], "float32"))
        assert leftovers > 0  # some were killed while they wrote
        tfq_qrnn.Checkpoints(folder).save(model, {"number": 0})
        assert len(list(folder.glob("checkpoint-*"))) == 2
        assert not list(folder.glob(".partial-*"))
