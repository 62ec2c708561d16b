"""Classify images that are read as sequences: row by row, pixel by pixel, or permuted.

    python examples/mnist.py                                   a QRNN on 4,000 digits, row by row
    python examples/mnist.py --compare lstm gru rnn            beside classical layers of as many parameters
    python examples/mnist.py --pixels 4 --permuted             196 time steps of 4 pixels, in a fixed random order
    python examples/mnist.py --dataset tfds:fashion_mnist      any image set of TensorFlow Datasets

Writes DIR/record.json, DIR/model.keras and DIR/pictures.png, the learning curves and the Bloch vectors of every qubit
while one digit is read.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes would bury the progress bars

import keras
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from common import images, models, training

import tfq_qrnn


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qrnn", choices=models.NAMES, help="the model that is saved (qrnn)")
    parser.add_argument("--compare", nargs="*", default=[], choices=models.NAMES, help="models to train beside it")
    parser.add_argument("--dataset", default="embedded", help='"embedded" (5,000 digits of MNIST) or "tfds:NAME"')
    parser.add_argument("--data-dir", help="where TensorFlow Datasets keeps its data")
    parser.add_argument("--download", action="store_true", help="let TensorFlow Datasets download what is missing")
    parser.add_argument("--limit", type=int, help="use this many training images")
    parser.add_argument("--pixels", type=int, help="pixels of one time step; a row of the image by default")
    parser.add_argument("--permuted", action="store_true", help="shuffle the pixels, all images alike")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-2, help="of Adam, decaying as a cosine (0.01)")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="one or more; the first one's model is saved")
    parser.add_argument("--qubits", type=int, default=6)
    parser.add_argument("--depth", type=int, default=2, help="layers of the circuit (2)")
    parser.add_argument("--entangler", default="cz", choices=("cz", "cnot", "iswap", "sqrt_iswap"))
    parser.add_argument("--hidden", type=int, nargs="*", default=[32], help="widths of the controller's hidden layers")
    parser.add_argument("--angle-scale", type=_angle_scale, default="auto", help='a number or "auto"')
    parser.add_argument("--backend", default="auto", help='"auto", "native", "tensorflow" or "tfq"')
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/mnist"), help="folder (out/mnist)")
    options = parser.parse_args(arguments)
    for name in ("epochs", "batch_size", "limit", "pixels"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"argument --{name.replace('_', '-')} must be 1 or more, but is {getattr(options, name)}")
    return options


def _angle_scale(text):
    return text if text == "auto" else float(text)


def build_model(name, units, shape, n_classes, options):
    """Input, recurrent layer, logits."""
    layer = models.recurrent_layer(
        name,
        units,
        qubits=options.qubits,
        depth=options.depth,
        hidden_units=tuple(options.hidden),
        backend=options.backend,
        entangler=options.entangler,
        angle_scale=options.angle_scale,
    )
    return keras.Sequential([keras.Input(shape), layer, keras.layers.Dense(n_classes)])


def main(arguments=None):
    options = parse_arguments(arguments)
    data = images.load_images(options.dataset, options.data_dir, options.download)
    if options.limit:
        data = data.limited(options.limit)
    height, width = data.train[0].shape[1:3]
    # One permutation for all seeds: it is part of the task.
    permutation = np.random.default_rng(0).permutation(height * width) if options.permuted else None
    splits = {
        name: (images.as_sequences(x, options.pixels or width, permutation), y)
        for name, (x, y) in (("train", data.train), ("validation", data.validation), ("test", data.test))
    }
    shape = splits["train"][0].shape[1:]
    settings = training.Settings(options.epochs, options.batch_size, options.learning_rate)
    print(
        f"{data.name}: {len(splits['train'][0]):,} sequences of {shape[0]} steps to train on, "
        f"{len(splits['validation'][0]):,} to validate, {len(splits['test'][0]):,} to test"
    )

    target = models.count_trainable(build_model("qrnn", None, shape, data.n_classes, options))
    runs, saved = [], None
    for name in dict.fromkeys([options.model, *options.compare]):
        units = None
        if name in models.RECURRENT:
            units = models.matched_units(lambda u, n=name: build_model(n, u, shape, data.n_classes, options), target)
        for seed in options.seed:
            keras.utils.set_random_seed(seed)
            model = build_model(name, units, shape, data.n_classes, options)
            result = training.fit_classifier(model, **splits, settings=settings, seed=seed, title=f"{name} seed {seed}")
            runs.append({"model": name, "units": units, "seed": seed, **result})
            saved = saved or model

    options.out.mkdir(parents=True, exist_ok=True)
    first = {key: runs[0][key] for key in ("parameters", "seconds", "metrics", "test")}
    shown = {key: str(value) if isinstance(value, pathlib.Path) else value for key, value in vars(options).items()}
    record = {"task": "mnist", "settings": shown, "versions": training.versions(), **first, "runs": runs}
    record_path = training.write_record(options.out, record)
    print(table(runs))

    model_path = options.out / "model.keras"
    saved.save(model_path)
    x, y = splits["test"]
    before, after = (m.predict(x, verbose=0) for m in (saved, keras.models.load_model(model_path)))
    difference = np.abs(before - after).max()
    print(f"\n{model_path}: saved, loaded again; its logits differ by {difference:.1e} at most")
    picture = draw(options.out / "pictures.png", runs, saved.layers[0], x[:1], y[0])
    print(f"{record_path}: settings, versions, metrics of every epoch\n{picture}: learning curves and Bloch vectors")


def table(runs):
    """The runs as text: mean and spread over the seeds."""
    rows = [f"\n{'model':12} {'parameters':>10} {'test accuracy':>16} {'seconds':>8}"]
    for name in dict.fromkeys(run["model"] for run in runs):
        same = [run for run in runs if run["model"] == name]
        accuracy = 100 * np.array([run["test"]["accuracy"] for run in same])
        spread = f" ± {accuracy.std(ddof=1):.1f}" if len(same) > 1 else ""
        seconds = np.mean([run["seconds"] for run in same])
        rows.append(f"{name:12} {same[0]['parameters']:>10,} {f'{accuracy.mean():.1f}{spread} %':>16} {seconds:>8.1f}")
    return "\n".join(rows)


def draw(path, runs, layer, x, label):
    """Learning curves and, for a quantum layer, its Bloch vectors while it reads `x`; returns the path."""
    curves = {}
    for run in runs:
        values = [100 * epoch["val_accuracy"] for epoch in run["metrics"]]
        curves.setdefault(f"{run['model']} ({run['parameters']:,} parameters)", []).append(values)
    quantum = isinstance(layer, tfq_qrnn.QRNN)
    figure = plt.figure(figsize=(15 if quantum else 6, 5), layout="constrained")
    left, *right = figure.subfigures(1, 2, width_ratios=[1, 1.6]) if quantum else [figure]
    tfq_qrnn.plotting.learning_curves(curves, "validation accuracy, %", ax=left.subplots())
    if quantum:
        n = layer.cell.n_qubits
        columns = min(n, 3)
        axes = right[0].subplots(-(-n // columns), columns, sharex=True, sharey=True, squeeze=False).ravel()
        for spare in axes[n:]:
            spare.set_visible(False)
        tfq_qrnn.plotting.bloch_vectors(tfq_qrnn.trace(layer, x), axes=axes[:n])
        right[0].suptitle(f"The memory while a {label} is read")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


if __name__ == "__main__":
    main()
