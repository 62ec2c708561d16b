"""The text examples on a slice of their data: they must learn something there, and leave what they promise."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiments.data import corpora, texts, translations, vocabulary
from experiments.tasks import language_model, sentiment, translation

SMALL = ["--qubits", "3", "--hidden", "8", "--embedding", "8"]


def run(script, out, *arguments):
    """What a script records when it runs with these arguments."""
    script.main([*SMALL, *map(str, arguments), "--out", str(out)])
    record = json.loads((out / "record.json").read_text())
    assert {"settings", "versions", "parameters", "seconds", "metrics", "test", "runs"} <= set(record)
    assert record["data"]["licence"]
    for name in ("metrics.csv", "model.keras", "pictures.png"):
        assert (out / name).exists()
    return record


def write_tsv(path, rows):
    path.write_text("\n".join(f"{a}\t{b}" for a, b in rows) + "\n", encoding="utf-8")
    return path


def opinions(count, rng):
    """Sentences of ten words, with one that tells their label at any place."""
    labels = np.arange(count) % 2
    fillers = [f"word{i}" for i in range(20)]
    texts = []
    for label in labels:
        words = list(rng.choice(fillers, rng.integers(4, 11)))
        words.insert(rng.integers(len(words)), ["dull", "lovely"][label])
        texts.append(" ".join(words))
    return texts, labels


@pytest.mark.slow
def test_sentiment_on_a_file(tmp_path, capsys):
    texts, labels = opinions(300, np.random.default_rng(0))
    path = write_tsv(tmp_path / "mine.tsv", zip(labels, texts, strict=True))
    record = run(sentiment, tmp_path / "mine", "--dataset", path, "--epochs", 12, "--batch-size", 16, "--dropout", 0)
    assert record["test"]["accuracy"] > 0.9
    known = json.loads((tmp_path / "mine" / "vocabulary.json").read_text())
    model = keras.models.load_model(tmp_path / "mine" / "model.keras")
    spoken = [f"word1 word2 {opinion} word3 word4 word5".split() for opinion in ("dull", "lovely")]
    logits = model.predict(np.array([[known.index(word) for word in words] for words in spoken]), verbose=0)
    assert logits.argmax(axis=1).tolist() == [0, 1]


@pytest.mark.slow
def test_language_model_of_characters(tmp_path, capsys):
    small = ("--limit", 400, "--epochs", 4, "--batch-size", 8, "--learning-rate", 0.03)
    record = run(language_model, tmp_path, *small)
    # a model that knows how frequent each character is has 4.8 bits; log2 of their number is 6.4
    assert record["test"]["bits_per_character"] < 4.5
    np.testing.assert_allclose(np.log2(record["test"]["perplexity"]), record["test"]["bits_per_character"])
    written = (tmp_path / "written.txt").read_text()
    assert written in capsys.readouterr().out.replace("\n...\n", "\n\n")


def test_windows_of_words():
    document = "The cat sat on the mat.\n" * 20
    level = language_model.LEVELS["word"]
    known = vocabulary.Vocabulary.of([level["tokens"](document)], 100)
    examples = language_model.windows([document, document], level["tokens"], known, 8, 5)
    assert examples.x.shape == examples.y.shape == (5, 8)
    np.testing.assert_array_equal(examples.x[:, 1:], examples.y[:, :-1])
    assert level["join"](known.decode(examples.x[0])) == "the cat sat on the mat . \n"
    assert language_model.parse_arguments(["--level", "word"]).window == level["window"]


@pytest.mark.slow
def test_translation(tmp_path, capsys):
    record = run(translation, tmp_path, "--limit", 400, "--epochs", 4, "--batch-size", 8, "--beam", 2)
    # a decoder that knows how frequent each token is has 2.8 nats; ln of their number is 3.6
    assert record["metrics"][-1]["val_loss"] < 2.4
    assert {"bleu", "test_exact", "validation_bleu"} <= set(record["test"])
    assert "smooth:exp" in record["data"]["bleu"]
    lines = (tmp_path / "translations.tsv").read_text().splitlines()
    assert len(lines) == 80  # a fifth as many as to train on
    assert all(len(line.split("\t")) == 3 for line in lines)
    assert "attention" in capsys.readouterr().out


@pytest.mark.slow
def test_sets_in_the_format_of_tensorflow_datasets(tmp_path):
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(0)

    def store(name, features, **splits):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=features,
            split_datasets={key: tf.data.Dataset.from_tensor_slices(value) for key, value in splits.items()},
            data_dir=tmp_path / "data",
        )

    text_feature, label = tfds.features.Text(), tfds.features.ClassLabel(num_classes=2)
    texts, labels = opinions(240, rng)
    features = tfds.features.FeaturesDict({"sentence": text_feature, "label": label})
    # the labels of the test split are kept secret, and a text to test on is among those to train on
    train = {"sentence": texts[:200] + texts[-1:], "label": np.append(labels[:200], labels[-1])}
    hidden = {"sentence": ["a", "b"], "label": np.array([-1, -1])}
    held_out = {"sentence": texts[200:], "label": labels[200:]}
    store("opinions", features, train=train, validation=held_out, test=hidden)
    data = corpora.load_sentiment("tfds:opinions", tmp_path / "data")
    assert (len(data.train), len(data.validation), len(data.test)) == (180, 20, 40)

    document = {"text": [" ".join(rng.choice(["to be or", "not to be"], 400))]}
    store(
        "lines", tfds.features.FeaturesDict({"text": text_feature}), train=document, validation=document, test=document
    )
    # the same document in all splits is left in one of them, which is said
    with pytest.raises(SystemExit, match="nothing to train on"):
        corpora.load_corpus("tfds:lines", tmp_path / "data")

    documents = [" ".join(rng.choice(["to be or", "not to be"], 60)) for _ in range(8)]
    features = tfds.features.FeaturesDict({"text": text_feature})
    store("quotations", features, train={"text": documents[:7]}, test={"text": documents[7:]})
    data = corpora.load_corpus("tfds:quotations", tmp_path / "data")
    assert data.test == documents[7:]
    assert sorted(data.train + data.validation) == sorted(documents[:7])

    phrases = itertools.product(range(5), range(5), "ABCD")
    pairs = [(f"{n} ist {m} {letter}", f"{n}th is {m}th {letter}") for n, m, letter in phrases]
    test = [*pairs[::5], ("neun", "nine")]  # all but the last are among those to train on
    train, held_out = ({"de": [de for de, _ in part], "en": [en for _, en in part]} for part in (pairs, test))
    store("ordinals", tfds.features.Translation(("de", "en")), train=train, test=held_out)
    data = translations.load_pairs("tfds:ordinals", tmp_path / "data")
    assert sorted(data.test) == sorted(test)
    assert len(data.train) + len(data.validation) == 80


SETS = {
    "reviews": (corpora.load_sentiment, lambda example: {example[0].casefold()}),
    "vader": (corpora.load_sentiment, lambda example: {example[0].casefold()}),
    "works": (corpora.load_corpus, lambda work: {line for line in work.splitlines() if len(line) > 60}),
    "number words": (translations.load_pairs, lambda pair: {"de " + pair[0], "en " + pair[1]}),
    "ding": (translations.load_pairs, lambda pair: {"de " + pair[0].casefold(), "en " + pair[1].casefold()}),
}


@pytest.mark.parametrize("name", SETS)
def test_splits_share_nothing_and_never_change(name):
    load, keys = SETS[name]
    if name == "ding" and not translations.DICTIONARY.exists():
        pytest.skip("trans-de-en is not installed")
    data = load(name if name in ("ding", "vader") else "embedded", **({"limit": 500} if name == "number words" else {}))
    parts = [{key for example in part for key in keys(example)} for part in (data.train, data.validation, data.test)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        # a few lines are in two plays: songs, proverbs, stage directions; of 19,000 or more in the smaller split
        assert len(parts[first] & parts[second]) <= (3 if name == "works" else 0)
    assert all(len(part) > 3 for part in (data.train, data.validation, data.test))


def test_the_label_of_a_rated_sentence_is_the_sign_of_its_rating():
    data = corpora.load_sentiment("vader")
    examples = [*data.train, *data.validation, *data.test]
    # 10,605 snippets, but for 37 that are rated zero and those that are there twice
    assert 10_500 < len(examples) <= 10_605 - 37
    labels = dict(examples)
    assert labels["Effective but too tepid biopic"] == 0  # -0.6
    assert labels["No surprises."] == 0  # -0.625
    assert (
        labels["If you sometimes like to go to the movies to have fun, Wasabi is a good place to start."] == 1
    )  # 1.47


def test_few_number_words_are_some_of_many_and_longer_ones_are_tested_on_what_was_never_trained():
    def values(pairs):
        return {pair[0] for pair in pairs}

    many, few, longer = (translations.load_pairs(name, limit=600) for name in ("embedded", "few", "longer"))
    assert len(few.train) == 500
    assert few.train == many.train[:500]
    assert (few.validation, few.test) == (many.validation, many.test)
    thousand = "tausend"
    assert all(text.partition(thousand)[0] in _DIGITS for text in values(longer.train) if thousand in text)
    assert not any(text.partition(thousand)[0] in _DIGITS for text in values(longer.test))
    assert all(thousand in text for text in values(longer.test))


_DIGITS = ("ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")


def test_a_split_depends_on_the_keys_alone():
    examples = [(f"text {i}", f"film {i % 50}") for i in range(500)]
    parts = texts.split_by_hash(examples, lambda example: example[1])
    again = texts.split_by_hash(examples[::-1], lambda example: example[1])
    for part, other in zip(parts, again, strict=True):
        assert set(part) == set(other)
    films = [{film for _, film in part} for part in parts]
    assert [len(part) for part in films] == [40, 5, 5]
    train, validation, test = texts.without_leaks(["a", "b", "c", "c"], ["B", "d"], ["A"], lambda t: {t.lower()})
    assert (train, validation, test) == (["c"], ["B", "d"], ["A"])


def test_vocabulary_knows_the_training_texts_alone():
    known = vocabulary.Vocabulary.of([["a", "b", "b", "c"], ["b", "a"]], size=2)
    assert known.tokens == ["", "<unknown>", "<start>", "<end>", "b", "a"]
    numbers = known.encode([["a", "c", "b"], []])
    assert numbers.to_list() == [[5, vocabulary.UNKNOWN, 4], []]
    assert known.decode([vocabulary.START, *numbers[0], vocabulary.END, 4]) == ["a", "<unknown>", "b"]
    assert sentiment.numbered([("", 0)], known, 5).x.to_list() == [[vocabulary.UNKNOWN]]  # and no padding
    assert vocabulary.words("Don't stop,\nNow!") == ["don't", "stop", ",", "\n", "now", "!"]


def test_a_text_is_right_in_lower_case():
    assert translation.exact(["the house is old.", "no"], ["The house is old.", "yes"]) == 0.5


def test_german_number_words_are_read_in_parts():
    tokens = translations.source_tokens("dreihunderteinundzwanzigtausendsechzehn und siebzig Sachen")
    assert " ".join(tokens) == "drei hundert ein und zwanzig tausend sech zehn und siebzig sachen"


@pytest.mark.parametrize(
    ("load", "content", "message"),
    [
        (corpora.load_sentiment, None, "must be a file, or a name that --help lists"),
        (corpora.load_sentiment, "good\tyes\n", "must be a label from 0 to 999"),
        (corpora.load_sentiment, "1000\tyes\n", "must be a label from 0 to 999"),
        (corpora.load_sentiment, b"\xff\xfe", "must be a text in UTF-8"),
        (corpora.load_sentiment, b"1\tnone\x00", "it has a zero byte at 6"),
        (corpora.load_sentiment, "1\tone text\n", "must have 3 parts or more"),
        (translations.load_pairs, "eins\n", "must be a source, a tab and a target"),
        (corpora.load_corpus, "short", "must have 3 parts or more"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, load, content, message):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit, match=message):
        load(str(path))


def test_a_missing_dictionary_and_a_wrong_choice_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(translations, "DICTIONARY", tmp_path / "de-en")
    with pytest.raises(SystemExit, match="apt-get install trans-de-en"):
        translations.load_pairs("ding")
    (tmp_path / "de-en").write_text(
        "# a comment :: none\n"
        "Haus {n} | Das Haus (am See) ist alt.; Es ist alt. | etw. :: house | The house [by the lake] is old. | sth.\n"
    )
    sentences = list(translations._ding(tmp_path / "de-en"))
    assert sentences == [("Das Haus ist alt.", "The house is old.")]
    for arguments, message in (
        (["--attention", "overlap", "--compare", "lstm"], "scores the states of qubits"),
        (["--attention", "overlap", "--observables", "Z"], "`--observables` must be XYZ with `--attention overlap`"),
        (["--length-penalty", "1"], "`--beam` must be 2 or more with `--length-penalty`, but it is 1"),
    ):
        with pytest.raises(SystemExit):
            translation.parse_arguments(arguments)
        assert message in capsys.readouterr().err
    path = write_tsv(tmp_path / "long.tsv", [(f"a b {i}", f"c d {i}") for i in range(5)])
    with pytest.raises(SystemExit, match="must leave pairs in every split, but it is 2, and leaves 0 to train"):
        translation.main(["--dataset", str(path), "--max-words", "2"])
