"""The build of the native op; everything else about the package stands in pyproject.toml.

The op is built where TensorFlow and a C++ compiler are there; without them the package installs all the same, unless
the environment has TFQ_QRNN_REQUIRE_NATIVE=1.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

_SOURCES = Path("tfq_qrnn/backends/native")
_MISSING = "tfq_qrnn: the native op was not built ({}). The package works without it, on plain TensorFlow ops, slower."


class BuildNativeOp(build_ext):
    """Builds against the TensorFlow that is installed, and puts its version into the file's name.

    `tfq_qrnn.backends.native` loads only the library that was built for the TensorFlow it runs on: the two share C++
    classes, and a library for another version may crash on loading.
    """

    def build_extension(self, ext):
        try:
            import tensorflow as tf

            ext.extra_compile_args = [
                *tf.sysconfig.get_compile_flags(),
                # -g0: Python's own flags ask for debug information, most of the library's size. NaN must stay NaN, so
                # of -ffast-math only what does not assume finite numbers or reorder sums.
                *["-std=c++17", "-O3", "-g0", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math"],
                "-ffp-contract=fast",
                "-Wno-psabi",  # about vectors as arguments, and none crosses from one file to another
            ]
            ext.extra_link_args = tf.sysconfig.get_link_flags()
            super().build_extension(ext)
        except Exception as error:
            if os.environ.get("TFQ_QRNN_REQUIRE_NATIVE") == "1":
                raise
            # An exception would end the build of what does work. Optional extensions of setuptools do the same, with
            # a message about the compiler alone.
            print(_MISSING.format(error or type(error).__name__), file=sys.stderr)

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


def _tensorflow_version():
    try:
        import tensorflow as tf
    except ImportError:
        return "none"
    return tf.__version__


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
