"""Which digit is it? A QRNN reads images row by row, or pixel by pixel.

    python examples/mnist.py                            28 steps of a row
    python examples/mnist.py --pixels 4 --permuted      196 steps of 4 pixels, in one random order
    python examples/mnist.py --dataset tfds:fashion_mnist

Measured with seed 0 and 3,965 images to train on: test accuracy 0.95 row by row, in 15 seconds on 2 cores; 0.87 with
196 permuted steps, in half a minute.
"""

import datasets
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import tfq_qrnn


def main(arguments=None):
    # ## Set-up
    parser = datasets.parser(__doc__, __file__, epochs=12)
    parser.add_argument("--pixels", type=int, help="pixels of a time step (a row of the image)")
    parser.add_argument("--permuted", action="store_true", help="read the pixels in one random order")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(options.seed)

    # ## Data
    # An image becomes a sequence (time, features). All images are read in the same order.
    train, validation, test = datasets.images(options.dataset, options.limit)
    height, width, channels = train.element_spec[0].shape
    order = np.arange(height * width)
    if options.permuted:
        order = np.random.default_rng(0).permutation(order)
    features = (options.pixels or width) * channels
    if order.size * channels % features:
        parser.error(f"Argument `--pixels` must divide {order.size}, but it is {options.pixels}.")

    def as_sequence(image, label):
        pixels = tf.gather(tf.reshape(image, (-1, channels)), order)
        return tf.reshape(pixels, (order.size * channels // features, features)), label

    train, validation, test = (part.map(as_sequence).cache() for part in (train, validation, test))
    n_classes = 1 + max(int(label) for part in (train, validation, test) for _, label in part)
    batches = train.shuffle(len(train), seed=options.seed).batch(32)
    print(f"{len(train)} images to train on, {len(validation)} to validate, {len(test)} to test")

    # ## Model
    # At each step the controller reads the row and the last expectation values, and tells by which angles the gates of
    # the circuit turn the memory of 6 qubits. The layer returns the last expectation values: X, Y and Z of every qubit.
    model = keras.Sequential(
        [
            keras.Input(train.element_spec[0].shape),
            tfq_qrnn.QRNN(n_qubits=6, depth=2),
            keras.layers.Dense(n_classes, "softmax"),
        ]
    )
    model.summary()

    # ## Training
    # The learning rate falls to zero. The gradient of a long recurrence is sometimes very large: it is clipped.
    rate = keras.optimizers.schedules.CosineDecay(0.01, options.epochs * len(batches))
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    # `shuffle` is for arrays: these batches come shuffled.
    history = model.fit(batches, epochs=options.epochs, validation_data=validation.batch(100), shuffle=False).history

    # ## Evaluation
    loss, accuracy = model.evaluate(test.batch(100), verbose=0)
    print(f"Test loss {loss:.3f}, accuracy {accuracy:.3f}")
    model.save(options.out / "model.keras")

    # ## A picture: what the qubits show while one image is read
    sequence, label = next(iter(test.batch(1)))
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4), layout="constrained")
    tfq_qrnn.plotting.learning_curves({"QRNN": history["val_accuracy"]}, ax=left)
    middle.imshow(sequence[0], aspect="auto", cmap="gray_r")
    middle.set(title=f"a {int(label[0])}, a time step in each row", xlabel="feature", ylabel="time step")
    tfq_qrnn.plotting.readouts(tfq_qrnn.trace(model, sequence), ax=right)
    figure.savefig(options.out / "picture.png")
    plt.close(figure)
    print(f"{options.out}: model.keras, picture.png")
    return model


if __name__ == "__main__":
    main()
