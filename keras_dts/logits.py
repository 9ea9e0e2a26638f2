"""How outputs become logits, labels become targets, masks become weights."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
from keras import ops

# A backend's tensor. `Any`, so that no backend is needed to check types.
Tensor = Any

# The smallest normal float32: the logarithm of a smaller one is -inf on
# backends that flush subnormal numbers to zero.
_TINY = float(np.finfo("float32").tiny)


@dataclasses.dataclass(frozen=True)
class Head:
    """One output of both models, ready for losses and temperatures.

    Args:
        teacher: The teacher's logits, float32, shape `(batch, ..., classes)`.
            No gradient flows into them.
        student: The student's logits, of the same shape.
        labels: `None`, class indices of shape `(batch, ...)`, or
            probabilities of shape `(batch, ..., classes)`.
        weights: One weight for each example or token, shape `(batch, ...)`,
            float32. Masked and padded entries weigh 0.
        same_tokens: Whether a class of the one model means what it means to
            the other, as far as their number does not say it.
        choices: `None`, or what stands for both models' logits where only
            their highest ones are asked for; see `ranked`.
    """

    teacher: Tensor
    student: Tensor
    labels: Tensor | None
    weights: Tensor
    same_tokens: bool = True
    choices: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of_logits(
        cls,
        teacher: Tensor,
        student: Tensor,
        labels: Tensor | None,
        mask: Tensor | None,
    ) -> Head:
        """Makes a head of logits, as policies and losses take them alone.

        Args:
            teacher: The teacher's logits, shape `(batch, ..., classes)`. A
                single class is the positive one of two.
            student: The student's, of the same shape.
            labels: `None`, or as for `to_labels`.
            mask: `None`, or shape `(batch, ...)`, false or 0 for entries
                that do not count.
        """
        student = ops.convert_to_tensor(student)
        if labels is not None:
            labels = to_labels(ops.convert_to_tensor(labels), student)
        teacher = ops.stop_gradient(ops.convert_to_tensor(teacher))
        teacher, student = (
            to_logits(x, from_logits=True) for x in (teacher, student)
        )
        weights = ops.ones(ops.shape(student)[:-1]) if mask is None else mask
        return cls(teacher, student, labels, ops.cast(weights, wide()))

    def mean(self, values: Tensor) -> Tensor:
        """Returns the plain mean of values over the entries that count.

        Args:
            values: One for each example or token, shape `(batch, ...)`.
        """
        return weighted_mean(values, ops.cast(self.counted, values.dtype))

    @functools.cached_property
    def counted(self) -> Tensor:
        """Which entries count, shape `(batch, ...)`: those that weigh."""
        return ops.not_equal(self.weights, 0)

    @property
    def same_classes(self) -> bool:
        """Whether the models have the same classes."""
        same: bool = self.teacher.shape[-1] == self.student.shape[-1]
        return same and self.same_tokens

    def check_same_classes(self, who: str) -> None:
        """Raises a `ValueError` unless both models have the same classes.

        Args:
            who: What compares them, for the message.
        """
        if not self.same_classes:
            theirs, ours = self.teacher.shape[-1], self.student.shape[-1]
            other = " other ones" if theirs == ours else ""
            raise ValueError(
                f"`{who}` compares the teacher and the student class by "
                "class, and needs the same classes. Received: "
                f"{theirs} of the teacher and {ours}{other} of the student"
            )

    @property
    def ranked(self) -> tuple[Tensor, Tensor]:
        """Both models' logits, to ask which class is the most probable.

        In a coarse head the sum of many classes is no choice.
        """
        return self.choices or (self.teacher, self.student)

    @property
    def has_class_indices(self) -> bool:
        """Whether there are labels, and they are class indices."""
        return self.labels is not None and len(self.labels.shape) < len(
            self.student.shape
        )

    @functools.cached_property
    def gap(self) -> Tensor:
        """How far the student is behind, in nats, at temperature 1.

        The mean of `CE(student, labels) - CE(teacher, labels)` over the
        entries that weigh something, without a gradient; 0 without labels,
        and where the models have different classes.
        """
        if self.labels is None or not self.same_classes:
            return ops.zeros((), dtype=self.student.dtype)
        return self.mean(self.behind)

    @functools.cached_property
    def behind(self) -> Tensor:
        """How far the student is behind at each entry: see `gap`.

        Shape `(batch, ...)`; 0 where `gap` is 0 for want of labels.
        """
        if self.labels is None or not self.same_classes:
            return ops.zeros_like(self.weights)
        student = ops.stop_gradient(self.student)
        return cross_entropy(student, self.labels) - cross_entropy(
            self.teacher, self.labels
        )


def wide() -> str:
    """Returns the dtype that losses are computed in.

    At least float32, whatever the models compute in.
    """
    return "float64" if keras.config.floatx() == "float64" else "float32"


def promote(outputs: Tensor) -> Tensor:
    """Casts a model's outputs to the dtype that losses are computed in."""
    return ops.cast(outputs, wide())


