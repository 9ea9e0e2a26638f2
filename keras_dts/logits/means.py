"""Scalars of a step, reduced over its entries, and over all replicas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from keras import ops

from keras_dts.backend import fast, joined_replicas, total
from keras_dts.logits.faults import Faults
from keras_dts.types import Tensor
from keras_dts.utils import to_loss_dtype


class Column(NamedTuple):
    """Values whose mean is wanted, see `weighted_mean`.

    Attributes:
        values: Shape `(batch, ...)`; or a scalar, of which each replica has
            its own.
        weights: Of the same shape, or `None` where every entry weighs 1.
    """

    values: Tensor
    weights: Tensor | None


class Sums(NamedTuple):
    """What a replica adds to a mean: its sum, and by what all sums divide."""

    summed: Tensor
    count: Tensor


# What has a mean. A scalar alone is the same on each replica, and its mean.
Part = Column | Sums | Tensor


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Reduces values to `sum(weight * value) / count(weight != 0)`.

    Entries of weight 0 count nowhere, whatever their value. With weights of 0
    and 1 this is the mean over the entries that count, so that padding changes
    nothing. Where no entry counts the result is 0.

    In a training step that replicas share, the mean is over the entries of all
    of them, and its gradient is that of this replica's part.

    Args:
        values: Shape `(batch, ...)`.
        weights: Of the same shape, or `None` where every entry weighs 1.

    Returns:
        A scalar.
    """
    return means([[Column(values, weights)]])[0][0]


def means(groups: Sequence[Sequence[Part]]) -> list[list[Tensor]]:
    """Reduces several means; replicas exchange one message for all.

    Args:
        groups: What to reduce.

    Returns:
        A scalar for each part, in groups as the parts are.
    """
    if joined_replicas() > 1:
        return means_and_faults(groups, lambda suspect: {})[0]
    return [[_mean(part) for part in group] for group in groups]


def settled(parts: Sequence[Part]) -> list[Part]:
    """Reduces parts at once where no other replica adds to their means."""
    if joined_replicas() > 1:
        return list(parts)
    return [_mean(part) for part in parts]


def means_and_faults(
    groups: Sequence[Sequence[Part]], look: Callable[[Tensor], Faults]
) -> tuple[list[list[Tensor]], Faults]:
    """Reduces means of replicas and joins their faults, in one message.

    Args:
        groups: What to reduce.
        look: Returns what is wrong on this replica. It takes whether one of
            its sums is not finite, a bool scalar.

    Returns:
        As `means`, and what is wrong on some replica.
    """
    sums = [_sums(p) for group in groups for p in group if _is_shared(p)]
    message = [x for pair in sums for x in pair]
    suspect = ops.logical_not(ops.isfinite(sum(message, ops.zeros(()))))
    faults = look(suspect)
    flags = [
        ops.cast(ops.convert_to_tensor(flag, "bool"), "float32")
        for flag in faults.values()
    ]
    if not message + flags:
        return [[*group] for group in groups], {}
    everywhere = total(ops.stack([*message, *flags]))
    shared = iter(
        _mean_of_all(pair, everywhere[2 * i], everywhere[2 * i + 1])
        for i, pair in enumerate(sums)
    )
    found = [
        [next(shared) if _is_shared(part) else part for part in group]
        for group in groups
    ]
    joined = {
        name: ops.greater(everywhere[len(message) + i], 0)
        for i, name in enumerate(faults)
    }
    return found, joined


def sum_and_count(values: Tensor, weights: Tensor | None) -> Sums:
    """Returns `sum(weight * value)` and `count(weight != 0)`, scalars.

    Args:
        values: Shape `(batch, ...)`.
        weights: Of the same shape, or `None` where every entry weighs 1.
    """
    if weights is None:
        return Sums(ops.sum(values), ops.sum(ops.ones_like(values)))
    counts = ops.not_equal(weights, 0)
    weighted = ops.where(counts, values * weights, 0.0)
    return Sums(ops.sum(weighted), ops.sum(ops.cast(counts, values.dtype)))


def added(values: Sequence[Tensor]) -> Tensor:
    """Sums scalars; the sum of none is 0."""
    if not values:
        return ops.zeros(())
    first, *others = values
    return sum(others, first)


def averaged(values: Sequence[Tensor]) -> Tensor:
    """Returns the mean of scalars; that of none is 0."""
    return added(values) / len(values) if len(values) > 1 else added(values)


def _mean(part: Part) -> Tensor:
    """Returns a mean over what this replica has."""
    if isinstance(part, Column):
        values, weights = part
        if weights is None:
            return fast.mean(values) if len(values.shape) > 0 else values
        part = sum_and_count(values, weights)
    if isinstance(part, Sums):
        return part.summed / ops.maximum(part.count, 1.0)
    return part


def _mean_of_all(part: Sums, summed: Tensor, count: Tensor) -> Tensor:
    """Returns a mean over all replicas, with the gradient of one's part.

    Replicas divide the gradients of a step by their number, so that each part
    counts that often.

    Args:
        part: This replica's.
        summed: The sum of the replicas' sums, the same on each to the last bit.
        count: The sum of their counts.
    """
    count = ops.where(count > 0, count, 1.0)  # weights may sum to little
    mine = joined_replicas() * part.summed / count
    return ops.stop_gradient(summed / count) + (mine - ops.stop_gradient(mine))


def _sums(part: Part) -> Sums:
    pair = sum_and_count(*part) if isinstance(part, Column) else part
    return Sums(*map(to_loss_dtype, pair))


def _is_shared(part: Part) -> bool:
    return isinstance(part, Column | Sums)
