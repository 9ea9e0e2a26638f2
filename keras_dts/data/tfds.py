"""Data sets that TensorFlow Datasets downloads and prepares."""

from __future__ import annotations

import functools
import importlib
import os
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keras_dts.data.archives import unavailable
from keras_dts.data.glue import GLUE_COLUMNS, texts_and_labels
from keras_dts.data.images import images_and_labels
from keras_dts.data.splits import Splits
from keras_dts.utils import require

DEBIAN_FASHION_MNIST = "/usr/share/datasets/fashion-mnist"

_FASHION_MNIST_FILES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]

# Each data set's split that the students are tested on.
TEST_SPLITS = {
    "fashion_mnist": "test",
    "cifar10": "test",
    "cifar100": "test",
    # The labels of its test images are not published.
    "tiny_imagenet": "validation",
    # The labels of GLUE's test texts are not published.
    "glue/sst2": "validation",
    "glue/mrpc": "validation",
    "glue/qnli": "validation",
    "glue/mnli": "validation_matched",
    "glue/mnli_mismatched": "validation_mismatched",
}

# TensorFlow Datasets' own names, where ours differ. Its own
# `glue/mnli_mismatched` has no training texts.
_BUILDERS = {
    "dolly": "databricks_dolly",
    "glue/mnli_mismatched": "glue/mnli",
}


