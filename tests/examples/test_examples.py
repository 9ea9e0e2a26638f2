"""The notebooks run, on every backend, and are kept without what they show."""

import sys
from pathlib import Path

import keras
import nbformat
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import run

NOTEBOOKS = run.notebooks()
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@each
def test_runs(path, tmp_path):
    notebook = read(path)
    last = "import keras\nprint(keras.backend.backend())"
    notebook.cells.append(nbformat.v4.new_code_cell(last))
    run.execute(
        notebook,
        tmp_path,
        KERAS_BACKEND=keras.backend.backend(),
        KERAS_DTS_FAST="1",
        # PyTorch's threads would wait for each other on models so small.
        OMP_NUM_THREADS="1",
    )
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert not [x for x in outputs if x.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert outputs[-1].text.strip() == keras.backend.backend()


@each
def test_is_kept_without_outputs(path):
    for cell in code(read(path)):
        assert cell.outputs == []
        assert cell.execution_count is None


@each
def test_begins_with_title_and_installation(path):
    notebook = read(path)
    assert notebook.cells[0].source.startswith("# ")
    first = code(notebook)[0].source
    assert 'find_spec("keras_dts") is None:\n    %pip install -q' in first


@each
def test_is_listed(path):
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    assert f"({path.name})" in listed


def test_links_lead_somewhere():
    for path in [*NOTEBOOKS, EXAMPLES / "README.md"]:
        text = path.read_text("utf-8")
        for target in links(text):
            assert (EXAMPLES / target).exists(), f"{path.name}: {target}"


def links(text):
    found = [part.split(")")[0] for part in text.split("](")[1:]]
    return [x.split("#")[0] for x in found if not x.startswith(("http", "#"))]
