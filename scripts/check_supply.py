"""Test the package at both ends of its dependency ranges, each in an environment of its own.

    python scripts/check_supply.py                               Python 3.10, 3.11 and 3.12, at all three ends
    python scripts/check_supply.py --python 3.10 --end lowest --quick

For each pair uv resolves the ranges of pyproject.toml, of the package and of its tests. "newest" is what pip installs
today with TensorFlow Quantum, "today" what it installs without, with newer TensorFlow and Cirq. "lowest" takes each
range as low as the others let it, and what these bring along as new as it comes; a lower bound that cannot be had is
named. The package is built from its sdist, with the lowest setuptools that pyproject.toml
allows; the tests run on a copy of this checkout.

Prints a table, and adds the results to DIR/supply.json. Exit status 1 where anything failed.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A few tests of circuits, layers, the native op and export: what a wrong version would break first.
QUICK = """
    unit/test_program.py
    unit/test_layers.py::test_gradients_are_finite_differences
    unit/test_layers.py::test_every_argument_survives_the_config
    unit/test_native.py::test_layers_train_alike_on_both_backends
    unit/test_native.py::test_batches_that_do_not_fill_the_lanes
    unit/test_native.py::test_saves_and_loads
    hw/test_export.py::test_circuits_are_the_trained_ones
"""
ENDS = ("lowest", "newest", "today")


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=["3.10", "3.11", "3.12"], help="versions, or paths of Pythons")
    parser.add_argument("--end", nargs="+", default=[*ENDS], choices=ENDS)
    parser.add_argument("--quick", action="store_true", help="a few tests of each part only")
    parser.add_argument("--folder", type=pathlib.Path, help="where the environments are made; a temporary folder")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/supply"), help="folder (out/supply)")
    return parser.parse_args(arguments)


def metadata():
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def declared(end):
    """The requirements of pyproject.toml that the tests run with at an end: name -> specifier."""
    settings = metadata()
    extras = settings["project"]["optional-dependencies"]
    lines = [*settings["project"]["dependencies"], *settings["build-system"]["requires"]]
    for line in extras["test"]:
        own = re.fullmatch(r"tfq_qrnn\[(.+)\]", line)
        lines += [other for extra in own[1].split(",") for other in extras[extra]] if own else [line]
    lines += [] if end == "today" else extras["tfq"]  # last: its ranges are the narrower ones
    return {re.match(r"[\w-]+", line)[0].lower().replace("_", "-"): line for line in lines}


def lower_bound(line):
    return re.search(r">=([\d.]+)", line).group(1)


def same_version(one, other):
    """Whether two versions are one, 3 and 3.0.0 for instance."""
    one, other = ([int(part) for part in version.split(".")] for version in (one, other))
    length = max(len(one), len(other))
    return one + [0] * (length - len(one)) == other + [0] * (length - len(other))


def run(command, log, **kwargs):
    """Run a command, its output into `log`, and return its seconds; CalledProcessError where it fails."""
    start = time.perf_counter()
    with log.open("a") as stream:
        print(f"$ {' '.join(map(str, command))}", file=stream, flush=True)
        subprocess.run([*map(str, command)], stdout=stream, stderr=subprocess.STDOUT, check=True, **kwargs)
    return round(time.perf_counter() - start, 1)


def copy_checkout(target):
    """The files that git knows or would add, without what was built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink() or source.exists():
            shutil.copy2(source, copy, follow_symlinks=False)


def resolve(binary, end, folder, log):
    """Resolve into `folder / "requirements.txt"`; the versions by name."""
    inputs, output = folder / "declared.txt", folder / "requirements.txt"
    command = [
        "uv",
        "pip",
        "compile",
        "--no-header",
        "--no-annotate",
        "--python",
        binary,
        "--output-file",
        output,
        inputs,
    ]
    pinned = [f"{line.partition('>=')[0]}=={lower_bound(line)}" for line in declared(end).values()]
    attempts = [(declared(end).values(), "highest")]
    if end == "lowest":
        # uv's own lowest takes what another package brings along first as new as it comes; hence the pins.
        attempts = [(pinned, "highest"), (declared(end).values(), "lowest-direct")]
    for lines, resolution in attempts:
        inputs.write_text("\n".join(lines))
        try:
            run([*command, "--resolution", resolution], log)
            break
        except subprocess.CalledProcessError:
            if (lines, resolution) == attempts[-1]:
                raise
    return dict(line.split("==") for line in output.read_text().splitlines())


