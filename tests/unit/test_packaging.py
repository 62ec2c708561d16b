"""What is in the files that are published, that they install and run, and that what describes them agrees."""

import importlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile

import pytest
import yaml

import tfq_qrnn

ROOT = pathlib.Path(__file__).parents[2]
build_wheel = importlib.import_module("scripts.build_wheel")
check_supply = importlib.import_module("scripts.check_supply")

MODULES = {str(path.relative_to(ROOT)) for path in (ROOT / "tfq_qrnn").rglob("*.py")} | {"tfq_qrnn/py.typed"}
NATIVE = {str(path.relative_to(ROOT)) for path in (ROOT / "tfq_qrnn/backends/native").iterdir()}
PROJECT = check_supply.metadata()["project"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The paths of the sdist and the wheel: those in the folder that TFQ_QRNN_DIST names, or new ones."""
    if folder := os.environ.get("TFQ_QRNN_DIST"):
        return [next(pathlib.Path(folder).glob(pattern)) for pattern in ("*.tar.gz", "*.whl")]
    source, out = tmp_path_factory.mktemp("source") / "copy", tmp_path_factory.mktemp("dist")
    # From a copy, so that nothing that an earlier build left beside the sources comes along.
    outside = shutil.ignore_patterns(".*", "out", "build", "dist", "site", "*.so", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, symlinks=True, ignore=outside)
    return build_wheel.build(out, source)


def environment(**more):
    """That of this process, without a compiler and without this checkout."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**clean, "CC": "false", "CXX": "false", "TF_CPP_MIN_LOG_LEVEL": "3", **more}


def run(*command, **kwargs):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment(**kwargs))
    assert result.returncode == 0, result.stderr
    return result


@pytest.mark.slow
def test_sdist_holds_the_package_and_what_builds_it(published):
    with tarfile.open(published[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
    own = {name for name in names if not name.startswith("tfq_qrnn.egg-info/")}
    files = {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "setup.py"}
    assert own == MODULES | NATIVE | files


@pytest.mark.slow
def test_wheel_holds_the_package_and_libraries_without_python_in_them(published, tmp_path):
    """No tests, examples or sources of the op, and not the folders `layers` and `hw` beside the package.

    A wheel that is published has a library for each TensorFlow that pyproject.toml allows.
    """
    from elftools.elf.elffile import ELFFile  # comes with auditwheel

    wheel = published[1]
    assert re.fullmatch(
        rf"tfq_qrnn-{re.escape(tfq_qrnn.__version__)}-py3-none-manylinux_\d+_\d+_x86_64.whl", wheel.name
    )
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        libraries = {name for name in names if name.endswith(".so")}
        archive.extractall(tmp_path, libraries)
        metadata = {name for name in names if ".dist-info/" in name}
        (text,) = (archive.read(name).decode() for name in metadata if name.endswith("/METADATA"))
    assert names - metadata == MODULES | libraries
    minors = {re.fullmatch(r"tfq_qrnn/backends/_native_ops\.tf-(\d+\.\d+)\.so", name)[1] for name in libraries}
    assert minors == {"2.18", "2.19", "2.20", "2.21"} or (len(minors) == 1 and not os.environ.get("TFQ_QRNN_DIST"))
    assert f"\nVersion: {tfq_qrnn.__version__}\n" in text
    assert "\nLicense-Expression: Apache-2.0\n" in text
    for library in libraries:
        with (tmp_path / library).open("rb") as stream:
            elf = ELFFile(stream)
            needed = {tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}
            wanted = {symbol.name for symbol in elf.get_section_by_name(".dynsym").iter_symbols()}
        assert "libtensorflow_framework.so.2" in needed
        assert not any("python" in name for name in needed)
        assert not any(re.match("_?Py[A-Z_]", name) for name in wanted)


_BOTH_BACKENDS = """
import numpy as np
import tfq_qrnn

x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float64")
layers = [tfq_qrnn.QRNN(n_qubits=3, seed=0, dtype="float64", backend=name) for name in ("native", "tensorflow")]
outputs = [layer(x) for layer in layers]
layers[1].set_weights(layers[0].get_weights())
print(tfq_qrnn.__file__, abs(layers[0](x) - layers[1](x)).numpy().max())
"""


@pytest.mark.slow
def test_wheel_installs_without_a_compiler_and_brings_the_native_op(published, tmp_path):
    """Into an environment of its own that sees the installed packages, but not this checkout."""
    venv.create(tmp_path, symlinks=True)
    python = tmp_path / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", published[1])
    (site,) = tmp_path.glob("lib/python*/site-packages")
    (site / "installed.pth").write_text("\n".join(sysconfig.get_paths()[name] for name in ("purelib", "platlib")))
    file, difference = run(python, "-I", "-c", _BOTH_BACKENDS).stdout.split()
    assert pathlib.Path(file) == site / "tfq_qrnn" / "__init__.py"
    assert float(difference) < 1e-12  # two orders of the same sums in float64


@pytest.mark.slow
def test_sdist_installs_without_a_compiler(published, tmp_path):
    options = ["-v", "--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir", "--wheel-dir", tmp_path]
    result = run(sys.executable, "-m", "pip", "wheel", *options, published[0], TFQ_QRNN_REQUIRE_NATIVE="0")
    assert "the native op was not built" in result.stdout + result.stderr
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == MODULES


def test_every_dependency_has_bounds_that_are_tested():
    for name, line in check_supply.declared("lowest").items():
        assert check_supply.same_version(check_supply.lower_bound(line), check_supply.lower_bound(line) + ".0"), line
        assert "<" in line or name in ("setuptools", "importlib-resources"), line


def test_the_quick_tests_of_the_ranges_are_there():
    for where in check_supply.QUICK.split():
        path, _, name = where.partition("::")
        assert not name or f"\ndef {name}(" in (ROOT / "tests" / path).read_text(), where


def test_citation_and_site_say_what_the_metadata_say():
    """The repository's address, too: where pyproject.toml has none, nobody has one."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    site = (ROOT / "mkdocs.yml").read_text()
    address = PROJECT["urls"].get("Repository")
    assert citation["title"] == PROJECT["name"]
    assert citation["abstract"] == PROJECT["description"]
    assert citation["license"] == PROJECT["license"]
    assert citation["version"] == tfq_qrnn.__version__
    assert citation.get("repository-code") == address
    assert re.findall(r"^repo_url: (.*)$", site, re.MULTILINE) == ([address] if address else [])


def test_changelog_has_a_section_for_this_version():
    headings = re.findall(r"^## \[?(.+?)\]? - ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == tfq_qrnn.__version__


@pytest.mark.parametrize(("one", "other", "same"), [("3", "3.0.0", True), ("3.12", "3.12.1", False)])
def test_versions_are_compared_with_their_zeros(one, other, same):
    assert check_supply.same_version(one, other) is same


def test_table_says_what_did_not_run():
    results = [
        {"python": "3.10", "end": "lowest", "versions": {"keras": "3.12.0"}, "failed": "uv ...: exit status 1"},
        {"python": "3.12", "end": "newest", "versions": {}, "passed": 7, "failures": ["a::b"], "tests_s": 3.5},
    ]
    first, second = check_supply.table(results).splitlines()[2:]
    assert first == "| 3.10 | lowest |  | 3.12.0 |  |  |  |  |  | not run |  |"
    assert second.endswith("| 7 | 1 | 3.5 |")
