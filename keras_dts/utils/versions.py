"""The versions that results depend on."""

from __future__ import annotations

import importlib
import platform

import keras

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Returns the versions that results depend on."""
    backend = keras.config.backend()
    return {
        "keras-dts": __version__,
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
        "python": platform.python_version(),
    }
