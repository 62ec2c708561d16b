"""The study of drifts: spectra against their formula, capacities against what theory bounds."""

import itertools

import numpy as np
import pytest

import tfq_qrnn
from experiments.studies import drift as study


def test_without_a_drift_nothing_moves():
    np.testing.assert_allclose(study.spectrum(None), 0, atol=1e-12)


def test_a_drift_without_couplings_has_the_phases_of_its_qubits():
    """RZ(b) RY(a) turns by W with cos(W/2) = cos(a/2) cos(b/2); the phases are all sums of +-W/2."""
    drift = tfq_qrnn.Drift(slowest=0.1, fastest=0.5)
    gates = [operation.gate._rads for operation in drift.circuit(range_of(study.QUBITS)).all_operations()]
    pairs = zip(gates[: study.QUBITS], gates[study.QUBITS :], strict=True)
    halves = [np.arccos(np.cos(a / 2) * np.cos(b / 2)) for a, b in pairs]
    wanted = sorted(np.dot(signs, halves) for signs in itertools.product((1, -1), repeat=study.QUBITS))
    np.testing.assert_allclose(study.spectrum(drift), wanted, atol=1e-12)  # float64


def range_of(n):
    return tfq_qrnn.HardwareEfficient(n).qubits


def test_a_memory_that_moves_remembers_more(monkeypatch):
    """Without a drift, small angles add up: of all inputs the sum alone is there, one number."""
    monkeypatch.setattr(study, "SEQUENCES", (200, 60, 100))
    monkeypatch.setattr(study, "STEPS", 12)
    still, moving = (study.capacity(drift, seed=0)["readouts"].sum() for drift in (None, tfq_qrnn.Drift(0.1, 3.0)))
    assert 0.5 < still < 2  # one, and what a hundred sequences cannot tell from it
    assert moving > 2 * still
    assert moving < 12


@pytest.mark.slow
def test_the_study_writes_a_table_and_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "SEQUENCES", (60, 20, 30))
    monkeypatch.setattr(study, "STEPS", 5)
    monkeypatch.setattr(study, "CAPACITY_SEEDS", range(2))
    study.main(["--out", str(tmp_path)])
    assert "| default |" in capsys.readouterr().out
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")
