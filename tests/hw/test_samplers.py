"""Devices, calibrations and samplers."""

import importlib
import pathlib
import re
import sys
import textwrap
import unittest.mock

import cirq
import cirq_google
import numpy as np
import pytest
from hw_oracles import run, sequences, small_layer

import tfq_qrnn
from tfq_qrnn import hw
from tfq_qrnn.hw.density_matrix import SweepSimulator
from tfq_qrnn.hw.devices import processors
from tfq_qrnn.hw.samplers import noise_model

WILLOW = "tests/data/willow_pink.proto.txt"


@pytest.mark.parametrize(("name", "qubits"), [("weber", 53), ("rainbow", 23), (WILLOW, 105)])
def test_devices(name, qubits):
    device = hw.load_device(name)
    assert len(device.metadata.qubit_set) == qubits
    q = hw.place_ring(device, 2)
    device.validate_circuit(cirq.Circuit(cirq.CZ(*q), cirq.measure(*q)))


def test_devices_refuse_what_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"`name` must be 'rainbow', 'weber'.* or the path"):
        hw.load_device("sycamore")
    for name, content in (("a.txt", "nonsense {"), ("b.bin", "\xff\xfe"), ("c.txt", "")):
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=r"be .* the path of a device specification, but .* is none"):
            hw.load_device(tmp_path / name)
    with pytest.raises(TypeError, match="`name` must be the name of a processor or a path"):
        hw.load_device(3)


def test_binary_specification(tmp_path):
    path = tmp_path / "rainbow.pb"
    path.write_bytes(hw.load_device("rainbow").to_proto().SerializeToString())
    assert hw.load_device(path).metadata.qubit_set == hw.load_device("rainbow").metadata.qubit_set


def test_calibrations(tmp_path):
    calibration = hw.load_calibration("rainbow")
    cirq.to_json(calibration, tmp_path / "c.json")
    with pytest.warns(UserWarning, match="no error of the CZ gate; the error of sqrt-iSWAP"):
        rates = hw.error_rates(hw.load_calibration(tmp_path / "c.json"))
    pair, error = next(iter(rates.two_qubit.items()))
    metric = calibration["two_qubit_parallel_sqrt_iswap_gate_xeb_pauli_error_per_cycle"]
    assert frozenset(pair) in {frozenset(key) for key in metric}
    assert error in [values[0] for values in metric.values()]
    with pytest.raises(ValueError, match=r"`name` must be 'rainbow', 'weber'.* or the path of a calibration"):
        hw.load_calibration("nowhere")
    (tmp_path / "d.json").write_text("[1]")
    with pytest.raises(ValueError, match="holds a list"):
        hw.load_calibration(tmp_path / "d.json")


def test_calibration_without_the_needed_data():
    q = cirq.GridQubit(0, 0)
    metrics = {"single_qubit_p00_error": {(q,): [0.01]}, "single_qubit_p11_error": {(q,): [0.02]}}
    with pytest.raises(
        ValueError, match=r"`calibration` must have the metric two_qubit.*, but it has single_qubit_p00"
    ):
        hw.error_rates(cirq_google.Calibration(metrics=metrics))
    with pytest.raises(ValueError, match="have the metric parallel_p00_error, but it has none"):
        hw.sampler("noisy", "weber", calibration=cirq_google.Calibration())
    with pytest.raises(TypeError, match=r"be a cirq_google.Calibration"):
        hw.error_rates({})


def test_cz_errors_of_a_newer_calibration_are_its_own():
    pair = cirq.GridQubit.rect(1, 2)
    metrics = {
        "parallel_p00_error": {(q,): [0.01] for q in pair},
        "parallel_p11_error": {(q,): [0.02] for q in pair},
        "single_qubit_rb_pauli_error_per_gate": {(q,): [0.001] for q in pair},
        "two_qubit_parallel_cz_gate_xeb_pauli_error_per_cycle": {tuple(pair): [0.004]},
    }
    rates = hw.error_rates(cirq_google.Calibration(metrics=metrics))
    assert rates.two_qubit_source == "CZ"
    assert rates.two_qubit == {frozenset(pair): 0.004}
    assert rates.readout[pair[0]] == (0.01, 0.02)


def _native(n, timesteps):
    program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(n))
    native = hw.compile_program(program, hw.load_device("weber"), hw.place_ring("weber", n))
    plan = hw.ReadoutPlan(program)
    circuit = native.prefix(timesteps) + plan.circuit(native.qubits)
    rng = np.random.default_rng(0)
    points = [
        {**native.half_turns(rng.normal(size=(timesteps, native.program.n_angles))), **plan.values(setting)}
        for setting in plan.settings
    ]
    return circuit, points


