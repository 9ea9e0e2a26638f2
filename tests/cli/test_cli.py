"""Tests of the command line, and of the demo and comparison it runs."""

import dataclasses
import importlib
import importlib.metadata
import json
import os
import re
import signal
import statistics
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import BACKEND

import keras_dts
import keras_dts_command
from keras_dts import cli, data
from keras_dts.cli import demo
from keras_dts.experiments import task as tasks
from keras_dts.experiments.methods import METHODS

TINY = dataclasses.replace(
    tasks.SETTINGS["digits"],
    teacher_filters=(),
    teacher_copies=1,
    # No batch is smaller than the others, so that JAX compiles once.
    teacher_batch=154,
    student_batch=24,
)
DEMO_METHODS = [
    "student alone",
    "KD, temperature 3",
    "DTS, temperature 6 to 3",
]


def read_table(text):
    """Reads the rows of the printed table."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if set(line) == {"-"}) + 1
    rows = []
    for line in lines[start : lines.index("", start)]:
        method, accuracy, parameters, seconds = re.split(r"\s{2,}", line)
        mean, _, std = accuracy.partition(" ± ")
        parameters = int(parameters.replace(",", ""))
        rows.append((method, mean, std, parameters, seconds))
    return rows


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The demo, run once by its command, for two seeds of three epochs."""
    out = tmp_path_factory.mktemp("demo") / "new" / "folder"
    arguments = f"demo --epochs 3 --seeds 2 --temperature 3 --out {out}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tasks.SETTINGS, "digits", TINY)
        capture = []
        patch.setattr("builtins.print", lambda *a, **k: capture.append(a[0]))
        code = cli.main(arguments.split())
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return code, "\n".join(capture), out, results


def test_table_is_what_the_results_say(ran):
    code, printed, _, results = ran
    assert code == 0
    table = read_table(printed)
    assert [row[0] for row in table] == ["teacher", *DEMO_METHODS]
    rows = [results["teacher"], *results["rows"]]
    for printed_row, row in zip(table, rows, strict=True):
        method, mean, std, parameters, seconds = printed_row
        assert method == row["method"]
        accuracies = [100 * a for a in row["values"]]
        assert mean == f"{statistics.fmean(accuracies):.2f}"
        assert row["mean"] == pytest.approx(np.mean(row["values"]))
        if method == "teacher":
            assert len(accuracies) == 1
            assert std == ""
            assert row["std"] is None
        else:
            assert len(accuracies) == 2
            assert std == f"{statistics.stdev(accuracies):.2f}"
        assert parameters == row["parameters"]
        assert seconds == f"{statistics.fmean(row['seconds']):.1f}"
        assert min(row["seconds"]) > 0


def test_results_name_setting_images_and_versions(ran):
    _, printed, out, results = ran
    assert results["setting"] == {
        **dataclasses.asdict(TINY),
        "teacher_filters": [],
        "teacher_epochs": 3,
        "student_epochs": 3,
        "temperature": 3.0,
    }
    assert results["images"] == {"teacher": 1078, "student": 216, "test": 719}
    assert results["seeds"] == [0, 1]
    backend = importlib.import_module(BACKEND)
    assert results["versions"] == {
        "keras-dts": keras_dts.__version__,
        "keras": keras.__version__,
        BACKEND: backend.__version__,
        "python": sys.version.split()[0],
    }
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items())
    assert versions in printed.splitlines()
    for name in ("student.keras", "results.json", "run.png"):
        assert f"{out / name}: " in printed
        assert (out / name).is_file()


def test_saved_student_is_the_dts_student_of_the_first_seed(ran):
    _, _, out, results = ran
    splits = data.load("digits")
    student = keras.saving.load_model(out / "student.keras")
    answers = student.predict(splits.x_test, verbose=0).argmax(axis=-1)
    accuracy = np.mean(answers == splits.y_test)
    dts = results["rows"][-1]
    assert dts["method"] == DEMO_METHODS[-1]
    assert dts["values"][0] == pytest.approx(accuracy, abs=1e-6)
    assert student.count_params() == dts["parameters"] == 64 * 16 + 16 + 170
    # It has learned; otherwise the figures above would say little.
    assert accuracy > 0.2


