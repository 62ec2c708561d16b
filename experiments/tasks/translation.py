"""Translate with an encoder, a decoder, and attention of the one to the other: German number words to English ones.

    python -m experiments.tasks.translation                         QRNNs with QuantumAttention
    python -m experiments.tasks.translation --attention none        all that the decoder gets is the encoder's state
    python -m experiments.tasks.translation --compare lstm gru rnn  beside classical layers of as many parameters
    python -m experiments.tasks.translation --beam 4                beam search instead of greedy decoding
    python -m experiments.tasks.translation --dataset ding          sentences of a dictionary, where it is installed
    python -m experiments.tasks.translation --dataset tfds:wmt14_translate/de-en --limit 100000
    python -m experiments.tasks.translation --dataset my_pairs.tsv  your own: see --dataset

It is trained by teacher forcing; BLEU is sacrebleu's, of lower-case texts. Writes OUT/record.json, metrics.csv,
model.keras, the two vocabularies, translations.tsv and pictures.png, with the attention of one sentence. The same
command resumes a run that was stopped.
"""

import sys
import time

import numpy as np

from experiments.data import translations
from experiments.data.translations import joined, source_tokens, target_tokens
from experiments.data.vocabulary import END, START, Vocabulary
from experiments.harness import arguments
from experiments.late import late
from experiments.models import recurrent, seq2seq

keras, sacrebleu, tf, tfq_qrnn = late("keras", "sacrebleu", "tensorflow", "tfq_qrnn")
experiment, pipelines, plots, records = late(
    *(f"experiments.harness.{name}" for name in ("experiment", "pipelines", "plots", "records"))
)

DEFAULTS = {"epochs": 8, "learning_rate": 3e-2, "batch_size": 64}


def parse_arguments(given=None):
    parser = arguments.parser(__doc__, "translation", translations.PAIRS, **DEFAULTS)
    group = parser.add_argument_group("the translation")
    group.add_argument("--attention", choices=seq2seq.ATTENTION, default="additive", help="its score (additive)")
    group.add_argument(
        "--beam", type=arguments.at_least(1), default=1, metavar="K", help="width of the beam; 1 is greedy (1)"
    )
    group.add_argument(
        "--length-penalty", type=arguments.finite, default=0.0, help="power of the length that divides the score (0)"
    )
    group.add_argument(
        "--vocabulary", type=arguments.at_least(1), default=4000, help="the most frequent words of each language (4000)"
    )
    group.add_argument("--max-words", type=arguments.at_least(1), default=30, help="longer texts are left out (30)")
    group.add_argument("--embedding", type=arguments.at_least(1), default=16, help="width of the embeddings (16)")
    group.add_argument("--dropout", type=arguments.fraction, default=0.0, help="of what the last layer reads (0)")
    options = parser.parse_args(given)
    if options.attention == "overlap":
        if {options.model, *options.compare} - {"qrnn", "qrnn-linear"}:
            parser.error(
                "Argument `--attention` must not be overlap, which scores the states of qubits, with other models than "
                "qrnn and qrnn-linear, but there are others."
            )
        if sorted(options.observables) != ["X", "Y", "Z"]:
            parser.error(
                "Argument `--observables` must be XYZ with `--attention overlap`, which scores Bloch vectors, but it "
                f"is {options.observables}."
            )
    if options.length_penalty and options.beam == 1:
        parser.error("Argument `--beam` must be 2 or more with `--length-penalty`, but it is 1.")
    return options


def bleu(texts, references):
    """The score, in per cent, and what says how it was computed."""
    metric = sacrebleu.BLEU(lowercase=True)
    return metric.corpus_score(texts, [references]).score, str(metric.get_signature())


def exact(texts, references):
    """The fraction of texts that are right; they are in lower case, and references need not be."""
    wanted = [joined(target_tokens(reference)) for reference in references]
    return float(np.mean([text == reference for text, reference in zip(texts, wanted, strict=True)]))


def tokenized(pairs, max_words):
    """`(source tokens, target tokens, target)` of those pairs whose sides have 1 to `max_words` tokens."""
    found = [(source_tokens(source), target_tokens(target), target) for source, target in pairs]
    return [(source, target, text) for source, target, text in found if 0 < len(source) <= max_words >= len(target) > 0]


def numbered(pairs, source, target):
    """What `tokenized` gives, as `Examples`: the decoder reads the target from START and is to tell the next token."""
    sources, targets = (part.encode([pair[side] for pair in pairs]) for side, part in enumerate((source, target)))
    start, end = (tf.fill((len(pairs), 1), token) for token in (START, END))
    x = {"source": sources, "target": tf.concat([start, targets], axis=1)}
    return pipelines.Examples(x, tf.concat([targets, end], axis=1))


