"""Executes the notebooks, and keeps copies with what they show.

    KERAS_BACKEND=jax python examples/run.py --out build/notebooks

runs all of them one after the other, each in a directory of its own, and prints
how long each took. `KERAS_DTS_FAST=1` shortens them. Names choose some:

    python examples/run.py features cached_teacher
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).parent
SECONDS = 900  # for one cell


class ThisPython(AsyncKernelManager):
    """Starts the running interpreter, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel of the running interpreter."""
        return KernelSpec(**get_kernel_dict())


def notebooks() -> list[Path]:
    """Returns the notebooks of this directory."""
    return sorted(HERE.glob("*.ipynb"))


def execute(
    notebook: nbformat.NotebookNode, folder: Path, **environment: str
) -> None:
    """Executes a notebook, which then holds what its cells put out.

    Args:
        notebook: The notebook. It is changed.
        folder: The kernel's working directory.
        **environment: What the kernel's environment has beside this process's.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisPython,
        # It warns that it talks over TCP, which it does on this machine only.
        extra_arguments=["--log-level=ERROR"],
        timeout=SECONDS,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**os.environ, **environment})


def _drop_stderr(notebook: nbformat.NotebookNode) -> None:
    """Leaves out what libraries say of the machine."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [
                output
                for output in cell.outputs
                if output.get("name") != "stderr"
            ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Executes notebooks; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    stems = [path.stem for path in notebooks()]
    parser.add_argument("names", nargs="*", metavar="name", help="default: all")
    parser.add_argument("--out", type=Path, default=Path("build/notebooks"))
    args = parser.parse_args(arguments)
    if unknown := set(args.names) - set(stems):
        parser.error(f"no notebook: {', '.join(sorted(unknown))}")
    args.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in args.names or stems:
        notebook = nbformat.read(HERE / f"{name}.ipynb", as_version=4)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try:
                execute(notebook, Path(folder))
            except CellExecutionError as error:
                failed.append(name)
                print(error)
        seconds = time.perf_counter() - start
        _drop_stderr(notebook)
        nbformat.write(notebook, args.out / f"{name}.ipynb")
        print(f"{name:24} {seconds:6.1f} s", flush=True)
    if failed:
        print("Failed:", ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