def test_each_training_is_announced(ran):
    _, printed, _, _ = ran
    named = [
        x for x in printed.split("\n") if x.startswith(("teacher", "seed"))
    ]
    wanted = [f"seed {seed} of 2: {m}" for seed in (1, 2) for m in DEMO_METHODS]
    assert [x for x in named if x in ("teacher", *wanted)] == [
        "teacher",
        *wanted,
    ]


def test_share_of_the_students(tmp_path, monkeypatch):
    monkeypatch.setitem(tasks.SETTINGS, "digits", TINY)
    options = f"--epochs 1 --seeds 1 --student-share 0.5 --out {tmp_path}"
    assert cli.main(["demo", *options.split()]) == 0
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert results["setting"]["student_share"] == 0.5
    _, counts = np.unique(data.load("digits").y_train, return_counts=True)
    half = sum(round(0.5 * count) for count in counts)
    images = {"teacher": 1078, "student": half, "test": 719}
    assert results["images"] == images


def test_seeds_differ(ran):
    for row in ran[-1]["rows"]:
        first, second = row["values"]
        assert abs(first - second) > 1e-6


def test_methods_start_alike_and_see_the_same():
    """With all weight on the labels, DTS is the student alone."""
    setting = dataclasses.replace(
        TINY, student_epochs=3, student_loss_weight=1.0
    )
    splits = data.load("digits")
    part = tasks.stratified(splits.y_train, setting.student_share)
    students = []

    def make_student():
        students.append(tasks._mlp((8, 8, 1), 10, setting.student_units))
        return students[-1]

    alone, _, dts = demo._methods(setting).values()
    keras_dts.compare(
        tasks._cnn((8, 8, 1), 10, ()),
        make_student,
        {"alone": alone, "DTS": dts},
        (splits.x_train[part], splits.y_train[part]),
        (splits.x_test, splits.y_test),
        compile=lambda model: tasks.compile(model, 0.01, 27),
        epochs=setting.student_epochs,
        batch_size=setting.student_batch,
        seeds=1,
        verbose=False,
    )
    weights = [student.get_weights() for student in students[-2:]]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_augmented_images_are_the_images_and_others_like_them():
    images = data.load("digits").x_train[:8]
    seen = tasks._augmented(images, 3).reshape(3, *images.shape)
    np.testing.assert_array_equal(seen[0], images)
    for moved, other in ((seen[1], seen[2]), (seen[2], seen[1])):
        assert moved.min() >= 0
        assert moved.max() <= 1
        assert not np.allclose(moved, other, atol=0.01)
        # Most are still nearest to the image that they were made of.
        distances = np.abs(moved[:, None] - images).mean(axis=(2, 3, 4))
        assert np.mean(distances.argmin(axis=1) == range(8)) > 0.5


def test_stratified_share():
    labels = np.repeat([3, 7, 9], [50, 100, 3])
    part = tasks.stratified(labels, 0.2)
    assert len(set(part)) == len(part)
    np.testing.assert_array_equal(
        np.unique_counts(labels[part]), [[3, 7, 9], [10, 20, 1]]
    )
    np.testing.assert_array_equal(part, tasks.stratified(labels, 0.2))
    np.testing.assert_array_equal(
        tasks.stratified(labels, 1.0), np.arange(len(labels))
    )


@pytest.fixture
def compared(tmp_path, monkeypatch, capsys):
    """The comparison of two methods, run by its command for one epoch."""
    monkeypatch.setitem(tasks.SETTINGS, "digits", TINY)
    options = "--methods kd-2 alone --seeds 1 --epochs 1 --student-share 0.1"
    code = cli.main(["compare", *options.split(), "--out", str(tmp_path)])
    text = (tmp_path / "comparison.json").read_text(encoding="utf-8")
    return code, capsys.readouterr().out, tmp_path, json.loads(text)


