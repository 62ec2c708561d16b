"""Where the gradient goes over hundreds of time steps of feedback.

    python -m experiments.studies.long_sequences            784 steps, three seeds, a minute
    python -m experiments.studies.long_sequences --quick    48 steps, one seed, some seconds

Untrained layers on random inputs in [0, 1], in float64, as a function of the angle scale and of the feedback gain (the
factor on the initial weights of the readouts that are fed back):

1. gradient: the norm of the gradient of the last readouts in the memory and in the readouts of earlier steps.
2. Lyapunov exponent: the growth per step of a small difference in the memory (Benettin's method: the difference is put
   back to its length every few steps).
3. turn: how much of the last memory one step of Adam turns away, 1 - |<before|after>|^2.

Writes DIR/record.json and DIR/long_sequences.png.
"""

import argparse
import itertools
import pathlib

import numpy as np
from tqdm import tqdm

from experiments.harness import arguments
from experiments.late import late

keras, plt, tf, tfq_qrnn = late("keras", "matplotlib.pyplot", "tensorflow", "tfq_qrnn")
(records,) = late("experiments.harness.records")

DIFFERENCE = 1e-6  # far above float64's rounding over a few steps, far below where the growth saturates


def parse_arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qubits", type=arguments.at_least(1), default=6, help="number of qubits (6)")
    parser.add_argument("--depth", type=arguments.at_least(1), default=2, help="layers of the circuit (2)")
    parser.add_argument("--hidden", type=arguments.at_least(1), default=32, help="GELU units of the controller (32)")
    parser.add_argument(
        "--steps", type=arguments.at_least(1), nargs="+", help="lengths (28 196 784); the longest for all but the turn"
    )
    parser.add_argument("--angle-scale", type=arguments.positive, nargs="+", help="angle scales (0.01 0.03 0.1 0.3 1)")
    parser.add_argument("--gain", type=arguments.finite, nargs="+", help="feedback gains (0 0.1 1)")
    parser.add_argument(
        "--rotation", type=arguments.at_least(0, float), default=0.1, help="the initial rotation, in radians (0.1)"
    )
    parser.add_argument("--learning-rate", type=arguments.positive, default=0.01, help="of the step of Adam (0.01)")
    parser.add_argument(
        "--batch-size", type=arguments.at_least(1), default=8, help="sequences over which is averaged (8)"
    )
    parser.add_argument("--seed", type=arguments.seed, nargs="+", help="of weights and inputs (0 1 2)")
    parser.add_argument("--quick", action="store_true", help="short sequences, few settings")
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out/long_sequences"), help="folder (out/long_sequences)"
    )
    options = parser.parse_args(given)
    quick = options.quick
    options.steps = sorted(options.steps or ([8, 48] if quick else [28, 196, 784]))
    options.angle_scale = options.angle_scale or ([0.1, 1] if quick else [0.01, 0.03, 0.1, 0.3, 1])
    options.gain = options.gain or ([0, 1] if quick else [0, 0.1, 1])
    options.seed = options.seed or ([0] if quick else [0, 1, 2])
    return options


def make_layer(options, scale, gain, seed):
    keras.utils.set_random_seed(seed)
    layer = tfq_qrnn.QRNN(
        circuit=tfq_qrnn.HardwareEfficient(options.qubits, options.depth),
        controller=tfq_qrnn.Controller(
            (options.hidden,),
            activation="gelu",
            angle_scale=scale,
            feedback_gain=gain,
            initial_rotation=options.rotation,
        ),
        return_state=True,
        dtype="float64",
    )
    layer.build((None, None, 1))
    return layer


def random_inputs(options, steps, seed):
    return np.random.default_rng(seed).uniform(size=(options.batch_size, steps, 1))


def segments(steps):
    """Lengths of about 28 pieces of a sequence."""
    return [len(piece) for piece in np.array_split(np.arange(steps), min(28, steps))]


