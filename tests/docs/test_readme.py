"""The README's Python runs as it stands."""

import pathlib

import keras
from blocks import blocks_of, names_in, save_presets
from helpers import blobs

README = pathlib.Path(__file__).parents[2] / "README.md"


def test_every_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = blocks_of(README)
    assert len(blocks) >= 2
    save_presets(tmp_path, README.read_text())
    for block in blocks:
        block.run(names_in(tmp_path, tmp_path))
    saved = keras.models.load_model(tmp_path / "student.keras")
    x, _ = blobs()
    assert saved.predict(x, verbose=0).shape == (64, 3)
