"""What is in the files that are published, and that the package is built from them."""

import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
check_supply = importlib.import_module("scripts.check_supply")

MODULES = {str(path.relative_to(ROOT)) for path in (ROOT / "tfq_qrnn").rglob("*.py")}
NATIVE = {str(path.relative_to(ROOT)) for path in (ROOT / "tfq_qrnn/backends/native").iterdir()}
METADATA = {"METADATA", "RECORD", "WHEEL", "top_level.txt", "licenses/LICENSE"}


def build(folder, *arguments):
    # Without a compiler: the op takes half a minute, and scripts/check_supply.py builds it from an sdist.
    environment = {**os.environ, "CC": "false", "CXX": "false", "TFQ_QRNN_REQUIRE_NATIVE": "0"}
    result = subprocess.run(
        [sys.executable, "setup.py", "--quiet", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    source, dist = tmp_path_factory.mktemp("source") / "copy", tmp_path_factory.mktemp("dist")
    outside = shutil.ignore_patterns(".*", "out", "build", "dist", "site", "*.so", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, symlinks=True, ignore=outside)
    build(source, "sdist", "--dist-dir", str(dist))
    (path,) = dist.iterdir()
    return path


def test_sdist_holds_the_package_and_what_builds_it(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
    own = {name for name in names if not name.startswith("tfq_qrnn.egg-info/")}
    files = {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "setup.py"}
    assert own == MODULES | NATIVE | files


@pytest.mark.slow
def test_wheel_is_built_from_the_sdist_and_holds_the_package_alone(sdist, tmp_path):
    """No tests, examples or sources of the op, and not the folders `layers` and `hw` beside the package."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    messages = build(source, "bdist_wheel", "--dist-dir", str(tmp_path))
    assert "the native op was not built" in messages
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == MODULES
    # setuptools before 77 puts the licence beside the others
    assert {name.partition("/")[2].removeprefix("licenses/") for name in metadata} == {
        name.removeprefix("licenses/") for name in METADATA
    }


def test_every_dependency_has_bounds_that_are_tested():
    for name, line in check_supply.declared().items():
        assert check_supply.same_version(check_supply.lower_bound(line), check_supply.lower_bound(line) + ".0"), line
        assert "<" in line or name in ("setuptools", "importlib-resources"), line


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
