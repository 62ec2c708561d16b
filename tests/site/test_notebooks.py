"""The tutorials run from start to end, and end as their text says."""

import pathlib
import sys

import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from run_notebooks import NOTEBOOKS, run  # noqa: E402

# What a notebook's text says of its results, in its own names.
CLAIMS = {
    # Chance is 10 %.
    "first_model": """
        assert accuracy > 0.85 and abs(model.count_params() - lstm.count_params()) < 0.05 * model.count_params()
        assert np.array_equal(model.predict(x[test], verbose=0), again.predict(x[test], verbose=0))
    """,
    # Chance is 50 %; the states of a pair of random sequences have a fidelity of 1/8 on average.
    "memory": """
        assert accuracy > 0.95
        assert overlap[same][:, -1].mean() > 0.7 and overlap[different][:, -1].mean() < 0.2
        assert 0.7 < overlap[different][:, 0].mean() < 0.95 and trace.entanglement_entropies().mean(axis=0).max() < 0.2
        assert fidelity > 1 - 1e-4
    """,
    # 1,000 shots of a readout near 0 have a standard error of 0.032.
    "hardware": """
        rms = [np.sqrt(np.mean((result.readouts - result.exact) ** 2)) for result in (exact_shots, noisy)]
        assert 0.015 < rms[0] < 0.045 and rms[0] < rms[1] < 0.3
        assert np.mean(np.argmax(exact_shots.outputs, axis=-1) == y[some]) > 0.7
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_keeps_its_word(path):
    claims = "\n".join(line.strip() for line in CLAIMS[path.stem].splitlines())
    again = run(path, extra=claims)
    stored = nbformat.read(path, as_version=4)
    for cell, fresh in zip(stored.cells, again.cells, strict=True):
        kinds = [[output.output_type for output in c.get("outputs", ())] for c in (cell, fresh)]
        assert kinds[0] == kinds[1], cell.source  # pictures and text are stored where they come


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_whole(path):
    """As `make notebooks` leaves them: executed in order, with pictures, without errors or paths of a machine."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
    assert all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs)
