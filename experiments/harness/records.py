"""What a script leaves behind: JSON and CSV files that are whole or not there, and the versions of what ran."""

import json
import pathlib
import platform
import sys
from importlib import metadata

import numpy as np
import pandas as pd

from tfq_qrnn._files import replacing

_VERSIONS_OF = ("tfq_qrnn", "tensorflow", "keras", "tensorflow-quantum", "cirq-core", "numpy")


def versions():
    """Name -> version of Python and of the packages that make the numbers."""
    found = {"python": platform.python_version()}
    for name in _VERSIONS_OF:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_text(path, text):
    with replacing(path) as partial:
        partial.write_text(text, "utf-8")


def write_json(path, value):
    """A value as JSON; paths become their text."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_json(path):
    """The value of a JSON file, or None where there is no file."""
    path = pathlib.Path(path)
    return json.loads(path.read_text()) if path.exists() else None


def difference(settings, others):
    """The name of a setting that is not the same in two dicts, or None. One that is not there counts as None, so that
    an option that is new, and off, changes nothing.
    """
    return next((name for name in {**settings, **others} if settings.get(name) != others.get(name)), None)


def settle(folder, settings, fresh=False):
    """Leave a folder's settings.json, or end the program where the folder has runs of other settings, unless it is to
    start over. Returns the settings as they come out of the file.
    """
    path = pathlib.Path(folder, "settings.json")
    settings = json.loads(json.dumps(settings, default=str))
    found = settings if fresh else read_json(path) or settings
    if name := difference(found, settings):
        sys.exit(
            f"{folder} has runs with other settings: {name} is {found.get(name)!r} there and "
            f"{settings.get(name)!r} here. Give another --out, or --fresh to start over."
        )
    write_json(path, settings)
    return settings


def write_metrics(path, runs):
    """The metrics of all epochs of all runs as CSV, a line per epoch."""
    rows = [
        {"model": run["model"], "seed": run["seed"], "epoch": number, **epoch}
        for run in runs
        for number, epoch in enumerate(run["metrics"], 1)
    ]
    with replacing(path) as partial:
        pd.DataFrame(rows).to_csv(partial, index=False)


def mean_and_spread(values, digits=1, unit=""):
    """ "94.0 ± 1.3 %": mean and, of two values or more, sample standard deviation."""
    values = np.asarray(values, np.float64)
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}{unit}"
