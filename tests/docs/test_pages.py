"""The Python of the README and of the guides runs as it stands, once each."""

import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from blocks import blocks_of, names_in, save_presets

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
# And its own again: `quantize` meets layers that have nothing to quantize.
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quant")
@pytest.mark.parametrize("block", [*each_block_once()])
def test_a_block_runs(block, presets, tmp_path, monkeypatch):
    if not block.is_for_this_keras:
        pytest.skip("is for another Keras")
    monkeypatch.chdir(tmp_path)
    save_presets(presets, block.text)
    block.run(names_in(tmp_path, presets))
    if (tmp_path / "student.keras").exists():
        saved = keras.models.load_model(tmp_path / "student.keras")
        inputs = np.zeros((2, *saved.input_shape[1:]), "float32")
        assert saved.predict(inputs, verbose=0).shape[0] == 2


def test_a_block_that_prints_something_else_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1 + 1)  # 3\n```\n")
    (block,) = blocks_of(page)
    with pytest.raises(AssertionError):
        block.run({})


def test_the_first_script_runs_where_jax_alone_is_installed(tmp_path):
    """As after `make demo`, where Keras would take TensorFlow."""
    packages = tmp_path / "packages"
    packages.mkdir()
    missing = ("tensorflow", "torch", "keras_hub")
    for path in pathlib.Path(np.__file__).parents[1].iterdir():
        if not path.name.startswith(missing):
            (packages / path.name).symlink_to(path)
    env = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    env["KERAS_HOME"] = str(tmp_path / "keras")
    env["PYTHONPATH"] = os.pathsep.join([str(packages), str(ROOT)])

    def run(script):
        return subprocess.run(
            [sys.executable, "-S", "-c", script],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=env,
        )

    assert "No module named 'tensorflow'" in run("import keras").stderr
    script = blocks_of(PAGES[0])[0].text
    done = run(f"{script}\nprint(keras.backend.backend())")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("jax\n")
    assert (tmp_path / "student.keras").exists()
    message = "'tensorflow' is not installed: pip install .*`KERAS_BACKEND` to"
    assert re.search(f"{message} 'jax'$", run("import keras_dts").stderr)
