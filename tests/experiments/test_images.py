"""Image sets: no image is in two splits, and files of one's own run nothing."""

import os
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from experiments.data import catalogue, files, images


def write_tfds(folder, **others):
    """Bright images and dark ones, as a data set of TensorFlow Datasets."""
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(0)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(6, 6, 1)), "label": tfds.features.ClassLabel(num_classes=2)}
    )

    def split(count):
        y = np.arange(count) % 2
        x = (rng.integers(0, 100, (count, 6, 6, 1)) + 100 * y[:, None, None, None]).astype("uint8")
        return tf.data.Dataset.from_tensor_slices({"image": x, "label": y})

    tfds.dataset_builders.store_as_tfds_dataset(
        name="bright",
        version="1.0.0",
        features=features,
        split_datasets={"train": split(60), "test": split(20), **{name: split(size) for name, size in others.items()}},
        data_dir=folder,
    )


@pytest.mark.slow
def test_sets_of_tensorflow_datasets(tmp_path):
    write_tfds(tmp_path / "a")
    write_tfds(tmp_path / "b", validation=14)
    for folder, sizes in (("a", [54, 6, 20]), ("b", [60, 14, 20])):  # no image of these is drawn twice
        data = images.load_images("tfds:bright", tmp_path / folder)
        splits = data.train, data.validation, data.test
        assert [len(labels) for _, labels in splits] == sizes
        for x, labels in splits:
            np.testing.assert_array_equal(x.max(axis=(1, 2, 3)) > 100, labels)


def test_official_splits_share_no_image():
    x, y = np.arange(12, dtype=np.uint8).reshape(-1, 1, 1), np.arange(12)
    # two images to test on are in the validation set, too, and two of its own in the training set
    data = images._split("numbers", "free", (x[:8], y[:8]), (x[9:], y[9:]), (x[6:11], y[6:11]))
    assert [sorted(labels) for _, labels in (data.train, data.validation, data.test)] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
    ]


def test_what_is_wrong_with_a_data_set_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "_SOURCE", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.setenv("no_proxy", "*")
    np.savez(tmp_path / "bad.npz", x=np.zeros((4, 5)), y=np.zeros(4, int))
    for dataset, download, message in (
        ("tfds:mnist", False, "Pass --download to fetch it"),
        ("tfds:mnist", True, "127.0.0.1:9 cannot be reached"),
        ("tfds:no_such_set", False, "cannot load 'no_such_set'"),
        ("nonsense", False, 'Argument `--dataset` must be "embedded"'),
        (str(tmp_path / "none.npz"), False, "but there is no"),
        (str(tmp_path / "bad.npz"), False, r"but it holds float64 \(4, 5\)"),
    ):
        with pytest.raises(SystemExit, match=message):
            images.load_images(dataset, tmp_path, download)
    with pytest.raises(SystemExit, match="must divide 784 pixels, but it is 3"):
        images.as_sequences(np.zeros((1, 28, 28, 1)), 3)


class Opens:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_files_of_ones_own_run_nothing_and_are_read_within_bounds(tmp_path, monkeypatch):
    y = np.zeros(4, int)
    np.savez(tmp_path / "code.npz", x=np.array([Opens(tmp_path / "written")] * 4), y=y)
    np.savez_compressed(tmp_path / "swells.npz", x=np.zeros((4, 2, 10**5), np.uint8), y=y)
    head = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (4, 2, 1000000000000), }"
    with zipfile.ZipFile(tmp_path / "says_more.npz", "w") as archive:
        archive.writestr("x.npy", head.ljust(127) + b"\n" + bytes(100))
        archive.writestr("y.npy", b"")
    os.mkfifo(tmp_path / "pipe.npz")
    os.symlink("/dev/zero", tmp_path / "device.npz")
    monkeypatch.setattr(files, "_most", lambda: 10**5)
    for name, message in (
        ("code", "Object arrays cannot be loaded"),
        ("swells", "it holds more than 97.7 KiB"),
        ("says_more", "cannot be read"),
        ("pipe", "is no regular file"),
        ("device", "is no regular file"),
    ):
        with pytest.raises(SystemExit, match=message):
            images.load_images(str(tmp_path / f"{name}.npz"))
    assert not (tmp_path / "written").exists()
    (tmp_path / "long.txt").write_bytes(b"a" * (10**5 + 1))
    for name, message in (
        ("long.txt", "long.txt has more than 97.7 KiB"),
        ("pipe.npz", "no regular"),
        ("device.npz", "no"),
    ):
        with pytest.raises(SystemExit, match=message):
            files.read_text(tmp_path / name)


def test_splits_share_no_image():
    data = images.load_images("embedded")
    train, validation, test = ({image.tobytes() for image in x} for x, _ in (data.train, data.validation, data.test))
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert [len(y) for _, y in (data.train, data.validation, data.test)] == [4000, 500, 500]
    sequences = images.as_sequences(data.train[0][:2], 28)
    np.testing.assert_array_equal(sequences[1, 5] * 255, data.train[0][1, 5, :, 0])
    permutation = np.arange(784)[::-1]
    np.testing.assert_array_equal(
        images.as_sequences(data.train[0][:2], 4, permutation)[0, 0, ::-1], sequences[0, -1, -4:]
    )


def test_images_of_ones_own_lose_their_repetitions(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 4, 5)).astype(np.uint8)
    y = x[:, 0, 0] % 3
    np.savez(tmp_path / "one.npz", x=np.concatenate([x, x[:10]]), y=np.concatenate([y, y[:10]]))
    np.savez(tmp_path / "two.npz", x=x, y=y, x_test=x[:7].astype("float32"), y_test=y[:7])
    for name, sizes in (("one", [32, 4, 4]), ("two", [30, 3, 7])):
        data = images.load_images(str(tmp_path / f"{name}.npz"))
        splits = data.train, data.validation, data.test
        assert [len(labels) for _, labels in splits] == sizes
        assert len({image.tobytes() for part, _ in splits for image in part}) == 40
        for part, labels in splits:
            np.testing.assert_array_equal(labels, part[:, 0, 0, 0] % 3)


def test_fashion_mnist_of_the_debian_package():
    if not images._FASHION.exists():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    data = images.load_images("fashion")
    splits = data.train, data.validation, data.test
    assert sum(len(y) for _, y in splits[:2]) <= 60_000  # less what is there twice, or tested
    seen = [{image.tobytes() for image in x} for x, _ in splits]
    assert len(seen[0] | seen[1] | seen[2]) == sum(map(len, seen))
    # a file of images that is read as labels, or from a wrong offset, would not have the classes in equal parts
    assert np.bincount(data.test[1]).tolist() == [1000] * 10
