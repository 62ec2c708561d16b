"""Predict the next character, or the next word, of a text, and write some more of it.

    python -m experiments.tasks.language_model                           characters of Shakespeare
    python -m experiments.tasks.language_model --level word              words
    python -m experiments.tasks.language_model --compare lstm gru rnn    beside classical layers of as many parameters
    python -m experiments.tasks.language_model --dataset tfds:tiny_shakespeare
    python -m experiments.tasks.language_model --dataset my_text.txt     your own: see --dataset

The text is cut in windows, each of which starts at |0...0>; 6,000 of them are trained on, or --limit. Perplexity is
exp(cross-entropy per token); bits per character are cross-entropy / ln 2 at the level of characters. Writes
OUT/record.json, metrics.csv, model.keras, vocabulary.json, written.txt and pictures.png. The same command resumes a run
that was stopped.
"""

import sys

import numpy as np

from experiments.data import corpora
from experiments.data.vocabulary import END, UNKNOWN, Vocabulary, words
from experiments.harness import arguments
from experiments.late import late
from experiments.models import recurrent

keras, tf, decoding = late("keras", "tensorflow", "experiments.models.decoding")
experiment, pipelines, plots, records = late(
    *(f"experiments.harness.{name}" for name in ("experiment", "pipelines", "plots", "records"))
)

LEVELS = {  # how a text is cut in tokens and put together again, what is known of them, how many are in a window
    "char": {"tokens": list, "join": "".join, "vocabulary": 200, "window": 64},
    "word": {"tokens": words, "join": " ".join, "vocabulary": 2000, "window": 32},
}
WINDOWS = 6000  # to train on, where --limit does not say
DEFAULTS = {"epochs": 10, "learning_rate": 1e-2, "qubits": 6}


def parse_arguments(given=None):
    parser = arguments.parser(__doc__, "language_model", corpora.CORPUS, **DEFAULTS)
    group = parser.add_argument_group("the text")
    group.add_argument("--level", choices=LEVELS, default="char", help="what a token is (char)")
    group.add_argument("--window", type=arguments.at_least(2), help="tokens of a window (64 characters, 32 words)")
    group.add_argument(
        "--vocabulary", type=arguments.at_least(1), help="the most frequent tokens of the training text (200, 2000)"
    )
    group.add_argument("--embedding", type=arguments.at_least(1), default=16, help="width of the embedding (16)")
    group.add_argument(
        "--temperature", type=arguments.positive, default=0.8, help="of what is written in the end (0.8)"
    )
    group.add_argument("--dropout", type=arguments.fraction, default=0.0, help="of what the last layer reads (0)")
    parser.set_defaults(limit=WINDOWS)
    options = parser.parse_args(given)
    for name in ("window", "vocabulary"):
        if getattr(options, name) is None:
            setattr(options, name, LEVELS[options.level][name])
    return options


def windows(documents, tokens, vocabulary, length, limit):
    """`limit` windows at most, evenly spread over all documents, as `Examples`: the targets are one token ahead."""
    found = []
    for numbers in vocabulary.encode([tokens(document) for document in documents]).numpy():
        count = (len(numbers) - 1) // length
        found += [numbers[i * length : (i + 1) * length + 1] for i in range(count)]
    if not found:
        sys.exit(f"Argument `--window` must be shorter than the texts, but it is {length}.")
    picked = np.stack(found)[np.linspace(0, len(found) - 1, min(limit, len(found))).astype(int)]
    return pipelines.Examples(picked[:, :-1], picked[:, 1:])


def language_model(layer, size, width, dropout):
    """Token numbers `(batch, time)` to logits of the next tokens `(batch, time, size)`."""
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    outputs, *_ = layer(keras.layers.Embedding(size, width, name="embedding")(tokens))
    outputs = keras.layers.Dropout(dropout, name="dropout")(outputs)
    return keras.Model(tokens, keras.layers.Dense(size, name="logits")(outputs))


def write_on(model, prompt, count, length, seed, temperature):
    """`count` continuations of a prompt, token numbers `(count, length)`; the memory is carried from token to token."""
    embedding, layer, logits = (model.get_layer(name) for name in ("embedding", "recurrent", "logits"))

    def step(tokens, state):
        outputs, *state = layer(embedding(tokens[:, None]), initial_state=list(state))
        values = logits(outputs)[:, 0]
        return tf.where(tf.range(values.shape[-1]) <= END, values.dtype.min / 2, values), state  # special tokens

    @tf.function
    def run(prompt):
        _, *state = layer(embedding(prompt[:, :-1]))
        return decoding.sample(step, state, prompt[:, -1], length, seed, temperature)

    return run(tf.repeat(prompt[None], count, axis=0)).numpy()


def main(given=None):
    options = parse_arguments(given)
    level = LEVELS[options.level]
    data = corpora.load_corpus(options.dataset, options.data_dir, options.download, options.limit)
    print(data)
    vocabulary = Vocabulary.of(map(level["tokens"], data.train), options.vocabulary)
    limits = {"train": options.limit, "validation": options.limit // 5, "test": options.limit // 5}
    splits = {
        split: windows(getattr(data, split), level["tokens"], vocabulary, options.window, max(1, limit))
        for split, limit in limits.items()
    }
    unknown = np.mean(splits["test"].y == UNKNOWN)
    print(
        f"{len(splits['train']):,} windows of {options.window} tokens, {len(vocabulary):,} of them different; "
        f"{100 * unknown:.2g} % of the test text is unknown"
    )

    def build(name, units):
        layer = recurrent.recurrent_layer(
            name,
            units,
            **arguments.layer_arguments(options),
            return_sequences=True,
            return_state=True,
            name="recurrent",
        )
        return language_model(layer, len(vocabulary), options.embedding, options.dropout)

    def measure(model):
        # all windows are equally long: the mean over them is that over the tokens
        nats = model.evaluate(splits["test"].batches(options.batch_size), verbose=0, return_dict=True)["loss"]
        bits = {"bits_per_character": nats / np.log(2)} if options.level == "char" else {}
        return {"perplexity": float(np.exp(nats)), **bits}

    if options.level == "char":
        score = experiment.Score("bits_per_character", "test bits/character", 1, 3, "", greater_is_better=False)
    else:
        score = experiment.Score("perplexity", "test perplexity", 1, 1, "", greater_is_better=False)
    task = experiment.Task(
        "language_model",
        build,
        **splits,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        measure=measure,
        score=score,
        notes={"name": data.name, "licence": data.licence, "unknown": float(unknown)},
    )
    runs, model = experiment.run(task, options)
    vocabulary.save(options.out / "vocabulary.json")
    prompt = splits["test"].x[0, :8]
    written = write_on(model, prompt, 3, 3 * options.window, options.seed[0], options.temperature)
    texts = [level["join"](vocabulary.decode([*prompt, *numbers])) for numbers in written]
    records.write_text(options.out / "written.txt", "\n\n".join(texts) + "\n")
    print(f"\n{options.out / 'written.txt'}: what it writes\n\n" + "\n...\n".join(texts))
    unit, label = (1 / np.log(2), "bits per character") if options.level == "char" else (1, "nats per word")
    picture = plots.pictures(
        options.out / "pictures.png",
        lambda ax: plots.learning_curves(runs, "val_loss", unit, f"validation, {label}", ax),
        plots.bloch_vectors(model, splits["test"].x[:1], "The memory while a window of the test text is read"),
    )
    print(f"\n{picture}: learning curves and, of a QRNN, Bloch vectors")


if __name__ == "__main__":
    main()
