"""The build of the native op; everything else about the package stands in pyproject.toml.

The op is built where TensorFlow and a C++ compiler are there; without them the package installs all the same, unless
the environment has TFQ_QRNN_REQUIRE_NATIVE=1.
"""

import math
import os
import re
import struct
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

_SOURCES = Path("tfq_qrnn/backends/native")
_MISSING = "tfq_qrnn: the native op was not built ({}). The package works without it, on plain TensorFlow ops, slower."


class BuildNativeOp(build_ext):
    """Builds against the TensorFlow that is installed, and puts its minor version into the file's name.

    `tfq_qrnn.backends.native` loads only the library of the TensorFlow that it runs on: the two share C++ classes, and
    a library of another minor version may crash on loading. Patch releases share one.
    """

    def build_extension(self, ext):
        try:
            import tensorflow as tf

            ext.extra_compile_args = [
                # As headers of the system: those of newer TensorFlows warn of themselves.
                *(re.sub("^-I", "-isystem", flag) for flag in tf.sysconfig.get_compile_flags()),
                # -g0: Python's own flags ask for debug information, most of the library's size. NaN must stay NaN, so
                # of -ffast-math only what does not assume finite numbers or reorder sums.
                *["-std=c++17", "-O3", "-g0", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math"],
                "-ffp-contract=fast",
                "-Wno-psabi",  # about vectors as arguments, and none crosses from one file to another
                *_gelu_of(tf),
            ]
            ext.extra_link_args = tf.sysconfig.get_link_flags()
            super().build_extension(ext)
        except Exception as error:
            if os.environ.get("TFQ_QRNN_REQUIRE_NATIVE") == "1":
                raise
            # An exception would end the build of what does work. Optional extensions of setuptools do the same, with
            # a message about the compiler alone.
            print(_MISSING.format(error or type(error).__name__), file=sys.stderr)

    def run(self):
        super().run()
        # Libraries for other TensorFlows, which scripts/build_wheel.py has built before.
        if folder := os.environ.get("TFQ_QRNN_LIBRARIES"):
            for library in Path(folder).glob("_native_ops.tf-*.so"):
                self.copy_file(str(library), str(Path(self.build_lib, "tfq_qrnn", "backends", library.name)))

    def get_ext_filename(self, fullname):
        return f"{fullname.replace('.', '/')}.tf-{_tensorflow_version()}.so"

    def copy_extensions_to_source(self):
        if (Path(self.build_lib) / self.get_ext_filename(self.extensions[0].name)).exists():
            super().copy_extensions_to_source()

    def get_export_symbols(self, ext):
        return []


class OneWheelForAllPythons(bdist_wheel):
    """The op is a library for TensorFlow with no Python in it: one wheel serves every Python 3."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


def _gelu_of(tf):
    """In float64, too, TensorFlow rounds a constant of GELU to float32: sqrt(2), or sqrt(1/2) in newer versions."""
    of_half = 0.5 * math.erfc(-struct.unpack("f", struct.pack("f", math.sqrt(0.5)))[0])
    is_half = abs(float(tf.nn.gelu(tf.constant(1.0, tf.float64))) - of_half) < 1e-12  # they differ by 5e-9
    return ["-DTFQ_QRNN_GELU_OF_SQRT_HALF"] if is_half else []


def _tensorflow_version():
    try:
        import tensorflow as tf
    except ImportError:
        return "none"
    return ".".join(tf.__version__.split(".")[:2])


setup(
    ext_modules=[
        Extension(
            "tfq_qrnn.backends._native_ops",
            sources=sorted(str(path) for path in _SOURCES.glob("*.cc")),
            depends=sorted(str(path) for path in _SOURCES.iterdir()),
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildNativeOp, "bdist_wheel": OneWheelForAllPythons},
)
