"""The demo: one student alone, with KD, and with DTS, on real images.

A convolutional teacher learns from all training images. A small student sees
a part of them, three times for each seed: alone, with a constant temperature,
and with DTS. The three start from the same weights and see the same images in
the same order.

The settings were chosen without the test images: by a few trials on training
images that the students do not see, with other seeds.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

import keras_dts
from keras_dts import plots
from keras_dts.data import Splits, load

STUDENT = "student.keras"
RESULTS = "results.json"
PICTURE = "run.png"

# The first of the seeds that choose the teacher and its images.
_TEACHER_SEED = 1_000

# Makes of teacher and student what trains the student, and its callbacks.
_Method = Callable[
    [keras.Model, keras.Model],
    tuple[keras.Model, list[keras.callbacks.Callback]],
]


@dataclass(frozen=True)
class Setting:
    """Holds all that a demo fixes before it starts.

    DTS begins at twice `temperature` and ends at it.

    Args:
        data: A name of `keras_dts.data.load`.
        teacher_filters: The filters of each of the teacher's blocks.
        teacher_copies: How often the teacher sees each image in an epoch: once
            as it is, and otherwise moved, turned and scaled a little.
        teacher_epochs: Epochs of the teacher.
        teacher_rate: Its first learning rate; a cosine takes it to 0.
        teacher_batch: Its batch size.
        student_units: The student's hidden units.
        student_share: The part of each class's training images that the
            students see, in (0, 1].
        student_epochs: Epochs of each student.
        student_rate: Their first learning rate; a cosine takes it to 0.
        student_batch: Their batch size.
        temperature: The constant temperature of KD.
        student_loss_weight: The weight of the labels where there is a teacher.
    """

    data: str
    teacher_filters: tuple[int, ...]
    teacher_copies: int
    teacher_epochs: int
    teacher_rate: float
    teacher_batch: int
    student_units: int
    student_share: float
    student_epochs: int
    student_rate: float
    student_batch: int
    temperature: float = 4.0
    student_loss_weight: float = 0.1


SETTINGS = {
    "digits": Setting(
        data="digits",
        teacher_filters=(32, 64),
        teacher_copies=8,
        teacher_epochs=8,
        teacher_rate=0.002,
        teacher_batch=32,
        student_units=16,
        student_share=0.2,
        student_epochs=150,
        student_rate=0.01,
        student_batch=32,
    ),
    "fashion_mnist": Setting(
        data="fashion_mnist",
        teacher_filters=(16, 32),
        teacher_copies=1,
        teacher_epochs=6,
        teacher_rate=0.002,
        teacher_batch=128,
        student_units=32,
        student_share=0.1,
        student_epochs=20,
        student_rate=0.005,
        student_batch=32,
    ),
}


@dataclass(frozen=True)
class Row:
    """Holds what one method came to.

    Args:
        method: Its name.
        parameters: How many parameters the model has.
        accuracies: The test accuracy of each seed, in [0, 1].
        seconds: How long each seed's training took, compilation included.
    """

    method: str
    parameters: int
    accuracies: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def accuracy_percent(self) -> float:
        """The mean test accuracy over the seeds, in %."""
        return 100 * statistics.fmean(self.accuracies)

    @property
    def accuracy_std_percent(self) -> float | None:
        """The seeds' sample standard deviation, in %; `None` for one seed."""
        if len(self.accuracies) < 2:
            return None
        return 100 * statistics.stdev(self.accuracies)