def translate(translator, examples, vocabulary):
    """Texts, in the order of the examples; they are decoded in batches of sentences of about equal length."""
    source = examples.x["source"]
    order = np.argsort(source.row_lengths().numpy(), kind="stable")
    texts = {}
    for start in range(0, len(order), 256):
        batch = order[start : start + 256]
        numbers, _ = translator(tf.gather(source, batch).to_tensor())
        texts.update(zip(batch.tolist(), (joined(vocabulary.decode(row)) for row in numbers), strict=True))
    return [texts[index] for index in range(len(order))]


def main(given=None):
    options = parse_arguments(given)
    data = translations.load_pairs(options.dataset, options.data_dir, options.download, options.limit)
    if options.limit:
        data = data.limited(options.limit)
    print(data)
    pairs = {split: tokenized(getattr(data, split), options.max_words) for split in ("train", "validation", "test")}
    if not all(pairs.values()):
        sys.exit(
            f"Argument `--max-words` must leave pairs in every split, but it is {options.max_words}, and leaves "
            f"{', '.join(f'{len(part)} to {split}' for split, part in pairs.items())}."
        )
    source, target = (Vocabulary.of((pair[side] for pair in pairs["train"]), options.vocabulary) for side in (0, 1))
    splits = {split: numbered(tokens, source, target) for split, tokens in pairs.items()}
    references = {split: [text for *_, text in tokens] for split, tokens in pairs.items()}
    left_out = sum(len(getattr(data, split)) - len(pairs[split]) for split in pairs)
    print(f"{len(source):,} source words, {len(target):,} target words; {left_out:,} pairs are longer and left out")

    def build(name, units):
        def named(layer):
            sizes = arguments.layer_arguments(options)
            return recurrent.recurrent_layer(name, units, **sizes, return_sequences=True, return_state=True, name=layer)

        return seq2seq.encoder_decoder(
            named, len(source), len(target), options.embedding, options.attention, options.dropout
        )

    def measure(model):
        """BLEU of both held-out splits: the choice of settings is made on that of the first."""
        translator = seq2seq.Translator(model, options.max_words + 1, options.beam, options.length_penalty)
        found, start = {}, time.perf_counter()
        for split in ("validation", "test"):
            texts = translate(translator, splits[split], target)
            found |= {
                f"{split}_bleu": bleu(texts, references[split])[0],
                f"{split}_exact": exact(texts, references[split]),
            }
        sentences = len(references["validation"]) + len(references["test"])
        return {**found, "bleu": found["test_bleu"], "decoding_ms": 1000 * (time.perf_counter() - start) / sentences}

    _, signature = bleu(references["test"], references["test"])
    task = experiment.Task(
        "translation",
        build,
        **splits,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        score=experiment.Score("bleu", "test BLEU", 1, 1, ""),
        measure=measure,
        notes={"name": data.name, "licence": data.licence, "bleu": signature, "left_out": left_out},
    )
    runs, model = experiment.run(task, options)
    source.save(options.out / "source_vocabulary.json")
    target.save(options.out / "target_vocabulary.json")
    shown = pairs["test"][:200]
    translator = seq2seq.Translator(model, options.max_words + 1, options.beam, options.length_penalty)
    texts = translate(translator, splits["test"].limited(200), target)
    rows = [
        "\t".join([" ".join(words), reference, text]) for (words, _, reference), text in zip(shown, texts, strict=True)
    ]
    records.write_text(options.out / "translations.tsv", "\n".join(rows) + "\n")
    print(
        f"{options.out}: translations.tsv, tokens, reference and translation of test sentences; the first:\n{rows[0]}"
    )
    picture = plots.pictures(
        options.out / "pictures.png",
        lambda ax: plots.learning_curves(runs, "val_loss", label="validation loss per token", ax=ax),
        attention_map(model, pairs["test"], splits["test"], target) if options.attention != "none" else None,
    )
    print(f"{picture}: learning curves" + (" and attention" if options.attention != "none" else ""))


def attention_map(model, pairs, examples, target):
    """What draws the attention weights of the longest of the first 50 test sentences, while its reference is read."""
    index = max(range(min(50, len(pairs))), key=lambda i: len(pairs[i][0]))
    words, translation, _ = pairs[index]
    weights = seq2seq.attention_weights(model, *(part[index : index + 1].to_tensor() for part in examples.x.values()))

    def draw(subfigure):
        ax = subfigure.subplots()
        tfq_qrnn.plotting.attention(weights[0], queries=[*translation, "<end>"], keys=words, ax=ax)

    return draw


if __name__ == "__main__":
    main()
