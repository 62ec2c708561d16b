"""Time one training step: this package's backends, other simulators, an LSTM of as many parameters, the bare kernel.

    python benchmarks/training_step.py                   everything that is installed, on 1 and 2 threads
    python benchmarks/training_step.py --methods native kernel --qubits 8 12

A step is forward, backward and all gradients of a linear controller and a depth-2 circuit with readouts X, Y, Z of
every qubit, on input (batch, time, 4), compiled where the method compiles. Every method runs in a process of its own,
on the same cores, within one call of this script: compare ratios, not milliseconds of different runs. The bare kernel
(bare_kernel.cc) is the circuit's part alone, in C++, with nothing around it. "native, drift" has the drift of the
layers' default circuit, "native, ising" and "native, mix" other constant gates (constant_part.py); their process runs
steps with and without them in turn, and a cell has the ratio of the two.

Prints tables, and writes DIR/training_step.json and DIR/training_step.png.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import pathlib
import platform
import queue
import subprocess
import sys
import threading
import time
from importlib import metadata

HERE = pathlib.Path(__file__).parent
FEATURES = 4


@dataclasses.dataclass(frozen=True)
class Case:
    qubits: int
    timesteps: int
    batch: int

    def __str__(self):
        return f"n={self.qubits} T={self.timesteps} batch={self.batch}"


# method -> what must be importable
METHODS = {
    "kernel": None,
    "native": "tfq_qrnn",
    "native, 32 GELU": "tfq_qrnn",
    "native, drift": "tfq_qrnn",
    "native, ising": "tfq_qrnn",
    "native, mix": "tfq_qrnn",
    "tensorflow": "tfq_qrnn",
    "tensorflow, XLA": "tfq_qrnn",
    "tfq": "tensorflow_quantum",
    "lstm": "keras",
    "jax": "jax",
    "pennylane": "pennylane",
    "tensorcircuit": "tensorcircuit",
    "torchquantum": "torchquantum",
}


def standard_cases(qubits):
    """n at 28 steps and a batch of 32; steps at 8 and 12 qubits; batches at 8 qubits; large n at small batches."""
    cases = [Case(n, 28, 32) for n in qubits]
    cases += [Case(n, timesteps, 32) for timesteps in (196, 784) for n in (8, 12)]
    cases += [Case(8, 28, batch) for batch in (1, 256)]
    return cases


LARGE = [Case(16, 28, 4), Case(20, 4, 1)]
LARGE_METHODS = ("native", "tensorflow, XLA")


# What a worker process runs


def keras_step(method, case):
    """A compiled training step of a Keras layer."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    x = tf.random.stateless_normal((case.batch, case.timesteps, FEATURES), seed=(0, 1))
    if method == "lstm":
        parameters = (FEATURES + 3 * case.qubits + 1) * 4 * case.qubits
        counts = {units: 4 * units * (FEATURES + units + 1) for units in range(1, 512)}
        layer = keras.layers.LSTM(min(counts, key=lambda units: abs(counts[units] - parameters)))
    else:
        import tfq_qrnn

        name = method.split(",")[0]
        backend = tfq_qrnn.backends.TFQ(max_timesteps=case.timesteps) if name == "tfq" else name
        controller = tfq_qrnn.Controller((32,), activation="gelu") if "GELU" in method else ()
        circuit = tfq_qrnn.HardwareEfficient(case.qubits)  # the circuit of the kernel and of the rivals: no drift
        if kind := constant_part_of(method):
            from constant_part import with_constant_part

            circuit = with_constant_part(case.qubits, kind)
        layer = tfq_qrnn.QRNN(circuit=circuit, controller=controller, backend=backend)
    layer.build(x.shape)

    @tf.function(jit_compile=method.endswith("XLA"))
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(layer(x, training=True) ** 2)
        return tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    return lambda: [gradient.numpy() for gradient in step()]


def constant_part_of(method):
    """The kind of constant gates, or None."""
    return next((kind for kind in ("none", "drift", "ising", "mix") if method.endswith(kind)), None)


