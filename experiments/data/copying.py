"""The copying-memory task (S. Hochreiter, J. Schmidhuber, 1997; M. Arjovsky, A. Shah, Y. Bengio, arXiv:1511.06464).

Ten symbols of eight classes are shown, then blanks; when a mark comes, they are to be repeated in order:

    read    3 1 4 1 5 2 6 5 3 5  - - ... -  !  - - - - - - - - - -
    tell    - - - - - - - - - -  - - ... -  -  3 1 4 1 5 2 6 5 3 5

A model that tells blanks until the mark and guesses the symbols then, has the loss 10 ln 8 / (blanks + 20): the
memoryless line.
"""

import dataclasses
import math

from experiments.late import late

keras, tf = late("keras", "tensorflow")

N_SYMBOLS, N_CLASSES = 10, 8
HOLD, REACH = 0.4, 0.9  # parts of a training with a curriculum: see Strings
BLANK, MARK = 0, N_CLASSES + 1
N_INPUTS, N_OUTPUTS = N_CLASSES + 2, N_CLASSES + 1

# What the symbols add up to, modulo 8: no string that is trained on is ever tested. Each symbol alone is uniform in
# every split, and so is any nine of them.
# The order tells the splits' strings apart, too, where there is no seed.
_RESIDUES = {"validation": (6,), "test": (7,), "train": (0, 1, 2, 3, 4, 5)}


def memoryless_line(blanks):
    """The loss of a model that remembers nothing."""
    return N_SYMBOLS * math.log(N_CLASSES) / (blanks + 2 * N_SYMBOLS)


@dataclasses.dataclass(frozen=True)
class Strings:
    """Symbols to copy, made anew for every batch from the seed, the epoch and the step: as `pipelines.Examples`.

    Args:
        split: "train", "validation" or "test".
        count: Strings of an epoch.
        blanks: Blanks of the task.
        length: Blanks at the start of a curriculum, None where there is none: for two fifths of the training, then
            they grow by the same factor in every epoch, and for the last tenth there are `blanks`.
    """

    split: str
    count: int
    blanks: int
    length: int | None = None

    def __len__(self):
        return self.count

    @property
    def is_ragged(self):
        return self.length is not None

    def at(self, progress):
        """The strings to train on after a part of the training, 0 to 1."""
        if self.length is None:
            return self
        growth = min(1, max(0, (progress - HOLD) / (REACH - HOLD)))
        return dataclasses.replace(self, length=round(self.length * (self.blanks / self.length) ** growth))

    def steps(self, batch_size):
        return -(-self.count // batch_size)

    def batches(self, batch_size, seed=None, epochs=range(1)):
        """A `tf.data.Dataset` of `(x (batch, blanks + 20, 10), y (batch, blanks + 20))`; y are classes, 0 is blank."""
        steps = self.steps(batch_size)
        if seed is None:
            # The same strings each epoch, those of no seed that a script can be given.
            seed = -1 - list(_RESIDUES).index(self.split)
        seed = tf.constant(seed, tf.int64)

        def make(index):
            left = tf.cast(tf.minimum(self.count - index % steps * batch_size, batch_size), tf.int32)
            return make_batch(self._symbols([seed, index], left), self.length or self.blanks)

        indices = tf.data.Dataset.range(epochs.start * steps, epochs.stop * steps)
        fixed = None if self.is_ragged else self.blanks + 2 * N_SYMBOLS
        shapes = (None, fixed, N_INPUTS), (None, fixed)
        batches = indices.map(make, tf.data.AUTOTUNE, deterministic=True)
        batches = batches.map(lambda *pair: tuple(map(tf.ensure_shape, pair, shapes)))
        return batches.prefetch(tf.data.AUTOTUNE)

    def digest(self):
        return " ".join(map(str, dataclasses.astuple(self)))

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


def normalized_loss(y_true, y_pred):
    """The loss of each string as a part of the memoryless line of its length; Keras takes it as a loss.

    The ten symbols have the same weight in it at every length, so that one bound on the norm of gradients means the
    same for all. In a mean over the time steps they have less the longer a string is.
    """
    losses = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True), axis=-1)
    steps = keras.ops.cast(keras.ops.shape(y_true)[1], losses.dtype)
    return losses * steps / (N_SYMBOLS * math.log(N_CLASSES))
