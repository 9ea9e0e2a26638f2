"""Draws the pictures of `keras_dts.plots`, and a report, from a real run.

    KERAS_BACKEND=jax python docs/pictures.py --out pictures

trains the teacher and one student of `keras-dts demo` on digits, half a minute,
and writes each picture for light and dark pages, `report.html`, and, where
Chromium is installed, a screenshot of it.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import subprocess
import tempfile
from pathlib import Path

import keras
from matplotlib import style

import keras_dts
from keras_dts import plots
from keras_dts.experiments import IMAGE_SETTINGS, METHODS

STYLES = {"light": "default", "dark": "dark_background"}


def trained(out: Path):
    """Returns a task of digits, a teacher, a student, and its history."""
    setting = dataclasses.replace(
        IMAGE_SETTINGS["digits"], teacher_epochs=3, student_epochs=60
    )
    task = setting.task()
    teacher, _ = task.train_teacher(verbose=False)
    keras.utils.set_random_seed(0)
    student = task.make_student()
    _, dts = METHODS["dts"]
    distiller = dts(teacher, student)
    task.compile(distiller)
    report = keras_dts.callbacks.RunReport(
        out / "report.html", "Digits, DTS from 8 to 4"
    )
    history = distiller.fit(
        *task.train,
        validation_data=task.test,
        epochs=setting.student_epochs,
        verbose=0,
        callbacks=[report],
    )
    return task, teacher, student, history


def compared(task, teacher):
    """Returns a small comparison."""
    return keras_dts.compare(
        teacher,
        task.make_student,
        dict(METHODS[name] for name in ("alone", "kd-4", "dts")),
        task.train,
        task.test,
        compile=task.compile,
        epochs=30,
        verbose=False,
    )


def screenshot(report: Path, image: Path) -> None:
    """Takes a picture of a page, with a browser that is closed again."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu"),
            *("--no-first-run", "--disable-background-networking"),
            *(f"--user-data-dir={profile}", f"--screenshot={image}"),
            *("--window-size=1000,1600", report.resolve().as_uri()),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    task, teacher, student, history = trained(out)
    x, y = task.test
    comparison = compared(task, teacher)
    pictures = {
        "run": lambda: plots.plot_run(history)[0],
        "comparison": lambda: plots.plot_comparison(comparison),
        "softening": lambda: plots.plot_softening(teacher, x),
        "calibration": lambda: plots.plot_calibration(
            {"teacher": teacher, "student": student}, x, y
        ),
        "agreement": lambda: plots.plot_agreement(teacher, student, x, y),
    }
    for shade, name in STYLES.items():
        with style.context(name):
            for picture, draw in pictures.items():
                file = out / f"{picture}-{shade}.png"
                draw().figure.savefig(file)
                print(file)
    if shutil.which("chromium"):
        screenshot(out / "report.html", out.resolve() / "report.png")
        print(out / "report.png")


if __name__ == "__main__":
    main()
