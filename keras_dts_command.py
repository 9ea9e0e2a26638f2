"""The command `keras-dts`: chooses Keras's backend, then runs the package.

Keras takes its backend from the environment when it is imported, and does not
change it afterwards. The package imports Keras, so that the choice of the
backend cannot be a part of the package; it calls `check_backend` first.
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
    try:
        backend = _backend_for(_option(argv))
    except ImportError as error:
        print(f"keras-dts: {error}", file=sys.stderr)
        return 1
    os.environ["KERAS_BACKEND"] = backend
    # Without TensorFlow's notes on the processor.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from keras_dts import cli

    return cli.main(argv, BACKENDS)


def check_backend(backend: str | None = None) -> None:
    """Raises unless Keras can take a backend.

    Args:
        backend: Its name; `None` stands for the one that Keras takes.

    Raises:
        ImportError: If it is unknown or not installed.
    """
    backend = backend or _of_keras()
    installed = _installed()
    if backend not in BACKENDS:
        raise ImportError(
            f"`KERAS_BACKEND` must be {_listed(BACKENDS)}. Received: "
            f"{backend!r}"
        )
    if not installed:
        raise ImportError(
            'no backend is installed: pip install "keras-dts[jax]", or '
            "tensorflow, or torch"
        )
    if backend not in installed:
        raise ImportError(
            f"the backend {backend!r} is not installed: pip install "
            f'"keras-dts[{backend}]", or set `KERAS_BACKEND` to '
            f"{_listed(installed)}"
        )


def _backend_for(option: str | None) -> str:
    """Returns the backend of a run, which is installed.

    Another one stands in for the backend that Keras takes by itself: nobody
    has named that one.
    """
    backend = option or _of_keras()
    named = option or os.environ.get("KERAS_BACKEND")
    installed = _installed()
    missing = backend in BACKENDS and backend not in installed
    if missing and installed and not named:
        print(f"{backend!r} is not installed; using {installed[0]!r}.")
        return installed[0]
    check_backend(backend)
    return backend


def _installed() -> list[str]:
    return [name for name in BACKENDS if importlib.util.find_spec(name)]


def _listed(names: Sequence[str]) -> str:
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last


def _option(argv: list[str]) -> str | None:
    """Returns the backend of `--backend`, or `None`."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--backend", choices=BACKENDS)
    try:
        return parser.parse_known_args(argv)[0].backend
    except argparse.ArgumentError:
        return None  # `keras_dts.cli` reports the error


def _of_keras() -> str:
    """Returns the backend that Keras takes: a named one, or its default."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        settings = json.loads((home / "keras.json").read_text("utf-8"))
    except (OSError, ValueError):
        settings = {}
    default = settings.get("backend", "tensorflow")
    return os.environ.get("KERAS_BACKEND") or default


if __name__ == "__main__":
    sys.exit(main())
