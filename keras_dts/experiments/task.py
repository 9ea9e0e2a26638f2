"""The tasks of the command: images, a teacher that knows them, and students.

A convolutional teacher learns from all training images. A small student sees
a part of them.

The settings were chosen without the test images: by a few trials on training
images that the students do not see, with other seeds.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from keras_dts.data import Splits, load
from keras_dts.experiments.compare import Method, compare, measure, timed_fit
from keras_dts.results import Comparison, Row
from keras_dts.utils import (
    EpochBar,
    require_matplotlib,
    say,
    versions,
    write_text,
)

# The first of the seeds that choose the teacher and its images.
TEACHER_SEED = 1_000

# Where a run keeps what it has finished, until all is.
UNFINISHED = "unfinished"


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

    def task(self) -> ImageTask:
        """Loads the data.

        Returns:
            The task of this setting.
        """
        return ImageTask(self, load(self.data))


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


class Task:
    """A teacher, students, and data for both.

    Args:
        setting: The setting.
        train: What the students learn from, as `fit` takes it.
        test: What they are tested on, in the same form.
        taught: How many examples the teacher learns from.
    """

    unit: str
    metric = "accuracy"

    def __init__(
        self,
        setting: Any,
        train: tuple[Any, ...],
        test: tuple[Any, ...],
        taught: int,
    ) -> None:
        self.setting = setting
        self.train = train
        self.test = test
        self.counts = {
            "teacher": taught,
            "student": len(train[0]),
            "test": len(test[0]),
        }

    def teacher_data(self) -> tuple[Any, ...]:
        """Returns what the teacher learns from, as `fit` takes it."""
        raise NotImplementedError

    def make_teacher(self) -> keras.Model:
        """Returns a new teacher."""
        raise NotImplementedError

    def make_student(self) -> keras.Model:
        """Returns a new student."""
        raise NotImplementedError

    def compile(self, model: keras.Model) -> None:
        """Compiles a student, or the distiller of one."""
        steps = self.setting.student_epochs * math.ceil(
            self.counts["student"] / self.setting.student_batch
        )
        self.compile_for(model, self.setting.student_rate, steps)

    def compile_for(self, model: keras.Model, rate: float, steps: int) -> None:
        """Compiles a model with Adam, whose rate falls to 0 along a cosine."""
        raise NotImplementedError

    def train_teacher(self, verbose: bool) -> tuple[keras.Model, Row]:
        """Returns a trained teacher, and its row."""
        setting = self.setting
        keras.utils.set_random_seed(TEACHER_SEED)
        data = self.teacher_data()
        teacher = self.make_teacher()
        steps = math.ceil(len(data[0]) / setting.teacher_batch)
        self.compile_for(
            teacher, setting.teacher_rate, setting.teacher_epochs * steps
        )
        seconds = timed_fit(
            teacher,
            data,
            epochs=setting.teacher_epochs,
            batch_size=setting.teacher_batch,
            callbacks=[EpochBar(self.metric)] if verbose else [],
        )
        value = measure(teacher, self.test, self.metric, setting.teacher_batch)
        return teacher, Row(
            "teacher", teacher.count_params(), [value], [seconds]
        )


class ImageTask(Task):
    """Classifiers of images: a convolutional teacher, small students.

    Args:
        setting: The setting.
        splits: Its data.
    """

    unit = "images"

    def __init__(self, setting: Setting, splits: Splits) -> None:
        part = stratified(splits.y_train, setting.student_share)
        super().__init__(
            setting,
            (splits.x_train[part], splits.y_train[part]),
            (splits.x_test, splits.y_test),
            len(splits.y_train),
        )
        self._splits = splits
        self._sizes = splits.x_train.shape[1:], splits.num_classes

    def teacher_data(self) -> tuple[Any, ...]:
        """Returns all training images, and moved ones, with their labels."""
        copies = self.setting.teacher_copies
        x = _augmented(self._splits.x_train, copies)
        return x, np.tile(self._splits.y_train, copies)

    def make_teacher(self) -> keras.Model:
        """Returns a new teacher."""
        shape, classes = (
            self._splits.x_train.shape[1:],
            self._splits.num_classes,
        )
        return _cnn(shape, classes, self.setting.teacher_filters)

    def make_student(self) -> keras.Model:
        """Returns a new student."""
        shape, classes = (
            self._splits.x_train.shape[1:],
            self._splits.num_classes,
        )
        return _mlp(shape, classes, self.setting.student_units)

    def compile_for(self, model: keras.Model, rate: float, steps: int) -> None:
        """Compiles a model with Adam, whose rate falls to 0 along a cosine."""
        compile(model, rate, steps)


def prepare(setting: Any, out: Path) -> Any:
    """Loads the data, and finds out early what would stop a run late.

    Args:
        setting: A `Setting`, or a `keras_dts.text_tasks.TextSetting`.
        out: The directory for the results; it is made if it is missing.

    Returns:
        The task: an `ImageTask`, or a `keras_dts.text_tasks.TextTask`.

    Raises:
        ImportError: If a package that a run needs is missing.
        OSError: If `out` is no directory and cannot become one.
        RuntimeError: If the data are not there and cannot be downloaded.
    """
    require_matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    return setting.task()


def run(
    task: Task,
    methods: Mapping[str, Method],
    *,
    seeds: int,
    out: Path,
    callbacks: Callable[[str, int], list[keras.callbacks.Callback]]
    | None = None,
    verbose: bool = True,
) -> Comparison:
    """Trains the teacher, and compares the methods with it.

    What is finished lies in `out / UNFINISHED` until all is. There a later
    call with the same task goes on.

    Args:
        task: What `prepare` returned.
        methods: As `keras_dts.compare` takes them.
        seeds: How many seeds; each trains one student for each method.
        out: The directory for the results.
        callbacks: As `keras_dts.compare` takes them.
        verbose: Whether to print each training's name and progress.

    Returns:
        The comparison, the teacher's row included.
    """
    setting = task.setting
    if verbose:
        teacher, student, test = (f"{n:,}" for n in task.counts.values())
        say(
            f"{setting.data}: the teacher learns from {teacher} {task.unit}, "
            f"a student from {student}; tested on {test}. "
            f"{keras.config.backend()} backend."
        )
    unfinished = out / UNFINISHED
    model, row = _teacher(task, unfinished, verbose)
    comparison = compare(
        model,
        task.make_student,
        methods,
        task.train,
        task.test,
        compile=task.compile,
        epochs=setting.student_epochs,
        batch_size=setting.student_batch,
        seeds=seeds,
        metric=task.metric,
        callbacks=callbacks,
        resume=unfinished / "trainings.json",
        verbose=verbose,
    )
    shutil.rmtree(unfinished)
    return dataclasses.replace(comparison, teacher=row)


def _teacher(
    task: Task, unfinished: Path, verbose: bool
) -> tuple[keras.Model, Row]:
    """Returns the teacher of an unfinished run of the same task, or a new one.

    A run of another task, or by another version, is forgotten.
    """
    weights, note = unfinished / "teacher.weights.h5", unfinished / "run.json"
    about = {
        "setting": dataclasses.asdict(task.setting),
        "counts": task.counts,
        "versions": versions(),
    }
    about = json.loads(json.dumps(about))  # with lists for tuples
    content = json.loads(note.read_text("utf-8")) if note.exists() else {}
    if content.get("about") == about:
        if verbose:
            say("\nteacher, done before")
        teacher = task.make_teacher()
        teacher.load_weights(weights)
        return teacher, Row(**content["teacher"])
    shutil.rmtree(unfinished, ignore_errors=True)
    if verbose:
        say("\nteacher")
    teacher, row = task.train_teacher(verbose)
    unfinished.mkdir(parents=True)
    teacher.save_weights(weights)
    content = {"about": about, "teacher": dataclasses.asdict(row)}
    write_text(note, json.dumps(content, indent=2) + "\n")
    return teacher, row


def save(path: Path, task: Any, comparison: Comparison) -> None:
    """Writes results as JSON, with what they were made of before them.

    Args:
        path: The file.
        task: The task of the run.
        comparison: Its results.
    """
    content = {
        "setting": dataclasses.asdict(task.setting),
        task.unit: task.counts,
        **comparison.to_dict(),
    }
    text = json.dumps(content, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


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


def compile(model: keras.Model, rate: float, steps: int) -> None:
    """Compiles a model with Adam, whose rate falls to 0 along a cosine."""
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(rate, steps)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


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
                0.1, 0.1, fill_mode="constant", seed=TEACHER_SEED
            ),
            layers.RandomRotation(
                0.03, fill_mode="constant", seed=TEACHER_SEED + 1
            ),
            layers.RandomZoom(0.1, fill_mode="constant", seed=TEACHER_SEED + 2),
        ]
    )
    moved = [
        ops.convert_to_numpy(move(images, training=True))
        for _ in range(copies - 1)
    ]
    return np.concatenate([images, *moved])
