"""The distiller of language models that learn from text of their own."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import keras

from keras_dts.distiller import Distiller
from keras_dts.generation.adapter import PromptAdapter
from keras_dts.generation.base import Text, Writers, Written
from keras_dts.generation.checks import (
    check_models,
    check_seed,
    check_stop_tokens,
    check_text,
    stop_tokens,
)
from keras_dts.generation.driver import TextDriver
from keras_dts.generation.packing import model_inputs
from keras_dts.generation.steps import LOGGED, TextSteps
from keras_dts.generation.student_text import StudentText
from keras_dts.losses import GeneralizedJSD
from keras_dts.utils import Schedule, check_count, deserialize, serialize


@keras.saving.register_keras_serializable(package="keras_dts")
class OnPolicyDistiller(Distiller):
    """Trains a language model on text that the models write while it trains.

    A `keras_dts.Distiller` of causal language models of KerasHub, whose
    batches pass through `text` first. It decides for each batch whether the
    student learns from the responses of the data, or from responses that are
    written for the same prompts in this very step. Then the teacher reads the
    text, and everything else is the distiller's. The loss on labels is left
    out where a model wrote them; the distillation losses keep their weight.

    `fit` takes `x={"prompts": [...], "responses": [...]}`: lists of strings or
    of token ids, or a `tf.data.Dataset` of batches of such strings. Labels and
    weights follow from them, and only tokens of responses count. Where every
    step writes (`share=1.0`), prompts suffice. `x` may also be ready:
    `token_ids`, `padding_mask` and `prompt_mask`, shape `(batch, length)` each.
    `evaluate` and `validation_data` use the responses of the data.

    `fit` logs beside what the distiller logs: `student_text`, the share of
    batches that a model wrote; and of all batches `response_length`, in tokens,
    and `stopped`, the share of responses that end with a stop token.

    What is written follows from `seed` and the step alone, so that a training
    that was stopped goes on as if it had not been. The student's dropout is on
    in training, as ever, and off while it writes (docs/own_text.md).

    Args:
        teacher: A trained causal language model of KerasHub.
        student: The one to train, with the same tokens.
        distillation_losses: As for `keras_dts.Distiller`. Defaults to
            `keras_dts.losses.GeneralizedJSD(0.5, temperature=1.0)`.
        distillation_loss_weights: As for `keras_dts.Distiller`.
        student_loss_weight: As for `keras_dts.Distiller`. Defaults to 0.
        name: The name of this model.
        text: A `keras_dts.generation.Text`. Defaults to
            `keras_dts.generation.StudentText(share=0.5)`.
        stop_token_ids: The token ids that end a response; `"auto"` for the end
            tokens of the student's tokenizer; `None` for responses that fill
            the window.
        seed: An integer that what is written follows from.
        max_prompt_length: How many tokens of a longer prompt are kept, the
            last ones, without the start token; `None` for as many as the
            window has. A prompt that fills the window gets no response.
        **kwargs: Passed on to `keras_dts.Distiller`.

    Raises:
        ValueError: If an argument is out of its range, or the models are no
            causal language models of KerasHub with the same tokens.

    Example:
    >>> import keras_dts
    >>> import keras_hub
    >>> teacher, student = (
    ...     keras_hub.models.GPT2CausalLM(
    ...         keras_hub.models.GPT2Backbone(
    ...             vocabulary_size=20,
    ...             num_layers=1,
    ...             num_heads=1,
    ...             hidden_dim=4,
    ...             intermediate_dim=4,
    ...             max_sequence_length=8,
    ...         )
    ...     )
    ...     for _ in range(2)
    ... )
    >>> distiller = keras_dts.OnPolicyDistiller(
    ...     teacher,
    ...     student,
    ...     text=keras_dts.generation.StudentText(share=0.25),
    ...     stop_token_ids=None,  # these have no tokenizer
    ... )
    >>> distiller.step_logs
    ('student_text', 'response_length', 'stopped')

    Reference:
        Agarwal et al., On-Policy Distillation of Language Models, ICLR 2024,
        arXiv 2306.13649.
    """

    step_logs = LOGGED

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        distillation_losses: Any = None,
        distillation_loss_weights: Any = None,
        student_loss_weight: float | Schedule = 0.0,
        name: str = "on_policy_distiller",
        *,
        text: Text | None = None,
        stop_token_ids: Any = "auto",
        seed: int = 0,
        max_prompt_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_models(teacher, student)
        if max_prompt_length is not None:
            check_count("max_prompt_length", max_prompt_length)
        text = check_text(StudentText() if text is None else text)
        if distillation_losses is None:
            distillation_losses = GeneralizedJSD(0.5, temperature=1.0)
        super().__init__(
            teacher,
            student,
            distillation_losses,
            distillation_loss_weights,
            student_loss_weight,
            name,
            teacher_inputs=model_inputs,
            student_inputs=model_inputs,
            **kwargs,
        )
        self.text = text
        self.stop_token_ids = check_stop_tokens(stop_token_ids, student)
        self.seed = check_seed(seed)
        self.max_prompt_length = max_prompt_length
        text.check(self.writers)
        self.fit_data.add_first(
            PromptAdapter(teacher, student, text, max_prompt_length)
        )
        self.objective.add_clock(text.clock)
        self._text_steps = TextSteps(self, text)
        text.build_for(student)

    @property
    def plain_config(self) -> dict[str, Any]:
        """The arguments of the constructor that hold no models and losses."""
        return {
            **super().plain_config,
            "text": serialize(self.text),
            "stop_token_ids": self.stop_token_ids,
            "seed": self.seed,
            "max_prompt_length": self.max_prompt_length,
        }

    @property
    def writers(self) -> Writers:
        """The models that write, the stop tokens and the seed."""
        stops = stop_tokens(self.stop_token_ids, self.student)
        return Writers(self.teacher, self.student, stops, self.seed)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains the student; see `keras.Model.fit`."""
        bound = inspect.signature(super().fit).bind(*args, **kwargs)
        given = keras.tree.flatten(bound.arguments.get("callbacks"))
        bound.arguments["callbacks"] = [TextDriver(self.text), *given]
        return super().fit(*bound.args, **bound.kwargs)

    def write(self, x: Any, step: int = 0) -> Written:
        """Writes responses for a batch of prompts, as a training step would.

        Args:
            x: Prompts, as for `fit`.
            step: The training step, which the draws follow from.

        Returns:
            `Written`, of NumPy arrays.
        """
        options = {"x": x}
        self.fit_data.for_prediction_batch(options)
        return self._text_steps.write(options["x"], step, self.writers)

    def train_step(self, *args: Any) -> Any:
        """Writes a text if need be; the rest is the distiller's own step."""
        args = self._text_steps(*args, writers=self.writers)
        return super().train_step(*args)

    def test_step(self, *args: Any) -> Any:
        """Evaluates the student on the responses of the data."""
        if keras.utils.unpack_x_y_sample_weight(args[-1])[1] is None:
            raise ValueError(
                "`x` must have `responses` in an evaluation, which does not "
                "write any. Received: prompts alone"
            )
        return super().test_step(*args)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialized."""
        config = super().get_config()
        own = ("teacher_inputs", "student_inputs")  # what this class sets
        return {k: v for k, v in config.items() if k not in own}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> OnPolicyDistiller:
        """Makes the distiller that `get_config` described."""
        made = {k: deserialize(v, custom_objects) for k, v in config.items()}
        return cls(**made)
