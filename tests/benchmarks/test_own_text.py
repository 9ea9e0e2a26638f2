"""The study of own text runs, and goes on with what is missing."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import own_text

from keras_dts import data
from keras_dts.experiments.text_task import Size


def test_own_text(tmp_path, monkeypatch, capsys):
    words = np.array([f"wo{i}" for i in range(12)], object)
    phones = np.array([f"W AO {i}" for i in range(12)], object)
    part = {"prompts": words, "responses": phones}
    tiny = dataclasses.replace(
        own_text.SETTINGS["words"],
        teacher=Size(layers=1, width=8, heads=2),
        student=Size(layers=1, width=4, heads=2),
        length=16,
        student_share=0.5,
        prompts_share=1.0,
        test_share=0.5,
        teacher_epochs=1,
        first_epochs=1,
        student_epochs=2,
        student_batch=4,
    )
    monkeypatch.setitem(own_text.SETTINGS, "words", tiny)
    monkeypatch.setattr(
        data,
        "load_instructions",
        lambda name: data.Instructions(part, part, part),
    )
    arguments = ["words", f"--out={tmp_path}", "--seeds=2", "--methods"]
    own_text.main([*arguments, "kd-data"])
    file = tmp_path / "own-text-words.jsonl"
    first = file.read_text().splitlines()
    assert len(first) == 4, "the teacher, the student, and two trainings"
    teacher = json.loads(first[0])
    assert teacher["kl"] == pytest.approx(0.0, abs=1e-6)
    assert teacher["own_kl"] == pytest.approx(0.0, abs=1e-6)
    own_text.main([*arguments, "kd-data", "gkd-more"])
    lines = file.read_text().splitlines()
    assert lines[:4] == first, "what is there is not run again"
    assert [json.loads(line)["seed"] for line in lines] == [0, 0, 0, 1, 0, 1]
    assert "GKD, all own text, more prompts | " in capsys.readouterr().out
