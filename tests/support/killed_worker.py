"""Forks children that train or save until they are killed: one start of Python and TensorFlow serves many kills.

Reads lines "train FOLDER EPOCHS" and "save FOLDER" from stdin; answers with the child's pid, then with its exit status.
TensorFlow runs in the children alone.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import tfq_qrnn


def small_model():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4, 2)),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 1000)
    model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0, use_ema=True), "mse", metrics=["mae"])
    return model


def train(folder, epochs):
    model = small_model()
    checkpoints = tfq_qrnn.Checkpoints(folder)
    progress = checkpoints.restore(model) or {"epoch": 0}
    x = np.random.default_rng(0).normal(size=(10, 4, 2)).astype("float32")
    model.fit(
        *(x, x[:, :, 0].sum(axis=1, keepdims=True)),
        batch_size=4,
        shuffle=False,
        epochs=int(epochs),
        initial_epoch=progress["epoch"],
        callbacks=[checkpoints.callback()],
        verbose=0,
    )


def large_model():
    model = keras.Sequential([keras.Input((200,)), keras.layers.Dense(300, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    return model


def save(folder):
    """Without end; the weights of every checkpoint equal its number."""
    model, checkpoints = large_model(), tfq_qrnn.Checkpoints(folder)
    number = (checkpoints.restore(model) or {"number": 0})["number"]
    while True:
        number += 1
        model.layers[0].kernel.assign(np.full((200, 300), number, "float32"))
        checkpoints.save(model, {"number": number})


if __name__ == "__main__":
    for line in sys.stdin:
        task, *arguments = line.split()
        pid = os.fork()
        if pid == 0:
            {"train": train, "save": save}[task](*arguments)
            os._exit(0)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)
