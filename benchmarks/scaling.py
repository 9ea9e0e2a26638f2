"""Measures how the cost of a step of distillation grows, axis by axis.

    KERAS_BACKEND=jax python benchmarks/scaling.py --axis classes --out results

changes one size at a time: the batch, the number of classes, the vocabulary
of a model that answers each token, the teacher's depth, or the number of
losses. Times the student alone, the teacher's forward pass, our distiller and
Keras's, in turns, and prints the medians and the ratios, with quartiles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import models
import numpy as np
import step_time
import timing
from step_time import ALONE, CONSTANT, CORE, TEACHER
from timing import Data, Ratio, Run

import keras_dts

RATIOS = (
    Ratio("constant / core", CONSTANT, (CORE,)),
    Ratio("constant / floor", CONSTANT, (ALONE, TEACHER)),
)
TOKENS_OF_A_BATCH = (4, 128)


class Setting(NamedTuple):
    """What is distilled at one point of an axis.

    Attributes:
        make_teacher: A function that makes the teacher.
        make_student: A function that makes the student.
        data: The batches.
        temperatures: One for each of the losses.
    """

    make_teacher: Callable[[], keras.Model]
    make_student: Callable[[], keras.Model]
    data: Data
    temperatures: tuple[float, ...] = (4.0,)

    jit_compile = "auto"  # no field: the same everywhere

    def pair(self) -> tuple[keras.Model, keras.Model]:
        """Returns a teacher and a student."""
        return self.make_teacher(), self.make_student()

    def optimizer(self) -> keras.optimizers.Optimizer:
        """Returns the optimizer."""
        return keras.optimizers.SGD(0.01, momentum=0.9)


def images(depth: int, batch: int, steps: int, small: bool) -> Setting:
    """Returns a residual teacher of a depth, and a resnet8x4."""
    widths, size = (models.WIDTHS, 32) if not small else ((4, 4, 8, 8), 8)
    x = _noise(timing.examples(batch, steps), size, size, 3)

    def make(depth: int) -> keras.Model:
        return models.resnet(depth, widths=widths, size=size)

    y = _labels(100, len(x))
    return Setting(lambda: make(depth), lambda: make(8), Data(x, y, batch))


def dense(classes: int, losses: int, steps: int) -> Setting:
    """Returns two small perceptrons with so many classes and losses."""
    x = _noise(timing.examples(64, steps), 64)

    def make() -> keras.Model:
        return models.dense_model(classes)

    # Of equal losses a compiler would keep one.
    temperatures = tuple(2.0 + i for i in range(losses))
    y = _labels(classes, len(x))
    return Setting(make, make, Data(x, y, 64), temperatures)


def tokens(vocabulary: int, steps: int) -> Setting:
    """Returns two models that answer each token by a vocabulary."""
    batch, length = TOKENS_OF_A_BATCH
    count = timing.examples(batch, steps)
    x = _labels(1_000, count, length)

    def make() -> keras.Model:
        return models.token_model(vocabulary)

    return Setting(make, make, Data(x, _labels(vocabulary, count, length), 4))


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _labels(classes: int, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, classes, shape).astype("int32")


class Axis(NamedTuple):
    """One size to change.

    Attributes:
        values: What it is set to.
        small: The same to try the script.
        setting: A function of a value, the number of steps and whether the
            models are to be small.
    """

    values: tuple[int, ...]
    small: tuple[int, ...]
    setting: Callable[[int, int, bool], Setting]


AXES = {
    "batch": Axis(
        (16, 32, 64, 128),
        (2, 4),
        lambda value, steps, small: images(14, value, steps, small),
    ),
    "classes": Axis(
        (100, 1_000, 10_000, 100_000),
        (5, 10),
        lambda value, steps, small: dense(value, 1, steps),
    ),
    "vocabulary": Axis(
        (1_000, 4_000, 16_000, 32_000),
        (5, 10),
        lambda value, steps, small: tokens(value, steps),
    ),
    "teacher": Axis(
        (8, 14, 20, 32),
        (8, 14),
        lambda value, steps, small: images(
            value, 4 if small else 64, steps, small
        ),
    ),
    "losses": Axis(
        (1, 2, 4, 8),
        (1, 2),
        lambda value, steps, small: dense(1_000, value, steps),
    ),
}


def contenders(setting: Setting) -> dict[str, Run]:
    """Returns what is measured, by name."""
    teacher, student = setting.pair()
    kl = keras.losses.KLDivergence()
    ours = [keras_dts.losses.KD(t) for t in setting.temperatures]
    core = [
        keras.distillation.LogitsDistillation(t, kl)
        for t in setting.temperatures
    ]
    fitted = {
        ALONE: step_time.compiled(student, setting),
        CONSTANT: step_time.distiller(setting, keras_dts.Distiller, *ours),
        CORE: step_time.distiller(setting, keras.distillation.Distiller, *core),
    }
    return {TEACHER: timing.forward(teacher, setting.data)} | {
        name: timing.fit_step(model, setting.data)
        for name, model in fitted.items()
    }


def main(arguments: list[str] | None = None) -> None:
    parser = timing.arguments(__doc__)
    parser.add_argument("--axis", choices=sorted(AXES), required=True)
    args = parser.parse_args(arguments)
    axis, rows = AXES[args.axis], []
    for value in axis.small if args.small else axis.values:
        setting = axis.setting(value, args.steps, args.small)
        times = timing.in_turns(contenders(setting), args.rounds)
        print(f"{args.axis} {value:,}, {timing.versions()}")
        timing.show(times, RATIOS)
        header, columns = timing.table(times, RATIOS)
        rows += [[value, *row] for row in columns]
    timing.write(args.out, f"scaling-{args.axis}", [args.axis, *header], rows)


if __name__ == "__main__":
    main()
