"""The study of long sequences: what is known of a unitary is found."""

import json

import numpy as np
import pytest

from experiments.studies import long_sequences


@pytest.mark.slow
def test_the_study_of_long_sequences_finds_what_the_physics_says(tmp_path, capsys):
    long_sequences.main(["--quick", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "record.json").read_text())["rows"]
    found = {(row["angle_scale"], row["gain"]): row for row in rows}
    for scale in (0.1, 1):
        # Without feedback a sequence is a unitary: it keeps the length of a difference and of the gradient.
        norms = found[scale, 0]["gradient"]["memory"]
        np.testing.assert_allclose(norms, norms[-1], rtol=1e-9)
        # Rounding, 1e-16 a gate, against a difference of 1e-6.
        assert abs(found[scale, 0]["lyapunov"]) < 1e-8
    # With it differences grow, the faster the larger the angles are.
    assert found[1, 1]["lyapunov"] > 0.01
    assert found[1, 1]["lyapunov"] > 3 * found[0.1, 1]["lyapunov"]
    assert (tmp_path / "long_sequences.png").read_bytes().startswith(b"\x89PNG")
    assert "Lyapunov exponent" in capsys.readouterr().out
