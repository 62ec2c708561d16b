"""What `make results` runs, as data: tasks, models, seeds and settings. The results are in docs/results/*.md."""

import itertools

from experiments.harness.jobs import Study, Task

MODELS = ("qrnn", "qrnn-linear", "unitary", "scornn", "lstm", "gru", "rnn")
# Some are left out for the time that they take: at 784 steps, and beyond T = 100 of copying memory.
NO_UNITARY = tuple(model for model in MODELS if model != "unitary")
TWO = ("qrnn", "lstm")

# The first seed of results. Protocols that were given up were tested with 0 to 24, and with 40 to 44 on copying memory.
UNSEEN = 60
RISING = ("--warmup", "0.1")  # the learning rate rises over the first tenth of a training
# GLU doubles the width of a layer: at these widths a QRNN without gates, or one with a linear controller, is as large.
LINEAR = ("--activation", "gelu", "--hidden", "32")
DIGITS = {
    "rows": (),
    "permuted": ("--pixels", "4", "--permuted", "--hidden", "21"),
    "pixels": ("--pixels", "1", "--epochs", "6", "--hidden", "22"),
}


def anew(arguments=(), linear=LINEAR):
    """All models alike: with a rise, three seeds of tuning and five of results."""
    return {
        "arguments": (*arguments, *RISING),
        "first_seed": UNSEEN,
        "n_seeds": 5,
        "n_tuning_seeds": 3,
        "arguments_of": {"qrnn-linear": linear},
    }


# Not yet run alike: here the QRNN alone was run like that. The others had one seed of tuning, and a rise for copying
# memory alone. Those that share the controller of a QRNN had another start, for copying memory one set by hand.
START = ("--hidden", "32", "--activation", "gelu", "--initial-rotation", "0.1", "--drift", "none")
SHUT = ("--hidden", "64", "--activation", "gelu", "--angle-scale", "0.3", "--initial-rotation", "0")
SHUT = (*SHUT, "--gate-bias", "none", "--drift", "none", "--closed", "2", "--closed-on-blanks", "4")
FIRST_ON_COPYING = 40
CLOSED = ("--gate-bias", "-7")  # over 500 blanks, or 1,000, a gate must let less through than over 100


def earlier(n_seeds, qrnn=RISING, others=START):
    return {
        "n_seeds": n_seeds,
        "first_seed_of": {"qrnn": UNSEEN},
        "n_seeds_of": {"qrnn": 5},
        "n_tuning_seeds_of": {"qrnn": 3},
        "arguments_of": {"qrnn": qrnn, "qrnn-linear": others, "unitary": others},
    }


def long_copying(blanks, seconds):
    return Task(
        f"copying_{blanks}",
        f"Copying memory, T = {blanks:,}",
        "tasks.copying_memory",
        TWO,
        seconds,
        ("--blanks", str(blanks)),
        FIRST_ON_COPYING,
        n_seeds=3,
        first_seed_of={"qrnn": UNSEEN},
        arguments_of={"qrnn": CLOSED},
    )


TASKS = (
    Task("rows", "Digits, row by row", "tasks.mnist", MODELS, 10, **anew()),
    Task(
        "permuted",
        "Digits, permuted",
        "tasks.mnist",
        MODELS,
        45,
        **anew(DIGITS["permuted"], linear=("--activation", "gelu", "--hidden", "31")),
    ),
    Task("pixels", "Digits, pixel by pixel, six epochs", "tasks.mnist", NO_UNITARY, 90, DIGITS["pixels"], **earlier(3)),
    Task(
        "copying",
        "Copying memory, T = 100",
        "tasks.copying_memory",
        MODELS,
        40,
        ("--blanks", "100"),
        FIRST_ON_COPYING,
        **earlier(5, qrnn=(), others=SHUT),
    ),
    long_copying(500, seconds=200),
    long_copying(1000, seconds=400),
    Task("time_series", "Time series: Japanese vowels", "tasks.time_series", MODELS, 15, **anew()),
    Task("sentiment", "Sentiment", "tasks.sentiment", MODELS, 40, **earlier(5)),
    Task("language_model", "Language model: characters", "tasks.language_model", MODELS, 60, **anew()),
    Task("translation", "Translation: number words", "tasks.translation", MODELS, 60, **earlier(3)),
)

# What studies/remedies.py knows; it tells what each is.
REMEDIES = (
    "none",
    "truncated-7",
    "truncated-28",
    "gate",
    "slow-controller",
    "quick-controller",
    "scales",
    "mixing",
    "mixing-only",
    "frozen-mixing",
)
_PERMUTED = (*START, "--pixels", "4", "--permuted")
_AT_ITS_RATE = ("--learning-rate", "0.03", *RISING)  # what tuning chose for the QRNN on digits
_NOISE = (*START, "--test-shots", "10", "100", "1000", "--test-pauli-error", "0.001", "0.01")
_CHANGES = {
    "none": (),
    "no entanglers": ("--entangler", "none"),
    "no drift": ("--drift", "none"),
    "no feedback": ("--feedback-gain", "none"),
}
_UNITARY = {"unitary RNN, the drift's frequencies": (), "unitary RNN, a permutation": ("--drift", "none")}
_FEW = ("--dataset", "few", "--epochs", "60", "--learning-rate", "0.03", *RISING)
_COPYING_500 = (*SHUT, "--blanks", "500", "--learning-rate", "0.03")


def _each(option, values):
    """A variant for each value of an option."""
    return tuple(((value,), (*START, option, value)) for value in values)


