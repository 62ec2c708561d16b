"""Prints what the extra "docs" of pyproject.toml names.

The site is built without the package, and so without TensorFlow:

    pip install $(python docs/requirements.py)
"""

import pathlib

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

PROJECT = tomllib.loads(
    pathlib.Path(__file__).parents[1].joinpath("pyproject.toml").read_text()
)["project"]
print("\n".join(PROJECT["optional-dependencies"]["docs"]))
