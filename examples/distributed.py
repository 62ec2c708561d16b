"""Train on several machines or processes, with the same result as on one.

    python examples/distributed.py                                      alone
    TF_CONFIG='{"cluster": {"worker": ["localhost:21001", "localhost:21002"]},
                "task": {"type": "worker", "index": 0}}' python examples/distributed.py

The second command is the first of two workers on one machine; the other one is started with "index": 1. Each worker
takes its part of every batch. The first one saves. After a stop, on any machine, start all workers again: the training
resumes from its last epoch. Another --out starts a new one.

Measured with seed 0: test accuracy 0.95, alone, in 20 seconds on 2 cores.
"""

import json
import os

import datasets
import keras
import matplotlib.pyplot as plt
import tensorflow as tf

import tfq_qrnn


def main(arguments=None):
    # ## Set-up
    options = datasets.parser(__doc__, __file__, epochs=8).parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)

    # TensorFlow joins the cluster only as the first thing that it does.
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}"))
    strategy = tf.distribute.MultiWorkerMirroredStrategy() if cluster else None
    is_first = not cluster or cluster["task"]["index"] == 0
    keras.utils.set_random_seed(options.seed)

    # ## Data: images, read row by row
    # All workers must see the same batches in the same order: the seed of the order is made of the epoch.
    def as_rows(image, label):
        return tf.reshape(image, (image.shape[0], image.shape[1] * image.shape[2])), label

    parts = datasets.images(options.dataset, options.limit)
    train, validation, test = (part.map(as_rows).cache() for part in parts)
    n_classes = 1 + max(int(label) for part in (train, validation, test) for _, label in part)

    def batches(epoch):
        return train.shuffle(len(train), seed=1000 * options.seed + epoch).batch(64)

    # ## Model: a function that builds and compiles it, for each worker makes its own
    def build():
        model = keras.Sequential(
            [
                keras.Input(train.element_spec[0].shape),
                tfq_qrnn.QRNN(n_qubits=6, depth=2, seed=options.seed),
                keras.layers.Dense(n_classes, "softmax"),
            ]
        )
        rate = keras.optimizers.schedules.CosineDecay(0.01, options.epochs * len(batches(0)))
        model.compile(
            keras.optimizers.Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        return model

    # ## Training. The gradients of all workers are summed, and only then clipped.
    history = tfq_qrnn.distributed.fit(
        build,
        batches,
        options.epochs,
        validation=lambda: validation.batch(100),
        checkpoints=options.out / "checkpoints",
        strategy=strategy,
    )
    model = history.model

    # ## Evaluation, saving and a picture, by the first worker alone
    if is_first:
        loss, accuracy = model.evaluate(test.batch(100), verbose=0)
        print(f"Test loss {loss:.3f}, accuracy {accuracy:.3f}")
        model.save(options.out / "model.keras")
        ax = tfq_qrnn.plotting.learning_curves({"QRNN": history.history["val_accuracy"]})
        ax.figure.savefig(options.out / "picture.png")
        plt.close(ax.figure)
        print(f"{options.out}: model.keras, picture.png")
    return model


if __name__ == "__main__":
    main()
