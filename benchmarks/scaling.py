"""How training scales over processes: measured on one and two of this machine, modelled for more.

    python benchmarks/scaling.py            a few minutes; nothing else should run
    python benchmarks/scaling.py --quick    half a minute, to see that it works

Measured: the time of a training step of `tfq_qrnn.distributed.fit`, and of an all-reduce of vectors of several sizes
between two processes; of each the 10th percentile, which other work on the machine moves less than the median. The
model for N workers is

    step(N) = compute(batch of one worker) + 2 (N - 1) latency + 2 (N - 1)/N bytes / bandwidth

a ring all-reduce after a backward pass that it does not overlap with, workers of equal speed, and latency and bandwidth
of a network that are given (--latency, --bandwidth) or, by default, those measured here between processes.
Writes DIR/scaling.json.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

CASES = {"6 qubits": (6, 28), "10 qubits": (10, 28), "12 qubits": (12, 28)}
SIZES = (1, 1_000, 10_000, 100_000, 1_000_000)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=64, help="examples of one step, over all workers (64)")
    parser.add_argument("--steps", type=int, default=60, help="steps that are timed (60)")
    parser.add_argument("--latency", type=float, help="of one message, in microseconds (measured here)")
    parser.add_argument("--bandwidth", type=float, help="of the network, in Gbit/s (measured here)")
    parser.add_argument("--quick", action="store_true", help="one small model, few steps")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/scaling"), help="folder (out/scaling)")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)  # settings and file of a child
    return parser.parse_args()


def worker(settings, path):
    """In a process of its own: time steps, and all-reduces where there are others."""
    import keras
    import tensorflow as tf

    import tfq_qrnn

    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    strategy = tf.distribute.MultiWorkerMirroredStrategy() if "TF_CONFIG" in os.environ else None

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.ticks = []

        def on_train_batch_end(self, batch, logs=None):
            self.ticks.append(time.perf_counter())

    found = {"steps": {}, "parameters": {}, "reduces": {}}
    for name, (n_qubits, timesteps) in settings["cases"].items():
        clock = Clock()
        shape = (timesteps, 28)
        examples = (
            np.random.default_rng(0).normal(size=(settings["batch"], *shape)).astype("float32"),
            np.zeros(settings["batch"], "int64"),
        )

        def build(n_qubits=n_qubits, shape=shape):
            layers = [keras.Input(shape), tfq_qrnn.QRNN(n_qubits), keras.layers.Dense(10)]
            model = keras.Sequential(layers)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0), loss)
            return model

        def dataset(epoch, examples=examples):
            return tf.data.Dataset.from_tensors(examples).cache().repeat(settings["count"])

        history = tfq_qrnn.distributed.fit(build, dataset, 2, strategy=strategy, callbacks=[clock], verbose=0)
        times = np.diff(clock.ticks[settings["count"] :])
        found["steps"][name] = float(np.percentile(times, 10))
        found["parameters"][name] = int(sum(np.prod(v.shape) for v in history.model.trainable_weights))
    if strategy:
        for size in SIZES:
            reduce = tf.function(lambda vector: strategy.reduce("SUM", vector, axis=None))
            vector, times = tf.zeros(size), []
            for _ in range(5 + settings["count"]):
                begin = time.perf_counter()
                reduce(vector).numpy()
                times.append(time.perf_counter() - begin)
            found["reduces"][4 * size] = float(np.percentile(times[5:], 10))
    pathlib.Path(path).write_text(json.dumps(found))


def run(processes, threads, options, cases):
    """What the first of `processes` workers with so many threads each measured."""
    sockets = [socket.socket() for _ in range(processes)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    hosts = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    settings = {"threads": threads, "cases": cases, "batch": options.batch_size, "count": options.steps}
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for index in range(processes):
            environment = {**os.environ}
            if processes > 1:
                cluster = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
                environment["TF_CONFIG"] = json.dumps(cluster)
            command = [sys.executable, __file__, "--worker", json.dumps(settings), f"{folder}/{index}.json"]
            children.append(subprocess.Popen(command, env=environment))
        if max(child.wait() for child in children) != 0:
            sys.exit("A process of the benchmark failed.")
        return json.loads(pathlib.Path(folder, "0.json").read_text())


def main():
    options = parse_arguments()
    if options.worker:
        worker(json.loads(options.worker[0]), options.worker[1])
        return
    cases = CASES
    if options.quick:
        cases, options.steps = {"6 qubits": CASES["6 qubits"]}, 10
    layouts = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}
    measured = {name: run(*layout, options, cases) for name, layout in layouts.items()}
    two = measured["2 processes, 1 thread each"]
    sizes, times = (np.array(column, float) for column in zip(*two["reduces"].items(), strict=True))
    # Between two processes a ring has two messages; the largest vector tells the bandwidth, the smallest the latency.
    latency = options.latency * 1e-6 if options.latency else times[0] / 2
    bandwidth = options.bandwidth * 1e9 / 8 if options.bandwidth else sizes[-1] / (times[-1] - times[0])

    print(f"\nMilliseconds per step of {options.batch_size} sequences, 10th percentile of {options.steps}\n")
    print("| | " + " | ".join(layouts) + " | parameters | bytes sent per step |\n" + "|---" * (len(layouts) + 3) + "|")
    for case in cases:
        row = [f"{1e3 * measured[layout]['steps'][case]:.3g}" for layout in layouts]
        parameters = two["parameters"][case]
        print(f"| {case} | " + " | ".join(row) + f" | {parameters:,} | {4 * (parameters + 1):,} |")
    print("\n| all-reduce of, bytes | milliseconds |\n|---|---|")
    for size, seconds in two["reduces"].items():
        print(f"| {int(size):,} | {1e3 * seconds:.3g} |")

    counts, model = (2, 8, 64, 512), {}
    print(
        f"\nModel: latency {1e6 * latency:.0f} us, bandwidth {8e-9 * bandwidth:.3g} Gbit/s, {options.batch_size} ",
        end="",
    )
    print(
        "sequences on each worker: fraction of N times the speed of one\n\n| | " + " | ".join(map(str, counts)) + " |"
    )
    print("|---" * (len(counts) + 1) + "|")
    for case in cases:
        compute, sent = measured["1 process, 1 thread"]["steps"][case], 4 * (two["parameters"][case] + 1)
        steps = {n: compute + 2 * (n - 1) * latency + 2 * (n - 1) / n * sent / bandwidth for n in counts}
        model[case] = {n: compute / step for n, step in steps.items()}
        print(f"| {case} | " + " | ".join(f"{100 * value:.0f} %" for value in model[case].values()) + " |")
    options.out.mkdir(parents=True, exist_ok=True)
    result = {"measured": measured, "latency_s": latency, "bandwidth_bytes_per_s": bandwidth, "model": model}
    (options.out / "scaling.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
