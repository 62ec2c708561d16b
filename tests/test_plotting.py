"""Pictures show the numbers that `trace` gives."""

import keras
import numpy as np
import pytest

import tfq_qrnn


@pytest.fixture(scope="module")
def trace():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(2, 5, 4))
    return tfq_qrnn.trace(tfq_qrnn.QRNN(n_qubits=3, dtype="float64", angle_scale=1.0), x)


def test_pictures_show_the_values(trace):
    axes = tfq_qrnn.plotting.bloch_vectors(trace, index=1)
    assert len(axes) == 3
    np.testing.assert_array_equal(axes[2].lines[0].get_ydata(), trace.bloch_vectors()[1, :, 2, 0])
    curves = tfq_qrnn.plotting.learning_curves({"one": [[0.1, 0.2], [0.3, 0.6]], "two": [0.5, 0.6]})
    np.testing.assert_allclose(curves.lines[0].get_ydata(), [0.2, 0.4])
    np.testing.assert_allclose(curves.lines[1].get_ydata(), [0.5, 0.6])
    with pytest.raises(ValueError, match=r"^Argument `axes` must be 3 axes, one per qubit, but there are 2"):
        tfq_qrnn.plotting.bloch_vectors(trace, axes=axes[:2])
    with pytest.raises(TypeError, match=r"^Argument `trace` must be a tfq_qrnn.Trace"):
        tfq_qrnn.plotting.bloch_vectors(3)
