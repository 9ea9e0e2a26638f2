"""The notebooks run, and are kept without what they show."""

import sys
from pathlib import Path

import nbformat
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import run

NOTEBOOKS = run.notebooks()
# On PyTorch those of which XLA would compile much for few steps.
ON_TORCH = ("language_model", "on_policy", "training_methods")
RUNS = [
    *((p, "torch" if p.stem in ON_TORCH else "jax") for p in NOTEBOOKS),
    (EXAMPLES / "image_classifier.ipynb", "tensorflow"),
]


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize(
    ("path", "backend"), RUNS, ids=[f"{p.stem}-{b}" for p, b in RUNS]
)
def test_runs(path, backend, tmp_path):
    notebook = read(path)
    last = "import keras\nprint(keras.backend.backend())"
    notebook.cells.append(nbformat.v4.new_code_cell(last))
    run.execute(
        notebook,
        tmp_path,
        KERAS_BACKEND=backend,
        KERAS_DTS_FAST="1",
        # PyTorch's threads would wait for each other on models so small.
        OMP_NUM_THREADS="1",
    )
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert not [x for x in outputs if x.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert outputs[-1].text.strip() == backend


def test_notebooks_are_kept_without_outputs():
    for path in NOTEBOOKS:
        for cell in code(read(path)):
            assert cell.outputs == [], path.name
            assert cell.execution_count is None, path.name


def test_notebooks_begin_with_title_and_installation():
    for path in NOTEBOOKS:
        notebook = read(path)
        assert notebook.cells[0].source.startswith("# "), path.name
        first = code(notebook)[0].source
        wanted = 'find_spec("keras_dts") is None:\n    %pip install -q'
        assert wanted in first, path.name


def test_links_lead_somewhere_and_every_notebook_is_listed():
    for path in [*NOTEBOOKS, EXAMPLES / "README.md"]:
        for target in links(path.read_text("utf-8")):
            assert (EXAMPLES / target).exists(), f"{path.name}: {target}"
    listed = links((EXAMPLES / "README.md").read_text("utf-8"))
    assert {path.name for path in NOTEBOOKS} <= set(listed)


def links(text):
    found = [part.split(")")[0] for part in text.split("](")[1:]]
    return [x.split("#")[0] for x in found if not x.startswith(("http", "#"))]
