"""How a network of one's own must start to train: digits row by row, with four starts of one controller.

    python -m experiments.studies.own_network

A `keras.Sequential` of a Dense layer of 32 GELU units and one of 24 angles, in radians, as the controller of a QRNN of
6 qubits without a drift:

as Keras starts it    nothing more
scaled                a Rescaling(0.1) at its end: one step of the optimizer turns a qubit a tenth as far
scaled, weak feedback the same, and the first weights of the readouts are a tenth as large
and a rotation        the same, and a random constant of 0.1 radians in each angle
tfq_qrnn.Controller   one of the layer's own, with GELU and this rotation, which starts like the last one

Trained like experiments.tasks.mnist: Adam at 0.01 with cosine decay, 12 epochs, batches of 32. Accuracies are those of
the validation data. Writes OUT/record.json and prints the table.
"""

import argparse
import pathlib

import numpy as np

from experiments.data import images
from experiments.harness import arguments
from experiments.late import late

keras, tfq_qrnn = late("keras", "tfq_qrnn")
records, training = late("experiments.harness.records", "experiments.harness.training")

QUBITS, UNITS = 6, 32
STARTS = ("as Keras starts it", "scaled", "scaled, weak feedback", "and a rotation", "tfq_qrnn.Controller")


def controller(start, features, n_readouts, n_angles, seed):
    """The controller of one start."""
    if start == STARTS[-1]:
        return tfq_qrnn.Controller((UNITS,), activation="gelu", initial_rotation=0.1)
    scaled = start != STARTS[0]
    network = keras.Sequential(
        [
            keras.Input((features + n_readouts,)),
            keras.layers.Dense(UNITS, "gelu"),
            keras.layers.Dense(n_angles),
            *([keras.layers.Rescaling(0.1)] if scaled else []),
        ]
    )
    hidden, angles, *_ = network.layers
    if start in STARTS[2:4]:
        kernel = np.array(hidden.kernel)
        kernel[features:] *= 0.1
        hidden.kernel.assign(kernel)
    if start == STARTS[3]:
        angles.bias.assign(np.random.default_rng(seed).normal(scale=0.1, size=n_angles) / 0.1)
    return network


def accuracies(data, start, seeds, settings):
    """Validation accuracies, one for each seed."""
    (x, y), held_out = ((images.as_sequences(x, 28), y) for x, y in (data.train, data.validation))
    steps, features = x.shape[1:]
    found = []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        n_angles = tfq_qrnn.HardwareEfficient(QUBITS).n_angles
        network = controller(start, features, 3 * QUBITS, n_angles, seed)
        layer = tfq_qrnn.QRNN(circuit=tfq_qrnn.HardwareEfficient(QUBITS), controller=network, seed=seed)
        model = keras.Sequential([keras.Input((steps, features)), layer, keras.layers.Dense(data.n_classes)])
        # The test data stay out of it: where a test set is asked for, the validation data stand.
        result = training.fit_classifier(model, (x, y), held_out, held_out, settings, seed, f"{start}, seed {seed}")
        found.append(result["metrics"][-1]["val_accuracy"])
    return found


def main(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=arguments.seed, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=arguments.at_least(1), default=12)
    parser.add_argument("--limit", type=arguments.at_least(1), help="use so many training images")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out", "own_network"))
    options = parser.parse_args(given)
    data = images.load_images("embedded")
    data = data.limited(options.limit) if options.limit else data
    settings = training.Settings(options.epochs, batch_size=32, learning_rate=0.01)
    found = {start: accuracies(data, start, options.seeds, settings) for start in STARTS}
    records.write_json(
        options.out / "record.json",
        {"study": "own_network", "seeds": options.seeds, "epochs": options.epochs, "validation_accuracy": found}
        | {"versions": records.versions()},
    )
    print("| start | validation accuracy |\n|---|---|")
    for start, values in found.items():
        print(f"| {start} | {records.mean_and_spread([100 * value for value in values])} % |")
    return found


if __name__ == "__main__":
    main()
