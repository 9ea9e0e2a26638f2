"""Runs the Python of Markdown pages, and compares what it says it prints."""

import re

import keras
import pytest
from helpers import blobs, mlp
from texts import LABELS, SENTENCES, bert, distil_bert, gpt2, gpt2_tokenizer

# Blocks that show faults of Keras's, as they are in this version.
FAULTY_KERAS = "3.15.1"
FAULTY = 'title="keras.distillation"'

_BLOCK = re.compile(
    r"(?:<!-- raises: (.*?) -->\n)?```python *(.*?)\n(.*?)```", re.S
)
_PRINTED = re.compile(r"^print\(.*\)  # (.*)$", re.M)

PRESETS = {
    "teacher_preset": lambda: bert(16, seed=1),
    "student_preset": bert,
    "distil_bert_preset": distil_bert,
    "teacher_lm": lambda: gpt2(16, seed=1),
    "student_lm": gpt2,
    "other_lm": lambda: gpt2(16, seed=1, tokenizer=gpt2_tokenizer(300)),
}


class Block:
    """One block of Python: its text, its title, and how it must fail."""

    def __init__(self, raises, info, text):
        self.raises, self.info, self.text = raises, info, text

    @property
    def is_for_this_keras(self):
        if "OrbaxCheckpoint" in self.text:  # newer than the oldest Keras
            return hasattr(keras.callbacks, "OrbaxCheckpoint")
        return FAULTY not in self.info or keras.__version__ == FAULTY_KERAS

    def run(self, names):
        printed = []
        names["print"] = lambda *values: printed.append(
            " ".join(map(str, values))
        )
        code = compile(self.text, "a block of Markdown", "exec")
        if self.raises:
            with pytest.raises(Exception, match=self.raises):
                exec(code, names)
            return
        exec(code, names)
        expected = _PRINTED.findall(self.text)
        if expected:
            assert printed == expected, self.text


def blocks_of(path):
    return [Block(*found) for found in _BLOCK.findall(path.read_text())]


def save_presets(folder, needed):
    """Saves the text models whose names some code needs."""
    for name, make in PRESETS.items():
        if name in needed and not (folder / name).exists():
            make().save_to_preset(folder / name)


def names_in(folder, presets):
    """What the code of the pages takes for granted.

    Files that it reads are put into the folder; the text models are in
    `presets`.
    """
    x, y = blobs()
    mlp(16, seed=1).save(folder / "teacher.keras")
    return {
        "__name__": "__main__",
        "teacher": mlp(16, seed=1),
        "student": mlp(seed=2),
        "x_train": x,
        "y_train": y,
        "validation": (x, y),
        "steps_per_epoch": 2,
        "texts": SENTENCES,
        "labels": LABELS,
        **{name: str(presets / name) for name in PRESETS},
    }
