"""Does the critic like the film? A QRNN reads sentences word by word.

    python examples/sentiment.py
    python examples/sentiment.py --dataset tfds:glue/sst2       or tfds:imdb_reviews
    python examples/sentiment.py --dataset mine.tsv             lines of a label, a tab and a text

The saved model takes texts: its vocabulary is a part of it.

Measured with seed 0: test accuracy 0.74 with 10,201 sentences to train on, in 15 seconds on 2 cores; guessing has 0.53.
"""

import datasets
import keras
import matplotlib.pyplot as plt
import tensorflow as tf

import tfq_qrnn

MAX_WORDS = 60  # what is longer is cut


def main(arguments=None):
    # ## Set-up
    options = datasets.parser(__doc__, __file__, epochs=4).parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(options.seed)

    # ## Data: texts and their labels; no film is in two of the three parts
    train, validation, test = datasets.reviews(options.dataset, options.limit)
    n_classes = 1 + max(int(label) for part in (train, validation, test) for _, label in part)
    print(f"{len(train)} texts to train on, {len(validation)} to validate, {len(test)} to test")

    # The words are numbered by how often they are trained on. 0 fills up the shorter texts.
    vectorize = keras.layers.TextVectorization(4000, output_sequence_length=MAX_WORDS)
    vectorize.adapt(train.map(lambda text, label: text).batch(500))

    def numbered(part, batch_size=64):
        return part.batch(batch_size).map(lambda text, label: (vectorize(text), label)).cache()

    batches = numbered(train.shuffle(len(train), seed=options.seed)).shuffle(1000, seed=options.seed)

    # ## Model
    # `mask_zero` makes the QRNN skip what fills up a text. Half of the embedding and of the readouts is dropped in
    # training, for there are few texts.
    classify = keras.Sequential(
        [
            keras.Input((None,), dtype="int64"),
            keras.layers.Embedding(len(vectorize.get_vocabulary()), 16, mask_zero=True),
            keras.layers.Dropout(0.5),
            tfq_qrnn.QRNN(n_qubits=6, depth=2),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(n_classes, "softmax"),
        ]
    )
    classify.summary()

    # ## Training, to the weights of the epoch that validated best
    rate = keras.optimizers.schedules.CosineDecay(0.01, options.epochs * len(batches))
    adam = keras.optimizers.Adam(rate, clipnorm=1.0)
    classify.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    best = keras.callbacks.EarlyStopping("val_loss", patience=options.epochs, restore_best_weights=True)
    # `shuffle` is for arrays: these batches come shuffled.
    held_out = {"validation_data": numbered(validation), "callbacks": [best]}
    history = classify.fit(batches, epochs=options.epochs, shuffle=False, **held_out).history

    # ## Evaluation
    loss, accuracy = classify.evaluate(numbered(test), verbose=0)
    print(f"Test loss {loss:.3f}, accuracy {accuracy:.3f}")

    # ## The model that takes texts
    model = keras.Sequential([keras.Input((), dtype="string"), vectorize, classify])
    model.save(options.out / "model.keras")
    texts = ["a funny, moving and wonderful film", "a dull and lifeless mess"]
    for text, p in zip(texts, model.predict(tf.constant(texts), verbose=0), strict=True):
        print(f"{text!r}: probabilities of the classes {p.round(2)}")

    # ## A picture: the fidelity of the memory at any two words of a text
    text = next(iter(test))[0]
    numbers = vectorize([text])
    numbers = numbers[numbers > 0][None]  # without what fills it up
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    tfq_qrnn.plotting.learning_curves({"QRNN": history["val_accuracy"]}, ax=left)
    tfq_qrnn.plotting.fidelities(tfq_qrnn.trace(classify, numbers), ax=right)
    right.set_xlabel(text.numpy().decode()[:80], fontsize=8)
    figure.savefig(options.out / "picture.png")
    plt.close(figure)
    print(f"{options.out}: model.keras, picture.png")
    return model


if __name__ == "__main__":
    main()