@dataclass(frozen=True)
class Results:
    """Holds what a demo came to.

    Args:
        setting: The setting.
        images: How many images the teacher, a student and the test saw.
        seeds: The students' seeds.
        versions: Of Python, Keras, its backend and keras-dts.
        rows: The teacher's row, then one for each method.
    """

    setting: Setting
    images: dict[str, int]
    seeds: list[int]
    versions: dict[str, str]
    rows: list[Row]

    def table(self) -> str:
        """Returns the results as a table, with the versions below."""
        head = ("method", "test accuracy (%)", "parameters", "seconds")
        cells = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
        lines = [_line(row, widths) for row in cells]
        lines.insert(1, "-" * len(lines[0]))
        versions = ", ".join(f"{k} {v}" for k, v in self.versions.items())
        count = len(self.seeds)
        note = (
            f"Mean and standard deviation over {count} seeds; seconds of one "
            "training."
            if count > 1
            else "One seed."
        )
        return "\n".join([*lines, "", note, versions])

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as JSON can hold it."""
        rows = [
            {
                **asdict(row),
                "accuracy_percent": row.accuracy_percent,
                "accuracy_std_percent": row.accuracy_std_percent,
                "seconds_mean": statistics.fmean(row.seconds),
            }
            for row in self.rows
        ]
        return {**asdict(self), "rows": rows}


def prepare(setting: Setting, out: Path) -> Splits:
    """Loads the data, and finds out early what would stop the demo late.

    Args:
        setting: The setting.
        out: The directory for the results; it is made if it is missing.

    Returns:
        The data.

    Raises:
        ImportError: If a package that the demo needs is missing.
        OSError: If `out` is no directory and cannot become one.
        RuntimeError: If the data are not there and cannot be downloaded.
    """
    plots.require_matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    return load(setting.data)


def run(
    setting: Setting,
    splits: Splits,
    *,
    seeds: int,
    out: Path,
    verbose: bool = True,
) -> Results:
    """Trains the teacher and all students, and writes the results.

    Args:
        setting: The setting.
        splits: The data, as `prepare` returns them.
        seeds: How many seeds; each trains one student for each method.
        out: A directory. The first DTS student goes there as `student.keras`,
            the picture of its training as `run.png`, the results as
            `results.json`.
        verbose: Whether to print each training's name and progress.

    Returns:
        The results.
    """
    part = stratified(splits.y_train, setting.student_share)
    images = {
        "teacher": len(splits.y_train),
        "student": len(part),
        "test": len(splits.y_test),
    }
    # Flushed, for those who read it through a pipe.
    say = functools.partial(print, flush=True) if verbose else _nothing
    say(
        f"{setting.data}: the teacher learns from {images['teacher']:,} "
        f"images, a student from {images['student']:,}; tested on "
        f"{images['test']:,}. {keras.config.backend()} backend."
    )
    say("\nteacher")
    teacher, teacher_row = _train_teacher(setting, splits, verbose)
    methods = _methods(setting)
    rows: dict[str, Row] = {}
    for seed in range(seeds):
        for name, method in methods.items():
            say(f"\nseed {seed + 1} of {seeds}: {name}")
            student, history, accuracy, seconds = _train_student(
                setting, splits, part, teacher, method, seed, verbose
            )
            row = rows.setdefault(name, Row(name, student.count_params()))
            row.accuracies.append(accuracy)
            row.seconds.append(seconds)
        if seed == 0:  # The last method is DTS.
            student.save(out / STUDENT)
            plots.plot_run(history)[0].figure.savefig(out / PICTURE)
    results = Results(
        setting,
        images,
        list(range(seeds)),
        _versions(),
        [teacher_row, *rows.values()],
    )
    text = json.dumps(results.to_dict(), indent=2)
    (out / RESULTS).write_text(text + "\n", encoding="utf-8")
    return results


def stratified(labels: npt.NDArray[Any], share: float) -> npt.NDArray[Any]:
    """Returns the indices of a part of each class, always the same ones.

    Args:
        labels: Class indices, shape `(n,)`.
        share: The part, in (0, 1]; at least one of each class is taken.
    """
    rng = np.random.default_rng(0)
    parts = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        parts.append(members[: max(1, round(share * len(members)))])
    return np.sort(np.concatenate(parts))


def _methods(setting: Setting) -> dict[str, _Method]:
    """Returns the three ways to train a student; DTS is the last."""
    low, high = setting.temperature, 2 * setting.temperature

    def alone(teacher: keras.Model, student: keras.Model) -> Any:
        return student, []

    def constant(teacher: keras.Model, student: keras.Model) -> Any:
        distiller = keras_dts.Distiller(
            teacher,
            student,
            student_loss_weight=setting.student_loss_weight,
            temperature=low,
        )
        return distiller, []

    def dynamic(teacher: keras.Model, student: keras.Model) -> Any:
        distiller, _ = constant(teacher, student)
        dts = keras_dts.DTS(initial=high, minimum=low, maximum=high)
        return distiller, [dts]

    return {
        "student alone": alone,
        f"KD, temperature {low:g}": constant,
        f"DTS, temperature {high:g} to {low:g}": dynamic,
    }


def _train_teacher(
    setting: Setting, splits: Splits, verbose: bool
) -> tuple[keras.Model, Row]:
    keras.utils.set_random_seed(_TEACHER_SEED)
    x, y = splits.x_train, splits.y_train
    x_seen = _augmented(x, setting.teacher_copies)
    y_seen = np.tile(y, setting.teacher_copies)
    teacher = _cnn(x.shape[1:], splits.num_classes, setting.teacher_filters)
    _, seconds = _fit(
        teacher,
        x_seen,
        y_seen,
        epochs=setting.teacher_epochs,
        rate=setting.teacher_rate,
        batch_size=setting.teacher_batch,
        verbose=verbose,
    )
    accuracy = _accuracy(teacher, splits)
    row = Row("teacher", teacher.count_params(), [accuracy], [seconds])
    return teacher, row


def _train_student(
    setting: Setting,
    splits: Splits,
    part: npt.NDArray[Any],
    teacher: keras.Model,
    method: _Method,
    seed: int,
    verbose: bool,
) -> tuple[keras.Model, keras.callbacks.History, float, float]:
    """Returns the student, its history, its accuracy and the seconds."""
    keras.utils.set_random_seed(seed)  # the same first weights, each method
    student = _mlp(
        splits.x_train.shape[1:], splits.num_classes, setting.student_units
    )
    model, callbacks = method(teacher, student)
    keras.utils.set_random_seed(seed)  # the same order, each method
    history, seconds = _fit(
        model,
        splits.x_train[part],
        splits.y_train[part],
        epochs=setting.student_epochs,
        rate=setting.student_rate,
        batch_size=setting.student_batch,
        verbose=verbose,
        callbacks=callbacks,
    )
    return student, history, _accuracy(model, splits), seconds


def _fit(
    model: keras.Model,
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    *,
    epochs: int,
    rate: float,
    batch_size: int,
    verbose: bool,
    callbacks: list[keras.callbacks.Callback] | None = None,
) -> tuple[keras.callbacks.History, float]:
    """Trains, and returns the history and the seconds it took."""
    steps = epochs * math.ceil(len(x) / batch_size)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(rate, steps)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    start = time.perf_counter()
    history = model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=epochs,
        verbose=0,
        callbacks=[*(callbacks or []), *([_Bar()] if verbose else [])],
    )
    return history, time.perf_counter() - start


def _accuracy(model: keras.Model, splits: Splits) -> float:
    logs = model.evaluate(
        splits.x_test,
        splits.y_test,
        batch_size=1_000,
        verbose=0,
        return_dict=True,
    )
    return float(logs["accuracy"])


def _cnn(
    shape: tuple[int, ...], classes: int, filters: tuple[int, ...]
) -> keras.Model:
    blocks = []
    for number in filters:
        blocks += [
            layers.Conv2D(number, 3, padding="same", activation="relu"),
            # Pooling would take JAX twice as long on a CPU.
            layers.Conv2D(
                number, 3, strides=2, padding="same", activation="relu"
            ),
        ]
    return keras.Sequential(
        [
            keras.Input(shape),
            *blocks,
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(128, activation="relu"),
            layers.Dense(classes),
        ],
        name="teacher",
    )


def _mlp(shape: tuple[int, ...], classes: int, units: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dense(classes),
        ],
        name="student",
    )


def _augmented(images: npt.NDArray[Any], copies: int) -> npt.NDArray[Any]:
    """Returns the images, and moved, turned and scaled copies after them."""
    move = keras.Sequential(
        [
            layers.RandomTranslation(
                0.1, 0.1, fill_mode="constant", seed=_TEACHER_SEED
            ),
            layers.RandomRotation(
                0.03, fill_mode="constant", seed=_TEACHER_SEED + 1
            ),
            layers.RandomZoom(
                0.1, fill_mode="constant", seed=_TEACHER_SEED + 2
            ),
        ]
    )
    moved = [
        ops.convert_to_numpy(move(images, training=True))
        for _ in range(copies - 1)
    ]
    return np.concatenate([images, *moved])


class _Bar(keras.callbacks.Callback):
    """Shows a whole training as one of Keras's progress bars."""

    _SHOWN = ("accuracy", "loss", "temperature", "gap")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Draws an empty bar."""
        self._bar = keras.utils.Progbar(
            self.params["epochs"],
            # Where nothing can be drawn over, only the last state.
            verbose=1 if sys.stdout.isatty() else 2,
            stateful_metrics=self._SHOWN,
            unit_name="epoch",
        )

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Moves the bar."""
        logs = logs or {}
        shown = [(k, float(logs[k])) for k in self._SHOWN if k in logs]
        self._bar.update(epoch + 1, shown)


def _versions() -> dict[str, str]:
    backend = keras.config.backend()
    return {
        "keras-dts": keras_dts.__version__,
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
        "python": platform.python_version(),
    }


def _cells(row: Row) -> tuple[str, ...]:
    std = row.accuracy_std_percent
    accuracy = f"{row.accuracy_percent:.2f}"
    # As wide as with a deviation, so that the points stand below each other.
    accuracy += " " * 7 if std is None else f" ± {std:4.2f}"
    return (
        row.method,
        accuracy,
        f"{row.parameters:,}",
        f"{statistics.fmean(row.seconds):.1f}",
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *others = (
        f"{cell:<{width}}" if i == 0 else f"{cell:>{width}}"
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "   ".join([first, *others])


def _nothing(text: str) -> None:
    """Prints nothing."""
