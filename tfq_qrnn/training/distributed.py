"""Training on several processes or devices that gives what one process gives.

Keras 3's own `fit` does not run under `MultiWorkerMirroredStrategy`, and under any strategy it clips each replica's
gradient by itself. Here the gradient of the whole batch is summed first, in one collective with everything else that
travels, and the optimizer then does in every process what it does in one: clipping, averages, accumulation, loss scale.
"""

import atexit
import hashlib
import json
import os
import signal
import sys
import threading
import warnings

import keras
import numpy as np
import tensorflow as tf

from tfq_qrnn._checks import check_int
from tfq_qrnn._errors import argument_error, argument_type_error
from tfq_qrnn.training.checkpoints import Checkpoints, training_variables

_SEED_STEP = 0x9E3779B97F4A7C15 >> 2  # far apart, so that the workers' dropout masks have nothing in common
EX_WORKER_LOST = os.EX_TEMPFAIL  # exit status of a process that lost another: try again
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


def fit(
    build,
    dataset,
    epochs,
    *,
    validation=None,
    checkpoints=None,
    keep=2,
    save_every=None,
    strategy=None,
    callbacks=(),
    verbose=1,
):
    """Train a model on all workers of a cluster, on the devices of one machine, or in this process alone.

    Every process runs the same script. Each takes its part of every batch, in order, so that losses, metrics and
    weights are those of one process, up to the rounding of sums; all processes hold the same bits at every step. With
    `checkpoints`, a training that was stopped at any moment goes on when all processes are started again.

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
    for name, function in (("build", build), ("dataset", dataset)):
        if not callable(function) or isinstance(function, keras.Model):
            raise argument_type_error(name, "be a function", function)
    if validation is not None and not callable(validation):
        raise argument_type_error("validation", "be a function without arguments, or None", validation)
    epochs = check_int("epochs", epochs, 1)
    if save_every is not None:
        save_every = check_int("save_every", save_every, 1)
    group = _Group(strategy)
    try:
        with group.scope():
            model = build()
        _check_model(model, group)
        folder = Checkpoints(checkpoints, keep) if checkpoints is not None and group.is_first else None
        training = _Training(model, group, folder, save_every)
        return training.fit(dataset, epochs, validation, list(callbacks), verbose if group.is_first else 0)
    except _LOST as error:
        if not group.across_processes:
            raise
        atexit.register(_leave)
        message = " ".join(str(error.message).split())[:300]
        raise ConnectionError(
            f"A worker of the cluster was lost, and worker {group.rank} of {group.size} has stopped. Start all workers "
            f"again{', and the training goes on from its last checkpoint' if checkpoints else ''}. ({message})"
        ) from error


class _Group:
    """Who trains together: `size` replicas, of which this process holds the one of `rank`, or all of them."""

    def __init__(self, strategy):
        if strategy is None and len(json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})) > 0:
            try:
                strategy = tf.distribute.MultiWorkerMirroredStrategy()
            except RuntimeError as error:
                raise argument_error(
                    "strategy",
                    "be given, or be left to be made from TF_CONFIG as the first thing of the program",
                    "TensorFlow has computed something before, and cannot join the cluster any more",
                ) from error
        known = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
        if strategy is not None and not isinstance(strategy, known):
            raise argument_type_error(
                "strategy", "be a MultiWorkerMirroredStrategy, a MirroredStrategy or None", strategy
            )
        self.strategy = strategy
        self.size = strategy.num_replicas_in_sync if strategy else 1
        self.rank, workers = 0, 1
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            cluster = resolver.cluster_spec().as_dict()
            chiefs = len(cluster.get("chief", []))
            workers = max(chiefs + len(cluster.get("worker", [])), 1)
            if workers > 1:
                self.rank = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
        self.across_processes = workers > 1
        if self.across_processes and threading.current_thread() is threading.main_thread():
            # TensorFlow's own handler, made for machines that are about to be taken away, would let nothing end.
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)
        self.mirrored = self.size > 1 and not self.across_processes
        if self.across_processes and self.size != workers:
            raise argument_error(
                "strategy",
                "have one device in each process",
                f"{workers} processes have {self.size}: start a process for each GPU, with CUDA_VISIBLE_DEVICES",
            )

    @property
    def is_first(self):
        return self.rank == 0

    def scope(self):
        """Where a model's variables are made. Across processes each has plain ones, kept equal by equal updates."""
        return self.strategy.scope() if self.mirrored else tf.distribute.get_strategy().scope()

    def run(self, function, batch):
        """The sum over the replicas of `function(part, share)`, a vector; a part is a slice of each tensor."""
        if not self.mirrored:
            return self.sum(function(*self._part(batch, self.rank)))

        def replica():
            return function(*self._part(batch, tf.distribute.get_replica_context().replica_id_in_sync_group))

        return self.strategy.reduce("SUM", self.strategy.run(replica), axis=None)

    def here(self, function):
        """The numbers that `function()` returns, in a replica of this process."""
        if not self.mirrored:
            return [float(value) for value in function()]
        return [float(self.strategy.experimental_local_results(value)[0]) for value in self.strategy.run(function)]

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
        """Bytes of the first worker, in all of them; they give as many themselves."""
        if not self.across_processes:
            return data
        values = np.frombuffer(data, np.uint8).astype(np.float32)  # of all types, every collective can add floats
        return self.sum(tf.constant(values if self.is_first else 0 * values)).numpy().astype(np.uint8).tobytes()

    def agree(self, data):
        """Whether all processes have the same bytes; all get the same answer."""
        digest = np.frombuffer(hashlib.sha256(data).digest(), np.uint8).astype(np.float32)
        return not self.across_processes or np.all(self.sum(tf.constant(digest)).numpy() == self.size * digest)


