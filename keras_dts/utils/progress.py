"""What a long run tells those who watch it."""

from __future__ import annotations

import sys
from typing import Any

import keras


def say(text: str) -> None:
    """Prints a line, at once also for those who read it through a pipe."""
    print(text, flush=True)


class EpochBar(keras.callbacks.Callback):
    """Shows a whole training as one of Keras's progress bars.

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
            # Where nothing can be drawn over, only the last state.
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
