"""The command line: the demo and the comparison that it runs, its errors."""

import dataclasses
import importlib
import importlib.metadata
import json
import os
import re
import signal
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
from keras_dts.experiments import (
    IMAGE_SETTINGS,
    LABELS,
    METHODS,
    SERIES_SETTINGS,
    TEXT_SETTINGS,
)
from keras_dts.results import Comparison, Row

TINY = dataclasses.replace(
    IMAGE_SETTINGS["digits"],
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


def run(*arguments):
    """Runs the command line, and returns its exit code."""
    return cli.main([*map(str, arguments)], keras_dts_command.BACKENDS)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The demo, run once by its command, for two seeds of three epochs."""
    out = tmp_path_factory.mktemp("demo") / "new" / "folder"
    arguments = [
        "demo",
        "--epochs",
        "3",
        "--seeds",
        "2",
        "--temperature",
        "3",
        "--out",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(IMAGE_SETTINGS, "digits", TINY)
        printed = []
        patch.setattr("builtins.print", lambda *a, **k: printed.append(a[0]))
        code = run(*arguments, out)
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return code, "\n".join(printed), out, results


def comparison(results):
    """The comparison that was written to a file."""
    rows = [results["teacher"], *results["rows"]]
    names = [field.name for field in dataclasses.fields(Row)]
    teacher, *rows = (Row(**{k: row[k] for k in names}) for row in rows)
    return Comparison(
        rows, results["seeds"], results["metric"], results["versions"], teacher
    )


def test_the_demo_prints_the_table_of_its_results(ran):
    code, printed, out, results = ran
    assert code == 0
    found = comparison(results)
    assert f"\n{found.table()}\n" in printed
    assert [row.method for row in found.rows] == DEMO_METHODS
    assert all(len(row.values) == 2 for row in found.rows)
    for name in ("student.keras", "results.json", "run.png"):
        assert f"{out / name}: " in printed
        assert (out / name).is_file()
    lines = [
        x for x in printed.split("\n") if x.startswith(("teacher", "seed"))
    ]
    trainings = [f"seed {s} of 2: {m}" for s in (1, 2) for m in DEMO_METHODS]
    assert [x for x in lines if x in ("teacher", *trainings)] == [
        "teacher",
        *trainings,
    ]


def test_the_results_have_setting_counts_and_versions(ran):
    results = ran[-1]
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


def test_the_saved_student_is_the_dts_student_of_the_first_seed(ran):
    _, _, out, results = ran
    splits = data.load("digits")
    student = keras.saving.load_model(out / "student.keras")
    predicted = student.predict(splits.x_test, verbose=0).argmax(axis=-1)
    accuracy = np.mean(predicted == splits.y_test)
    dts = results["rows"][-1]
    assert dts["method"] == DEMO_METHODS[-1]
    assert dts["values"][0] == pytest.approx(accuracy, abs=1e-6)
    assert student.count_params() == dts["parameters"] == 64 * 16 + 16 + 170
    # The student has learned; otherwise the results would say little.
    assert accuracy > 0.2


def test_compare_prints_the_table_of_its_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(IMAGE_SETTINGS, "digits", TINY)
    options = "--methods kd-2 alone --seeds 1 --epochs 1 --student-share 0.1"
    assert run("compare", *options.split(), "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    file = tmp_path / "comparison.json"
    results = json.loads(file.read_text(encoding="utf-8"))
    found = comparison(results)
    assert f"\n{found.table()}\n" in printed
    assert [row.method for row in found.rows] == ["KD, T=2", "student alone"]
    assert results["setting"]["student_epochs"] == 1
    assert results["setting"]["student_share"] == 0.1
    _, counts = np.unique(data.load("digits").y_train, return_counts=True)
    tenth = sum(round(0.1 * count) for count in counts)
    assert results["images"] == {"teacher": 1078, "student": tenth, "test": 719}
    picture = tmp_path / "comparison.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    for path in (file, picture):
        assert f"{path}: " in printed


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ("", IMAGE_SETTINGS["digits"]),
        (
            "--data fashion_mnist --epochs 2",
            dataclasses.replace(
                IMAGE_SETTINGS["fashion_mnist"],
                teacher_epochs=2,
                student_epochs=2,
            ),
        ),
        ("--task series", SERIES_SETTINGS["osu_leaf"]),
        (
            "--task series --data basic_motions",
            SERIES_SETTINGS["basic_motions"],
        ),
        ("--task text", TEXT_SETTINGS["text"]),
        (
            "--task lm --temperature 2 --student-share 0.5",
            dataclasses.replace(
                TEXT_SETTINGS["lm"], temperature=2.0, student_share=0.5
            ),
        ),
    ],
)
def test_options_choose_the_setting(options, setting, monkeypatch, capsys):
    chosen = []

    def prepare_task(setting, out):
        chosen.append(setting)
        raise OSError("not in this test")

    # The face's function `main` has the name of its module.
    module = importlib.import_module("keras_dts.cli.main")
    monkeypatch.setattr(module, "prepare_task", prepare_task)
    fails("demo", *options.split(), capsys=capsys)
    assert chosen == [setting]


def test_the_help_of_compare_lists_the_methods(capsys):
    with pytest.raises(SystemExit):
        run("compare", "--help")
    lines = capsys.readouterr().out.splitlines()
    for name, label in LABELS.items():
        star = "" if name in METHODS else " *"
        assert f"  {name:<14}{label}{star}" in lines


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
def test_invalid_arguments_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*arguments.split())
    assert stop.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def fails(*arguments, capsys):
    """Runs a command that cannot start, and returns its message."""
    assert run(*arguments) == 1
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
def test_a_missing_package_names_its_extra(
    command, module, extra, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, module, None)
    err = fails(command, "--out", tmp_path, capsys=capsys)
    assert f'pip install "keras-dts[{extra}]"' in err


@pytest.mark.parametrize("task", ["text", "lm", "g2p"])
def test_missing_kerashub_names_its_extra(task, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "keras_hub.models", None)
    err = fails("demo", "--task", task, "--out", tmp_path, capsys=capsys)
    assert 'pip install "keras-dts[text]"' in err


def test_another_backend_needs_a_new_process(capsys):
    other = "jax" if BACKEND != "jax" else "torch"
    err = fails("demo", "--backend", other, capsys=capsys)
    assert f"Keras already runs on '{BACKEND}'" in err
    assert f"KERAS_BACKEND={other}" in err


def test_a_directory_that_cannot_be_made_is_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "below"
    assert str(out) in fails("demo", "--out", out, capsys=capsys)


@pytest.mark.parametrize(
    ("task", "known"),
    [
        ("text", "its own data"),
        ("series", "osu_leaf or basic_motions"),
    ],
)
def test_tasks_have_their_own_data(task, known, tmp_path, capsys):
    options = ["--task", task, "--data", "digits", "--out", tmp_path]
    err = fails("demo", *options, capsys=capsys)
    assert f"--task {task} has {known}, not digits." in err


def test_ctrl_c_ends_with_how_to_resume(tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupt)
    assert run("demo", "--out", tmp_path) == 130
    assert capsys.readouterr().err == "\nStopped.\n"
    (tmp_path / "unfinished").mkdir()
    assert run("demo", "--out", tmp_path) == 130
    err = capsys.readouterr().err
    assert err.startswith("\nStopped. The same command resumes the run after")
    assert f"in {tmp_path / 'unfinished'}.\n" in err


def test_a_damaged_run_is_an_error_without_a_traceback(tmp_path, capsys):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "run.json").write_text("{")
    assert run("demo", "--out", tmp_path) == 1
    err = capsys.readouterr().err
    assert err.startswith("keras-dts: `out` must not hold a damaged run.")
    assert str(tmp_path / "unfinished" / "run.json") in err


def test_info_shows_versions_and_devices(capsys):
    assert run("info") == 0
    lines = capsys.readouterr().out.splitlines()
    found = dict(
        line.split(maxsplit=1) for line in lines if "dtype" not in line
    )
    assert found["keras-dts"] == keras_dts.__version__
    assert found["keras"] == keras.__version__
    assert found["backend"] == BACKEND
    assert found[BACKEND] == importlib.import_module(BACKEND).__version__
    assert "cpu" in found["devices"].lower()


def test_info_shows_how_to_install_missing_packages(monkeypatch, capsys):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    run("info")
    expected = (
        'keras-hub            not installed; pip install "keras-dts[text]"'
    )
    assert expected in capsys.readouterr().out.splitlines()


def test_version_and_help_are_printed(capsys):
    for arguments in (["--version"], ["--help"], ["demo", "--help"]):
        with pytest.raises(SystemExit) as stop:
            run(*arguments)
        assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"keras-dts {keras_dts.__version__}\n")
    example = "keras-dts demo --data digits --backend jax"
    assert printed.count(example) == 2


@pytest.fixture
def interruptible():
    """Makes new processes react to the interrupt, if this one ignores it.

    A shell starts its background processes with the interrupt ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_the_backend_is_switched_and_ctrl_c_ends_the_process(tmp_path):
    """In a process whose environment names another backend."""
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
        # The teacher is trained when this line is read.
        assert f"{other} backend" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert err.endswith("\nStopped.\n")
    assert "Traceback" not in err
