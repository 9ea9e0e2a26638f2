"""An optimizer with a multiplier of the learning rate for each variable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from keras_dts.backend import Copies, fast, no_gradient
from keras_dts.types import Tensor
from keras_dts.utils import Untracked, check_number, deserialize, serialize

# Their state holds the learning rate, or weights that a step has moved: a
# longer step of the weights alone is not what a higher rate gives.
_RATE_IN_STATE = ("Ftrl", "ScheduleFreeAdamW")


@keras.saving.register_keras_serializable(package="keras_dts")
class LayerRates(keras.optimizers.Optimizer):
    """Gives each variable its own multiple of an optimizer's learning rate.

    After a step of the inner optimizer, each variable has moved by its
    multiplier `m` times that step, weight decay and momentum included:

    ```
    variable = old + m * (new - old)
    ```

    For a constant `m` that is what an optimizer with `m` times the learning
    rate does. Multipliers are 1 at first, which changes nothing. They are part
    of the optimizer's state, which is saved with the model, and may change
    between epochs without a new compilation. A new multiplier scales the whole
    next step, momentum of earlier steps included.

    Learning rate, schedules, clipping, weight decay and gradient accumulation
    are those of the inner optimizer. `learning_rate` and `iterations` are read
    from it and set on it, so that `keras.callbacks.LearningRateScheduler`
    works. A `constraint` of a variable acts on the inner optimizer's step, and
    again on the scaled one. Each step copies the weights that train, on
    TensorFlow and PyTorch.

    Args:
        optimizer: The inner optimizer, its name or its configuration. Not
            `Ftrl` and not `ScheduleFreeAdamW`, whose state holds the effect of
            the learning rate; not one with `use_ema=True`, whose averages would
            be of weights that the multipliers have not reached; not
            a `LossScaleOptimizer`, which belongs around this one:
            `compile` puts it there under `"mixed_float16"`.
        name: The optimizer's name.

    Raises:
        ValueError: If `optimizer` is one of those that do not work.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> from keras_dts.optimizers import LayerRates
    >>> model = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Dense(1, name="out")]
    ... )
    >>> optimizer = LayerRates(keras.optimizers.SGD(0.1))
    >>> layer = model.get_layer("out")
    >>> optimizer.set_multipliers([(layer.kernel, 0.5)])
    >>> model.compile(optimizer, "mse")
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    >>> optimizer.multipliers
    array([0.5, 1. ], dtype=float32)
    """

    def __init__(self, optimizer: Any, name: str | None = None) -> None:
        inner = keras.optimizers.get(optimizer)
        _check(inner)
        # The factor of a loss stays with the optimizer that `fit` knows: there
        # `LossScaleOptimizer` takes it away.
        super().__init__(
            learning_rate=0.0,
            loss_scale_factor=inner.loss_scale_factor,
            name=name,
        )
        self.inner_optimizer = inner
        self._given: Untracked[list[tuple[Any, float]]] = Untracked([])

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the state for the variables of a model.

        Args:
            variables: The variables that train.
        """
        if self.built:
            return
        variables = list(variables)
        self.inner_optimizer.build(variables)
        # Keras would track a list of variables as the optimizer's own.
        self._order = Untracked({id(v): i for i, v in enumerate(variables)})
        first = self._with(self._given.value, np.ones(len(variables)))
        self._given = Untracked([])
        self._multipliers = self.add_variable(
            first.shape,
            initializer=lambda shape, dtype: ops.cast(first, dtype),
            dtype="float32",
            aggregation="only_first_replica",
            name="multipliers",
        )
        super().build(variables)

    @property
    def multipliers(self) -> npt.NDArray[np.float32]:
        """The multipliers, in the order of the variables, shape `(n,)`.

        Raises:
            ValueError: If the optimizer is not built.
        """
        self._check_built()
        found: npt.NDArray[np.float32]
        found = ops.convert_to_numpy(self._multipliers)
        return found

    def set_multipliers(self, pairs: Iterable[tuple[Any, float]]) -> None:
        """Sets the multipliers of some variables; the others stay.

        Before the optimizer is built, which `fit` does, they are kept for it.

        Args:
            pairs: Variables and their multipliers, which are positive.

        Raises:
            ValueError: If a multiplier is not positive, or a variable is none
                that the optimizer trains; of an optimizer that is not built,
                when it is.
        """
        pairs = list(pairs)
        for _, multiplier in pairs:
            check_number("multiplier", multiplier, above=0.0)
        if self.built:
            new = self._with(pairs, np.array(self.multipliers))
            self._multipliers.assign(new)
        else:
            self._given = Untracked([*self._given.value, *pairs])

    def _with(
        self, pairs: list[tuple[Any, float]], multipliers: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Writes the multipliers of some variables into all of them."""
        for variable, multiplier in pairs:
            index = self._order.value.get(id(variable))
            if index is None:
                raise ValueError(
                    "`pairs` must hold variables that this optimizer trains. "
                    f"Received: {getattr(variable, 'path', variable)!r}"
                )
            multipliers[index] = multiplier
        return multipliers

    def _check_built(self) -> None:
        if not self.built:
            raise ValueError(
                "The optimizer must be built first: "
                "`optimizer.build(model.trainable_variables)`. Received: "
                f"{self.name!r}, which is not built"
            )

    def apply(
        self, grads: Sequence[Any], trainable_variables: Any = None
    ) -> None:
        """Moves the variables by their multiples of the optimizer's step.

        Args:
            grads: The gradients.
            trainable_variables: Their variables; `None` for all.
        """
        if trainable_variables is None:
            self._check_built()
            trainable_variables = self._trainable_variables
        variables = list(trainable_variables)
        self.build(variables)
        before = Copies(variables)
        self.inner_optimizer.loss_scale_factor = self.loss_scale_factor
        self.inner_optimizer.apply(grads, variables)
        with no_gradient():
            self._scale(variables, before.values)

    def _scale(self, variables: list[Any], before: list[Tensor]) -> None:
        """Multiplies the step that the inner optimizer has taken."""
        multipliers = ops.unstack(self._multipliers.value)
        for variable, old in zip(variables, before, strict=True):
            multiplier = multipliers[self._order.value[id(variable)]]
            multiplier = ops.cast(multiplier, variable.dtype)
            new = variable.value
            scaled = fast.part_of_step(old, new, multiplier)
            if variable.constraint is not None:
                scaled = ops.where(
                    multiplier == 1.0, new, variable.constraint(scaled)
                )
            variable.assign(scaled)

    @property
    def variables(self) -> list[Any]:
        """The optimizer's own variables, and those of the inner one."""
        return [*super().variables, *self.inner_optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self.inner_optimizer.learning_rate = value

    @property
    def iterations(self) -> Any:
        """The steps of the inner optimizer so far."""
        return self.inner_optimizer.iterations

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all `variables`, those of the inner optimizer included."""
        self._check_built()
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def exclude_from_weight_decay(self, *args: Any, **kwargs: Any) -> None:
        """Tells the inner optimizer which variables shall not decay."""
        self.inner_optimizer.exclude_from_weight_decay(*args, **kwargs)

    def finalize_variable_values(self, var_list: Any) -> None:
        """Lets the inner optimizer end a training."""
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            "optimizer": serialize(self.inner_optimizer),
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> LayerRates:
        """Returns the optimizer of a configuration."""
        inner = deserialize(config["optimizer"], custom_objects)
        return cls(**{**config, "optimizer": inner})


def _check(optimizer: Any) -> None:
    """Raises a `ValueError` for an optimizer whose steps cannot be scaled."""
    parts = [optimizer, *getattr(optimizer, "optimizers", ())]
    for part in parts:
        kinds = {kind.__name__ for kind in type(part).__mro__}
        refused = kinds.intersection(_RATE_IN_STATE)
        if refused:
            why = "keeps the effect of its learning rate in its state"
        elif part.use_ema:
            why = "averages weights that no multiplier has reached (`use_ema`)"
        elif "LossScaleOptimizer" in kinds:
            why = "belongs around a `LayerRates`, not in it"
        else:
            continue
        raise ValueError(
            "`optimizer` must be one whose steps can be scaled for each "
            f"variable. Received: {type(part).__name__}, which {why}"
        )