def prepare_fashion_mnist(
    source: str | os.PathLike[str] = DEBIAN_FASHION_MNIST,
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Prepares TensorFlow Datasets' `fashion_mnist` from files on the disk.

    Afterwards `tfds.load("fashion_mnist", data_dir=data_dir)` needs no
    download. A data set that is already prepared is not changed.

    Args:
        source: Directory with Fashion-MNIST's four `*-ubyte.gz` files, in any
            compression level.
        data_dir: Directory of the prepared data sets; `None` is TensorFlow
            Datasets' own (`~/tensorflow_datasets`).

    Raises:
        FileNotFoundError: If `source` lacks one of the files.
        ImportError: If TensorFlow Datasets or TensorFlow is missing.

    Example:
    >>> from keras_dts import data
    >>> data.prepare_fashion_mnist()  # doctest: +SKIP
    >>> data.load("fashion_mnist").x_train.shape  # doctest: +SKIP
    (60000, 28, 28, 1)
    """
    if missing := _missing_fashion_mnist_files(source):
        raise FileNotFoundError(
            "`source` must be a directory with Fashion-MNIST's four files; "
            f"{', '.join(missing)} missing. "
            f"Received: source={os.fspath(source)!r}"
        )
    tfds = _require_tfds("fashion_mnist")
    builder = tfds.builder("fashion_mnist", data_dir=data_dir)
    split_generators = builder._split_generators
    builder._split_generators = lambda dl_manager: split_generators(
        _local_files(dl_manager, Path(source))
    )
    with tempfile.TemporaryDirectory() as extracted:
        builder.download_and_prepare(
            download_dir=extracted,
            download_config=tfds.download.DownloadConfig(
                try_download_gcs=False
            ),
        )


def _local_files(dl_manager: Any, source: Path) -> types.SimpleNamespace:
    """Returns a download manager that takes the files from the disk.

    TensorFlow Datasets' own manager compares checksums, and a file that was
    compressed again has another one.
    """

    def extract(urls: dict[str, str]) -> Any:
        names = {key: url.rpartition("/")[2] for key, url in urls.items()}
        return dl_manager.extract(
            {key: source / name for key, name in names.items()}
        )

    return types.SimpleNamespace(download_and_extract=extract)


def load_tfds(name: str, data_dir: str | os.PathLike[str] | None) -> Splits:
    """Returns a data set of `TEST_SPLITS`, which is prepared if it is missing.

    Args:
        name: A name in `TEST_SPLITS`.
        data_dir: Directory of the prepared data sets; `None` is TensorFlow
            Datasets' own.

    Raises:
        ImportError: If TensorFlow Datasets or TensorFlow is missing.
        RuntimeError: If it is not prepared and cannot be downloaded.
    """
    tfds = _require_tfds(name)
    if name == "tiny_imagenet":
        # TensorFlow Datasets has none; the import registers a builder.
        importlib.import_module("keras_dts.data.tiny_imagenet")
    _prepare(tfds, name, data_dir)
    columns = GLUE_COLUMNS.get(name)
    (train, test), info = tfds.load(
        _BUILDERS.get(name, name),
        split=["train", TEST_SPLITS[name]],
        data_dir=data_dir,
        batch_size=1024,
        as_supervised=columns is None,
        with_info=True,
        download=False,
    )
    read: Callable[[Any], tuple[Any, Any]] = images_and_labels
    if columns is not None:
        read = functools.partial(texts_and_labels, columns=columns)
    return Splits(
        *read(tfds.as_numpy(train)),
        *read(tfds.as_numpy(test)),
        num_classes=info.features["label"].num_classes,
        class_names=_class_names(info.features["label"]),
    )


def read_tfds(
    name: str,
    columns: tuple[str, ...],
    data_dir: str | os.PathLike[str] | None,
) -> Iterator[tuple[str, ...]]:
    """Yields the texts of each training example, which are prepared if missing.

    Args:
        name: The name of the data set.
        columns: The names of the features with the texts.
        data_dir: Directory of the prepared data sets; `None` is TensorFlow
            Datasets' own.

    Raises:
        ImportError: If TensorFlow Datasets or TensorFlow is missing.
        RuntimeError: If it is not prepared and cannot be downloaded.
    """
    tfds = _require_tfds(name)
    _prepare(tfds, name, data_dir)
    dataset = tfds.load(
        _BUILDERS.get(name, name),
        split="train",
        data_dir=data_dir,
        batch_size=1024,
        download=False,
    )
    for batch in tfds.as_numpy(dataset):
        for texts in zip(*(batch[c] for c in columns), strict=True):
            yield tuple(text.decode() for text in texts)


def _class_names(label: Any) -> tuple[str, ...] | None:
    """Returns the names of a `ClassLabel`, or `None` if it has none."""
    names = tuple(label.names)
    # TensorFlow Datasets returns numbers in the place of missing names.
    unnamed = names == tuple(map(str, range(label.num_classes)))
    return None if unnamed else names


def _prepare(
    tfds: Any, name: str, data_dir: str | os.PathLike[str] | None
) -> None:
    """Downloads and prepares the data set, if it is not prepared."""
    builder = tfds.builder(_BUILDERS.get(name, name), data_dir=data_dir)
    if builder.is_prepared():
        return
    if name == "fashion_mnist" and not _missing_fashion_mnist_files(
        DEBIAN_FASHION_MNIST
    ):
        prepare_fashion_mnist(DEBIAN_FASHION_MNIST, data_dir=data_dir)
        return
    try:
        builder.download_and_prepare()
    except (OSError, tfds.download.DownloadError) as error:
        remedy = "a network"
        if name == "fashion_mnist":
            remedy += ", or on Debian apt-get install dataset-fashion-mnist"
        raise unavailable(name, data_dir, remedy, error) from error


def _missing_fashion_mnist_files(source: str | os.PathLike[str]) -> list[str]:
    return [
        name
        for name in _FASHION_MNIST_FILES
        if not (Path(source) / name).is_file()
    ]


def _require_tfds(name: str) -> Any:
    """Imports TensorFlow Datasets for the data set of this name."""
    # TensorFlow Datasets imports `importlib_resources` when it prepares data,
    # but does not depend on it.
    tfds, *_ = require(
        "data",
        f"Data sets such as {name!r}",
        "tensorflow_datasets",
        "tensorflow",
        "importlib_resources",
    )
    return tfds