def time_step(method, case):
    """Best and median milliseconds of a step, seconds until the first was done, and the process's peak memory in MB.

    With constant gates also the best without them, in turn with the others.
    """
    if method in ("jax", "pennylane", "tensorcircuit", "torchquantum"):
        import rivals

        build = rivals.RIVALS[method]
        make = lambda: build(case.qubits, case.timesteps, case.batch)  # noqa: E731
    else:
        make = lambda: keras_step(method, case)  # noqa: E731
    start = time.perf_counter()
    step = make()
    step()
    first = time.perf_counter() - start
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    plain = keras_step(method.split(",")[0] + ", none", case) if constant_part_of(method) else None
    times, plain_times = [], []
    most = 50 if plain is None else 500  # a ratio of two minima wants more
    while len(times) < 3 or (sum(times) < 1 and len(times) < most):
        for function, spent in ((plain, plain_times), (step, times)):
            if function is not None:
                start = time.perf_counter()
                function()
                spent.append(time.perf_counter() - start)
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    return {
        "best_ms": 1e3 * min(times),
        "median_ms": 1e3 * sorted(times)[len(times) // 2],
        "first_s": first,
        "peak_mb": peak / 1024,
        **({"plain_ms": 1e3 * min(plain_times)} if plain_times else {}),
    }


def work(method, cases):
    for case in cases:
        try:
            result = time_step(method, case)
        except Exception as error:  # a rival that fails at one size is a result, not an end
            result = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(result), flush=True)


# The parent


def measure(method, cases, threads, limit):
    """Results of a method on the first `threads` cores; no more are tried from the first case over `limit` seconds."""
    if method == "kernel":
        return [_run_kernel(case, threads) for case in cases]
    command = [sys.executable, __file__, "--worker", method, "--cases", json.dumps([*map(dataclasses.astuple, cases)])]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": str(threads)},
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads]),
    )
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read)
    reader.start()
    results, reason = [], None
    while len(results) < len(cases) and reason is None:
        try:
            line = lines.get(timeout=limit)
        except queue.Empty:
            reason = f"over {limit:g} s"
        else:
            if line is None:
                reason = f"the process ended with {process.wait()}"
            else:
                results.append(json.loads(line))
    process.kill()
    reader.join()
    process.stdout.close()
    process.wait()
    return results + [{"error": reason}] * (len(cases) - len(results))


def _run_kernel(case, threads):
    binary = pathlib.Path(os.environ["BARE_KERNEL"])
    command = [binary, *map(str, dataclasses.astuple(case)), str(threads)]
    milliseconds = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {"best_ms": milliseconds, "median_ms": milliseconds}


