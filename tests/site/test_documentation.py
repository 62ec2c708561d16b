"""Every example of the documentation runs: doctests, and the blocks of README and docs with what they print."""

import contextlib
import doctest
import importlib
import importlib.util
import inspect
import io
import json
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys
import tempfile

import cirq
import keras
import numpy as np
import pytest
import sympy
import tensorflow as tf
import yaml

import tfq_qrnn
from tfq_qrnn.gates import SUPPORTED_GATES

ROOT = pathlib.Path(__file__).parents[2]
MODULES = sorted(module.name for module in pkgutil.walk_packages(tfq_qrnn.__path__, "tfq_qrnn."))
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
ONE_PROGRAM = "<!-- one program -->"  # on a page whose blocks run one after the other; others stand alone
WIDEST = 85  # characters of code that the site shows without a scroll bar


def page_id(page):
    return str(page.relative_to(ROOT))


def marked(value, code, *marks):
    """A parameter of a test that runs some code, marked where the code needs TensorFlow Quantum."""
    needs = re.search(r'import tensorflow_quantum|TFQ\(|"tfq"|to_tfq\(', code)
    return pytest.param(value, marks=[*marks, *([pytest.mark.tfq] if needs else [])])


def examples_of(name):
    lines = pathlib.Path(importlib.util.find_spec(name).origin).read_text().splitlines()
    return "\n".join(line for line in lines if re.match(r" *(>>>|\.\.\.) ", line))


@pytest.mark.parametrize("name", [marked(name, examples_of(name)) for name in ["tfq_qrnn", *MODULES]])
def test_doctests(name):
    modules = (cirq, keras, sympy, tempfile, tfq_qrnn)
    names = {"np": np, "tf": tf, **{module.__name__: module for module in modules}}
    module = importlib.import_module(name)
    assert doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def public_names():
    """The names of `__all__`, there and in the public modules, and those that the API lists."""
    names = {f"tfq_qrnn.{name}" for name in tfq_qrnn.__all__}
    for module in [name for name in names if inspect.ismodule(eval(name))]:
        names |= {f"{module}.{name}" for name in getattr(eval(module), "__all__", ())}
    return sorted(names | set(listed_names()))


def listed_names():
    """The names on the pages of the API."""
    text = "".join(page.read_text() for page in sorted(ROOT.glob("docs/api/*.md")))
    return re.findall(r"^::: (\S+)", text, re.MULTILINE)


def test_public_names_have_examples():
    public = {name: eval(name) for name in public_names()}
    without = [name for name, value in public.items() if callable(value) and ">>>" not in (value.__doc__ or "")]
    assert without == []


def test_api_lists_every_public_name_once():
    names = listed_names()
    assert sorted(names) == sorted(set(names))
    listed = {id(eval(name)) for name in names}
    public = {name: eval(name) for name in public_names()}
    assert [name for name, value in public.items() if not inspect.ismodule(value) and id(value) not in listed] == []


def blocks(page, language):
    """The blocks of a language, each with the "text" block that follows it, or None."""
    pattern = rf"^```{language}\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?"
    return [match.groups() for match in re.finditer(pattern, page.read_text(), re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize(
    "page",
    [
        marked(
            page,
            "".join(block for block, _ in blocks(page, "python")),
            *([pytest.mark.slow] if page.name == "your_sequences.md" else []),
        )
        for page in PAGES
    ],
    ids=page_id,
)
def test_python_blocks_run_and_print_what_they_say(page):
    names = {"__name__": "__main__"}
    for block, expected in blocks(page, "python"):
        if "import keras_tuner" in block and importlib.util.find_spec("keras_tuner") is None:
            continue  # the page says so
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(page), "exec"), names)
        assert expected is None or printed.getvalue() == expected
        if ONE_PROGRAM not in page.read_text():
            names = {"__name__": "__main__"}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_code_is_not_wider_than_the_site_shows(page):
    """Commands of the tables of results are wrapped when they are rendered; a path or a message is as long as it is."""
    wide = [
        line
        for block, _ in blocks(page, "(?:python|ya?ml|json|(?:ba|)sh|shell)")
        for line in block.splitlines()
        if len(line) > WIDEST
    ]
    assert wide == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_data_blocks_parse(page):
    for block, _ in blocks(page, "json"):
        json.loads(block)
    for block, _ in blocks(page, "ya?ml"):
        yaml.safe_load(block)


