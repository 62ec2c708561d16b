"""Training on two processes, or two devices, gives what one gives; and what happens when one of them dies."""

import contextlib
import importlib.util
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from distributed_worker import dataset, normalised

from tfq_qrnn.training import distributed

ROOT = pathlib.Path(__file__).parents[2]
BACKENDS = ("tensorflow", "native", *(["tfq"] if importlib.util.find_spec("tensorflow_quantum") else []))
PATIENCE = 400  # seconds; far more than it takes, for machines on which much else runs


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(out, *names, workers=1):
    """Start `workers` processes of tests/support/distributed_worker.py; a cluster, where there are more than one."""
    out.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_NUM_INTRAOP_THREADS": "1"}
    hosts = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    started = []
    for index in range(workers):
        if workers > 1:
            config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            environment["TF_CONFIG"] = json.dumps(config)
        command = [sys.executable, "tests/support/distributed_worker.py", str(out), *names]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))
    return started


def finish(processes):
    """Their outputs; fails where one does."""
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


def results(out, name, rank=0):
    with np.load(out / f"{name}-{rank}.npz") as arrays:
        weights = list(arrays.values())
    record = json.loads((out / f"{name}-{rank}.json").read_text())
    return weights, record["history"], record["seeds"]


def assert_same_bits(first, second):
    for one, other in zip(first[0], second[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert first[1] == second[1]


def assert_close(first, second):
    """Float32 sums in another order, over nine or more steps of Adam."""
    for one, other in zip(first[0], second[0], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    assert set(first[1]) == set(second[1])
    for name, values in first[1].items():
        np.testing.assert_allclose(values, second[1][name], atol=1e-5 if "loss" in name else 1e-6, err_msg=name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folders of all cases: by one process, by two, and by one with two devices. Started at once."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two", "mirrored")]
    names = [*BACKENDS, "normalised"]
    processes = [
        *start(folders[0], *names, "fit:tensorflow", "fit:native"),
        *start(folders[1], *names, "dropped", workers=2),
        *start(folders[2], "--mirrored", "tensorflow", "native", "fit:tensorflow", "fit:native"),
    ]
    finish(processes)
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BACKENDS, "normalised"])
def test_two_processes_give_what_one_gives(trained, name):
    one, two, _ = trained
    assert_same_bits(results(two, name, 0), results(two, name, 1))
    if name != "normalised":  # it normalises over its part of a batch, as everywhere with tf.distribute
        assert_close(results(one, name), results(two, name))


@pytest.mark.slow
def test_batch_normalisation_and_loss_scaling_stay_equal(trained):
    one, two, _ = trained
    (weights, history, _), (expected, _, _) = results(two, "normalised"), results(one, "normalised")
    assert np.abs(weights[2]).max() > 0.01  # the moving mean has moved
    np.testing.assert_allclose(weights[2], expected[2], atol=1e-6)  # means of parts make up the mean of the batch
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.slow
def test_workers_drop_other_units(trained):
    """With one mask for both, the two halves of a batch would see the same; equal weights show one update."""
    _, two, _ = trained
    assert_same_bits(results(two, "dropped", 0), results(two, "dropped", 1))
    assert results(two, "dropped", 0)[2][0][0] != results(two, "dropped", 1)[2][0][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensorflow", "native"])
def test_two_devices_give_what_one_gives(trained, name):
    one, _, mirrored = trained
    assert_close(results(one, name), results(mirrored, name))
    assert_close(results(one, f"fit-{name}"), results(mirrored, f"fit-{name}"))  # then Keras's own `fit`


@pytest.mark.slow
def test_killed_workers_are_noticed_and_a_restart_ends_with_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(whole, "slow:native", workers=2))
    rng = random.Random(0)
    for victim in (1, 0):
        processes = start(killed, "slow:native", workers=2)
        batches = rng.randrange(4, 12)
        while batches:
            line = processes[victim].stdout.readline()
            assert line, "a worker ended before it was killed"
            batches -= line.startswith("batch")
        processes[victim].send_signal(signal.SIGKILL)
        begin = time.monotonic()
        output = processes[1 - victim].communicate(timeout=PATIENCE)[0]
        assert processes[1 - victim].returncode != 0
        assert re.search(rf"ConnectionError: A worker of the cluster was lost, and worker {1 - victim} of 2", output)
        print(f"worker {victim} killed: the other one stopped after {time.monotonic() - begin:.1f} s")
        processes[victim].communicate()
    finish(start(killed, "slow:native", workers=2))
    assert_same_bits(results(killed, "native", 0), results(whole, "native", 0))
    assert_same_bits(results(killed, "native", 1), results(whole, "native", 1))


