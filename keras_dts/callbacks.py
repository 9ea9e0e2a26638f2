"""Callbacks: what moves a dynamic temperature, and what stops a bad run."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.temperatures.base import Temperature
from keras_dts.temperatures.dynamic import DynamicTemperature, check_bounds


class DTS(keras.callbacks.Callback):
    """Moves a distiller's temperature: the Dynamic Temperature Scheduler.

    At the start of a training it sets the temperature's bounds. From then on
    `fit` says at the start of each epoch how far the training is: epoch `e`
    of `E`, counted from 1, stands at `e / E`. The steps do the rest; see
    `keras_dts.DynamicTemperature` for the rule. `E` is `fit`'s `epochs`, so a
    run that is resumed with `initial_epoch` goes on where it stopped.

    Bounds that are not given are the policy's own. Where the policy is a
    constant, as with `Distiller(temperature=4.0)`, they are the published
    ones: 4 to begin with, at most the initial and at least half of it.

    Args:
        initial: The temperature at the start. Positive.
        minimum: The lowest target. Positive.
        maximum: The highest target, at least `minimum`.

    Raises:
        ValueError: If a bound is not positive or `minimum > maximum`; at the
            start of `fit`, if the model is no `keras_dts.Distiller`, its
            temperature is no `keras_dts.DynamicTemperature` nor based on one,
            or none of its losses uses that temperature.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_dts
    >>> def classifier():
    ...     return keras.Sequential(
    ...         [keras.Input((4,)), keras.layers.Dense(3)]
    ...     )
    >>> distiller = keras_dts.Distiller(classifier(), classifier())
    >>> distiller.compile("sgd", loss=None)
    >>> history = distiller.fit(
    ...     np.ones((64, 4), "float32"),
    ...     batch_size=1,
    ...     epochs=4,
    ...     callbacks=[keras_dts.DTS(initial=8.0, minimum=1.0)],
    ...     verbose=0,
    ... )
    >>> [round(float(t)) for t in history.history["temperature"]]
    [7, 4, 2, 1]

    Reference:
        Ul Islam et al., Dynamic Temperature Scheduler for Knowledge
        Distillation, arXiv 2511.13767, 2025.
    """

    def __init__(
        self,
        initial: float | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> None:
        super().__init__()
        self._given = (initial, minimum, maximum)
        check_bounds(*self._published())

    def _published(self) -> tuple[float, float, float]:
        initial, minimum, maximum = self._given
        initial = 4.0 if initial is None else initial
        if maximum is None:
            maximum = max(initial, minimum or 0.0)
        if minimum is None:
            minimum = min(initial / 2, maximum)
        return initial, minimum, maximum

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Sets the bounds."""
        policy = self._policy()
        bounds = self._published()
        if not policy.constant:
            bounds = tuple(  # type: ignore[assignment]
                own if given is None else given
                for given, own in zip(self._given, policy.bounds, strict=True)
            )
        policy.set_bounds(*bounds)

    def _policy(self) -> DynamicTemperature:
        given = getattr(self.model, "temperature", None)
        policy = given.driven() if isinstance(given, Temperature) else None
        if policy is None:
            raise ValueError(
                "`DTS` drives the `DynamicTemperature` of a "
                "`keras_dts.Distiller`: give it a number or a "
                "`DynamicTemperature` as `temperature`, or a policy that is "
                "based on one. Received: a "
                f"{type(self.model).__name__} with "
                f"temperature={type(given).__name__}"
            )
        if not self.model.uses_temperature:
            raise ValueError(
                "`DTS` drives the distiller's temperature, which none of the "
                "`distillation_losses` uses. Leave the temperature of a loss "
                "`None`, as in `keras_dts.losses.KD()`, to use it. Received: "
                f"distillation_losses={self.model.distillation_losses}"
            )
        return policy


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
