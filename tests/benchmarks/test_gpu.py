"""Tests of the benchmark for a GPU: it runs on a CPU, and its rows add up."""

import csv
import sys
from argparse import Namespace
from pathlib import Path

import keras
import pytest
from helpers import BACKEND

FOLDER = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import gpu
import step_time

# Keras's other backend has no part in this benchmark.
pytestmark = [pytest.mark.jax, pytest.mark.torch]

POINT = "vocabulary 32 x 16"


@pytest.fixture
def args(tmp_path, monkeypatch):
    """Arguments of the script, of which the only task is a perceptron."""
    tasks = {"perceptron": step_time.Perceptron}
    monkeypatch.setattr(gpu, "TASKS", tasks)
    return ["--small", "--rounds=1", "--steps=1", f"--out={tmp_path}"]


def read(folder, axis):
    path = folder / f"gpu-{axis}-{BACKEND}-cpu.csv"
    with path.open(newline="") as file:
        versions = file.readline()
        rows = list(csv.DictReader(file))
    assert versions.startswith(f"# keras {keras.__version__}, {BACKEND} ")
    for row in rows:
        assert (row["card"], row["backend"]) == ("CPU", BACKEND)
        assert row["rounds"] == "1"
    return {row["line"]: row for row in rows}


def check_ratios(rows, ratios):
    """Checks that each is the quotient of the times of its only round."""
    for ratio in ratios:
        base = sum(float(rows[name]["median"]) for name in ratio.base)
        quotient = float(rows[ratio.over]["median"]) / base
        assert float(rows[ratio.name]["median"]) == pytest.approx(
            quotient, rel=1e-3
        )


def test_a_part_of_each_kind(args, tmp_path, capsys):
    only = ["step perceptron", POINT, "cache perceptron"]
    gpu.main([*args, "--only", *only])
    assert "not measured: nothing" in capsys.readouterr().out
    steps, cached = read(tmp_path, "step"), read(tmp_path, "cache")
    assert list(steps) == [*gpu.LINES, *(ratio.name for ratio in gpu.RATIOS)]
    check_ratios(steps, gpu.RATIOS)
    check_ratios(cached, gpu.CACHE_RATIOS)
    assert {row["compiled"] for row in steps.values()} == {
        str(BACKEND == "jax")
    }
    tokens = read(tmp_path, "vocabulary")
    assert list(tokens) == ["chunks, 4", "chunks, 8", "all logits"]
    for row in tokens.values():
        assert float(row["median"]) > 0
        peak = float(row["peak (MB)"].removeprefix("at most "))
        assert peak > float(row["before (MB)"]) - 1, "rounded"
    assert keras.config.dtype_policy().name == "float32"


def test_a_step_that_does_not_fit(monkeypatch):
    steps = iter([True, False])
    monkeypatch.setattr(gpu, "fits", lambda run: run() and next(steps))
    options = Namespace(small=True, rounds=2)
    plain, chunked = gpu.vocabulary_rows(32, 16, (4, None), options)
    assert (plain["line"], chunked["line"]) == ("all logits", "chunks, 4")
    assert plain["peak (MB)"] == gpu.OUT_OF_MEMORY
    assert "median" not in plain
    assert chunked["rounds"] == 2


@pytest.mark.parametrize("message", ["RESOURCE_EXHAUSTED: 1", "out of memory"])
def test_what_counts_as_out_of_memory(message):
    def fail(text):
        raise RuntimeError(text)

    assert gpu.fits(lambda: None)
    assert not gpu.fits(lambda: fail(message))
    with pytest.raises(RuntimeError, match="another reason"):
        gpu.fits(lambda: fail("another reason"))


def test_a_long_step_is_timed_once(monkeypatch):
    monkeypatch.setattr(gpu, "LONG", 0.0)
    options = Namespace(small=True, rounds=2)
    (row,) = gpu.vocabulary_rows(32, 16, (8,), options)
    assert row["rounds"] == 1


def test_a_part_in_a_process_of_its_own(capsys):
    options = Namespace(small=True, rounds=1, steps=1)
    rows = gpu.measure_elsewhere(POINT, options, 120.0)
    assert [row["line"] for row in rows] == [
        *("chunks, 4", "chunks, 8", "all logits")
    ]
    assert gpu.measure_elsewhere(POINT, options, 0.0) == []
    assert f"{POINT} was stopped after 0 s" in capsys.readouterr().out


def test_all_parts():
    points = [name for name in gpu.parts(False) if "vocabulary" in name]
    assert points == [
        *("vocabulary 4096 x 2048", "vocabulary 8192 x 2048"),
        *("vocabulary 16384 x 2048", "vocabulary 32768 x 2048"),
        *("vocabulary 65536 x 2048", "vocabulary 8192 x 4096"),
    ]
    compiled = [name for name in gpu.parts(False) if "torch.compile" in name]
    assert len(compiled) == (2 if BACKEND == "torch" else 0)


def test_a_part_that_is_not_there(args, capsys):
    with pytest.raises(SystemExit):
        gpu.main([*args, "--only", "stpe images"])
    assert "not ['stpe images']" in capsys.readouterr().err
