"""Every example of the documentation runs: doctests, and the Python blocks of README and docs."""

import doctest
import importlib
import pathlib
import pkgutil
import re
import subprocess
import sys

import cirq
import keras
import numpy as np
import pytest
import sympy
import tensorflow as tf

import tfq_qrnn

ROOT = pathlib.Path(__file__).parent.parent
MODULES = sorted(module.name for module in pkgutil.walk_packages(tfq_qrnn.__path__, "tfq_qrnn."))
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("name", ["tfq_qrnn", *MODULES])
def test_doctests(name):
    names = {"cirq": cirq, "keras": keras, "np": np, "sympy": sympy, "tf": tf, "tfq_qrnn": tfq_qrnn}
    module = importlib.import_module(name)
    assert doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_public_names_have_examples():
    public = [getattr(tfq_qrnn, name) for name in tfq_qrnn.__all__]
    documented = [value for value in public if callable(value) and value is not tfq_qrnn.Trace]
    assert [value.__name__ for value in documented if ">>>" not in (value.__doc__ or "")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page):
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL):
        exec(compile(block, str(page), "exec"), {"__name__": "__main__"})


def test_quick_start_learns_and_is_short():
    block = re.search(r"## Quick start\n\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    assert len([line for line in block.splitlines() if line.strip()]) <= 15
    keras.utils.set_random_seed(0)
    names = {}
    exec(block, names)
    # Chance is 0.5. The sum of ten features is far from zero for most sequences.
    assert names["model"].evaluate(names["x"], names["y"], verbose=0)[1] > 0.8
    state = cirq.Simulator().simulate(names["trace"].circuit(0)).final_state_vector
    np.testing.assert_allclose(state, names["trace"].states[0, -1], atol=1e-5)  # 160 gates in complex64


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_are_not_broken(page):
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_import_is_light():
    """None of these is loaded before it is used. (matplotlib is: Keras itself imports it where it is installed.)"""
    code = "import sys, tfq_qrnn; print([m for m in ('tensorflow_quantum', 'cirq_google', 'cirq') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
def test_refuses_another_backend_of_keras():
    pytest.importorskip("jax")
    result = subprocess.run(
        [sys.executable, "-c", "import tfq_qrnn"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"KERAS_BACKEND": "jax", "PATH": "/usr/bin:/bin"},
    )
    assert "KERAS_BACKEND" in result.stderr.splitlines()[-1]


def test_folders_at_the_top_are_the_packages():
    for name in ("layers", "hw"):
        assert (ROOT / name).resolve() == ROOT / "tfq_qrnn" / name
