"""Samplers of KerasHub, whose draws follow from a seed, a step and a place."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.types import Tensor
from keras_dts.utils import require


def to_sampler(name: str, sampler: Any, **settings: Any) -> Any:
    """Returns a sampler of KerasHub.

    Args:
        name: The argument's name, for the error message.
        sampler: A `keras_hub.samplers.Sampler`, or the name of one.
        **settings: The arguments of a sampler that is given by its name.

    Raises:
        ValueError: If there is no such sampler.
    """
    samplers = require("text", f"`{name}`", "keras_hub")[0].samplers
    given = sampler
    if isinstance(sampler, str):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            sampler = samplers.get(sampler)
        if isinstance(sampler, samplers.Sampler):
            config = {**sampler.get_config(), **settings}
            sampler = type(sampler).from_config(config)
    if not isinstance(sampler, samplers.Sampler):
        raise ValueError(
            f"`{name}` must be a `keras_hub.samplers.Sampler` or the name of "
            f"one that needs no arguments, such as 'random' or 'greedy'. "
            f"Received: {name}={given!r}"
        )
    return sampler


def first_draw(step: Tensor, length: int) -> Tensor:
    """Returns the number of the first draw of a step, an int32 scalar.

    Steps have numbers of their own: each has as many as there are positions.

    Args:
        step: The training step, an integer scalar tensor.
        length: The length of the window.
    """
    return ops.cast(step, "int32") * (length + 2)


def draw(
    sampler: Any, probabilities: Tensor, seed: int, number: Tensor
) -> Tensor:
    """Draws a token for each row; the same for the same seed and number.

    Nothing that the sampler keeps moves.

    Args:
        sampler: A `keras_hub.samplers.Sampler`.
        probabilities: What its `compute_probabilities` returns, shape
            `(batch, vocabulary)`.
        seed: The seed.
        number: The number of the draw, an int32 scalar tensor.

    Returns:
        Token ids, int32, shape `(batch,)`.
    """
    generators = [
        value
        for value in vars(sampler).values()
        if isinstance(value, keras.random.SeedGenerator)
    ]
    pairs = [_pair(g, seed + i, number) for i, g in enumerate(generators)]
    with keras.StatelessScope(pairs):
        return ops.cast(sampler.get_next_token(probabilities), "int32")


def _pair(generator: Any, seed: int, number: Tensor) -> tuple[Any, Tensor]:
    """Returns the variable of a seed generator, and its value for one draw."""
    state = ops.stack([ops.full_like(number, seed), number])
    return generator.state, ops.cast(state, generator.state.dtype)


class Coin:
    """Falls for a step as it does in every run with the same seed."""

    def __init__(self) -> None:
        self._generator = keras.random.SeedGenerator(0)

    def __call__(self, seed: int, step: Tensor, share: Any) -> Tensor:
        """Returns true with a probability, a bool scalar.

        Args:
            seed: The seed.
            step: The training step, an int32 scalar tensor.
            share: The probability, a scalar.
        """
        return ops.less(self.draw(seed, step), share)

    def draw(
        self, seed: int, step: Tensor, shape: tuple[Any, ...] = ()
    ) -> Tensor:
        """Returns numbers between 0 and 1, float32.

        Args:
            seed: The seed.
            step: The training step, an int32 scalar tensor.
            shape: The shape of the result.
        """
        with keras.StatelessScope([_pair(self._generator, seed, step)]):
            return keras.random.uniform(
                shape, dtype="float32", seed=self._generator
            )


class NumberedSampler:
    """A sampler for `generate_step`, whose draws are numbered by position.

    Args:
        sampler: A `keras_hub.samplers.Sampler`.
        seed: The seed.
        number: Returns the number of the draw for a position, both int32
            scalar tensors.
    """

    def __init__(
        self, sampler: Any, seed: int, number: Callable[[Tensor], Tensor]
    ) -> None:
        self._sampler = sampler
        self._seed = seed
        self._number = number

    def __call__(self, next: Any, **options: Any) -> Tensor:
        """Writes, as the sampler does."""
        position: Tensor = None

        def noted(prompt: Tensor, cache: Any, index: Tensor) -> Any:
            nonlocal position
            position = index
            return next(prompt, cache, index)

        def get_next_token(probabilities: Tensor) -> Tensor:
            number = self._number(position)
            return draw(self._sampler, probabilities, self._seed, number)

        sampler = copy.copy(self._sampler)
        sampler.get_next_token = get_next_token
        return sampler(next=noted, **options)
