"""A term of losses on logits."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.distiller.terms.base import Term
from keras_dts.losses import LogitDistillation
from keras_dts.utils import per_output_strictly


class LogitTerm(Term):
    """Losses on logits: one for all outputs, or one for each.

    Args:
        losses: A loss, or a list or dictionary of losses shaped like the
            models' outputs, with `None` for an output to skip.
    """

    def __init__(self, losses: Any) -> None:
        super().__init__(name="logit_term")
        # In a tuple, so that Keras does not wrap the user's list.
        self._wrapped = (losses,)
        found = [x for x in keras.tree.flatten(losses) if x is not None]
        self.losses_on_logits = tuple(found)
        self.policies = [x.temperature for x in found if x.temperature]

    def outputs_read(self, outputs: Any) -> list[LogitDistillation | None]:
        """Returns the loss for each of the outputs."""
        (losses,) = self._wrapped
        return per_output_strictly(losses, outputs, "distillation_losses")
