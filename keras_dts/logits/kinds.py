"""What the outputs of a model are: logits or probabilities, told or found out.

The layer that makes an output tells it in most models. Where it does not, as
behind a reshape, a cast or an average of models, the model runs once on
numbers of chance: rows that are not negative and add up to 1 are no accident.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_dts.backend import fast
from keras_dts.types import Tensor
from keras_dts.utils import symbolic_input, to_loss_dtype

# Rows of the numbers of chance. The later ones are larger, so that logits
# leave what probabilities cannot.
_ROWS = 8
# The length of an axis that may have any.
_LENGTH = 8
# How far the sum of a row of probabilities may be from 1, in half precision.
TOLERANCE = 1e-2

# What rounding leaves no room for: small probabilities of many classes, and
# those near 1 where the other class is what is missing to 1.
_LOST = {"float16": "float16, where those below 6e-8 are 0"}
_LOST_OF_ONE = {
    "float16": "float16, where those above 0.9998 are 1",
    "bfloat16": "bfloat16, where those above 0.998 are 1",
}

# What was found out, by model.
_FOUND: weakref.WeakKeyDictionary[keras.Model, tuple[OutputKind, ...]] = (
    weakref.WeakKeyDictionary()
)


class OutputKind(NamedTuple):
    """What one output of a model is.

    Attributes:
        is_logits: Whether it is logits, and not probabilities.
        independent: Whether it is a row of labels that may all be true, each
            a distribution of its own.
        source: `"told"` by the model, `"said"` by the user, or `"guessed"`:
            what nobody knows counts as logits of classes.
    """

    is_logits: bool = True
    independent: bool = False
    source: str = "guessed"

    @property
    def is_checked(self) -> bool:
        """Whether each batch is searched for values that contradict it."""
        return self.source != "told" and not self.independent


def output_kind(model: keras.Model, index: int) -> OutputKind:
    """Returns what an output of a model is.

    Args:
        model: A Keras model. Unless it was built, nothing is known.
        index: Which output, in the order of `keras.tree.flatten`.
    """
    told = _told(model, index)
    if told is not None:
        return told
    found = _FOUND.get(model)
    return OutputKind() if found is None else found[index]


def gives_logits(model: keras.Model, index: int, said: bool | str) -> bool:
    """Says whether an output of a model is to be read as logits.

    Args:
        model: A built Keras model.
        index: Which output, in the order of `keras.tree.flatten`.
        said: What the user says; `"auto"` looks.

    Raises:
        ValueError: If the output is a row of labels that may all be true,
            which is no distribution over classes.
    """
    if said != "auto":
        return bool(said)
    kind = output_kind(model, index)
    if kind.independent:
        labels = model.outputs[index].shape[-1]
        raise ValueError(
            f"The output {index} of {model.name!r} must be a distribution "
            f"over classes. Received: a row of {labels} sigmoids, which is no "
            "distribution over classes but one for each label"
        )
    return kind.is_logits


def find_output_kinds(model: keras.Model, said: bool | str) -> None:
    """Finds out what the outputs are that a model's layers do not tell.

    `output_kind` knows it from then on. It runs the model, once, which must
    not happen inside a compiled function.

    Args:
        model: A Keras model. Nothing is found for one that does not say which
            inputs it takes.
        said: What the user says. Only with `"auto"` there is something to
            find out.
    """
    outputs = getattr(model, "outputs", None) or ()
    unknown = (
        output_kind(model, i).source == "guessed" for i in range(len(outputs))
    )
    if said != "auto" or not any(unknown):
        return
    try:
        answers = model(_numbers_of_chance(model), training=False)
    except Exception:  # what fails on such numbers may do with others
        return
    flat = keras.tree.flatten(answers)
    _FOUND[model] = tuple(
        _kind_of(ops.convert_to_numpy(ops.cast(x, "float32"))) for x in flat
    )


def contradicts(output: Tensor, kind: OutputKind) -> Tensor:
    """Says whether values are not of the kind that an output is taken for.

    Logits whose every row is a distribution are probabilities; probabilities
    whose rows are none are logits. Of a single unit, only what is outside of
    0 to 1 is told apart.

    Args:
        output: A model's output, shape `(batch, ..., classes)`.
        kind: What it is taken for.

    Returns:
        Bool, a scalar.
    """
    output = to_loss_dtype(output)
    first = output[..., 0]
    if output.shape[-1] == 1:
        outside = fast.any_((first < 0) | (first > 1 + TOLERANCE))
        return fast.zeros_like(outside) if kind.is_logits else outside
    sums = fast.sum_(output, -1)
    rows = (ops.abs(sums - 1) < TOLERANCE) & (first >= 0)
    everywhere = ~fast.any_(~rows)
    return everywhere if kind.is_logits else ~everywhere


def lost_probabilities(output: Any, kind: OutputKind) -> str | None:
    """Says which probabilities an output of half precision does not have.

    Args:
        output: A model's output, symbolic or not.
        kind: What it is.

    Returns:
        The dtype and what is lost in it; `None` where nothing is that a loss
        would miss.
    """
    if kind.is_logits:
        return None
    dtype = keras.backend.standardize_dtype(output.dtype)
    alone = kind.independent or output.shape[-1] == 1
    return (_LOST_OF_ONE if alone else _LOST).get(dtype)


def _told(model: keras.Model, index: int) -> OutputKind | None:
    """Returns what the layer that makes an output tells, or `None`."""
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return None
    layer = _producer(model, outputs[index])
    if isinstance(layer, keras.Model):
        one = len(getattr(layer, "outputs", None) or ()) == 1
        return _told(layer, 0) if one else None
    activation = getattr(layer, "activation", None)
    if isinstance(layer, keras.layers.Softmax) or (
        activation is keras.activations.softmax
    ):
        return OutputKind(is_logits=False, source="told")
    if activation is keras.activations.sigmoid:
        several = outputs[index].shape[-1] != 1
        return OutputKind(False, several, "told")
    projects = hasattr(layer, "kernel") or hasattr(layer, "reverse_embeddings")
    if projects and activation in (None, keras.activations.linear):
        return OutputKind(source="told")
    return None


def _producer(model: keras.Model, output: Any) -> Any:
    """Returns the layer or operation that makes an output, if it is known."""
    operations = getattr(model, "operations", model.layers)
    for operation in reversed(operations):
        try:
            if any(output is o for o in keras.tree.flatten(operation.output)):
                return operation
        except (AttributeError, ValueError):
            continue  # what is used more than once has no single output
    # A nested model's `output` is not what it gave here.
    return operations[-1] if len(model.outputs) == 1 else None


def _numbers_of_chance(model: keras.Model) -> Any:
    """Returns a batch of inputs for a model."""
    rng = np.random.default_rng(0)

    def numbers(tensor: Any) -> np.ndarray:
        _, *sizes = tensor.shape
        shape = [_ROWS, *(size or _LENGTH for size in sizes)]
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        if "float" not in dtype:
            return np.ones(shape, dtype)
        scales = 4.0 ** np.arange(_ROWS).reshape(-1, *(1 for _ in sizes))
        return (rng.normal(size=shape) * scales).astype("float32")

    return keras.tree.map_structure(numbers, symbolic_input(model))


def _kind_of(answers: np.ndarray) -> OutputKind:
    """Returns what an output is, by its values for numbers of chance."""
    if not np.isfinite(answers).all():
        return OutputKind()
    lowest, highest = answers.min(), answers.max()
    if lowest < 0 or highest > 1 + TOLERANCE:
        return OutputKind(source="told")
    if answers.shape[-1] > 1:
        sums = answers.sum(axis=-1)
        if np.all(np.abs(sums - 1) < TOLERANCE):
            return OutputKind(is_logits=False, source="told")
        return OutputKind()
    # A single unit whose answer is always the same may be either.
    return OutputKind(bool(lowest == highest), source="told")
