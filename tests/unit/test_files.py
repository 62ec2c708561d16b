"""Files: those of earlier versions load and give what they gave, and nothing that is read can run, leave, or swell."""

import json
import os
import pathlib
import time
import zipfile

import cirq
import cirq_google
import keras
import numpy as np
import pytest
from fixtures.make import SETTINGS, gelu, hardware_layer, own_circuit

import tfq_qrnn
from tfq_qrnn import _files, hw
from tfq_qrnn.hw.journal import Journal

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.iterdir() if path.name[0].isdigit())


@pytest.fixture(scope="module", params=VERSIONS)
def version(request):
    folder = FIXTURES / request.param
    return folder, dict(np.load(folder / "expected.npz"))


def test_there_are_files_of_this_version():
    for tensorflow in ("2.18", "2.21"):
        assert f"{tfq_qrnn.__version__}-tf{tensorflow}" in VERSIONS, "python tests/fixtures/make.py"


@pytest.mark.parametrize("name", ["qrnn", "width", "cell", "own_network", "attention"])
def test_models_load_in_safe_mode_and_give_what_they_gave(version, name):
    folder, expected = version
    model = keras.saving.load_model(folder / f"{name}.keras", safe_mode=True)
    # float64 all through; what is left is the rounding of another TensorFlow's matrix products. TensorFlow 2.18 rounds
    # another constant of GELU to float32 than 2.21: 4e-9, which four steps of feedback amplify.
    atol = 1e-10 if np.allclose(gelu(), expected["gelu"], rtol=0, atol=1e-12) else 1e-6
    np.testing.assert_allclose(model(expected["inputs"]), expected[name], rtol=0, atol=atol)
    assert all(weight.dtype in ("float64", "int64", "uint32") for weight in model.weights)


def test_circuits_load_and_are_what_they_were(version):
    folder, expected = version
    exported = hw.load(folder / "hw")
    circuit = exported.resolve(expected["hw_angles"])[-1]
    state = cirq.Simulator(dtype=np.complex128).simulate(circuit).final_state_vector
    np.testing.assert_allclose(state, expected["hw_state"], rtol=0, atol=1e-10)  # float64
    message = cirq_google.api.v2.program_pb2.Program.FromString((folder / "hw" / "step_0002.pb").read_bytes())
    assert cirq_google.CIRCUIT_SERIALIZER.deserialize(message) == exported.programs[1]
    text = (folder / "ansatz.json").read_text()
    assert tfq_qrnn.circuits.Ansatz.from_json(text) == tfq_qrnn.CircuitAnsatz(own_circuit())


class _Nothing(cirq.Sampler):
    def run_sweep(self, program, params, repetitions=1):
        raise AssertionError("the journal has every shot")


def test_a_journal_is_continued(version, tmp_path):
    folder, expected = version
    journal = tmp_path / "run.jsonl"
    journal.write_bytes((folder / "run.jsonl").read_bytes())
    lines = journal.read_text().splitlines()
    header = json.loads(lines[0])["record"]
    assert header["format"] == "tfq_qrnn journal 1"
    result = hw.run(hardware_layer(), expected["inputs"][:, :2], _Nothing(), journal=journal, **SETTINGS)
    np.testing.assert_array_equal(result.readouts, expected["run_readouts"])


def test_every_file_names_its_format():
    folder = FIXTURES / f"{tfq_qrnn.__version__}-tf2.18"
    manifest = json.loads((folder / "hw" / "manifest.json").read_text())
    assert manifest["format"] == "tfq_qrnn circuits 1"
    assert manifest["versions"]["tfq_qrnn"] == tfq_qrnn.__version__
    assert json.loads((folder / "ansatz.json").read_text())["format"] == "tfq_qrnn ansatz 1"


def test_a_saved_layer_names_its_format_and_a_newer_one_is_refused(tmp_path):
    inputs = keras.Input((4, 3))
    readouts = keras.layers.RNN(tfq_qrnn.QRNNCell(2, backend="tensorflow"), return_sequences=True)(inputs)
    readouts = tfq_qrnn.QRNN(2, backend="tensorflow", return_sequences=True)(readouts)
    model = keras.Model(inputs, tfq_qrnn.QuantumAttention()([readouts, readouts]))
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    _, rnn, qrnn, attention = config["config"]["layers"]
    layers = [model.layers[1].cell, *model.layers[2:]]
    for saved, layer in zip((rnn["config"]["cell"], qrnn, attention), layers, strict=True):
        written = saved["build_config"]["tfq_qrnn"]
        assert written == {"format": 1, "version": tfq_qrnn.__version__}
        again = keras.saving.deserialize_keras_object(saved)
        assert len(again.weights) == len(layer.weights)
        saved["build_config"]["tfq_qrnn"] = {"format": 2, "version": "9.0"}
        with pytest.raises(ValueError, match=r"Argument `config` must be of format 1 or older, but .* tfq_qrnn '9\.0'"):
            keras.saving.deserialize_keras_object(saved)
        saved["build_config"]["tfq_qrnn"] = written


def test_an_ansatz_of_another_format_is_refused():
    text = tfq_qrnn.HardwareEfficient(2).to_json().replace("ansatz 1", "ansatz 2")
    with pytest.raises(ValueError, match="Argument `text` must be JSON that `to_json` wrote, but its format is "):
        tfq_qrnn.circuits.Ansatz.from_json(text)


