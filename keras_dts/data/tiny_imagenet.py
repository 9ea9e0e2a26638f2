"""A TensorFlow Datasets builder for Tiny-ImageNet.

Importing the module registers the builder under the name `tiny_imagenet`.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import tensorflow_datasets as tfds

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
SHA256 = "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821"

_ROOT = "tiny-imagenet-200"


class TinyImagenet(tfds.core.GeneratorBasedBuilder):
    """Builds Tiny-ImageNet from the archive its authors publish.

    A label is the index of the image's WordNet id among the sorted ids. The
    bounding boxes and the test images, which have no labels, are left out.

    Reference:
        Le and Yang, "Tiny ImageNet Visual Recognition Challenge", 2015.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return tfds.core.DatasetInfo(
            builder=self,
            description="100,000 training and 10,000 validation images of 200 "
            "ImageNet classes, 64 x 64 pixels.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(64, 64, 3), encoding_format="jpeg"
                    ),
                    "label": tfds.features.ClassLabel(num_classes=200),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="http://cs231n.stanford.edu/",
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        archive = Path(dl_manager.download(URL))
        check_sha256(archive, SHA256)
        return {
            "train": self._generate_examples(archive, "train"),
            "validation": self._generate_examples(archive, "validation"),
        }

    def _generate_examples(
        self, archive: Path, split: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        with zipfile.ZipFile(archive) as members:
            word_ids = sorted(_read(members, "wnids.txt").split())
            files = (
                _train_files(members)
                if split == "train"
                else _validation_files(members)
            )
            for file, word_id in files:
                yield (
                    PurePosixPath(file).name,
                    {
                        "image": members.read(file),
                        "label": word_ids.index(word_id),
                    },
                )


def check_sha256(path: Path, expected: str) -> None:
    """Raises a `ValueError` unless the file has this SHA-256.

    Args:
        path: The file.
        expected: The digest, 64 hexadecimal digits.

    Raises:
        ValueError: If the file has another digest.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        raise ValueError(
            f"`path` must have the SHA-256 {expected}; delete the file to "
            f"download it again. Received: path={str(path)!r} with {digest}"
        )


def _read(members: zipfile.ZipFile, name: str) -> str:
    return members.read(f"{_ROOT}/{name}").decode()


def _train_files(members: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Yields each training image's path in the archive and WordNet id."""
    for file in members.namelist():
        if file.startswith(f"{_ROOT}/train/") and file.endswith(".JPEG"):
            yield file, PurePosixPath(file).parts[2]


def _validation_files(members: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Yields each validation image's path in the archive and WordNet id."""
    for line in _read(members, "val/val_annotations.txt").splitlines():
        file, word_id, *_box = line.split("\t")
        yield f"{_ROOT}/val/images/{file}", word_id
