"""LATF: only the tokens that the student finds hardest count."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.temperatures.base import add_scalar
from keras_dts.types import Tensor
from keras_dts.utils import check_number, loss_dtype

# The share of the old mean in the new one, as published.
_DECAY = 0.99


@keras.saving.register_keras_serializable(package="keras_dts")
class TokenFocus(keras.layers.Layer):
    """Chooses the hardest tokens: fewer while the loss falls (AdaKD's LATF).

    Of the batch's `n` tokens that count, the `max(1, floor(ratio * n))`
    hardest are chosen. In a warm-up the ratio is 1. The moving mean of the
    distillation loss at the first step after the warm-up is the reference. In
    each step that follows, the moving mean is compared with it: if it is more
    than `tolerance` below it, the ratio shrinks by the factor `1 - change`, if
    it is more than that above, the ratio grows by `1 + change`, up to 1; the
    moving mean is then the new reference.

    For `TokenDifficultyTemperature(focus=...)`. `keras_dts.Distiller.fit`
    tells it how long the training is, and each step what the loss was.

    Args:
        tolerance: The part of the reference that the loss may move, in
            `[0, 1)`.
        change: The part by which the ratio changes, in `[0, 1)`.
        minimum: The lowest ratio, in `(0, 1]`.
        warmup: The part of the training's steps before the ratio moves, in
            `[0, 1]`.

    Raises:
        ValueError: If a value is out of its range; from `fit`, if nobody
            knows how many steps an epoch has.

    Example:
    >>> import keras_dts
    >>> focus = keras_dts.temperatures.TokenFocus(warmup=0.0)
    >>> for loss in (4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0):
    ...     focus.observe(loss)
    >>> round(float(focus.ratio), 4)  # The moving mean fell by 5 % once.
    0.95

    Reference:
        LLM-Oriented Token-Adaptive Knowledge Distillation,
        arXiv 2510.11615, 2025.
    """

    def __init__(
        self,
        tolerance: float = 0.05,
        change: float = 0.05,
        minimum: float = 0.1,
        warmup: float = 0.05,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", loss_dtype())
        super().__init__(autocast=False, **kwargs)
        check_number("tolerance", tolerance, low=0.0, below=1.0)
        check_number("change", change, low=0.0, below=1.0)
        check_number("minimum", minimum, above=0.0, high=1.0)
        check_number("warmup", warmup, low=0.0, high=1.0)
        self.tolerance = tolerance
        self.change = change
        self.minimum = minimum
        self.warmup = warmup
        self.ratio = add_scalar(self, "ratio", 1.0)
        self.average = add_scalar(self, "average", 0.0)
        self.reference = add_scalar(self, "reference", 0.0)
        self.step = add_scalar(self, "step", 0.0)
        self.warmup_steps = add_scalar(self, "warmup_steps", 0.0)
        self.built = True

    def choose(
        self, difficulty: Tensor, counted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Chooses the hardest tokens.

        Args:
            difficulty: One value per token, at least 0, shape `(tokens,)`.
            counted: Which tokens count, of the same shape.

        Returns:
            Which tokens are chosen, of the same shape, and their share of
            those that count.
        """
        count = ops.sum(ops.cast(counted, "int32"))
        chosen = ops.floor(self.ratio * ops.cast(count, self.compute_dtype))
        chosen = ops.maximum(ops.cast(chosen, "int32"), 1)
        hardest = ops.argsort(ops.where(counted, -difficulty, 1.0))
        rank = ops.argsort(hardest)
        share = ops.cast(chosen, self.compute_dtype) / ops.cast(
            ops.maximum(count, 1), self.compute_dtype
        )
        return ops.logical_and(counted, ops.less(rank, chosen)), share

    def begin_epoch(self, epochs: int, steps: int | None) -> None:
        """Says how long the training is.

        Raises:
            ValueError: If nobody knows how many steps an epoch has, and the
                warm-up is a part of them.
        """
        if steps is None and self.warmup > 0:
            raise ValueError(
                "`warmup` is a part of all steps, and the data do not tell "
                "how many an epoch has. Give `steps_per_epoch` to `fit`, or "
                f"`TokenFocus(warmup=0.0)`. Received: warmup={self.warmup}, "
                "steps_per_epoch=None"
            )
        self.warmup_steps.assign(self.warmup * epochs * (steps or 0))

    def observe(self, loss: Tensor) -> None:
        """Moves the ratio.

        Args:
            loss: The step's mean loss over the chosen tokens, a scalar.
        """
        loss = ops.stop_gradient(ops.cast(loss, self.compute_dtype))
        average = ops.where(
            ops.greater(self.step, 0.0),
            _DECAY * self.average + (1.0 - _DECAY) * loss,
            loss,
        )
        # `step` is the number of steps before this one, which sets the
        # reference even if it is the first one after the warm-up.
        sets_reference = ops.less_equal(self.step, self.warmup_steps)
        reference = ops.where(sets_reference, average, self.reference.value)
        room = self.tolerance * ops.abs(reference)
        rose = ops.greater(average, reference + room)
        fell = ops.less(average, reference - room)
        ratio = self.ratio.value
        ratio = ops.where(rose, ratio * (1.0 + self.change), ratio)
        ratio = ops.where(fell, ratio * (1.0 - self.change), ratio)
        moved = ops.logical_or(rose, fell)
        self.step.assign(self.step + 1.0)
        self.average.assign(average)
        self.reference.assign(ops.where(moved, average, reference))
        self.ratio.assign(ops.clip(ratio, self.minimum, 1.0))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "tolerance": self.tolerance,
            "change": self.change,
            "minimum": self.minimum,
            "warmup": self.warmup,
        }
