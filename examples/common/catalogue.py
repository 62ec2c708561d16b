"""Data sets of TensorFlow Datasets, without waiting for a network that is not there."""

import sys


def load_splits(name, data_dir=None, download=False, limit=None):
    """Name of a split -> its examples, dicts of arrays, for "train", "test" and, where there is one, "validation".

    Args:
        name: Name of a data set, with a config where it has several.
        data_dir: Where TensorFlow Datasets keeps its data.
        download: Whether it may download what is not there.
        limit: Read this many examples of a split at most.

    Raises:
        SystemExit: The data are not there, or have no such splits; the message says what to do.
    """
    import tensorflow_datasets as tfds

    try:
        # as a whole first: asking for one split of a set that is not there would wait for the network
        found = tfds.load(name, data_dir=data_dir, download=download)
    except AssertionError:
        sys.exit(
            f"TensorFlow Datasets has no prepared data of {name!r} in {data_dir or 'its data directory'}.\n"
            "Pass --download to fetch it, or --data-dir where it is."
        )
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        sys.exit(f"TensorFlow Datasets cannot load {name!r}: {error}")
    if not {"train", "test"} <= set(found):
        sys.exit(f"{name!r} must have a train and a test split, but it has {', '.join(sorted(found))}.")
    wanted = [split for split in ("train", "validation", "test") if split in found]
    return {split: list(tfds.as_numpy(found[split].take(limit or -1))) for split in wanted}
