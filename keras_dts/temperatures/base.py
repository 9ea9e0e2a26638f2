"""The protocol of temperature policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
from keras import ops

from keras_dts.logits import BatchLogits, LogitPair, WholeBatch
from keras_dts.temperatures.step_context import StepContext
from keras_dts.types import Tensor
from keras_dts.utils import deserialize, loss_dtype

if TYPE_CHECKING:
    from keras_dts.temperatures.dynamic import DynamicTemperature

# Lower bound of every computed temperature, so that nothing divides by zero.
FLOOR = 1e-3


class Temperatures(NamedTuple):
    """The temperatures of one output.

    Each is a scalar, or one value per example or token, shape
    `(batch, ...)`.

    Attributes:
        teacher: Divides the teacher's logits.
        student: Divides the student's logits.
        scale: Multiplies the loss, so that its gradients keep their size
            when the temperature moves: teacher times student unless the
            method says otherwise.
    """

    teacher: Tensor
    student: Tensor
    scale: Tensor


# From the logits of one output to its temperatures.
TemperatureFunction = Callable[[LogitPair], Temperatures]


class Temperature(keras.layers.Layer):
    """The temperature that a distillation loss softens its logits with.

    Abstract. A policy is a layer, so that its state is saved, and every
    backend sees it. A policy without a state implements `temperatures`. One
    with a state reads it there too, and moves it in `begin_step` or
    `end_step`. In each training step a distiller calls `before_step`,
    `begin_step`, `snapshot`, `end_step` and `observe`, in this order and once
    each; for inference it calls `snapshot` alone, so that inference changes
    nothing.
    """

    # Whether the temperatures of an entry depend on that entry alone, beside
    # the policy's state. Only then can a batch be cut into chunks.
    per_entry = False

    def __init__(self, **kwargs: Any) -> None:
        # Temperatures multiply float32 logits, whatever the models' policy.
        kwargs.setdefault("dtype", loss_dtype())
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        self.built = True  # Most policies have no shape to wait for.

    def build(
        self, teacher_logits_shape: Any, student_logits_shape: Any
    ) -> None:
        """Makes what depends on the number of classes: in most, nothing."""

    def call(
        self,
        teacher_logits: Tensor,
        student_logits: Tensor,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Temperatures:
        """Returns the temperatures for one output.

        Args:
            teacher_logits: Shape `(batch, ..., classes)`.
            student_logits: Of the same shape.
            labels: `None`, class indices of shape `(batch, ...)`, or
                probabilities of the shape of the logits.
            mask: `None`, or shape `(batch, ...)`, false or 0 for entries
                that do not count.
            training: Whether the policy may change its state.

        Returns:
            `Temperatures(teacher, student, scale)`.
        """
        pair = LogitPair.of_logits(teacher_logits, student_logits, labels, mask)
        batch = WholeBatch([pair])
        if training:
            self.begin_step(batch)
        temperatures = self.snapshot(batch)(pair)
        if training:
            self.end_step(batch)
        return temperatures

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns nothing: temperatures have no mask."""

    def temperatures(self, pair: LogitPair) -> Temperatures:
        """Returns the temperatures of one output; changes nothing.

        Subclasses implement this, or `snapshot`.

        Args:
            pair: The logits of the output, whole or a chunk of them.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement `temperatures`."
        )

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that computes the temperatures of this step.

        A policy that reads variables, or compares the entries of a batch,
        does so here, once: a variable that is read chunk by chunk may be read
        again for the gradient, after it has moved.

        Args:
            batch: The logits of the step.
        """
        del batch
        return self.temperatures

    def before_step(self, context: StepContext) -> None:
        """Works before the part of a training step that has a gradient.

        Here a policy may run models and train a network of its own: no
        gradient of the step flows through it. Only `Distiller.train_step`
        calls it.

        Args:
            context: The step that comes.
        """

    @property
    def acts_before_step(self) -> bool:
        """Whether there is a `before_step` to call."""
        return type(self).before_step is not Temperature.before_step

    def begin_step(self, batch: BatchLogits) -> None:
        """Moves the state before a training step uses it.

        Args:
            batch: The logits of the step.
        """

    def end_step(self, batch: BatchLogits) -> None:
        """Moves the state after a training step has used it.

        Args:
            batch: The logits of the step.
        """

    def observe(self, loss: Tensor) -> None:
        """Takes the loss that a training step softened by this policy.

        Args:
            loss: The sum of the losses that used these temperatures, each a
                mean over the batch, a scalar.
        """

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Begins an epoch; `keras_dts.Distiller.fit` calls it.

        Args:
            epoch: The epoch, counted from 0.
            epochs: How many epochs the training has.
            steps: How many steps an epoch has, or `None` if it is not known.
        """

    @property
    def constants(self) -> Sequence[Any]:
        """The weights that no step moves, and none need copy."""
        return ()

    def add_optimizer(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]
    ) -> Callable[[Sequence[Tensor]], None]:
        """Gives the policy an optimizer of its own, for `before_step`.

        Its state is part of the policy's, so that a training goes on after
        saving where it was. The student's optimizer trains what the policy
        calls trainable: variables of this one are not.

        Args:
            optimizer: The optimizer.
            variables: Weights of the policy, or of layers of its own. They
                are built, and not trainable.

        Returns:
            A function that takes a gradient for each variable, and moves them.
        """
        if any(v.trainable for v in variables):
            raise ValueError(
                "`variables` must not be trainable, or the student's optimizer "
                "moves them too. Received: "
                f"{[v.path for v in variables if v.trainable]}"
            )
        optimizer.build(variables)
        setattr(self, f"{optimizer.name}_state", list(optimizer.variables))
        return lambda gradients: optimizer.apply(gradients, variables)

    @property
    def chunkable(self) -> bool:
        """Whether the logits of a batch may come in chunks."""
        return self.per_entry

    def dynamic_temperature(self) -> DynamicTemperature | None:
        """Returns the `DynamicTemperature` in this policy that `DTS` moves."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config: dict[str, Any] = super().get_config()
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Temperature:
        """Makes the policy that `get_config` described."""
        return cls(**deserialize(config))


def constant(temperature: Tensor) -> TemperatureFunction:
    """Returns a function that gives every output the same temperature.

    Args:
        temperature: A scalar, for both models; the scale is its square.
    """
    same = Temperatures(temperature, temperature, temperature * temperature)
    return lambda pair: same


def add_scalar(layer: keras.layers.Layer, name: str, value: float) -> Any:
    """Adds a scalar weight to a layer, which is saved and not trained.

    Args:
        layer: The layer.
        name: The weight's name.
        value: Its first value.

    Returns:
        The variable, a scalar.
    """
    return _add_state(layer, name, value, shape=())


def add_vector(layer: keras.layers.Layer, name: str, *values: float) -> Any:
    """Adds a weight of several values, which is saved and not trained.

    Args:
        layer: The layer.
        name: The weight's name.
        *values: Its first values.

    Returns:
        The variable, a vector.
    """
    return _add_state(layer, name, values, shape=(len(values),))


def _add_state(
    layer: keras.layers.Layer, name: str, value: Any, shape: tuple[int, ...]
) -> Any:
    return layer.add_weight(
        name=name,
        shape=shape,
        initializer=lambda _, dtype: ops.convert_to_tensor(value, dtype),
        trainable=False,
        aggregation="only_first_replica",
    )
