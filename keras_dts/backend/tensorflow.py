"""What TensorFlow needs beside Keras. Imported on that backend alone."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras

from keras_dts.backend.loops import repeat
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype

tf: Any = importlib.import_module("tensorflow")


class ChunkedMap:
    """Maps a function over chunks, with a gradient in the memory of one chunk.

    TensorFlow's own loops keep every chunk for the gradient. Here are two
    loops instead, of which the second one sums up the gradients. The body of
    each is compiled by XLA, if that is wanted: TensorFlow itself makes a pass
    over the memory for each operation on the logits of a chunk.

    Args:
        function: From values that train, and a chunk, to its rows.
        trained: How many values train.
        names: The names of the tensors of a chunk.
        shape: The shape of the rows, `(size, columns)`.
        jit: Whether XLA may compile the bodies of the loops.
    """

    def __init__(
        self,
        function: Callable[[list[Tensor], dict[str, Tensor]], Tensor],
        trained: int,
        names: list[str],
        shape: tuple[int, int],
        *,
        jit: bool,
    ) -> None:
        self._function = function
        self._trained = trained
        self._names = names
        self._shape = shape
        self._jit = jit and not tf.executing_eagerly()

    def __call__(self, trained: list[Tensor], chunks: list[Tensor]) -> Tensor:
        """Returns the rows of all chunks, shape `(chunks, size, columns)`.

        Args:
            trained: Tensors that the gradient flows to.
            chunks: Tensors of shape `(chunks, size, ...)`, in the order of
                the names.
        """
        return tf.custom_gradient(self._map)(*trained, *chunks)

    def _map(self, *tensors: Tensor) -> tuple[Tensor, Callable[..., Any]]:
        """Returns the rows, and what computes the gradients of `tensors`."""
        many = tf.shape(tensors[-1])[0]
        forward = self._compiled(self._rows)
        (rows,) = repeat(
            lambda i, rows: (rows.write(i, forward(self._at(tensors, i))),),
            (_array(many, loss_dtype(), self._shape),),
            many,
        )
        return rows.stack(), lambda upstream: self._gradients(tensors, upstream)

    def _gradients(
        self, tensors: tuple[Tensor, ...], upstream: Tensor
    ) -> list[Tensor | None]:
        """Returns the gradient of each tensor, `None` for integers.

        Args:
            tensors: What `_map` was given.
            upstream: The gradient of the rows.
        """
        many = tf.shape(tensors[-1])[0]
        floats = [k for k, x in enumerate(tensors) if x.dtype.is_floating]
        backward = self._compiled(self._chunk_gradients)

        def body(i: Tensor, *state: Any) -> list[Any]:
            found = backward(self._at(tensors, i), upstream[i])
            # A trained tensor sums its gradients, a chunked one keeps each.
            return [
                old + new if k < self._trained else old.write(i, new)
                for k, old, new in zip(floats, state, found, strict=True)
            ]

        start = [
            tf.zeros_like(tensors[k])
            if k < self._trained
            else _array(many, tensors[k].dtype, tensors[k].shape[1:])
            for k in floats
        ]
        gradients: list[Tensor | None] = [None] * len(tensors)
        for k, end in zip(floats, repeat(body, start, many), strict=True):
            gradients[k] = end if k < self._trained else end.stack()
        return gradients

    def _at(self, tensors: tuple[Tensor, ...], i: Tensor) -> list[Tensor]:
        """Returns the inputs of the function for one of the chunks."""
        chunk = [x[i] for x in tensors[self._trained :]]
        return [*tensors[: self._trained], *chunk]

    def _rows(self, inputs: list[Tensor]) -> Tensor:
        chunk = dict(zip(self._names, inputs[self._trained :], strict=True))
        return self._function(inputs[: self._trained], chunk)

    def _chunk_gradients(
        self, inputs: list[Tensor], upstream: Tensor
    ) -> list[Tensor]:
        """Returns the gradients of those inputs that can have one."""
        wanted = [x for x in inputs if x.dtype.is_floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(wanted)
            rows = self._rows(inputs)
        found: list[Tensor] = tape.gradient(
            rows, wanted, upstream, unconnected_gradients="zero"
        )
        return found

    def _compiled(self, body: Callable[..., Any]) -> Callable[..., Any]:
        if not self._jit:
            return body
        compiled: Callable[..., Any]
        compiled = tf.function(body, jit_compile=True, autograph=False)
        return compiled


def _array(many: Tensor, dtype: Any, element: Any) -> Any:
    return tf.TensorArray(dtype, many, element_shape=element)


def training_step(
    model: Any, data: Any, is_broken: Callable[[], Tensor]
) -> dict[str, Any]:
    """Runs the training step of `keras.Model`, without an update if need be.

    Keras's own has no place where an update could be left out, and what an
    optimizer moves takes long to copy.

    Args:
        model: A compiled `keras.Model` that has weights to train.
        data: A batch.
        is_broken: Says, when the loss is computed, whether the optimizer is to
            move nothing, a bool scalar.

    Returns:
        The logs.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    optimizer, weights = model.optimizer, model.trainable_weights
    if not optimizer.built:  # a branch can make no variables
        with tf.variable_creator_scope(_made_outside):
            optimizer.build(weights)
    with tf.GradientTape() as tape:
        y_pred = model(x, training=True)
        loss = model.compute_loss(x, y, y_pred, sample_weight, training=True)
        scaled = optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, weights)
    first = next(leaf for leaf in tf.nest.flatten(x) if leaf is not None)
    model.metrics[0].update_state(loss, sample_weight=tf.shape(first)[0])

    def update() -> None:
        optimizer.apply_gradients(zip(gradients, weights, strict=True))

    tf.cond(is_broken(), lambda: None, update)
    logs: dict[str, Any]
    logs = model.compute_metrics(x, y, y_pred, sample_weight)
    return logs


def _made_outside(
    _: Callable[..., Any], initial_value: Any, **arguments: Any
) -> Any:
    """Makes a variable that the function which is traced does not count.

    TensorFlow traces a function that makes variables a second time. What
    another thread makes is none of its own.
    """
    with tf.init_scope():
        if callable(initial_value):
            initial_value = initial_value()
        value = tf.convert_to_tensor(initial_value, arguments.get("dtype"))

    def make() -> Any:
        with tf.device(value.device):
            return tf.Variable(value, **arguments)

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(make).result()
