"""The hardware examples, on a slice of their data: what they promise is there."""

import json
import types

import cirq
import keras
import numpy as np
import pytest

import tfq_qrnn
from experiments.studies import ancillas, hardware, mitigation
from tfq_qrnn import hw


@pytest.mark.slow
def test_hardware(tmp_path, monkeypatch):
    loops = {
        **hardware.LOOPS,
        "noise, readout, survival": ("noisy", {"readout": True, "gauges": 2, "survival": True}, 1),
    }
    monkeypatch.setattr(hardware, "LOOPS", loops)
    common = ("--limit", 200, "--epochs", 2, "--sequences", 2, "--repetitions", 100, "--out", tmp_path)
    hardware.main([str(argument) for argument in common])
    record = json.loads((tmp_path / "record.json").read_text())
    assert {"settings", "versions", "parameters", "seconds", "metrics", "test", "runs", "cost"} <= set(record)
    assert [run["model"] for run in record["runs"]] == ["plain", "noise-aware"]
    for found in record["runs"]:
        loops = found["loops"]
        assert list(loops) == ["exact", *hardware.LOOPS]
        # 100 shots leave at least 1/10 of a deviation of 0.7 or so; the noise adds to it
        assert 0.03 < loops["shots"]["rms"] < loops["noise"]["rms"] < 0.5
        assert loops["noise, readout"]["shots"] == 2 * 8 * 3 * 100 + 16 * 1000
        assert loops["noise, readout, all rings"]["rings"] == 10
    losses = [epoch["loss"] for epoch in record["metrics"]]
    assert losses[-1] < losses[0]
    model = keras.models.load_model(tmp_path / "model.keras")
    exported = hw.load(tmp_path / "circuits")
    assert len(exported.circuits) == 8
    kernel = next(layer for layer in model.layers if isinstance(layer, tfq_qrnn.QRNN)).cell.controller.kernels[0]
    np.testing.assert_array_equal(exported.weights["kernel"], kernel)
    for name in ("placement.png", "readouts.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "circuit.svg").read_text()
    assert len((tmp_path / "journals" / "plain_0" / "noise.jsonl").read_text().splitlines()) == 9


@pytest.mark.slow
def test_replay_and_ancillas(tmp_path, capsys):
    few = ("--qubits", 2, "--steps", 3, "--repetitions", 50, 5000, "--strength", 0.1, 0.8, "--seed", 0, "--limit", 2)
    ancillas.main([str(argument) for argument in (*few, "--out", tmp_path)])
    rows = json.loads((tmp_path / "record.json").read_text())["rows"]
    rms = {(row["repetitions"], row["strength"]): row["rms"] for row in rows}
    assert len(rms) == 6
    # More shots help replay as their square root, 10; a strong ancilla is limited by what it disturbs.
    assert 5 < rms[50, None][0] / rms[5000, None][0] < 20
    assert rms[5000, 0.8][-1] > 5 * rms[5000, None][-1]
    assert "rms error of the readouts" in capsys.readouterr().out
    assert (tmp_path / "study.png").exists()


@pytest.mark.slow
def test_what_helps_at_given_angles(tmp_path, capsys):
    few = ("--repetitions", 2000, "--sequences", 3, "--seed", 0, "--out", tmp_path)
    found = mitigation.main([str(argument) for argument in few])
    assert json.loads((tmp_path / "record.json").read_text())["rms"] == found
    last = {kind: of_kind[0][-1] for kind, of_kind in found.items()}
    # weber leaves 0.4 of a readout at the last step: what is measured of that gives a part of it back, but only where
    # gauges make the noise forget in which direction it decays
    assert last["readout, 16 gauges, survival"] < 0.9 * last["readout"] < last["nothing"]
    assert "| readout, survival |" in capsys.readouterr().out


def test_nonsense_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        hardware.main(["--sequences", "0", "--out", str(tmp_path)])
    assert "argument --sequences: must be 1 or more, but is 0" in capsys.readouterr().err
    np.savez(tmp_path / "large.npz", x=np.arange(20 * 32 * 32).reshape(20, 32, 32) % 251, y=np.arange(20) % 2)
    with pytest.raises(SystemExit, match=r"must name images of 28x28 pixels, but those of large\.npz are 32x32"):
        hardware.main(["--dataset", str(tmp_path / "large.npz"), "--out", str(tmp_path)])


def test_the_noise_of_a_processor_counts_the_gates_of_the_circuit():
    qubits = cirq.LineQubit.range(3)
    rates = types.SimpleNamespace(
        one_qubit=dict.fromkeys(qubits, 0.01),
        two_qubit={frozenset(qubits[:2]): 0.2, frozenset(qubits[1:]): 0.4},  # the ring's ends are not coupled
    )
    for count, wanted in ((1, 0.01), (2, 0.01 + 0.2 / 2), (3, 0.01 + 0.3)):
        program = tfq_qrnn.GateProgram(tfq_qrnn.HardwareEfficient(count, depth=1), "XYZ")
        found = hardware.processor_noise(rates, qubits[:count], program)
        assert found * len(program.circuit) == pytest.approx(wanted)
    program = tfq_qrnn.QRNN(3, depth=1).cell.program  # with a drift: one gate more on each qubit
    assert hardware.processor_noise(rates, qubits, program) * len(program.circuit) == pytest.approx(0.02 + 0.3)
