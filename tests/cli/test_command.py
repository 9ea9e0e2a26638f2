"""The command chooses the backend before Keras is imported."""

import importlib.util
import json

import pytest

import keras_dts_command as command


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """Runs the command up to the package, and returns the backend it set."""
    from keras_dts import cli

    seen = {}

    def note(argv):
        seen["backend"] = command.os.environ["KERAS_BACKEND"]
        seen["argv"] = argv
        return 0

    monkeypatch.setattr(cli, "main", note)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "")
    return seen


def only(monkeypatch, *names):
    """Makes the command find these backends alone."""

    def find_spec(name):
        return object() if name in names else None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


@pytest.mark.parametrize("backend", command.BACKENDS)
@pytest.mark.parametrize("form", ["--backend {}", "--backend={}"])
def test_the_option_wins(chosen, monkeypatch, backend, form):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    argv = ["demo", *form.format(backend).split(), "--seeds", "1"]
    assert command.main(argv) == 0
    assert chosen == {"backend": backend, "argv": argv}


def test_without_it_keras_is_asked(chosen, monkeypatch, tmp_path):
    command.main(["demo"])
    assert chosen["backend"] == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "")
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    command.main(["demo"])
    assert chosen["backend"] == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    command.main(["demo"])
    assert chosen["backend"] == "torch"


def test_what_is_installed_is_good_enough(chosen, monkeypatch, capsys):
    only(monkeypatch, "torch")
    assert command.main(["demo"]) == 0
    assert chosen["backend"] == "torch"
    printed = capsys.readouterr().out
    assert printed == "'tensorflow' is not installed; using 'torch'.\n"


def test_a_backend_that_is_not_there(chosen, monkeypatch, capsys):
    only(monkeypatch, "torch")
    assert command.main(["demo", "--backend", "jax"]) == 1
    message = "the backend 'jax' is not installed: pip install"
    assert message in capsys.readouterr().err
    only(monkeypatch)
    assert command.main(["demo"]) == 1
    assert 'pip install "keras-dts[jax]"' in capsys.readouterr().err
    assert chosen == {}
