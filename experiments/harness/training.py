"""One training core: it fits a model, shows progress, resumes where it was stopped, and returns its record."""

import dataclasses
import functools
import math
import pathlib
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from tqdm.keras import TqdmCallback

import tfq_qrnn
from experiments.harness.pipelines import Examples
from tfq_qrnn import _keras


@dataclasses.dataclass(frozen=True)
class Settings:
    """How every model of a task is trained; one and the same for all of them.

    Args:
        learning_rate: Of Adam, where a cosine decay to zero starts.
        warmup: The part of the training, 0 to 1, in which the learning rate rises from zero, before it decays.
        clipnorm: Bound on the norm of the gradient of each variable.
        keep_best: Whether the weights of the epoch with the least validation loss are evaluated, or the last ones.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float = 0.0
    clipnorm: float = 1.0
    keep_best: bool = False


class Adam(keras.optimizers.Adam):
    """Adam for which all gradients of a step are zero where one of them is not finite.

    Over a thousand steps of feedback a gradient may overflow, and clipped it would make all weights NaN. Keras's
    LossScaleOptimizer halves its scale at every such step, and what it then divides by the scale overflows again.
    """

    def apply(self, grads, trainable_variables=None):
        def is_value(part):  # and not what stands for no gradient, or the rows of a sparse one
            return part is not None and part.dtype.is_floating

        parts = tf.nest.flatten(grads, expand_composites=True)
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(part)) for part in parts if is_value(part)])
        parts = [tf.where(finite, part, tf.zeros_like(part)) if is_value(part) else part for part in parts]
        super().apply(tf.nest.pack_sequence_as(grads, parts, expand_composites=True), trainable_variables)


def fit(
    model,
    train,
    validation,
    test,
    settings,
    *,
    seed,
    title,
    loss,
    metrics=(),
    folder=None,
    logs=None,
    measure=None,
    optimizer=Adam,
    callbacks=(),
):
    """Train, validate after every epoch, evaluate once on the test set.

    With a folder, all that a training step depends on is saved there after every epoch, and a training that was killed
    resumes there: it ends with the same weights, bit for bit, as one that was not.

    Args:
        model: A built Keras model.
        train, validation, test: `pipelines.Examples`, or what has their methods. Training data that change
            from epoch to epoch have `at(progress)`, which gives those of an epoch by the part of the training that is
            behind it.
        settings: `Settings`.
        seed: Seed of the order of the training data.
        title: What the progress bar says.
        loss: A Keras loss.
        metrics: Keras metrics, or their names.
        folder: Where the checkpoints are; None does without.
        logs: Folder of logs for TensorBoard, or None.
        measure: Function of the trained model that returns more test metrics, a dict of numbers.
        optimizer: Function of the learning rate and `clipnorm` that returns a Keras optimizer.
        callbacks: Keras callbacks that look on.

    Returns:
        A dict for the record: parameters, seconds (also of all cores together), metrics per epoch, test metrics.
    """
    steps = train.steps(settings.batch_size)
    compiled = {
        "loss": loss,
        "metrics": list(metrics),
        "jit_compile": _is_worth_compiling(train, settings.batch_size, model),
    }
    model.compile(optimizer(schedule(settings, steps), clipnorm=settings.clipnorm), **compiled)
    with tempfile.TemporaryDirectory() as temporary:
        epochs = _Epochs(model, folder)
        best = pathlib.Path(folder or temporary, "best.weights.h5")
        if epochs.done < settings.epochs:
            bar = TqdmCallback(settings.epochs, initial=epochs.done, desc=title)
            model.fit(
                _batches(train, settings, seed, epochs.done),
                steps_per_epoch=steps,
                initial_epoch=epochs.done,
                epochs=settings.epochs,
                validation_data=validation.batches(settings.batch_size),
                callbacks=[
                    *callbacks,
                    *([keras.callbacks.TensorBoard(logs)] if logs else []),
                    *([_best_weights(best, epochs.losses)] if settings.keep_best else []),
                    bar,
                    epochs,  # last: its checkpoint says that the epoch is done, also for the others
                ],
                shuffle=False,  # the batches come shuffled
                verbose=0,
            )
        if settings.keep_best and best.exists():
            model.load_weights(best)
    # A saved model names the class of its optimizer, and this one is there wherever the file is loaded. Built, for a
    # file without its variables is loaded with a warning.
    model.compile(keras.optimizers.Adam(settings.learning_rate, clipnorm=settings.clipnorm), **compiled)
    model.optimizer.build(model.trainable_variables)
    found = model.evaluate(test.batches(settings.batch_size), verbose=0, return_dict=True)
    return {
        "parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        **{name: round(epochs.progress[name], 2) for name in _TIMES},
        "metrics": epochs.progress["metrics"],
        "test": {**found, **(measure(model) if measure else {})},
        **({"best_epoch": best_epoch(epochs.losses)} if settings.keep_best else {}),
    }


def best_epoch(losses):
    """The number, from 1, of the first epoch with the least loss; of the last one where none is a number."""
    found = [math.inf if math.isnan(loss) else loss for loss in losses]
    return 1 + found.index(min(found)) if min(found) < math.inf else len(losses)


def _best_weights(path, losses):
    """What writes the weights to a file in every epoch with a validation loss below those before."""
    least = min((loss for loss in losses if not math.isnan(loss)), default=math.inf)
    return keras.callbacks.ModelCheckpoint(
        path, "val_loss", save_best_only=True, save_weights_only=True, initial_value_threshold=least
    )


def _batches(train, settings, seed, first):
    """The batches of all epochs from one on. Those of a curriculum change from epoch to epoch."""
    if not hasattr(train, "at"):
        return train.batches(settings.batch_size, seed, range(first, settings.epochs))
    parts = [
        train.at(epoch / settings.epochs).batches(settings.batch_size, seed, range(epoch, epoch + 1))
        for epoch in range(first, settings.epochs)
    ]
    return functools.reduce(tf.data.Dataset.concatenate, parts)


def schedule(settings, steps):
    """The learning rate of every step, of so many in an epoch."""
    total = settings.epochs * steps
    rising = min(round(settings.warmup * total), total - 1)
    return keras.optimizers.schedules.CosineDecay(
        0.0, total - rising, warmup_target=settings.learning_rate, warmup_steps=rising
    )


def _is_worth_compiling(train, batch_size, model):
    """Whether XLA is quicker: it compiles anew for every length, and its backward loop copies what a forward loop
    stacked at every step, so that its time grows as the square of the length.
    """
    if train.is_ragged or not all(layer.supports_jit for layer in _keras.all_layers(model)):
        return False
    inputs, _ = train.batches(batch_size).element_spec
    lengths = [spec.shape[1] for spec in keras.tree.flatten(inputs) if spec.shape.rank > 1]
    return all(length is not None and length <= _XLA_STEPS for length in lengths)


def fit_classifier(model, train, validation, test, settings, seed, title):
    """`fit` of a model that gives logits, on `(x, y)` arrays with integer labels."""
    train, validation, test = (Examples(*split) for split in (train, validation, test))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return fit(model, train, validation, test, settings, seed=seed, title=title, loss=loss, metrics=["accuracy"])


class _Epochs(keras.callbacks.Callback):
    """At the end of every epoch a checkpoint with the metrics so far, from which a training resumes bit for bit.

    Keras's BackupAndRestore does not: what it leaves of a process that is killed while it writes cannot be told from a
    whole backup, and it knows neither the metrics so far nor who else trains in the folder.
    """

    def __init__(self, model, folder):
        super().__init__()
        self.progress = {"metrics": [], "seconds": 0.0, "cpu_seconds": 0.0}
        self.checkpoints = None if folder is None else tfq_qrnn.Checkpoints(folder)
        if self.checkpoints:
            self.checkpoints.lock()
            self.progress = self.checkpoints.restore(model) or self.progress

    @property
    def done(self):
        return len(self.progress["metrics"])

    @property
    def losses(self):
        return [epoch["val_loss"] for epoch in self.progress["metrics"]]

    def on_train_begin(self, logs=None):
        self.last = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        self.progress["metrics"].append({name: float(value) for name, value in logs.items()})
        now = time.perf_counter(), time.process_time()
        for name, before, after in zip(_TIMES, self.last, now, strict=True):
            self.progress[name] += after - before
        self.last = now
        if self.checkpoints:
            self.checkpoints.save(self.model, self.progress)


# With SimpleRNN and 32 examples both ways take as long at 100 steps, and with XLA 8 times as long at 1,000; a unitary
# RNN of 64 complex entries still takes a third of the time at 200 and as long at 1,000.
_XLA_STEPS = 200
_TIMES = ("seconds", "cpu_seconds")