def _power(base, exponent):
    return {"cirq_type": "sympy.Pow", "args": [base, exponent]}


_TEN, _NINES = {"cirq_type": "sympy.Integer", "i": 10}, {"cirq_type": "sympy.Integer", "i": 10**9}
_BOMBS = {
    "a power": _power(_TEN, _NINES),
    "powers of powers": _power(_power(_TEN, {"cirq_type": "sympy.Integer", "i": 64}), _TEN),
    "a fraction": {"cirq_type": "sympy.Rational", "p": "1e999999999", "q": 1},
    "a gate on many qubits": {"cirq_type": "IdentityGate", "num_qubits": 10**10},
    "a parsed expression": {
        "cirq_type": "BooleanHamiltonianGate",
        "parameter_names": ["a"],
        "boolean_strs": ["().__class__"],
        "theta": 1.0,
    },
    "another class": {"cirq_type": "pandas.DataFrame", "data": []},
    "a reference": {"cirq_type": "REF", "key": 1},
}


@pytest.mark.parametrize("name", _BOMBS)
def test_json_that_would_swell_or_run_is_refused(name, tmp_path):
    """In a circuit of a model's config, in a model's file, in an exported folder."""
    started = time.monotonic()
    ansatz = json.loads(tfq_qrnn.CircuitAnsatz(own_circuit()).to_json())
    circuit = json.loads(ansatz["config"]["circuit"])
    circuit["moments"][0]["operations"][0]["gate"] = _BOMBS[name]
    text = json.dumps(circuit)
    with pytest.raises(ValueError, match=r"Argument `circuit` must be Cirq JSON of gates .*, but it holds"):
        tfq_qrnn.CircuitAnsatz.from_config({"circuit": text, "symbols": ["a", "b", "c"]})
    with pytest.raises(ValueError, match=r"Argument `observables` must be letters or Cirq JSON"):
        tfq_qrnn.QRNN.from_config({"n_qubits": 2, "observables": f"[{text}]"})
    with pytest.raises(ValueError, match=r"Argument `noise` must be Cirq JSON of a channel"):
        tfq_qrnn.backends.TFQ.from_config({"repetitions": 1, "noise": text})
    assert time.monotonic() - started < 30  # computing the power takes minutes, the fraction longer


def test_deeply_nested_json_is_refused():
    with pytest.raises(ValueError, match="nested too deep"):
        tfq_qrnn.circuits.Ansatz.from_json("[" * 100_000)


def test_a_file_without_end_is_refused(tmp_path):
    """A device, a pipe that nobody writes to, a file of more than 64 MiB."""
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    with open(large, "wb") as file:
        file.truncate(_files.MOST_BYTES + 1)  # sparse
    for path, reason in (("/dev/zero", "no regular file"), (pipe, "no regular file"), (large, "more than 64 MiB")):
        with pytest.raises(ValueError, match=reason):
            _files.read_bytes(path)
        if path != large:
            with (
                pytest.raises(ValueError, match="Argument `journal` must be a file that can be written"),
                Journal(path, {}),
            ):
                pass
    for name in ("/dev/zero", str(pipe)):
        with pytest.raises(ValueError, match="Argument `name` must be"):
            hw.load_device(name)
    for path in (pipe, large):
        folder = tmp_path / path.name.upper()
        folder.mkdir()
        path.rename(folder / "manifest.json")
        with pytest.raises(ValueError, match="Argument `path` must be a folder that `export` wrote"):
            hw.load(folder)


def test_the_size_limit_has_room_for_what_we_write():
    """The circuit of 60 time steps of 8 qubits, and a controller of 200,000 weights as text."""
    layer = tfq_qrnn.QRNN(8)
    native = hw.compile_program(layer.cell.program)
    assert 60 / 2 * len(cirq.to_json(native.prefix(2), indent=None)) < _files.MOST_BYTES
    assert 200_000 * len(repr(float(np.float32(0.1)))) < _files.MOST_BYTES


def test_tags_of_other_classes_are_not_written_and_texts_are():
    q = cirq.LineQubit(0)
    circuit = cirq.Circuit(cirq.X(q).with_tags("mine", cirq.Duration(nanos=1)))
    again = tfq_qrnn.circuits.Ansatz.from_json(tfq_qrnn.CircuitAnsatz(circuit).to_json())
    assert again.circuit == cirq.Circuit(cirq.X(q).with_tags("mine"))


def test_code_in_a_model_is_refused_in_safe_mode(tmp_path):
    """A lambda in the place of the activation's name."""
    code = {"class_name": "__lambda__", "config": {"value": "4wEAAAA=", "defaults": None, "closure": None}}
    target = tmp_path / "changed.keras"
    with (
        zipfile.ZipFile(FIXTURES / f"{tfq_qrnn.__version__}-tf2.18" / "qrnn.keras") as old,
        zipfile.ZipFile(target, "w") as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "QRNN")
                layer["config"]["controller"]["config"]["activation"] = code
                content = json.dumps(config)
            new.writestr(name, content)
    with pytest.raises((TypeError, ValueError), match="deserialization of a Python lambda"):
        keras.saving.load_model(target)
