"""Remember ten symbols for a hundred steps: copying memory (S. Hochreiter, J. Schmidhuber, 1997).

    python examples/copying_memory.py
    python examples/copying_memory.py --epochs 10    a first look

    read    3 1 4 1 5 2 6 5 3 5  - - ... -  !  - - - - - - - - - -
    tell    - - - - - - - - - -  - - ... -  -  3 1 4 1 5 2 6 5 3 5

A model that remembers nothing tells blanks until the mark "!" comes, and guesses then: its loss is 10 ln 8 / (T + 20)
for T blanks. The strings are made, `--limit` new ones for each epoch (1920). What their symbols add up to, modulo 8,
decides which are trained on, validated and tested.

Measured with seed 0: a test loss of 0.014 of that line, and all symbols right where guessing has 12.5 %, after two
minutes on 2 cores that had other work.
"""

import datasets
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import tfq_qrnn

BLANKS, SYMBOLS, CLASSES = 100, 10, 8
BLANK, MARK = 0, CLASSES + 1
QUBITS = 6


def main(arguments=None):
    # ## Set-up
    parser = datasets.parser(__doc__, __file__, epochs=50)
    parser.set_defaults(limit=1920)
    options = parser.parse_args(arguments)
    if options.dataset != "embedded":
        parser.error(f"Argument `--dataset` must be left out, for the strings are made, but it is {options.dataset!r}.")
    options.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(options.seed)

    # ## Data: one-hot symbols (time, 10) to read, and classes (time,) to tell
    def strings(count, sums, seed):
        random = np.random.default_rng(seed)
        while True:  # each time other strings
            symbols = random.integers(CLASSES, size=(count, SYMBOLS))
            symbols[:, -1] = (random.choice(sums, count) - symbols[:, :-1].sum(1)) % CLASSES
            read, tell = np.full((2, count, BLANKS + 2 * SYMBOLS), BLANK)
            read[:, :SYMBOLS] = tell[:, -SYMBOLS:] = symbols + 1
            read[:, BLANKS + SYMBOLS - 1] = MARK
            yield np.eye(CLASSES + 2, dtype="float32")[read], tell

    few = max(1, options.limit // 5)
    validation, test = next(strings(few, [6], 0)), next(strings(few, [7], 0))
    shapes = [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in test]
    steps = -(-options.limit // 32)
    train = strings(32, range(6), options.seed)
    batches = tf.data.Dataset.from_generator(lambda: train, output_signature=tuple(shapes)).prefetch(2)

    # ## Model
    # A drift ends each step: every qubit turns about Z, and neighbours are coupled. It moves the memory on through the
    # blanks, and how far it has moved tells the time. The gates of the controller start closed, and its angles have no
    # bias, so that a blank does little else.
    drift = tfq_qrnn.Drift(slowest=0.3, fastest=3.0, coupling=1.0, axis="z", seed=2)
    layer = tfq_qrnn.QRNN(
        circuit=tfq_qrnn.HardwareEfficient(QUBITS, drift=drift),
        controller=tfq_qrnn.Controller((40,), angle_scale=0.3, gate_bias=-6.0, initial_rotation=None),
        return_sequences=True,
    )
    model = keras.Sequential(
        [
            keras.Input((None, CLASSES + 2)),
            layer,
            keras.layers.Dense(32, "gelu"),
            keras.layers.Dense(CLASSES + 1, "softmax"),
        ]
    )
    model.summary()

    # ## Training: the learning rate rises for a tenth of the time, and falls to zero then
    total = options.epochs * steps
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, total - total // 10, warmup_target=0.03, warmup_steps=total // 10
    )
    # The loss is a part of the memoryless line: so clipping means the same at every length.
    line = SYMBOLS * np.log(CLASSES) / (BLANKS + 2 * SYMBOLS)
    adam = keras.optimizers.Adam(rate, clipnorm=1.0)
    model.compile(adam, "sparse_categorical_crossentropy", loss_weights=[1 / line])
    best = keras.callbacks.EarlyStopping("val_loss", patience=options.epochs, restore_best_weights=True)
    # `shuffle` is for arrays: these batches come in a random order.
    settings = {"epochs": options.epochs, "validation_data": validation, "callbacks": [best]}
    history = model.fit(batches, steps_per_epoch=steps, shuffle=False, **settings).history

    # ## Evaluation
    loss = model.evaluate(*test, verbose=0)
    told = model.predict(test[0], verbose=0).argmax(-1)
    right = np.mean(told[:, -SYMBOLS:] == test[1][:, -SYMBOLS:])
    print(f"Test loss {loss:.3f} of the memoryless line {line:.4f}; {right:.1%} of the symbols right")
    model.save(options.out / "model.keras")

    # ## A picture: what the qubits show while one string is read
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    tfq_qrnn.plotting.learning_curves({"QRNN": history["val_loss"]}, "validation loss / line", ax=left)
    left.axhline(1, linestyle=":")
    tfq_qrnn.plotting.readouts(tfq_qrnn.trace(model, test[0][:1]), ax=right)
    figure.savefig(options.out / "picture.png")
    plt.close(figure)
    print(f"{options.out}: model.keras, picture.png")
    return model


if __name__ == "__main__":
    main()
