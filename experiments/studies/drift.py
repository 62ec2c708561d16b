"""Why a memory that moves by itself remembers more: spectrum, memory capacity and validation scores of drifts.

    python -m experiments.studies.drift                             spectrum and capacity, two minutes
    python -m experiments.studies.drift --seeds 1000 1001 1002      and trainings, an hour on one core

For each drift of DRIFTS, beside none, on 6 qubits at depth 2:

spectrum   the eigenphases of U at zero angles: the frequencies with which the memory moves without news
capacity   how many past inputs can be read out of an untrained layer. Its controller is linear, and gets one normal
           number at each step; after STEPS steps a linear probe (ridge regression, probes.py) is fitted to each of the
           inputs, from the 18 readouts or from the whole state. The capacity is the sum of R^2 on sequences that the
           probe has not seen (H. Jaeger, GMD report 152, 2002): at most the number of what is read
scores     validation accuracy on digits by rows (28 steps), permuted (196) and pixel by pixel (784, six epochs), with
           the settings of experiments.tasks.mnist, Adam at RATE, a rise of the rate, and --seeds that are tested
           nowhere. No test score is looked at

And the scores of STARTS, other ways in which the controller may start with the default drift, and of SIZES, other
numbers of qubits with the default drift and without.

Writes record.json and a picture to --record, the trainings to --out, and prints the tables. A training that was done is
not done again.
"""

import argparse
import pathlib

import numpy as np

from experiments.harness import arguments
from experiments.late import late
from experiments.studies import probes

cirq, keras, plt, tfq_qrnn = late("cirq", "keras", "matplotlib.pyplot", "tfq_qrnn")
records, report, mnist = late("experiments.harness.records", "experiments.harness.report", "experiments.tasks.mnist")

QUBITS, STEPS = 6, 96
CAPACITY_SEEDS, SEQUENCES = range(3), (1000, 300, 500)  # to fit, to choose the penalty, to measure
DRIFTS = {
    "none": None,
    "slower": "slowest=0.01,fastest=0.3",
    "default": "slowest=0.01,fastest=1",
    "wide": "slowest=0.01,fastest=3",
    "fast": "slowest=0.3,fastest=3",
    "about Z": "slowest=0.01,fastest=1,axis=z",
    "coupled": "slowest=0.01,fastest=1,coupling=1",
    "about Z, coupled, fast": "slowest=0.3,fastest=3,axis=z,coupling=1",
}
SHOWN = ("none", "default", "fast", "about Z, coupled, fast")  # in the picture
RATE = "0.03"
TASKS = {
    "rows": (),
    "permuted": ("--pixels", "4", "--permuted", "--hidden", "21"),
    "pixels": ("--pixels", "1", "--epochs", "6", "--hidden", "22"),
}
STARTS = {
    "the default": (),
    "gates at 0": ("--gate-bias", "0"),
    "gates at -4": ("--gate-bias", "-4"),
    "initial rotation 0.1": ("--initial-rotation", "0.1"),
    "no last bias": ("--initial-rotation", "none"),
    "GELU, of as many parameters": ("--activation", "gelu", "--hidden", "32"),
}
SIZES = {
    f"{n} qubits, {name}": ("--qubits", n, "--drift", drift or "none")
    for n in ("4", "8")
    for name, drift in (("no drift", None), ("the default", DRIFTS["default"]))
}
SHORT = ("rows", "permuted")  # the tasks at which SIZES are compared


def spectrum(drift):
    """Eigenphases of one step at zero angles, in radians, sorted."""
    ansatz = tfq_qrnn.HardwareEfficient(QUBITS, drift=drift)
    return np.sort(np.angle(np.linalg.eigvals(cirq.unitary(ansatz.resolve(np.zeros(ansatz.n_angles))))))


def capacity(drift, seed):
    """R^2 of the input so many steps ago, from the readouts and from the state: view -> `(STEPS,)`."""
    controller = tfq_qrnn.Controller((), angle_scale=0.1, initial_rotation=0.0, feedback_gain=0.0)
    keras.utils.set_random_seed(seed)
    layer = tfq_qrnn.QRNN(circuit=tfq_qrnn.HardwareEfficient(QUBITS, drift=drift), controller=controller, seed=seed)
    inputs = np.random.default_rng(seed).normal(size=(sum(SEQUENCES), STEPS, 1)).astype("float32")
    seen = probes.views(tfq_qrnn.trace(layer, inputs), -1)
    ends = np.cumsum(SEQUENCES)
    parts = [slice(end - count, end) for end, count in zip(ends, SEQUENCES, strict=True)]
    found = {}
    for view in ("readouts", "state"):
        fit, *others = ({view: seen[view][part]} for part in parts)
        kernels = probes.kernel(fit, fit, view), *(probes.kernel(other, fit, view) for other in others)
        targets = [inputs[part, ::-1, 0] for part in parts]  # the last input first
        told = probes.probe(kernels, targets)
        found[view] = np.maximum(0, probes.explained(targets[2], told))
    return found


