"""Time of a training step, as ratios measured in one run.

    python benchmarks/speed.py --out DIR                       # the whole table
    python benchmarks/speed.py --cases 8x28x32 --threads 1     # qubits x time steps x batch

A step is forward, backward and all gradients, as a compiled function, of `QRNN(n_qubits, depth=2)` on inputs
`(batch, time, 4)`: with a linear controller on every backend, and with 32 GELU units. Beside them: the same layer in
JAX, an LSTM with as many parameters, and the bare kernel (kernel.cc), the quantum part alone with angles given. The
best of several repetitions counts. Writes `DIR/speed.json`.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_CASES = [
    *((n, 28, 32) for n in (4, 6, 8, 10, 12, 14)),
    (8, 196, 32),
    (8, 784, 32),
    *((8, 28, batch) for batch in (1, 8, 256)),
    (16, 1, 4),
    (20, 1, 1),
]
_NAMES = ("native", "native, 32 GELU units", "tensorflow", "tensorflow, XLA", "JAX", "LSTM")
_SLOW = 60.0  # seconds for one step, beyond which a case is left out


def _parse_case(text):
    return tuple(int(part) for part in text.split("x"))


def best_time(function, seconds=2.0, least=3):
    """The shortest call of `function` in milliseconds; None where one call takes longer than a minute."""
    start = time.perf_counter()
    function()
    if time.perf_counter() - start > _SLOW:
        return None
    best, start, calls = float("inf"), time.perf_counter(), 0
    while calls < least or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        function()
        best, calls = min(best, time.perf_counter() - before), calls + 1
    return best * 1e3


def _keras_step(layer, inputs, jit):
    import tensorflow as tf

    layer(inputs)
    weights = layer.trainable_weights

    @tf.function(jit_compile=jit)
    def step(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(inputs) ** 2)
        return loss, tape.gradient(loss, weights)

    return lambda: step(inputs)[0].numpy()


def _lstm_units(n_parameters, features):
    units = 1
    while 4 * (units + 1) * (units + 2 + features) <= n_parameters:
        units += 1
    return units


def _steps(n_qubits, timesteps, batch):
    """Name -> a function that makes the step."""
    import keras
    import numpy as np
    import tensorflow as tf

    import tfq_qrnn

    inputs = np.random.default_rng(0).normal(size=(batch, timesteps, 4)).astype("float32")

    def qrnn(backend, hidden_units=(), jit=False):
        return lambda: _keras_step(
            tfq_qrnn.QRNN(n_qubits, depth=2, hidden_units=hidden_units, backend=backend), tf.constant(inputs), jit
        )

    def lstm():
        n_parameters = (4 + 3 * n_qubits + 1) * 4 * n_qubits
        return _keras_step(keras.layers.LSTM(_lstm_units(n_parameters, 4)), tf.constant(inputs), False)

    def jax():
        from jax_reference import training_step

        return training_step(n_qubits, 2, inputs)

    return dict(
        zip(
            _NAMES,
            (
                qrnn("native"),
                qrnn("native", (32,)),
                qrnn("tensorflow"),
                qrnn("tensorflow", jit=True),
                jax,
                lstm,
            ),
            strict=True,
        )
    )


def _kernel(directory):
    binary = pathlib.Path(directory) / "kernel"
    source = pathlib.Path(__file__).with_name("kernel.cc")
    flags = ["-O3", "-march=native", "-ffast-math"]
    subprocess.run(["g++", *flags, str(source), "-o", str(binary), "-lpthread"], check=True)
    return binary


def _kernel_time(binary, case, threads):
    text = subprocess.run([binary, *map(str, case), str(threads)], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"fwd\+bwd ([\d.]+) ms", text).group(1))


def measure_case(case, threads, names, kernel):
    """Milliseconds of one case by name."""
    row = {"kernel": _kernel_time(kernel, case, threads)} if kernel else {}
    for name, make in _steps(*case).items():
        if name in names:
            try:
                row[name] = best_time(make())
            except (ImportError, ValueError) as error:  # a package or the op is not there
                print(f"{name}: {error}", file=sys.stderr)
    if kernel:  # the machine may have changed its pace meanwhile
        row["kernel"] = min(row["kernel"], _kernel_time(kernel, case, threads))
    return row


def _environment(threads):
    import keras
    import tensorflow as tf

    from tfq_qrnn.backends import native

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "machine": platform.machine(),
        "instructions": native.cpu_name() if native.missing() is None else None,
        "threads": threads,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", type=_parse_case, default=_CASES, help="qubits x time steps x batch")
    parser.add_argument("--only", nargs="+", choices=_NAMES, default=list(_NAMES))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=pathlib.Path, help="folder for speed.json")
    arguments = parser.parse_args()

    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if arguments.threads > 1 else 'false'}"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    rows = []
    print("| qubits | time | batch | kernel, ms |" + "".join(f" {name} |" for name in arguments.only))
    print("|---" * (4 + len(arguments.only)) + "|")
    with tempfile.TemporaryDirectory() as directory:
        try:
            kernel = _kernel(directory)
        except (OSError, subprocess.CalledProcessError):
            kernel = None  # no compiler
        for case in arguments.cases:
            row = measure_case(case, arguments.threads, arguments.only, kernel)
            unit = row.get("kernel")
            cells = []
            for name in arguments.only:
                value = row.get(name)
                ratio = f" ({value / unit:.2g}x)" if value and unit else ""
                cells.append(f"{value:.3g} ms{ratio}" if value else "-")
            kernel_cell = f"{unit:.3g}" if unit else "-"
            print(f"| {' | '.join(map(str, case))} | {kernel_cell} | {' | '.join(cells)} |", flush=True)
            rows.append({"n_qubits": case[0], "timesteps": case[1], "batch": case[2], "milliseconds": row})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        record = {"environment": _environment(arguments.threads), "peak_mib": peak, "cases": rows}
        (arguments.out / "speed.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
