"""The error of a closed loop against shots, steps and the strength of the readout: replay and ancilla side by side.

    python -m experiments.studies.ancillas                 four qubits, random weights, about two minutes
    python -m experiments.studies.ancillas --model out/hardware/model.keras

Replay measures at the end of the circuit, in three settings; an ancilla reads X, Y and Z of every qubit inside one
circuit, at strength theta, and disturbs the memory for the steps after. Both start anew at |0...0> for each time step,
and both get the same number of shots: 3 x repetitions per step. Without noise of gates.

Writes DIR/record.json and DIR/study.png.
"""

import argparse
import pathlib

import numpy as np

from experiments.harness import arguments
from experiments.late import late

keras, plt, tfq_qrnn, hw = late("keras", "matplotlib.pyplot", "tfq_qrnn", "tfq_qrnn.hw")
density_matrix, in_models = late("tfq_qrnn.hw.density_matrix", "tfq_qrnn.layers.in_models")
(records,) = late("experiments.harness.records")


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, help="a trained .keras file; random weights by default")
    parser.add_argument("--qubits", type=arguments.at_least(1), default=4, help="of random weights (4)")
    parser.add_argument("--steps", type=arguments.at_least(1), default=8, help="time steps of a sequence (8)")
    parser.add_argument("--limit", type=arguments.at_least(1), default=2, help="number of sequences (2)")
    parser.add_argument(
        "--repetitions",
        type=arguments.at_least(1),
        nargs="+",
        default=[100, 1000],
        help="shots of each circuit (100 1000)",
    )
    parser.add_argument(
        "--strength",
        type=arguments.positive,
        nargs="+",
        default=[0.1, 0.2, 0.4, 0.8],
        help="of the ancillas, theta in radians (0.1 0.2 0.4 0.8)",
    )
    parser.add_argument("--angle-scale", type=arguments.positive, default=0.5, help="of random weights (0.5)")
    parser.add_argument(
        "--seed", type=arguments.seed, nargs="+", default=[0, 1, 2], help="of weights, inputs and shots (0 1 2)"
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/ancillas"), help="folder (out/ancillas)")
    options = parser.parse_args(given)
    if options.model is not None and not options.model.is_file():
        parser.error(f"Argument `--model` must be a .keras file, but there is none at {options.model}.")
    return options


def load_layer(options, seed):
    if options.model is not None:
        return in_models.find_layer(keras.models.load_model(options.model))
    keras.utils.set_random_seed(seed)
    # the whole feedback, as after training: with what a layer starts with, errors would hardly be fed back
    controller = tfq_qrnn.Controller(activation="gelu", angle_scale=options.angle_scale, feedback_gain=1.0)
    layer = tfq_qrnn.QRNN(circuit=tfq_qrnn.HardwareEfficient(options.qubits), controller=controller)
    layer.build((None, None, 3))
    return layer


def errors(result):
    """The rms error of the readouts at each time step."""
    return np.sqrt(np.mean((result.readouts - result.exact) ** 2, axis=(0, 2))).tolist()


def main(given=None):
    options = parse_arguments(given)
    rows = []
    for seed in options.seed:
        layer = load_layer(options, seed)
        features = layer.cell.controller.features
        x = np.random.default_rng(seed).normal(size=(options.limit, options.steps, features)).astype("float32")
        for repetitions in options.repetitions:
            replay = hw.run(layer, x, density_matrix.SweepSimulator(seed=seed), repetitions, progress=False)
            rows.append({"seed": seed, "repetitions": repetitions, "strength": None, "rms": errors(replay)})
            for strength in options.strength:
                result = hw.run_with_ancillas(layer, x, strength, 3 * repetitions, seed=seed)
                rows.append({"seed": seed, "repetitions": repetitions, "strength": strength, "rms": errors(result)})
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"task": "ancillas", "settings": vars(options), "versions": records.versions(), "rows": rows}
    records.write_json(options.out / "record.json", record)
    print(table(rows, options))
    print(draw(options.out / "study.png", rows, options))


def mean_rms(rows, repetitions, strength):
    """`(steps,)`: the mean over the seeds, and its spread."""
    found = [row["rms"] for row in rows if (row["repetitions"], row["strength"]) == (repetitions, strength)]
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) if len(found) > 1 else np.zeros(len(found[0]))


def table(rows, options):
    """The rms error at the first, a middle and the last step, as text."""
    steps = sorted({1, options.steps // 2, options.steps} - {0})
    lines = [
        "rms error of the readouts",
        "shots per step  readout       " + "".join(f"{f'step {t}':>16}" for t in steps),
    ]
    for repetitions in options.repetitions:
        for strength in (None, *options.strength):
            mean, spread = mean_rms(rows, repetitions, strength)
            name = "replay" if strength is None else f"ancilla {strength:g}"
            cells = "".join(f"{f'{mean[t - 1]:.3f} ± {spread[t - 1]:.3f}':>16}" for t in steps)
            lines.append(f"{3 * repetitions:14,}  {name:14}{cells}")
    return "\n".join(lines)


def draw(path, rows, options):
    figure, axes = plt.subplots(
        1,
        len(options.repetitions),
        figsize=(4 * len(options.repetitions), 3.2),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    steps = np.arange(1, options.steps + 1)
    for ax, repetitions in zip(axes[0], options.repetitions, strict=True):
        ax.plot(steps, mean_rms(rows, repetitions, None)[0], color="black", linewidth=2, label="replay")
        for strength in options.strength:
            ax.plot(steps, mean_rms(rows, repetitions, strength)[0], marker=".", label=f"ancilla, {strength:g}")
        ax.set_title(f"{3 * repetitions:,} shots per step", fontsize="medium")
        ax.set_xlabel("time step")
        ax.set_yscale("log")
    axes[0, 0].set_ylabel("rms error of readouts")
    axes[0, -1].legend(fontsize="small")
    figure.savefig(path, dpi=70)
    plt.close(figure)
    return path


if __name__ == "__main__":
    main()
