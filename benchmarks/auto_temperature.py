"""Measures `temperature="auto"` against constants that somebody searched.

    python benchmarks/auto_temperature.py --out results/auto

trains a small and a larger student in each setting, over five seeds, alone,
at the constant temperatures 1, 2, 4 and 8, with "auto", and with DTS whose
height "auto" chooses. The teacher's logits are computed once, and go into
each batch beside the image, so that a teacher costs nothing here; what the
students learn is the same. Writes `auto.csv`, a line for each training, and
prints a table for each setting.
"""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_dts
from keras_dts.data import Splits, load
from keras_dts.experiments import IMAGE_SETTINGS
from keras_dts.experiments.image_task import ImageTask
from keras_dts.experiments.task import compile_model, stratified


@dataclass(frozen=True)
class Setting:
    """Holds one setting.

    Args:
        task: A name of `keras_dts.experiments.IMAGE_SETTINGS`, for the teacher.
        teacher_images: How many images the teacher sees; `None` for all.
        student_images: How many of them the students see.
        units: The hidden units of the small and of the larger student.
        epochs: Epochs of the students.
        batch_size: Their batch size.
    """

    task: str
    teacher_images: int | None
    student_images: int
    units: tuple[int, int]
    epochs: int
    batch_size: int


SETTINGS = {
    "digits": Setting("digits", None, 216, (16, 128), 150, 32),
    "fashion-5k": Setting("fashion_mnist", None, 5_000, (16, 128), 30, 128),
    "fashion-10k": Setting("fashion_mnist", 10_000, 10_000, (32, 128), 20, 128),
    "fashion-10k-long": Setting(
        "fashion_mnist", 10_000, 10_000, (32, 128), 100, 128
    ),
}


COLUMNS = ["setting", "units", "steps", "method", "seed", "accuracy"]
COLUMNS += ["seconds", "T, first epoch", "T at 1/4", "T at 1/2", "T at 3/4"]
COLUMNS += ["T, last epoch"]


class Temperatures(keras.callbacks.Callback):
    """Keeps the temperature of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.values.append(float((logs or {}).get("temperature", math.nan)))


def distil(temperature: object, **kwargs: float):
    """Returns a method of `keras_dts.compare`."""

    def method(teacher: keras.Model, student: keras.Model) -> keras.Model:
        policy = temperature() if callable(temperature) else temperature
        return keras_dts.Distiller(
            teacher,
            student,
            temperature=policy,
            teacher_inputs=_logits,
            student_inputs=_image,
            **kwargs,
        )

    return method


METHODS = {
    "alone": distil(1.0, student_loss_weight=1.0),
    **{f"T={t}": distil(float(t)) for t in (1, 2, 4, 8)},
    "auto": distil("auto"),
    "DTS, auto": distil(lambda: keras_dts.DynamicTemperature("auto")),
}


def _image(x: dict) -> object:
    return x["image"]


def _logits(x: dict) -> object:
    return x["logits"]


def subset(splits: Splits, count: int | None) -> Splits:
    """Returns the splits with a part of the training images."""
    if count is None:
        return splits
    share = count / len(splits.y_train)
    part = stratified(splits.y_train, share)
    return splits._replace(
        x_train=splits.x_train[part], y_train=splits.y_train[part]
    )


def make_student(shape: tuple[int, ...], units: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(units, activation="relu"),
            layers.Dense(10),
        ]
    )


def run(
    name: str, setting: Setting, methods: list[str], seeds: int, out: Path
) -> None:
    task = IMAGE_SETTINGS[setting.task]
    taught = subset(load(task.data), setting.teacher_images)
    teacher, row = ImageTask(task, taught).train_teacher(verbose=False)
    seen = subset(taught, setting.student_images)
    logits = teacher.predict(seen.x_train, batch_size=500, verbose=0)
    print(f"\n{name}: teacher {100 * row.mean:.2f} %", end=", ")
    print(f"spread {np.std(logits, axis=-1, ddof=1).mean():.1f}", flush=True)
    identity = keras.Sequential([keras.Input((10,)), layers.Identity()])
    steps = setting.epochs * math.ceil(len(logits) / setting.batch_size)
    train = {"image": seen.x_train, "logits": logits}, seen.y_train
    zeros = np.zeros((len(seen.y_test), 10), "float32")
    test = {"image": seen.x_test, "logits": zeros}, seen.y_test
    for units in setting.units:
        kept: dict[tuple[str, int], Temperatures] = {}
        comparison = keras_dts.compare(
            identity,
            lambda units=units: make_student(seen.x_train.shape[1:], units),
            {method: METHODS[method] for method in methods},
            train,
            test,
            compile=lambda model: compile_model(
                model, task.student_rate, steps, metrics=["accuracy"]
            ),
            epochs=setting.epochs,
            batch_size=setting.batch_size,
            seeds=seeds,
            callbacks=lambda method, seed, kept=kept: [
                kept.setdefault((method, seed), Temperatures())
            ],
            verbose=False,
        )
        print(f"\n{name}, {units} units, {steps} steps")
        print(comparison.table(), flush=True)
        _write(out / "auto.csv", name, units, steps, comparison, kept)


def _write(path, name, units, steps, comparison, kept) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([*COLUMNS, *comparison.versions])
        for row in comparison.rows:
            for seed, value in enumerate(row.values):
                temperatures = kept[row.method, seed].values
                last = len(temperatures) - 1
                shown = [temperatures[last * q // 4] for q in range(5)]
                line = [name, units, steps, row.method, seed, f"{value:.4f}"]
                line += [f"{row.seconds[seed]:.1f}"]
                line += [f"{t:.3f}" for t in shown]
                writer.writerow([*line, *comparison.versions.values()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/auto"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.settings:
        run(name, SETTINGS[name], args.methods, args.seeds, args.out)


if __name__ == "__main__":
    main()
