"""The command `keras-dts`: chooses Keras's backend, then runs the package.

Keras takes its backend from the environment when it is imported, and does not
change it afterwards. The package imports Keras, so that the choice of the
backend cannot be a part of the package.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: The arguments; `None` takes the arguments of the process.

    Returns:
        The exit code of `keras_dts.cli.main`, or 1 if the chosen backend or
        every backend is missing.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    chosen = _chosen(argv)
    backend = chosen or _default()
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    if backend not in installed:
        if chosen or not installed:
            wanted = chosen or "jax"
            print(
                f"keras-dts: the backend {backend!r} is not installed: "
                f'pip install "keras-dts[{wanted}]"',
                file=sys.stderr,
            )
            return 1
        print(f"{backend!r} is not installed; using {installed[0]!r}.")
        backend = installed[0]
    os.environ["KERAS_BACKEND"] = backend
    # Without TensorFlow's notes on the processor.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from keras_dts import cli

    return cli.main(argv, BACKENDS)


def _chosen(argv: list[str]) -> str | None:
    """Returns the backend of `--backend`, or `None`."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--backend", choices=BACKENDS)
    try:
        return parser.parse_known_args(argv)[0].backend
    except argparse.ArgumentError:
        return None  # `keras_dts.cli` reports the error


def _default() -> str:
    """Returns the backend that Keras takes by itself."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        settings = json.loads((home / "keras.json").read_text("utf-8"))
    except (OSError, ValueError):
        settings = {}
    default = settings.get("backend", "tensorflow")
    return os.environ.get("KERAS_BACKEND") or default


if __name__ == "__main__":
    sys.exit(main())
