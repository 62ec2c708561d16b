"""Copying memory: tell ten symbols in their order, T blanks after they were shown.

    python -m experiments.tasks.copying_memory                        a QRNN at T = 100
    python -m experiments.tasks.copying_memory --compare lstm gru     beside classical layers of as many parameters
    python -m experiments.tasks.copying_memory --start 10             a curriculum, from 10 blanks to T
    python -m experiments.tasks.copying_memory --start 10 --blanks 1000    ten times as long

The data are made from the seed, new ones for every batch; which strings may be trained on, validated and tested is
fixed (data/copying.py). Every string has T blanks, from the first batch on; or, with --start, all models see one
curriculum: two fifths of the training are at a short length, then the length grows by the same factor in every epoch,
and the last tenth is at T. Validation and test are always at T. Loss and score are a part of the memoryless line,
10 ln 8 / (T + 20): what a model pays that waits and then guesses. What is tested and saved are the weights of the epoch
with the least validation loss.

The learning rate rises over the first tenth of the training: Adam's first steps are of full size in every weight, and
make the feedback unstable where the rate is high from the start. A QRNN has a drift about Z with couplings, which
leaves a memory alone to which nothing was told yet, gates that start closed (--gate-bias; the further the longer the
strings are), and no bias of its angles, which would add up over the blanks (--initial-rotation none). With --closed the
hidden units of one without gates start below 0, further so on blanks: weights that are set by hand.
Classical layers start as Keras, or their papers, start them, or, with --chrono, with gates that are made for the task.

Your own data do not apply here: a task of your own that is made batch by batch is a class with the methods of
data/copying.py's Strings.

Writes OUT/record.json, metrics.csv, model.keras and pictures.png. The same command resumes a run that was stopped.
"""

import numpy as np

from experiments.data import copying
from experiments.harness import arguments
from experiments.late import late
from experiments.models import recurrent

keras, experiment, plots = late("keras", "experiments.harness.experiment", "experiments.harness.plots")


def parse_arguments(given=None):
    defaults = {
        "epochs": 50,
        "batch_size": 32,
        "warmup": 0.1,
        "hidden": [40],
        "angle_scale": 0.3,
        "initial_rotation": None,
        "gate_bias": -6.0,
        "drift": {"slowest": 0.3, "fastest": 3.0, "coupling": 1.0, "axis": "z", "seed": 2},
    }
    parser = arguments.parser(__doc__, "copying_memory", None, **defaults)
    group = parser.add_argument_group("the task")
    group.add_argument("--blanks", type=arguments.at_least(1), default=100, metavar="T", help="blanks (100)")
    group.add_argument(
        "--start",
        type=arguments.at_least(1),
        metavar="N",
        help="blanks at the start of a curriculum (T: there is none)",
    )
    group.add_argument("--steps", type=arguments.at_least(1), default=60, help="batches of an epoch (60)")
    group.add_argument("--head", type=arguments.at_least(1), default=32, help="units between readouts and logits (32)")
    group.add_argument(
        "--closed",
        type=arguments.finite,
        default=0.0,
        help="how far a QRNN's hidden units are set below 0 at the start, by hand (0)",
    )
    group.add_argument(
        "--closed-on-blanks", type=arguments.finite, default=0.0, help="the same, while there is a blank (0)"
    )
    group.add_argument(
        "--chrono",
        action="store_true",
        help="start LSTM and GRU with memories of up to T steps (chrono initialization)",
    )
    group.add_argument(
        "--limit", type=arguments.at_least(1), default=300, metavar="N", help="strings to validate, and to test (300)"
    )
    options = parser.parse_args(given)
    if options.start is not None and options.start >= options.blanks:
        parser.error(f"Argument `--start` must be below `--blanks`, {options.blanks}, but it is {options.start}.")
    if options.start is not None and options.epochs < (least := round(1 / (1 - copying.REACH))):
        parser.error(
            f"Argument `--epochs` must be {least} or more with `--start`, for the last tenth of them is at T, "
            f"but it is {options.epochs}."
        )
    if options.closed and not options.hidden:
        parser.error("Argument `--closed` must be 0 without hidden units, but there are none.")
    if options.chrono and not {options.model, *options.compare} & {"lstm", "gru"}:
        parser.error("Argument `--chrono` must be left out without a model lstm or gru, but there is none.")
    return options


def shut(controller, closed, closed_on_blanks):
    """Start the hidden units of a controller below 0."""
    # The inputs are one-hot, so that what lowers all weights of an input is a bias while it is there.
    kernel = np.array(controller.kernels[0])
    kernel[: copying.N_INPUTS] -= closed
    kernel[copying.BLANK] = -closed_on_blanks  # the same for all units, so that what little they do cancels in part
    controller.kernels[0].assign(kernel)


def remember_for(steps, layer, name):
    """Start the gates of an LSTM or a GRU with memories of up to so many steps (C. Tallec, Y. Ollivier,
    arXiv:1804.11188).
    """
    bias = np.array(layer.cell.bias)
    forget = np.log(keras.random.uniform((layer.units,), 1, steps))
    if name == "lstm":  # input, forget, cell, output
        bias[: 2 * layer.units] = np.concatenate([-forget, forget])
    else:  # update, reset, candidate: the update gate keeps the state where it is open
        bias[0, : layer.units] = forget
    layer.cell.bias.assign(bias)


def main(given=None):
    options = parse_arguments(given)
    line = copying.memoryless_line(options.blanks)
    print(
        f"Copying memory, T = {options.blanks}: {options.epochs * options.steps:,} batches of {options.batch_size} to "
        f"train on, {options.limit:,} strings to validate, {options.limit:,} to test.\n"
        f"Memoryless line: 10 ln 8 / {options.blanks + 20} = {line:.4f}"
    )

    def build(name, units):
        layer = recurrent.recurrent_layer(
            name,
            units,
            return_sequences=True,
            use_bias=options.activation == "glu" or bool(options.initial_rotation),  # gates are biases
            **arguments.layer_arguments(options),
        )
        head = keras.layers.Dense(options.head, "gelu"), keras.layers.Dense(copying.N_OUTPUTS)
        model = keras.Sequential([keras.Input((None, copying.N_INPUTS)), layer, *head])
        if options.closed and name in ("qrnn", "unitary"):
            shut(layer.cell.controller, options.closed, options.closed_on_blanks)
        if options.chrono and name in ("lstm", "gru"):
            remember_for(options.blanks, layer, name)
        return model

    def strings(split, count, start=None):
        return copying.Strings(split, count, options.blanks, start)

    task = experiment.Task(
        "copying_memory",
        build,
        train=strings("train", options.steps * options.batch_size, options.start),
        validation=strings("validation", options.limit),
        test=strings("test", options.limit),
        loss=copying.normalized_loss,
        metrics=[copying.recalled],
        keep_best=True,  # a training may break late, where feedback makes the gradients large
        score=experiment.Score("loss", "test loss / line", 1, 3, "", greater_is_better=False),
        notes={"name": "copying memory", "licence": "none: made by the script", "memoryless_line": line},
    )
    runs, _ = experiment.run(task, options)
    print("1 is the memoryless line; below it is what was remembered.")

    def draw(ax):
        plots.learning_curves(runs, "val_loss", label=f"validation loss at T = {options.blanks} / line", ax=ax)
        ax.axhline(1, color="0.5", linestyle=":")
        ax.set_ylim(0, 2)  # on a longer T than it was trained on, a loss may be anything

    print(f"{plots.pictures(options.out / 'pictures.png', draw)}: learning curves")


if __name__ == "__main__":
    main()