def gradient_norms(layer, x, seed):
    """Distances from the last step, and at each the norms of the gradient in memory and readouts, over the batch."""
    states, kept = layer.get_initial_state(len(x)), []
    with tf.GradientTape() as tape:
        for piece in tf.split(tf.constant(x), segments(x.shape[1]), axis=1):
            states = [tf.identity(state) for state in states]
            tape.watch(states)
            kept.append(states)
            outputs, *states = layer(piece, initial_state=states)
        # any one direction in the space of readouts, the same for every setting
        loss = tf.reduce_sum(outputs * np.random.default_rng(seed).normal(size=outputs.shape[1]))
    gradients = tape.gradient(loss, kept)
    ends = x.shape[1] - np.cumsum([0, *segments(x.shape[1])[:-1]])
    readouts, memory = (
        [float(tf.sqrt(tf.reduce_mean(tf.reduce_sum(pair[i] ** 2, axis=1)))) for pair in gradients] for i in (0, 1)
    )
    return {"distance": ends.tolist(), "readouts": readouts, "memory": memory}


def lyapunov_exponent(layer, x, seed):
    """The mean logarithm by which a small difference in the memory grows, per time step."""
    states = layer.get_initial_state(len(x))
    size = states[1].shape[1]
    direction = np.random.default_rng(seed).normal(size=(len(x), size))
    differences = [np.zeros(states[0].shape), direction / np.linalg.norm(direction, axis=1, keepdims=True)]
    growth = []
    states = [np.array(states[0]), np.eye(size)[np.zeros(len(x), int)]]  # |0...0>
    for piece in np.split(x, np.cumsum(segments(x.shape[1])[:-1]), axis=1):
        moved = [state + DIFFERENCE * difference for state, difference in zip(states, differences, strict=True)]
        pair = [np.concatenate(both) for both in zip(states, moved, strict=True)]
        _, *after = layer(np.concatenate([piece, piece]), initial_state=pair)
        states, moved = zip(*(np.split(state.numpy(), 2) for state in after), strict=True)
        differences = [(b - a) / DIFFERENCE for a, b in zip(states, moved, strict=True)]
        lengths = np.linalg.norm(differences[1], axis=1, keepdims=True)  # the readouts follow from the memory
        differences = [d / lengths for d in differences]
        growth.append(np.log(lengths))
    # the first quarter is forgotten: there the difference finds the direction in which it grows
    counted = slice(len(growth) // 4, None)
    return float(np.sum(np.mean(growth[counted], axis=1)) / sum(segments(x.shape[1])[counted]))


def turn(layer, x, options, seed):
    """1 - |<before|after>|^2 of the last memory, over one step of Adam, mean over the batch."""

    def memory():
        _, _, state = layer(x)
        real, imaginary = np.split(state.numpy(), 2, axis=1)
        return real + 1j * imaginary

    before = memory()
    optimizer = keras.optimizers.Adam(options.learning_rate)
    with tf.GradientTape() as tape:
        outputs = layer(x)[0]
        loss = tf.reduce_sum(outputs * np.random.default_rng(seed).normal(size=outputs.shape[1]))
    optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
    return float(1 - np.mean(np.abs(np.sum(before.conj() * memory(), axis=1)) ** 2))


def measure(options):
    rows = []
    settings = list(itertools.product(options.angle_scale, options.gain, options.seed))
    for scale, gain, seed in tqdm(settings, unit="layer"):
        x = random_inputs(options, options.steps[-1], seed)
        row = {"angle_scale": scale, "gain": gain, "seed": seed}
        layer = make_layer(options, scale, gain, seed)
        row["gradient"] = gradient_norms(layer, x, seed)
        row["lyapunov"] = lyapunov_exponent(layer, x, seed)
        row["turn"] = []
        for steps in options.steps:
            row["turn"].append(turn(make_layer(options, scale, gain, seed), x[:, :steps], options, seed))
        rows.append(row)
    return rows


def over_seeds(rows, scale, gain, value):
    """Mean and standard deviation over the seeds of what `value` takes from a row."""
    found = [value(row) for row in rows if (row["angle_scale"], row["gain"]) == (scale, gain)]
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=min(1, len(found) - 1))


