"""The image data sets: from their real files where these are installed."""

import gzip
import hashlib
import sys
import zipfile
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import requests
import sklearn
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_dts import data
from keras_dts.data import tfds as tfds_module

DIGITS_PER_CLASS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def pairs(images, labels):
    """Counts each pair of image and label, whatever their order."""
    return Counter(
        (image.tobytes(), int(label))
        for image, label in zip(images, labels, strict=True)
    )


def to_uint8(images, highest=255):
    return np.rint(images * highest).astype(np.uint8)


def parse_idx(path):
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def check_form(splits):
    for images, labels in [splits[:2], splits[2:4]]:
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert images.max() <= 1
        assert labels.dtype == np.int32
        assert labels.shape == images.shape[:1]
        assert labels.min() >= 0
        assert labels.max() < splits.num_classes


@pytest.fixture
def offline(monkeypatch):
    def send(*args, **kwargs):
        raise requests.exceptions.ConnectionError("no network")

    monkeypatch.setattr(requests.Session, "send", send)


@pytest.fixture(scope="session")
def fashion_mnist_dir(tmp_path_factory):
    """The whole data set, prepared once from links to Debian's files."""
    assert DEBIAN.is_dir(), "apt-get install dataset-fashion-mnist"
    source = tmp_path_factory.mktemp("source")
    for file in DEBIAN.iterdir():
        (source / file.name).symlink_to(file)
    data_dir = tmp_path_factory.mktemp("tfds")
    data.prepare_fashion_mnist(source, data_dir=data_dir)
    return data_dir


@pytest.fixture(scope="session")
def fashion_mnist(fashion_mnist_dir):
    return data.load("fashion_mnist", data_dir=fashion_mnist_dir)


def test_digits_have_the_documented_form():
    splits = data.load("digits")
    check_form(splits)
    assert splits.x_train.shape == (1078, 8, 8, 1)
    assert splits.x_test.shape == (719, 8, 8, 1)
    assert splits.x_train.max() == 1
    assert splits.num_classes == 10


def test_digits_are_those_in_scikit_learns_file():
    file = Path(sklearn.__file__).parent / "datasets/data/digits.csv.gz"
    table = np.loadtxt(file, delimiter=",").astype(np.uint8)
    x_train, y_train, x_test, y_test, *_ = data.load("digits")
    images = to_uint8(np.concatenate([x_train, x_test]), highest=16)
    labels = np.concatenate([y_train, y_test])
    assert pairs(images, labels) == pairs(table[:, :-1], table[:, -1])


def test_digits_are_split_by_class():
    splits = data.load("digits")
    train = np.bincount(splits.y_train)
    test = np.bincount(splits.y_test)
    np.testing.assert_array_equal(train + test, DIGITS_PER_CLASS)
    np.testing.assert_allclose(test, 0.4 * (train + test), atol=1)


def test_digits_have_a_fixed_split():
    splits = data.load("digits")
    for first, second in zip(splits, data.load("digits"), strict=True):
        np.testing.assert_array_equal(first, second)
    assert splits.y_train[:8].tolist() == [5, 1, 1, 0, 3, 2, 0, 2]
    assert splits.y_test[:8].tolist() == [1, 3, 4, 0, 6, 7, 3, 0]


def test_fashion_mnist_has_the_documented_form(fashion_mnist):
    check_form(fashion_mnist)
    assert fashion_mnist.x_train.shape == (60_000, 28, 28, 1)
    assert fashion_mnist.x_test.shape == (10_000, 28, 28, 1)
    assert fashion_mnist.x_train.max() == 1
    assert fashion_mnist.num_classes == 10
    assert fashion_mnist.class_names[9] == "Ankle boot"


