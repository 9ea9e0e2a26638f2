"""The README's Python runs as it stands."""

import pathlib
import re

import keras
from helpers import blobs, mlp
from texts import LABELS, SENTENCES, bert, gpt2

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_every_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    assert len(blocks) >= 2
    x, y = blobs()
    presets = {
        "teacher_preset": bert(16, seed=1),
        "student_preset": bert(),
        "teacher_lm": gpt2(16, seed=1),
        "student_lm": gpt2(),
    }
    for name, model in presets.items():
        model.save_to_preset(tmp_path / name)
    for block in blocks:
        names = {
            "teacher": mlp(16, seed=1),
            "student": mlp(seed=2),
            "x_train": x,
            "y_train": y,
            "validation": (x, y),
            "texts": SENTENCES,
            "labels": LABELS,
            **{name: str(tmp_path / name) for name in presets},
        }
        exec(block, names)
    saved = keras.models.load_model(tmp_path / "student.keras")
    assert saved.predict(x, verbose=0).shape == (64, 3)
