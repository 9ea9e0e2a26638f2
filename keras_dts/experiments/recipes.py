"""The methods of `keras-dts compare` that bring more than a model.

They need held-out data, callbacks, another optimizer, or the number of epochs.
What is held out is a fifth of the students' own data, so that no method sees
more labels than another.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
from keras import ops

from keras_dts.callbacks import Phase, TempBalance
from keras_dts.distiller import Distiller
from keras_dts.experiments.methods import METHODS
from keras_dts.experiments.own_text import OWN_TEXT, TaskMethod
from keras_dts.experiments.task import DemoTask
from keras_dts.experiments.training import Method, Recipe
from keras_dts.logits import LogitPair
from keras_dts.losses import AnnealingKD, StudentGuidedFeatures
from keras_dts.optimizers import LayerRates
from keras_dts.schedules import EpochSchedule
from keras_dts.temperatures import (
    MetaTemperature,
    ReinforcedTemperature,
    Temperature,
    Temperatures,
)

# The part of the students' data that a method learns from, where the rest is
# for its temperatures or its choices.
_PART = 0.8


class RandomTemperature(Temperature):
    """Draws a temperature for each example, `10 * sigmoid(u)`, u ~ N(1, 0.61).

    They are 7.1 on average, with a standard deviation of 1.2: what the released
    agent of RLKD ends with, whatever it is rewarded for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seed = keras.random.SeedGenerator(0)

    def temperatures(self, pair: LogitPair) -> Temperatures:
        """Returns new temperatures for each entry."""
        shape = ops.shape(pair.student)[:-1]
        u = keras.random.normal(
            shape, 1.0, 0.607, dtype=pair.student.dtype, seed=self.seed
        )
        drawn = 10.0 * ops.sigmoid(u)
        return Temperatures(drawn, drawn, drawn * drawn)


def _on_part(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> Recipe:
    part, _ = task.split_train(_PART)
    return Recipe(Distiller(teacher, student, temperature=4.0), train=part)


def _meta(task: DemoTask, teacher: keras.Model, student: keras.Model) -> Recipe:
    part, rest = task.split_train(_PART)
    policy = MetaTemperature(4.0, 4.0, validation_data=rest)
    return Recipe(Distiller(teacher, student, temperature=policy), train=part)


def _random(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    return Distiller(teacher, student, temperature=RandomTemperature())


def _reinforced(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    # As published, a twelfth of the epochs each.
    twelfth = max(1, round(task.setting.student_epochs / 12))
    policy = ReinforcedTemperature(warmup=twelfth, every=twelfth)
    return Distiller(teacher, student, temperature=policy)


def _always_reinforced(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    policy = ReinforcedTemperature(warmup=2, every=1, reward="gap")
    return Distiller(teacher, student, temperature=policy)


def _continued(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    student.set_weights(teacher.get_weights())
    return student


def _self_distilled(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    return Distiller(
        teacher, student, StudentGuidedFeatures(), student_loss_weight=0.5
    )


def _self_distilled_from_teacher(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    distiller = _self_distilled(task, teacher, student)
    student.set_weights(teacher.get_weights())
    return distiller


def _balanced(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> Recipe:
    return Recipe(
        Distiller(teacher, student, temperature=4.0),
        callbacks=[TempBalance(minimum=1, first=True, last=True)],
        optimizer=LayerRates,
    )


def _annealed(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> Recipe:
    epochs = task.setting.student_epochs
    begins = max(1, round(0.8 * epochs))
    part, rest = task.split_train(_PART)
    distiller = Distiller(
        teacher,
        student,
        AnnealingKD(begins, levels=min(10, begins)),
        student_loss_weight=EpochSchedule([begins], [0.0, 1.0]),
    )
    callbacks = [Phase(begins)] if begins < epochs else []
    return Recipe(distiller, callbacks, train=part, validation_data=rest)


# As `METHODS`, for functions of the task, the teacher and the student.
RECIPES: dict[str, tuple[str, TaskMethod]] = {
    "kd-4-part": ("KD, T=4, 80 % of the data", _on_part),
    "mkd": ("MKD (reconstruction)", _meta),
    "rlkd": ("RLKD, mended", _reinforced),
    "rlkd-gap": ("RLKD by the gap, each epoch", _always_reinforced),
    "random-t": ("random T, 7.1 ± 1.2", _random),
    "tempbalance": ("KD, T=4, TempBalance", _balanced),
    "annealing": ("Annealing-KD", _annealed),
    "continued": ("the teacher, trained on", _continued),
    "ssd": ("SSD, from the teacher", _self_distilled_from_teacher),
    "ssd-new": ("SSD, new student", _self_distilled),
    **OWN_TEXT,
}

# The labels of all methods by their names.
LABELS = {name: label for name, (label, _) in {**METHODS, **RECIPES}.items()}


def methods_for(task: DemoTask, names: Sequence[str]) -> dict[str, Method]:
    """Returns methods by their labels, as `compare` takes them.

    Args:
        task: The task that they are compared on.
        names: Their names, of `METHODS` or `RECIPES`.
    """
    found: dict[str, Method] = {}
    for name in names:
        if name in METHODS:
            label, method = METHODS[name]
            found[label] = method
        else:
            label, of_task = RECIPES[name]
            found[label] = functools.partial(of_task, task)
    return found
