"""Training on several processes or devices that gives what one process gives.

Keras 3's own `fit` does not run under `MultiWorkerMirroredStrategy`, and under any strategy it clips each replica's
gradient by itself. Here the gradient of the whole batch is summed first, in one collective with everything else that
travels, and the optimizer then does in every process what it does in one: clipping, averages, accumulation, loss scale.
"""

import atexit
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn import _files, _keras
from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.training.checkpoints import Checkpoints
from tfq_qrnn.training.state import described, training_variables

_SEED_STEP = 0x9E3779B97F4A7C15 >> 2  # far apart, so that the workers' dropout masks have nothing in common
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


def fit(
    build: Callable[[], keras.Model],
    dataset: Callable[[int], tf.data.Dataset],
    epochs: int,
    *,
    validation: Callable[[], tf.data.Dataset] | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    keep: int = 2,
    save_every: int | None = None,
    strategy: tf.distribute.Strategy | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 1,
) -> keras.callbacks.History:
    """Train a model on all workers of a cluster, on the devices of one machine, or in this process alone.

    Every process runs the same script. Each takes its part of every batch, in order, so that losses, metrics and
    weights are those of one process, up to the rounding of sums; all processes hold the same bits at every step. With
    `checkpoints`, a training that was stopped at any moment resumes when all processes are started again.

    Args:
        build: Function without arguments that returns a built and compiled model; the same one in every process.
        dataset: Function of the epoch's number that returns a `tf.data.Dataset` of the whole batches of that epoch,
            `(x, y)` or `(x, y, sample_weight)`, the same in every process: shuffle with a seed made from the epoch.
        epochs: Number of epochs in all, those before a restart included.
        validation: Function without arguments that returns a dataset of batches, or None.
        checkpoints: Folder of checkpoints, or None. Only the first worker reads and writes it; the others get the state
            from it.
        keep: How many checkpoints are kept.
        save_every: Also save after so many steps within an epoch; the resumed epoch skips the batches that were used.
        strategy: A `MultiWorkerMirroredStrategy` with one device in each process, or a `MirroredStrategy`. None makes
            the first where the environment variable TF_CONFIG names a cluster, and trains in this process otherwise.
        callbacks: Keras callbacks, called in every process. What they remember is not in the checkpoints.
        verbose: As in `fit`; only the first worker prints.

    Returns:
        A `keras.callbacks.History` of all epochs, those before a restart included; `.model` is the trained model.

    Raises:
        ValueError, TypeError: An argument is out of its range, or workers disagree; the message names it.
        ConnectionError: A worker was lost. Start all of them again; this process ends with status 75 when it ends.

    >>> def build():
    ...     model = keras.Sequential([keras.Input((4, 3)), tfq_qrnn.QRNN(n_qubits=2), keras.layers.Dense(1)])
    ...     model.compile(keras.optimizers.Adam(0.01, clipnorm=1.0), "mse")
    ...     return model
    >>> x, y = np.ones((8, 4, 3), "float32"), np.ones((8, 1), "float32")
    >>> def dataset(epoch):
    ...     return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(8, seed=epoch).batch(4)
    >>> history = tfq_qrnn.distributed.fit(build, dataset, epochs=3, verbose=0)
    >>> len(history.history["loss"])
    3
    """
    functions = {"build": build, "dataset": dataset, "validation": dataset if validation is None else validation}
    for name, function in functions.items():
        if not callable(function) or isinstance(function, keras.Model):
            raise argument_type_error(name, "be a function", function)
    epochs = check_int("epochs", epochs, 1)
    if save_every is not None:
        save_every = check_int("save_every", save_every, 1)
    group = _Group(strategy)
    try:
        with group.local.scope():
            model = build()
        _check_model(model, group)
        folder = Checkpoints(checkpoints, keep) if checkpoints is not None and group.rank == 0 else None
        training = _Training(model, group, folder, save_every)
        with _keras.gradients_are_sums(model.optimizer):
            return training.fit(dataset, epochs, validation, callbacks, verbose if group.rank == 0 else 0)
    except _LOST as error:
        if not group.across_processes:
            raise
        atexit.register(_leave)
        message = " ".join(str(error.message).split())[:300]
        raise ConnectionError(
            f"A worker of the cluster was lost, and worker {group.rank} of {group.size} has stopped. Start all workers "
            f"again{', and the training resumes from its last checkpoint' if checkpoints else ''}. ({message})"
        ) from error


