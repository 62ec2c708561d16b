"""Train a QRNN on digits, and run it in closed loop on a processor of Google's, simulated with its measured noise.

    python -m experiments.studies.hardware               one seed, plain and noise-aware training, some minutes
    python -m experiments.studies.hardware --seed 0 1 2  three seeds, and their spread
    python -m experiments.studies.hardware --processor rainbow --repetitions 5000

Digits are reduced to 8x8 pixels and read row by row: 8 time steps. Each trained model then reads the first test digits
in closed loop: exactly, and as LOOPS says: with shots; with shots and the processor's noise; with its readout errors
inverted, too; with its readouts divided by what survives, over 16 gauges, too; and, without that, on all rings at once.

Writes DIR/record.json, DIR/model.keras, DIR/circuits (what hw.export writes), DIR/journals (the shots),
DIR/placement.png, DIR/circuit.svg and DIR/readouts.png.
"""

import argparse
import pathlib
import shutil
import time
import warnings

import numpy as np

from experiments.data import images
from experiments.harness import arguments
from experiments.late import late

keras, plt, svg = late("keras", "matplotlib.pyplot", "cirq.contrib.svg")
tfq_qrnn, hw, plotting = late("tfq_qrnn", "tfq_qrnn.hw", "tfq_qrnn.plotting")
records, training = late("experiments.harness.records", "experiments.harness.training")

