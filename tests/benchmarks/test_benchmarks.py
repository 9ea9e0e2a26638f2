"""Tests of the benchmarks: they run, and what they write adds up."""

import csv
import platform
import sys
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import BACKEND, blobs, two_replicas

FOLDER = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import cache
import method_cost
import models
import on_policy
import scaling
import step_time
import timing
import training_cost


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


class Tiny:
    """A task that compiles in no time."""

    jit_compile = "auto"
    teacher_layer = student_layer = "hidden"

    def __init__(self, small):
        assert small

    def pair(self):
        return models.dense_model(3), models.dense_model(3)

    def data(self, steps):
        x, y = blobs(timing.examples(4, steps), width=64)
        return timing.Data(x, y, 4)

    def optimizer(self):
        return keras.optimizers.SGD(0.01)

    def torch_optimizer(self, optim, parameters):
        return optim.SGD(parameters, 0.01)


def test_step_time(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(step_time.TASKS, "tiny", Tiny)
    step_time.main(
        [
            *("--task=tiny", "--small", "--rounds=3", "--steps=2"),
            f"--out={tmp_path}",
        ]
    )
    versions, rows = read(tmp_path, "step_time-tiny")
    assert versions.startswith(f"# keras {keras.__version__}, {BACKEND} ")
    assert len(rows) == 3
    lines = [
        *("student alone", "teacher forward", "constant", "DTS", "core"),
        *("constant, feature", "core, feature"),
        *(["torch loop"] if BACKEND == "torch" else []),
    ]
    ratios = [r for r in step_time.RATIOS if {r.over, *r.base} <= set(lines)]
    assert len(ratios) == 4 + (BACKEND == "torch")
    wanted = [*(f"{line} (ms)" for line in lines), *(r.name for r in ratios)]
    assert list(rows[0]) == wanted
    check_ratios(rows, ratios)
    printed = capsys.readouterr().out
    for name in wanted:
        name = name.removesuffix(" (ms)")
        (line,) = [x for x in printed.splitlines() if x.startswith(name + "  ")]
        column = name if name in rows[0] else f"{name} (ms)"
        median = np.median([float(row[column]) for row in rows])
        assert float(line[28:].split()[0]) == pytest.approx(median, abs=0.02)


@pytest.mark.parametrize(
    "replicas", [1, pytest.param(2, marks=pytest.mark.tensorflow)]
)
def test_step_time_of_chosen_lines(tmp_path, monkeypatch, replicas):
    scope = two_replicas().scope() if BACKEND == "tensorflow" else nullcontext()
    shared = {1: nullcontext(), 2: scope}
    monkeypatch.setattr(step_time, "shared_by", shared.get)
    monkeypatch.setitem(step_time.TASKS, "tiny", Tiny)
    only = ["--only", step_time.DTS, step_time.CONSTANT]
    step_time.main(
        [
            *("--task=tiny", "--small", "--rounds=1", "--steps=1"),
            *(f"--out={tmp_path}", f"--replicas={replicas}", *only),
        ]
    )
    name = "step_time-tiny" + ("-2-replicas" if replicas > 1 else "")
    _, (row,) = read(tmp_path, name)
    assert list(row) == ["DTS (ms)", "constant (ms)", "DTS / constant"]


def test_lines_that_are_not_there(capsys):
    with pytest.raises(SystemExit):
        step_time.main(["--small", "--only", "studnet"])
    assert "not ['studnet']" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["images", "text", "perceptron"])
def test_tasks(task):
    task = step_time.TASKS[task](small=True)
    data = task.data(steps=2)
    assert data.steps == 2
    inputs, labels = data.at(0)
    sizes = keras.tree.map_structure(lambda array: array.shape[1:], inputs)
    shapes = []
    for model, name in zip(
        task.pair(), (task.teacher_layer, task.student_layer), strict=True
    ):
        taken = keras.tree.map_structure(lambda t: t.shape[1:], model.input)
        assert taken == sizes
        assert model.output_shape[-1] > max(labels)
        assert len(labels) == data.batch
        shapes.append(model.get_layer(name).output.shape)
    assert shapes[0] == shapes[1]


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


def test_cache(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(step_time.TASKS, "tiny", Tiny)
    cache.main(
        [
            *("--task=tiny", "--small", "--rounds=2", "--steps=2"),
            f"--out={tmp_path}",
        ]
    )
    _, rows = read(tmp_path, "cache-tiny")
    assert len(rows) == 2
    check_ratios(rows, cache.RATIOS)
    # Three classes of four bytes.
    assert "12 bytes an example" in capsys.readouterr().out


def test_on_policy(tmp_path, capsys):
    lines = ["GKD, writing", "SKD 2, writing"]
    on_policy.main(
        [
            *("--small", "--rounds=2", "--steps=1", "--batches=3"),
            *("--blocks=2", f"--out={tmp_path}", "--only", *lines),
        ]
    )
    _, rows = read(tmp_path, "on_policy-3")
    (ratio,) = on_policy.ratios_of(lines)
    assert list(rows[0]) == [*(f"{n} (ms)" for n in lines), ratio.name]
    check_ratios(rows, [ratio])
    # Keys and values of 3 rows, 1 layer, 12 positions; 4 bytes a number.
    _, rows = read(tmp_path, "on_policy_caches")
    sizes = [int(row["bytes"]) for row in rows]
    assert sizes == [3 * 2 * 12 * width * 4 for width in (16, 8)]
    assert "cache of the teacher: 0.00 MiB" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        on_policy.main(["--small", "--batches=1", "--only", "SKD 2, writng"])


def test_method_cost(tmp_path, capsys):
    method_cost.main(
        [
            *("--only", "CTKD, per instance", "--rounds=1", "--seconds=0.01"),
            f"--out={tmp_path}",
        ]
    )
    shown = capsys.readouterr().out.splitlines()
    assert [line[:18] for line in shown] == ["CTKD, per instance"] * 2


def test_training_cost(tmp_path, monkeypatch):
    monkeypatch.setattr(training_cost, "UNITS", (6, 4, 3))
    training_cost.main([f"--out={tmp_path}", "--rounds=1", "--steps=1"])
    _, rows = read(tmp_path, "training_cost")
    check_ratios(rows, training_cost.RATIOS)
