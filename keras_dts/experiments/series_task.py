"""The demo's task on time series: a teacher, and students of its own shape.

The settings were not tuned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from keras_dts.experiments.task import ClassifierTask, Setting


@dataclass(frozen=True, kw_only=True)
class SeriesSetting(Setting):
    """Holds the settings of a demo on time series, of `keras_dts.data.load`.

    Args:
        filters: The filters of each of a model's convolutions.
        units: The units of a model's hidden layer.
        dropout: The rate of a model's two dropout layers.
    """

    filters: tuple[int, ...]
    units: int
    dropout: float

    def task(self) -> SeriesTask:
        """Loads the data."""
        from keras_dts.data import load

        return SeriesTask(self, load(self.data))


SERIES_SETTINGS = {
    name: SeriesSetting(
        data=name,
        filters=(32, 32, 64),
        units=64,
        dropout=0.3,
        teacher_epochs=100,
        teacher_rate=0.003,
        teacher_batch=16,
        student_share=1.0,
        student_epochs=100,
        student_rate=0.001,
        student_batch=16,
    )
    for name in ("osu_leaf", "basic_motions")
}


class SeriesTask(ClassifierTask):
    """Classifiers of time series; the student is as large as the teacher."""

    unit = "series"

    def teacher_data(self) -> tuple[Any, ...]:
        """Returns all training series, with labels."""
        return self.splits.x_train, self.splits.y_train

    def make_teacher(self) -> keras.Model:
        """Returns a new teacher."""
        return self._make("teacher")

    def make_student(self) -> keras.Model:
        """Returns a new student."""
        return self._make("student")

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
                keras.Input(self.splits.x_train.shape[1:]),
                *convolutions,
                layers.GlobalAveragePooling1D(),
                layers.Dropout(setting.dropout),
                layers.Dense(setting.units, activation="relu"),
                layers.Dropout(setting.dropout),
                layers.Dense(self.splits.num_classes),
            ],
            name=name,
        )
