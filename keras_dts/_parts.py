"""Runs a function over a batch part by part, in the memory of one part."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_dts.logits import Tensor, wide

# From values that train, and a part of the batch, to a row for each entry.
PartFunction = Callable[[list[Tensor], dict[str, Tensor]], Tensor]


def map_parts(
    function: PartFunction,
    trained: list[Tensor],
    batch: dict[str, Tensor],
    size: int,
    columns: int,
) -> Tensor:
    """Runs a function over a batch part by part.

    A gradient is computed part by part too: each is run once more for it, and
    nothing of the size of the function's inner values outlives a part.

    Args:
        function: From `trained` and a part to its rows, shape
            `(size, columns)`, in the dtype of `wide`. What else it uses gets
            no gradient.
        trained: Tensors that the gradient flows to, beside the batch.
        batch: Tensors of shape `(entries, ...)`. The last part is filled up
            with zeros.
        size: The number of entries in a part.
        columns: The number of values the function returns for an entry.

    Returns:
        Shape `(entries, columns)`.
    """
    entries = ops.shape(next(iter(batch.values())))[0]
    parts = {name: _cut(x, size) for name, x in batch.items()}
    if keras.config.backend() == "tensorflow":
        rows = _tensorflow_map(function, trained, parts, size, columns)
    else:
        once_more = keras.remat(lambda part: function(trained, part))
        rows = ops.map(once_more, parts)
    return ops.reshape(rows, (-1, columns))[:entries]


def fold_parts(
    function: Callable[[list[Tensor], dict[str, Tensor]], list[Tensor]],
    state: list[Tensor],
    batch: dict[str, Tensor],
    size: int,
) -> list[Tensor]:
    """Leads a state through a batch part by part, without a gradient.

    Args:
        function: From the state and a part to the next state.
        state: The first.
        batch: Tensors of shape `(entries, ...)`.
        size: The number of entries in a part; the last part may be smaller.

    Returns:
        The last state.
    """
    entries = ops.shape(next(iter(batch.values())))[0]
    whole = entries // size
    parts = {name: _cut(x[: whole * size], size) for name, x in batch.items()}

    def body(i: Any, *state: Tensor) -> list[Tensor]:
        part = {name: x[i] for name, x in parts.items()}
        return function(list(state), part)

    state = _loop(body, state, whole)
    if not isinstance(whole, int) or entries % size > 0:
        rest = {name: x[whole * size :] for name, x in batch.items()}
        state = function(state, rest)
    return state


def _loop(
    body: Callable[..., Sequence[Any]], state: Sequence[Any], times: Any
) -> list[Any]:
    """Runs `state = body(i, *state)`, one iteration after the other."""
    if keras.config.backend() != "tensorflow":
        if isinstance(times, int) and times == 0:
            return list(state)
        end = ops.fori_loop(0, times, lambda i, s: [*body(i, *s)], [*state])
        return list(end)
    tf: Any = importlib.import_module("tensorflow")

    _, *end = tf.while_loop(
        lambda i, *_: i < times,
        lambda i, *s: (i + 1, *body(i, *s)),
        (0, *state),
        parallel_iterations=1,
    )
    return list(end)


def _cut(x: Tensor, size: int) -> Tensor:
    """Cuts a tensor into parts, shape `(parts, size, ...)`."""
    rest = tuple(x.shape[1:])
    missing = -ops.shape(x)[0] % size
    if not isinstance(missing, int) or missing > 0:
        fill = ops.zeros((missing, *rest), dtype=x.dtype)
        x = ops.concatenate([x, fill], axis=0)
    return ops.reshape(x, (-1, size, *rest))


def _tensorflow_map(
    function: PartFunction,
    trained: list[Tensor],
    parts: dict[str, Tensor],
    size: int,
    columns: int,
) -> Tensor:
    """Maps on TensorFlow, whose own loops keep every part for the gradient.

    One part runs after the other, as a loop's iterations otherwise may not.
    """
    tf: Any = importlib.import_module("tensorflow")

    names = list(parts)
    count = len(trained)

    def array(many: Any, dtype: Any, shape: Any) -> Any:
        return tf.TensorArray(dtype, many, element_shape=shape)

    def run(values: list[Tensor], part: list[Tensor]) -> Tensor:
        return function(values, dict(zip(names, part, strict=True)))

    def mapped(*tensors: Tensor) -> Any:
        values, whole = list(tensors[:count]), tensors[count:]
        many = tf.shape(whole[0])[0]

        def forward(i: Any, rows: Any) -> Any:
            return (rows.write(i, run(values, [x[i] for x in whole])),)

        start = array(many, wide(), (size, columns))
        (rows,) = _loop(forward, (start,), many)

        floating = [x.dtype.is_floating for x in whole]

        def gradient(upstream: Tensor) -> Any:
            def backward(i: Any, *state: Any) -> Any:
                part = [x[i] for x in whole]
                wanted = [x for x, f in zip(part, floating, strict=True) if f]
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch([*values, *wanted])
                    out = run(values, part)
                found = tape.gradient(
                    out,
                    [*values, *wanted],
                    output_gradients=upstream[i],
                    unconnected_gradients="zero",
                )
                sums = [state[k] + found[k] for k in range(count)]
                arrays = [
                    a.write(i, g)
                    for a, g in zip(state[count:], found[count:], strict=True)
                ]
                return (*sums, *arrays)

            start = [tf.zeros_like(v) for v in values]
            start += [
                array(many, x.dtype, x.shape[1:])
                for x, f in zip(whole, floating, strict=True)
                if f
            ]
            end = _loop(backward, start, many)
            stacked = iter([a.stack() for a in end[count:]])
            rest = [next(stacked) if f else None for f in floating]
            return [*end[:count], *rest]

        return rows.stack(), gradient

    return tf.custom_gradient(mapped)(*trained, *parts.values())
