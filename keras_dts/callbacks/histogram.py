"""The temperatures of single examples, for TensorBoard."""

from __future__ import annotations

import os
from typing import Any

import keras

from keras_dts.distiller import Distiller
from keras_dts.utils import require


class TemperatureHistogram(keras.callbacks.Callback):
    """Writes each epoch's temperatures of some examples for TensorBoard.

    At the end of each epoch the distiller's temperature policy is asked about
    the same examples, or their tokens. What it answers goes to `log_dir` as
    the histograms `temperature/teacher` and `temperature/student`, of models
    with several outputs as `temperature/teacher/<output>` and so on; where it
    has one number for all examples, as a scalar. Beside
    `keras.callbacks.TensorBoard`, which writes losses, gap and metrics.

    Args:
        log_dir: The directory for TensorBoard, best one of its own.
        x: The examples, as in a batch for `fit`: teacher and student run on
            all at once, after each epoch.
        y: Their labels, for policies that look at them, or `None`.
        sample_weight: Their weights, or `None`. What weighs 0 is left out.

    Raises:
        ImportError: At the start of `fit`, if TensorFlow, which writes the
            files, is missing.
        ValueError: At the start of `fit`, if the model is no
            `keras_dts.Distiller`, or none of its losses uses its temperature.

    Example:
    >>> import tempfile
    >>> import keras
    >>> import numpy as np
    >>> from keras_dts.distiller import Distiller
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
        """Checks the model, and opens the file."""
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
        """Asks the policy, and writes what it answers."""
        model: Any = self.model
        answers = model.temperatures_of(*self._batch)
        names = model.output_names if len(answers) > 1 else [""]
        with self._writer.as_default(step=epoch):
            for name, answer in zip(names, answers, strict=True):
                if answer is not None:
                    self._write(f"teacher/{name}", answer.teacher)
                    self._write(f"student/{name}", answer.student)
        self._writer.flush()

    def _write(self, name: str, values: Any) -> None:
        summary = self._tf.summary
        write = summary.histogram if values.ndim else summary.scalar
        write(f"temperature/{name}".rstrip("/"), values)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the file."""
        self._writer.close()
