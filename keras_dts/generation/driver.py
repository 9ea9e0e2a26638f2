"""The callback that tells a text how the training goes."""

from __future__ import annotations

from typing import Any

from keras_dts.distiller import FitReader
from keras_dts.generation.base import Text


class TextDriver(FitReader):
    """Reports to a text which epoch begins, and what a validation found.

    It comes before other callbacks, so that a backup of an epoch has what
    followed from its validation.

    Args:
        text: The text.
    """

    def __init__(self, text: Text) -> None:
        super().__init__()
        self._text = text

    def read_fit(self, options: dict[str, Any]) -> None:
        """Raises a `ValueError` if a validation is needed and missing.

        Args:
            options: The arguments of `fit` by name.
        """
        if self._text.needs_validation and (
            options.get("validation_data") is None
        ):
            raise ValueError(
                "`validation_data` must be given for "
                f"`{type(self._text).__name__}`, whose share follows its loss. "
                "Received: None"
            )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Begins an epoch."""
        self._text.begin_epoch(
            epoch, self.params["epochs"], self.params["steps"]
        )

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Reports the loss of a validation, if there was one."""
        if logs and "val_loss" in logs:
            self._text.validated(float(logs["val_loss"]))
