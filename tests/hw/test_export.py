"""Exported folders: lossless, checked, and readable in another Cirq."""

import json
import pathlib
import shutil

import cirq
import cirq_google
import keras
import numpy as np
import pytest
from hw_oracles import fed_back, small_layer

import tfq_qrnn
from tfq_qrnn import hw

ROOT = pathlib.Path(__file__).parents[2]


def exported_layer(tmp_path, n=4, timesteps=3, **arguments):
    layer = small_layer(n, **arguments)
    path = hw.export(layer, tmp_path / "circuits", "weber", timesteps)
    return layer, path, hw.load(path)


@pytest.fixture(scope="module")
def exported_once(tmp_path_factory):
    """`(layer, path, exported)` of four qubits and three time steps, to read."""
    return exported_layer(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def path(exported_once, tmp_path):
    """A copy of its folder, to change."""
    return shutil.copytree(exported_once[1], tmp_path / "circuits")


@pytest.mark.parametrize("n", [4, 5])
def test_circuits_are_the_trained_ones(tmp_path, n):
    layer, _, exported = exported_layer(tmp_path, n)
    program = layer.cell.program
    angles = np.random.default_rng(0).uniform(-3, 3, (3, program.n_angles))
    circuits = exported.resolve(angles)
    assert len(circuits) == len(exported.circuits) == 3
    simulator = cirq.Simulator(dtype=np.complex128)
    for t, circuit in enumerate(circuits, 1):
        trained = sum((program.resolve(row) for row in angles[:t]), cirq.Circuit())
        want = simulator.simulate(trained, qubit_order=program.qubits).final_state_vector
        relays = sorted(circuit.all_qubits() - set(exported.qubits))
        got = simulator.simulate(circuit, qubit_order=[*exported.qubits, *relays]).final_state_vector
        want = np.kron(want, np.eye(2 ** len(relays))[0])
        assert abs(np.vdot(want, got)) == pytest.approx(1, abs=1e-9)  # float64


def test_programs_are_valid_and_the_protos_are_the_same(exported_once):
    _, path, exported = exported_once
    device = hw.load_device("weber")
    for t, program in enumerate(exported.programs, 1):
        device.validate_circuit(program)
        message = cirq_google.api.v2.program_pb2.Program.FromString((path / f"step_{t:04}.pb").read_bytes())
        assert cirq_google.CIRCUIT_SERIALIZER.deserialize(message) == program


def test_manifest_and_weights_say_what_is_needed_to_run_the_loop(tmp_path):
    """One step by hand, from the files alone: the controller in NumPy, the circuit in Cirq."""
    layer, _, exported = exported_layer(tmp_path, controller=fed_back((8,), activation="tanh"))
    x = np.random.default_rng(1).normal(size=(1, 1, 3)).astype("float32")
    w, manifest = exported.weights, exported.manifest
    hidden = np.tanh(np.concatenate([x[0, 0], np.zeros(12)]) @ w["kernel"] + w["bias"])
    angles = w["angle_scale"] * (hidden @ w["kernel_1"] + w["bias_1"])
    values = exported.half_turns(angles[None])
    readouts = {}
    for setting, basis in exported.settings.items():
        circuit = cirq.resolve_parameters(exported.programs[0], {**values, **basis})[:-1]
        zs = cirq.Simulator().simulate_expectation_values(circuit, [cirq.Z(q) for q in exported.qubits])
        readouts[setting[0]] = np.real(zs)
    want = layer(x).numpy()[0, 0].reshape(4, 3)
    np.testing.assert_allclose(np.stack([readouts[k] for k in "XYZ"], 1), want, atol=1e-5)  # complex64
    assert manifest["angles"] == [str(s) for s in layer.cell.program.symbols]
    assert manifest["versions"]["cirq"] == cirq.__version__
    assert cirq.read_json(json_text=json.dumps(manifest["observables"])) == list(layer.cell.program.observables)
    assert repr(exported).startswith("Exported(3 time steps on q(")


def test_weights_are_lossless_and_those_of_a_trainable_circuit_are_there(tmp_path):
    layer, _, exported = exported_layer(tmp_path, 2, trainable_circuit=tfq_qrnn.HardwareEfficient(2, 1))
    for weight in [*layer.cell.controller.weights, layer.cell.circuit_angles]:
        np.testing.assert_array_equal(exported.weights[weight.name], keras.ops.convert_to_numpy(weight))
        assert str(exported.weights[weight.name].dtype) == weight.dtype


def test_only_json_and_protos_are_written(exported_once):
    _, path, _ = exported_once
    assert {file.suffix for file in path.iterdir()} == {".json", ".pb"}
    assert [p.name for p in path.parent.iterdir()] == ["circuits"]


def test_changed_files_are_refused(tmp_path, path):
    for name in ("step_0002.json", "step_0001.pb", "weights.json"):
        before = (path / name).read_bytes()
        (path / name).write_bytes(before.replace(b"0", b"1", 1))
        with pytest.raises(ValueError, match=f"its {name} was changed"):
            hw.load(path)
        (path / name).unlink()
        with pytest.raises(ValueError, match="FileNotFoundError"):
            hw.load(path)
        (path / name).write_bytes(before)
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace('"timesteps": 3', '"timesteps": 2'))
    with pytest.raises(ValueError, match=r"its manifest.json was changed"):
        hw.load(path)
    for content in ("", "[]", "{}", '{"format": "x"}'):
        (path / "manifest.json").write_text(content)
        with pytest.raises(ValueError, match="`path` must be a folder that `export` wrote"):
            hw.load(path)
    with pytest.raises(ValueError, match="`path` must be a folder that `export` wrote"):
        hw.load(tmp_path / "nowhere")


