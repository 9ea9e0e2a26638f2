"""Image classification data sets as NumPy arrays, in one form.

The arrays come from scikit-learn ("digits") or from TensorFlow Datasets (all
others). Both are optional and are imported by the first call that needs them.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

DEBIAN_FASHION_MNIST = "/usr/share/datasets/fashion-mnist"

_FASHION_MNIST_FILES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]

_TEST_SPLITS = {
    "fashion_mnist": "test",
    "cifar10": "test",
    "cifar100": "test",
    # The labels of its test images were never published.
    "tiny_imagenet": "validation",
}


class Splits(NamedTuple):
    """Holds a data set's training and test arrays.

    Args:
        x_train: Training images in [0, 1], shape `(n, height, width,
            channels)`, float32.
        y_train: Their classes, shape `(n,)`, int32.
        x_test: Test images, in the form of `x_train`.
        y_test: Their classes, in the form of `y_train`.
        num_classes: How many classes there are; labels are less than this.

    Example:
    >>> from keras_dts import data
    >>> data.load("digits").num_classes
    10
    """

    x_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int32]
    x_test: npt.NDArray[np.float32]
    y_test: npt.NDArray[np.int32]
    num_classes: int


def load(
    name: str, *, data_dir: str | os.PathLike[str] | None = None
) -> Splits:
    """Loads an image classification data set into memory.

    | name | training / test images | shape | classes |
    |---|---|---|---|
    | `"digits"` | 1,078 / 719 | 8 x 8 x 1 | 10 |
    | `"fashion_mnist"` | 60,000 / 10,000 | 28 x 28 x 1 | 10 |
    | `"cifar10"` | 50,000 / 10,000 | 32 x 32 x 3 | 10 |
    | `"cifar100"` | 50,000 / 10,000 | 32 x 32 x 3 | 100 |
    | `"tiny_imagenet"` | 100,000 / 10,000 | 64 x 64 x 3 | 200 |

    The digits are part of scikit-learn and are split here, by class, always in
    the same way. The others are downloaded and prepared by TensorFlow Datasets
    the first time; Fashion-MNIST is prepared from the files of Debian's package
    `dataset-fashion-mnist` where it is installed. Tiny-ImageNet's test images
    are its validation images; as float32 it takes 5.4 GB of memory.

    TensorFlow is told not to use the GPUs, unless it is Keras's backend or
    already runs: otherwise it would take their memory from the backend.

    Args:
        name: One of the names in the table.
        data_dir: Directory of the prepared data sets; `None` is TensorFlow
            Datasets' own (`~/tensorflow_datasets`). The digits do not use it.

    Returns:
        A `Splits`: `(x_train, y_train, x_test, y_test, num_classes)`, with
        images of shape `(n, height, width, channels)` in [0, 1] and labels of
        shape `(n,)`.

    Raises:
        ValueError: If `name` is none of those names.
        ImportError: If an optional package that the data set needs is missing.
        RuntimeError: If the data set is not prepared and cannot be downloaded.

    Example:
    >>> from keras_dts import data
    >>> splits = data.load("digits")
    >>> splits.x_train.shape, splits.x_test.shape
    ((1078, 8, 8, 1), (719, 8, 8, 1))
    """
    from keras_dts.checks import check_choice

    check_choice("name", name, ["digits", *_TEST_SPLITS])
    return _load_digits() if name == "digits" else _load_tfds(name, data_dir)


def prepare_fashion_mnist(
    source: str | os.PathLike[str] = DEBIAN_FASHION_MNIST,
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> None:
    """Prepares TensorFlow Datasets' `fashion_mnist` from files on the disk.

    Afterwards `tfds.load("fashion_mnist", data_dir=data_dir)` needs no
    download. A data set that is prepared already is left as it is.

    Args:
        source: Directory with Fashion-MNIST's four `*-ubyte.gz` files. How
            they are compressed does not matter.
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
    """Stands in for a download manager, with files from the disk.

    A download manager takes a local file for a download only if it has the
    original's checksum, which a recompressed file has not.
    """

    def extract(urls: dict[str, str]) -> Any:
        names = {key: url.rpartition("/")[2] for key, url in urls.items()}
        return dl_manager.extract(
            {key: source / name for key, name in names.items()}
        )

    return types.SimpleNamespace(download_and_extract=extract)


