"""Nonsense for every public entry of the package, for as long as it is told: each case ends in a value or in an error
that says which argument is wrong.

    python fuzz/python_entries.py --minutes 5 --seed 0
    python fuzz/python_entries.py --entries pqc "hw.load" --minutes 1

What is drawn is in `tests/support/bad_input.py` and, for the data files of the experiments, in
`tests/support/bad_data.py`. Every case has 30 seconds and 1 GiB of new memory. Prints a table of what was tried, and
writes it with everything that went wrong to OUT/python_entries.json; exits with 1 where anything did.
"""

import argparse
import collections
import faulthandler
import importlib
import json
import os
import pathlib
import resource
import signal
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
sys.path += [str(pathlib.Path(__file__).parents[1] / name) for name in ("", "tests", "tests/support")]

import bad_data
import bad_input
import hypothesis

ENTRIES = bad_input.ENTRIES | bad_data.ENTRIES
SECONDS, MEBIBYTES = 30, 1024
OUTCOMES = ("value", "refused", "refused by Keras", "unruly")


def peak():
    """MiB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def limit_memory():
    """More than this is a MemoryError, and not the end of the machine."""
    size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 4 * 2**30,) * 2)


def too_long(*_):
    raise bad_input.UnrulyError(f"it took more than {SECONDS} s")


def one_round(strategy, function, seed, until, counts, findings):
    """A few dozen cases, or as many as fit until a time."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=40,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def run(value):
        if time.monotonic() > until:
            return
        before = peak()
        faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # for what an alarm does not reach
        signal.alarm(SECONDS)
        try:
            found = bad_input.outcome(function, value)
        except bad_input.UnrulyError as error:
            found, reason = "unruly", str(error)
        finally:
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
        if peak() - before > MEBIBYTES:
            found, reason = "unruly", f"it took {peak() - before} MiB\n{bad_input.printed(value)}"
        counts[found] += 1
        if found == "unruly":
            findings.append(reason)

    run()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--entries", nargs="+", default=list(ENTRIES), choices=list(ENTRIES))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/fuzz"))
    options = parser.parse_args()
    options.out = options.out.resolve()
    os.chdir(tempfile.mkdtemp())  # a word that is drawn for a path is a folder here
    signal.signal(signal.SIGALRM, too_long)
    importlib.import_module("cirq_google")  # takes seconds, which are no case's
    importlib.import_module("tensorflow_quantum")
    limit_memory()
    end = time.monotonic() + 60 * options.minutes
    counts = {name: collections.Counter() for name in options.entries}
    findings = {name: [] for name in options.entries}
    rounds = 0
    while time.monotonic() < end:
        share = (end - time.monotonic()) / len(options.entries)
        for i, name in enumerate(options.entries):
            strategy, function = ENTRIES[name]
            until = min(end, time.monotonic() + max(share, 5))
            one_round(strategy, function, options.seed + 1000 * rounds + i, until, counts[name], findings[name])
        rounds += 1
    print(f"{'entry':36}" + "".join(f"{outcome:>18}" for outcome in OUTCOMES))
    for name in options.entries:
        print(f"{name:36}" + "".join(f"{counts[name][outcome]:18,}" for outcome in OUTCOMES))
    total = sum(counts.values(), collections.Counter())
    print(f"{'all':36}" + "".join(f"{total[outcome]:18,}" for outcome in OUTCOMES))
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"minutes": options.minutes, "seed": options.seed, "counts": counts, "findings": findings}
    (options.out / "python_entries.json").write_text(json.dumps(record, indent=1) + "\n")
    sys.exit(bool(total["unruly"]))


if __name__ == "__main__":
    main()
