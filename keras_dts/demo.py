"""The demo: one student alone, with KD, and with DTS, on real images.

Three students for each seed: alone, with a constant temperature, and with
DTS. The three start from the same weights and see the same images in the same
order; `keras_dts.tasks` has the images and the teacher.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_dts import plots, tasks
from keras_dts.comparison import Method
from keras_dts.data import Splits
from keras_dts.distiller import Distiller
from keras_dts.results import Comparison, Row
from keras_dts.temperatures.dynamic import DynamicTemperature

STUDENT = "student.keras"
RESULTS = "results.json"
PICTURE = "run.png"


def run(
    setting: tasks.Setting,
    splits: Splits,
    *,
    seeds: int,
    out: Path,
    verbose: bool = True,
) -> Comparison:
    """Trains the teacher and all students, and writes the results.

    Args:
        setting: The setting.
        splits: The data, as `keras_dts.tasks.prepare` returns them.
        seeds: How many seeds; each trains one student for each method.
        out: A directory. The first DTS student goes there as `student.keras`,
            the picture of its training as `run.png`, the results as
            `results.json`.
        verbose: Whether to print each training's name and progress.

    Returns:
        The results.
    """
    methods = _methods(setting)
    dts = list(methods)[-1]
    history = keras.callbacks.History()
    comparison = tasks.run(
        setting,
        splits,
        methods,
        seeds=seeds,
        callbacks=lambda method, seed: (
            [history] if (method, seed) == (dts, 0) else []
        ),
        verbose=verbose,
    )
    history.model.student.save(out / STUDENT)
    plots.plot_run(history)[0].figure.savefig(out / PICTURE)
    tasks.save(out / RESULTS, setting, splits, _to_dict(comparison))
    return comparison


def _methods(setting: tasks.Setting) -> dict[str, Method]:
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


def _to_dict(comparison: Comparison) -> dict[str, Any]:
    """Returns the results as JSON can hold them, the teacher's row first."""
    rows = [comparison.teacher, *comparison.rows]
    return {
        "seeds": comparison.seeds,
        "versions": comparison.versions,
        "rows": [_row_to_dict(row) for row in rows if row],
    }


def _row_to_dict(row: Row) -> dict[str, Any]:
    return {
        "method": row.method,
        "parameters": row.parameters,
        "accuracies": row.values,
        "seconds": row.seconds,
        "accuracy_percent": 100 * row.mean,
        "accuracy_std_percent": None if row.std is None else 100 * row.std,
        "seconds_mean": row.seconds_mean,
    }
