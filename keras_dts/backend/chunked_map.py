"""Maps a function over a batch chunk by chunk, in the memory of one chunk."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from keras_dts.backend.loops import repeat
from keras_dts.types import Tensor

# From values that train, and a chunk of the batch, to a row for each entry.
ChunkFunction = Callable[[list[Tensor], dict[str, Tensor]], Tensor]


def map_chunks(
    function: ChunkFunction,
    trained: list[Tensor],
    batch: dict[str, Tensor],
    size: int,
    columns: int,
    *,
    jit: bool,
) -> Tensor:
    """Maps a function over a batch chunk by chunk.

    A gradient is computed chunk by chunk too: each chunk is computed once
    more for it, and nothing of the size of the function's inner values
    outlives a chunk.

    Args:
        function: From `trained` and a chunk to its rows, shape
            `(size, columns)`, in the dtype of losses. What else it uses gets
            no gradient.
        trained: Tensors that the gradient flows to, beside the batch.
        batch: Tensors of shape `(entries, ...)`. The last chunk is filled up
            with zeros.
        size: The number of entries in a chunk.
        columns: The number of values the function returns for an entry.
        jit: Whether TensorFlow may compile a chunk by XLA where it does not
            compile the whole step.

    Returns:
        Shape `(entries, columns)`.
    """
    entries = ops.shape(next(iter(batch.values())))[0]
    chunks = {name: _cut(x, size) for name, x in batch.items()}
    if keras.config.backend() == "tensorflow":
        from keras_dts.backend.tensorflow import ChunkedMap

        mapped = ChunkedMap(
            function, len(trained), list(chunks), (size, columns), jit=jit
        )
        rows = mapped(trained, list(chunks.values()))
    else:
        once_more = keras.remat(lambda chunk: function(trained, chunk))
        rows = ops.map(once_more, chunks)  # (chunks, size, columns)
    return ops.reshape(rows, (-1, columns))[:entries]


def fold_chunks(
    function: Callable[[list[Tensor], dict[str, Tensor]], list[Tensor]],
    state: list[Tensor],
    batch: dict[str, Tensor],
    size: int,
) -> list[Tensor]:
    """Leads a state through a batch chunk by chunk, without a gradient.

    Args:
        function: From the state and a chunk to the next state.
        state: The first state.
        batch: Tensors of shape `(entries, ...)`.
        size: The number of entries in a chunk; the last one may be smaller.

    Returns:
        The last state.
    """
    entries = ops.shape(next(iter(batch.values())))[0]
    whole = entries // size
    chunks = {name: _cut(x[: whole * size], size) for name, x in batch.items()}

    def body(i: Tensor, *state: Tensor) -> list[Tensor]:
        return function(list(state), {name: x[i] for name, x in chunks.items()})

    state = repeat(body, state, whole)
    if not isinstance(whole, int) or entries % size > 0:
        rest = {name: x[whole * size :] for name, x in batch.items()}
        state = function(state, rest)
    return state


def _cut(x: Tensor, size: int) -> Tensor:
    """Cuts a tensor into chunks, shape `(chunks, size, ...)`."""
    rest = tuple(x.shape[1:])
    missing = -ops.shape(x)[0] % size
    if not isinstance(missing, int) or missing > 0:
        fill = ops.zeros((missing, *rest), dtype=x.dtype)
        x = ops.concatenate([x, fill], axis=0)  # (chunks * size, ...)
    return ops.reshape(x, (-1, size, *rest))
