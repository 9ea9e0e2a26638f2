"""The interface of texts: who writes what a student learns from."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.generation.sampling import Coin
from keras_dts.types import Tensor
from keras_dts.utils import (
    EpochSchedule,
    Schedule,
    ScheduleClock,
    check_weight,
    deserialize,
    serialize,
)


class Writers(NamedTuple):
    """The models that may write, and what `Text.write` needs beside them.

    Attributes:
        teacher: The teacher, a causal language model of KerasHub.
        student: The student, likewise, with the same tokens.
        stop_token_ids: The tokens that end a response, or `None` for
            responses that fill the window.
        seed: What every draw follows from, beside the step.

    Example:
    >>> from keras_dts import generation
    >>> generation.Writers(None, None, stop_token_ids=(1, 2), seed=0).seed
    0
    """

    teacher: Any
    student: Any
    stop_token_ids: tuple[int, ...] | None
    seed: int


class Written(NamedTuple):
    """Prompts with the responses that were written for them.

    Attributes:
        token_ids: The tokens, int32, shape `(batch, length)`.
        padding_mask: Whether a position is of the prompt or of the response,
            whose stop token is its last token; bool, shape `(batch, length)`.

    Example:
    >>> from keras_dts import generation
    >>> generation.Written([[7, 8, 1]], [[True, True, False]]).token_ids
    [[7, 8, 1]]
    """

    token_ids: Tensor
    padding_mask: Tensor


class Text(keras.layers.Layer, abc.ABC):
    """Abstract: what writes the responses that a student learns from.

    A subclass overrides `write`, and `get_config` if its constructor has more
    arguments. It is a layer, so that a text may have weights, which belong to
    the state of a training.

    Args:
        share: The probability that a batch's responses are written and not
            the data's: a number in `[0, 1]`, or a schedule over steps or
            epochs.
        name: The name of the layer.

    Raises:
        ValueError: If `share` is out of its range.

    Example:
    >>> from keras import ops
    >>> from keras_dts import generation
    >>> class Repeated(generation.Text):
    ...     def write(self, prompts, prompt_mask, step, writers):
    ...         token_ids = ops.where(prompt_mask, prompts, prompts[:, :1])
    ...         return generation.Written(token_ids, ops.ones_like(prompt_mask))
    >>> Repeated(share=0.25).share
    0.25
    """

    def __init__(
        self, share: float | Schedule = 1.0, *, name: str | None = None
    ) -> None:
        super().__init__(name=name, autocast=False)
        check_weight("share", share, high=1.0)
        self.share = share
        by_epoch = isinstance(share, EpochSchedule)
        self.coin = Coin()
        self.clock = ScheduleClock(self, [share] if by_epoch else [])
        self.built = True

    @abc.abstractmethod
    def write(
        self,
        prompts: Tensor,
        prompt_mask: Tensor,
        step: Tensor,
        writers: Writers,
    ) -> Written:
        """Writes a response behind each prompt.

        A pure function of its arguments and of the models' weights: it assigns
        nothing, has no gradient, and runs models with `training=False`. On
        JAX and TensorFlow it is traced, inside a branch.

        Args:
            prompts: Token ids, int32, shape `(batch, length)`. A prompt
                begins at position 0 and has at least one token; behind it
                stands a token that is no stop token.
            prompt_mask: Whether a position is of the prompt, bool, shape
                `(batch, length)`.
            step: The training step, an int32 scalar tensor. Draws follow from
                it and `writers.seed`.
            writers: The models, the stop tokens and the seed.

        Returns:
            `Written`: the prompts as they were, with a response directly
            behind each. Where `padding_mask` is false, the tokens are those of
            `prompts`.
        """

    def check(self, writers: Writers) -> None:
        """Raises a `ValueError` if these models cannot write this text."""

    def build_for(self, student: keras.Model) -> None:
        """Makes what depends on the student: in most texts, nothing.

        Args:
            student: A causal language model of KerasHub.
        """

    @property
    def needs_validation(self) -> bool:
        """Whether `fit` must validate."""
        return False

    def choose(
        self,
        given: list[Tensor],
        write: Callable[[], list[Tensor]],
        step: Tensor,
        seed: int,
    ) -> tuple[list[Tensor], Tensor | None]:
        """Decides what a step learns from: the data's text, or a written one.

        Args:
            given: The data's tokens, padding mask, labels and weights, shape
                `(batch, length)` each.
            write: Writes a text for the same prompts, and returns the same of
                it; at most in one branch.
            step: The training step, an int32 scalar tensor.
            seed: What a choice follows from, beside the step.

        Returns:
            The chosen text, and whether a model wrote it: a bool scalar, or
            `None` where no step writes.
        """
        if self.always_writes:
            return write(), ops.convert_to_tensor(True)
        if self.never_writes:
            return given, None
        written = self.coin(seed + 1, step, self.share_at(step))
        return list(ops.cond(written, write, lambda: given)), written

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Begins an epoch of a training.

        Args:
            epoch: The epoch, counted from 0.
            epochs: How many epochs the training has.
            steps: How many steps an epoch has, or `None` if it is not known.
        """

    def validated(self, loss: float) -> None:
        """Takes the loss of a validation.

        Args:
            loss: The student's loss, in nats a token.
        """

    @property
    def always_writes(self) -> bool:
        """Whether no step uses the responses of the data."""
        return not isinstance(self.share, Schedule) and self.share == 1.0

    @property
    def never_writes(self) -> bool:
        """Whether each step uses the responses of the data."""
        return not isinstance(self.share, Schedule) and self.share == 0.0

    def share_at(self, step: Tensor) -> Any:
        """Returns the share of written batches in a step, a scalar.

        Args:
            step: The training step, an integer scalar tensor.
        """
        if not isinstance(self.share, Schedule):
            return self.share
        if isinstance(self.share, EpochSchedule):
            self.clock.begin_step()
            return self.clock.value(self.share)
        return ops.clip(self.share(step), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialized."""
        return {"name": self.name, "share": serialize(self.share)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Text:
        """Makes the text that `get_config` described."""
        return cls(**{k: deserialize(v) for k, v in config.items()})
