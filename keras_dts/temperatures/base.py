"""What every temperature policy promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras

from keras_dts.logits import LogitPair
from keras_dts.types import Tensor
from keras_dts.utils import deserialized, loss_dtype

if TYPE_CHECKING:
    from keras_dts.temperatures.dynamic import DynamicTemperature

# The lowest temperature that a rule may arrive at, in its own words or by
# logits that are all equal.
FLOOR = 1e-3


class Temperatures(NamedTuple):
    """What a policy answers for one output.

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


class Temperature(keras.layers.Layer):
    """The temperature a distillation loss softens its logits with.

    Abstract. A policy is a layer, so that what it remembers is saved, and is
    seen by every backend. It implements `heads`, or only `of` where each
    output is answered by itself. With `training=False` nothing changes.
    """

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
        head = LogitPair.of_logits(teacher_logits, student_logits, labels, mask)
        return self.heads([head], training=bool(training))[0]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns nothing: temperatures have no mask."""

    def heads(
        self, heads: list[LogitPair], *, training: bool
    ) -> list[Temperatures]:
        """Returns the temperatures for all outputs of one step.

        Called once in each training step, also for models with several
        outputs, so that a policy with a state advances by one step.
        """
        return [self.of(head, training=training) for head in heads]

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Called by `keras_dts.Distiller.fit` when an epoch begins.

        Args:
            epoch: The epoch, counted from 0.
            epochs: How many the training has.
            steps: How many steps an epoch has, or `None` if nobody knows.
        """

    def observe(self, loss: Tensor) -> None:
        """Called in each training step with the loss that was softened.

        Args:
            loss: The mean of the losses that used these temperatures, a
                scalar.
        """

    # Whether each entry's answer depends on its own logits and labels alone.
    entry_by_entry = False

    @property
    def in_parts(self) -> bool:
        """Whether a batch can be asked for in parts.

        That is, whether each entry's answer depends on nothing of the batch
        but that entry's logits and labels, and the gap. Where it does,
        `begin_step` and `end_step` stand for `heads`.
        """
        return self.entry_by_entry

    def begin_step(
        self, gap: Callable[[], Tensor]
    ) -> Callable[[LogitPair], Temperatures]:
        """Begins a training step whose batch comes in parts.

        Each part is answered as if it were the batch.

        Args:
            gap: Measures the batch's gap, for which it runs over all parts:
                called only if the answers depend on it.

        Returns:
            What answers each part.
        """
        return lambda head: self.of(head, training=True)

    def end_step(self, gap: Tensor) -> None:
        """Ends a training step whose batch came in parts.

        Args:
            gap: The batch's gap.
        """

    def driven(self) -> DynamicTemperature | None:
        """Returns the `DynamicTemperature` in this policy, for `DTS`."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config: dict[str, Any] = super().get_config()
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Temperature:
        """Makes the policy that `get_config` described."""
        return cls(**deserialized(config))

    def of(self, head: LogitPair, *, training: bool) -> Temperatures:
        """Returns the temperatures for one output. Subclasses write this."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement `of` or `heads`."
        )


def add_scalar(layer: keras.layers.Layer, name: str, value: float) -> Any:
    """Gives a layer a number to remember, which is saved and not trained.

    Args:
        layer: The layer.
        name: The number's name.
        value: What it is at first.

    Returns:
        The variable, a scalar.
    """
    return layer.add_weight(
        name=name,
        shape=(),
        initializer=keras.initializers.Constant(value),
        trainable=False,
        aggregation="mean",
    )
