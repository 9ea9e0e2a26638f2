"""The progress of long runs."""

from __future__ import annotations

import sys
from typing import Any

import keras


def print_now(text: str) -> None:
    """Prints a line without delay, also into a pipe."""
    print(text, flush=True)


class EpochBar(keras.callbacks.Callback):
    """Shows a training as a progress bar of Keras, one unit for each epoch.

    Args:
        metric: The metric to show beside loss, temperature and gap.
    """

    def __init__(self, metric: str) -> None:
        super().__init__()
        self._shown = (metric, "loss", "temperature", "gap")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Draws an empty bar."""
        self._bar = keras.utils.Progbar(
            self.params["epochs"],
            # A file cannot be drawn over: it gets the last state only.
            verbose=1 if sys.stdout.isatty() else 2,
            stateful_metrics=self._shown,
            unit_name="epoch",
        )

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Moves the bar."""
        logs = logs or {}
        shown = [(k, float(logs[k])) for k in self._shown if k in logs]
        self._bar.update(epoch + 1, shown)
