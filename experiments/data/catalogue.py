"""Data sets of TensorFlow Datasets, without waiting for a network that is not there."""

import difflib
import sys
import urllib.error
import urllib.request

from experiments.late import late
from experiments.quiet import import_tensorflow

(tfds,) = late("tensorflow_datasets")

_SOURCE = "https://storage.googleapis.com"  # where TensorFlow Datasets looks first, whatever the set


def load_splits(name, data_dir=None, download=False, limit=None):
    """Name of a split -> its examples, dicts of arrays, for "train", "test" and, where there is one, "validation".

    Args:
        name: Name of a data set, with a config where it has several.
        data_dir: Where TensorFlow Datasets keeps its data.
        download: Whether it may download what is not there.
        limit: Read this many examples of a split at most.

    Raises:
        SystemExit: The data are not there and cannot be fetched, or have no such splits; the message says what to do.
    """
    try:
        is_there = tfds.builder(name, data_dir=data_dir).data_path.exists()  # which needs no TensorFlow
    except (ValueError, AssertionError) as error:  # no such name, or no such version
        sys.exit(f"TensorFlow Datasets cannot load {name!r}: {_reason(name, error)}")
    if not is_there and not (download and _is_online()):
        todo = (
            f"{_SOURCE} cannot be reached: fetch it elsewhere, and pass"
            if download
            else "Pass --download to fetch it, or"
        )
        sys.exit(
            f"TensorFlow Datasets has no prepared data of {name!r} in {data_dir or 'its data directory'}.\n"
            f"{todo} --data-dir where it is."
        )
    import_tensorflow()  # before TensorFlow Datasets does, and all is printed that quiet.py holds back
    # as a whole: asking for one split of a set that is not there would wait for the network
    found = tfds.load(name, data_dir=data_dir, download=not is_there)
    if not {"train", "test"} <= set(found):
        sys.exit(f"{name!r} must have a train and a test split, but it has {', '.join(sorted(found))}.")
    wanted = [split for split in ("train", "validation", "test") if split in found]
    return {split: list(tfds.as_numpy(found[split].take(limit or -1))) for split in wanted}


def _reason(name, error):
    """What was wrong with a name, in one line."""
    first, *rest = str(error).splitlines()
    sets = [line.strip("\t -") for line in rest if line.startswith("\t- ")]  # all that there are, hundreds
    near = difflib.get_close_matches(name.split("/")[0], sets, 3)
    return f"{first.rstrip('.')}. The nearest names are {', '.join(near)}." if near else first


def licence(name):
    """Where to find the licence of a data set."""
    return f"see https://www.tensorflow.org/datasets/catalog/{name.split('/')[0].split(':')[0]}"


def _is_online():
    """Whether there is a network to download from; without one TensorFlow Datasets would try for minutes."""
    try:
        urllib.request.urlopen(_SOURCE, timeout=5).close()
    except urllib.error.HTTPError:
        return True  # it answered
    except OSError:
        return False
    return True
