"""The scripts of the experiments answer before TensorFlow loads: --help, wrong arguments, data that are not there."""

import inspect
import json
import pathlib
import subprocess
import sys

import keras
import pytest

import tfq_qrnn
from experiments.harness import arguments

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = [
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in sorted(ROOT.glob("experiments/**/*.py"))
    if '__name__ == "__main__"' in path.read_text()
]
WRONG = [  # a script, its arguments, what it says
    ("tasks.mnist", "--qubits 0", "must be 1 or more, but is 0"),
    ("tasks.mnist", "--activation foo", "must be one of celu, elu,"),
    ("tasks.mnist", "--drift slowest=2,fastest=1", "must have slowest at most fastest, 1"),
    ("tasks.mnist", "--drift speed=2", "must have the names slowest, fastest, coupling, axis, seed, but has speed"),
    ("tasks.mnist", "--dataset no_such.npz", "but there is no 'no_such.npz'"),
    ("tasks.mnist", "--dataset tfds:nmist", "cannot load 'nmist': Dataset nmist not found. The nearest names are"),
    ("tasks.mnist", "--dataset tfds:mnist/no", "TensorFlow Datasets cannot load 'mnist/no'"),
    ("tasks.mnist", "--dataset tfds:mnist --data-dir nowhere", "no prepared data of 'mnist' in nowhere"),
    ("tasks.sentiment", "--data-dir nowhere", "are not in nowhere. To fetch them once: python -m experiments.data"),
    ("tasks.language_model", "--dataset no_such.txt", "but there is no 'no_such.txt'"),
    ("tasks.time_series", "--dataset no_such", "but it is 'no_such'"),
    ("tasks.translation", "--attention foo", "invalid choice: 'foo'"),
    ("studies.ancillas", "--model no_such.keras", "there is none at no_such.keras"),
    ("studies.remedies", "--remedy foo", "invalid choice: 'foo'"),
    ("results", "--only foo", "invalid choice: 'foo'"),
]
# One process for all, which takes a second or two; a script that loads TensorFlow takes ten.
RUN = """
import contextlib, io, json, runpy, sys, time
found = []
for script, given in json.loads(sys.argv[1]):
    sys.argv[1:] = given
    said, start, code = io.StringIO(), time.perf_counter(), None
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            runpy.run_module(script, run_name="__main__")
        except SystemExit as error:
            code = error.code
    text = said.getvalue() + (code if isinstance(code, str) else "")
    found.append([code, text, time.perf_counter() - start, "tensorflow" in sys.modules])
print(json.dumps(found))
"""


def test_scripts_answer_before_tensorflow_loads():
    calls = [(script, ["--help"]) for script in SCRIPTS]
    calls += [(f"experiments.{script}", given.split()) for script, given, _ in WRONG]
    result = subprocess.run([sys.executable, "-c", RUN, json.dumps(calls)], cwd=ROOT, capture_output=True, text=True)
    found = json.loads(result.stdout.splitlines()[-1])
    for (script, given), (_, text, seconds, has_tensorflow) in zip(calls, found, strict=True):
        assert not has_tensorflow, (script, given)
        assert given != ["--help"] or seconds < 2, (script, seconds)
        assert given == ["--help"] or len(text.strip().splitlines()) < 60, text  # no list of hundreds of data sets
    for (_, given, message), (code, text, *_) in zip(WRONG, found[len(SCRIPTS) :], strict=True):
        assert code not in (None, 0), given
        assert message in " ".join(text.split()), (given, text)


def test_what_is_known_before_keras_loads_is_what_keras_and_the_layer_have():
    assert tfq_qrnn.Drift().get_config() == arguments.DRIFT
    for name in set(arguments.ACTIVATIONS.split()) - {"glu"}:
        assert callable(keras.activations.get(name))
    for name, function in inspect.getmembers(keras.activations, inspect.isfunction):
        assert name in {*arguments.ACTIVATIONS.split(), "get", "serialize", "deserialize"}, function


@pytest.mark.parametrize("text", ["none", "axis=z,coupling=1"])
def test_a_drift_is_read_as_the_layer_takes_it(text):
    config = arguments.drift(text)
    assert config is None or tfq_qrnn.Drift(**config).get_config() == config
