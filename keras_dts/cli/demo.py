"""The demo: a student alone, with KD, and with DTS, on real data.

The three students of a seed start from the same weights and see the data in the
same order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_dts import plots
from keras_dts.distiller import Distiller
from keras_dts.experiments import DemoTask, Method, run_task, save_results
from keras_dts.results import Comparison
from keras_dts.temperatures import DynamicTemperature

STUDENT = "student.keras"
RESULTS = "results.json"
PICTURE = "run.png"


def run(
    task: DemoTask, *, seeds: int, out: Path, verbose: bool = True
) -> Comparison:
    """Trains the teacher and all students, and writes the results.

    Args:
        task: What `keras_dts.experiments.prepare_task` returned.
        seeds: The number of seeds; each trains one student for each method.
        out: The directory for `student.keras`, the first DTS student, for
            `run.png`, the picture of that student's training, and for
            `results.json`.
        verbose: Whether to print each training's name and progress.

    Returns:
        The results.
    """
    methods = _methods(task.setting)
    dts = list(methods)[-1]
    comparison = run_task(
        task,
        methods,
        seeds=seeds,
        out=out,
        callbacks=lambda method, seed: (
            [_Save(out)] if (method, seed) == (dts, 0) else []
        ),
        verbose=verbose,
    )
    save_results(out / RESULTS, task, comparison)
    return comparison


class _Save(keras.callbacks.History):
    """Saves a distiller's student, and a picture of its training."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self._out = out

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Saves both."""
        self.model.student.save(self._out / STUDENT)
        plots.plot_run(self)[0].figure.savefig(self._out / PICTURE)


def _methods(setting: Any) -> dict[str, Method]:
    """Returns the three methods; DTS is the last."""
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
