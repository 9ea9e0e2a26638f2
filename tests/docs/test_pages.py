"""The Python of the README and of the guides runs as it stands, once each."""

import pathlib

import keras
import pytest
from blocks import blocks_of, names_in, save_presets
from helpers import blobs

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def each_block_once():
    """Yields the blocks of all pages, one that several pages show once."""
    seen = set()
    for page in PAGES:
        for number, block in enumerate(blocks_of(page)):
            assert block.text
            if block.text not in seen:
                seen.add(block.text)
                yield pytest.param(block, id=f"{page.stem}-{number}")


@pytest.fixture(scope="session")
def presets(tmp_path_factory):
    return tmp_path_factory.mktemp("presets")


# Keras's own: its tasks are loaded without their `compile`, and its distiller
# is loaded without one too.
@pytest.mark.filterwarnings("ignore:`compile\\(\\)` was not called")
@pytest.mark.parametrize("block", [*each_block_once()])
def test_a_block_runs(block, presets, tmp_path, monkeypatch):
    if not block.is_for_this_keras:
        pytest.skip("shows a fault of another Keras")
    monkeypatch.chdir(tmp_path)
    save_presets(presets, block.text)
    block.run(names_in(tmp_path, presets))
    if (tmp_path / "student.keras").exists():
        saved = keras.models.load_model(tmp_path / "student.keras")
        assert saved.predict(blobs()[0], verbose=0).shape == (64, 3)


def test_a_block_that_prints_something_else_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)  # 3\n```\n")
    (block,) = blocks_of(page)
    with pytest.raises(AssertionError):
        block.run({})


def test_the_readme_has_an_example_that_saves_its_student():
    text = PAGES[0].read_text("utf-8")
    assert len(blocks_of(PAGES[0])) >= 1
    assert "student.save(" in text