def _rewrite(path, change):
    """The manifest changed by somebody who knows how to hash it."""
    from tfq_qrnn.hw.export import _manifest_digest

    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    manifest["sha256"] = _manifest_digest(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["../secret.json", "/etc/hostname", "sub/../../secret.json", ".."])
def test_paths_outside_the_folder_are_refused(tmp_path, path, name):
    (tmp_path / "secret.json").write_text("{}")
    _rewrite(path, lambda manifest: manifest["files"].update({name: "0"}))
    with pytest.raises(ValueError, match="which is outside it"):
        hw.load(path)


def test_links_out_of_the_folder_are_refused(tmp_path, path):
    shutil.move(path / "weights.json", tmp_path / "weights.json")
    (path / "weights.json").symlink_to(tmp_path / "weights.json")
    with pytest.raises(ValueError, match=r"'weights.json', which is outside it"):
        hw.load(path)


def test_export_refuses(tmp_path):
    layer = small_layer(4)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for arguments, message in (
        ((tfq_qrnn.QRNN(2), tmp_path / "a", "weber", 2), "`layer` must be built"),
        ((layer, tmp_path / "full", "weber", 2), "`path` must be a new or an empty folder"),
        ((layer, "a\0", "weber", 2), "`path` must be a path, but it has a zero byte"),
        ((layer, tmp_path / "a", "weber", 0), "`n_timesteps` must be an integer from 1 to 1000"),
        ((layer, tmp_path / "a", "weber", 10**9), "`n_timesteps` must be an integer from 1 to 1000"),
        ((layer, tmp_path / "a", "nowhere", 2), r"`name` must be 'rainbow', 'weber'.* or the path"),
    ):
        with pytest.raises(ValueError, match=message):
            hw.export(*arguments)
    with pytest.raises(TypeError, match="`device` must be a device with a grid of couplers"):
        hw.export(layer, tmp_path / "a", None, 2, qubits=cirq.GridQubit.rect(2, 2))
    with pytest.raises(ValueError, match="`angles` must have shape \\(time, 16\\) with 1 to 2 time steps"):
        hw.load(hw.export(layer, tmp_path / "b", "weber", 2)).resolve(np.zeros((3, 16)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "full"]
