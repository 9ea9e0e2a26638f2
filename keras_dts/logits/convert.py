"""Converts a model's outputs to logits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.types import Tensor
from keras_dts.utils import to_loss_dtype

# The smallest normal float32: the logarithm of a smaller one is -inf on
# backends that flush subnormal numbers to zero.
_TINY = float(np.finfo("float32").tiny)


def to_logits(outputs: Tensor, *, from_logits: bool) -> Tensor:
    """Returns the logits of a model's output.

    Args:
        outputs: Logits or probabilities, shape `(batch, ..., classes)`. A
            single class is the positive one of two.
        from_logits: Whether `outputs` are logits.

    Returns:
        Logits, float32 or wider, with at least two classes. The logarithm of
        probabilities is such a set of logits: softened, it gives the same
        distributions.
    """
    outputs = to_loss_dtype(outputs)
    if from_logits:
        if outputs.shape[-1] == 1:
            return ops.concatenate([ops.zeros_like(outputs), outputs], axis=-1)
        return outputs
    if outputs.shape[-1] == 1:
        outputs = ops.concatenate([1 - outputs, outputs], axis=-1)
    return ops.log(ops.maximum(outputs, _TINY))


def to_stored_logits(outputs: Tensor, *, from_logits: bool) -> Tensor:
    """Returns logits of the shape of a model's output, as a cache stores them.

    Args:
        outputs: Logits or probabilities, shape `(batch, ..., classes)`.
        from_logits: Whether `outputs` are logits.

    Returns:
        Logits of the shape of `outputs`, float32 or wider; of a single
        probability its log odds.
    """
    outputs = to_loss_dtype(outputs)
    if from_logits:
        return outputs
    log_probs = ops.log(ops.maximum(outputs, _TINY))
    if outputs.shape[-1] > 1:
        return log_probs
    return log_probs - ops.log(ops.maximum(1.0 - outputs, _TINY))


def from_stored_logits(logits: Tensor, *, from_logits: bool) -> Tensor:
    """Returns a model's output: the inverse of `to_stored_logits`.

    Args:
        logits: What `to_stored_logits` returned.
        from_logits: Whether the model's output is logits.

    Returns:
        The output, float32 or wider.
    """
    logits = to_loss_dtype(logits)
    if from_logits:
        return logits
    if logits.shape[-1] > 1:
        return ops.exp(logits)
    return ops.sigmoid(logits)


def gives_logits(model: keras.Model, index: int, said: bool | str) -> bool:
    """Says whether an output of a model is to be read as logits.

    Args:
        model: A built Keras model.
        index: Which output, in the order of `keras.tree.flatten`.
        said: What the user says; `"auto"` looks.

    Raises:
        ValueError: As `gives_probabilities` does.
    """
    return (
        not gives_probabilities(model, index) if said == "auto" else bool(said)
    )


def gives_probabilities(model: keras.Model, index: int) -> bool:
    """Says whether an output of a model ends in a softmax.

    What cannot be recognised, in a subclassed model above all, counts as
    logits. A single unit that ends in a sigmoid counts as a softmax.

    Args:
        model: A built Keras model.
        index: Which output, in the order of `keras.tree.flatten`.

    Raises:
        ValueError: If the output is a row of sigmoids: labels that may all
            be true have no distribution to soften.
    """
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return False
    output = outputs[index]
    layer = _producer(model, output)
    if isinstance(layer, keras.Model):
        return len(layer.outputs) == 1 and gives_probabilities(layer, 0)
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.sigmoid:
        if output.shape[-1] > 1:
            raise ValueError(
                f"The output {layer.name!r} of {model.name!r} is a row of "
                f"{output.shape[-1]} sigmoids, which is no distribution over "
                "classes to soften. Skip it with `None` in "
                "`distillation_losses`, or use another loss for it."
            )
        return True
    return isinstance(layer, keras.layers.Softmax) or (
        activation is keras.activations.softmax
    )


def _producer(model: keras.Model, output: Any) -> Any:
    for layer in reversed(model.layers):
        try:
            if any(output is o for o in keras.tree.flatten(layer.output)):
                return layer
        except (AttributeError, ValueError):
            continue  # a layer used more than once has no single output
    # A nested model's `output` is not what it gave here.
    return model.layers[-1] if len(model.outputs) == 1 else None