@pytest.mark.filterwarnings("ignore:This calibration has no error of the CZ")
def test_noise_has_an_error_at_cz_where_weber_alone_has_none():
    q = hw.place_ring("weber", 2)
    circuit = cirq.Circuit(cirq.CZ(*q))
    calibration = hw.load_calibration("weber")
    gates = [
        cirq.ZPowGate,
        cirq.PhasedXZGate,
        cirq.FSimGate,
        cirq.ISwapPowGate,
        cirq.CZPowGate,
        cirq_google.SycamoreGate,
    ]
    times = {**dict.fromkeys(gates, 25.0), cirq.MeasurementGate: 4000.0, cirq.ResetChannel: 250.0}
    shipped = cirq_google.NoiseModelFromGoogleNoiseProperties(
        cirq_google.noise_properties_from_calibration(calibration, gate_times_ns=times)
    )
    fidelities = []
    for noise in (shipped, noise_model(calibration)):
        state = cirq.DensityMatrixSimulator(noise=noise).simulate(circuit, qubit_order=q).final_density_matrix
        fidelities.append(state[0, 0].real)
    error = hw.error_rates(calibration).two_qubit[frozenset(q)]
    # The model gives CZ the Pauli error less what decay already makes; |00> is left by about 4/5 of the 15 Paulis.
    assert 0.3 * error < fidelities[0] - fidelities[1] < 1.1 * error


@pytest.mark.filterwarnings("ignore:This calibration has no error of the CZ")
def test_sweep_simulator_agrees_with_cirq():
    circuit, points = _native(4, 2)
    noise = noise_model(hw.load_calibration("weber"))
    shots = 20_000
    ours = SweepSimulator(noise, seed=0).run_sweep(circuit, points, shots)
    theirs = cirq.DensityMatrixSimulator(noise=noise, seed=1).run_sweep(circuit, points, shots)
    for a, b in zip(ours, theirs, strict=True):
        counts = [np.bincount(r.data["m"], minlength=16) / shots for r in (a, b)]
        assert np.abs(counts[0] - counts[1]).max() < 5 * np.sqrt(2 * 0.25 / shots)  # five standard deviations
        assert a.params == b.params


def test_sweep_simulator_handles_other_circuits():
    q = cirq.LineQubit.range(2)
    mid = cirq.Circuit(cirq.X(q[0]), cirq.measure(q[0], key="a"), cirq.X(q[0]), cirq.measure(q[0], key="b"))
    result = SweepSimulator(seed=0).run(mid, repetitions=3)
    assert result.measurements["a"].ravel().tolist() == [1, 1, 1]
    assert result.measurements["b"].ravel().tolist() == [0, 0, 0]
    flipped = cirq.Circuit(cirq.measure(*q, key="m", invert_mask=(True,)))
    assert SweepSimulator(seed=0).run(flipped, repetitions=2).measurements["m"].tolist() == [[1, 0]] * 2
    two = cirq.Circuit(cirq.XX(*q), cirq.measure(*q, key="m"))
    assert SweepSimulator(seed=0).run(two, repetitions=2).measurements["m"].tolist() == [[1, 1]] * 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This calibration has no error of the CZ")
def test_qsim_agrees_with_the_density_matrix():
    circuit, points = _native(4, 1)
    shots = 3000
    exact, sampled = (
        hw.sampler("noisy", "weber", simulator=simulator, seed=1).run_sweep(circuit, points, shots)
        for simulator in ("density_matrix", "qsim")
    )
    for a, b in zip(exact, sampled, strict=True):
        difference = a.measurements["m"].mean(0) - b.measurements["m"].mean(0)
        assert np.abs(difference).max() < 5 * np.sqrt(2 * 0.25 / shots)  # five standard deviations


def test_virtual_engine_checks_device_and_serialization():
    sampler = hw.sampler("virtual", "weber", seed=0)
    a, b = hw.place_ring("weber", 2)
    for circuit, message in (
        (cirq.Circuit(cirq.CNOT(a, b), cirq.measure(a)), "Cannot serialize op cirq.CNOT"),
        (cirq.Circuit(cirq.X(cirq.GridQubit(50, 50)), cirq.measure(cirq.GridQubit(50, 50))), "not on device"),
    ):
        with pytest.raises(ValueError, match=message):
            sampler.run(circuit, repetitions=1)


