"""One training core: it fits a model, shows progress, and records what came out."""

import dataclasses
import json
import pathlib
import platform
import time
from importlib import metadata

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm


@dataclasses.dataclass(frozen=True)
class Settings:
    """How every model of a task is trained; one and the same for all of them."""

    epochs: int
    batch_size: int
    learning_rate: float
    clipnorm: float = 1.0


class ProgressBar(keras.callbacks.Callback):
    """One bar for a whole fit, with the latest loss and validation metrics."""

    def __init__(self, title):
        super().__init__()
        self.title = title

    def on_train_begin(self, logs=None):
        self.bar = tqdm(total=self.params["epochs"] * self.params["steps"], desc=self.title, unit="step")

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in logs.items() if name in ("loss", "val_accuracy")})

    def on_train_end(self, logs=None):
        self.bar.close()


def pipeline(x, y, batch_size, seed=None):
    """A tf.data pipeline; shuffled anew each epoch where a seed is given."""
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    if seed is not None:
        dataset = dataset.shuffle(len(x), seed=seed)
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def fit_classifier(model, train, validation, test, settings, seed, title):
    """Train with Adam and a cosine decay, evaluate once on the test set.

    Args:
        model: A Keras model that gives logits.
        train, validation, test: `(x, y)` arrays.
        seed: Seed of the order of the training data.
        title: What the progress bar says.

    Returns:
        A dict for the record: parameters, seconds, metrics per epoch, test metrics.
    """
    steps = settings.epochs * -(-len(train[0]) // settings.batch_size)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps), clipnorm=settings.clipnorm
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # XLA halves the time of a step, where every layer has kernels for it.
        jit_compile=all(getattr(layer, "supports_jit", True) for layer in model.layers),
    )
    start = time.perf_counter()
    history = model.fit(
        pipeline(*train, settings.batch_size, seed),
        validation_data=pipeline(*validation, settings.batch_size),
        epochs=settings.epochs,
        callbacks=[ProgressBar(title)],
        verbose=0,
    ).history
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(pipeline(*test, settings.batch_size), verbose=0)
    return {
        "parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_weights)),
        "seconds": round(seconds, 2),
        "metrics": [dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)],
        "test": {"loss": loss, "accuracy": accuracy},
    }


def versions():
    names = ("tfq_qrnn", "tensorflow", "keras", "tensorflow-quantum", "cirq-core", "numpy")
    found = {name: metadata.version(name) for name in names if _installed(name)}
    return {"python": platform.python_version(), **found}


def _installed(name):
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def write_record(folder, record):
    """`record` as `record.json` in a folder; the file is whole or not there."""
    path = pathlib.Path(folder, "record.json")
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=2) + "\n")
    partial.replace(path)
    return path
