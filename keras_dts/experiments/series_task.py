"""The demo's task on time series: a teacher, and students of its own shape.

The settings were not tuned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

from keras_dts.experiments.task import DemoTask, compile_model, stratified

if TYPE_CHECKING:
    from keras_dts.data import Splits


@dataclass(frozen=True)
class SeriesSetting:
    """Holds the settings of a demo on time series.

    DTS begins at twice `temperature` and ends at it.

    Args:
        data: A name of `keras_dts.data.load`.
        filters: The filters of each of a model's convolutions.
        units: The units of a model's hidden layer.
        dropout: The rate of a model's two dropout layers.
        teacher_epochs: The teacher's epochs.
        teacher_rate: The teacher's first learning rate; it falls to 0 along a
            cosine.
        teacher_batch: The teacher's batch size.
        student_share: The part of each class's training series that the
            students see, in (0, 1].
        student_epochs: Epochs of each student.
        student_rate: The students' first learning rate; it falls to 0 along a
            cosine.
        student_batch: The students' batch size.
        temperature: The constant temperature of KD.
        student_loss_weight: The weight of the labels in a distillation.
    """

    data: str
    filters: tuple[int, ...] = (32, 32, 64)
    units: int = 64
    dropout: float = 0.3
    teacher_epochs: int = 100
    teacher_rate: float = 0.003
    teacher_batch: int = 16
    student_share: float = 1.0
    student_epochs: int = 100
    student_rate: float = 0.001
    student_batch: int = 16
    temperature: float = 4.0
    student_loss_weight: float = 0.1

    def task(self) -> SeriesTask:
        """Loads the data.

        Returns:
            The task of this setting.
        """
        from keras_dts.data import load

        return SeriesTask(self, load(self.data))


SERIES_SETTINGS = {
    name: SeriesSetting(data=name) for name in ("osu_leaf", "basic_motions")
}


class SeriesTask(DemoTask):
    """Classifiers of time series; the student is as large as the teacher.

    Args:
        setting: The setting.
        splits: The data set.
    """

    unit = "series"

    def __init__(self, setting: SeriesSetting, splits: Splits) -> None:
        part = stratified(splits.y_train, setting.student_share)
        super().__init__(
            setting,
            (splits.x_train[part], splits.y_train[part]),
            (splits.x_test, splits.y_test),
            len(splits.y_train),
        )
        self._splits = splits

    def teacher_data(self) -> tuple[Any, ...]:
        """Returns all training series, with labels."""
        return self._splits.x_train, self._splits.y_train

    def make_teacher(self) -> keras.Model:
        """Returns a new teacher."""
        return self._make("teacher")

    def make_student(self) -> keras.Model:
        """Returns a new student."""
        return self._make("student")

    def compile_for(self, model: keras.Model, rate: float, steps: int) -> None:
        """Compiles a model with Adam, whose rate falls to 0 along a cosine."""
        compile_model(model, rate, steps, metrics=[self.metric])

    def _make(self, name: str) -> keras.Model:
        setting = self.setting
        convolutions = [
            layers.Conv1D(
                filters, 8, strides=2, padding="same", activation="relu"
            )
            for filters in setting.filters
        ]
        return keras.Sequential(
            [
                keras.Input(self._splits.x_train.shape[1:]),
                *convolutions,
                layers.GlobalAveragePooling1D(),
                layers.Dropout(setting.dropout),
                layers.Dense(setting.units, activation="relu"),
                layers.Dropout(setting.dropout),
                layers.Dense(self._splits.num_classes),
            ],
            name=name,
        )