@pytest.mark.parametrize("prefix", ["train", "t10k"])
def test_fashion_mnist_has_every_image_of_the_files(fashion_mnist, prefix):
    images = parse_idx(DEBIAN / f"{prefix}-images-idx3-ubyte.gz")
    labels = parse_idx(DEBIAN / f"{prefix}-labels-idx1-ubyte.gz")
    x, y = fashion_mnist[:2] if prefix == "train" else fashion_mnist[2:4]
    assert np.bincount(y).tolist() == [len(images) // 10] * 10
    assert pairs(to_uint8(x), y) == pairs(images, labels)


def test_plain_tfds_reads_the_prepared_fashion_mnist(
    fashion_mnist_dir, offline
):
    dataset, info = tfds.load(
        "fashion_mnist",
        split="test",
        data_dir=fashion_mnist_dir,
        with_info=True,
    )
    assert info.splits["train"].num_examples == 60_000
    assert info.features["label"].names[9] == "Ankle boot"
    assert len(dataset) == 10_000
    labels = [int(example["label"]) for example in tfds.as_numpy(dataset)]
    assert np.bincount(labels).tolist() == [1_000] * 10


def test_fashion_mnist_is_prepared_if_it_is_missing(
    fashion_mnist_dir, tmp_path, monkeypatch
):
    sources = []

    def prepare(source, *, data_dir):
        sources.append(source)

    monkeypatch.setattr(tfds_module, "prepare_fashion_mnist", prepare)
    for data_dir in (fashion_mnist_dir, tmp_path):
        tfds_module._prepare(tfds, "fashion_mnist", data_dir)
    assert sources == [str(DEBIAN)], "once, and not where it was prepared"


@pytest.mark.parametrize(
    ("name", "shape", "num_classes"),
    [
        ("cifar10", (32, 32, 3), 10),
        ("cifar100", (32, 32, 3), 100),
        ("tiny_imagenet", (64, 64, 3), 200),
    ],
)
def test_downloaded_data_sets_have_the_documented_form(
    name, shape, num_classes
):
    with tfds.testing.mock_data(num_examples=7):
        splits = data.load(name)
    check_form(splits)
    assert splits.x_train.shape == (7, *shape)
    assert splits.x_test.shape == (7, *shape)
    assert splits.x_train.max() > 0.9
    assert splits.num_classes == num_classes


WORD_IDS = ["n02", "n01", "n03"]  # out of order, as in the archive
GREYS = {"n01": 40, "n02": 120, "n03": 200}


def grey_jpeg(word_id, channels):
    pixels = np.full((64, 64, channels), GREYS[word_id], np.uint8)
    return tf.io.encode_jpeg(pixels, quality=100).numpy()


@pytest.fixture
def tiny_imagenet_zip(tmp_path, monkeypatch):
    """A Tiny-ImageNet of three classes; of each, one image is greyscale."""
    from keras_dts.data import tiny_imagenet

    path = tmp_path / "tiny-imagenet-200.zip"
    root = "tiny-imagenet-200"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/wnids.txt", "\n".join(WORD_IDS) + "\n")
        annotations = []
        for i, word_id in enumerate(WORD_IDS):
            folder = f"{root}/train/{word_id}"
            archive.writestr(f"{folder}/{word_id}_boxes.txt", "")
            for j, channels in enumerate([1, 3]):
                archive.writestr(
                    f"{folder}/images/{word_id}_{j}.JPEG",
                    grey_jpeg(word_id, channels),
                )
            archive.writestr(
                f"{root}/val/images/val_{i}.JPEG", grey_jpeg(word_id, 3)
            )
            annotations.append(f"val_{i}.JPEG\t{word_id}\t0\t32\t44\t62\n")
        archive.writestr(
            f"{root}/val/val_annotations.txt", "".join(annotations)
        )
        archive.writestr(f"{root}/test/images/test_0.JPEG", b"")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(tiny_imagenet, "SHA256", digest)
    monkeypatch.setattr(
        tfds.download.DownloadManager, "download", lambda self, url: path
    )
    return path


def test_tiny_imagenet_is_built_from_its_archive(tiny_imagenet_zip, tmp_path):
    splits = data.load("tiny_imagenet", data_dir=tmp_path / "tfds")
    check_form(splits)
    assert splits.x_train.shape == (6, 64, 64, 3)
    assert splits.x_test.shape == (3, 64, 64, 3)
    assert sorted(splits.y_train) == [0, 0, 1, 1, 2, 2]
    assert sorted(splits.y_test) == [0, 1, 2]
    greys = np.array(list(GREYS.values()))
    for images, labels in [splits[:2], splits[2:4]]:
        np.testing.assert_array_equal(
            to_uint8(images),
            np.ones(images.shape) * greys[labels, None, None, None],
        )


def test_an_altered_tiny_imagenet_archive_is_refused(
    tiny_imagenet_zip, tmp_path
):
    with zipfile.ZipFile(tiny_imagenet_zip, "a") as archive:
        archive.writestr("tiny-imagenet-200/more.txt", "")
    message = r"`path` must have the SHA-256 \w{64}; .*Received: path='.*zip'"
    with pytest.raises(ValueError, match=message):
        data.load("tiny_imagenet", data_dir=tmp_path / "tfds")


def test_an_unknown_name_is_refused():
    message = "`name` must be one of 'digits', .* Received: name='mnist'"
    with pytest.raises(ValueError, match=message):
        data.load("mnist")


def test_a_source_without_the_files_is_refused(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").touch()
    message = (
        "`source` must be a directory with .*; train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz missing. "
        f"Received: source='{tmp_path}'"
    )
    with pytest.raises(FileNotFoundError, match=message):
        data.prepare_fashion_mnist(tmp_path, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("fashion_mnist", "a network, .*apt-get install dataset-fashion-mnist"),
        ("cifar100", "a network"),
    ],
)
def test_a_failed_download_names_what_it_needs(
    name, remedy, offline, tmp_path, monkeypatch
):
    monkeypatch.setattr(tfds_module, "DEBIAN_FASHION_MNIST", str(tmp_path))
    message = f"`name` must be .*{remedy}. Received: name='{name}', data_dir="
    with pytest.raises(RuntimeError, match=message):
        data.load(name, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("digits", "sklearn.datasets", "demo"),
        ("cifar10", "tensorflow_datasets", "data"),
        ("cifar10", "tensorflow", "data"),
        ("cifar10", "importlib_resources", "data"),
    ],
)
def test_a_missing_package_names_its_extra(name, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    message = rf'{name}.*pip install "keras-dts\[{extra}\]".*{module}'
    with pytest.raises(ImportError, match=message):
        data.load(name)


def test_tensorflow_is_kept_off_the_gpus_of_another_backend(monkeypatch):
    calls = []
    monkeypatch.setattr(
        tf.config, "set_visible_devices", lambda *args: calls.append(args)
    )
    with tfds.testing.mock_data():
        data.load("cifar10")
    is_tensorflow = keras.config.backend() == "tensorflow"
    assert calls == ([] if is_tensorflow else [([], "GPU")])