def build_kernel(folder):
    """Compile the bare kernel; False where there is no compiler."""
    binary = folder / "bare_kernel"
    flags = ["-std=c++17", "-O3", "-march=native", "-ffast-math", "-lpthread"]
    try:
        subprocess.run(["g++", HERE / "bare_kernel.cc", "-o", binary, *flags], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return False
    os.environ["BARE_KERNEL"] = str(binary.resolve())
    return True


def installed(methods):
    found = [m for m in methods if METHODS[m] is None or importlib.util.find_spec(METHODS[m])]
    if any(method.startswith("native") for method in found):
        from tfq_qrnn.backends import native

        if native.missing() is not None:
            found = [method for method in found if not method.startswith("native")]
    return found


def versions():
    names = ("tfq_qrnn", "tensorflow", "keras", "tensorflow-quantum", "jax", "pennylane", "tensorcircuit", "torch")
    found = {"python": platform.python_version()}
    for name in (*names, "torchquantum"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(rows, threads):
    """Milliseconds by case and method, and their ratio to the bare kernel, or to the circuit alone, as Markdown."""
    rows = [row for row in rows if row["threads"] == threads]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    cases = list(dict.fromkeys(row["case"] for row in rows))
    value = {(row["method"], row["case"]): row.get("best_ms") for row in rows}
    plain = {(row["method"], row["case"]): row.get("plain_ms") for row in rows}
    cells = [["", *methods]]
    for case in cases:
        kernel = value.get(("kernel", case))
        cells.append([case])
        for method in methods:
            milliseconds = value.get((method, case))
            text = "" if milliseconds is None else f"{milliseconds:.3g}"
            if text and plain.get((method, case)):
                text += f" ({milliseconds / plain[method, case]:.2f}x alone)"
            elif text and kernel and method != "kernel":
                text += f" ({milliseconds / kernel:.2g}x)"
            cells[-1].append(text)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["| " + " | ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    title = f"{threads} thread{'s' if threads > 1 else ''}: best ms of one training step (times the bare kernel)"
    return f"\n{title}\n\n" + "\n".join(lines)


def draw(rows, threads, path):
    """Time against the number of qubits and against the number of time steps."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    rows = [row for row in rows if row["threads"] == threads and row.get("best_ms") and row["batch"] == 32]
    for i, method in enumerate(dict.fromkeys(row["method"] for row in rows)):
        mine = [row for row in rows if row["method"] == method]
        over_n = sorted((row["qubits"], row["best_ms"]) for row in mine if row["timesteps"] == 28)
        over_t = sorted((row["timesteps"], row["best_ms"]) for row in mine if row["qubits"] == 8)
        style = {"color": f"C{i}", "marker": "."} if method != "kernel" else {"color": "black", "linestyle": ":"}
        left.plot(*zip(*over_n, strict=True), label=method, **style)
        if over_t:
            right.plot(*zip(*over_t, strict=True), **style)
    left.set(xlabel="qubits (28 time steps, batch 32)", ylabel="ms per training step", yscale="log")
    right.set(xlabel="time steps (8 qubits, batch 32)", xscale="log")
    right.set_xticks(sorted({row["timesteps"] for row in rows}), minor=False)
    right.set_xticks([], minor=True)
    right.xaxis.set_major_formatter("{x:g}")
    figure.legend(loc="outside right upper", fontsize="small")
    figure.suptitle(f"One training step on {threads} threads")
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--qubits", type=int, nargs="+", default=[4, 6, 8, 10, 12, 14])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--quick", action="store_true", help="only 28 time steps and a batch of 32")
    parser.add_argument("--limit", type=float, default=60, help="seconds for one case, compilation included (60)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/bench"))
    parser.add_argument("--worker", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--cases", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, [Case(*case) for case in json.loads(options.cases)])
        return

    from tqdm import tqdm

    options.out.mkdir(parents=True, exist_ok=True)
    methods = installed(options.methods)
    if "kernel" in methods and not build_kernel(options.out):
        methods.remove("kernel")
    rows = []
    plan = [(method, threads) for threads in options.threads for method in methods]
    for method, threads in tqdm(plan, unit="method"):
        # From cheap to dear: what follows a case over the limit is not tried.
        cases = [Case(n, 28, 32) for n in options.qubits] if options.quick else standard_cases(options.qubits)
        cases.sort(key=lambda c: 2**c.qubits * c.timesteps * c.batch)
        results = measure(method, cases, threads, options.limit)
        if method in LARGE_METHODS and not options.quick:
            cases += LARGE
            results += measure(method, LARGE, threads, options.limit)
        for case, result in zip(cases, results, strict=True):
            row = {"method": method, "threads": threads, "case": str(case), **dataclasses.asdict(case)}
            rows.append({**row, **result})
    record = {"versions": versions(), "processor": processor(), "rows": rows}
    (options.out / "training_step.json").write_text(json.dumps(record, indent=1) + "\n")
    for threads in options.threads:
        print(table(rows, threads))
    draw(rows, max(options.threads), options.out / "training_step.png")
    for row in rows:
        if row["qubits"] > 14 and "peak_mb" in row:
            cost = f"{row['best_ms']:.0f} ms, peak memory of the process {row['peak_mb']:.0f} MB"
            print(f"{row['method']}, {row['threads']} threads, {row['case']}: {cost}")
    print(f"\n{options.out / 'training_step.json'}, {options.out / 'training_step.png'}")


if __name__ == "__main__":
    main()
