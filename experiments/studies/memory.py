"""What the quantum memory does, in numbers and pictures.

    python -m experiments.studies.memory                          five seeds, some minutes
    python -m experiments.studies.memory --seed 0 --limit 500     a quick look

Trains QRNNs to read digits row by row, with and without entangling gates, and to recall the bits of a first input after
many steps of noise. Then it asks their memories: how long the first input is kept, how much is entangled, what is lost
without entanglement, and how much of the state the readouts show.

Writes OUT/record.json, a file and a model for each seed, the pictures glance.png, inputs.png, classes.png, circuit.png
and study.png, and the film digit.gif, also as digit.mp4. The same command resumes a run that was stopped.
"""

import argparse
import pathlib

import numpy as np

from experiments.data import images
from experiments.harness import arguments
from experiments.late import late
from experiments.models import recurrent
from experiments.studies.probes import VIEWS, explained, kernel, probe, views

cirq, keras, plt = late("cirq", "keras", "matplotlib.pyplot")
tfq_qrnn, plotting, _files = late("tfq_qrnn", "tfq_qrnn.plotting", "tfq_qrnn._files")
pipelines, records, training = late(*(f"experiments.harness.{name}" for name in ("pipelines", "records", "training")))

QUBITS, DEPTH = 6, 2
BITS = 4
SHOWN = 200  # test digits whose memory is followed at every step


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seed", type=arguments.seed, nargs="+", default=[0, 1, 2, 3, 4], help="one training each (0 to 4)"
    )
    parser.add_argument(
        "--epochs", type=arguments.at_least(1), default=12, help="how often the training data are read (12)"
    )
    parser.add_argument("--limit", type=arguments.at_least(1), help="use this many training examples")
    parser.add_argument(
        "--recall-steps", type=arguments.at_least(1), default=20, help="steps of a recall sequence in training (20)"
    )
    parser.add_argument(
        "--follow", type=arguments.at_least(1), default=100, help="steps for which its memory is followed (100)"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out/memory_study"), help="folder (out/memory_study)"
    )
    return parser.parse_args(given)


def controller():
    return tfq_qrnn.Controller((32,), activation="gelu", initial_rotation=0.1)


def fit(model, splits, options, **arguments):
    """Adam with a cosine decay, as in tasks/mnist.py; the record of the training."""
    settings = training.Settings(options.epochs, batch_size=32, learning_rate=0.01)
    return training.fit(
        model, **{name: pipelines.Examples(*split) for name, split in splits.items()}, settings=settings, **arguments
    )


# Digits