def safe_sqrt(x: Tensor) -> Tensor:
    """Returns the square root of what is not negative, flat at 0.

    The root's own gradient is infinite there.
    """
    positive = ops.greater(x, 0.0)
    return ops.where(positive, ops.sqrt(ops.where(positive, x, 1.0)), 0.0)


def deviation(logits: Tensor) -> Tensor:
    """Returns the unbiased standard deviation over the classes.

    Args:
        logits: Shape `(batch, ..., classes)`.

    Returns:
        Shape `(batch, ...)`.
    """
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    freedom = max(logits.shape[-1] - 1, 1)
    return safe_sqrt(ops.sum(centred * centred, axis=-1) / freedom)


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
    outputs = promote(outputs)
    if from_logits:
        if outputs.shape[-1] == 1:
            return ops.concatenate([ops.zeros_like(outputs), outputs], axis=-1)
        return outputs
    if outputs.shape[-1] == 1:
        outputs = ops.concatenate([1 - outputs, outputs], axis=-1)
    return ops.log(ops.maximum(outputs, _TINY))


def are_indices(labels: Tensor, outputs: Tensor) -> bool:
    """Says whether labels are class indices, and not probabilities.

    Args:
        labels: Class indices of shape `(batch, ...)` or `(batch, ..., 1)`,
            or one-hot or soft labels of shape `(batch, ..., classes)`.
        outputs: The model's output, shape `(batch, ..., classes)`.

    Raises:
        ValueError: If the shape of `labels` fits neither.
    """
    entries, shape = outputs.shape[:-1], _shape(labels)
    if _same(shape, entries) or _same(shape, (*entries, 1)):
        return True
    if _same(shape, outputs.shape):
        return False
    raise ValueError(
        f"`y` must hold class indices of shape {show(entries)} or one-hot "
        f"labels of shape {show(outputs.shape)}, to fit the student's output. "
        f"Received: y.shape={show(shape) if shape else 'unknown'}"
    )


def to_labels(labels: Tensor, outputs: Tensor) -> Tensor:
    """Returns class indices or probabilities that fit a model's output.

    Args:
        labels: As for `are_indices`.
        outputs: The model's output, shape `(batch, ..., classes)`.

    Returns:
        Class indices, int32, of shape `(batch, ...)`, or probabilities, of
        shape `(batch, ..., max(classes, 2))`.
    """
    if not are_indices(labels, outputs):
        return ops.cast(labels, wide())
    if len(labels.shape) == len(outputs.shape):
        labels = ops.squeeze(labels, axis=-1)
    if outputs.shape[-1] > 1:
        return ops.cast(labels, "int32")
    positive = ops.cast(labels, wide())
    return ops.stack([1 - positive, positive], axis=-1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Computes the cross entropy of logits with labels.

    Args:
        logits: Shape `(batch, ..., classes)`.
        labels: Class indices of shape `(batch, ...)`, or probabilities of
            the shape of `logits`.

    Returns:
        One value for each example or token, in nats, shape `(batch, ...)`.
    """
    log_probs = ops.log_softmax(logits, axis=-1)
    if len(labels.shape) == len(logits.shape):
        return -ops.sum(labels * log_probs, axis=-1)
    index = ops.expand_dims(labels, axis=-1)  # (batch, ..., 1)
    return -ops.squeeze(ops.take_along_axis(log_probs, index, axis=-1), axis=-1)


def read_labels(
    labels: Tensor, outputs: Tensor, ignore: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Reads one output's labels, so that bad ones can do no harm.

    Args:
        labels: As for `to_labels`.
        outputs: The student's output, shape `(batch, ..., classes)`.
        ignore: A class index that means "no label", or `None`.

    Returns:
        The labels as `to_labels` gives them, with 0 for an index that names
        no class; which entries hold such an index, shape `(batch, ...)`; and
        which hold `ignore`, of the same shape.
    """
    read = to_labels(labels, outputs)
    if len(read.shape) == len(outputs.shape):
        nothing = ops.zeros(ops.shape(outputs)[:-1], dtype="bool")
        return read, nothing, nothing
    bad = ops.logical_or(
        ops.less(read, 0), ops.greater_equal(read, outputs.shape[-1])
    )
    ignored = ops.equal(read, -1 if ignore is None else ignore)
    if ignore is None:
        ignored = ops.zeros_like(bad)
    safe = ops.where(bad, 0, read)
    return safe, ops.logical_and(bad, ops.logical_not(ignored)), ignored


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Reduces values to `sum(weight * value) / count(weight != 0)`.

    Entries of weight 0 count nowhere, whatever their value. With weights of
    0 and 1 this is the mean over the entries that count, so that padding
    changes nothing. Where no entry counts the result is 0.

    Args:
        values: Shape `(batch, ...)`.
        weights: Of the same shape.

    Returns:
        A scalar.
    """
    counts = ops.not_equal(weights, 0)
    total = ops.sum(ops.where(counts, values * weights, 0.0))
    count = ops.sum(ops.cast(counts, values.dtype))
    return total / ops.maximum(count, 1.0)


@keras.saving.register_keras_serializable(package="keras_dts")
class EntryWeights(keras.layers.Layer):
    """Turns sample weights and Keras's mask into one weight per entry.

    A layer, because layers are what Keras hands its masks to.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype=wide(), autocast=False, **kwargs)
        self.supports_masking = True

    def call(
        self,
        outputs: Tensor,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        outputs_mask: Tensor | None = None,
    ) -> Tensor:
        """Returns weights of shape `(batch, ...)` for `(batch, ..., classes)`.

        Keras fills in `mask` when there is one tensor argument and
        `outputs_mask` when there are two.
        """
        weights = ops.ones(ops.shape(outputs)[:-1], dtype=wide())
        mask = outputs_mask if mask is None else mask
        if mask is not None:
            weights = weights * ops.cast(mask, wide())
        if sample_weight is not None:
            weights = weights * align(sample_weight, weights)
        return weights


