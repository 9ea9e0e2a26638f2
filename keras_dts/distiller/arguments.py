"""Reads and checks the distiller's arguments."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from keras_dts.losses import KD
from keras_dts.utils import Schedule, check_function, check_weight

# How the names of Keras's layers with random augmentations begin.
_AUGMENTATIONS = ("Random", "RandAugment", "MixUp", "CutMix", "AugMix")


def check_models(
    teacher: Any, student: Any, teacher_inputs: Any, student_inputs: Any
) -> None:
    """Raises a `ValueError` unless they are two Keras models.

    Their `class_names`, which a user may have set, must not differ. What makes
    their inputs must be functions, if it is given.
    """
    for name, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, keras.Model):
            raise ValueError(
                f"`{name}` must be a `keras.Model`. Received: {model!r} of "
                f"type {type(model).__name__}"
            )
    if teacher is student:
        raise ValueError(
            "`teacher` and `student` must be two models: what a model learns "
            f"from itself is nothing. Received: {teacher.name!r} as both"
        )
    check_function("teacher_inputs", teacher_inputs)
    check_function("student_inputs", student_inputs)
    theirs, ours = (
        list(getattr(model, "class_names", None) or [])
        for model in (teacher, student)
    )
    if theirs and ours and theirs != ours:
        raise ValueError(
            "`teacher` and `student` must have the same `class_names` in the "
            f"same order. Received: {theirs} of the teacher and {ours} of the "
            "student"
        )
    if not student.trainable or (
        student.weights and not student.trainable_weights
    ):
        warnings.warn(
            f"`student` has no weights that train: {student.name!r} is frozen "
            "by `trainable=False`, and learns nothing.",
            stacklevel=3,
        )
    _warn_of_augmentation(student)


def _warn_of_augmentation(student: keras.Model) -> None:
    names = ", ".join(_augmentations(student))
    if names:
        warnings.warn(
            f"`student` augments its inputs by {names}, and learns from other "
            "inputs than its teacher answers to. Augment the data of both "
            "models instead, or give `augment` and `views` to "
            "`keras_dts.cache_teacher`.",
            stacklevel=4,
        )


def _augmentations(layer: Any) -> list[str]:
    """Returns the names of a model's layers with random augmentations."""
    found = []
    for child in getattr(layer, "layers", []):
        if type(child).__name__.startswith(_AUGMENTATIONS):
            found.append(type(child).__name__)
        found += _augmentations(child)
    return found


def to_entries(losses: Any) -> list[Any]:
    """Returns `distillation_losses` as a list with one entry a term.

    Raises:
        ValueError: If there is none.
    """
    if losses is None:
        return [KD()]
    if isinstance(losses, (list, tuple)) and len(losses) > 0:
        return [list(losses)] if None in losses else list(losses)
    if isinstance(losses, (list, tuple)):
        raise ValueError(
            "`distillation_losses` must hold at least one loss. Received: "
            f"distillation_losses={losses!r}"
        )
    return [losses]


def to_loss_weights(
    weights: Any, entries: list[Any], student_loss_weight: Any
) -> list[Any]:
    """Returns a weight, number or schedule, for each entry.

    Where no loss counts, that is a warning.

    Args:
        weights: `distillation_loss_weights`.
        entries: The `distillation_losses`.
        student_loss_weight: The weight of the labels.

    Raises:
        ValueError: If a weight is negative, or there are too many or few.
    """
    if weights is None:
        return [1.0] * len(entries)
    if not isinstance(weights, (list, tuple)):
        weights = [weights]
    if len(weights) != len(entries):
        raise ValueError(
            "`distillation_loss_weights` must have one weight for each of "
            f"the {len(entries)} `distillation_losses`. Received: "
            f"distillation_loss_weights={weights!r}"
        )
    for weight in weights:
        check_weight("distillation_loss_weights", weight)
    if all(
        not isinstance(weight, Schedule) and weight == 0
        for weight in (student_loss_weight, *weights)
    ):
        warnings.warn(
            "`student_loss_weight` and all `distillation_loss_weights` are 0: "
            "the student learns from nothing but its own penalties.",
            stacklevel=3,
        )
    return list(weights)


def to_from_logits(from_logits: Any) -> tuple[Any, Any]:
    """Returns `from_logits` for the teacher and for the student.

    Raises:
        ValueError: If it is neither "auto", a bool, nor a pair of them.
    """
    pair = from_logits
    if not isinstance(from_logits, (list, tuple)):
        pair = (from_logits, from_logits)
    if len(pair) != 2 or not all(
        p == "auto" or isinstance(p, bool) for p in pair
    ):
        raise ValueError(
            '`from_logits` must be "auto", True, False, or a pair of them '
            f"(teacher, student). Received: from_logits={from_logits!r}"
        )
    return pair[0], pair[1]


def to_metrics(
    metrics: Any, taken: list[str], losses: list[Any], *, read_logits: bool
) -> list[keras.metrics.Metric]:
    """Returns `distillation_metrics` as a list.

    Args:
        metrics: The argument.
        taken: Names that the logs use for something else.
        losses: The `distillation_losses`, for the message.
        read_logits: Whether one of them reads logits.

    Raises:
        ValueError: If it is no list of metrics, names occur twice, or no loss
            reads logits.
    """
    if metrics is None:
        return []
    if not isinstance(metrics, (list, tuple)) or not all(
        isinstance(metric, keras.metrics.Metric) for metric in metrics
    ):
        raise ValueError(
            "`distillation_metrics` must be a list of `keras.metrics.Metric`. "
            f"Received: distillation_metrics={metrics!r}"
        )
    names = [metric.name for metric in metrics]
    if len({*names, *taken}) < len(names) + len(taken):
        raise ValueError(
            "`distillation_metrics` must have names of their own, other than "
            f"{', '.join(taken)}. Received: {', '.join(names)}"
        )
    if metrics and not read_logits:
        raise ValueError(
            "`distillation_metrics` read the outputs that losses on logits "
            "read, and `distillation_losses` must hold such a loss, as "
            f"`keras_dts.losses.KD()`. Received: distillation_losses={losses}"
        )
    return list(metrics)


def weigh_metrics(options: dict[str, Any]) -> None:
    """Makes the metrics of `compile` count as the sample weights say.

    The preprocessors of language models say by weights what is padding.

    Args:
        options: The arguments of `compile`, by name.
    """
    metrics = options.get("metrics") or []
    weighted = options.get("weighted_metrics") or []
    if isinstance(metrics, list) and isinstance(weighted, list):
        options["weighted_metrics"] = [*metrics, *weighted] or None
        options["metrics"] = None
