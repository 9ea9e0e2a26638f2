"""What `fit` adds to a training: who tells policies of epochs, who stops it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


class EpochDriver(keras.callbacks.Callback):
    """Tells a distiller's policies which epoch begins; `fit` adds it."""

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Tells them."""
        for policy in self.model.policies:
            policy.begin_epoch(
                epoch, self.params["epochs"], self.params["steps"]
            )


class FaultGuard(keras.callbacks.Callback):
    """Stops a training whose data or teacher are broken; `fit` adds it.

    Each step notes logits of the teacher that are NaN or infinite and labels
    that name no class, and gives such a batch a loss of 0. The notes are read
    before the second batch and after each epoch, so that no other step waits
    for them. If the first batch fails, the models get back what they had.
    """

    # Keras need not wait for a step to call `on_train_batch_end`, which may
    # run in another thread.
    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        self._begun = False
        self._weights: list[Any] = []
        self._values: list[tuple[Any, Any]] = []

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Remembers the epoch, for the message."""
        self._epoch = epoch

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Before the first batch prepares; before the second, reads."""
        if not self._begun:
            self._begun = True
            self._prepare()
        elif self._weights:
            self._values = []
            self._read()

    def _prepare(self) -> None:
        """Clears the notes, and keeps the weights."""
        model = self.model
        clear_faults(model)
        self._weights = [np.array(w) for w in model.student.get_weights()]
        variables = [*model.variables, *model.metrics_variables]
        variables += model.optimizer.variables if model.optimizer else []
        self._values = [(v, v.value) for v in variables]

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Lets go of the values: the step has run."""
        self._values = []

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Reads the notes of the epoch."""
        self._values = []
        self._read()

    def reattach(self) -> None:
        """Gives the variables their values back if the first step failed.

        On JAX, Keras takes them away before it runs a step, and a step that
        fails to compile does not return them.
        """
        for variable, value in self._values:
            variable.assign(value)

    def _read(self) -> None:
        when = f"in epoch {self._epoch + 1} of {self.params['epochs']}"
        try:
            raise_faults(self.model, when)
        except ValueError:
            if self._weights:
                self.model.student.set_weights(self._weights)
            raise
        self._weights = []


def clear_faults(distiller: Any) -> None:
    """Forgets the broken batches that a distiller's steps have noted."""
    distiller.faults.assign(np.zeros(distiller.faults.shape, "float32"))


def raise_faults(distiller: Any, when: str) -> None:
    """Raises if a distiller's steps have noted a broken batch.

    Args:
        distiller: A `keras_dts.Distiller`.
        when: When that was, for the message.

    Raises:
        ValueError: If the teacher's logits were not finite, or class indices
            in the labels named no class.
    """
    teacher, labels = ops.convert_to_numpy(distiller.faults) > 0
    if teacher:
        raise ValueError(
            "The logits of `teacher` must be finite. Received: NaN or "
            f"infinite logits from the teacher {distiller.teacher.name!r} "
            f"{when}. The student learned nothing from these batches."
        )
    if labels:
        raise ValueError(
            "The class indices in `y` must be at least 0 and less than the "
            f"number of classes. Received: others {when}. The student "
            "learned nothing from these batches."
        )
