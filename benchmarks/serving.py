"""Latency and throughput of exported models: both backends that carry the state, and an LSTM of as many parameters.

    python benchmarks/serving.py
    python benchmarks/serving.py --models native lstm --requests 2000

Every model is exported as a SavedModel and served by a process of its own that loads TensorFlow and nothing else (for
"native" the op's library, too). A request is a call of the signature with a batch of sequences of 28 steps of 28
numbers in memory, and its answer as an array: no network, no queue. p50 and p99 are of one client, one request after
the other; throughput is of as many clients at once as there are cores.

Prints a table, and writes DIR/serving.json with the seconds of import and loading, and the largest difference between
what is served and what the model gives.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np

TIMESTEPS = FEATURES = 28
MODELS = ("native", "tensorflow", "tensorflow, XLA", "lstm")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64], help="sequences of one request (1 64)")
    parser.add_argument("--requests", type=int, default=1000, help="requests that are timed (1000)")
    parser.add_argument("--qubits", type=int, default=6)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/serving"), help="folder (out/serving)")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)  # folder and op library of a child
    return parser.parse_args()


def serve(folder, library, options):
    """In a process of its own, without this package: a row for each batch size."""
    start = time.perf_counter()
    import tensorflow as tf

    imported = time.perf_counter()
    if library:
        tf.load_op_library(library)
    model = tf.saved_model.load(f"{folder}/model")  # it owns the variables, and must stay
    loaded = time.perf_counter()
    if found := {"tfq_qrnn", "cirq", "tensorflow_quantum"} & sys.modules.keys():
        sys.exit(f"The serving process has imported {found}.")
    clients, rows = len(os.sched_getaffinity(0)), []
    for batch in options.batch:
        x = tf.constant(np.load(f"{folder}/{batch}.npy"))

        def request(_=None, x=x):
            begin = time.perf_counter()
            answer = model.serve(x).numpy()
            return time.perf_counter() - begin, answer

        first, answer = request()
        for _ in range(10):
            request()
        p50, p99 = np.percentile([request()[0] for _ in range(options.requests)], [50, 99])
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            begin = time.perf_counter()
            list(pool.map(request, range(options.requests)))
            rate = batch * options.requests / (time.perf_counter() - begin)
        row = {"batch": batch, "p50_ms": 1e3 * p50, "p99_ms": 1e3 * p99, "sequences_per_s": rate, "clients": clients}
        row.update(first_ms=1e3 * first, import_s=imported - start, load_s=loaded - imported, answer=answer.tolist())
        rows.append(row)
    print(json.dumps(rows))


def build(name, qubits):
    """A classifier of the rows of an image: a QRNN, or an LSTM of the nearest number of parameters."""
    import keras

    import tfq_qrnn

    keras.utils.set_random_seed(0)

    def model(layer):
        return keras.Sequential([keras.Input((None, FEATURES)), layer, keras.layers.Dense(10)])

    quantum = model(tfq_qrnn.QRNN(qubits, backend="native" if name == "native" else "tensorflow"))
    if name != "lstm":
        return quantum
    lstms = [model(keras.layers.LSTM(units)) for units in range(1, 40)]
    return min(lstms, key=lambda lstm: abs(lstm.count_params() - quantum.count_params()))


def measure(name, options):
    """The rows of one model, one for each batch size."""
    import keras
    import tensorflow as tf

    import tfq_qrnn

    model, random = build(name, options.qubits), np.random.default_rng(0)
    inputs = [random.random((batch, TIMESTEPS, FEATURES), np.float32) for batch in options.batch]
    library = str(tfq_qrnn.backends.native.library_path()) if name == "native" else ""
    with tempfile.TemporaryDirectory() as folder:
        # What model.export writes, with XLA where that is asked for.
        archive, signature = keras.export.ExportArchive(), [tf.TensorSpec((None, None, FEATURES), tf.float32)]
        archive.track(model)
        call = tf.function(model.call, input_signature=signature, jit_compile=name.endswith("XLA"))
        archive.add_endpoint("serve", call)
        archive.write_out(f"{folder}/model", verbose=False)
        for batch, x in zip(options.batch, inputs, strict=True):
            np.save(f"{folder}/{batch}.npy", x)
        command = [sys.executable, __file__, "--serve", folder, library, "--requests", options.requests]
        command = [*map(str, command), "--batch", *map(str, options.batch)]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"The process that serves {name} failed:\n{result.stderr[-2000:]}")
    rows = json.loads(result.stdout.splitlines()[-1])
    for row, x in zip(rows, inputs, strict=True):
        row["difference"] = float(np.abs(np.array(row.pop("answer")) - model(x).numpy()).max())
        row.update(model=name, parameters=model.count_params())
    return rows


def table(rows):
    head = ("model", "parameters", "batch", "p50, ms", "p99, ms", "sequences/s", "first request, ms")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        numbers = [row[name] for name in ("p50_ms", "p99_ms", "sequences_per_s", "first_ms")]
        numbers = [f"{number:,.0f}" if number >= 100 else f"{number:.3g}" for number in numbers]
        cells = (row["model"], f"{row['parameters']:,}", row["batch"], *numbers)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main():
    options = parse_arguments()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.serve:
        serve(*options.serve, options)
        return
    import tensorflow as tf

    rows = [row for name in options.models for row in measure(name, options)]
    options.out.mkdir(parents=True, exist_ok=True)
    machine = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version(), "tensorflow": tf.__version__}
    path = options.out / "serving.json"
    path.write_text(json.dumps({"machine": machine, "requests": options.requests, "rows": rows}, indent=2) + "\n")
    print(f"{table(rows)}\n\n{path}: the same, with the seconds of import and loading")


if __name__ == "__main__":
    main()
