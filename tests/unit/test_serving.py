"""What `model.export` writes answers where TensorFlow and the library of the op are, and nothing else of ours."""

import concurrent.futures
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfq_qrnn

BACKENDS = ("native", "tensorflow")
SHAPES = [(1, 4), (5, 9)]  # batch and time are both free in the signature

# `sys.modules[...] = None` makes an import fail. The op of "native" is not there before its library is loaded.
SERVE = """
import sys
sys.modules.update(tfq_qrnn=None, keras=None, cirq=None, tensorflow_quantum=None)
import numpy as np
import tensorflow as tf
path, library = sys.argv[1:]
try:
    tf.saved_model.load(path)
except Exception as error:
    assert "TfqQrnnScan" in str(error), error
else:
    raise AssertionError("the op is there before its library is loaded")
tf.load_op_library(library)
served = tf.saved_model.load(path).signatures["serving_default"]
inputs = np.load(path + "/../inputs.npz")
((name, spec),) = served.structured_input_signature[1].items()
assert spec.shape.as_list() == [None, None, 3], spec
outputs = {key: next(iter(served(**{name: tf.constant(x)}).values())).numpy() for key, x in inputs.items()}
np.savez(path + "/../outputs.npz", **outputs)
"""


def make_model(backend):
    layer = tfq_qrnn.QRNN(3, controller=tfq_qrnn.Controller((8,), angle_scale=0.5), backend=backend)
    return keras.Sequential([keras.Input((None, 3)), layer, keras.layers.Dense(2)])


def random_inputs():
    random = np.random.default_rng(1)
    return [random.normal(size=(*shape, 3)).astype("float32") for shape in SHAPES]


@pytest.fixture(scope="module", params=BACKENDS)
def exported(request, tmp_path_factory):
    """A backend's model and the folder of its SavedModel."""
    keras.utils.set_random_seed(0)
    model = make_model(request.param)
    path = tmp_path_factory.mktemp(request.param) / "model"
    model.export(path, verbose=False)
    return model, path


@pytest.mark.slow
@pytest.mark.parametrize("exported", ["native"], indirect=True)
def test_serves_without_this_package(exported):
    model, path = exported
    inputs = dict(zip("ab", random_inputs(), strict=True))
    np.savez(path.parent / "inputs.npz", **inputs)
    library = str(tfq_qrnn.backends.native.library_path())
    result = subprocess.run([sys.executable, "-c", SERVE, str(path), library], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    with np.load(path.parent / "outputs.npz") as outputs:
        for name, x in inputs.items():
            # the same ops with the same numbers; a graph may fuse them otherwise
            np.testing.assert_allclose(outputs[name], model(x), rtol=1e-5, atol=1e-6)


def test_threads_that_call_at_once_get_what_each_gets_alone(exported):
    _, path = exported
    served = tf.saved_model.load(path)
    random = np.random.default_rng(2)
    requests = [tf.constant(random.normal(size=(1 + i % 4, 3 + i % 5, 3)), tf.float32) for i in range(40)]
    alone = [served.serve(x).numpy() for x in requests]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            together = list(pool.map(lambda x: served.serve(x).numpy(), requests))
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_model_with_masks_and_sequences_is_served():
    layer = tfq_qrnn.QRNN(2, return_sequences=True, backend="tensorflow")
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.Masking(), layer])
    x = random_inputs()[1]
    x[1, 5:] = 0
    archive = keras.export.ExportArchive()
    archive.track(model)
    served = archive.add_endpoint("serve", model.call, input_signature=[tf.TensorSpec((None, None, 3))])
    np.testing.assert_allclose(served(x), model(x), atol=1e-6)
    np.testing.assert_array_equal(served(x)[1, 5:], np.broadcast_to(served(x)[1, 4], (4, 6)))
