"""The benchmarks print and record what they measure; a long training holds no more at its end than after its start."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_the_benchmark_prints_and_records_what_it_measured(tmp_path):
    methods = ["tensorflow"]
    command = [sys.executable, "benchmarks/training_step.py", "--qubits", "4", "--threads", "1", "--limit", "200"]
    result = subprocess.run(
        [*command, "--methods", *methods, "--quick", "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "training_step.json").read_text())["rows"]
    assert {row["method"] for row in rows} == {"tensorflow"}
    assert all(row["best_ms"] > 0 for row in rows)
    assert "| n=4 T=28 batch=32" in result.stdout
    assert (tmp_path / "training_step.png").exists()


def grown(samples, after):
    """What the last sample holds beyond the first from step `after` on: KiB, threads, files."""
    start = next(sample for sample in samples if sample[0] >= after)
    return [last - first for first, last in zip(start[1:], samples[-1][1:], strict=True)]


def test_growth_is_seen():
    samples = [(step, 1000 + 2 * step, 5, 7 + step // 300) for step in range(100, 501, 100)]
    assert grown(samples, 200) == [600, 0, 1]


@pytest.mark.slow
def test_2000_steps_hold_what_500_do(tmp_path):
    command = [sys.executable, "benchmarks/soak.py", "--ways", "native, step", "--steps", "2000", "--samples", "20"]
    result = subprocess.run([*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (found,) = json.loads((tmp_path / "soak.json").read_text())["results"]
    assert len(found["samples"]) == 20
    assert found["loss"] < 1.0
    memory, threads, files = grown(found["samples"], 500)
    # A step that lost one state of its batch, 8 x 8 complex64, would lose 750 KiB here, and one step's graph far more;
    # the allocator's own ups and downs are some 100 KiB.
    assert memory < 700
    assert threads <= 0
    assert files <= 0
