"""The study of the memory: its probes find what is there, and its script leaves what it promises."""

import itertools
import json
import types

import cirq
import numpy as np
import pytest
from PIL import Image

import tfq_qrnn
from experiments.studies import memory, probes


def test_a_probe_finds_what_is_linear_and_nothing_else():
    rng = np.random.default_rng(0)
    splits = [{"readouts": rng.normal(size=(count, 4))} for count in (200, 100, 300)]
    kernels = [probes.kernel(split, splits[0], "readouts") for split in splits]
    linear = [split["readouts"] @ [1.0, -2.0, 0.5, 0.0] + 3.0 for split in splits]
    other = [split["readouts"][:, 0] * split["readouts"][:, 1] for split in splits]
    found, missed = (probes.probe(kernels, [t[:, None] for t in targets]) for targets in (linear, other))
    # the smallest penalty on offer is 1e-5 of the mean eigenvalue
    assert probes.explained(linear[2][:, None], found) == pytest.approx(1, abs=1e-3)
    assert probes.explained(other[2][:, None], missed) < 0.1


def test_views_are_paulis_and_the_state_holds_them_all():
    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    trace = tfq_qrnn.trace(tfq_qrnn.QRNN(2, controller=tfq_qrnn.Controller(angle_scale=1.0), dtype="float64"), x)
    view = probes.views(trace, -1)
    qubits = cirq.LineQubit.range(2)
    paulis = [cirq.DensePauliString(p)(*qubits) for p in itertools.product("IXYZ", repeat=2)]
    values = np.array(
        [
            [p.expectation_from_state_vector(state, dict(zip(qubits, (0, 1), strict=True))).real for p in paulis]
            for state in trace.states[:, -1]
        ]
    )
    # the sixteen strings but the identity: six on one qubit, then nine on both
    one = [i for i, p in enumerate(itertools.product("IXYZ", repeat=2)) if sum(c != "I" for c in p) == 1]
    both = [i for i, p in enumerate(itertools.product("IXYZ", repeat=2)) if "I" not in p]
    np.testing.assert_allclose(np.sort(view["readouts"]), np.sort(values[:, one]), atol=1e-12)
    np.testing.assert_allclose(view["pairs"][:, 6:], values[:, both], atol=1e-12)
    np.testing.assert_allclose(probes.kernel(view, view, "state"), values @ values.T / 4, atol=1e-12)


def test_entropy_of_random_states():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(4000, 4, 4)) + 1j * rng.normal(size=(4000, 4, 4))
    weights = np.linalg.svd(states, compute_uv=False) ** 2
    weights /= weights.sum(-1, keepdims=True)
    entropies = -(weights * np.log2(weights)).sum(-1)
    # the mean of 4,000 states is known to four standard errors
    assert memory.random_entropy(4) == pytest.approx(entropies.mean(), abs=4 * entropies.std() / 4000**0.5)


def test_recall_asks_for_the_first_bits():
    x, y = memory.recall_data(50, 6, seed=0)
    np.testing.assert_array_equal(x[:, 0, :4] > 0, y > 0)
    np.testing.assert_array_equal(x[:, :, 4], np.eye(6)[[0] * 50])
    assert abs(np.corrcoef(x[:, 1, 0], y[:, 0])[0, 1]) < 0.5  # the noise is not the bits


@pytest.mark.slow
def test_the_study_leaves_its_record_and_pictures(tmp_path, capsys, monkeypatch):
    films = []  # drawing their frames takes long, and is tested where they are made
    film = types.SimpleNamespace(save=lambda path, dpi: films.append(path))
    monkeypatch.setattr(memory.plotting, "animate", lambda *_, **__: film)
    monkeypatch.setattr(memory, "SHOWN", 20)
    monkeypatch.setattr(memory, "PROBED", {"train": 200, "validation": 60, "test": 100})
    arguments = ["--seed", "0", "--limit", "300", "--epochs", "1", "--recall-steps", "2", "--follow", "3"]
    memory.main([*arguments, "--out", str(tmp_path)])
    runs = json.loads((tmp_path / "record.json").read_text())["runs"]
    assert runs[0]["entangled"]["parameters"] == runs[0]["product"]["parameters"] == 2486
    # without entanglers every state is a product; float32
    assert max(run["product"]["entropy_by_epoch"][-1] for run in runs) < 1e-4
    assert min(run["entangled"]["entropy_by_epoch"][-1] for run in runs) > 1e-3
    assert runs[0]["recall"]["untrained"]["readouts"][0] > 0.9  # after the first step, before any noise
    for name in ("glance", "inputs", "classes", "circuit", "study"):
        assert np.std(Image.open(tmp_path / f"{name}.png").convert("L")) > 5
    assert films == [tmp_path / "digit.gif", tmp_path / "digit.mp4"]
    assert "bits of the first input found after 1, 2 steps" in capsys.readouterr().out