def test_samplers_refuse():
    for arguments, message in (
        (("nonsense",), "`kind` must be one of"),
        (("virtual",), "`device` must be given"),
        (("noisy", WILLOW), "`calibration` must be given for another device"),
        (("engine",), "`project_id` must be given"),
    ):
        with pytest.raises(ValueError, match=message):
            hw.sampler(*arguments)
    with pytest.raises(ValueError, match=r'`kind` must be "noisy" where a calibration is given, but it is .virtual'):
        hw.sampler("virtual", "weber", calibration="weber")
    with pytest.raises(ValueError, match='`kind` must be "engine" where processor_id is given'):
        hw.sampler("simulator", processor_id="weber")
    with pytest.raises(TypeError, match="`device` must be a name, a path"):
        hw.sampler("virtual", cirq.UNCONSTRAINED_DEVICE)


def test_engine_without_credentials_says_how_to_get_them(monkeypatch):
    from google import auth

    def none(*_, **__):
        raise auth.exceptions.DefaultCredentialsError("none")

    monkeypatch.setattr(auth, "default", none)
    with pytest.raises(RuntimeError, match="gcloud auth application-default login"):
        hw.sampler("engine", project_id="p", processor_id="q")


def test_the_guides_lines_for_a_processor_run(tmp_path, monkeypatch):
    """With the virtual engine in place of Google's, which they need credentials for."""
    page = (pathlib.Path(__file__).parents[2] / "docs" / "hardware.md").read_text()
    lines = re.search(r'^(?:    .+\n)*    sampler = hw.sampler\("engine"(?:.+\n|    .+\n)*', page, re.MULTILINE)[0]
    virtual = hw.sampler("virtual", "weber", seed=0)
    virtual.processor.get_current_calibration = lambda: hw.load_calibration("weber")
    asked = unittest.mock.Mock(return_value=virtual)
    monkeypatch.setattr(hw, "sampler", asked)
    monkeypatch.chdir(tmp_path)
    names = {"hw": hw, "model": small_layer(4), "x": sequences(1, 2)}
    exec(textwrap.dedent(lines), names)
    assert asked.call_args.args == ("engine",)
    # five standard deviations of a readout near 0, at the first step, whose angles are exact
    assert np.abs(names["result"].readouts[:, 0] - names["result"].exact[:, 0]).max() < 5 / np.sqrt(1000)
    assert (tmp_path / "run.jsonl").exists()


if "willow_pink" in processors():  # cirq-google brings it from 1.6 on

    def test_willow_by_name():
        """Its own calibration has an error of CZ; the virtual chip runs with it."""
        rates = hw.error_rates(hw.load_calibration("willow_pink"))
        assert (rates.two_qubit_source, len(rates.one_qubit), len(rates.two_qubit)) == ("CZ", 105, 182)
        qubits = hw.place_ring("willow_pink", 4, hw.load_calibration("willow_pink"))
        sampler = hw.sampler("noisy", "willow_pink", seed=0)
        result = run(small_layer(4), sequences(2, 2), sampler, 2000, qubits=qubits)
        rms = np.sqrt(np.mean((result.readouts - result.exact) ** 2))
        assert 0.01 < rms < 0.15  # the shots alone leave 0.02; weber, whose errors are twice Willow's, some 0.15


def test_willow_runs_in_closed_loop():
    layer, x = small_layer(4), sequences(1, 2)
    result = run(layer, x, hw.sampler("virtual", WILLOW, seed=0), 500)
    assert set(result.cost.two_qubit_gates) == {8, 16}
    assert np.abs(result.readouts[:, 0] - result.exact[:, 0]).max() < 5 / np.sqrt(500)  # five standard deviations


def test_without_cirq_google_everything_runs_but_its_devices(monkeypatch):
    """It loads where it is used: fresh modules run a loop where it cannot be imported."""
    for name in [name for name in sys.modules if name.startswith("tfq_qrnn.hw")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(tfq_qrnn, "hw", None)  # and so puts back the old modules in the end
    monkeypatch.setitem(sys.modules, "cirq_google", None)
    fresh = importlib.import_module("tfq_qrnn.hw")
    assert fresh is not hw
    result = fresh.run(small_layer(2), sequences(1, 1), fresh.sampler("simulator", seed=0), 10, progress=False)
    assert result.readouts.shape == (1, 1, 6)
    with pytest.raises(ImportError, match=r"pip install 'tfq_qrnn\[hw\]'"):
        fresh.load_device("weber")