def check(python, end, folder, options):
    """Resolve, install, build and test; the result as a dict."""
    source, environment = folder / "source", folder / "environment"
    log = options.out / f"{pathlib.Path(python).name}-{end}.log"
    report = folder / "report.xml"
    log.unlink(missing_ok=True)
    copy_checkout(source)
    result = {"python": python, "end": end, "tests": "quick" if options.quick else "not slow"}
    try:
        run(["uv", "venv", "--python", python, environment], log)
        binary = environment / "bin" / "python"
        version = [binary, "-c", "import platform; print(platform.python_version())"]
        result["python"] = subprocess.run(version, capture_output=True, text=True, check=True).stdout.strip()
        result["versions"] = versions = resolve(binary, end, folder, log)
        requirements = folder / "requirements.txt"
        if end == "lowest":
            found = ((line, versions[name]) for name, line in declared(end).items())
            result["bounds out of reach"] = {
                line: version for line, version in found if not same_version(version, lower_bound(line))
            }
        result["install_s"] = run(["uv", "pip", "install", "--python", binary, "-r", requirements], log)
        strict = {**os.environ, "TFQ_QRNN_REQUIRE_NATIVE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        run([binary, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder / "dist", source], log)
        (sdist,) = (folder / "dist").iterdir()
        install = ["uv", "pip", "install", "--python", binary, "--no-deps", "--no-build-isolation", sdist]
        result["build_s"] = run(install, log, env=strict)
        (library,) = environment.glob("lib/python*/site-packages/tfq_qrnn/backends/_native_ops.*.so")
        shutil.copy(library, source / "tfq_qrnn" / "backends")
        run([binary, "-c", "import tfq_qrnn; tfq_qrnn.backends.Native()"], log, cwd=folder)
        where = [f"tests/{name}" for name in QUICK.split()] if options.quick else []
        tests = [binary, "-m", "pytest", "-q", "-m", "not slow", f"--junitxml={report}", *where]
        # What an example finds installed beside this checkout must not count.
        clean = {name: value for name, value in strict.items() if name != "PYTHONPATH"}
        result["tests_s"] = run(tests, log, cwd=source, env={**clean, "PATH": f"{binary.parent}:{clean['PATH']}"})
    except subprocess.CalledProcessError as error:
        result["failed"] = f"{' '.join(map(str, error.cmd[:5]))} ...: exit status {error.returncode}; see {log}"
    if report.exists():
        suite = xml.etree.ElementTree.parse(report).getroot()[0]
        counts = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
        result["failures"] = [
            f"{case.get('classname')}::{case.get('name')}"
            for case in suite.iter("testcase")
            if case.find("failure") is not None or case.find("error") is not None
        ]
        result["passed"] = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
        result["skipped"] = counts["skipped"]
    return result


def table(results):
    shown = ("tensorflow", "keras", "numpy", "cirq-core", "matplotlib", "setuptools")
    rows = [f"| Python | end | {' | '.join(shown)} | passed | failed | tests, s |", "|" + "---|" * (len(shown) + 5)]
    for result in results:
        versions = [result.get("versions", {}).get(name, "") for name in shown]
        outcome = [result.get("passed", ""), len(result.get("failures", [])) if "passed" in result else "not run"]
        cells = [result["python"], result["end"], *versions, *outcome, result.get("tests_s", "")]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def main(arguments=None):
    options = parse_arguments(arguments)
    os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if shutil.which("uv") is None:
        sys.exit("This script installs with uv, which is not there: pip install uv")
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "supply.json"
    kept = json.loads(path.read_text()) if path.exists() else []
    results = []
    for python in options.python:
        for end in options.end:
            print(f"Python {python}, {end} ...", flush=True)
            # Each is deleted before the next is made: one takes 3 GB.
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                result = check(python, end, pathlib.Path(folder), options)
            results.append(result)
            kept = [other for other in kept if (other["python"], other["end"]) != (result["python"], end)] + [result]
            path.write_text(json.dumps(kept, indent=2) + "\n")
            for bound, version in result.get("bounds out of reach", {}).items():
                print(f"  {bound}: the lowest that can be had is {version}")
            for name in result.get("failures", []):
                print(f"  {name} failed")
            if "failed" in result:
                print(f"  {result['failed']}")
    print("\n" + table(results))
    return 1 if any("failed" in result for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