STUDIES = (
    Study(
        "circuit",
        "What the circuit adds",
        ("change", "digits"),
        tuple(
            ((change, digits), (*DIGITS[digits], *_AT_ITS_RATE, *given))
            for digits in ("rows", "permuted")
            for change, given in {**_CHANGES, **(_UNITARY if digits == "rows" else {})}.items()
        ),
        first_seed=UNSEEN,
        model_of={(change, "rows"): "unitary" for change in _UNITARY},
        seconds=60,
    ),
    Study(
        "size",
        "Qubits and depth",
        ("qubits", "depth"),
        tuple(
            ((n, depth), (*START, "--qubits", n, "--depth", depth))
            for n, depth in itertools.product(("2", "4", "6", "8", "10", "12"), ("1", "2", "3", "4"))
        ),
        seconds=30,
    ),
    Study("observables", "What is read out", ("observables",), _each("--observables", ("Z", "XZ", "XYZ", "pairs"))),
    Study("entanglers", "The ring's two-qubit gate", ("gate",), _each("--entangler", ("cz", "cnot", "iswap"))),
    Study(
        "activations",
        "The controller's activation",
        ("activation",),
        _each("--activation", ("gelu", "relu", "glu", "tanh", "linear")),
    ),
    Study(
        "start",
        "How training starts",
        ("feedback gain", "initial rotation"),
        tuple(
            ((gain, rotation), (*_PERMUTED, "--feedback-gain", gain, "--initial-rotation", rotation))
            for gain, rotation in itertools.product(("1", "0.1"), ("0", "0.1"))
        ),
        seconds=30,
    ),
    Study(
        "scale",
        "Angle scale and length",
        ("time steps", "angle scale", "rate"),
        tuple(
            (
                (str(784 // pixels), scale, rate),
                (
                    *START,
                    *("--pixels", str(pixels), "--epochs", "6" if pixels == 1 else "12"),
                    *("--angle-scale", scale, "--learning-rate", rate),
                ),
            )
            for pixels, scale, rate in itertools.product((28, 4, 1), ("auto", "1"), ("0.003", "0.01"))
        ),
        seconds=30,
    ),
    Study(
        "short_scale",
        "Angle scale on short texts",
        ("model and angle scale",),
        (
            *(((f"QRNN, {scale}",), (*_FEW, "--angle-scale", scale)) for scale in ("0.1", "0.3", "1")),
            (("LSTM",), _FEW),
        ),
        script="tasks.translation",
        first_seed=UNSEEN,
        model_of={("LSTM",): "lstm"},
        seconds=30,
    ),
    Study(
        "rise",
        "A rise of the learning rate, for an LSTM",
        ("rate", "rise"),
        tuple(
            ((rate, rise), (*DIGITS["permuted"], "--learning-rate", rate, "--warmup", rise))
            for rate, rise in itertools.product(("0.01", "0.03"), ("0", "0.1"))
        ),
        model="lstm",
        seconds=40,
    ),
    Study(
        "remedies",
        "What else might help at length",
        ("remedy",),
        tuple(((remedy,), ("--remedy", remedy)) for remedy in REMEDIES),
        script="studies.remedies",
        seconds=30,
    ),
    Study(
        "copying_parts",
        "What copying memory needs",
        ("change",),
        (
            (("none",), _COPYING_500),
            (("no warmup",), (*_COPYING_500, "--warmup", "0")),
            (("gradients up to 25",), (*_COPYING_500, "--clipnorm", "25")),
            (("blanks at -2",), (*_COPYING_500, "--closed-on-blanks", "2")),
            (("a curriculum",), (*_COPYING_500, "--start", "10")),
        ),
        script="tasks.copying_memory",
        first_seed=FIRST_ON_COPYING,
        seconds=120,
    ),
    Study(
        "copying_epochs",
        "A longer training on copying memory",
        ("T",),
        tuple(
            ((blanks,), (*given, "--blanks", blanks, "--learning-rate", "0.03", "--epochs", "150"))
            for blanks, given in (("100", ()), ("500", CLOSED), ("1000", CLOSED))
        ),
        script="tasks.copying_memory",
        first_seed=UNSEEN,
        seconds=350,
    ),
    Study(
        "copying_lstm",
        "The LSTM on copying memory",
        ("change",),
        (
            (("none",), (*SHUT, "--blanks", "100")),
            (("chrono start",), (*SHUT, "--blanks", "100", "--chrono")),
            (("a curriculum",), (*SHUT, "--blanks", "100", "--start", "10")),
            (("both",), (*SHUT, "--blanks", "100", "--chrono", "--start", "10")),
        ),
        script="tasks.copying_memory",
        first_seed=FIRST_ON_COPYING,
        model="lstm",
        seconds=60,
    ),
    Study(
        "noise",
        "Noise in training and at the test",
        ("trained with",),
        (
            (("no noise",), _NOISE),
            (("1,000 shots",), (*_NOISE, "--shots", "1000")),
            (("100 shots",), (*_NOISE, "--shots", "100")),
            (("10 shots",), (*_NOISE, "--shots", "10")),
            (("Pauli error 0.001",), (*_NOISE, "--pauli-error", "0.001")),
            (("Pauli error 0.01",), (*_NOISE, "--pauli-error", "0.01")),
        ),
        seconds=60,
        shown=(
            ("accuracy_1000_shots", "1,000 shots"),
            ("accuracy_100_shots", "100 shots"),
            ("accuracy_10_shots", "10 shots"),
            ("accuracy_error_0.001", "error 0.001"),
            ("accuracy_error_0.01", "error 0.01"),
        ),
    ),
    Study(
        "attention",
        "Translation with and without attention",
        ("attention",),
        _each("--attention", ("none", "additive", "dot", "overlap")),
        script="tasks.translation",
        seconds=90,
    ),
)

NAMES = tuple(one.name for one in (*TASKS, *STUDIES))
