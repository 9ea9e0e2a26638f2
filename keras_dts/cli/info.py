"""Describes an installation, for reports of problems."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform

import keras

from keras_dts.utils import __version__

# Optional packages, and the extra of keras-dts that installs each of them.
_OPTIONAL = {
    "jax": "jax",
    "tensorflow": "tensorflow",
    "torch": "torch",
    "keras-hub": "text",
    "rouge-score": "text",
    "tensorflow-text": "text",
    "tensorflow-datasets": "data",
    "matplotlib": "plots",
    "scikit-learn": "demo",
}


def text() -> str:
    """Returns versions, backend, devices and optional packages, in lines.

    Example:
    >>> from keras_dts.cli import info
    >>> info.text().splitlines()[0]
    'keras-dts            0.1.0'
    """
    lines = [
        ("keras-dts", __version__),
        ("python", platform.python_version()),
        ("platform", platform.platform()),
        ("keras", keras.__version__),
        ("backend", keras.config.backend()),
        ("devices", ", ".join(_devices())),
        ("dtype policy", keras.config.dtype_policy().name),
        *((name, _version(name)) for name in _OPTIONAL),
    ]
    return "\n".join(f"{name:<20} {value}" for name, value in lines)


def _devices() -> list[str]:
    """Returns the names of the backend's devices."""
    backend = keras.config.backend()
    library = importlib.import_module(backend)
    if backend == "jax":
        return [
            f"{d.platform}:{d.id} {d.device_kind}" for d in library.devices()
        ]
    if backend == "tensorflow":
        devices = library.config.list_logical_devices()
        return [device.name.removeprefix("/device:") for device in devices]
    count = library.cuda.device_count()
    return ["cpu", *(library.cuda.get_device_name(i) for i in range(count))]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f'not installed; pip install "keras-dts[{_OPTIONAL[name]}]"'