def test_compare_prints_what_it_writes(compared):
    code, printed, out, results = compared
    assert code == 0
    table = read_table(printed)
    assert [row[0] for row in table] == ["teacher", "KD, T=2", "student alone"]
    rows = [results["teacher"], *results["rows"]]
    for printed_row, row in zip(table, rows, strict=True):
        (accuracy,) = row["values"]
        wanted = (
            row["method"],
            f"{100 * accuracy:.2f}",
            "",
            row["parameters"],
            f"{row['seconds'][0]:.1f}",
        )
        assert printed_row == wanted
    assert rows[1]["parameters"] == rows[2]["parameters"] == 1_210
    assert results["seeds"] == [0]
    assert results["metric"] == "accuracy"
    assert results["setting"]["student_epochs"] == 1
    assert results["setting"]["student_share"] == 0.1
    _, counts = np.unique(data.load("digits").y_train, return_counts=True)
    tenth = sum(round(0.1 * count) for count in counts)
    assert results["images"] == {"teacher": 1078, "student": tenth, "test": 719}
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")
    for name in ("comparison.json", "comparison.png"):
        assert f"{out / name}: " in printed
    names = [line for line in printed.splitlines() if line.startswith("seed ")]
    assert names == [f"seed 1 of 1: {row[0]}" for row in table[1:]]


def test_compare_help_names_the_methods(capsys):
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    lines = capsys.readouterr().out.splitlines()
    for name, (label, _) in METHODS.items():
        assert f"  {name:<14}{label}" in lines


