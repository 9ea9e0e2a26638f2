"""Reports epochs to the temperatures."""

from __future__ import annotations

from typing import Any

import keras


class EpochDriver(keras.callbacks.Callback):
    """Reports to a distiller's temperatures which epoch begins.

    `keras_dts.Distiller.fit` adds it.
    """

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Begins the epoch of each policy."""
        for policy in self.model.policies:
            policy.begin_epoch(
                epoch, self.params["epochs"], self.params["steps"]
            )
