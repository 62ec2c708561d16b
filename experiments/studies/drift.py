"""Why a memory that moves by itself remembers more: spectrum, memory capacity and validation scores of drifts.

    python -m experiments.studies.drift                             spectrum and capacity, two minutes
    python -m experiments.studies.drift --seeds 1000 1001 1002      and trainings, two hours on one core

For each drift of DRIFTS, beside none, and for the default one in other PLACES, on 6 qubits at depth 2:

spectrum   the eigenphases of U at zero angles: the frequencies with which the memory moves without news
capacity   how many past inputs can be read out of an untrained layer. Its controller is linear, and gets one normal
           number at each step; after STEPS steps a linear probe (ridge regression, probes.py) is fitted to each of the
           inputs, from the 18 readouts or from the whole state. The capacity is the sum of R^2 on sequences that the
           probe has not seen (H. Jaeger, GMD report 152, 2002): at most the number of what is read
scores     validation accuracy on digits by four rows at a time (7 steps), by rows (28), permuted (196) and pixel by
           pixel (784, six epochs), with the settings of experiments.tasks.mnist, Adam at RATE, a rise of the rate, and
           --seeds that are tested nowhere. No test score is looked at

And the scores of STARTS, other ways in which the controller may start with the default drift, and of SIZES, other
numbers of qubits with the default drift and without.

Writes record.json and a picture to --record, the trainings to --out, and prints the tables. What --record has of the
same settings is kept, seed by seed, and a training that was done is not done again.
"""

import argparse
import dataclasses
import hashlib
import json
import pathlib

import numpy as np

from experiments import plan
from experiments.harness import arguments
from experiments.late import late
from experiments.models import recurrent
from experiments.studies import probes

cirq, keras, plt, tfq_qrnn = late("cirq", "keras", "matplotlib.pyplot", "tfq_qrnn")
records, report, mnist = late("experiments.harness.records", "experiments.harness.report", "experiments.tasks.mnist")

QUBITS, DEPTH, STEPS = 6, 2, 96
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
    "a tenth": "slowest=0.001,fastest=0.1",
    "a third": "slowest=0.0033,fastest=0.33",
    "threefold": "slowest=0.03,fastest=3",
}
# Where the default drift stands: its place, a factor on its frequencies, and how many of the qubits it moves.
PLACES = {
    "after each layer": ("layer", 1, 6),
    "half of it after each layer": ("layer", 0.5, 6),
    "on five qubits of six": ("end", 1, 5),
    "on four": ("end", 1, 4),
    "on three": ("end", 1, 3),
}
SHOWN = ("none", "default", "fast", "about Z, coupled, fast")  # in the picture
RATE = "0.03"
TASKS = {
    "four rows": ("--pixels", "112"),
    **plan.DIGITS,
}
STARTS = {
    "gates at 0": ("--gate-bias", "0"),
    "gates at -4": ("--gate-bias", "-4"),
    "initial rotation 0.1": ("--initial-rotation", "0.1"),
    "no last bias": ("--initial-rotation", "none"),
    "GELU, of as many parameters": ("--activation", "gelu", "--hidden", "32"),
}
SIZES = {
    f"{n} qubits, {name}": ("--qubits", n, "--drift", drift or "none")
    for n in ("4", "8", "10")
    for name, drift in (("no drift", None), ("the default", DRIFTS["default"]))
}
LONG, SHORT = ("rows", "permuted", "pixels"), ("rows", "permuted")  # the tasks of STARTS, and of SIZES


def ansatz_with(drift):
    """The circuit of a drift that is written as for --drift, or of none."""
    return recurrent.ansatz(QUBITS, DEPTH, drift=drift and tfq_qrnn.Drift(**arguments.drift(drift)))


def placed(place, factor, moved):
    """The circuit with the default drift of `moved` qubits, its frequencies times a factor, on as many of its qubits:
    at the end of the step, or after each layer.
    """
    one = tfq_qrnn.Drift(**arguments.drift(DRIFTS["default"]))
    drift = dataclasses.replace(one, slowest=factor * one.slowest, fastest=factor * one.fastest)
    plain = tfq_qrnn.HardwareEfficient(QUBITS, DEPTH)
    constant = drift.circuit(plain.qubits[:moved])
    circuit, layer = cirq.Circuit(), plain.circuit
    size = len(layer) // DEPTH
    for start in range(0, len(layer), size):
        circuit += layer[start : start + size]
        if place == "layer" or start + size == len(layer):
            circuit += constant
    return tfq_qrnn.CircuitAnsatz(circuit, symbols=plain.symbols)


def capacity(ansatz, seed):
    """R^2 of the input so many steps ago, from the readouts and from the state: view -> `(STEPS,)`."""
    controller = tfq_qrnn.Controller((), angle_scale=0.1, initial_rotation=0.0, feedback_gain=0.0)
    keras.utils.set_random_seed(seed)
    layer = tfq_qrnn.QRNN(circuit=ansatz, controller=controller, seed=seed)
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


