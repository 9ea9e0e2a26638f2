"""A demo's task: data, a teacher and its students."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt

from keras_dts.experiments.training import measure, timed_fit
from keras_dts.results import Row
from keras_dts.utils import EpochBar

if TYPE_CHECKING:
    from keras_dts.data import Splits

# Seeds the teacher; larger than the seeds of any comparison.
TEACHER_SEED = 1_000


@dataclass(frozen=True, kw_only=True)
class Setting(abc.ABC):
    """Abstract: holds the settings of a demo.

    DTS begins at twice `temperature` and ends at it.

    Args:
        data: The name of the data set.
        teacher_epochs: The teacher's epochs.
        teacher_rate: The teacher's first learning rate; it falls to 0 along a
            cosine.
        teacher_batch: The teacher's batch size.
        student_share: The part of the training data that the students see, in
            (0, 1]; of each class, where there are classes.
        student_epochs: Epochs of each student.
        student_rate: The students' first learning rate; it falls to 0 along a
            cosine.
        student_batch: The students' batch size.
        temperature: The constant temperature of KD.
        student_loss_weight: The weight of the labels in a distillation.
    """

    data: str
    teacher_epochs: int
    teacher_rate: float
    teacher_batch: int
    student_share: float
    student_epochs: int
    student_rate: float
    student_batch: int
    temperature: float = 4.0
    student_loss_weight: float = 0.1

    @abc.abstractmethod
    def task(self) -> DemoTask:
        """Loads the data.

        Returns:
            The task of this setting.
        """


class DemoTask(abc.ABC):
    """Abstract: a demo's teacher, students and data.

    Args:
        setting: The setting.
        train: The students' training data, as `fit` takes it.
        test: The test data, in the same form.
        taught: The number of examples that the teacher learns from.
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
            "student": len(train[-1]),
            "test": len(test[-1]),
        }

    def split_train(
        self, share: float
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Returns a part of the students' training data, and the rest.

        Args:
            share: The part, in (0, 1), of each class.
        """
        part = stratified(self.train[-1], share)
        rest = np.setdiff1d(np.arange(len(self.train[-1])), part)
        return (
            tuple(array[part] for array in self.train),
            tuple(array[rest] for array in self.train),
        )

    @abc.abstractmethod
    def teacher_data(self) -> tuple[Any, ...]:
        """Returns the teacher's training data, as `fit` takes it."""

    @abc.abstractmethod
    def make_teacher(self) -> keras.Model:
        """Returns a new teacher."""

    @abc.abstractmethod
    def make_student(self) -> keras.Model:
        """Returns a new student."""

    def compile(self, model: keras.Model) -> None:
        """Compiles a student, or a distiller of a student."""
        steps = self.setting.student_epochs * math.ceil(
            self.counts["student"] / self.setting.student_batch
        )
        self.compile_for(model, self.setting.student_rate, steps)

    @abc.abstractmethod
    def compile_for(self, model: keras.Model, rate: float, steps: int) -> None:
        """Compiles a model with Adam, whose rate falls to 0 along a cosine."""

    def train_teacher(self, verbose: bool) -> tuple[keras.Model, Row]:
        """Returns a trained teacher, and its results."""
        setting = self.setting
        keras.utils.set_random_seed(TEACHER_SEED)
        data = self.teacher_data()
        teacher = self.make_teacher()
        steps = math.ceil(len(data[-1]) / setting.teacher_batch)
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


class ClassifierTask(DemoTask):
    """Abstract: classifiers, of which a student sees a part of each class.

    Args:
        setting: The setting.
        splits: The data set.
    """

    def __init__(self, setting: Setting, splits: Splits) -> None:
        part = stratified(splits.y_train, setting.student_share)
        super().__init__(
            setting,
            (splits.x_train[part], splits.y_train[part]),
            (splits.x_test, splits.y_test),
            len(splits.y_train),
        )
        self.splits = splits

    def compile_for(self, model: keras.Model, rate: float, steps: int) -> None:
        """Compiles a model with Adam, whose rate falls to 0 along a cosine."""
        compile_model(model, rate, steps, metrics=[self.metric])


def compile_model(
    model: keras.Model, rate: float, steps: int, **metrics: Any
) -> None:
    """Compiles a model with Adam, whose rate falls to 0 along a cosine.

    Args:
        model: The model. It returns logits of classes.
        rate: The first learning rate.
        steps: The number of steps after which the rate is 0.
        **metrics: The `metrics` or `weighted_metrics` of `compile`.
    """
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(rate, steps)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **metrics,
    )


def stratified(labels: npt.NDArray[Any], share: float) -> npt.NDArray[Any]:
    """Returns the sorted indices of a fixed part of each class.

    Args:
        labels: Class indices, shape `(n,)`.
        share: The part, in (0, 1]; at least one example of each class is taken.
    """
    rng = np.random.default_rng(0)
    parts = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        parts.append(members[: max(1, round(share * len(members)))])
    return np.sort(np.concatenate(parts))