@keras.saving.register_keras_serializable(package="keras_dts")
class TokenMask(keras.layers.Layer):
    """Makes tokens of weight 0 masked ones, which Keras's losses leave out.

    A weight alone would leave them in the number that a loss divides by, so
    that padding would change it. A layer, because layers are what Keras takes
    masks from.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype=wide(), autocast=False, **kwargs)
        self.supports_masking = True

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Returns the outputs, the first of `(outputs, weights)`."""
        return ops.copy(inputs[0])

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Tensor:
        """Returns which tokens count, shape `(batch, ...)`."""
        outputs, weights = inputs
        entries = ops.zeros(ops.shape(outputs)[:-1], dtype=wide())
        counted = ops.not_equal(align(weights, entries), 0)
        before = previous_mask and previous_mask[0]
        if before is None:
            return counted
        return ops.logical_and(counted, ops.cast(before, "bool"))


def check_sample_weight(sample_weight: Tensor, wanted: Any) -> None:
    """Raises unless `sample_weight` has a value for each entry.

    Args:
        sample_weight: The user's weights.
        wanted: The shape of the entries, `(batch, ...)`.

    Raises:
        ValueError: If it has not.
    """
    shape, wanted = _shape(sample_weight), tuple(wanted)
    extra = shape[len(wanted) :]
    if any(n != 1 for n in extra) or not _same(
        shape[: len(wanted)], wanted[: len(shape)]
    ):
        raise ValueError(
            "`sample_weight` must have one value for each example or token, "
            f"shape {show(wanted)}. Received: "
            f"sample_weight.shape={show(shape)}"
        )


def align(sample_weight: Tensor, entries: Tensor) -> Tensor:
    """Gives `sample_weight` the rank of `entries`, so that it broadcasts."""
    check_sample_weight(sample_weight, entries.shape)
    sample_weight = ops.cast(sample_weight, wide())
    while len(sample_weight.shape) > len(entries.shape):
        sample_weight = ops.squeeze(sample_weight, axis=-1)
    while len(sample_weight.shape) < len(entries.shape):
        sample_weight = ops.expand_dims(sample_weight, axis=-1)
    return sample_weight


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


def _producer(model: keras.Model, output: Any) -> Any:
    for layer in reversed(model.layers):
        try:
            if any(output is o for o in keras.tree.flatten(layer.output)):
                return layer
        except (AttributeError, ValueError):
            continue  # a layer used more than once has no single output
    # A nested model's `output` is not what it gave here.
    return model.layers[-1] if len(model.outputs) == 1 else None


def _shape(x: Tensor) -> tuple[Any, ...]:
    """Returns a static shape; an empty one if its rank is unknown."""
    try:
        return tuple(x.shape)
    except ValueError:  # what TensorFlow raises
        return ()


def _same(shape: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(shape) == len(other) and all(
        a is None or b is None or a == b
        for a, b in zip(shape, other, strict=True)
    )


def show(shape: Any) -> str:
    """Shows a shape whose first size is the batch's."""
    sizes = ["batch", *("?" if n is None else str(n) for n in shape[1:])]
    return "(" + ", ".join(sizes) + ("," if len(sizes) == 1 else "") + ")"
