"""Callbacks that `Distiller.fit` always adds."""

from __future__ import annotations

from typing import Any

import keras


class EpochDriver(keras.callbacks.Callback):
    """Reports to a distiller's temperatures which epoch begins."""

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Begins the epoch of each policy."""
        for policy in self.model.policies:
            policy.begin_epoch(
                epoch, self.params["epochs"], self.params["steps"]
            )


def add_callbacks(
    options: dict[str, Any], guard: keras.callbacks.Callback
) -> None:
    """Adds callbacks to the arguments of `fit`.

    Args:
        options: The arguments by name, which are changed in place.
        guard: A callback that goes first; an `EpochDriver` goes last.
    """
    given = options.get("callbacks")
    if isinstance(given, keras.callbacks.CallbackList):
        given = given.callbacks
    given = [c for c in keras.tree.flatten(given) if c is not None]
    options["callbacks"] = [guard, *given, EpochDriver()]