def scores(given, seeds, folder, tasks=tuple(TASKS)):
    """Task -> validation accuracy of the last epoch, one for each seed."""
    found = {}
    for task in tasks:
        out = folder / task
        options = ["--learning-rate", RATE, "--warmup", "0.1", "--seed", *map(str, seeds), "--out", str(out)]
        mnist.main([*TASKS[task], *options, *given])
        runs = records.read_json(out / "record.json")["runs"]
        found[task] = [run["metrics"][-1]["val_accuracy"] for run in runs]
    return found


def memory(drift):
    """Spectrum and capacity of a drift, for the record."""
    seen = [capacity(drift, seed) for seed in CAPACITY_SEEDS]
    totals = {view: [float(one[view].sum()) for one in seen] for view in seen[0]}
    return {
        "spectrum": spectrum(drift).tolist(),
        "capacity": {view: [float(np.mean(v)), float(np.std(v, ddof=1))] for view, v in totals.items()},
        "remembered": np.mean([one["readouts"] for one in seen], axis=0).tolist(),
    }


def draw(found, path):
    """Spectra, and what the readouts tell of each past input; beside them the scores, where there are any."""
    scored = any("scores" in result for result in found.values())
    figure, axes = plt.subplots(1, 2 + scored, figsize=(5.5 * (2 + scored), 4.5), layout="constrained")
    for height, name in enumerate(SHOWN):
        axes[0].plot(found[name]["spectrum"], np.full(2**QUBITS, height), "|", markersize=14, color=f"C{height}")
        axes[1].plot(found[name]["remembered"], label=name, color=f"C{height}")
    axes[0].set(xlabel="eigenphase of a step without news, radians", yticks=range(len(SHOWN)), yticklabels=SHOWN)
    axes[0].set_xlim(-np.pi, np.pi)
    axes[1].set(xlabel="steps ago", ylabel="R² of the input, from the readouts", ylim=(0, 1))
    axes[1].legend()
    if scored:
        for i, task in enumerate(TASKS):
            points = [(one["capacity"]["readouts"][0], 100 * np.mean(one["scores"][task])) for one in found.values()]
            axes[2].plot(*zip(*points, strict=True), "osv"[i], label=task)
        axes[2].set(xlabel="capacity of the readouts", ylabel="validation accuracy, %")
        axes[2].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def percent(values):
    return records.mean_and_spread([100 * value for value in values], 1)


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seeds", type=arguments.seed, nargs="*", default=[], help="of trainings, 1000 for instance (none)"
    )
    parser.add_argument("--limit", type=arguments.at_least(1), help="train on so many images")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out", "drift"), help="folder (out/drift)")
    parser.add_argument("--record", type=pathlib.Path, help="folder of record and picture (that of --out)")
    return parser.parse_args(given)


def main(given=None):
    options = parse_arguments(given)
    kept = options.record or options.out
    more = () if options.limit is None else ("--limit", str(options.limit))

    def folder(name):
        return options.out / name.replace(", ", "_").replace(" ", "_")

    drifts = {}
    for name, text in DRIFTS.items():
        drifts[name] = {"drift": text, **memory(text and tfq_qrnn.Drift(**arguments.drift(text)))}
        if options.seeds:
            drifts[name]["scores"] = scores(("--drift", text or "none", *more), options.seeds, folder(name))
    record = {"study": "drift", "seeds": options.seeds, "found": drifts}
    if options.seeds:
        record["starts"] = {
            # the default drift was trained above
            name: scores((*given, *more), options.seeds, folder(name)) if given else drifts["default"]["scores"]
            for name, given in STARTS.items()
        }
        record["sizes"] = {
            name: scores((*given, *more), options.seeds, folder(name), SHORT) for name, given in SIZES.items()
        }
    records.write_json(kept / "record.json", {**record, "versions": records.versions()})
    draw(drifts, kept / "drift.png")
    rows = []
    for name, one in drifts.items():
        capacities = [f"{mean:.1f} ± {spread:.1f}" for mean, spread in one["capacity"].values()]
        rows.append([name, *capacities, *map(percent, one.get("scores", {}).values())])
    print(report.table(["drift", "capacity: readouts", "state", *(TASKS if options.seeds else ())], rows))
    for head, part, tasks in (("start", "starts", TASKS), ("qubits and drift", "sizes", SHORT)):
        rows = [[name, *map(percent, one.values())] for name, one in record.get(part, {}).items()]
        if rows:
            print(report.table([head, *tasks], rows))
    return record


if __name__ == "__main__":
    main()
