"""A checkpoint is whole or not there, is read only where it fits, and a resumed training gives the same bits."""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import warnings
import zipfile

import keras
import numpy as np
import pytest
from killed_worker import large_model, small_model

import tfq_qrnn

ROOT = pathlib.Path(__file__).parents[2]


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


def signed(data):
    """The bytes of a checkpoint with their digest made right again."""
    return data[:-64] + hashlib.sha256(data[:-64]).hexdigest().encode()


def repacked(path, change, compression=zipfile.ZIP_STORED):
    """The file with `change(name, bytes)` applied to each part, and a right digest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        new.comment = b"0" * 64
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return signed(buffer.getvalue())


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def with_header(path, **changes):
    def change(name, data):
        if name != "header.npy":
            return data
        header = json.loads(np.load(io.BytesIO(data)).tobytes())
        return npy(np.frombuffer(json.dumps({**header, **changes}).encode(), np.uint8))

    return repacked(path, change)


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
    callback = checkpoints.callback()
    resumed.fit(**data, epochs=4, initial_epoch=progress["epoch"], callbacks=[callback])
    assert_same(resumed, state(whole))
    for mine, other in zip(resumed.layers[1].states, whole.layers[1].states, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert callback.history == expected.history
    assert checkpoints.restore(resumed) == {"epoch": 4, "history": expected.history}


def test_keeps_the_newest(tmp_path):
    paths = three_checkpoints(tmp_path, dense_model())
    assert sorted(tmp_path.glob("*.npz")) == paths[1:]
    with np.load(paths[2]) as arrays:  # a plain npz, for whoever wants to look
        np.testing.assert_array_equal(arrays["00000"], np.full((2, 3), 3, "float32"))
        header = json.loads(arrays["header"].tobytes())
    assert header["format"] == "tfq_qrnn checkpoint"
    assert {"python", "tfq_qrnn", "tensorflow", "keras", "numpy"} == set(header["versions"])


def test_a_damaged_file_is_left_out(tmp_path):
    model = dense_model()
    paths = three_checkpoints(tmp_path, model)
    whole = paths[2].read_bytes()
    rng = random.Random(0)
    damaged = [whole[:length] for length in [*range(0, 64, 9), *rng.sample(range(len(whole)), 40), len(whole) - 1]]
    for position in [0, len(whole) - 1, *rng.sample(range(len(whole)), 60)]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.randrange(8)
        damaged.append(bytes(flipped))
    damaged += [whole + b"\0", b"\0" * len(whole)]
    for data in damaged:
        paths[2].write_bytes(data)
        with pytest.warns(UserWarning, match=r"checkpoint-00000003\.npz is damaged and left out: its bytes do not"):
            assert tfq_qrnn.Checkpoints(tmp_path).restore(model) == {"epoch": 2}
        np.testing.assert_array_equal(model.layers[0].kernel, np.full((2, 3), 2, "float32"))


def test_a_damaged_file_is_not_one_of_those_kept(tmp_path):
    model = dense_model()
    paths = three_checkpoints(tmp_path, model)
    paths[2].write_bytes(paths[2].read_bytes()[:-1])
    checkpoints = tfq_qrnn.Checkpoints(tmp_path)
    with pytest.warns(UserWarning, match="damaged"):
        checkpoints.restore(model)
    newest = checkpoints.save(model, {"epoch": 3})
    assert newest.name == "checkpoint-00000004.npz"
    assert paths[1].exists()
    checkpoints.save(model, {"epoch": 4})
    assert len(list(tmp_path.glob("*.npz"))) == 2


def test_nothing_is_unpacked_or_executed(tmp_path):
    """Files with a right digest that somebody else made: no pickle, no large allocation, no error but a warning."""
    model = dense_model()
    paths = three_checkpoints(tmp_path, model)
    trap = tmp_path / "executed"

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(trap),)

    def replace(name, data):
        return lambda n, old: data if n == name else old

    announced = npy(np.zeros(6, "float32")).replace(b"(6,), }" + b" " * 9, b"(9000000000000,)")
    assert b"9000000000000" in announced
    source = paths[2].rename(tmp_path / "source.npz")
    for data in (
        repacked(source, lambda name, data: data, zipfile.ZIP_DEFLATED),
        repacked(source, replace("00000.npy", npy(np.zeros(10**6, "float32")))),
        repacked(source, replace("00000.npy", npy(np.array([Trap()]), allow_pickle=True))),
        repacked(source, replace("00000.npy", announced)),
        repacked(source, replace("00000.npy", npy(np.zeros((3, 2), "float32")))),
        repacked(source, replace("00000.npy", b"\x93NUMPY")),
        repacked(source, replace("header.npy", npy(np.frombuffer(b"[" * 100_000, np.uint8)))),
        repacked(source, replace("header.npy", npy(np.zeros(2**24 + 8192, np.uint8)))),
        with_header(source, format="another"),
        with_header(source, progress=[]),
        signed(b"no zip at all" + b"0" * 64),
        signed(source.read_bytes()[100:]),
    ):
        paths[2].write_bytes(data)
        with pytest.warns(UserWarning, match="damaged and left out"):
            assert tfq_qrnn.Checkpoints(tmp_path).restore(model) == {"epoch": 2}
    assert not trap.exists()


@pytest.mark.parametrize(
    ("other", "given"),
    [
        (
            {"units": 4},
            r"variable 0 is kernel \(float32, shape \[2, 3\]\) of the model there and kernel \(float32, shape \[2, 4",
        ),
        ({"dtype": "float64"}, r"variable 0 is kernel \(float32, .* there and kernel \(float64, "),
        ({"layers": 2}, "variable 2 is iteration .* of the optimizer there and kernel .* of the model here"),
    ],
)
def test_another_model_is_refused_and_unchanged(tmp_path, other, given):
    three_checkpoints(tmp_path, dense_model())
    model = dense_model(**other)
    before = state(model)
    with pytest.raises(ValueError, match=f"Argument `model` must be the one of the checkpoint, but .*{given}"):
        tfq_qrnn.Checkpoints(tmp_path).restore(model)
    assert_same(model, before)


def test_another_optimizer_is_refused(tmp_path):
    three_checkpoints(tmp_path, dense_model())
    model = dense_model()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="it has 6 variables and this model with its optimizer 4"):
        tfq_qrnn.Checkpoints(tmp_path).restore(model)
    np.testing.assert_array_equal(model.optimizer.iterations, 0)


def test_a_newer_format_is_refused_and_the_first_one_is_read(tmp_path):
    model = dense_model()
    paths = three_checkpoints(tmp_path, model)
    paths[2].write_bytes(with_header(paths[2], version=2))
    with pytest.raises(ValueError, match=r"must hold checkpoints of format 1 or older, but .*003\.npz has format 2"):
        tfq_qrnn.Checkpoints(tmp_path).restore(model)
    folder = tmp_path / "old"
    folder.mkdir()
    stored = ROOT / "tests" / "data" / "checkpoint_1.npz"  # written by tfq_qrnn 0.1.0
    (folder / "checkpoint-00000007.npz").write_bytes(stored.read_bytes())
    assert tfq_qrnn.Checkpoints(folder).restore(model) == {"epoch": 1}
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

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(model, {"epoch": 2})
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".lock", path]


@pytest.mark.parametrize(
    ("progress", "message"),
    [
        (3, "Argument `progress` must be a dict"),
        ({"a": (1, 2)}, r"Argument `progress\['a'\]` must be a str"),
        ({"a": [np.float32(1)]}, r"Argument `progress\['a'\]\[0\]` must be a str"),
        ({1: "a"}, "Argument `progress` must have keys of type str"),
    ],
)
def test_progress_comes_back_as_it_was_or_is_refused(tmp_path, progress, message):
    with pytest.raises(TypeError, match=message):
        tfq_qrnn.Checkpoints(tmp_path).save(dense_model(), progress)
    with pytest.raises(ValueError, match="Argument `progress` must have at most 16 MiB"):
        tfq_qrnn.Checkpoints(tmp_path).save(dense_model(), {"notes": "x" * 2**24})
    assert not list(tmp_path.glob("*.npz"))


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
    rng, epochs = random.Random(0), 100

    def newest(folder):
        return max((path.name for path in folder.glob("*.npz")), default="")

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
            leftovers += (folder / "checkpoint.partial").exists()
            progress = tfq_qrnn.Checkpoints(folder).restore(model)
            np.testing.assert_array_equal(model.layers[0].kernel, np.full((200, 300), progress["number"], "float32"))
        assert leftovers > 0  # some were killed while they wrote
        tfq_qrnn.Checkpoints(folder).save(model, {"number": 0})
        assert {path.suffix for path in folder.iterdir()} == {"", ".npz"}