class _Group:
    """Who trains together: `size` replicas, of which this process holds the one of `rank`, or all of them."""

    def __init__(self, strategy: tf.distribute.Strategy | None):
        if strategy is None and json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster"):
            try:
                strategy = tf.distribute.MultiWorkerMirroredStrategy()
            except RuntimeError as error:
                rule = "be given, or be left to be made from TF_CONFIG as the first thing of the program"
                given = "TensorFlow has computed something before, and cannot join the cluster any more"
                raise argument_error("strategy", rule, given) from error
        known = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
        if strategy is not None and not isinstance(strategy, known):
            rule = "be a MultiWorkerMirroredStrategy, a MirroredStrategy or None"
            raise argument_type_error("strategy", rule, strategy)
        plain = tf.distribute.get_strategy()
        self.strategy = strategy or plain
        self.size = self.strategy.num_replicas_in_sync
        here = self.strategy.experimental_local_results(self.strategy.run(_replica))
        self.across_processes = len(here) < self.size
        self.rank = int(here[0])
        # Across processes each has plain variables, kept equal by equal updates.
        self.local = plain if self.across_processes else self.strategy
        if self.across_processes and threading.current_thread() is threading.main_thread():
            # TensorFlow's own handler, made for machines that are about to be taken away, would let nothing end.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)
        if self.across_processes and len(here) > 1:
            given = f"this one has {len(here)}: start a process for each GPU, with CUDA_VISIBLE_DEVICES"
            raise argument_error("strategy", "have one device in each process", given)

    def run(self, function, batch):
        """The sum over the replicas of `function(part, share)`, a vector; a part is a slice of each tensor."""
        parts = self.local.run(lambda: function(*self._part(batch, self.rank + _replica())))
        return self.sum(self.local.reduce("SUM", parts, axis=None))

    def here(self, function, *arguments):
        """What a function returns in the first replica of this process; all of them call it."""
        return self.local.experimental_local_results(self.local.run(function, arguments))[0]

    def sum(self, vector):
        """The sum over the processes."""
        return self.strategy.reduce("SUM", vector, axis=None) if self.across_processes else vector

    def _part(self, batch, replica):
        """Replica r of n takes the examples from r/n to (r+1)/n of the batch, and its share of all.

        A replica with no example left gets one with a share of zero.
        """
        if self.size == 1:
            return batch, tf.constant(1.0)
        count = tf.shape(tf.nest.flatten(batch)[0])[0]
        start, stop = count * replica // self.size, count * (replica + 1) // self.size
        share = tf.cast(stop - start, tf.float32) / tf.cast(count, tf.float32)
        start = tf.minimum(start, count - 1)
        stop = tf.maximum(stop, start + 1)
        return tf.nest.map_structure(lambda tensor: tensor[start:stop], batch), share

    def from_first(self, data):
        """Bytes of the first worker, in all of them."""
        length = int(self.sum(tf.constant(len(data) if self.rank == 0 else 0, tf.float64)))
        values = np.frombuffer(data if self.rank == 0 else bytes(length), np.uint8)
        # Of all types, every collective can add floats.
        return self.sum(tf.constant(values.astype(np.float32))).numpy().astype(np.uint8).tobytes()

    def agree(self, data):
        """Whether all processes have the same bytes; all get the same answer."""
        digest = np.frombuffer(_files.digest(data).encode(), np.uint8).astype(np.float32)
        return not self.across_processes or np.all(self.sum(tf.constant(digest)).numpy() == self.size * digest)


def _replica():
    return tf.distribute.get_replica_context().replica_id_in_sync_group


