"""Classify images that are read as sequences: row by row, pixel by pixel, or permuted.

    python -m experiments.tasks.mnist                               a QRNN on 4,000 digits, row by row
    python -m experiments.tasks.mnist --compare lstm gru rnn        beside classical layers of as many parameters
    python -m experiments.tasks.mnist --pixels 4 --permuted         196 time steps of 4 pixels, in a fixed random order
    python -m experiments.tasks.mnist --dataset tfds:fashion_mnist  any image set of TensorFlow Datasets
    python -m experiments.tasks.mnist --dataset my_images.npz       your own: see --dataset

Writes OUT/record.json, metrics.csv, model.keras and pictures.png, the learning curves and the Bloch vectors of every
qubit while one image is read. The same command resumes a run that was stopped.
"""

import numpy as np

from experiments.data import images
from experiments.harness import arguments
from experiments.late import late
from experiments.models import recurrent

keras, tfq_qrnn, noise = late("keras", "tfq_qrnn", "experiments.models.noise")
experiment, pipelines, plots = late(*(f"experiments.harness.{name}" for name in ("experiment", "pipelines", "plots")))


def parse_arguments(given=None):
    parser = arguments.parser(__doc__, "mnist", images.DATASETS, hidden=[19])
    group = parser.add_argument_group("the sequences")
    group.add_argument(
        "--pixels", type=arguments.at_least(1), help="pixels of one time step; a row of the image by default"
    )
    group.add_argument("--permuted", action="store_true", help="shuffle the pixels, all images alike")
    group = parser.add_argument_group("the test under noise")
    group.add_argument(
        "--test-shots",
        type=arguments.at_least(1),
        nargs="*",
        default=[],
        help="test with so many shots per readout, too",
    )
    group.add_argument(
        "--test-pauli-error",
        type=arguments.fraction,
        nargs="*",
        default=[],
        help="test with depolarizing of this rate after each moment, too",
    )
    options = parser.parse_args(given)
    if options.test_shots + options.test_pauli_error and {options.model, *options.compare} - {"qrnn", "qrnn-linear"}:
        parser.error(
            "Arguments `--test-shots` and `--test-pauli-error` must be left out with other models than qrnn and "
            "qrnn-linear, which have a circuit, but there are others."
        )
    return options


def load(options):
    """The image set, and its splits as `Examples` of sequences."""
    data = images.load_images(options.dataset, options.data_dir, options.download)
    if options.limit:
        data = data.limited(options.limit)
    height, width = data.train[0].shape[1:3]
    # One permutation for all seeds: it is part of the task.
    permutation = np.random.default_rng(0).permutation(height * width) if options.permuted else None
    pixels = options.pixels or width
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return data, {
        name: pipelines.Examples(images.as_sequences(x, pixels, permutation), y) for name, (x, y) in splits.items()
    }


def main(given=None, circuit=None):
    """Train and test; a QRNN with the circuit of the options, or with another ansatz."""
    options = parse_arguments(given)
    if circuit is not None:
        options.circuit = circuit.get_config()  # what its runs have in common, as the options are
    data, splits = load(options)
    steps, features = splits["train"].x.shape[1:]
    print(
        f"{data.name}: {len(splits['train']):,} sequences of {steps} steps to train on, "
        f"{len(splits['validation']):,} to validate, {len(splits['test']):,} to test. Licence: {data.licence}."
    )

    def build(name, units):
        layer = recurrent.recurrent_layer(name, units, circuit=circuit, **arguments.layer_arguments(options))
        return keras.Sequential([keras.Input((steps, features)), layer, keras.layers.Dense(data.n_classes)])

    def measure(model):
        """The accuracy under each noise that the options name."""
        shots = {f"accuracy_{n}_shots": tfq_qrnn.backends.Noisy(n) for n in options.test_shots}
        errors = {f"accuracy_error_{p:g}": tfq_qrnn.backends.Noisy(None, p) for p in options.test_pauli_error}
        return {key: noise.accuracy(model, splits["test"], backend) for key, backend in (shots | errors).items()}

    task = experiment.Task(
        "mnist",
        build,
        **splits,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        measure=measure,
        notes={"name": data.name, "licence": data.licence},
    )
    runs, model = experiment.run(task, options)
    picture = plots.pictures(
        options.out / "pictures.png",
        lambda ax: plots.learning_curves(runs, "val_accuracy", 100, "validation accuracy, %", ax),
        plots.bloch_vectors(model, splits["test"].x[:1], f"The memory while a {splits['test'].y[0]} is read"),
    )
    print(f"{picture}: learning curves" + (" and Bloch vectors" if isinstance(model.layers[0], tfq_qrnn.QRNN) else ""))


if __name__ == "__main__":
    main()
