"""Tests of the benchmarks: they run, and what they write adds up."""

import csv
import platform
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import BACKEND

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import models
import scaling
import step_time
import timing


def read(folder, name):
    """Returns the first line, and the rows as dictionaries."""
    path = folder / f"{name}-{BACKEND}-{platform.machine()}.csv"
    with path.open(newline="") as file:
        versions = file.readline().strip()
        return versions, list(csv.DictReader(file))


def check_ratios(rows, ratios):
    """Checks that each is the quotient of the times in its row."""
    for row in rows:
        for ratio in ratios:
            base = sum(float(row[f"{name} (ms)"]) for name in ratio.base)
            time = float(row[f"{ratio.over} (ms)"])
            assert time > 0
            assert float(row[ratio.name]) == pytest.approx(
                time / base, rel=1e-3
            )


def test_step_time(tmp_path, capsys):
    # The other lines of the table differ in nothing but the losses.
    only = ["--only", step_time.ALONE, step_time.TEACHER, step_time.CONSTANT]
    step_time.main(
        ["--small", "--rounds=2", "--steps=1", f"--out={tmp_path}", *only]
    )
    versions, rows = read(tmp_path, "step_time-images")
    assert versions.startswith(f"# keras {keras.__version__}, {BACKEND} ")
    assert list(rows[0]) == [
        "student alone (ms)",
        "teacher forward (ms)",
        "constant (ms)",
        "constant / floor",
    ]
    assert len(rows) == 2
    floor = step_time.RATIOS[-1]
    check_ratios(rows, [floor])
    median = np.median([float(row[floor.name]) for row in rows])
    printed = capsys.readouterr().out
    assert f"{median:.3f}" in printed
    assert "target 1.05" in printed


def test_lines_that_are_not_there(capsys):
    with pytest.raises(SystemExit):
        step_time.main(["--small", "--only", "studnet"])
    assert "not ['studnet']" in capsys.readouterr().err


@pytest.mark.parametrize("task", sorted(step_time.TASKS))
def test_what_is_measured(task):
    task = step_time.TASKS[task](small=True)
    lines = list(step_time.contenders(task, steps=1))
    names = {name for r in step_time.RATIOS for name in (r.over, *r.base)}
    assert set(lines) | {step_time.LOOP} == names
    assert (step_time.LOOP in lines) == (BACKEND == "torch")


def test_scaling(tmp_path):
    scaling.main(
        [
            *("--small", "--axis=losses", "--rounds=2", "--steps=1"),
            f"--out={tmp_path}",
        ]
    )
    _, rows = read(tmp_path, "scaling-losses")
    assert [row["losses"] for row in rows] == ["1", "1", "2", "2"]
    check_ratios(rows, scaling.RATIOS)


@pytest.mark.parametrize("axis", sorted(scaling.AXES))
def test_axes_change_one_size(axis):
    values = scaling.AXES[axis].small
    settings = [scaling.AXES[axis].setting(v, 1, True) for v in values]
    sizes = [
        {
            "batch": setting.data.batch,
            "classes": setting.make_student().output_shape[-1],
            "teacher": setting.make_teacher().count_params(),
            "losses": len(setting.temperatures),
        }
        for setting in settings
    ]
    wanted = "classes" if axis == "vocabulary" else axis
    changed = {k for k in sizes[0] if len({s[k] for s in sizes}) > 1}
    # More classes are more parameters.
    assert changed - {"teacher"} == {wanted} - {"teacher"}
    assert wanted in changed


def test_networks_are_those_of_the_literature():
    # As the tables on CIFAR-100 have them: 7.43 and 1.23 million.
    for depth, millions in ((32, 7.43), (8, 1.23)):
        model = models.resnet(depth)
        count = sum(np.prod(w.shape) for w in model.trainable_weights)
        assert count / 1e6 == pytest.approx(millions, abs=0.005)
        assert model.get_layer("stage_3").output.shape[1:] == (8, 8, 256)


def test_padding_changes_no_answer():
    model = models.text_classifier(1, width=8, tokens=20, length=6)
    ids = np.arange(1, 7)[None]
    padding = np.array([[1, 1, 1, 1, 0, 0]])
    answers = [
        model.predict({"token_ids": x, "padding_mask": padding}, verbose=0)
        for x in (ids, ids * padding)
    ]
    np.testing.assert_allclose(*answers, atol=1e-6)


def test_the_clock_runs_over_the_steps_in_the_middle(monkeypatch):
    ticks = iter([10.0, 16.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))
    watch = timing.Stopwatch(2, 5)
    watch.set_model(
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    )
    for batch in range(7):
        watch.on_train_batch_begin(batch)
    assert watch.milliseconds == pytest.approx(1e3 * 6.0 / 3)


def test_rounds_are_interleaved():
    order = []

    def run(name):
        return lambda: order.append(name) or float(len(order))

    times = timing.in_turns({"a": run("a"), "b": run("b")}, rounds=2)
    assert "".join(order) == "ababab"
    assert times == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    ratio = timing.Ratio("b / both", "b", ("a", "b"))
    assert timing.quotients(times, ratio) == [4 / 7, 6 / 11]
