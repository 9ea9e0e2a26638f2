"""Runs of a demo: a teacher is trained, and methods are compared with it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from keras_dts.experiments.compare import compare
from keras_dts.experiments.task import DemoTask
from keras_dts.experiments.training import Callbacks, Method
from keras_dts.results import Comparison, Row
from keras_dts.utils import print_now, require_matplotlib, versions, write_text

# The folder of an unfinished run, in the directory for its results.
UNFINISHED = "unfinished"


class DamagedRunError(ValueError):
    """Tells that the files of an unfinished run cannot be read."""


def prepare_task(setting: Any, out: Path) -> DemoTask:
    """Loads the data, and checks what a run needs at its end.

    Args:
        setting: The setting of a task.
        out: The directory for the results; it is made if it is missing.

    Returns:
        The task of the setting.

    Raises:
        ImportError: If a package that a run needs is missing.
        OSError: If `out` is no directory and cannot be made.
        RuntimeError: If the data are missing and cannot be downloaded.
    """
    require_matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    return setting.task()


def run_task(
    task: DemoTask,
    methods: Mapping[str, Method],
    *,
    seeds: int,
    out: Path,
    callbacks: Callbacks | None = None,
    verbose: bool = True,
) -> Comparison:
    """Trains the teacher, and compares the methods with it.

    Until the run is finished, its teacher and its finished trainings are kept
    in `out / UNFINISHED`. A later call with the same task resumes the run.

    Args:
        task: What `prepare_task` returned.
        methods: As `keras_dts.compare` takes them.
        seeds: The number of seeds; each trains one student for each method.
        out: The directory for the results.
        callbacks: As `keras_dts.compare` takes them.
        verbose: Whether to print each training's name and progress.

    Returns:
        The comparison, with the teacher's row.

    Raises:
        DamagedRunError: If the files of an unfinished run cannot be read.
    """
    setting = task.setting
    if verbose:
        teacher, student, test = (f"{n:,}" for n in task.counts.values())
        print_now(
            f"{setting.data}: the teacher learns from {teacher} {task.unit}, "
            f"a student from {student}; tested on {test}. "
            f"{keras.config.backend()} backend."
        )
    unfinished = out / UNFINISHED
    model, row = _teacher(task, unfinished, verbose)
    comparison = compare(
        model,
        task.make_student,
        methods,
        task.train,
        task.test,
        compile=task.compile,
        epochs=setting.student_epochs,
        batch_size=setting.student_batch,
        seeds=seeds,
        metric=task.metric,
        callbacks=callbacks,
        resume=unfinished / "trainings.json",
        verbose=verbose,
    )
    shutil.rmtree(unfinished)
    return dataclasses.replace(comparison, teacher=row)


def _teacher(
    task: DemoTask, unfinished: Path, verbose: bool
) -> tuple[keras.Model, Row]:
    """Returns the teacher of an unfinished run of the same task, or a new one.

    An unfinished run of another task or of other versions is deleted.
    """
    weights, note = unfinished / "teacher.weights.h5", unfinished / "run.json"
    about = {
        "setting": dataclasses.asdict(task.setting),
        "counts": task.counts,
        "versions": versions(),
    }
    about = json.loads(json.dumps(about))  # with lists for tuples
    if note.exists() and (row := _read(note, about)) is not None:
        if verbose:
            print_now("\nteacher, done before")
        return load_teacher(task, weights), row
    shutil.rmtree(unfinished, ignore_errors=True)
    if verbose:
        print_now("\nteacher")
    teacher, row = task.train_teacher(verbose)
    unfinished.mkdir(parents=True)
    save_teacher(teacher, weights)
    content = {"about": about, "teacher": dataclasses.asdict(row)}
    write_text(note, json.dumps(content, indent=2) + "\n")
    return teacher, row


def save_teacher(teacher: keras.Model, path: Path) -> None:
    """Saves a teacher's weights, and no state of its optimizer.

    Args:
        teacher: The trained teacher.
        path: The file.
    """
    teacher.optimizer = None
    teacher.save_weights(path)


def load_teacher(task: DemoTask, path: Path) -> keras.Model:
    """Returns a teacher with the weights that `save_teacher` saved.

    Args:
        task: The teacher's task.
        path: The file.
    """
    teacher = task.make_teacher()
    teacher.optimizer = None  # KerasHub's tasks are compiled from the start
    teacher.load_weights(path)
    return teacher


def _read(note: Path, about: dict[str, Any]) -> Row | None:
    """Returns the teacher's row in a note; `None` in that of another run.

    Raises:
        DamagedRunError: If the note is none that a run wrote.
    """
    try:
        content = json.loads(note.read_text("utf-8"))
        teacher = Row(**content["teacher"])
        return teacher if content["about"] == about else None
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise DamagedRunError(
            f"`out` must not hold a damaged run. Received: '{note}', which "
            f"cannot be read ({type(error).__name__}: {error}). Delete the "
            f"folder '{note.parent}': the run begins anew then"
        ) from error


def save_results(path: Path, task: DemoTask, comparison: Comparison) -> None:
    """Writes a setting, the number of its examples, and results as JSON.

    Args:
        path: The file.
        task: The task of the run.
        comparison: Its results.
    """
    content = {
        "setting": dataclasses.asdict(task.setting),
        task.unit: task.counts,
        **comparison.to_dict(),
    }
    text = json.dumps(content, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
