"""Time series as arrays: five sets of the UCR and UEA archives, and UCI HAR."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_dts.data.archives import Wheel, fetch
from keras_dts.data.splits import Splits

AEON = Wheel(
    "aeon",
    "1.6.0",
    "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
    "7d49034d8d142106e035fce019d8ee6f04d3ac8842490cd33f811d4df8e15da3",
)


class SeriesSet(NamedTuple):
    """Names one data set in the wheel.

    Args:
        folder: The name of its folder and of its files.
        class_names: The names of its classes in the order of the labels.
    """

    folder: str
    class_names: tuple[str, ...]


SERIES = {
    "osu_leaf": SeriesSet(
        "OSULeaf",
        (
            "Acer Circinatum",
            "Acer Glabrum",
            "Acer Macrophyllum",
            "Acer Negundo",
            "Quercus Garryana",
            "Quercus Kelloggii",
        ),
    ),
    "arrow_head": SeriesSet("ArrowHead", ("Avonlea", "Clovis", "Mix")),
    "gun_point": SeriesSet("GunPoint", ("Gun-Draw", "Point")),
    "italy_power": SeriesSet(
        "ItalyPowerDemand", ("October to March", "April to September")
    ),
    "basic_motions": SeriesSet(
        "BasicMotions", ("Standing", "Running", "Walking", "Badminton")
    ),
}

_HAR = "UCI HAR Dataset"
_HAR_SIGNALS = [
    f"{sensor}_{axis}"
    for sensor in ("body_acc", "body_gyro", "total_acc")
    for axis in "xyz"
]

Series = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


def load_series(name: str, data_dir: str | os.PathLike[str] | None) -> Splits:
    """Returns a data set of `SERIES`, each series z-normalised.

    Args:
        name: A name in `SERIES`.
        data_dir: Directory of the wheel; `None` is Keras's own.
    """
    folder, class_names = SERIES[name]
    with zipfile.ZipFile(fetch(AEON, name, data_dir)) as wheel:
        (x_train, y_train), (x_test, y_test) = (
            read_ts(
                wheel.read(
                    f"aeon/datasets/data/{folder}/{folder}_{part}.ts"
                ).decode()
            )
            for part in ("TRAIN", "TEST")
        )
    return Splits(
        normalize(x_train),
        y_train,
        normalize(x_test),
        y_test,
        len(class_names),
        class_names,
    )


def read_ts(text: str) -> tuple[npt.NDArray[np.float64], Labels]:
    """Returns the series and the labels of a file in the format `.ts`.

    A line after `@data` is an example: its channels, of numbers between
    commas, and its class, all between colons.

    Args:
        text: The content of the file, of series of one length.

    Returns:
        The series, shape `(examples, time, channels)`, and the indices of
        their classes in the list of classes, shape `(examples,)`.
    """
    head, _, body = text.partition("@data")
    (listed,) = (line for line in head.splitlines() if "@classLabel" in line)
    classes = listed.split()[2:]  # behind `@classLabel true`
    rows = [line.strip().split(":") for line in body.splitlines() if line]
    series = [[c.split(",") for c in channels] for *channels, _ in rows]
    labels = [classes.index(row[-1]) for row in rows]
    x = np.array(series, np.float64).transpose(0, 2, 1)
    return x, np.array(labels, np.int32)


def load_har(path: str | os.PathLike[str] | None) -> Splits:
    """Returns the windows of UCI HAR from the archive that a user has.

    Args:
        path: The archive, or the folder that it was unpacked to.

    Raises:
        FileNotFoundError: If `path` is neither.
    """
    with _har_folder(path) as root:
        parts = [_read_har(root, part) for part in ("train", "test")]
        listed = (root / "activity_labels.txt").read_text("utf-8")
    (x_train, y_train), (x_test, y_test) = parts
    names = tuple(line.split()[1].lower() for line in listed.splitlines())
    # By the channel, since a window's mean shows how the wearer is turned.
    moments = x_train.mean((0, 1)), x_train.std((0, 1))
    return Splits(
        normalize(x_train, moments),
        y_train,
        normalize(x_test, moments),
        y_test,
        len(names),
        names,
    )


@contextlib.contextmanager
def _har_folder(path: Any) -> Iterator[Any]:
    """Yields the folder with `train` and `test`, on the disk or in a zip file.

    Raises:
        FileNotFoundError: If there is none at `path`.
    """
    with contextlib.ExitStack() as stack:
        for root in _har_roots(path, stack):
            if (root / "train" / "y_train.txt").is_file():
                yield root
                return
        raise FileNotFoundError(
            f"`data_dir` must be the archive of UCI HAR, '{_HAR}.zip', or the "
            "folder that it was unpacked to. Received: "
            f"data_dir={None if path is None else os.fspath(path)!r}"
        )


def _har_roots(path: Any, stack: contextlib.ExitStack) -> list[Any]:
    """Returns where the folder may be; the stack closes opened archives."""
    if path is None:
        return []
    path = Path(path).expanduser()
    if path.is_dir():
        return [path, path / _HAR]
    if not zipfile.is_zipfile(path):
        return []
    archive = stack.enter_context(zipfile.ZipFile(path))
    inner = f"{_HAR}.zip"
    if inner in archive.namelist():  # as the UCI repository packs it
        # In memory: seeking in it would unpack it from its start each time.
        content = io.BytesIO(archive.read(inner))
        archive = stack.enter_context(zipfile.ZipFile(content))
    return [zipfile.Path(archive, f"{_HAR}/")]


def _read_har(root: Any, part: str) -> tuple[npt.NDArray[np.float64], Labels]:
    """Returns the windows of a part, and their classes, counted from 0."""
    folder = root / part
    signals = [
        _table(folder / "Inertial Signals" / f"{signal}_{part}.txt")
        for signal in _HAR_SIGNALS
    ]
    labels = _table(folder / f"y_{part}.txt")[:, 0].astype(np.int32) - 1
    return np.stack(signals, axis=-1), labels


def _table(file: Any) -> npt.NDArray[np.float64]:
    """Returns the numbers of a text file, a row for each line."""
    text = file.read_text("utf-8").strip()
    return np.fromstring(text, sep=" ").reshape(text.count("\n") + 1, -1)


def normalize(
    series: npt.NDArray[np.float64], moments: tuple[Any, Any] | None = None
) -> Series:
    """Returns series with mean 0 and standard deviation 1, in float32.

    A channel that is constant is 0.

    Args:
        series: Shape `(examples, time, channels)`.
        moments: The mean and the standard deviation; `None` are those of each
            channel of each series.
    """
    if moments is None:
        moments = (
            series.mean(axis=1, keepdims=True),
            series.std(axis=1, keepdims=True),
        )
    mean, deviation = moments
    # What rounding leaves of a constant is no deviation.
    constant = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    scaled = (series - mean) / np.where(constant, 1.0, deviation)
    return np.where(constant, 0.0, scaled).astype(np.float32)
