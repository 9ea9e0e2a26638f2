"""The temperatures of examples, as histograms for TensorBoard."""

from __future__ import annotations

import os
from typing import Any

import keras

from keras_dts.distiller import Distiller
from keras_dts.utils import require


class TemperatureHistogram(keras.callbacks.Callback):
    """Writes the temperatures of some examples after each epoch.

    The distiller's policy computes the temperatures of the same examples, or of
    their tokens, at the end of each epoch. They are written to `log_dir` as the
    histograms `temperature/teacher` and `temperature/student`, and for models
    with several outputs as `temperature/teacher/<output>` and so on. One
    temperature for all examples is written as a scalar. Losses, gap and metrics
    are written by `keras.callbacks.TensorBoard`.

    Args:
        log_dir: The directory for TensorBoard. It should hold nothing else.
        x: The examples, as one batch of `fit`. Teacher and student run on this
            batch after each epoch.
        y: The labels, for policies that use labels, or `None`.
        sample_weight: The weights, or `None`. Entries of weight 0 are left out.

    Raises:
        ImportError: At the start of `fit`, if TensorFlow, which writes the
            files, is missing.
        ValueError: At the start of `fit`, if the model is no
            `keras_dts.Distiller`, or none of its losses uses its temperature.

    Example:
    >>> import tempfile
    >>> import keras
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher, student = (
    ...     keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    ...     for _ in range(2)
    ... )
    >>> distiller = keras_dts.Distiller(
    ...     teacher,
    ...     student,
    ...     temperature=keras_dts.temperatures.LogitStandardization(),
    ... )
    >>> distiller.compile("sgd", loss=None)
    >>> x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     history = distiller.fit(
    ...         x,
    ...         verbose=0,
    ...         callbacks=[
    ...             keras_dts.callbacks.TemperatureHistogram(folder, x)
    ...         ],
    ...     )
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
    ) -> None:
        super().__init__()
        self._log_dir = log_dir
        self._batch = (x, y, sample_weight)
        self._writer: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks the model, and opens the files."""
        if not isinstance(self.model, Distiller):
            raise ValueError(
                "`TemperatureHistogram` shows the temperatures of a "
                f"`keras_dts.Distiller`. Received: {self.model!r} of type "
                f"{type(self.model).__name__}"
            )
        if not self.model.uses_temperature:
            raise ValueError(
                "`TemperatureHistogram` shows the distiller's temperature, "
                "which none of the `distillation_losses` uses. Received: "
                f"distillation_losses={self.model.distillation_losses}"
            )
        (self._tf,) = require("tensorflow", "Histograms", "tensorflow")
        self._writer = self._tf.summary.create_file_writer(
            os.fspath(self._log_dir)
        )

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Computes the temperatures, and writes them."""
        model: Any = self.model
        temperatures = model.temperatures_of(*self._batch)
        names = model.output_names if len(temperatures) > 1 else [""]
        with self._writer.as_default(step=epoch):
            for name, found in zip(names, temperatures, strict=True):
                if found is not None:
                    self._write(f"teacher/{name}", found.teacher)
                    self._write(f"student/{name}", found.student)
        self._writer.flush()

    def _write(self, name: str, values: Any) -> None:
        summary = self._tf.summary
        write = summary.histogram if values.ndim else summary.scalar
        write(f"temperature/{name}".rstrip("/"), values)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the files."""
        self._writer.close()
