"""The temperatures of single examples, for TensorBoard."""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np
from keras import ops

import keras_dts
from keras_dts._answers import logits_of
from keras_dts._optional import require


class TemperatureHistogram(keras.callbacks.Callback):
    """Writes each epoch's temperatures of some examples for TensorBoard.

    At the end of each epoch the distiller's temperature policy is asked about
    the same examples. What it answers goes to `log_dir` as the histograms
    `temperature/teacher` and `temperature/student`; where it has one number
    for all examples, as a scalar. Beside `keras.callbacks.TensorBoard`, which
    writes losses, gap and metrics.

    Args:
        log_dir: TensorBoard's directory.
        x: The examples, for classifiers with one output. Teacher and student
            run on them after each epoch.
        y: Their labels, class indices or one-hot, for policies that look at
            them, or `None`.

    Raises:
        ImportError: At the start of `fit`, if TensorFlow, which writes the
            files, is missing.
        ValueError: At the start of `fit`, if the model is no
            `keras_dts.Distiller`.

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
        self, log_dir: str | os.PathLike[str], x: Any, y: Any = None
    ) -> None:
        super().__init__()
        self._log_dir = log_dir
        self._x, self._y = x, y
        self._writer: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks the model, and opens the file."""
        if not isinstance(self.model, keras_dts.Distiller):
            raise ValueError(
                "`TemperatureHistogram` shows the temperatures of a "
                f"`keras_dts.Distiller`. Received: {self.model!r} of type "
                f"{type(self.model).__name__}"
            )
        (self._tf,) = require("tensorflow", "Histograms", "tensorflow")
        self._writer = self._tf.summary.create_file_writer(
            os.fspath(self._log_dir)
        )

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Asks the policy, and writes what it answers."""
        teacher, student, _ = self._temperatures()
        summary = self._tf.summary
        with self._writer.as_default():
            for name, values in (("teacher", teacher), ("student", student)):
                values = np.asarray(ops.convert_to_numpy(values))
                write = summary.histogram if values.ndim else summary.scalar
                write(f"temperature/{name}", values, step=epoch)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the file."""
        self._writer.close()

    def _temperatures(self) -> Any:
        distiller: Any = self.model
        logits = []
        for role, from_logits in zip(
            ("teacher", "student"), distiller.from_logits, strict=True
        ):
            inputs = getattr(distiller, f"{role}_inputs")
            x = self._x if inputs is None else inputs(self._x)
            model = getattr(distiller, role)
            answers = logits_of("x", model, x, from_logits)
            logits.append(ops.convert_to_tensor(answers, dtype="float32"))
        labels = self._y
        if labels is not None:
            labels = ops.convert_to_tensor(np.asarray(labels))
        return distiller.temperature(*logits, labels=labels, training=False)
