"""Text that the teacher writes."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.generation.base import Writers
from keras_dts.generation.sampled import SampledText
from keras_dts.utils import Schedule


@keras.saving.register_keras_serializable(package="keras_dts")
class TeacherText(SampledText):
    """Responses that the teacher draws: sequence-level distillation.

    The control of every comparison: prompts without responses help here too,
    and the student writes nothing.

    Args:
        share: The probability that a batch is the teacher's and not the
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
    >>> generation.TeacherText(sampler="greedy").share
    1.0

    Reference:
        Kim and Rush, Sequence-Level Knowledge Distillation, EMNLP 2016, arXiv
        1606.07947.
    """

    def __init__(
        self,
        share: float | Schedule = 1.0,
        sampler: Any = "random",
        temperature: float = 1.0,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(share, sampler, temperature, name=name)

    def writer(self, writers: Writers) -> Any:
        """Returns the teacher."""
        return writers.teacher
