"""Train a small model for very long and watch what the process holds: memory, threads, open files.

    python benchmarks/soak.py                                        100,000 steps of each way, minutes on 2 cores
    python benchmarks/soak.py --ways "native, step" --steps 1000000

The ways: a compiled training step on the native op, `model.fit` on it, a compiled step on the TensorFlow backend under
XLA, and models that are built, trained for a step and dropped again, beside as many with Keras's LSTM. The slope of the
memory is of a least-squares line through the samples of the second half, when every pool and cache has filled.

Prints a table, and writes DIR/soak.json with all samples and DIR/soak.png.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

QUBITS, TIMESTEPS, FEATURES, BATCH = 3, 5, 2, 8
# way -> the fraction of the steps that it runs
WAYS = {"native, step": 1, "native, fit": 1, "tensorflow, step": 1}
WAYS |= {"native, new models": 1 / 500, "lstm, new models": 1 / 500}


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--steps", type=int, default=100_000, help="training steps; a 500th as many new models")
    parser.add_argument("--samples", type=int, default=200, help="how often to look (200)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/soak"), help="folder (out/soak)")
    parser.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def held():
    """What this process holds: resident memory in KiB, threads, open files."""
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]), int(status["Threads"]), len(os.listdir("/proc/self/fd"))


def soak(way, steps, samples):
    """Run one way; `[step, KiB, threads, files]` of each sample, and the last loss."""
    import keras
    import numpy as np
    import tensorflow as tf

    import tfq_qrnn

    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    x = random.normal(size=(BATCH, TIMESTEPS, FEATURES)).astype("float32")
    y = (x[:, :, :1].sum(axis=1) > 0).astype("float32")
    backend = way.partition(",")[0]

    def new_model(qubits=QUBITS):
        if backend == "lstm":
            layer = keras.layers.LSTM(qubits)
        else:
            layer = tfq_qrnn.QRNN(qubits, controller=(4,), backend=backend)
        model = keras.Sequential([keras.Input((TIMESTEPS, FEATURES)), layer, keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=backend == "tensorflow")
        return model

    every, found = max(1, steps // samples), []

    def sample(step):
        if step % every == 0:
            found.append((step, *held()))

    model = new_model()
    if way.endswith("fit"):
        data = tf.data.Dataset.from_tensors((x, y)).repeat()
        watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: sample(step + 1))
        loss = model.fit(data, steps_per_epoch=steps, verbose=0, callbacks=[watch]).history["loss"][-1]
    elif way.endswith("new models"):
        for step in range(1, steps + 1):
            # One program or another, as in a search over circuits.
            loss = new_model(1 + step % 4).train_on_batch(x, y)
            keras.utils.clear_session()
            sample(step)
    else:
        inputs, targets = tf.constant(x), tf.constant(y)
        train = tf.function(lambda: model.train_step((inputs, targets))["loss"], jit_compile=backend == "tensorflow")
        for step in range(1, steps + 1):
            loss = train()
            sample(step)
    return found, float(loss)


def slope(found):
    """KiB in 1,000 steps, from the second half of the samples."""
    import numpy as np

    steps, memory = np.array(found)[len(found) // 2 :, :2].T
    return 1000 * float(np.polyfit(steps, memory, 1)[0])


def summary(way, found, loss, seconds):
    half = found[len(found) // 2 :]
    return {
        "way": way,
        "steps": found[-1][0],
        "seconds": round(seconds, 1),
        "memory_mib": [round(found[0][1] / 1024, 1), round(half[0][1] / 1024, 1), round(found[-1][1] / 1024, 1)],
        "kib_per_1000_steps": round(slope(found), 3),
        "threads": [found[0][2], half[0][2], found[-1][2]],
        "files": [found[0][3], half[0][3], found[-1][3]],
        "loss": loss,
        "samples": found,
    }


def table(results):
    head = ("way", "steps", "s", "MiB at first, half, end", "KiB in 1,000 steps", "threads", "files")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for result in results:
        series = [", ".join(map(str, result[name])) for name in ("memory_mib", "threads", "files")]
        rate = f"{result['kib_per_1000_steps']:.3g}"
        cells = (result["way"], f"{result['steps']:,}", f"{result['seconds']:.0f}", series[0], rate, *series[1:])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path, results):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for result in results:
        samples = np.array(result["samples"])
        axes.plot(samples[:, 0] / result["steps"], samples[:, 1] / 1024, label=f"{result['way']}, {result['steps']:,}")
    axes.set(xlabel="part of the steps", ylabel="resident memory, MiB", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments=None):
    options = parse_arguments(arguments)
    if options.worker:
        start = time.perf_counter()
        found, loss = soak(options.worker, options.steps, options.samples)
        print(json.dumps(summary(options.worker, found, loss, time.perf_counter() - start)))
        return
    results = []
    for way in options.ways:
        steps = max(options.samples, round(options.steps * WAYS[way]))
        command = [sys.executable, __file__, "--worker", way, "--steps", str(steps), "--samples", str(options.samples)]
        print(f"{way}: {steps:,} steps ...", flush=True)
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        if result.returncode:
            sys.exit(f"{way} failed:\n{result.stderr[-2000:]}")
        results.append(json.loads(result.stdout.splitlines()[-1]))
        print(table(results[-1:]).splitlines()[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    machine = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    path = options.out / "soak.json"
    path.write_text(json.dumps({"machine": machine, "results": results}) + "\n")
    draw(options.out / "soak.png", results)
    print(f"\n{table(results)}\n\n{path}: the same, with every sample; {options.out / 'soak.png'}: their picture")


if __name__ == "__main__":
    main()
