"""Runs a function over a batch part by part, in the memory of one part."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype

# From values that train, and a part of the batch, to a row for each entry.
PartFunction = Callable[[list[Tensor], dict[str, Tensor]], Tensor]


def map_parts(
    function: PartFunction,
    trained: list[Tensor],
    batch: dict[str, Tensor],
    size: int,
    columns: int,
    *,
    jit: bool,
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
        jit: Whether TensorFlow may compile a part by XLA where it does not
            compile the whole step.

    Returns:
        Shape `(entries, columns)`.
    """
    entries = ops.shape(next(iter(batch.values())))[0]
    parts = {name: _cut(x, size) for name, x in batch.items()}
    if keras.config.backend() == "tensorflow":
        rows = _tensorflow_map(
            function, trained, parts, (size, columns), jit=jit
        )
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
    shape: tuple[int, int],
    *,
    jit: bool,
) -> Tensor:
    """Maps on TensorFlow, whose own loops keep every part for the gradient.

    Two loops instead, of which the second one sums up the gradients. What
    they repeat is compiled by XLA, if that is wanted: TensorFlow itself makes
    a pass over the memory for each operation on the logits of a part.
    """
    tf: Any = importlib.import_module("tensorflow")
    count = len(trained)

    def compiled(body: Any) -> Any:
        if not jit or tf.executing_eagerly():
            return body
        return tf.function(body, jit_compile=True, autograph=False)

    def at(tensors: Any, i: Any) -> list[Tensor]:
        """Returns the inputs of the function for one of the parts."""
        return [*tensors[:count], *[x[i] for x in tensors[count:]]]

    def run(inputs: list[Tensor]) -> Tensor:
        part = dict(zip(parts, inputs[count:], strict=True))
        return function(inputs[:count], part)

    def gradients(inputs: list[Tensor], upstream: Tensor) -> list[Tensor]:
        """Returns the gradients of the inputs that can have one."""
        wanted = [x for x in inputs if x.dtype.is_floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(wanted)
            rows = run(inputs)
        found: list[Tensor] = tape.gradient(
            rows, wanted, upstream, unconnected_gradients="zero"
        )
        return found

    def array(many: Any, dtype: Any, element: Any) -> Any:
        return tf.TensorArray(dtype, many, element_shape=element)

    def mapped(*tensors: Tensor) -> Any:
        many = tf.shape(tensors[-1])[0]
        forward, backward = compiled(run), compiled(gradients)
        (rows,) = _loop(
            lambda i, rows: (rows.write(i, forward(at(tensors, i))),),
            (array(many, loss_dtype(), shape),),
            many,
        )
        floats = [k for k, x in enumerate(tensors) if x.dtype.is_floating]

        def gradient(upstream: Tensor) -> Any:
            def body(i: Any, *state: Any) -> list[Any]:
                found = backward(at(tensors, i), upstream[i])
                return [
                    old + new if k < count else old.write(i, new)
                    for k, old, new in zip(floats, state, found, strict=True)
                ]

            start = [
                tf.zeros_like(x)
                if k < count
                else array(many, x.dtype, x.shape[1:])
                for k, x in enumerate(tensors)
                if k in floats
            ]
            end = dict(zip(floats, _loop(body, start, many), strict=True))
            return [
                end[k].stack() if k in floats and k >= count else end.get(k)
                for k in range(len(tensors))
            ]

        return rows.stack(), gradient

    return tf.custom_gradient(mapped)(*trained, *parts.values())
