"""Callbacks that `Distiller.fit` always adds."""

from __future__ import annotations

import math
import warnings
from typing import Any

import keras
from keras import ops

from keras_dts.backend import check_steps


class TrainingLength(keras.callbacks.Callback):
    """Abstract: a callback that may know how long the whole training is.

    Attributes:
        training_epochs: The epochs of all calls of `fit` together, or `None`
            if one call is the whole training.
    """

    training_epochs: int | None = None


class FitReader(keras.callbacks.Callback):
    """Abstract: a callback that reads the arguments of `Distiller.fit`."""

    def read_fit(self, options: dict[str, Any]) -> None:
        """Reads, and may refuse, the arguments before the training.

        Args:
            options: The arguments by name; `callbacks` is a list.
        """
        raise NotImplementedError(f"{type(self).__name__} needs `read_fit`.")


class EpochDriver(keras.callbacks.Callback):
    """Reports to a distiller's schedules and temperatures which epoch begins.

    Args:
        training_epochs: The epochs of the whole training, of which this call
            of `fit` is a part; `None` if it is the whole.
        last_epochs: The epochs of the last call of `fit`.
    """

    def __init__(
        self, training_epochs: int | None = None, last_epochs: int = 0
    ) -> None:
        super().__init__()
        self._training_epochs = training_epochs
        self._last_epochs = last_epochs
        # The epochs of earlier calls, which Keras does not count; unknown
        # before the first epoch, since callbacks may load a checkpoint.
        self._earlier: int | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forgets an earlier call.

        Raises:
            ValueError: If processes would wait for each other for ever.
        """
        check_steps(self.params["steps"])
        self._earlier = None

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Begins the epoch of the weights of losses and of each policy."""
        if self._earlier is None:
            self._earlier = self._count_earlier(epoch)
        epoch += self._earlier
        epochs = self._training_epochs or self.params["epochs"]
        model = self.model
        model.objective.begin_epoch(epoch)
        for policy in model.policies:
            policy.begin_epoch(epoch, epochs, self.params["steps"])

    def _count_earlier(self, epoch: int) -> int:
        """Returns the epochs of earlier calls that `epoch` does not count."""
        if self._training_epochs is None:
            self._warn_of_a_loop(epoch)
            return 0
        if epoch > 0:  # `initial_epoch`, or a checkpoint
            return 0
        # Rounding must not lose an epoch; the half of one does not count.
        return math.floor(self._progress() * self._training_epochs + 1e-3)

    def _warn_of_a_loop(self, epoch: int) -> None:
        """Warns if this call and the last one are of one epoch each."""
        in_a_loop = self._last_epochs == 1 == self.params["epochs"] - epoch
        if in_a_loop and self._progress() >= 1.0:
            warnings.warn(
                "The temperature is at the end of its schedule since the last "
                "call of `fit`, and each call of one epoch is at the end "
                "again. `DTS(epochs=...)` says how many epochs all calls have "
                "together.",
                stacklevel=2,
            )

    def _progress(self) -> float:
        """Returns how far the furthest schedule of a temperature is."""
        found = [policy.dynamic_temperature() for policy in self.model.policies]
        return max(
            (
                float(ops.convert_to_numpy(policy.progress))
                for policy in found
                if policy is not None and not policy.constant
            ),
            default=0.0,
        )


def add_callbacks(
    model: keras.Model,
    options: dict[str, Any],
    guard: keras.callbacks.Callback,
) -> None:
    """Adds callbacks to the arguments of `fit`.

    Args:
        model: The distiller.
        options: The arguments by name, which are changed in place.
        guard: A callback that goes first; an `EpochDriver` goes last.

    Raises:
        ValueError: If something given is no callback, or one refuses.
    """
    given = options.get("callbacks")
    if isinstance(given, keras.callbacks.CallbackList):
        given = given.callbacks
    given = [c for c in keras.tree.flatten(given) if c is not None]
    for callback in given:
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                "`callbacks` must hold `keras.callbacks.Callback` objects. "
                f"Received: {callback!r} of type {type(callback).__name__}"
            )
    for callback in given:
        if isinstance(callback, FitReader):
            callback.read_fit({**options, "callbacks": given})
    lengths = [
        callback.training_epochs
        for callback in given
        if isinstance(callback, TrainingLength)
    ]
    last = getattr(model, "history", None)
    driver = EpochDriver(
        max(filter(None, lengths), default=None),
        # Keras leaves the epochs out of a call that failed before the first.
        len(getattr(last, "epoch", ())),
    )
    options["callbacks"] = [guard, *given, driver]
