"""The callback that drives a dynamic temperature."""

from __future__ import annotations

from typing import Any

from keras_dts.distiller import TrainingLength
from keras_dts.temperatures import DynamicTemperature, Temperature, check_bounds
from keras_dts.utils import check_count, check_temperature


class DTS(TrainingLength):
    """Drives a distiller's temperature: the Dynamic Temperature Scheduler.

    The callback sets the bounds of the temperature at the start of a training.
    `fit` then reports the progress at the start of each epoch: epoch `e` of
    `E`, counted from 1, is at `e / E`. Each step computes the temperature from
    the progress; `keras_dts.DynamicTemperature` has the rule. `E` is the
    `epochs` of `fit`, so a training that is resumed with `initial_epoch`
    continues where it stopped.

    A training of several calls of `fit`, such as one for each epoch, needs
    `epochs`. `e` then goes on counting from call to call, by `initial_epoch`
    where that is given, and else by the progress, which a checkpoint of the
    distiller holds. After the last epoch the progress stays 1.

    A missing bound is the policy's own. If the policy is a constant, as with
    `Distiller(temperature=4.0)`, the missing bounds are the published ones: an
    initial temperature of 4, a maximum equal to the initial temperature, and a
    minimum of half of it.

    Args:
        initial: The temperature at the start. Positive.
        minimum: The lowest target. Positive.
        maximum: The highest target, at least `minimum`.
        epochs: The epochs of the whole training, over all calls of `fit`;
            `None` if one call is the whole training.

    Raises:
        ValueError: If a bound is not positive, `minimum > maximum`, or
            `epochs` is no whole number of at least 1; at the start of `fit`,
            if the model is no `keras_dts.Distiller`, its temperature is no
            `keras_dts.DynamicTemperature` nor based on one, or none of its
            losses uses that temperature.

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
        epochs: int | None = None,
    ) -> None:
        super().__init__()
        if epochs is not None:
            check_count("epochs", epochs)
        self.training_epochs = epochs
        self._given = (initial, minimum, maximum)
        names = ("initial", "minimum", "maximum")
        for name, value in zip(names, self._given, strict=True):
            if value is not None:
                check_temperature(name, value)
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
        """Sets the bounds of the distiller's temperature."""
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
        policy = (
            given.dynamic_temperature()
            if isinstance(given, Temperature)
            else None
        )
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
