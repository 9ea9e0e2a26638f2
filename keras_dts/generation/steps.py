"""What a training step learns from: the data's text, or one that is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.backend import compiled, no_gradient
from keras_dts.distiller import pairs_in, values_in
from keras_dts.generation.adapter import WANTED, check_responses
from keras_dts.generation.base import Text, Writers, Written
from keras_dts.generation.packing import (
    PROMPT_MASK,
    are_stops,
    model_inputs,
    next_tokens,
    prompts_alone,
)
from keras_dts.types import Tensor, WrittenLabels

# What a step logs of its text.
LOGGED = ("student_text", "response_length", "stopped")


class TextSteps:
    """Passes the batches of a training through a text.

    Args:
        distiller: The distiller, whose variables a step's state holds.
        text: What writes responses.
    """

    def __init__(self, distiller: keras.Model, text: Text) -> None:
        self._distiller = distiller
        self._text = text
        # The compiled function of `write`, and what it was compiled for.
        self._writing: tuple[Any, Callable[..., Any] | None] = (None, None)

    def __call__(self, *args: Any, writers: Writers) -> tuple[Any, ...]:
        """Decides which text a step learns from, and writes it if need be.

        Args:
            *args: The batch; on JAX, the state and the batch.
            writers: The models, the stop tokens and the seed.

        Returns:
            The arguments of the distiller's own step, with `WrittenLabels`
            for `y`.

        Raises:
            ValueError: If the batch is not of prompts, or has no responses
                although the step may need them.
        """
        *state, data = args
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        _mask_of_prompts(x)
        check_responses(self._text, y)
        scope: Any = contextlib.nullcontext()
        if state:
            scope = keras.StatelessScope(pairs_in(self._distiller, state[0]))
        with scope, no_gradient():
            batch = self._batch(x, y, sample_weight, writers)
        if state and self._text.variables:
            state = [values_in(scope, self._distiller)]
        return (*state, batch)

    def write(self, x: Any, step: int, writers: Writers) -> Written:
        """Writes responses for a batch, by a function that is compiled once.

        Args:
            x: The `x` of a batch.
            step: The training step.
            writers: The models, the stop tokens and the seed.

        Returns:
            `Written`, of NumPy arrays.
        """
        variables = self._distiller.variables
        compiled_for = [*map(id, variables), writers]
        known, function = self._writing
        if function is None or known != compiled_for:
            jit = bool(getattr(self._distiller, "jit_compile", False))
            function = compiled(
                lambda ids, mask, at: self._text.write(ids, mask, at, writers),
                variables,
                jit=jit,
            )
            self._writing = compiled_for, function
        of_prompt = ops.cast(_mask_of_prompts(x), "bool")
        ids = ops.cast(x["token_ids"], "int32")
        prompts = prompts_alone(ids, of_prompt, writers.stop_token_ids or ())
        found = function(prompts, of_prompt, ops.convert_to_tensor(step))
        return Written(*map(ops.convert_to_numpy, found))

    def _batch(
        self, x: Any, y: Any, sample_weight: Any, writers: Writers
    ) -> tuple[Any, ...]:
        """Returns the batch that a step learns from."""
        of_prompt = ops.cast(x[PROMPT_MASK], "bool")
        given = _given(x, y, sample_weight, of_prompt)
        step = ops.cast(self._distiller.optimizer.iterations, "int32")
        stops = writers.stop_token_ids or ()
        prompts = prompts_alone(given[0], of_prompt, stops)

        def write() -> list[Tensor]:
            with self._branch():
                ids, mask = self._text.write(prompts, of_prompt, step, writers)
            ids, mask = ops.cast(ids, "int32"), ops.cast(mask, "bool")
            return [ids, mask, *next_tokens(ids, mask, of_prompt)]

        chosen, written = self._text.choose(given, write, step, writers.seed)
        ids, mask, labels, weights = chosen
        x = {**model_inputs(x), "token_ids": ids, "padding_mask": mask}
        logged = _logged(written, labels, weights, stops)
        return x, WrittenLabels(labels, written, logged), weights

    def _branch(self) -> Any:
        """Returns a scope for what a branch assigns, which is dropped.

        On JAX it would leave the branch, as a tracer.
        """
        if keras.config.backend() != "jax":
            return contextlib.nullcontext()
        distiller = self._distiller
        variables = [*distiller.variables, *distiller.optimizer.variables]
        return keras.StatelessScope([(v, v.value) for v in variables])


def _given(
    x: Any, y: Any, sample_weight: Any, of_prompt: Tensor
) -> list[Tensor]:
    """Returns the data's tokens, padding mask, labels and weights."""
    ids = ops.cast(x["token_ids"], "int32")
    mask = ops.cast(x["padding_mask"], "bool")
    labels, weights = next_tokens(ids, mask, of_prompt)
    if y is not None:
        labels = ops.cast(y, "int32")
    if sample_weight is not None:
        weights = ops.cast(sample_weight, "float32")
    return [ids, mask, labels, weights]


def _logged(
    written: Any, labels: Tensor, weights: Tensor, stops: Any
) -> dict[str, Tensor]:
    """Returns what a step logs of its text, scalars by name."""
    of_response = ops.not_equal(weights, 0)  # what counts is of responses
    ends = ops.logical_and(are_stops(labels, stops), of_response)
    ends = ops.any(ends, axis=-1)  # (batch,)
    lengths = ops.sum(ops.cast(of_response, "float32"), axis=-1)
    own = ops.zeros(()) if written is None else ops.cast(written, "float32")
    values = (own, ops.mean(lengths), ops.mean(ops.cast(ends, "float32")))
    return dict(zip(LOGGED, values, strict=True))


def _mask_of_prompts(x: Any) -> Any:
    """Returns the mask of a batch's prompts, or raises if it has none."""
    if isinstance(x, dict) and PROMPT_MASK in x:
        return x[PROMPT_MASK]
    named = f"the keys {sorted(x)}" if isinstance(x, dict) else str(type(x))
    raise ValueError(f"{WANTED} Received: {named}")
