"""The command `keras-dts`: chooses Keras's backend, then runs the package.

Keras takes its backend from the environment when it is imported, and does not
change it afterwards. The package imports Keras, so what chooses the backend
cannot be part of it.
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
        argv: The arguments; `None` takes those of the process.

    Returns:
        The exit code: 0, or 1 where no backend that was asked for, or none at
        all, is installed, or what `keras_dts.cli.main` returns.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    asked = _asked(argv)
    backend = asked or _usual()
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    if backend not in installed:
        if asked or not installed:
            wanted = asked or "jax"
            print(
                f"keras-dts: the backend {backend!r} is not installed: "
                f'pip install "keras-dts[{wanted}]"',
                file=sys.stderr,
            )
            return 1
        print(f"{backend!r} is not installed; using {installed[0]!r}.")
        backend = installed[0]
    os.environ["KERAS_BACKEND"] = backend
    # TensorFlow's notes on the processor are no news to who runs a demo.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from keras_dts import cli

    return cli.main(argv)


def _asked(argv: list[str]) -> str | None:
    """Returns what `--backend` says, if it names a backend."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--backend", choices=BACKENDS)
    try:
        return parser.parse_known_args(argv)[0].backend
    except argparse.ArgumentError:
        return None  # which `keras_dts.cli` will tell the user


def _usual() -> str:
    """Returns the backend that Keras would take."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        settings = json.loads((home / "keras.json").read_text("utf-8"))
    except (OSError, ValueError):
        settings = {}
    usual = settings.get("backend", "tensorflow")
    return os.environ.get("KERAS_BACKEND") or usual


if __name__ == "__main__":
    sys.exit(main())
