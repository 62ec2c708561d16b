"""Imports run one way, and what has one place stands there alone."""

import ast
import importlib.util
import pathlib
import subprocess
import sys

import pytest

import tfq_qrnn

ROOT = pathlib.Path(__file__).parents[2]
FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted((ROOT / "tfq_qrnn").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}

# Each row may import from the rows above it and from its own.
ROWS = [
    ("_checks", "_cirq_json", "_decompositions", "_errors", "_files", "_keras", "_memory", "_tfq", "_version"),
    ("circuits", "drift", "gates", "observables", "program"),
    ("backends",),
    ("layers", "quantum_data"),
    ("exporting", "hw", "plotting", "tracing", "training"),
    ("__init__",),
]
ROW = {room: number for number, row in enumerate(ROWS) for room in row}


def at_import(tree):
    """The nodes that run when a file is imported: all but the bodies of functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            yield node
            yield from at_import(node)


def imported(nodes):
    """What import statements among the nodes name: `(module, name)`, the name None for a whole module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports say the whole name"
            yield from ((node.module, alias.name) for alias in node.names)


def file_of(module, name):
    """The file of the package that an import loads, or None for other packages."""
    stem = module.replace(".", "/")
    candidates = [f"{stem}/{name}.py", f"{stem}/{name}/__init__.py", f"{stem}.py", f"{stem}/__init__.py"]
    return next((path for path in candidates if path in FILES), None)


IMPORTS = {
    name: {target for module in imported(at_import(tree)) if (target := file_of(*module))}
    for name, tree in TREES.items()
}


def room(file):
    return pathlib.PurePath(file).parts[1].removesuffix(".py")


def test_the_files_are_found():
    assert IMPORTS["tfq_qrnn/layers/qrnn.py"] >= {"tfq_qrnn/layers/qrnn_cell.py", "tfq_qrnn/backends/base.py"}
    assert {room(file) for file in FILES} == set(ROW)


def test_imports_run_one_way():
    wrong = {(file, target) for file in FILES for target in IMPORTS[file] if ROW[room(target)] > ROW[room(file)]}
    assert wrong == set()


def test_no_files_import_each_other():
    """Taking away the files that import nothing of what is left takes away all of them."""
    left = {name: set(targets) for name, targets in IMPORTS.items()}
    while free := {name for name, targets in left.items() if not targets}:
        left = {name: targets - free for name, targets in left.items() if name not in free}
    assert left == {}


def used_of(package, by):
    """The names that the files of one room take of another, as `(file they stand in, name)`."""
    for file in FILES:
        if room(file) == by:
            for module, name in imported(ast.walk(TREES[file])):
                target = file_of(module, name)
                if target and room(target) == package:
                    yield target, name


def test_layers_and_hw_use_no_insides_of_each_other():
    """Of `layers`, `hw` takes public classes, and what `in_models` has for all who look into a model."""
    assert set(used_of("hw", by="layers")) == set()
    inside = {used for used in used_of("layers", by="hw") if used[1] not in tfq_qrnn.layers.__all__}
    assert {target for target, _ in inside} <= {"tfq_qrnn/layers/in_models.py"}
    assert not any(name.startswith("_") for _, name in inside)


def test_the_package_stands_alone():
    roots = {module.split(".")[0] for tree in TREES.values() for module, _ in imported(ast.walk(tree))}
    assert "keras" in roots
    assert roots & {"benchmarks", "examples", "experiments", "tests"} == set()


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("_keras.py", ("keras.src",)),
        ("_files.py", ("fcntl", "hashlib", "os.replace", "os.rename")),
    ],
)
def test_what_has_one_place_stands_there_alone(place, names):
    """Keras's private names, and the lock, the atomic writer and the digest of files."""
    found = set()
    for file, tree in TREES.items():
        used = {module for module, _ in imported(ast.walk(tree))}
        used |= {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        found |= {(file, name) for name in names for u in used if u == name or u.startswith(f"{name}.")}
    assert {file for file, _ in found} == {f"tfq_qrnn/{place}"}


def test_import_is_light():
    """TensorFlow Quantum and the packages of devices are loaded when they are used.

    TensorFlow Quantum draws from Python's generator as it loads; what is seeded before does not feel it.
    """
    code = """if True:
        import random, sys, tfq_qrnn
        print([name for name in ("tensorflow_quantum", "cirq_google", "qsimcirq") if name in sys.modules])
        if {tfq}:
            state = random.getstate()
            tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(n_qubits=2)).to_tfq()
            print("tensorflow_quantum" in sys.modules, random.getstate() == state)
    """
    there = importlib.util.find_spec("tensorflow_quantum") is not None
    code = code.replace("{tfq}", str(there))
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["[]", *["True True"] * there]
