"""Tests of the command line and of the demo that it runs."""

import dataclasses
import importlib
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
from keras_dts import cli, data, demo

TINY = dataclasses.replace(
    demo.SETTINGS["digits"],
    teacher_filters=(),
    teacher_copies=1,
    # No batch is smaller than the others, so that JAX compiles once.
    teacher_batch=154,
    student_batch=24,
)
METHODS = ["student alone", "KD, temperature 3", "DTS, temperature 6 to 3"]


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
        patch.setitem(demo.SETTINGS, "digits", TINY)
        capture = []
        patch.setattr("builtins.print", lambda *a, **k: capture.append(a[0]))
        code = cli.main(arguments.split())
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return code, "\n".join(capture), out, results


def test_table_is_what_the_results_say(ran):
    code, printed, _, results = ran
    assert code == 0
    table = read_table(printed)
    assert [row[0] for row in table] == ["teacher", *METHODS]
    for printed_row, row in zip(table, results["rows"], strict=True):
        method, mean, std, parameters, seconds = printed_row
        assert method == row["method"]
        accuracies = [100 * a for a in row["accuracies"]]
        assert mean == f"{statistics.fmean(accuracies):.2f}"
        assert row["accuracy_percent"] == pytest.approx(np.mean(accuracies))
        if method == "teacher":
            assert len(accuracies) == 1
            assert std == ""
            assert row["accuracy_std_percent"] is None
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
    assert dts["method"] == METHODS[-1]
    assert dts["accuracies"][0] == pytest.approx(accuracy, abs=1e-6)
    assert student.count_params() == dts["parameters"] == 64 * 16 + 16 + 170
    # It has learned; otherwise the figures above would say little.
    assert accuracy > 0.2


def test_each_training_is_announced(ran):
    _, printed, _, _ = ran
    named = [
        x for x in printed.split("\n") if x.startswith(("teacher", "seed"))
    ]
    wanted = [f"seed {seed} of 2: {m}" for seed in (1, 2) for m in METHODS]
    assert [x for x in named if x in ("teacher", *wanted)] == [
        "teacher",
        *wanted,
    ]


def test_share_of_the_students(tmp_path, monkeypatch):
    monkeypatch.setitem(demo.SETTINGS, "digits", TINY)
    options = f"--epochs 1 --seeds 1 --student-share 0.5 --out {tmp_path}"
    assert cli.main(["demo", *options.split()]) == 0
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert results["setting"]["student_share"] == 0.5
    _, counts = np.unique(data.load("digits").y_train, return_counts=True)
    half = sum(round(0.5 * count) for count in counts)
    images = {"teacher": 1078, "student": half, "test": 719}
    assert results["images"] == images


def test_seeds_differ(ran):
    for row in ran[-1]["rows"][1:]:
        first, second = row["accuracies"]
        assert abs(first - second) > 1e-6


def test_methods_start_alike_and_see_the_same():
    """With all weight on the labels, DTS is the student alone."""
    setting = dataclasses.replace(
        TINY, student_epochs=3, student_loss_weight=1.0
    )
    splits = data.load("digits")
    part = demo.stratified(splits.y_train, setting.student_share)
    teacher = demo._cnn((8, 8, 1), 10, ())
    alone, _, dts = demo._methods(setting).values()
    weights = [
        demo._train_student(setting, splits, part, teacher, method, 5, False)[
            0
        ].get_weights()
        for method in (alone, dts)
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_augmented_images_are_the_images_and_others_like_them():
    images = data.load("digits").x_train[:8]
    seen = demo._augmented(images, 3).reshape(3, *images.shape)
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
    part = demo.stratified(labels, 0.2)
    assert len(set(part)) == len(part)
    np.testing.assert_array_equal(
        np.unique_counts(labels[part]), [[3, 7, 9], [10, 20, 1]]
    )
    np.testing.assert_array_equal(part, demo.stratified(labels, 0.2))
    np.testing.assert_array_equal(
        demo.stratified(labels, 1.0), np.arange(len(labels))
    )


def test_one_seed_has_no_deviation():
    row = demo.Row("x", 1, [0.5], [1.0])
    results = demo.Results(TINY, {}, [0], {"keras": "3"}, [row])
    assert read_table(results.table()) == [("x", "50.00", "", 1, "1.0")]


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
    ],
)
def test_usage_errors(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments.split())
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def fails(arguments, capsys):
    assert cli.main(["demo", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("keras-dts: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("module", "extra"),
    [("sklearn.datasets", "demo"), ("matplotlib.figure", "plots")],
)
def test_missing_package(module, extra, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    err = fails(["--out", str(tmp_path)], capsys)
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


def test_version_and_help(capsys):
    for arguments in (["--version"], ["--help"], ["demo", "--help"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"keras-dts {keras_dts.__version__}\n")
    example = "keras-dts demo --data digits --backend jax"
    assert printed.count(example) == 2


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