class _Training:
    def __init__(self, model, group, checkpoints, save_every):
        self.model, self.group = model, group
        self.checkpoints, self.save_every = checkpoints, save_every
        self.progress = {"epoch": 0, "step": 0, "history": {}, "metrics": None, "stopped": False}
        self.floats = [v for v in model.non_trainable_weights if keras.backend.is_float_dtype(v.dtype)]
        self.dtype = max((v.value.dtype for v in model.trainable_weights), key=lambda dtype: dtype.size)
        self.dtype = tf.float64 if self.dtype == tf.float64 else tf.float32
        self.with_gradient = None

    def fit(self, dataset, epochs, validation, callbacks, verbose):
        model, group = self.model, self.group
        self._restore()
        steps = self._prepare(self._batches(dataset, self.progress["epoch"]))
        functions = self.gradients, self.evaluate
        if not model.run_eagerly:
            settings = {"reduce_retracing": True, "autograph": False}
            functions = [tf.function(f, jit_compile=model.jit_compile, **settings) for f in functions]
        compute, evaluate = functions
        train_step = lambda batch: self.apply(group.run(compute, batch))  # noqa: E731
        test_step = lambda batch: group.run(evaluate, batch)  # noqa: E731
        if not model.run_eagerly:
            train_step, test_step = (tf.function(f, **settings) for f in (train_step, test_step))

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
        with group.scope():
            model.optimizer.finalize_variable_values(model.trainable_weights)
        callbacks.on_train_end(logs)
        return history

    def gradients(self, part, share):
        """This replica's share of gradients, changes of other weights (moving averages), and loss, in one vector."""
        model, optimizer = self.model, self.model.optimizer
        before = [tf.convert_to_tensor(v) for v in self.floats]
        x, y, weights = keras.utils.unpack_x_y_sample_weight(part)
        with tf.GradientTape() as tape:
            predicted = model(x, training=True)
            loss = model.compute_loss(x, y, predicted, weights, training=True)
            # Keras divides by the replicas of the strategy it runs in; the share does it here, exactly.
            loss *= tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, loss.dtype)
            scaled = optimizer.scale_loss(loss)
        found = tape.gradient(scaled, model.trainable_weights)
        self._update_metrics(x, y, predicted, weights, loss, share)
        self.with_gradient = [v for v, g in zip(model.trainable_weights, found, strict=True) if g is not None]
        changes = [tf.convert_to_tensor(v) - old for v, old in zip(self.floats, before, strict=True)]
        for variable, old in zip(self.floats, before, strict=True):
            variable.assign(old)
        parts = [tf.convert_to_tensor(g) for g in found if g is not None] + changes + [loss]
        flat = tf.concat([tf.reshape(tf.cast(p, self.dtype), [-1]) for p in parts], 0)
        return flat * tf.cast(share, self.dtype)

    def apply(self, flat):
        """Let the optimizer of every replica use the summed gradients; returns the loss."""
        if not self.group.mirrored:
            return self._apply(flat)
        # Keras sums what each replica has clipped. Here all have the sum already.
        self.model.optimizer._all_reduce_sum_gradients = lambda pairs: pairs
        losses = self.group.strategy.run(self._apply, args=(flat,))
        return self.group.strategy.experimental_local_results(losses)[0]

    def _apply(self, flat):
        sizes = [int(np.prod(v.shape)) for v in [*self.with_gradient, *self.floats]]
        *parts, loss = tf.split(flat, [*sizes, 1])
        variables = [*self.with_gradient, *self.floats]
        parts = [tf.cast(tf.reshape(p, v.shape), v.dtype) for p, v in zip(parts, variables, strict=True)]
        for variable, change in zip(self.floats, parts[len(self.with_gradient) :], strict=True):
            variable.assign_add(change)
        gradients = parts[: len(self.with_gradient)]
        self.model.optimizer.apply_gradients(zip(gradients, self.with_gradient, strict=True))
        return loss[0]

    def evaluate(self, part, share):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(part)
        predicted = self.model(x, training=False)
        loss = self.model.compute_loss(x, y, predicted, weights, training=False)
        loss *= tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, loss.dtype)
        self._update_metrics(x, y, predicted, weights, loss, share)
        return tf.zeros(1)

    def _update_metrics(self, x, y, predicted, weights, loss, share):
        def update():
            size = tf.shape(tf.nest.flatten(x)[0])[0]
            next(m for m in self.model.metrics if m.name == "loss").update_state(loss, sample_weight=size)
            self.model.compute_metrics(x, y, predicted, weights)
            return True

        update() if self.group.size == 1 else tf.cond(share > 0, update, lambda: False)

    def _prepare(self, batches):
        """Make what is made with the first batch, and look whether the loss can be had from parts of a batch."""
        batch = next(iter(batches), None)
        if batch is None:
            raise argument_error("dataset", "give batches", "its first epoch has none")

        def loss_of(*examples):
            chosen = tf.nest.map_structure(lambda t: tf.gather(t, [e % len(t) for e in examples]), batch)
            x, y, weights = keras.utils.unpack_x_y_sample_weight(chosen)
            predicted = self.model(x, training=False)
            self.model.compute_metrics(x, y, predicted, weights)
            return self.model.compute_loss(x, y, predicted, weights, training=False)

        one, same, other, both = self.group.here(lambda: [loss_of(0), loss_of(0, 0), loss_of(1), loss_of(0, 1)])
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
        options = tf.data.Options()
        options.deterministic = True
        return batches.with_options(options)

    def _check_same_data(self, batch, batches):
        """Without this, a shuffle without a seed would train on other batches than anybody thinks."""
        if not self.group.across_processes:
            return
        count = str(int(batches.cardinality())).encode()
        data = count + b"".join(tensor.numpy().tobytes() for tensor in tf.nest.flatten(batch))
        if not self.group.agree(data):
            raise argument_error("dataset", "give every worker the same batches in an epoch", "theirs differ")

    def _restore(self):
        model, group = self.model, self.group
        rows = training_variables(model)
        described = json.dumps([row[:-1] for row in rows]).encode()
        if not group.agree(described):
            raise argument_error("build", "return the same model in every process", "theirs differ")
        if self.checkpoints:
            self.checkpoints.lock()
            self.progress = self.checkpoints.restore(model) or self.progress
        if not group.across_processes:
            return
        text = json.dumps(self.progress).encode()
        length = int(group.sum(tf.constant([float(len(text)) if group.is_first else 0.0]))[0])
        self.progress = json.loads(group.from_first(text if group.is_first else bytes(length)))
        values = [row[-1].numpy() for row in rows]
        data = group.from_first(b"".join(value.tobytes() for value in values))
        for (*_, variable), value in zip(rows, values, strict=True):
            variable.assign(np.frombuffer(data[: value.nbytes], value.dtype).reshape(value.shape))
            data = data[value.nbytes :]
        for variable in (row[-1] for row in rows if row[1] == "seed_generator_state"):
            variable.assign_add(np.array([group.rank * _SEED_STEP % 2**31, 0]))

    def _save(self, **changes):
        self.progress = {**self.progress, **changes}
        if self.checkpoints:
            self.checkpoints.save(self.model, self.progress)

    def _collect_metrics(self):
        """The sums of all workers' metric variables, as lists."""
        values = [tf.convert_to_tensor(v.value).numpy() for v in self.model.metrics_variables]
        if self.group.across_processes:
            flat = np.concatenate([np.ravel(value).astype(np.float64) for value in values])
            flat = self.group.sum(tf.constant(flat)).numpy()
            parts = np.split(flat, np.cumsum([value.size for value in values])[:-1])
            values = [part.reshape(value.shape) for part, value in zip(parts, values, strict=True)]
        return [value.tolist() for value in values]

    def _set_metrics(self, values):
        """Those of the first worker; the others count on from zero, as all do where there are none."""
        self.model.reset_metrics()
        if values is not None and self.group.is_first:
            for variable, value in zip(self.model.metrics_variables, values, strict=True):
                variable.assign(value)

    def _results(self):
        total = self._collect_metrics() if self.group.across_processes else []
        for variable, value in zip(self.model.metrics_variables, total, strict=False):
            variable.assign(value)
        return {name: np.asarray(value).tolist() for name, value in self.model.get_metrics_result().items()}


def _leave():
    """End the process now: TensorFlow would wait for the lost worker for another minute."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EX_WORKER_LOST)


def _check_model(model, group):
    if not isinstance(model, keras.Model):
        raise argument_type_error("build", "return a Keras model", model)
    if type(model).train_step is not keras.Model.train_step:
        raise argument_error(
            "build", "return a model with Keras's own `train_step`", f"{type(model).__name__} has its own"
        )
    if group.size > 1 and any(getattr(layer, "stateful", False) for layer in model._flatten_layers(include_self=False)):
        raise argument_error("build", "return a model without stateful layers", "each worker would keep other states")
    if group.mirrored and isinstance(getattr(model, "optimizer", None), keras.optimizers.LossScaleOptimizer):
        raise argument_error("build", "compile another optimizer under MirroredStrategy", "it is a LossScaleOptimizer")
