"""The demo's image task: a convolutional teacher and small students.

The teacher learns from all training images, a student from a part of them.

The settings were chosen without the test images: by a few trials on training
images that the students do not see, with other seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from keras_dts.experiments.task import (
    TEACHER_SEED,
    DemoTask,
    compile_model,
    stratified,
)

if TYPE_CHECKING:
    from keras_dts.data import Splits


@dataclass(frozen=True)
class ImageSetting:
    """Holds the settings of a demo on images.

    DTS begins at twice `temperature` and ends at it.

    Args:
        data: A name of `keras_dts.data.load`.
        teacher_filters: The filters of each of the teacher's blocks.
        teacher_copies: The number of copies of each image in one epoch of the
            teacher: the image itself, and augmented ones.
        teacher_epochs: The teacher's epochs.
        teacher_rate: The teacher's first learning rate; it falls to 0 along a
            cosine.
        teacher_batch: The teacher's batch size.
        student_units: The student's hidden units.
        student_share: The part of each class's training images that the
            students see, in (0, 1].
        student_epochs: Epochs of each student.
        student_rate: The students' first learning rate; it falls to 0 along a
            cosine.
        student_batch: The students' batch size.
        temperature: The constant temperature of KD.
        student_loss_weight: The weight of the labels in a distillation.
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


class ImageTask(DemoTask):
    """Classifiers of images: a convolutional teacher, small students.

    Args:
        setting: The setting.
        splits: The data set.
    """

    unit = "images"

    def __init__(self, setting: ImageSetting, splits: Splits) -> None:
        part = stratified(splits.y_train, setting.student_share)
        super().__init__(
            setting,
            (splits.x_train[part], splits.y_train[part]),
            (splits.x_test, splits.y_test),
            len(splits.y_train),
        )
        self._splits = splits
        self._shape = splits.x_train.shape[1:]

    def teacher_data(self) -> tuple[Any, ...]:
        """Returns all training images and augmented copies, with labels."""
        copies = self.setting.teacher_copies
        x = _augmented(self._splits.x_train, copies)
        return x, np.tile(self._splits.y_train, copies)

    def make_teacher(self) -> keras.Model:
        """Returns a new teacher."""
        classes = self._splits.num_classes
        return _cnn(self._shape, classes, self.setting.teacher_filters)

    def make_student(self) -> keras.Model:
        """Returns a new student."""
        classes = self._splits.num_classes
        return _mlp(self._shape, classes, self.setting.student_units)

    def compile_for(self, model: keras.Model, rate: float, steps: int) -> None:
        """Compiles a model with Adam, whose rate falls to 0 along a cosine."""
        compile_model(model, rate, steps, metrics=[self.metric])


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
