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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from keras_dts import plots
from keras_dts.comparison import Method, compare, measure, timed_fit
from keras_dts.data import Splits, load
from keras_dts.progress import EpochBar, say
from keras_dts.results import Comparison, Row

# The first of the seeds that choose the teacher and its images.
TEACHER_SEED = 1_000


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


class ImageTask:
    """A teacher and students of images.

    Args:
        setting: The setting.
        splits: Its data.
    """

    unit = "images"
    metric = "accuracy"

    def __init__(self, setting: Setting, splits: Splits) -> None:
        self.setting = setting
        self.splits = splits
        part = stratified(splits.y_train, setting.student_share)
        self.train = splits.x_train[part], splits.y_train[part]
        self.test = splits.x_test, splits.y_test
        self.counts = {
            "teacher": len(splits.y_train),
            "student": len(part),
            "test": len(splits.y_test),
        }

    def train_teacher(self, verbose: bool) -> tuple[keras.Model, Row]:
        """Returns a teacher trained on all training images, and its row."""
        return train_teacher(self.setting, self.splits, verbose)

    def make_student(self) -> keras.Model:
        """Returns a new student."""
        shape = self.splits.x_train.shape[1:]
        classes = self.splits.num_classes
        return _mlp(shape, classes, self.setting.student_units)

    def compile(self, model: keras.Model) -> None:
        """Compiles a student, or the distiller of one."""
        compile(
            model,
            self.setting.student_rate,
            student_steps(self.setting, self.counts),
        )


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
    plots.require_matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    return setting.task()


def run(
    task: Any,
    methods: Mapping[str, Method],
    *,
    seeds: int,
    callbacks: Callable[[str, int], list[keras.callbacks.Callback]]
    | None = None,
    verbose: bool = True,
) -> Comparison:
    """Trains the teacher, and compares the methods with it.

    Args:
        task: What `prepare` returned.
        methods: As `keras_dts.compare` takes them.
        seeds: How many seeds; each trains one student for each method.
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
        say("\nteacher")
    model, row = task.train_teacher(verbose)
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
        verbose=verbose,
    )
    return dataclasses.replace(comparison, teacher=row)


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


def student_steps(setting: Any, counts: dict[str, int]) -> int:
    """Returns the steps of a student's training."""
    steps: int = setting.student_epochs * math.ceil(
        counts["student"] / setting.student_batch
    )
    return steps


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


def train_teacher(
    setting: Setting, splits: Splits, verbose: bool
) -> tuple[keras.Model, Row]:
    """Returns a teacher trained on all training images, and its row."""
    keras.utils.set_random_seed(TEACHER_SEED)
    x = _augmented(splits.x_train, setting.teacher_copies)
    y = np.tile(splits.y_train, setting.teacher_copies)
    teacher = _cnn(x.shape[1:], splits.num_classes, setting.teacher_filters)
    steps = setting.teacher_epochs * math.ceil(len(x) / setting.teacher_batch)
    compile(teacher, setting.teacher_rate, steps)
    seconds = timed_fit(
        teacher,
        (x, y),
        epochs=setting.teacher_epochs,
        batch_size=setting.teacher_batch,
        callbacks=[EpochBar("accuracy")] if verbose else [],
    )
    test = (splits.x_test, splits.y_test)
    accuracy = measure(teacher, test, "accuracy", setting.teacher_batch)
    row = Row("teacher", teacher.count_params(), [accuracy], [seconds])
    return teacher, row


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
