"""The study of drifts: spectra against their formula, capacities against what theory bounds."""

import itertools
import pathlib

import cirq
import numpy as np
import pytest

import tfq_qrnn
from experiments.harness import records
from experiments.models import recurrent
from experiments.studies import drift as study


def test_without_a_drift_nothing_moves():
    np.testing.assert_allclose(recurrent.eigenphases(study.ansatz_with(None)), 0, atol=1e-12)


def test_a_drift_without_couplings_has_the_phases_of_its_qubits():
    """RZ(b) RY(a) turns by W with cos(W/2) = cos(a/2) cos(b/2); the phases are all sums of +-W/2."""
    drift = tfq_qrnn.Drift(slowest=0.1, fastest=0.5)
    ansatz = study.ansatz_with("slowest=0.1,fastest=0.5")
    gates = [operation.gate._rads for operation in drift.circuit(range_of(study.QUBITS)).all_operations()]
    pairs = zip(gates[: study.QUBITS], gates[study.QUBITS :], strict=True)
    halves = [np.arccos(np.cos(a / 2) * np.cos(b / 2)) for a, b in pairs]
    wanted = sorted(np.dot(signs, halves) for signs in itertools.product((1, -1), repeat=study.QUBITS))
    np.testing.assert_allclose(recurrent.eigenphases(ansatz), wanted, atol=1e-12)  # float64


def range_of(n):
    return tfq_qrnn.HardwareEfficient(n).qubits


def test_a_memory_that_moves_remembers_more(monkeypatch):
    """Without a drift, small angles add up: of all inputs the sum alone is there, one number."""
    monkeypatch.setattr(study, "SEQUENCES", (200, 60, 100))
    monkeypatch.setattr(study, "STEPS", 12)
    still, moving = (
        study.capacity(study.ansatz_with(drift), seed=0)["readouts"].sum() for drift in (None, "slowest=0.1,fastest=3")
    )
    assert 0.5 < still < 2  # one, and what a hundred sequences cannot tell from it
    assert moving > 2 * still
    assert moving < 12


def test_a_drift_that_stands_elsewhere_is_made_of_the_default():
    """The unitary at zero angles is the ring of CZ and the drift of each layer."""
    default, zeros = study.ansatz_with(study.DRIFTS["default"]), np.zeros(24)

    def step(ansatz):
        return cirq.unitary(ansatz.resolve(zeros))

    ring = cirq.unitary(tfq_qrnn.HardwareEfficient(6, 1).resolve(np.zeros(12)))
    np.testing.assert_allclose(step(study.placed("end", 1, 6)), step(default), atol=1e-12)  # float64
    drift = step(default)  # two rings of CZ cancel
    np.testing.assert_allclose(step(study.placed("layer", 1, 6)), drift @ ring @ drift @ ring, atol=1e-12)
    four = cirq.unitary(tfq_qrnn.Drift().circuit(cirq.LineQubit.range(4)))
    np.testing.assert_allclose(step(study.placed("end", 1, 4)), np.kron(four, np.eye(4)), atol=1e-12)


def test_what_the_record_has_of_the_same_settings_is_not_measured_again(tmp_path, monkeypatch):
    trained, measured = [], []

    def train(given, circuit):
        trained.append((given, circuit))
        seeds = [int(seed) for seed in given[given.index("--seed") + 1 : given.index("--out")]]
        runs = [{"seed": seed, "metrics": [{"val_accuracy": 0.5}, {"val_accuracy": seed / 10}]} for seed in seeds]
        records.write_json(pathlib.Path(given[-1]) / "record.json", {"runs": runs})

    def memory(circuit):
        measured.append(circuit)
        return {"spectrum": [0.0] * 64, "capacity": {"readouts": [1.0, 0.0], "state": [1.0, 0.0]}, "remembered": [1.0]}

    monkeypatch.setattr(study, "memory", memory)
    monkeypatch.setattr(study.mnist, "main", train)
    arguments = ["--seeds", "1", "2", "--out", str(tmp_path)]
    first = study.main(arguments)
    drifts, places, starts, sizes = map(len, (study.DRIFTS, study.PLACES, study.STARTS, study.SIZES))
    count = (drifts + places) * len(study.TASKS) + starts * len(study.LONG) + sizes * len(study.SHORT)
    assert len(trained) == count
    assert len({given[-1] for given, _ in trained}) == count  # no two share a folder
    assert len(measured) == drifts + places
    assert study.accuracies(first["drift"]["default"], "pixels") == [0.1, 0.2]
    assert sum(circuit is not None for _, circuit in trained) == places * len(study.TASKS)
    trained.clear()
    assert study.main(arguments) == first
    assert study.main(["--out", str(tmp_path)]) == first  # without seeds nothing is lost
    assert trained == []
    # one more seed is trained alone
    study.main([*arguments[:3], "3", *arguments[3:]])
    assert len(trained) == count
    assert all("--seed 3 --out" in " ".join(given) for given, _ in trained)
    # another default drift: its own row, and those that stand elsewhere
    trained.clear()
    measured.clear()
    monkeypatch.setitem(study.DRIFTS, "default", "slowest=0.02,fastest=1")
    changed = study.main(arguments)
    assert len(trained) == (1 + places) * len(study.TASKS)
    assert len(measured) == 1 + places
    assert study.accuracies(changed["drift"]["default"], "pixels") == [0.1, 0.2]


@pytest.mark.slow
def test_the_study_writes_a_table_and_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "SEQUENCES", (60, 20, 30))
    monkeypatch.setattr(study, "STEPS", 5)
    monkeypatch.setattr(study, "CAPACITY_SEEDS", range(2))
    study.main(["--out", str(tmp_path)])
    assert "| default |" in capsys.readouterr().out
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")
