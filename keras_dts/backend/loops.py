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
