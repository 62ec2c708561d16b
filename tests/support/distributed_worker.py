"""One process of a distributed training: runs several cases and writes what came out.

python tests/support/distributed_worker.py OUT [--mirrored] CASE...; a cluster is taken from TF_CONFIG.
"""

import json
import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import tfq_qrnn

EPOCHS = 3


def build(backend="tensorflow", n_qubits=2, clipnorm=0.1, **options):
    def build_model():
        keras.utils.set_random_seed(1)
        inputs = keras.Input((3, 2))
        hidden = tfq_qrnn.QRNN(n_qubits, depth=1, controller=(), backend=backend, **options)(inputs)
        outputs = keras.layers.Dense(2, kernel_regularizer="l2")(hidden)
        model = keras.Model(inputs, outputs)
        adam = keras.optimizers.Adam(0.05, clipnorm=clipnorm, use_ema=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(adam, loss, metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(1, name="top")])
        return model

    return build_model


def dataset(epoch):
    """21 examples in batches of 8: the last one has 5, which two workers cannot share evenly."""
    x = np.random.default_rng(0).normal(size=(21, 3, 2)).astype("float32")
    y = (x[:, :, 0].sum(axis=1) > 0).astype("int64")
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(21, seed=epoch).batch(8)


def normalised():
    """Batch normalisation, loss scaling and accumulation; seen by the optimizer and not by the gradient alone."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((3, 2)), keras.layers.Flatten(), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    )
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5, gradient_accumulation_steps=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.LossScaleOptimizer(sgd, dynamic_growth_steps=3), loss, metrics=["accuracy"])
    return model


def dropped():
    return build(dropout=0.3, seed=3)()


CASES = {
    "tensorflow": build(),
    "native": build("native"),
    "tfq": build("tfq", n_qubits=1),
    "normalised": normalised,
    "dropped": dropped,
}


class Slowly(keras.callbacks.Callback):
    """Says where the training is, and gives whoever kills it the time to do so."""

    def on_train_batch_end(self, batch, logs=None):
        print("batch", batch, flush=True)
        time.sleep(0.1)


def fit(out, backend, strategy):
    """Keras's own `fit`, also after ours: no clipping, which it does in each replica; two can halve the batches."""
    if backend == "native":
        model = tfq_qrnn.distributed.fit(build(backend, clipnorm=None), dataset, 1, strategy=strategy, verbose=0).model
    else:
        with (strategy or tf.distribute.get_strategy()).scope():
            model = build(backend, clipnorm=None)()
    batches = tf.data.Dataset.range(EPOCHS).flat_map(lambda epoch: dataset(epoch).take(2))
    history = model.fit(batches, steps_per_epoch=2, epochs=EPOCHS, shuffle=False, verbose=0)
    write(out, f"fit-{backend}-0", history)


def write(out, name, history):
    """The weights, the seeds of dropout, and the history."""
    variables = {f"{i:03d}": np.array(weight) for i, weight in enumerate(history.model.weights)}
    np.savez(out / f"{name}.npz", **variables)
    seeds = [v.numpy().tolist() for v in history.model.variables if v.name == "seed_generator_state"]
    (out / f"{name}.json").write_text(json.dumps({"history": history.history, "seeds": seeds}))


def main(out, *names):
    out, mirrored = pathlib.Path(out), "--mirrored" in names
    rank = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index", 0)
    strategy = None
    if mirrored:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    elif "TF_CONFIG" in os.environ:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    for name in names:
        if name.startswith("--"):
            continue
        if name.startswith("fit:"):
            fit(out, name.removeprefix("fit:"), strategy)
            continue
        slow, name = name.startswith("slow:"), name.removeprefix("slow:")
        history = tfq_qrnn.distributed.fit(
            CASES[name],
            dataset,
            20 if slow else EPOCHS,
            validation=lambda: dataset(100),
            checkpoints=out / f"checkpoints-{rank}" if slow else None,
            save_every=2 if slow else None,
            strategy=strategy,
            callbacks=[Slowly()] if slow else [],
            verbose=0,
        )
        write(out, f"{name}-{rank}", history)


if __name__ == "__main__":
    main(*sys.argv[1:])