STEPS = 8
LOOPS = {  # kind of sampler, arguments of hw.Mitigation, rings
    "shots": ("virtual", {}, 1),
    "noise": ("noisy", {}, 1),
    "noise, readout": ("noisy", {"readout": True}, 1),
    "noise, readout, survival": ("noisy", {"readout": True, "gauges": 16, "survival": True}, 1),
    "noise, readout, all rings": ("noisy", {"readout": True}, "all"),
}
SHOWN = ("shots", "noise", "noise, readout")  # in the picture


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model",
        nargs="+",
        default=["plain", "noise-aware"],
        choices=("plain", "noise-aware"),
        help="how it is trained: plainly, or with the noise of shots and of the processor (both)",
    )
    parser.add_argument("--dataset", default="embedded", help='"embedded" (5,000 digits of MNIST) or "tfds:NAME"')
    parser.add_argument("--limit", type=arguments.at_least(1), help="use this many training images")
    parser.add_argument(
        "--epochs", type=arguments.at_least(1), default=12, help="how often the training images are read (12)"
    )
    parser.add_argument("--batch-size", type=arguments.at_least(1), default=32, help="images of one step (32)")
    parser.add_argument(
        "--learning-rate", type=arguments.positive, default=1e-2, help="of Adam, at the start of a cosine decay (0.01)"
    )
    parser.add_argument(
        "--seed", type=arguments.seed, nargs="+", default=[0], help="one or more; the first one's model is saved (0)"
    )
    parser.add_argument("--qubits", type=arguments.at_least(1), default=4, help="number of qubits, in a ring (4)")
    parser.add_argument(
        "--processor",
        default="weber",
        choices=("weber", "rainbow", "willow_pink"),
        help="the virtual one that runs it; willow_pink comes with cirq-google 1.6 and later (weber)",
    )
    parser.add_argument("--repetitions", type=arguments.at_least(1), default=1000, help="shots of each circuit (1000)")
    parser.add_argument(
        "--sequences", type=arguments.at_least(1), default=100, help="test digits to read in closed loop (100)"
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/hardware"), help="folder (out/hardware)")
    return parser.parse_args(given)


def reduced(pictures):
    """Pictures of 28x28 pixels as sequences of 8 rows: the rim cut off, means of 3x3."""
    inner = pictures[:, 2:26, 2:26].astype(np.float32).mean(-1)
    return inner.reshape(-1, 8, 3, 8, 3).mean((2, 4)) / 255


def processor_noise(rates, qubits, program):
    """The probability of a Pauli error on a qubit after each moment of a program, as a processor's calibration has it.

    A layer has a PhasedXZ on each qubit and its CZ, each of which is an error on one of its two qubits; a drift has one
    more PhasedXZ. A CZ between qubits that are not coupled, as an odd ring has, counts as the others.
    """
    ansatz = program.ansatz
    pairs = [frozenset((qubits[i], qubits[j])) for i, j in ansatz.edges]
    one = np.mean([rates.one_qubit[q] for q in qubits])
    two = np.mean([rates.two_qubit[pair] for pair in pairs if pair in rates.two_qubit]) if pairs else 0.0
    layers = ansatz.depth + (ansatz.drift is not None)
    return (layers * one + ansatz.depth * two * len(pairs) / len(qubits)) / len(program.circuit)


def train(kind, splits, n_classes, noise, seed, options):
    keras.utils.set_random_seed(seed)
    backend = tfq_qrnn.backends.Noisy(options.repetitions, noise) if kind == "noise-aware" else "auto"
    layer = tfq_qrnn.QRNN(options.qubits, backend=backend, seed=seed)
    model = keras.Sequential([keras.Input((STEPS, 8)), layer, keras.layers.Dense(n_classes)])
    settings = training.Settings(options.epochs, options.batch_size, options.learning_rate)
    return model, training.fit_classifier(model, **splits, settings=settings, seed=seed, title=f"{kind} seed {seed}")


def plan_of(model, name, options):
    _, mitigation, rings = LOOPS[name]
    mitigation = hw.Mitigation(**mitigation)
    return hw.plan(model, options.processor, STEPS, rings=rings, mitigation=mitigation)


def loops(model, x, y, seed, journals, options):
    """Accuracy and error of the readouts of each loop, and the results themselves."""
    found, results = {}, {}
    exact = model.predict(x, verbose=0)
    found["exact"] = {"accuracy": accuracy(exact, y), "rms": 0.0}
    for name in LOOPS:
        start = time.perf_counter()
        plan = plan_of(model, name, options)
        journal = journals / f"{name.replace(',', '').replace(' ', '_')}.jsonl"
        result = plan.run(x, sampler(LOOPS[name][0], options.processor, seed), options.repetitions, journal=journal)
        results[name] = result
        found[name] = {
            "accuracy": accuracy(result.outputs, y),
            "rms": float(np.sqrt(np.mean((result.readouts - result.exact) ** 2))),
            "last_rms": float(np.sqrt(np.mean((result.readouts[:, -1] - result.exact[:, -1]) ** 2))),
            "standard_error": float(np.sqrt(np.mean(result.standard_errors**2))),
            "circuits": result.cost.circuits,
            "shots": result.cost.shots,
            "rings": len(plan.rings),
            "seconds": round(time.perf_counter() - start, 2),
        }
    return found, results


def sampler(kind, processor, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weber's calibration has no error of CZ
        return hw.sampler(kind, processor, seed=seed)


def accuracy(logits, labels):
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


def main(given=None):
    options = parse_arguments(given)
    data = images.load_images(options.dataset)
    if options.limit:
        data = data.limited(options.limit)
    height, width = data.train[0].shape[1:3]
    if (height, width) != (28, 28):
        raise SystemExit(
            f"Argument `--dataset` must name images of 28x28 pixels, but those of {data.name} are {height}x{width}."
        )
    splits = {
        name: (reduced(x), y)
        for name, (x, y) in (("train", data.train), ("validation", data.validation), ("test", data.test))
    }
    x, y = (array[: options.sequences] for array in splits["test"])
    layer = tfq_qrnn.QRNN(options.qubits)
    costs = {}
    for name in LOOPS:
        plan = plan_of(layer, name, options)
        costs[name] = plan.cost(options.repetitions, batch_size=len(x))
        print(f"{name}, {len(plan.rings)} at once: {costs[name]}\n")
    print(f"{options.processor}: the CZ error is that of {plan.rates.two_qubit_source}; qubits {plan.qubits}")
    noise = processor_noise(plan.rates, plan.qubits, layer.cell.program)
    options.out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(options.out / "journals", ignore_errors=True)  # of models that are trained anew here
    runs, saved, shown = [], None, None
    for kind in options.model:
        for seed in options.seed:
            model, result = train(kind, splits, data.n_classes, noise, seed, options)
            journals = options.out / "journals" / f"{kind}_{seed}"
            journals.mkdir(parents=True, exist_ok=True)
            found, results = loops(model, x, y, seed, journals, options)
            runs.append({"model": kind, "seed": seed, **result, "loops": found})
            if saved is None:
                saved, shown = model, results
    first = {key: runs[0][key] for key in ("parameters", "seconds", "metrics", "test")}
    settings = {**vars(options), "pauli_error": noise}
    record = {"task": "hardware", "settings": settings, "versions": records.versions(), **first, "runs": runs}
    names = ("jobs", "circuits", "shots", "device_seconds", "signal")
    record["cost"] = {name: {key: getattr(cost, key) for key in names} for name, cost in costs.items()}
    records.write_json(options.out / "record.json", record)
    print(table(runs, len(x)))
    saved.save(options.out / "model.keras")
    exported = options.out / "circuits"
    shutil.rmtree(exported, ignore_errors=True)
    plan_of(saved, "noise", options).export(exported)
    draw_placement(options.out / "placement.png", plan, options.processor)
    step = hw.load(exported).programs[0]
    (options.out / "circuit.svg").write_text(svg.circuit_to_svg(step))
    draw_readouts(options.out / "readouts.png", {name: shown[name] for name in SHOWN})
    for name in ("record.json", "model.keras", "circuits", "placement.png", "circuit.svg", "readouts.png"):
        print(options.out / name)


def table(runs, count):
    """Accuracy and rms error of the readouts, mean and standard deviation over the seeds, as text."""
    head = f"{'trained':12} {'loop':25} {'accuracy':>14} {'rms error':>15} {'at the last step':>18}"
    rows = [f"\nFirst {count} test digits:\n{head}"]
    for kind in dict.fromkeys(run["model"] for run in runs):
        same = [run["loops"] for run in runs if run["model"] == kind]
        for name in ("exact", *LOOPS):
            accuracies = records.mean_and_spread([100 * found[name]["accuracy"] for found in same], 1, " %")
            errors = records.mean_and_spread([found[name]["rms"] for found in same], 3)
            last = records.mean_and_spread([found[name].get("last_rms", 0.0) for found in same], 3)
            rows.append(f"{kind:12} {name:25} {accuracies:>14} {errors:>15} {last:>18}")
    return "\n".join(rows)


def draw_placement(path, plan, processor):
    figure, ax = plt.subplots(figsize=(7, 6), layout="constrained")
    plotting.placement(plan, ax=ax)
    ax.set_title(f"{ax.get_title()}, on {processor}", fontsize="medium")
    figure.savefig(path, dpi=70)
    plt.close(figure)


def draw_readouts(path, results):
    """The first sequence's readouts of qubit 0, with error bars, over the exact ones."""
    figure, axes = plt.subplots(1, len(results), figsize=(4 * len(results), 3), sharey=True, layout="constrained")
    for ax, (name, result) in zip(axes, results.items(), strict=True):
        steps = np.arange(1, result.readouts.shape[1] + 1)
        for k, letter in enumerate("XYZ"):
            color = f"C{k}"
            ax.plot(steps, result.exact[0, :, k], color=color, linewidth=1)
            ax.errorbar(
                steps,
                result.readouts[0, :, k],
                2 * result.standard_errors[0, :, k],
                color=color,
                fmt="o",
                markersize=3,
                label=f"⟨{letter}⟩",
            )
        ax.set_title(name)
        ax.set_xlabel("time step")
        ax.set_ylim(-1.1, 1.1)
    axes[0].legend(fontsize="small", ncols=3)
    axes[0].set_ylabel("qubit 0; lines: exact, bars: two standard errors")
    axes[0].yaxis.label.set_fontsize("x-small")
    figure.savefig(path, dpi=70)
    plt.close(figure)


if __name__ == "__main__":
    main()