def test_methods_have_names_of_their_own():
    labels = [label for label, _ in METHODS.values()]
    assert len(set(labels)) == len(labels)
    for name, (label, _) in METHODS.items():
        assert re.fullmatch("[a-z0-9-]+", name)
        assert len(name) <= 13, "the help has no room for more"
        # The table's columns stand three spaces apart.
        assert "  " not in label


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_the_student(name):
    """And no training finds what another one left."""
    splits = data.load("digits")
    teacher = tasks._cnn((8, 8, 1), 10, ())
    before = [w.copy() for w in teacher.get_weights()]
    label, method = METHODS[name]
    students = []

    def keep(teacher, student):
        students.append(student)
        return method(teacher, student)

    keras_dts.compare(
        teacher,
        lambda: tasks._mlp((8, 8, 1), 10, 4),
        {label: keep, "again": keep},
        (splits.x_train[:64], splits.y_train[:64]),
        (splits.x_test[:64], splits.y_test[:64]),
        compile=lambda model: tasks.compile(model, 0.01, 4),
        epochs=2,
        seeds=1,
        verbose=False,
    )
    untrained, _, one, other = (s.get_weights() for s in students)
    assert not np.allclose(one[0], untrained[0], atol=1e-3)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "required: subcommand"),
        ("dome", "invalid choice: 'dome'"),
        ("demo --data mnist", r"--data: invalid choice: 'mnist'"),
        ("demo --backend numpy", r"--backend: invalid choice: 'numpy'"),
        ("demo --seeds 0", "--seeds: must be a whole number .* not '0'"),
        ("demo --epochs 1.5", "--epochs: must be a whole .* not '1.5'"),
        ("demo --temperature -1", "--temperature: must be a pos.* not '-1'"),
        ("demo --temperature nan", "--temperature: must be a pos.* not 'nan'"),
        ("demo --student-share 1.5", "--student-share: must be at most 1"),
        (f"demo --out {__file__}", "--out: must be a directory, not"),
        (
            "compare --methods kd-4 nope",
            "--methods: invalid choice: 'nope' .*alone.*kd-4.*dts-smooth",
        ),
        ("compare --methods", "--methods: expected at least one argument"),
        ("compare --seeds 0", "--seeds: must be a whole number .* not '0'"),
        ("compare --temperature 2", "unrecognized arguments: --temperature"),
    ],
)
def test_usage_errors(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments.split())
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def fails(arguments, capsys, command="demo"):
    assert cli.main([command, *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keras-dts: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("command", ["demo", "compare"])
@pytest.mark.parametrize(
    ("module", "extra"),
    [("sklearn.datasets", "demo"), ("matplotlib.figure", "plots")],
)
def test_missing_package(command, module, extra, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    err = fails(["--out", str(tmp_path)], capsys, command)
    assert f'pip install "keras-dts[{extra}]"' in err


def test_backend_that_is_too_late(capsys):
    other = "jax" if BACKEND != "jax" else "torch"
    err = fails(["--backend", other], capsys)
    assert f"Keras runs on '{BACKEND}'" in err
    assert f"KERAS_BACKEND={other}" in err


def test_directory_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    err = fails(["--out", str(tmp_path / "file" / "below")], capsys)
    assert str(tmp_path / "file" / "below") in err


def test_ctrl_c(tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupt)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"


def test_a_run_that_was_stopped_goes_on(ran, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(tasks.SETTINGS, "digits", TINY)
    options = f"--epochs 3 --seeds 2 --temperature 3 --out {tmp_path}"
    arguments = ["demo", *options.split()]

    def interrupt(self, logs=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo._Keep, "on_train_end", interrupt)
        assert cli.main(arguments) == 130
    err = capsys.readouterr().err
    assert "\nStopped. The same command goes on after the last" in err
    assert f"is in {tmp_path / 'unfinished'}." in err
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    done = ["teacher", *(f"seed 1 of 2: {m}" for m in DEMO_METHODS[:2])]
    again = [line for line in printed if line.endswith(", done before")]
    assert again == [f"{name}, done before" for name in done]
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    for row, whole in zip(results["rows"], ran[-1]["rows"], strict=True):
        assert row["method"] == whole["method"]
        assert row["values"] == pytest.approx(whole["values"], abs=0.003)
    assert not (tmp_path / "unfinished").exists()
    assert (tmp_path / "student.keras").exists()


def test_another_run_begins_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(tasks.SETTINGS, "digits", TINY)

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "compare", interrupt)
        arguments = f"demo --epochs 1 --seeds 1 --out {tmp_path}".split()
        assert cli.main(arguments) == 130
        assert cli.main([*arguments, "--student-share", "0.3"]) == 130
        assert cli.main([*arguments, "--student-share", "0.3"]) == 130
    lines = capsys.readouterr().out.splitlines()
    named = [line for line in lines if line.startswith("teacher")]
    assert named == ["teacher", "teacher", "teacher, done before"]


def test_info(capsys):
    assert cli.main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = dict(
        line.split(maxsplit=1) for line in lines if "dtype" not in line
    )
    assert found["keras-dts"] == keras_dts.__version__
    assert found["keras"] == keras.__version__
    assert found["backend"] == BACKEND
    assert found[BACKEND] == importlib.import_module(BACKEND).__version__
    assert "cpu" in found["devices"].lower()


def test_info_says_how_to_install_what_is_missing(monkeypatch, capsys):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    cli.main(["info"])
    expected = (
        'keras-hub            not installed; pip install "keras-dts[text]"'
    )
    assert expected in capsys.readouterr().out.splitlines()


def test_version_and_help(capsys):
    for arguments in (["--version"], ["--help"], ["demo", "--help"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"keras-dts {keras_dts.__version__}\n")
    example = "keras-dts demo --data digits --backend jax"
    assert printed.count(example) == 2


@pytest.fixture
def interruptible():
    """Has new processes heed the interrupt, though this one may ignore it.

    A shell starts what it runs in the background with the interrupt ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_backend_is_switched_and_ctrl_c_ends_it(tmp_path):
    """In a real process, whose environment says otherwise."""
    other = "jax" if BACKEND != "jax" else "torch"
    arguments = f"demo --backend {other} --out {tmp_path}".split()
    process = subprocess.Popen(
        [sys.executable, keras_dts_command.__file__, *arguments],
        env={**os.environ, "KERAS_BACKEND": BACKEND},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        # It stands in the training of the teacher when this is read.
        assert f"{other} backend" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert err.endswith("\nStopped.\n")
    assert "Traceback" not in err
