"""The demo's image task: a convolutional teacher and small students.

The teacher learns from all training images, a student from a part of them.

The settings were chosen without the test images: by a few trials on training
images that the students do not see, with other seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from keras_dts.experiments.task import (
    TEACHER_SEED,
    ClassifierTask,
    Setting,
)


@dataclass(frozen=True, kw_only=True)
class ImageSetting(Setting):
    """Holds the settings of a demo on images, of `keras_dts.data.load`.

    Args:
        teacher_filters: The filters of each of the teacher's blocks.
        teacher_copies: The number of copies of each image in one epoch of the
            teacher: the image itself, and augmented ones.
        student_units: The student's hidden units.
    """

    teacher_filters: tuple[int, ...]
    teacher_copies: int
    student_units: int

    def task(self) -> ImageTask:
        """Loads the data."""
        from keras_dts.data import load

        return ImageTask(self, load(self.data))


IMAGE_SETTINGS: dict[str, ImageSetting] = {
    "digits": ImageSetting(
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
    "fashion_mnist": ImageSetting(
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


class ImageTask(ClassifierTask):
    """Classifiers of images: a convolutional teacher, small students."""

    unit = "images"

    def teacher_data(self) -> tuple[Any, ...]:
        """Returns all training images and augmented copies, with labels."""
        copies = self.setting.teacher_copies
        x = _augmented(self.splits.x_train, copies)
        return x, np.tile(self.splits.y_train, copies)

    def make_teacher(self) -> keras.Model:
        """Returns a new teacher."""
        classes = self.splits.num_classes
        return _cnn(
            self.splits.x_train.shape[1:], classes, self.setting.teacher_filters
        )

    def make_student(self) -> keras.Model:
        """Returns a new student."""
        classes = self.splits.num_classes
        return _mlp(
            self.splits.x_train.shape[1:], classes, self.setting.student_units
        )


def _cnn(
    shape: tuple[int, ...], classes: int, filters: tuple[int, ...]
) -> keras.Model:
    blocks = []
    for number in filters:
        blocks += [
            layers.Conv2D(number, 3, padding="same", activation="relu"),
            # Pooling takes JAX twice as long on a CPU.
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
    """Returns the images, then shifted, rotated and scaled copies."""
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
