"""Copying memory: tell ten symbols in their order, T blanks after they were shown.

    python examples/copying_memory.py                        a QRNN at T = 100
    python examples/copying_memory.py --compare lstm gru     beside classical layers of as many parameters
    python examples/copying_memory.py --start 10             a curriculum, from 10 blanks to T
    python examples/copying_memory.py --start 10 --blanks 1000    ten times as long

The data are made from the seed, new ones for every batch; which strings may be trained on, validated and tested is
fixed (common/copying.py). Every string has T blanks, from the first batch on; or, with --start, all models see one
curriculum: two fifths of the training are at a short length, then the length grows by the same factor in every epoch,
and the last tenth is at T. The learning rate is less for longer strings, as sqrt(10 / length), and falls as a cosine to
the end. With --vary each batch of a curriculum draws its blanks, up to the length, so that a model must wait for the
mark and cannot count. Validation and test are always at T. The score is the test loss as a part of the memoryless line,
10 ln 8 / (T + 20): what a model pays that waits and then guesses.

A QRNN has no biases here, unless it is to start with a rotation, its feedback starts weak, and its hidden units start
closed, so that a blank leaves the memory nearly as it is.

Your own data do not apply here: a task of your own that is made batch by batch is a class with the methods of
common/copying.py's Strings.

Writes OUT/record.json, metrics.csv, model.keras and pictures.png. Stopped, it goes on with the same command.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes would bury the progress bars

import keras
import numpy as np
from common import arguments, copying, experiment, models, plots


def parse_arguments(given=None):
    defaults = {"epochs": 150, "batch_size": 32, "hidden": [64], "angle_scale": 0.3, "initial_rotation": 0.0}
    parser = arguments.parser(__doc__, "copying_memory", None, **defaults)
    group = parser.add_argument_group("the task")
    group.add_argument("--blanks", type=arguments.at_least(1), default=100, metavar="T", help="blanks (100)")
    group.add_argument(
        "--start",
        type=arguments.at_least(1),
        metavar="N",
        help="blanks at the start of a curriculum (T: there is none)",
    )
    group.add_argument(
        "--hold", type=arguments.rate, help=f"part of a curriculum that stays at the start ({copying.HOLD})"
    )
    group.add_argument(
        "--reach", type=arguments.rate, help=f"part of a curriculum after which T is reached ({copying.REACH})"
    )
    group.add_argument(
        "--vary", action="store_true", help="draw the blanks of each batch of a curriculum, up to its length"
    )
    group.add_argument("--steps", type=arguments.at_least(1), default=60, help="batches of an epoch (60)")
    group.add_argument("--head", type=arguments.at_least(1), default=32, help="units between readouts and logits (32)")
    group.add_argument(
        "--closed", type=float, default=2.0, help="how far a QRNN's hidden units are below 0 at the start (2)"
    )
    group.add_argument(
        "--limit", type=arguments.at_least(1), default=300, metavar="N", help="strings to validate, and to test (300)"
    )
    options = parser.parse_args(given)
    if options.start is None:
        for name in ("hold", "reach", "vary"):
            if getattr(options, name) != parser.get_default(name):
                parser.error(f"Argument `--{name}` must come with `--start`: it is of a curriculum.")
        return options
    if options.start >= options.blanks:
        parser.error(f"Argument `--start` must be below `--blanks`, {options.blanks}, but it is {options.start}.")
    options.hold = copying.HOLD if options.hold is None else options.hold
    options.reach = copying.REACH if options.reach is None else options.reach
    if not options.hold < options.reach <= 1 - 1 / options.epochs:
        parser.error(
            f"Argument `--reach` must be above `--hold`, {options.hold:g}, and leave an epoch of the {options.epochs}, "
            f"but it is {options.reach:g}."
        )
    return options


def main(given=None):
    options = parse_arguments(given)
    line = copying.memoryless_line(options.blanks)
    print(
        f"Copying memory, T = {options.blanks}: {options.epochs * options.steps:,} batches of {options.batch_size} to "
        f"train on, {options.limit:,} strings to validate, {options.limit:,} to test.\n"
        f"Memoryless line: 10 ln 8 / {options.blanks + 20} = {line:.4f}"
    )

    def build(name, units):
        layer = models.recurrent_layer(
            name,
            units,
            return_sequences=True,
            circuit_arguments={"use_bias": options.initial_rotation > 0},
            **arguments.layer_arguments(options),
        )
        head = keras.layers.Dense(options.head, "gelu"), keras.layers.Dense(copying.N_OUTPUTS)
        model = keras.Sequential([keras.Input((None, copying.N_INPUTS)), layer, *head])
        if name == "qrnn":
            # The inputs are one-hot: all weights of a unit lower by 2 are a bias of -2.
            kernel = layer.cell.controller.kernels[0]
            kernel.assign(
                keras.ops.add(kernel, -options.closed * (np.arange(kernel.shape[0]) < copying.N_INPUTS)[:, None])
            )
        return model

    def strings(split, count, **curriculum):
        return copying.Strings(split, count, options.blanks, **curriculum)

    curriculum = {"length": options.start, "hold": options.hold, "reach": options.reach, "vary": options.vary}
    task = experiment.Task(
        "copying_memory",
        build,
        train=strings("train", options.steps * options.batch_size, **(curriculum if options.start else {})),
        validation=strings("validation", options.limit),
        test=strings("test", options.limit),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[copying.of_line, copying.recalled],
        score=experiment.Score("of_line", "test loss / line", 1, 3, "", greater_is_better=False),
        notes={"name": "copying memory", "licence": "none: made by the script", "memoryless_line": line},
    )
    runs, _ = experiment.run(task, options)
    print(f"The memoryless line is {line:.4f}; below it is what was remembered.")

    def draw(ax):
        plots.learning_curves(runs, "val_of_line", label=f"validation loss at T = {options.blanks} / line", ax=ax)
        ax.axhline(1, color="0.5", linestyle=":")
        ax.set_ylim(0, 2)  # on a longer T than it was trained on, a loss may be anything

    print(f"{plots.pictures(options.out / 'pictures.png', draw)}: learning curves")


if __name__ == "__main__":
    main()