def _load_digits() -> Splits:
    datasets, model_selection = _require(
        "demo", "digits", ["sklearn.datasets", "sklearn.model_selection"]
    )
    images, labels = datasets.load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = model_selection.train_test_split(
        images.reshape(-1, 8, 8, 1),
        labels,
        test_size=0.4,
        stratify=labels,
        random_state=0,
    )
    return Splits(
        _scale(x_train, 16),  # pixels count 0 to 16 dots
        y_train.astype(np.int32),
        _scale(x_test, 16),
        y_test.astype(np.int32),
        num_classes=10,
    )


def _load_tfds(name: str, data_dir: str | os.PathLike[str] | None) -> Splits:
    tfds = _require_tfds(name)
    if name == "tiny_imagenet":
        # TensorFlow Datasets has none; the import registers a builder.
        importlib.import_module("keras_dts._tiny_imagenet")
    _prepare(tfds, name, data_dir)
    (train, test), info = tfds.load(
        name,
        split=["train", _TEST_SPLITS[name]],
        data_dir=data_dir,
        batch_size=1024,
        as_supervised=True,
        with_info=True,
        download=False,
    )
    return Splits(
        *_to_arrays(tfds.as_numpy(train)),
        *_to_arrays(tfds.as_numpy(test)),
        num_classes=info.features["label"].num_classes,
    )


def _to_arrays(
    batches: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    images, labels = zip(*batches, strict=True)
    return (
        _scale(np.concatenate(images), 255),
        np.concatenate(labels).astype(np.int32),
    )


def _prepare(
    tfds: Any, name: str, data_dir: str | os.PathLike[str] | None
) -> None:
    """Makes sure that the data set is on the disk."""
    builder = tfds.builder(name, data_dir=data_dir)
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
        raise RuntimeError(
            "`name` must be a data set that is prepared in `data_dir` or can "
            f"be downloaded, which needs {remedy}. Received: name={name!r}, "
            f"data_dir={data_dir!r}. Downloading ended with: {error}"
        ) from error


def _missing_fashion_mnist_files(source: str | os.PathLike[str]) -> list[str]:
    return [
        name
        for name in _FASHION_MNIST_FILES
        if not (Path(source) / name).is_file()
    ]


def _scale(images: npt.NDArray[Any], highest: int) -> npt.NDArray[np.float32]:
    # One pass, because a copy of Tiny-ImageNet in float32 is 5 GB.
    scaled: npt.NDArray[np.float32] = np.divide(
        images, np.float32(highest), dtype=np.float32, casting="same_kind"
    )
    return scaled


def _require_tfds(name: str) -> Any:
    # `importlib_resources` is imported by TensorFlow Datasets when it prepares
    # data, but is not among its dependencies.
    tfds, tf, _ = _require(
        "data",
        name,
        ["tensorflow_datasets", "tensorflow", "importlib_resources"],
    )
    leave_gpus_to_backend(tf)
    return tfds


def leave_gpus_to_backend(tf: Any) -> None:
    """Keeps TensorFlow off the GPUs, unless it is Keras's backend."""
    import keras

    if keras.config.backend() != "tensorflow":
        # A RuntimeError says that TensorFlow has its devices already.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")


def _require(extra: str, name: str, modules: list[str]) -> list[Any]:
    try:
        return [importlib.import_module(module) for module in modules]
    except ImportError as error:
        raise ImportError(
            f"The data set {name!r} needs packages that are optional: "
            f'pip install "keras-dts[{extra}]". Received: {error}'
        ) from error
