"""Text that the student writes."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.generation.base import Writers
from keras_dts.generation.sampled import SampledText
from keras_dts.utils import Schedule


@keras.saving.register_keras_serializable(package="keras_dts")
class StudentText(SampledText):
    """Responses that the student draws, for generalized knowledge distillation.

    Args:
        share: The probability that a batch is the student's and not the
            data's: a number in `[0, 1]`, or a schedule over steps or epochs.
        sampler: A `keras_hub.samplers.Sampler`, or the name of one.
        temperature: What divides the logits for a sampler that is given by
            its name.
        name: The name of the layer.

    Raises:
        ImportError: If KerasHub is missing.
        ValueError: If an argument is out of its range.

    Example:
    >>> from keras_dts import generation
    >>> generation.StudentText(share=0.5).share
    0.5

    Reference:
        Agarwal et al., On-Policy Distillation of Language Models, ICLR 2024,
        arXiv 2306.13649, algorithm 1.
    """

    def __init__(
        self,
        share: float | Schedule = 0.5,
        sampler: Any = "random",
        temperature: float = 0.9,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(share, sampler, temperature, name=name)

    def writer(self, writers: Writers) -> Any:
        """Returns the student."""
        return writers.student