def options_of(script):
    """The options that the source of a script names, or that of what examples and experiments share."""
    shared = {"examples": "examples/datasets.py", "experiments": "experiments/harness/*.py"}
    sources = [script, *ROOT.glob(shared.get(script.relative_to(ROOT).parts[0], "no file"))]
    return {option for path in sources for option in re.findall(r'"(--?[a-zA-Z][-\w]*)"', path.read_text())} | {
        "--help"
    }


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_name_what_there_is(page):
    """Scripts, their options, tests and targets of make, in shell blocks and in the text."""
    text = page.read_text()
    shell = [line for block, _ in blocks(page, "(?:ba)?sh") for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`((?:\.venv/bin/)?(?:python|make) [^`]+)`", text)
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in [*shell, *inline]:
        words = shlex.split(line.replace("\n", " "), comments=True)
        while words and re.fullmatch(r"\w+=\S*", words[0]):  # variables before the command
            words.pop(0)
        if words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word} <= targets, line
        elif words and words[0].endswith("python") and words[1:2] != ["-c"]:
            if words[1:2] == ["-m"]:
                words[1:3] = [words[2].replace(".", "/") + ".py"] if words[2].startswith("experiments.") else ["-m"]
            files = [word for word in words if word.endswith(".py") and "/" in word]
            assert all((ROOT / file).exists() for file in files), line
            if words[1] in files and words[1].startswith(("experiments/", "benchmarks/", "examples/")):
                used = {word.split("=")[0] for word in words[2:] if re.match(r"--?[a-zA-Z]", word)}
                assert used <= options_of(ROOT / words[1]), line
        elif words and words[0].startswith(".ci/"):
            assert (ROOT / words[0]).exists(), line


def test_gates_are_what_the_page_for_physicists_says():
    rng = np.random.default_rng(0)
    numbers = dict(zip(("t", "p", "a", "theta", "phi"), rng.uniform(-2, 2, 5), strict=True))
    functions = {name: getattr(np, name) for name in ("pi", "cos", "sin", "sqrt")}
    qubits = cirq.LineQubit.range(2)
    letters = {"X": cirq.X, "Y": cirq.Y, "Z": cirq.Z, "I": None}
    one = {letter: gate(qubits[0]) for letter, gate in letters.items() if gate}
    two = {
        a + b: cirq.PauliString([g(q) for g, q in zip((letters[a], letters[b]), qubits, strict=True) if g])
        for a in letters
        for b in letters
    }
    page = (ROOT / "docs" / "physicists.md").read_text()
    seen = set()
    for code, formula in re.findall(r"^\| `(cirq\..*?)` \| `(.*?)` \|", page, re.MULTILINE):
        gate = eval(code, {"cirq": cirq, **numbers})
        generator = cirq.PauliSum() + eval(formula, {**numbers, **functions, **one, **two})
        values, vectors = np.linalg.eigh(generator.matrix(qubits[: cirq.num_qubits(gate)]))
        unitary = (vectors * np.exp(1j * values)) @ vectors.conj().T
        np.testing.assert_allclose(cirq.unitary(gate), unitary, atol=1e-12, err_msg=code)
        seen |= {kind for kind in SUPPORTED_GATES if isinstance(gate, kind)}
    assert seen == set(SUPPORTED_GATES)


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


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_to_files_are_not_broken(page):
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_page_is_in_the_navigation():
    listed = re.findall(r" ([\w/]+)\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/notebooks/*.ipynb")]
    assert sorted(listed) == sorted(str(page.relative_to(ROOT / "docs").with_suffix("")) for page in pages)


def test_layout_is_that_of_the_repository():
    readme = (ROOT / "README.md").read_text()
    layout = readme[readme.index("## Layout") : readme.index("## Limits")]
    modules = [p for p in (ROOT / "tfq_qrnn").iterdir() if p.name[0] != "_" and (p.is_dir() or p.suffix == ".py")]
    names = [p.name + "/" * p.is_dir() for p in modules]
    names += [p.name for folder in ("examples", "benchmarks") for p in ROOT.glob(f"{folder}/*.*")]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    names += sorted({f"{path.split('/')[0]}/" for path in tracked if "/" in path and path[0] != "."})
    assert [name for name in names if name not in layout] == []
    shown = set(re.findall(r"[a-z_]+\.py", layout))
    assert [name for name in shown if not any(ROOT.glob(f"*/**/{name}"))] == []


@pytest.mark.slow
def test_refuses_another_backend_of_keras():
    result = subprocess.run(
        [sys.executable, "-c", "import tfq_qrnn"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"KERAS_BACKEND": "numpy", "PATH": "/usr/bin:/bin"},
    )
    assert "KERAS_BACKEND" in result.stderr.splitlines()[-1]


def test_folders_at_the_top_are_the_packages():
    for name in ("layers", "hw"):
        assert (ROOT / name).resolve() == ROOT / "tfq_qrnn" / name
