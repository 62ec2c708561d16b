"""Tell positive texts from negative ones: a recurrent layer reads them word by word.

    python -m experiments.tasks.sentiment                           a QRNN on sentences of film reviews
    python -m experiments.tasks.sentiment --compare lstm gru rnn    beside classical layers of as many parameters
    python -m experiments.tasks.sentiment --dataset tfds:glue/sst2  tfds:imdb_reviews, or any other with text and label
    python -m experiments.tasks.sentiment --dataset my_texts.tsv    your own: see --dataset

Writes OUT/record.json, metrics.csv, model.keras, vocabulary.json and pictures.png. The same command resumes a run that
was stopped.
"""

import numpy as np

from experiments.data import corpora
from experiments.data.vocabulary import Vocabulary, words
from experiments.harness import arguments
from experiments.late import late
from experiments.models import recurrent

(keras,) = late("keras")
experiment, pipelines, plots = late(*(f"experiments.harness.{name}" for name in ("experiment", "pipelines", "plots")))

DEFAULTS = {"epochs": 8, "learning_rate": 1e-2, "batch_size": 64}


def parse_arguments(given=None):
    parser = arguments.parser(__doc__, "sentiment", corpora.SENTIMENT, **DEFAULTS)
    group = parser.add_argument_group("the texts")
    group.add_argument(
        "--vocabulary",
        type=arguments.at_least(1),
        default=4000,
        help="the most frequent words of the training texts (4000)",
    )
    group.add_argument("--max-words", type=arguments.at_least(1), default=60, help="how much of a text is read (60)")
    group.add_argument("--embedding", type=arguments.at_least(1), default=16, help="width of the embedding (16)")
    group.add_argument(
        "--dropout", type=arguments.fraction, default=0.5, help="of the embedding, and of the last readouts (0.5)"
    )
    return parser.parse_args(given)


def numbered(texts, vocabulary, max_words):
    """`(text, label)` pairs as `Examples`; a text without words is one word that nobody knows."""
    x = vocabulary.encode([words(text)[:max_words] or ["<unknown>"] for text, _ in texts])
    return pipelines.Examples(x, np.array([label for _, label in texts], np.int32))


def main(given=None):
    options = parse_arguments(given)
    data = corpora.load_sentiment(options.dataset, options.data_dir, options.download, options.limit)
    if options.limit:
        data = data.limited(options.limit)
    print(data)
    vocabulary = Vocabulary.of((words(text) for text, _ in data.train), options.vocabulary, at_least=2)
    splits = {
        split: numbered(getattr(data, split), vocabulary, options.max_words)
        for split in ("train", "validation", "test")
    }
    n_classes = 1 + max(int(split.y.max()) for split in splits.values())
    majority = np.bincount(splits["test"].y).max() / len(splits["test"])
    print(f"{len(vocabulary):,} words; the most frequent class is {100 * majority:.1f} % of the test texts")

    def build(name, units):
        return keras.Sequential(
            [
                keras.Input((None,), dtype="int32"),
                keras.layers.Embedding(len(vocabulary), options.embedding, mask_zero=True),
                keras.layers.Dropout(options.dropout),
                recurrent.recurrent_layer(name, units, **arguments.layer_arguments(options)),
                keras.layers.Dropout(options.dropout),
                keras.layers.Dense(n_classes),
            ]
        )

    task = experiment.Task(
        "sentiment",
        build,
        **splits,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        keep_best=True,
        notes={"name": data.name, "licence": data.licence, "majority": majority},
    )
    runs, model = experiment.run(task, options)
    vocabulary.save(options.out / "vocabulary.json")
    tokens = splits["test"].x[:1]
    draw = plots.bloch_vectors(
        model, tokens.numpy(), f"The memory while it reads: {' '.join(vocabulary.decode(tokens[0]))[:90]}"
    )
    picture = plots.pictures(
        options.out / "pictures.png",
        lambda ax: plots.learning_curves(runs, "val_accuracy", 100, "validation accuracy, %", ax),
        draw,
    )
    print(f"{picture}: learning curves" + (" and Bloch vectors" if draw else ""))


if __name__ == "__main__":
    main()
