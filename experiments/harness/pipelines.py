"""tf.data pipelines over examples in memory: the order of an epoch depends on the seed and the epoch's number alone."""

import dataclasses
import functools
import hashlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

BUCKETS = 4  # of sequences of about equal length


@dataclasses.dataclass(frozen=True)
class Examples:
    """Inputs and targets of one split, in memory, decoded once.

    Args:
        x, y: Arrays or ragged tensors (see `ragged`), or tuples and dicts of them; the first axis counts the examples.
        padding: What fills up the inputs in `x` that are shorter than the longest of their batch; targets are filled
            up with 0. A model must mask it.

    Whatever else has `batches`, `steps`, `is_ragged` and `digest` can be trained on, too.
    """

    x: Any
    y: Any
    padding: float = 0

    def __len__(self):
        return int(_count(keras.tree.flatten(self.x)[0]))

    @property
    def is_ragged(self):
        return any(isinstance(part, tf.RaggedTensor) for part in keras.tree.flatten((self.x, self.y)))

    def limited(self, count):
        """The first `count` examples."""
        x, y = keras.tree.map_structure(lambda part: part[:count], (self.x, self.y))
        return dataclasses.replace(self, x=x, y=y)

    def steps(self, batch_size):
        """The number of batches of an epoch."""
        counts = [len(self)]
        if self.is_ragged:
            counts = np.bincount(np.searchsorted(self._boundaries, self._lengths, side="right"))
        return int(sum(-(-count // batch_size) for count in counts))

    def batches(self, batch_size, seed=None, epochs=range(1)):
        """A `tf.data.Dataset` of batches `(x, y)`, epoch after epoch.

        Args:
            batch_size: Examples of a batch; the last one of an epoch, or of a bucket, may have fewer.
            seed: Shuffles the examples of each epoch; None leaves them in order.
            epochs: A range of epochs. From epoch 3 on, the batches are those that come third after a start at 0.

        Ragged examples share a batch with others of about their length.
        """
        indices = tf.range(len(self))
        count = len(epochs) * self.steps(batch_size)  # looks at the lengths, which are no numbers in the graphs below

        def one_epoch(epoch):
            order = indices if seed is None else tf.random.experimental.stateless_shuffle(indices, [seed, epoch])
            order = tf.data.Dataset.from_tensor_slices(order)
            if not self.is_ragged:
                return order.batch(batch_size)
            return order.bucket_by_sequence_length(
                functools.partial(tf.gather, tf.constant(self._lengths)),
                self._boundaries,
                [batch_size] * (len(self._boundaries) + 1),
            )

        # Arrays become tensors here, once: in the map below they would be copied into its graph.
        x, y = keras.tree.map_structure(
            lambda part: part if isinstance(part, tf.RaggedTensor) else tf.constant(part), (self.x, self.y)
        )

        def gather(batch):
            return (
                keras.tree.map_structure(lambda part: _dense(tf.gather(part, batch), self.padding), x),
                keras.tree.map_structure(lambda part: _dense(tf.gather(part, batch), 0), y),
            )

        order = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(one_epoch)
        order = order.apply(tf.data.experimental.assert_cardinality(count))  # flat_map does not know
        return order.map(gather, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def digest(self):
        """The SHA-256 of all values, shortened: it tells one set of examples from another."""
        sha = hashlib.sha256()
        for part in keras.tree.flatten((self.x, self.y)):
            for array in _flat_arrays(part):
                sha.update(f"{array.dtype}{array.shape}".encode())
                sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()[:16]

    @functools.cached_property
    def _lengths(self):
        """The length of each example, that of its longest part."""
        parts = [part for part in keras.tree.flatten((self.x, self.y)) if isinstance(part, tf.RaggedTensor)]
        return np.max([part.row_lengths().numpy() for part in parts], axis=0).astype(np.int32)

    @functools.cached_property
    def _boundaries(self):
        quantiles = np.quantile(self._lengths, np.arange(1, BUCKETS) / BUCKETS, method="nearest")
        return sorted({int(length) + 1 for length in quantiles})


def ragged(sequences):
    """A list of arrays `(time, ...)` of different lengths as a ragged tensor."""
    lengths = [len(sequence) for sequence in sequences]
    return tf.RaggedTensor.from_row_lengths(np.concatenate(sequences), np.array(lengths, np.int64))


def _count(part):
    return part.nrows() if isinstance(part, tf.RaggedTensor) else len(part)


def _dense(part, padding):
    return part.to_tensor(tf.cast(padding, part.dtype)) if isinstance(part, tf.RaggedTensor) else part


def _flat_arrays(part):
    if isinstance(part, tf.RaggedTensor):
        return part.flat_values.numpy(), part.row_lengths().numpy()
    return (np.asarray(part),)
