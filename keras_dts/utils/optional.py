"""Packages that are optional: imported by the first call that needs them."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import keras


def require(extra: str, what: str, *modules: str) -> list[Any]:
    """Imports optional modules, or says how to install them.

    TensorFlow is kept off the GPUs, unless it is Keras's backend.

    Args:
        extra: The extra of this package that brings them.
        what: What needs them, in the plural.
        *modules: Their names.

    Raises:
        ImportError: If one of them is missing.
    """
    try:
        imported = [importlib.import_module(module) for module in modules]
    except ImportError as error:
        raise ImportError(
            f"{what} need packages that are optional: "
            f'pip install "keras-dts[{extra}]". Received: {error}'
        ) from error
    if "tensorflow" in modules and keras.config.backend() != "tensorflow":
        tf = imported[modules.index("tensorflow")]
        # A RuntimeError says that TensorFlow has its devices already.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return imported


def require_matplotlib() -> Any:
    """Returns Matplotlib's `Figure`, or says how to install it.

    Raises:
        ImportError: If Matplotlib is missing.

    Example:
    >>> from keras_dts.plots._figure import require_matplotlib
    >>> require_matplotlib().__name__
    'Figure'
    """
    (figure,) = require("plots", "Pictures", "matplotlib.figure")
    return figure.Figure
