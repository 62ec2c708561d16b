"""TensorFlow's start without what it prints on every machine without a GPU; whatever else it says is shown."""

import os
import re
import sys
import tempfile

# Notes of libraries that are in the wheel twice, of a GPU that is not there, and of XLA's first use. No environment
# variable silences them: they are printed before the level of logging is read.
_NOTES = re.compile(
    r"cuda_(fft|dnn|blas)\.cc.*factory|cuInit|absl::InitializeLog|XLA service|StreamExecutor device|using XLA!"
    r"|cudart_stub|oneDNN|cpu_feature_guard|To enable the following instructions"
)


def import_tensorflow():
    """Import TensorFlow, and start its devices and XLA, which print the rest at their first use."""
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # results.py starts scripts of its own: none may take a whole GPU at its start.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            with tf.device("CPU"):
                tf.function(lambda x: x + 1, jit_compile=True)(1.0)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            for line in said.read().decode(errors="replace").splitlines():
                if not _NOTES.search(line):
                    print(line, file=sys.stderr)