def log_ratio(row):
    """Decades by which the gradient in the memory grows from the last step to the first."""
    norms = row["gradient"]["memory"]
    return np.log10(norms[0] / norms[-1])


def table(rows, options):
    steps = options.steps[-1]
    turns = "".join(f"{f'turn, {length} steps':>18}" for length in options.steps)
    header = f"{'scale':>7}{'gain':>6}{f'gradient, {steps} steps':>24}{'Lyapunov exponent':>22}{turns}"
    lines = [header]
    for scale, gain in itertools.product(options.angle_scale, options.gain):
        growth, spread = over_seeds(rows, scale, gain, log_ratio)
        exponent, error = over_seeds(rows, scale, gain, lambda row: row["lyapunov"])
        turned, _ = over_seeds(rows, scale, gain, lambda row: row["turn"])
        lines.append(
            f"{scale:7g}{gain:6g}{f'10^({growth:.2f} ± {spread:.2f})':>24}{f'{exponent:.5f} ± {error:.5f}':>22}"
            + "".join(f"{value:18.3f}" for value in turned)
        )
    return "\n".join(lines)


def draw(path, rows, options):
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    colours = dict(zip(options.angle_scale, plt.cm.viridis(np.linspace(0, 0.9, len(options.angle_scale))), strict=True))
    styles = dict(zip(options.gain, itertools.cycle((":", "--", "-")), strict=False))
    for scale, gain in itertools.product(options.angle_scale, options.gain):
        distance = next(row["gradient"]["distance"] for row in rows)
        norms, _ = over_seeds(
            rows, scale, gain, lambda row: np.log10(row["gradient"]["memory"]) - np.log10(row["gradient"]["memory"][-1])
        )
        axes[0].plot(distance, 10**norms, color=colours[scale], linestyle=styles[gain])
    axes[0].set(xlabel="time steps before the last", ylabel="gradient in the memory, relative", yscale="log")
    for gain in options.gain:
        points = [over_seeds(rows, scale, gain, lambda row: row["lyapunov"]) for scale in options.angle_scale]
        means, spreads = zip(*points, strict=True)
        axes[1].errorbar(
            options.angle_scale, means, spreads, color="black", linestyle=styles[gain], label=f"gain {gain:g}"
        )
    axes[1].axhline(1 / options.steps[-1], color="grey", linewidth=0.8)
    axes[1].set(xlabel="angle scale", ylabel="Lyapunov exponent per step", xscale="log")
    axes[1].set_yscale("symlog", linthresh=1e-4)
    axes[1].legend(fontsize="small")
    for i, steps in enumerate(options.steps):
        points = [
            over_seeds(rows, scale, options.gain[-1], lambda row: row["turn"])[0][i] for scale in options.angle_scale
        ]
        axes[2].plot(options.angle_scale, points, marker=".", label=f"{steps} steps")
    axes[2].set(xlabel="angle scale", ylabel="turned away by one step of Adam", xscale="log", yscale="log")
    axes[2].legend(fontsize="small")
    for scale, colour in colours.items():
        axes[0].plot([], [], color=colour, label=f"scale {scale:g}")
    axes[0].legend(fontsize="x-small")
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return path


def main(given=None):
    options = parse_arguments(given)
    rows = measure(options)
    options.out.mkdir(parents=True, exist_ok=True)
    settings = {key: value for key, value in vars(options).items() if key != "out"}
    record = {"task": "long_sequences", "settings": settings, "versions": records.versions(), "rows": rows}
    records.write_json(options.out / "record.json", record)
    print(table(rows, options))
    print(draw(options.out / "long_sequences.png", rows, options))


if __name__ == "__main__":
    main()
