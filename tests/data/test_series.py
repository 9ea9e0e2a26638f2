"""Time series: the wheel as it is, and small copies of the archives."""

import hashlib
import io
import os
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest

from keras_dts import data
from keras_dts.data import series
from keras_dts.data.archives import Wheel
from keras_dts.data.series import AEON, SERIES

DATASETS = Path(os.environ.get("KERAS_HOME", "~/.keras"), "datasets")
# Examples of each part, time, channels, and the error of the nearest neighbour
# by Euclidean distance, which the UCR archive publishes of its sets.
FORMS = {
    "osu_leaf": (200, 242, 427, 1, 0.4793),
    "arrow_head": (36, 175, 251, 1, 0.2000),
    "gun_point": (50, 150, 150, 1, 0.0867),
    "italy_power": (67, 1_029, 24, 1, 0.0447),
    "basic_motions": (40, 40, 100, 6, None),
}


def nearest(splits):
    """Returns the labels of the nearest neighbours of the test."""
    train, test = (x.reshape(len(x), -1) for x in (splits[0], splits[2]))
    squares = (test**2).sum(1)[:, None] + (train**2).sum(1)
    return splits.y_train[np.argmin(squares - 2 * test @ train.T, axis=1)]


@pytest.mark.parametrize("name", FORMS)
def test_the_real_series_have_the_documented_form(name):
    train, test, time, channels, published = FORMS[name]
    splits = data.load(name)
    assert splits.x_train.shape == (train, time, channels)
    assert splits.x_test.shape == (test, time, channels)
    for x, y in (splits[:2], splits[2:4]):
        assert (x.dtype, y.dtype) == (np.float32, np.int32)
        np.testing.assert_allclose(x.mean(1), 0.0, atol=1e-4)
        np.testing.assert_allclose(x.std(1), 1.0, atol=1e-4)
        assert set(y) == {*range(splits.num_classes)}
    assert len(splits.class_names) == splits.num_classes
    if published is not None:
        error = np.mean(nearest(splits) != splits.y_test)
        assert error == pytest.approx(published, abs=5e-5)


def test_the_wheel_has_its_digests():
    data.load("gun_point")
    content = (DATASETS.expanduser() / AEON.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == AEON.sha256
    assert hashlib.blake2b(content, digest_size=32).hexdigest() == AEON.blake2


TS = """#A comment, with @ and : in it.
@problemName Small
@classLabel true B A C
@data
1.0,3.0:10,10:A
0.0,-2.0:5,7:C

"""


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel of the real one's layout, in which all sets are one."""
    path = tmp_path / AEON.file
    with zipfile.ZipFile(path, "w") as archive:
        for folder, _ in SERIES.values():
            for part in ("TRAIN", "TEST"):
                file = f"aeon/datasets/data/{folder}/{folder}_{part}.ts"
                archive.writestr(file, TS)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(series, "AEON", AEON._replace(sha256=digest))
    return path


def test_a_series_is_normalised_by_channel(wheel):
    splits = data.load("basic_motions", data_dir=wheel.parent)
    expected = [[[-1, 0], [1, 0]], [[1, -1], [-1, 1]]]
    np.testing.assert_array_equal(splits.x_train, expected)
    np.testing.assert_array_equal(splits.x_test, expected)
    assert splits.y_test.tolist() == [1, 2]
    assert splits.class_names[3] == "Badminton"


def test_a_constant_that_floats_do_not_hold_is_0():
    constant = np.full((1, 1_000, 1), 0.1) * 3
    assert np.ptp(series.normalize(constant)) == 0.0


def test_a_failed_download_names_what_it_needs(monkeypatch, tmp_path):
    urls = []

    def urlopen(url, *args, **kwargs):
        urls.append(url)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    message = (
        "`name` must be .* needs a network, or pip download --no-deps "
        r"aeon==1\.6\.0 -d DIR and `data_dir=DIR`\. Received: name='osu_leaf'"
    )
    with pytest.raises(RuntimeError, match=message):
        data.load("osu_leaf", data_dir=tmp_path)
    (url,) = urls
    assert url.startswith("https://files.pythonhosted.org/packages/7d/49/034d")
    assert url.endswith("/aeon-1.6.0-py3-none-any.whl")


def test_another_wheel_is_refused(wheel, monkeypatch, tmp_path):
    monkeypatch.setattr(series, "AEON", AEON)
    monkeypatch.setattr(Wheel, "url", wheel.as_uri())
    with pytest.raises(RuntimeError, match=r"sha256 file hash does not match"):
        data.load("osu_leaf", data_dir=tmp_path / "new")


def har_files():
    """The files of a UCI HAR of three training and two test windows."""
    rng = np.random.default_rng(0)
    files = {"activity_labels.txt": "1 WALKING\n2 WALKING_UPSTAIRS\n3 LAYING\n"}
    signals = {}
    for part, labels in (("train", [3, 1, 2]), ("test", [2, 3])):
        files[f"{part}/y_{part}.txt"] = "".join(f"{y}\n" for y in labels)
        for sensor in ("body_acc", "body_gyro", "total_acc"):
            for axis in "xyz":
                rows = rng.normal(1.0, 2.0, (len(labels), 4)).round(6)
                name = f"{sensor}_{axis}_{part}"
                files[f"{part}/Inertial Signals/{name}.txt"] = "".join(
                    "".join(f"  {value: .7e}" for value in row) + "\n"
                    for row in rows
                )
                signals[name] = rows
    return files, signals


def zipped(folder, files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{folder}{name}", text)
    return content.getvalue()


def har_archive(tmp_path, kind):
    """Returns what a user may have of UCI HAR."""
    files, _ = har_files()
    if kind == "folder":
        for name, text in files.items():
            path = tmp_path / "UCI HAR Dataset" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path
    content = zipped("UCI HAR Dataset/", files)
    if kind == "zip in a zip":
        content = zipped("", {"UCI HAR Dataset.zip": content, "a.names": ""})
    path = tmp_path / "har.zip"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ["folder", "zip", "zip in a zip"])
def test_har_is_read_from_what_the_user_has(kind, tmp_path):
    _, signals = har_files()
    splits = data.load("har", har_archive(tmp_path, kind))
    assert splits.x_train.shape == (3, 4, 9)
    assert splits.x_test.shape == (2, 4, 9)
    assert splits.y_train.tolist() == [2, 0, 1]
    assert splits.y_test.tolist() == [1, 2]
    assert splits.class_names == ("walking", "walking_upstairs", "laying")
    for channel, name in [(1, "body_acc_y"), (8, "total_acc_z")]:
        train, test = (signals[f"{name}_{part}"] for part in ("train", "test"))
        for x, rows in [(splits.x_train, train), (splits.x_test, test)]:
            expected = (rows - train.mean()) / train.std()
            np.testing.assert_allclose(x[..., channel], expected, rtol=1e-5)


@pytest.mark.parametrize("what", ["nothing", "an empty folder", "no archive"])
def test_har_needs_its_archive(what, tmp_path):
    path = None
    if what != "nothing":
        path = tmp_path / what
        path.mkdir() if "folder" in what else path.write_text("har")
    message = r"`data_dir` must be the archive of UCI HAR, .*: data_dir="
    with pytest.raises(FileNotFoundError, match=message):
        data.load("har", path)