def test_one_process_gives_what_fit_gives():
    model = normalised()
    expected = model.fit(
        tf.data.Dataset.range(2).flat_map(dataset),
        steps_per_epoch=3,
        epochs=2,
        shuffle=False,
        verbose=0,
        validation_data=dataset(100),
    )
    history = distributed.fit(normalised, dataset, 2, validation=lambda: dataset(100), verbose=0)
    for one, other in zip(history.model.weights, model.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    for name, values in expected.history.items():
        np.testing.assert_allclose(history.history[name], values, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("batches", [1, 9])  # stopped by an exception, and not
def test_the_optimizer_sums_gradients_afterwards_as_before(batches):
    """Or the replicas would drift apart in a plain `fit` of the same model; `fit-native` above trains two."""
    model, during = normalised(), []

    def changed(batch=None, logs=None):
        during.append("_all_reduce_sum_gradients" in vars(model.optimizer))
        return during[-1]

    callbacks = [keras.callbacks.LambdaCallback(on_train_batch_end=changed), Stop(batches)]
    with contextlib.suppress(KeyboardInterrupt):
        distributed.fit(lambda: model, dataset, 1, callbacks=callbacks, verbose=0)
    assert set(during) == {True}
    assert not changed()


class Stop(keras.callbacks.Callback):
    """Ends a training as an exception would, after so many batches."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_train_batch_end(self, batch, logs=None):
        self.batches -= 1
        if self.batches < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("batches", [1, 4, 5])  # within the first epoch, at an end, within the second
def test_a_stopped_training_goes_on_within_an_epoch(tmp_path, batches):
    settings = {"validation": lambda: dataset(100), "save_every": 1, "verbose": 0}
    expected = distributed.fit(normalised, dataset, 3, checkpoints=tmp_path / "whole", **settings)
    stopped = {**settings, "checkpoints": tmp_path / "stopped"}
    with pytest.raises(KeyboardInterrupt):
        distributed.fit(normalised, dataset, 3, callbacks=[Stop(batches)], **stopped)
    history = distributed.fit(normalised, dataset, 3, **stopped)
    for one, other in zip(history.model.variables, expected.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history.history == expected.history
    again = distributed.fit(normalised, dataset, 3, **stopped)  # it is finished, and stays so
    assert again.history == expected.history
    assert again.epoch == [0, 1, 2]


def test_a_training_that_was_stopped_early_stays_stopped(tmp_path):
    def fit():
        early = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100)
        return distributed.fit(normalised, dataset, 5, checkpoints=tmp_path, callbacks=[early], verbose=0)

    assert len(fit().history["loss"]) == 2
    assert len(fit().history["loss"]) == 2


def test_parts_of_a_batch_are_all_of_it():
    group = distributed._Group(None)
    for size in (2, 3, 5):
        group.size = size
        for count in (1, 2, 4, 7, 32):
            batch = tf.range(count)
            parts = [group._part(batch, rank) for rank in range(size)]
            seen = np.concatenate([part[: round(float(share) * count)] for part, share in parts])
            np.testing.assert_array_equal(seen, batch)
            assert all(len(part) > 0 for part, _ in parts)
            np.testing.assert_allclose(sum(float(share) for _, share in parts), 1, rtol=1e-6)


def stateful():
    model = keras.Sequential([keras.Input((3, 2), batch_size=8), keras.layers.LSTM(2, stateful=True)])
    model.compile("sgd", "mse")
    return model


class OwnStep(keras.Model):
    def train_step(self, data):
        return {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"build": normalised()}, "Argument `build` must be a function"),
        ({"build": lambda: 3}, "Argument `build` must return a Keras model"),
        ({"build": OwnStep}, "Argument `build` must return a model with Keras's own `train_step`"),
        ({"dataset": dataset(0)}, "Argument `dataset` must be a function"),
        ({"dataset": lambda epoch: [1]}, "Argument `dataset` must return a tf.data.Dataset"),
        ({"dataset": lambda epoch: dataset(0).take(0)}, "Argument `dataset` must give batches, but its first"),
        ({"validation": dataset(0)}, "Argument `validation` must be a function"),
        ({"epochs": 0}, "Argument `epochs` must be an integer of 1 or more"),
        ({"save_every": 0}, "Argument `save_every` must be an integer of 1 or more"),
        ({"strategy": tf.distribute.OneDeviceStrategy("CPU:0")}, "Argument `strategy` must be a MultiWorker"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {"build": normalised, "dataset": dataset, "epochs": 1, "verbose": 0, **changes}
    with pytest.raises((ValueError, TypeError), match=message):
        distributed.fit(**arguments)


def test_a_cluster_must_be_joined_first(monkeypatch):
    config = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    tf.zeros(1) + 1
    with pytest.raises(
        ValueError, match="Argument `strategy` must be given, or be left to be made from TF_CONFIG as the"
    ):
        distributed.fit(normalised, dataset, 1)