def middle_entropies(trace):
    """Entropy across the middle cut, `(sequences, steps)`."""
    return trace.entanglement_entropies()[:, :, QUBITS // 2 - 1]


def read_digits(data, options, seed, entangled):
    """Train on digits: the model, and a record with its accuracy and entropies."""
    keras.utils.set_random_seed(seed)
    layer = tfq_qrnn.QRNN(
        circuit=recurrent.ansatz(QUBITS, DEPTH, "cz" if entangled else "none"), controller=controller()
    )
    model = keras.Sequential([keras.Input((28, 28)), layer, keras.layers.Dense(10)])
    x = data["test"][0]
    before = tfq_qrnn.trace(model, x[:SHOWN])
    entropies = []  # at the last step, averaged over sequences: before the training and after each epoch

    def look(*_):
        entropies.append(float(middle_entropies(tfq_qrnn.trace(model, x[:SHOWN]))[:, -1].mean()))

    trained = fit(
        model,
        data,
        options,
        seed=seed,
        title=f"digits, {'ring of CZ' if entangled else 'no entanglers'}, seed {seed}",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        callbacks=[keras.callbacks.LambdaCallback(on_train_begin=look, on_epoch_end=look)],
    )
    after = tfq_qrnn.trace(model, x[:SHOWN])
    record = {
        **trained,
        "entropy_by_epoch": entropies,
        "entropy_by_step": middle_entropies(after).mean(0).tolist(),
        "entropy_by_step_untrained": middle_entropies(before).mean(0).tolist(),
        "purity_at_end": float(after.purities()[:, -1].mean()),
        "fidelity_to_first_at_end": float(after.fidelities()[:, 0, -1].mean()),
    }
    return model, record


def digit_probes(layer, data):
    """What a linear probe finds in the last memory: the class, and the ink in both halves of every row."""
    splits, n = {}, {"train": 1500, "validation": 500, "test": 500}
    for name, (x, y) in data.items():
        x, y = x[: n[name]], y[: n[name]]
        trace = tfq_qrnn.trace(layer, x)
        halves = x.reshape(len(x), 28, 2, 14).mean(-1)
        splits[name] = views(trace, -1), np.eye(10)[y], halves.reshape(len(x), 56), y
    found = {}
    for view in VIEWS:
        kernels = [kernel(splits[name][0], splits["train"][0], view) for name in splits]
        classes, ink = (probe(kernels, [splits[name][k] for name in splits]) for k in (1, 2))
        found[view] = {
            "class": float(np.mean(classes.argmax(-1) == splits["test"][3])),
            "ink_by_row": explained(splits["test"][2], ink).reshape(28, 2).mean(-1).tolist(),
        }
    # What the class alone says of the ink: a memory of the class and nothing else would explain as much.
    means = np.stack([splits["train"][2][splits["train"][3] == c].mean(0) for c in range(10)])
    by_class = explained(splits["test"][2], means[splits["test"][3]]).reshape(28, 2).mean(-1)
    return found, by_class.tolist()


# Recall: bits at the first step, then noise of the same kind


def recall_data(count, steps, seed):
    """Signs at every step and a flag at the first, `(count, steps, BITS + 1)`; and the first signs as bits."""
    rng = np.random.default_rng(seed)
    x = np.zeros((count, steps, BITS + 1), np.float32)
    x[:, :, :BITS] = rng.choice([-1, 1], size=(count, steps, BITS))
    x[:, 0, BITS] = 1
    return x, (x[:, 0, :BITS] > 0).astype(np.float32)


def recall(options, seed):
    """Train to recall; a record of what is left of the first input at each later step, for `options.follow` steps."""
    keras.utils.set_random_seed(seed)
    layer = tfq_qrnn.QRNN(circuit=recurrent.ansatz(QUBITS, DEPTH), controller=controller())
    model = keras.Sequential([keras.Input((None, BITS + 1)), layer, keras.layers.Dense(BITS)])
    follow = {name: recall_data(n, options.follow, 1000 * seed + k) for k, (name, n) in enumerate(PROBED.items())}
    record = {"untrained": kept(layer, follow)}
    sizes = {"train": options.limit or 4000, "validation": 200, "test": 400}
    splits = {
        name: recall_data(n, options.recall_steps, 1000 * seed + k) for k, (name, n) in enumerate(sizes.items(), 10)
    }
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    record["fit"] = fit(model, splits, options, seed=seed, title=f"recall, seed {seed}", loss=loss)
    x, y = follow["test"]
    head = model.layers[-1](tfq_qrnn.trace(layer, x).readouts).numpy()
    record["trained"] = {**kept(layer, follow), "model": ((head > 0) == (y[:, None] > 0)).mean((0, 2)).tolist()}
    return record


PROBED = {"train": 600, "validation": 200, "test": 400}
STEPS = (1, 2, 5, 10, 20, 30, 50, 70, 100)


def kept(layer, follow):
    """By step: the accuracy of linear probes for the bits, and the trace distance of two memories."""
    traces = {name: tfq_qrnn.trace(layer, x) for name, (x, _) in follow.items()}
    x = follow["test"][0].copy()
    x[:, 0, 0] *= -1  # another first bit, and the same noise after it
    other = tfq_qrnn.trace(layer, x)
    fidelity = np.abs(np.sum(traces["test"].states.conj() * other.states, axis=-1)) ** 2
    distance = np.sqrt(np.maximum(1 - fidelity, 0))
    steps = [t for t in STEPS if t <= x.shape[1]]
    record = {"steps": steps, "trace_distance": distance.mean(0).tolist()}
    targets = [2 * y - 1 for _, y in follow.values()]
    for view in VIEWS:
        accuracy = []
        for t in steps:
            seen = {name: views(trace, t - 1) for name, trace in traces.items()}
            found = probe([kernel(seen[name], seen["train"], view) for name in seen], targets)
            accuracy.append(float(np.mean((found > 0) == (targets[-1] > 0))))
        record[view] = accuracy
    return record


# All of it


def main(given=None):
    options = parse_arguments(given)
    source = images.load_images("embedded")
    if options.limit:
        source = source.limited(options.limit)
    pixels = {"train": source.train, "validation": source.validation, "test": source.test}
    data = {name: (images.as_sequences(x, 28), y) for name, (x, y) in pixels.items()}
    settings = {name: value for name, value in vars(options).items() if name not in ("seed", "out")}
    runs = [run_seed(seed, data, options, settings) for seed in options.seed]
    record = {"task": "memory_study", "settings": vars(options), "versions": records.versions(), "runs": runs}
    records.write_json(options.out / "record.json", record)
    print(tables(runs))
    draw_study(options.out / "study.png", runs, options)
    model = keras.models.load_model(options.out / f"seed-{options.seed[0]}.keras")
    draw_memory(options.out, model, *data["test"], source.test[0])
    pictures = "glance.png, inputs.png, classes.png, circuit.png, study.png, digit.gif, digit.mp4"
    print(f"\n{options.out}: record.json, {pictures}")


def run_seed(seed, data, options, settings):
    """All trainings and probes of one seed; what is there already, of the same settings, is read."""
    path = options.out / f"seed-{seed}.json"
    run = records.read_json(path)
    if run and run["settings"] == settings:
        return run
    run = {"seed": seed, "settings": settings}
    model, run["entangled"] = read_digits(data, options, seed, entangled=True)
    run["probes"], run["ink_by_class"] = digit_probes(model.layers[0], data)
    _, run["product"] = read_digits(data, options, seed, entangled=False)
    run["recall"] = recall(options, seed)
    with _files.replacing(path.with_suffix(".keras")) as partial:
        model.save(partial)
    records.write_json(path, run)
    return run


def random_entropy(n_qubits):
    """The mean entropy in bits of half the qubits in a random pure state (D. N. Page, PRL 71, 1291 (1993))."""
    small, large = 2 ** (n_qubits // 2), 2 ** (n_qubits - n_qubits // 2)
    return (sum(1 / k for k in range(large + 1, small * large + 1)) - (small - 1) / (2 * large)) / np.log(2)


def spread(values, scale=1.0, digits=1):
    return records.mean_and_spread(scale * np.asarray(values, np.float64), digits)


def tables(runs):
    lines = [f"\nMean ± standard deviation over {len(runs)} seed(s)."]
    for kind, name in (("entangled", "with the ring of CZ"), ("product", "without entanglers")):
        accuracy = [run[kind]["test"]["accuracy"] for run in runs]
        lines.append(f"digits, {name}: {runs[0][kind]['parameters']:,} parameters, {spread(accuracy, 100)} %")
    lines.append(f"entropy across the middle cut at the last step, bits, of 3 at most; random: {random_entropy(6):.2f}")
    ends = {
        "untrained": [run["entangled"]["entropy_by_epoch"][0] for run in runs],
        "trained": [run["entangled"]["entropy_by_epoch"][-1] for run in runs],
        "most over the steps": [max(run["entangled"]["entropy_by_step"]) for run in runs],
        "without entanglers": [run["product"]["entropy_by_epoch"][-1] for run in runs],
    }
    lines += [f"  {name:20} {spread(values, digits=2)}" for name, values in ends.items()]
    lines.append("linear probes of the last memory: class in %, and R^2 of the ink in rows 6-10, 11-16, 17-22")
    for view in VIEWS:
        probes = [run["probes"][view] for run in runs]
        rows = [[np.nanmean(probe["ink_by_row"][a:b]) for probe in probes] for a, b in ROWS]
        shown = "  ".join(spread(row, digits=2) for row in rows)
        lines.append(f"  {view:9} {spread([probe['class'] for probe in probes], 100)} %   {shown}")
    rows = [[np.nanmean(run["ink_by_class"][a:b]) for run in runs] for a, b in ROWS]
    lines.append(f"  {'the class':9} {'':13}   {'  '.join(spread(row, digits=2) for row in rows)}")
    steps = runs[0]["recall"]["trained"]["steps"]
    lines.append(f"bits of the first input found after {', '.join(map(str, steps))} steps, %")
    for kind in ("untrained", "trained"):
        for view in VIEWS:
            found = [[run["recall"][kind][view][i] for run in runs] for i in range(len(steps))]
            lines.append(f"  {kind:9} {view:9} {'  '.join(spread(values, 100) for values in found)}")
    found = [[run["recall"]["trained"]["model"][t - 1] for run in runs] for t in steps]
    lines.append(f"  {'trained':9} {'itself':9} {'  '.join(spread(values, 100) for values in found)}")
    for kind in ("untrained", "trained"):
        found = [[run["recall"][kind]["trace_distance"][t - 1] for run in runs] for t in steps]
        lines.append(f"  {kind:9} {'distance':9} {'  '.join(spread(values, digits=2) for values in found)}")
    return "\n".join(lines)


ROWS = ((5, 10), (10, 16), (16, 22))


def band(ax, x, values, label, **style):
    """The mean over the seeds, and one standard deviation to either side."""
    values = np.asarray(values, np.float64)
    (line,) = ax.plot(x, values.mean(0), label=label, **style)
    if len(values) > 1:
        deviation = values.std(0, ddof=1)
        low, high = values.mean(0) - deviation, values.mean(0) + deviation
        ax.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def draw_study(path, runs, options):
    figure = plt.figure(figsize=(13, 7), layout="constrained")
    bits, distance, ink, steps, epochs, accuracy = figure.subplots(2, 3).ravel()

    at = runs[0]["recall"]["trained"]["steps"]
    for view, color in zip(VIEWS, ("C0", "C1", "C2"), strict=True):
        for kind, style in (("trained", "-"), ("untrained", ":")):
            values = [100 * np.array(run["recall"][kind][view]) for run in runs]
            band(bits, at, values, f"{view}, {kind}", color=color, linestyle=style, marker=".")
    bits.axvline(options.recall_steps, color="0.8", zorder=0)
    bits.axhline(50, color="0.8", zorder=0)
    bits.set(title="bits of the first input, found by a linear probe", xlabel="time step", ylabel="accuracy, %")

    follow = np.arange(1, options.follow + 1)
    for kind, style in (("trained", "-"), ("untrained", ":")):
        values = [run["recall"][kind]["trace_distance"] for run in runs]
        band(distance, follow, values, kind, color="C3", linestyle=style)
    distance.set(title="trace distance after one other first bit", xlabel="time step", ylim=(0, 1.03))

    rows = np.arange(1, 29)
    for view, color in zip(VIEWS, ("C0", "C1", "C2"), strict=True):
        band(ink, rows, [run["probes"][view]["ink_by_row"] for run in runs], view, color=color)
    band(ink, rows, [run["ink_by_class"] for run in runs], "the class alone", color="0.5", linestyle="--")
    ink.set(title="ink of a row, found in the last memory", xlabel="row of the digit", ylabel="R²", ylim=(0, 1))

    entropies = [run["entangled"] for run in runs]
    band(steps, rows, [run["entropy_by_step"] for run in entropies], "trained", color="C4")
    band(steps, rows, [run["entropy_by_step_untrained"] for run in entropies], "untrained", color="C4", linestyle=":")
    steps.set(title="entropy across the middle cut", xlabel="time step", ylabel="bits")
    band(epochs, np.arange(options.epochs + 1), [run["entropy_by_epoch"] for run in entropies], "last step", color="C4")
    epochs.set(title="entropy in training", xlabel="epoch", ylabel="bits")
    for ax in (steps, epochs):
        ax.axhline(3, color="0.5", linestyle=":", label="maximum")
        ax.axhline(random_entropy(QUBITS), color="0.5", linestyle="--", label="random states")
        ax.set_ylim(-0.05, 3.1)

    for i, (kind, name) in enumerate((("entangled", "ring of CZ"), ("product", "no entanglers"))):
        values = [100 * run[kind]["test"]["accuracy"] for run in runs]
        accuracy.plot([i] * len(values), values, "o", color=f"C{i}", alpha=0.5)
        accuracy.plot([i - 0.15, i + 0.15], [np.mean(values)] * 2, color=f"C{i}", label=f"{name}: {spread(values)} %")
    accuracy.set(title="test accuracy on digits", ylabel="%", xlim=(-0.6, 1.6), xticks=[])
    for ax in (bits, distance, ink, steps, epochs, accuracy):
        ax.legend(fontsize="x-small")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_memory(folder, model, x, y, pixels):
    """The pictures of one trained memory, and the film of one digit that it reads."""
    trace = tfq_qrnn.trace(model, x)
    right = np.flatnonzero(model.predict(x, verbose=0).argmax(-1) == y)
    one = right[y[right] == 3][0] if (y[right] == 3).any() else right[0]
    other = right[y[right] == 8][0] if (y[right] == 8).any() else right[-1]

    def save(axes, name):
        figure = np.ravel(axes)[0].figure
        figure.savefig(folder / name, dpi=100)
        plt.close(figure)

    save(plotting.memory(trace, one), "glance.png")
    save(plotting.comparison(trace, one, other), "inputs.png")
    save(plotting.circuit(trace.program), "circuit.png")
    figure = plt.figure(figsize=(11, 3.6), layout="constrained")
    two = np.isin(y, (0, 1))
    both = tfq_qrnn.trace(model, x[two])
    for ax, quantity in zip(figure.subplots(1, 3), ("entropy", "fidelity_to_first", "angle_norm"), strict=True):
        plotting.class_averages(both, y[two], quantity, names={0: "zeros", 1: "ones"}, ax=ax)
    figure.savefig(folder / "classes.png", dpi=100)
    plt.close(figure)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(model.layers[-1](trace.readouts[one])))
    film = plotting.animate(trace, one, pixels[one, :, :, 0], probabilities, pause=10, title="A QRNN reads a digit")
    for name in ("digit.gif", "digit.mp4"):
        film.save(folder / name, dpi=100)
    plt.close("all")


if __name__ == "__main__":
    main()
