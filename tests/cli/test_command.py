"""The command chooses the backend before Keras is imported."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

import keras_dts_command as command


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """Replaces the package, and records what the command calls it with."""
    from keras_dts import cli

    seen = {}

    def note(argv, backends):
        seen["backend"] = command.os.environ["KERAS_BACKEND"]
        seen["argv"] = argv
        assert backends == command.BACKENDS
        return 0

    monkeypatch.setattr(cli, "main", note)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "")
    return seen


def only(monkeypatch, *names):
    """Makes these backends the only installed ones."""

    def find_spec(name):
        return object() if name in names else None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


@pytest.mark.parametrize("backend", command.BACKENDS)
@pytest.mark.parametrize("form", ["--backend {}", "--backend={}"])
def test_the_option_chooses_the_backend(chosen, monkeypatch, backend, form):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    argv = ["demo", *form.format(backend).split(), "--seeds", "1"]
    assert command.main(argv) == 0
    assert chosen == {"backend": backend, "argv": argv}


def test_without_the_option_keras_chooses_the_backend(
    chosen, monkeypatch, tmp_path
):
    command.main(["demo"])
    assert chosen["backend"] == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "")
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    command.main(["demo"])
    assert chosen["backend"] == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    command.main(["demo"])
    assert chosen["backend"] == "torch"


def test_an_installed_backend_replaces_a_missing_default(
    chosen, monkeypatch, capsys
):
    only(monkeypatch, "torch")
    assert command.main(["demo"]) == 0
    assert chosen["backend"] == "torch"
    printed = capsys.readouterr().out
    assert printed == "'tensorflow' is not installed; using 'torch'.\n"


UNKNOWN = "`KERAS_BACKEND` must be 'jax', 'tensorflow' or 'torch'. Received: "
MISSING = (
    "the backend 'jax' is not installed: pip install \"keras-dts[jax]\", or "
    "set `KERAS_BACKEND` to 'torch'"
)


def test_a_missing_or_misspelt_backend_is_an_error(
    chosen, monkeypatch, tmp_path, capsys
):
    only(monkeypatch, "torch")
    assert command.main(["demo", "--backend", "jax"]) == 1
    assert capsys.readouterr().err == f"keras-dts: {MISSING}\n"
    for name, message in (("jax", MISSING), ("jaxx", f"{UNKNOWN}'jaxx'")):
        monkeypatch.setenv("KERAS_BACKEND", name)
        assert command.main(["demo"]) == 1
        assert capsys.readouterr().err == f"keras-dts: {message}\n"
    monkeypatch.setenv("KERAS_BACKEND", "")
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jaxx"}))
    assert command.main(["demo"]) == 1
    assert UNKNOWN in capsys.readouterr().err
    (tmp_path / "keras.json").unlink()
    only(monkeypatch)
    assert command.main(["demo"]) == 1
    assert 'pip install "keras-dts[jax]"' in capsys.readouterr().err
    assert chosen == {}


def test_the_package_says_the_same():
    """In a process of its own, since Keras keeps its backend."""
    done = subprocess.run(
        [sys.executable, "-c", "import keras_dts"],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jaxx"},
    )
    error = done.stderr.strip().rpartition("\n")[2]
    assert error == f"ImportError: {UNKNOWN}'jaxx'"
