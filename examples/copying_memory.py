"""Copying memory: tell ten symbols in their order, T blanks after they were shown.

    python examples/copying_memory.py                        a QRNN at T = 100
    python examples/copying_memory.py --compare lstm gru     beside classical layers of as many parameters
    python examples/copying_memory.py --blanks 1000          ten times as long
    python examples/copying_memory.py --curriculum           the length T alone, from the start

The data are made from the seed, new ones for every batch; which strings may be trained on, validated and tested is
fixed (common/copying.py). All models see the same curriculum: T grows in stages, and within a stage each batch draws
its T from a fifth of the stage's length to the length. Validation and test are always at T. The score is the test loss
as a part of the memoryless line, 10 ln 8 / (T + 20): what a model pays that waits and then guesses.

Your own data do not apply here: a task of your own that is made batch by batch is a class with the methods of
common/copying.py's Strings.

Writes OUT/record.json, metrics.csv, model.keras and pictures.png. Stopped, it goes on with the same command.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes would bury the progress bars

import keras
from common import arguments, copying, experiment, models, plots

LENGTHS = (10, 30, 100, 300, 1000, 3000)  # of the stages before T, by default


def parse_arguments(given=None):
    parser = arguments.parser(__doc__, "copying_memory", None, epochs=30, batch_size=64, hidden=[64], angle_scale=0.3)
    group = parser.add_argument_group("the task")
    group.add_argument("--blanks", type=arguments.at_least(1), default=100, metavar="T", help="blanks (100)")
    group.add_argument(
        "--curriculum",
        type=arguments.at_least(1),
        nargs="*",
        metavar="T",
        help="lengths to train on before T (those of 10, 30, 100, 300, ... below it); none starts at T",
    )
    group.add_argument("--steps", type=arguments.at_least(1), default=100, help="batches of an epoch (100)")
    group.add_argument("--head", type=arguments.at_least(1), default=32, help="units between readouts and logits (32)")
    group.add_argument(
        "--limit", type=arguments.at_least(1), default=1000, metavar="N", help="strings to validate, and to test (1000)"
    )
    options = parser.parse_args(given)
    if options.curriculum is None:
        options.curriculum = [length for length in LENGTHS if length < options.blanks]
    lengths = [*options.curriculum, options.blanks]
    if lengths != sorted(set(lengths)):
        parser.error(f"argument --curriculum must grow, and stay below --blanks, but is {lengths[:-1]}")
    if options.epochs < len(lengths):
        parser.error(f"argument --epochs must be {len(lengths)} or more, one for each stage, but is {options.epochs}")
    return options


def main(given=None):
    options = parse_arguments(given)
    stages = copying.curriculum([*options.curriculum, options.blanks], options.epochs)
    line = copying.memoryless_line(options.blanks)
    at_t = (copying.Stage(options.epochs, options.blanks, options.blanks),)
    print(
        f"Copying memory, T = {options.blanks}: {options.epochs * options.steps:,} batches of {options.batch_size} to "
        f"train on, {options.limit:,} strings to validate, {options.limit:,} to test.\n"
        f"Memoryless line: 10 ln 8 / {options.blanks + 20} = {line:.4f}"
    )

    def build(name, units):
        layer = models.recurrent_layer(name, units, return_sequences=True, **arguments.layer_arguments(options))
        head = keras.layers.Dense(options.head, "gelu"), keras.layers.Dense(copying.N_OUTPUTS)
        return keras.Sequential([keras.Input((None, copying.N_INPUTS)), layer, *head])

    task = experiment.Task(
        "copying_memory",
        build,
        train=copying.Strings("train", options.steps * options.batch_size, stages),
        validation=copying.Strings("validation", options.limit, at_t),
        test=copying.Strings("test", options.limit, at_t),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[copying.recalled],
        score=experiment.Score("loss", "test loss / line", 1 / line, 3, "", greater_is_better=False),
        schedule=copying.CosinePerStage(options.learning_rate, [stage.epochs * options.steps for stage in stages]),
        notes={"name": "copying memory", "licence": "made by the script", "memoryless_line": line},
    )
    runs, _ = experiment.run(task, options)
    print(f"The memoryless line is {line:.4f}; below it is what was remembered.")

    def draw(ax):
        plots.learning_curves(runs, "val_loss", 1 / line, f"validation loss at T = {options.blanks} / line", ax)
        ax.axhline(1, color="0.5", linestyle=":")
        ax.set_ylim(0, 2)  # on a longer T than it was trained on, a loss may be anything

    print(f"{plots.pictures(options.out / 'pictures.png', draw)}: learning curves")


if __name__ == "__main__":
    main()
