"""What a student learns from a pair of texts, of which one is preferred."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.generation.mending import log_prob_of
from keras_dts.generation.packing import next_tokens
from keras_dts.types import Tensor
from keras_dts.utils import to_loss_dtype


def response_log_probs(
    model: Any,
    token_ids: Tensor,
    padding_mask: Tensor,
    prompt_mask: Tensor,
    *,
    training: bool = False,
) -> Tensor:
    """Returns log probabilities of responses, in nats, shape `(batch,)`.

    Args:
        model: A causal language model of KerasHub.
        token_ids: Prompts and responses, shape `(batch, length)`.
        padding_mask: Whether a position is of the text, bool, shape
            `(batch, length)`.
        prompt_mask: Whether it is of the prompt, bool, shape
            `(batch, length)`.
        training: Whether the model's dropout is on.
    """
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    logits = to_loss_dtype(model(inputs, training=training))
    labels, weights = next_tokens(token_ids, padding_mask, prompt_mask)
    log_probs = log_prob_of(logits, labels[..., None])[..., 0]
    return ops.sum(ops.where(weights > 0, log_probs, 0.0), axis=-1)


def preference_loss(
    gain: Tensor, reference_gain: Tensor, beta: float
) -> Tensor:
    """Computes the loss of direct preference optimization, for each pair.

    ```
    -log sigmoid(beta * (gain - reference_gain))
    ```

    Args:
        gain: By how much the student finds the preferred text more probable
            than the other one, in nats, shape `(batch,)`.
        reference_gain: The same of the student as it was.
        beta: How far the student may move, larger for less.

    Returns:
        The loss, in nats, shape `(batch,)`.
    """
    return ops.softplus(-beta * (gain - reference_gain))


class PairTrainer(keras.Model):
    """Trains a student on pairs of a mended and an original text.

    Its inputs are `mended_ids`, `mended_mask`, `original_ids`,
    `original_mask` and `prompt_mask`, of shape `(batch, length)` each, and
    `reference_gain`, of shape `(batch,)`.

    Args:
        student: The student.
        objective: `"sft"`, `"dpo"`, or both, whose losses are added.
        beta: As for `preference_loss`.
    """

    def __init__(
        self, student: keras.Model, objective: tuple[str, ...], beta: float
    ) -> None:
        super().__init__()
        self.student = student
        self._beta = beta
        self._means = {
            name: keras.metrics.Mean(name=name) for name in objective
        }
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Returns log probabilities of both texts, shape `(2, batch)`."""
        ids, mask, prompts = (
            ops.concatenate([inputs[name] for name in names], axis=0)
            for names in (
                ("mended_ids", "original_ids"),
                ("mended_mask", "original_mask"),
                ("prompt_mask", "prompt_mask"),
            )
        )
        log_probs = response_log_probs(
            self.student, ids, mask, prompts, training=training
        )
        return ops.reshape(log_probs, (2, -1))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the sum of the losses, means over tokens and over pairs."""
        del y, sample_weight, training
        losses = {"sft": self._label_loss, "dpo": self._preference_loss}
        total = ops.zeros(())
        for name, mean in self._means.items():
            loss = losses[name](x, y_pred)
            mean.update_state(loss)
            total = total + loss
        return total

    def _label_loss(self, x: Any, log_probs: Tensor) -> Tensor:
        """Computes the mean cross entropy of the tokens of mended texts."""
        of_response = ops.logical_and(
            x["mended_mask"], ops.logical_not(x["prompt_mask"])
        )
        tokens = ops.sum(ops.cast(of_response, "float32"))
        return -ops.sum(log_probs[0]) / ops.maximum(tokens, 1.0)

    def _preference_loss(self, x: Any, log_probs: Tensor) -> Tensor:
        """Computes the mean loss of the pairs whose texts differ."""
        differ = ops.any(x["mended_ids"] != x["original_ids"], axis=-1)
        losses = preference_loss(
            log_probs[0] - log_probs[1], x["reference_gain"], self._beta
        )
        pairs = ops.sum(ops.cast(differ, "float32"))
        total = ops.sum(ops.where(differ, losses, 0.0))
        return total / ops.maximum(pairs, 1.0)
