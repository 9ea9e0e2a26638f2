"""Optional packages, which the first call that needs them imports."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import keras


def require(extra: str, what: str, *modules: str) -> list[Any]:
    """Returns optional modules, or raises with the command to install them.

    TensorFlow is kept off the GPUs, unless it is Keras's backend.

    Args:
        extra: The extra of keras-dts that installs the modules.
        what: What needs the modules, in the plural, for the error message.
        *modules: The names of the modules.

    Raises:
        ImportError: If one of the modules is missing.
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
        # TensorFlow raises a RuntimeError if its devices are in use.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return imported


def require_matplotlib() -> Any:
    """Returns Matplotlib's `Figure`, or raises with the command to install it.

    Raises:
        ImportError: If Matplotlib is missing.

    Example:
    >>> from keras_dts.utils import require_matplotlib
    >>> require_matplotlib().__name__
    'Figure'
    """
    (figure,) = require("plots", "Pictures", "matplotlib.figure")
    return figure.Figure
