"""The state of a step on JAX: the variables, as Keras groups them in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def groups_of(distiller: Any) -> Iterator[list[Any]]:
    """Yields the variables of a training step's state, group by group.

    Those that train, those that do not, the optimizer's, the metrics'.

    Args:
        distiller: A `keras_dts.Distiller`.
    """
    yield distiller.trainable_variables
    yield distiller.non_trainable_variables
    optimizer = distiller.optimizer
    yield optimizer.variables if optimizer else []
    yield distiller.metrics_variables


def values_in(scope: Any, distiller: Any) -> tuple[list[Any], ...]:
    """Returns the state that a scope leaves behind.

    Args:
        scope: A `keras.StatelessScope` around all variables of the state.
        distiller: A `keras_dts.Distiller`.
    """
    return tuple(
        [scope.get_current_value(v) for v in group]
        for group in groups_of(distiller)
    )


def pairs_in(
    distiller: Any, state: Iterable[Iterable[Any]]
) -> list[tuple[Any, Any]]:
    """Returns variables with the values that a state has for them.

    Args:
        distiller: A `keras_dts.Distiller`.
        state: The values of all groups, or of the first ones.
    """
    return [
        pair
        for values, variables in zip(state, groups_of(distiller), strict=False)
        for pair in zip(variables, values, strict=True)
    ]
