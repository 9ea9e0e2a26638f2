"""Loops that compile, on every backend."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops


def repeat(
    body: Callable[..., Sequence[Any]], state: Sequence[Any], times: Any
) -> list[Any]:
    """Runs `state = body(i, *state)`, one iteration after the other.

    Args:
        body: From the number of the iteration and the state to the next
            state.
        state: The first state.
        times: How many iterations, an integer or a scalar.

    Returns:
        The last state.
    """
    if keras.config.backend() == "tensorflow":
        return _tensorflow_repeat(body, state, times)
    if isinstance(times, int) and times == 0:
        return list(state)
    end = ops.fori_loop(0, times, lambda i, s: [*body(i, *s)], [*state])
    return list(end)


def assign_repeatedly(
    function: Callable[[Any], None], variables: Sequence[Any], times: int
) -> None:
    """Runs a function that assigns variables, one time after the other.

    Args:
        function: From the number of the iteration; assigns these variables,
            and no others.
        variables: The variables.
        times: How many iterations.
    """
    backend = keras.config.backend()
    if backend == "torch":
        for i in range(times):
            function(i)
    elif backend == "tensorflow":

        def run(i: Any) -> Sequence[Any]:
            function(i)
            return ()

        _tensorflow_repeat(run, (), times)
    else:
        # An iteration may not assign, but in a scope of its own.
        def iterate(i: Any, *values: Any) -> Sequence[Any]:
            pairs = zip(variables, values, strict=True)
            with keras.StatelessScope(list(pairs)) as scope:
                function(i)
                return [scope.get_current_value(v) for v in variables]

        values = repeat(iterate, [v.value for v in variables], times)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _tensorflow_repeat(
    body: Callable[..., Sequence[Any]], state: Sequence[Any], times: Any
) -> list[Any]:
    """Repeats on TensorFlow, where Keras's loop cannot hold a TensorArray."""
    tf: Any = importlib.import_module("tensorflow")
    _, *end = tf.while_loop(
        lambda i, *_: i < times,
        lambda i, *s: (i + 1, *body(i, *s)),
        (0, *state),
        parallel_iterations=1,
    )
    return list(end)
