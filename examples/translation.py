"""German number words to English ones: an encoder and a decoder of qubits, with attention between them.

    python examples/translation.py
    python examples/translation.py --dataset mine.tsv           lines of a source, a tab and a target
    python examples/translation.py --dataset tfds:wmt14_translate/de-en --limit 100000

German names the units before the tens, "vier und zwanzig": the decoder must look at the word that it needs. The saved
model takes two texts, a source and the beginning of its translation, and gives the probabilities of the next words.

Measured with seed 0: 98 % of 200 test numbers are translated without a mistake, after 20 seconds on 2 cores.
"""

import datasets
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import tfq_qrnn

WORDS = 30  # what is longer is cut


def main(arguments=None):
    # ## Set-up
    options = datasets.parser(__doc__, __file__, epochs=6).parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(options.seed)

    # ## Data: pairs of texts, words with spaces between them
    train, validation, test = datasets.pairs(options.dataset, options.limit)
    print(f"{len(train)} pairs to train on, {len(validation)} to validate, {len(test)} to test")

    def vocabulary(texts):
        vectorize = keras.layers.TextVectorization(4000, standardize=None, output_sequence_length=WORDS)
        vectorize.adapt(texts.batch(500))
        return vectorize

    source_words = vocabulary(train.map(lambda source, target: source))
    target_words = vocabulary(train.map(lambda source, target: "<start> " + target + " <end>"))

    # The decoder reads the target from <start> on, and is to tell the next word at each step.
    def numbered(part, batch_size=64):
        def pair(source, target):
            read, tell = target_words("<start> " + target), target_words(target + " <end>")
            return (source_words(source), read), tell

        return part.batch(batch_size).map(pair).cache()

    batches = numbered(train.shuffle(len(train), seed=options.seed)).shuffle(1000, seed=options.seed)

    # ## Model
    # The memory in which the encoder ends is that in which the decoder starts. The expectation values of the decoder
    # are queries; those of the encoder are keys and values.
    def recurrent():
        return tfq_qrnn.QRNN(n_qubits=6, depth=2, return_sequences=True, return_state=True)

    source, target = keras.Input((WORDS,), dtype="int64"), keras.Input((WORDS,), dtype="int64")
    embedded = keras.layers.Embedding(source_words.vocabulary_size(), 16, mask_zero=True)(source)
    keys, *memory = recurrent()(embedded)
    embedded = keras.layers.Embedding(target_words.vocabulary_size(), 16, mask_zero=True)(target)
    queries, *_ = recurrent()(embedded, initial_state=memory)
    context, weights = tfq_qrnn.QuantumAttention("additive")([queries, keys], return_attention_scores=True)
    outputs = keras.layers.Concatenate()([queries, context])
    outputs = keras.layers.Dense(target_words.vocabulary_size(), "softmax")(outputs)
    translate = keras.Model([source, target], outputs)
    translate.summary()

    # ## Training
    rate = keras.optimizers.schedules.CosineDecay(0.03, options.epochs * len(batches))
    translate.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"]
    )
    # `shuffle` is for arrays: these batches come shuffled.
    held_out = numbered(validation)
    history = translate.fit(batches, epochs=options.epochs, validation_data=held_out, shuffle=False).history

    # ## Evaluation: whole translations, word by word, each time the most probable one
    texts = [keras.Input((), dtype="string"), keras.Input((), dtype="string")]
    model = keras.Model(texts, translate([source_words(texts[0]), target_words(texts[1])]))
    model.save(options.out / "model.keras")
    sources, wanted = map(list, zip(*test.take(200).as_numpy_iterator(), strict=True))
    found, names = ["<start>"] * len(sources), np.array(target_words.get_vocabulary())
    for step in range(WORDS - 1):
        probabilities = model.predict_on_batch([tf.constant(sources), tf.constant(found)])[:, step]
        found = [f"{text} {word}" for text, word in zip(found, names[probabilities.argmax(-1)], strict=True)]
    found = [text.removeprefix("<start> ").split(" <end>")[0] for text in found]
    wanted = [text.decode() for text in wanted]
    right = np.mean([text == other for text, other in zip(found, wanted, strict=True)])
    print(f"{right:.1%} of {len(found)} test translations are right, word by word. One of them:")
    print(f"{sources[0].decode()}  ->  {found[0]}")

    # ## A picture: which words of the source the decoder looks at
    read = source_words([sources[0]]), target_words(["<start> " + wanted[0]])
    scores = keras.Model([source, target], weights).predict_on_batch(list(read))
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), layout="constrained")
    tfq_qrnn.plotting.learning_curves({"QRNN": history["val_loss"]}, "validation loss", ax=left)
    tfq_qrnn.plotting.attention(scores, [*wanted[0].split(), "<end>"], sources[0].decode().split(), ax=right)
    figure.savefig(options.out / "picture.png")
    plt.close(figure)
    print(f"{options.out}: model.keras, picture.png")
    return model


if __name__ == "__main__":
    main()