def memory(ansatz):
    """Spectrum and capacity, for the record."""
    seen = [capacity(ansatz, seed) for seed in CAPACITY_SEEDS]
    totals = {view: [float(one[view].sum()) for one in seen] for view in seen[0]}
    return {
        "spectrum": recurrent.eigenphases(ansatz).tolist(),
        "capacity": {view: [float(np.mean(v)), float(np.std(v, ddof=1))] for view, v in totals.items()},
        "remembered": np.mean([one["readouts"] for one in seen], axis=0).tolist(),
    }


class Rows:
    """The rows of the tables. What the record has is kept, as far as it is of the same settings."""

    def __init__(self, options):
        self.options, self.path = options, (options.record or options.out) / "record.json"
        self.tables = (records.read_json(self.path) or {"tables": {}})["tables"]

    def measure(self, table, name, circuit):
        """Spectrum and capacity of a circuit."""
        constants = {"steps": STEPS, "sequences": SEQUENCES, "seeds": list(CAPACITY_SEEDS)}
        row, of = self._row(table, name, "memory", {"circuit": circuit.get_config(), **constants})
        if not row:
            row |= {"of": of, **memory(circuit)}
            self._write()

    def train(self, table, name, task, given=(), circuit=None):
        """Validation accuracy of the last epoch, seed -> number, of the circuit of the options or of another one."""
        command = [*TASKS[task], "--learning-rate", RATE, "--warmup", "0.1", *given]
        command += [] if self.options.limit is None else ["--limit", str(self.options.limit)]
        settings = arguments.settings(mnist.parse_arguments(command))
        settings["circuit"] = circuit and circuit.get_config()
        row, of = self._row(table, name, task, settings)
        row.setdefault("of", of)
        if left := [str(seed) for seed in self.options.seeds if str(seed) not in row]:
            out = self.options.out / of
            mnist.main([*command, "--seed", *left, "--out", str(out)], circuit)
            runs = records.read_json(out / "record.json")["runs"]
            row |= {str(run["seed"]): run["metrics"][-1]["val_accuracy"] for run in runs}
            self._write()

    def _row(self, table, name, part, settings):
        """What is known of a part of a row under these settings, and what stands for them."""
        known = {key: value for key, value in settings.items() if value is not None}  # a new option is none
        of = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
        parts = self.tables.setdefault(table, {}).setdefault(name, {})
        if parts.get(part, {}).get("of") != of:
            parts[part] = {}
        return parts[part], of

    def _write(self):
        """At once: the next row may take long."""
        records.write_json(self.path, {"tables": self.tables, "versions": records.versions()})


def accuracies(row, task):
    return [value for key, value in row.get(task, {}).items() if key != "of"]


def draw(drifts, path):
    """Spectra, and what the readouts tell of each past input; beside them the scores, where there are any."""
    scored = all(accuracies(row, task) for row in drifts.values() for task in TASKS)
    figure, axes = plt.subplots(1, 2 + scored, figsize=(5.5 * (2 + scored), 4.5), layout="constrained")
    seen = {name: row["memory"] for name, row in drifts.items()}
    for height, name in enumerate(SHOWN):
        axes[0].plot(seen[name]["spectrum"], np.full(2**QUBITS, height), "|", markersize=14, color=f"C{height}")
        axes[1].plot(seen[name]["remembered"], label=name, color=f"C{height}")
    axes[0].set(xlabel="eigenphase of a step without news, radians", yticks=range(len(SHOWN)), yticklabels=SHOWN)
    axes[0].set_xlim(-np.pi, np.pi)
    axes[1].set(xlabel="steps ago", ylabel="R² of the input, from the readouts", ylim=(0, 1))
    axes[1].legend()
    if scored:
        for i, task in enumerate(TASKS):
            points = [
                (seen[name]["capacity"]["readouts"][0], 100 * np.mean(accuracies(row, task)))
                for name, row in drifts.items()
            ]
            axes[2].plot(*zip(*points, strict=True), "dosv"[i], label=task)
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
    rows = Rows(options)
    for name, drift in DRIFTS.items():
        rows.measure("drift", name, ansatz_with(drift))
    for name, place in PLACES.items():
        rows.measure("place", name, placed(*place))
    if options.seeds:
        for task in TASKS:
            for name, drift in DRIFTS.items():
                rows.train("drift", name, task, ("--drift", drift or "none"))
            for name, place in PLACES.items():
                rows.train("place", name, task, circuit=placed(*place))
        for name, start in STARTS.items():
            for task in LONG:
                rows.train("start", name, task, start)
        for name, size in SIZES.items():
            for task in SHORT:
                rows.train("qubits and drift", name, task, size)
    draw(rows.tables["drift"], rows.path.with_name("drift.png"))
    for table, found in rows.tables.items():
        lines, tasks = [], [task for task in TASKS if any(accuracies(row, task) for row in found.values())]
        for name, row in found.items():
            capacities = row["memory"]["capacity"].values() if "memory" in row else ()
            measured = [f"{mean:.1f} ± {spread:.1f}" for mean, spread in capacities]
            scores = [percent(values) if (values := accuracies(row, task)) else "" for task in tasks]
            lines.append([name, *measured, *scores])
        head = ["capacity: readouts", "state"] if table in ("drift", "place") else []
        print(report.table([table, *head, *tasks], lines))
    return rows.tables


if __name__ == "__main__":
    main()
