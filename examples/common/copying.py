"""The copying-memory task (S. Hochreiter, J. Schmidhuber, 1997; M. Arjovsky, A. Shah, Y. Bengio, arXiv:1511.06464).

Ten symbols of eight classes are shown, then blanks; when a mark comes, the symbols are to be told in their order:

    read    3 1 4 1 5 2 6 5 3 5  - - ... -  !  - - - - - - - - - -
    tell    - - - - - - - - - -  - - ... -  -  3 1 4 1 5 2 6 5 3 5

A model that tells blanks until the mark and guesses the symbols then, has the loss 10 ln 8 / (blanks + 20): the
memoryless line.
"""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

N_SYMBOLS, N_CLASSES = 10, 8
BLANK, MARK = 0, N_CLASSES + 1
N_INPUTS, N_OUTPUTS = N_CLASSES + 2, N_CLASSES + 1

# What the symbols add up to, modulo 8: no string that is trained on is ever tested. Each symbol alone is uniform in
# every split, and so is any nine of them.
_RESIDUES = {"train": (0, 1, 2, 3, 4, 5), "validation": (6,), "test": (7,)}


def memoryless_line(blanks):
    """The loss of a model that remembers nothing."""
    return N_SYMBOLS * math.log(N_CLASSES) / (blanks + 2 * N_SYMBOLS)


@dataclasses.dataclass(frozen=True)
class Stage:
    """Epochs of a curriculum: `blanks` at most, and `least` at least; where they differ each batch draws its number.

    Drawn log-uniformly, so that a model must wait for the mark and cannot count.
    """

    epochs: int
    blanks: int
    least: int


def curriculum(lengths, epochs):
    """Stages of growing length, an epoch each; of the other epochs, the first of K stages has K parts, the last one.

    Args:
        lengths: Blanks of each stage, growing; one length is the task itself, with that number of blanks always.
        epochs: Epochs in all, as many as stages or more.
    """
    if len(lengths) == 1:
        return (Stage(epochs, lengths[0], lengths[0]),)
    count, spare = len(lengths), epochs - len(lengths)
    parts = [sum(range(count - k, count + 1)) / sum(range(count + 1)) for k in range(count)]
    ends = [k + int(spare * part + 0.5) for k, part in enumerate(parts, 1)]
    return tuple(
        Stage(end - start, blanks, max(1, blanks // 5))
        for start, end, blanks in zip([0, *ends], ends, lengths, strict=False)
    )


@dataclasses.dataclass(frozen=True)
class Strings:
    """Symbols to copy, made anew for every batch from the seed, the epoch and the step: as `pipelines.Examples`.

    Args:
        split: "train", "validation" or "test".
        count: Strings of an epoch.
        stages: Of `curriculum`; what is not trained on has one.
    """

    split: str
    count: int
    stages: tuple[Stage, ...]

    def __len__(self):
        return self.count

    @property
    def is_ragged(self):
        return len({length for stage in self.stages for length in (stage.blanks, stage.least)}) > 1

    def steps(self, batch_size):
        return -(-self.count // batch_size)

    def batches(self, batch_size, seed=None, epochs=range(1)):
        """A `tf.data.Dataset` of `(x (batch, blanks + 20, 10), y (batch, blanks + 20))`; y are classes, 0 is blank."""
        bounds = tf.constant([[stage.least, stage.blanks] for stage in self.stages for _ in range(stage.epochs)])
        steps = self.steps(batch_size)
        # Without a seed the same strings each epoch, which are those of no seed that a script can be given.
        seed = tf.constant(-1 if seed is None else seed, tf.int64)

        def make(index):
            epoch, step = index // steps, index % steps
            left = tf.cast(tf.minimum(self.count - step * batch_size, batch_size), tf.int32)
            least, most = tf.unstack(tf.gather(bounds, tf.minimum(epoch, len(bounds) - 1)))
            draw = tf.random.stateless_uniform((), [seed, 2 * index], dtype=tf.float64)
            low, high = tf.math.log(tf.cast(least, tf.float64)), tf.math.log(tf.cast(most + 1, tf.float64))
            blanks = tf.clip_by_value(tf.cast(tf.exp(low + draw * (high - low)), tf.int32), least, most)
            return make_batch(self._symbols([seed, 2 * index + 1], left), blanks)

        indices = tf.data.Dataset.range(epochs.start * steps, epochs.stop * steps)
        fixed = None if self.is_ragged else self.stages[0].blanks + 2 * N_SYMBOLS
        shapes = (None, fixed, N_INPUTS), (None, fixed)
        batches = indices.map(make, tf.data.AUTOTUNE, deterministic=True)
        batches = batches.map(lambda *pair: tuple(map(tf.ensure_shape, pair, shapes)))
        return batches.prefetch(tf.data.AUTOTUNE)

    def digest(self):
        stages = [dataclasses.astuple(stage) for stage in self.stages]
        return f"{self.split} {self.count} {stages}"

    def _symbols(self, seed, count):
        """Classes 1..8, `(count, 10)`; the last one is what the sum lacks."""
        first, last = tf.split(tf.random.stateless_uniform((count, N_SYMBOLS), seed, 0, 2**30, tf.int32), [9, 1], 1)
        first = first % N_CLASSES
        residue = tf.gather(tf.constant(_RESIDUES[self.split]), last % len(_RESIDUES[self.split]))
        last = (residue - tf.reduce_sum(first, axis=1, keepdims=True)) % N_CLASSES
        return tf.concat([first, last], axis=1) + 1


def make_batch(symbols, blanks):
    """What is read, one-hot, and what is to be told, of symbols `(batch, 10)`; the mark is the last of the blanks."""
    count = tf.shape(symbols)[0]
    mark = tf.fill((count, 1), MARK)

    def blank(steps):
        return tf.fill((count, steps), BLANK)

    read = tf.concat([symbols, blank(blanks - 1), mark, blank(N_SYMBOLS)], axis=1)
    tell = tf.concat([blank(blanks + N_SYMBOLS), symbols], axis=1)
    return tf.one_hot(read, N_INPUTS), tell


def recalled(y_true, y_pred):
    """The fraction of the ten symbols that are right; Keras takes it as a metric."""
    told = keras.ops.argmax(y_pred[:, -N_SYMBOLS:], axis=-1)
    return keras.ops.mean(keras.ops.cast(told == keras.ops.cast(y_true[:, -N_SYMBOLS:], told.dtype), "float32"), -1)


@keras.saving.register_keras_serializable(package="tfq_qrnn.examples")
class CosinePerStage(keras.optimizers.schedules.LearningRateSchedule):
    """A cosine decay to zero within every stage; the k-th one starts at a k-th of the learning rate."""

    def __init__(self, learning_rate, stage_steps):
        self.learning_rate, self.stage_steps = learning_rate, tuple(stage_steps)

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rate, start = keras.ops.zeros(()), 0
        for k, count in enumerate(self.stage_steps, 1):
            decayed = self.learning_rate / k * (1 + keras.ops.cos(np.pi * (step - start) / max(count, 1))) / 2
            inside = keras.ops.logical_and(step >= start, step < start + count)
            rate, start = keras.ops.where(inside, decayed, rate), start + count
        return rate

    def get_config(self):
        return {"learning_rate": self.learning_rate, "stage_steps": self.stage_steps}
