"""A callback that times the text that a model writes."""

from __future__ import annotations

import time
from typing import Any

import keras

from keras_dts.distiller import FitReader


class GenerationTime(FitReader):
    """Logs how long a batch of text takes to write, and how long a step takes.

    For `keras_dts.OnPolicyDistiller`. A compiled step cannot be split, so that
    after each epoch the first batch of the training data is written once more,
    and thrown away. The logs are `generation_ms`, and `step_ms`, the mean time
    of the epoch's training steps, which in the first epoch holds the time of
    compiling them.

    Raises:
        ValueError: When a training begins of another model.

    Example:
    >>> import keras_dts
    >>> callback = keras_dts.callbacks.GenerationTime()
    >>> isinstance(callback, keras_dts.callbacks.GenerationTime)
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self._prompts: Any = None
        self._began = self._ended = 0.0

    def read_fit(self, options: dict[str, Any]) -> None:
        """Keeps the first batch of the training data.

        Args:
            options: The arguments of `fit` by name.
        """
        self._prompts = _first_batch(
            options.get("x"), options.get("batch_size") or 32
        )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Compiles what is timed, so that no epoch waits for it."""
        from keras_dts.generation import OnPolicyDistiller

        if not isinstance(self.model, OnPolicyDistiller):
            raise ValueError(
                "`GenerationTime` times the text of a "
                "`keras_dts.OnPolicyDistiller`. Received: a "
                f"{type(self.model).__name__}"
            )
        self.model.write(self._prompts)

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Notes when the steps begin."""
        self._began, self._ended = time.perf_counter(), 0.0

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Notes when the steps have ended, where a validation follows."""
        self._ended = time.perf_counter()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Times one batch, and logs both times."""
        ended = self._ended or time.perf_counter()
        logs = {} if logs is None else logs
        if self.params["steps"]:
            steps = self.params["steps"]
            logs["step_ms"] = 1000 * (ended - self._began) / steps
        began = time.perf_counter()
        self.model.write(self._prompts)
        logs["generation_ms"] = 1000 * (time.perf_counter() - began)


def _first_batch(x: Any, size: int) -> Any:
    """Returns the first batch of a data set, or of arrays or lists by name."""
    if isinstance(x, dict):
        return {name: values[:size] for name, values in x.items()}
    batch = x[0] if isinstance(x, keras.utils.PyDataset) else next(iter(x))
    return keras.utils.unpack_x_y_sample_weight(batch)[0]
