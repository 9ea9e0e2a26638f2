"""The demo: one student alone, with KD, and with DTS, on real data.

Three students for each seed: alone, with a constant temperature, and with
DTS. The three start from the same weights and see the same data in the same
order; `keras_dts.tasks` and `keras_dts.text_tasks` have data and teachers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_dts import plots
from keras_dts.distiller import Distiller
from keras_dts.experiments import Method, task as tasks
from keras_dts.results import Comparison
from keras_dts.temperatures import DynamicTemperature

STUDENT = "student.keras"
RESULTS = "results.json"
PICTURE = "run.png"


def run(
    task: Any, *, seeds: int, out: Path, verbose: bool = True
) -> Comparison:
    """Trains the teacher and all students, and writes the results.

    Args:
        task: What `keras_dts.tasks.prepare` returned.
        seeds: How many seeds; each trains one student for each method.
        out: A directory. The first DTS student goes there as `student.keras`,
            the picture of its training as `run.png`, the results as
            `results.json`.
        verbose: Whether to print each training's name and progress.

    Returns:
        The results.
    """
    methods = _methods(task.setting)
    dts = list(methods)[-1]
    comparison = tasks.run(
        task,
        methods,
        seeds=seeds,
        out=out,
        callbacks=lambda method, seed: (
            [_Keep(out)] if (method, seed) == (dts, 0) else []
        ),
        verbose=verbose,
    )
    tasks.save(out / RESULTS, task, comparison)
    return comparison


class _Keep(keras.callbacks.History):
    """Keeps a distiller's student, and a picture of its training."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self._out = out

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Writes both."""
        self.model.student.save(self._out / STUDENT)
        plots.plot_run(self)[0].figure.savefig(self._out / PICTURE)


def _methods(setting: Any) -> dict[str, Method]:
    """Returns the three ways to train a student; DTS is the last."""
    low, high = setting.temperature, 2 * setting.temperature

    def distil(
        teacher: keras.Model, student: keras.Model, temperature: Any
    ) -> keras.Model:
        return Distiller(
            teacher,
            student,
            student_loss_weight=setting.student_loss_weight,
            temperature=temperature,
        )

    return {
        "student alone": lambda t, s: s,
        f"KD, temperature {low:g}": lambda t, s: distil(t, s, low),
        f"DTS, temperature {high:g} to {low:g}": lambda t, s: distil(
            t, s, DynamicTemperature(high, low, high)
        ),
    }
