"""The command `keras-dts`."""

from keras_dts.cli.main import main

__all__ = [
    "main",
]