class _Training:
    """A model in training, with the state of the newest checkpoint."""

    def __init__(self, model: keras.Model, group: _Group, checkpoints: Checkpoints | None, save_every: int | None):
        self.model, self.group = model, group
        self.checkpoints, self.save_every = checkpoints, save_every
        self.progress = {"epoch": 0, "step": 0, "history": {}, "metrics": None, "stopped": False}
        self.floats = [v for v in model.non_trainable_weights if keras.backend.is_float_dtype(v.dtype)]
        self.dtype = tf.float64 if any(v.dtype == "float64" for v in model.trainable_weights) else tf.float32
        self._restore()

    def fit(self, dataset, epochs, validation, callbacks, verbose):
        model, group = self.model, self.group
        steps = self._prepare(self._batches(dataset, self.progress["epoch"]))

        def graph(function, jit_compile=False):
            if model.run_eagerly:
                return function
            return tf.function(function, jit_compile=jit_compile, reduce_retracing=True, autograph=False)

        gradients, loss = graph(self.gradients, model.jit_compile), graph(self.loss, model.jit_compile)
        train_step = graph(lambda batch: group.here(self.apply, group.run(gradients, batch)))
        test_step = graph(lambda batch: group.run(loss, batch))

        history = keras.callbacks.History()
        callbacks = keras.callbacks.CallbackList(
            [*callbacks, history], add_progbar=verbose != 0, verbose=verbose, epochs=epochs, steps=steps, model=model
        )
        model.stop_training = False
        callbacks.on_train_begin()
        history.history = {name: list(values) for name, values in self.progress["history"].items()}
        history.epoch = list(range(self.progress["epoch"]))
        logs = {}
        for epoch in range(self.progress["epoch"], 0 if self.progress["stopped"] else epochs):
            callbacks.on_epoch_begin(epoch)
            batches = self._batches(dataset, epoch)
            first = self.progress["step"]
            self._set_metrics(self.progress["metrics"])
            for step, batch in enumerate(batches.skip(first), first + 1):
                if step == first + 1:
                    self._check_same_data(batch, batches)
                callbacks.on_train_batch_begin(step - 1)
                callbacks.on_train_batch_end(step - 1, {"loss": float(train_step(batch))})
                if self.save_every and step % self.save_every == 0:
                    self._save(epoch=epoch, step=step, metrics=self._collect_metrics())
                    self._set_metrics(self.progress["metrics"])
            logs = self._results()
            if validation is not None:
                self._set_metrics(None)
                for batch in validation():
                    test_step(batch)
                logs.update({f"val_{name}": value for name, value in self._results().items()})
            callbacks.on_epoch_end(epoch, logs)
            lists = {name: np.asarray(values).tolist() for name, values in history.history.items()}
            self._save(epoch=epoch + 1, step=0, history=lists, metrics=None, stopped=model.stop_training)
            if model.stop_training:
                break
        with group.local.scope():
            model.optimizer.finalize_variable_values(model.trainable_weights)
        callbacks.on_train_end(logs)
        return history

    def loss(self, part, share, training=False):
        """The loss of a part of a batch, which the metrics take in where it has a share."""
        model = self.model
        x, y, weights = keras.utils.unpack_x_y_sample_weight(part)
        predicted = model(x, training=training)
        loss = model.compute_loss(x, y, predicted, weights, training=training)
        # Keras divides by the replicas of the strategy it runs in; the share does it here, exactly.
        loss *= tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, loss.dtype)

        def update():
            size = tf.shape(tf.nest.flatten(x)[0])[0]
            next(m for m in model.metrics if m.name == "loss").update_state(loss, sample_weight=size)
            model.compute_metrics(x, y, predicted, weights)
            return True

        update() if self.group.size == 1 else tf.cond(share > 0, update, lambda: False)
        return loss

    def gradients(self, part, share):
        """This replica's share of gradients, changes of other weights (moving averages), and loss, in one vector."""
        weights = self.model.trainable_weights
        before = [tf.convert_to_tensor(v) for v in self.floats]
        with tf.GradientTape() as tape:
            loss = self.loss(part, share, training=True)
            scaled = self.model.optimizer.scale_loss(loss)
        found = tape.gradient(scaled, weights)
        self.with_gradient = [v for v, g in zip(weights, found, strict=True) if g is not None]
        changes = [tf.convert_to_tensor(v) - old for v, old in zip(self.floats, before, strict=True)]
        for variable, old in zip(self.floats, before, strict=True):
            variable.assign(old)
        parts = [tf.convert_to_tensor(g) for g in found if g is not None] + changes + [loss]
        flat = tf.concat([tf.reshape(tf.cast(p, self.dtype), [-1]) for p in parts], 0)
        return flat * tf.cast(share, self.dtype)

    def apply(self, flat):
        """Let the optimizer of a replica use the summed gradients; returns the loss."""
        variables = [*self.with_gradient, *self.floats]
        *parts, loss = tf.split(flat, [*(int(np.prod(v.shape)) for v in variables), 1])
        parts = [tf.cast(tf.reshape(p, v.shape), v.dtype) for p, v in zip(parts, variables, strict=True)]
        count = len(self.with_gradient)
        for variable, change in zip(self.floats, parts[count:], strict=True):
            variable.assign_add(change)
        self.model.optimizer.apply_gradients(zip(parts[:count], self.with_gradient, strict=True))
        return loss[0]

    def _prepare(self, batches):
        """Make what is made with the first batch, and look whether the loss can be had from parts of a batch."""
        batch = next(iter(batches), None)
        if batch is None:
            raise argument_error("dataset", "give batches", "its first epoch has none")

        def loss_of(*examples):
            chosen = tf.nest.map_structure(lambda t: tf.gather(t, [e % len(t) for e in examples]), batch)
            return float(self.group.here(self.loss, chosen, tf.constant(1.0)))

        one, same, other, both = loss_of(0), loss_of(0, 0), loss_of(1), loss_of(0, 1)
        self.model.reset_metrics()
        if self.group.size > 1 and not np.isclose(one, same, rtol=1e-4):
            raise argument_error("build", "compile a loss that is a mean over a batch", "its loss is a sum")
        if self.group.size > 1 and not np.isclose((one + other) / 2, both, rtol=1e-4):
            warnings.warn(
                "The loss of a batch is not the mean of the losses of its examples (a mask?). Each worker takes the "
                "mean over its part, and the result differs from that of one process.",
                stacklevel=3,
            )
        cardinality = int(batches.cardinality())
        return cardinality if cardinality > 0 else None

    def _batches(self, dataset, epoch):
        batches = dataset(epoch)
        if not isinstance(batches, tf.data.Dataset):
            raise argument_type_error("dataset", "return a tf.data.Dataset", batches)
        return batches

    def _check_same_data(self, batch, batches):
        """Without this, a shuffle without a seed would train on other batches than anybody thinks."""
        tensors = [batches.cardinality(), *tf.nest.flatten(batch)]
        if not self.group.agree(b"".join(tensor.numpy().tobytes() for tensor in tensors)):
            raise argument_error("dataset", "give every worker the same batches in an epoch", "theirs differ")

    def _restore(self):
        model, group = self.model, self.group
        variables = training_variables(model)
        if not group.agree("\n".join(described(variables)).encode()):
            raise argument_error("build", "return the same model in every process", "theirs differ")
        if self.checkpoints:
            self.checkpoints.lock()
            self.progress = self.checkpoints.restore(model) or self.progress
        if not group.across_processes:
            return
        self.progress = json.loads(group.from_first(json.dumps(self.progress).encode()))
        for variable in variables.values():
            value = variable.numpy()
            data = group.from_first(value.tobytes())
            variable.assign(np.frombuffer(data, value.dtype).reshape(value.shape))
        for state in _keras.seed_states(model):
            state.assign_add(np.array([group.rank * _SEED_STEP % 2**31, 0]))

    def _save(self, **changes):
        self.progress = {**self.progress, **changes}
        if self.checkpoints:
            self.checkpoints.save(self.model, self.progress)

    def _collect_metrics(self):
        """The sums of all workers' metric variables, as lists."""
        values = [tf.cast(tf.convert_to_tensor(v.value), tf.float64) for v in self.model.metrics_variables]
        return [self.group.sum(value).numpy().tolist() for value in values]

    def _set_metrics(self, values):
        """Those of the first worker; the others count on from zero, as all do where there are none."""
        self.model.reset_metrics()
        if values is not None and self.group.rank == 0:
            for variable, value in zip(self.model.metrics_variables, values, strict=True):
                variable.assign(value)

    def _results(self):
        if self.group.across_processes:
            for variable, value in zip(self.model.metrics_variables, self._collect_metrics(), strict=True):
                variable.assign(value)
        return {name: np.asarray(value).tolist() for name, value in self.model.get_metrics_result().items()}


def _leave():
    """End the process now: TensorFlow would wait for the lost worker for another minute."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(os.EX_TEMPFAIL)  # 75: try again


def _check_model(model, group):
    if not isinstance(model, keras.Model):
        raise argument_type_error("build", "return a Keras model", model)
    if type(model).train_step is not keras.Model.train_step:
        given = f"{type(model).__name__} has its own"
        raise argument_error("build", "return a model with Keras's own `train_step`", given)
    if group.size > 1 and any(getattr(layer, "stateful", False) for layer in _keras.all_layers(model)):
        raise argument_error("build", "return a model without stateful layers", "each worker would keep other states")
    scaled = isinstance(getattr(model, "optimizer", None), keras.optimizers.LossScaleOptimizer)
    if scaled and group.local.num_replicas_in_sync > 1:
        raise argument_error("build", "compile another optimizer under MirroredStrategy", "it is a LossScaleOptimizer")
