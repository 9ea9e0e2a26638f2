"""Text that one model writes alone, token by token."""

from __future__ import annotations

import abc
from typing import Any

from keras import ops

from keras_dts.generation.base import Text, Writers, Written
from keras_dts.generation.sampling import (
    NumberedSampler,
    first_draw,
    to_sampler,
)
from keras_dts.types import Tensor
from keras_dts.utils import Schedule, check_number, serialize


class SampledText(Text):
    """Abstract: text that one model draws token by token.

    Args:
        share: As for `Text`.
        sampler: A `keras_hub.samplers.Sampler`, or the name of one.
        temperature: The temperature of a sampler that is given by its name.
        name: The name of the layer.
    """

    def __init__(
        self,
        share: float | Schedule,
        sampler: Any,
        temperature: float,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(share, name=name)
        check_number("temperature", temperature, above=0.0)
        self.sampler = to_sampler("sampler", sampler, temperature=temperature)
        self.temperature = temperature

    @abc.abstractmethod
    def writer(self, writers: Writers) -> Any:
        """Returns the model that writes."""

    def write(
        self,
        prompts: Tensor,
        prompt_mask: Tensor,
        step: Tensor,
        writers: Writers,
    ) -> Written:
        """Writes a response behind each prompt; see `Text.write`."""
        first = ops.min(ops.sum(ops.cast(prompt_mask, "int32"), axis=-1))
        begin = first_draw(step, prompts.shape[1]) - first
        sampler = NumberedSampler(
            self.sampler, writers.seed, lambda position: begin + position
        )
        model = self.writer(writers)
        before, model.sampler = model.sampler, sampler
        try:
            made = model.generate_step(
                {"token_ids": prompts, "padding_mask": prompt_mask},
                writers.stop_token_ids,
            )
        finally:
            model.sampler = before
        mask = ops.cast(made["padding_mask"], "bool")
        return Written(ops.where(mask, made["token_ids"], prompts), mask)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialized."""
        settings = {"sampler": self.sampler, "temperature": self.temperature}
        return {**super().get_config(), **serialize(settings)}
