"""OKD: a teacher that is frozen but for small modules, which learn too."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from keras_dts.hub import is_causal
from keras_dts.logits import Distribution, LogitPair, cross_entropy, kl
from keras_dts.temperatures import StepContext
from keras_dts.types import Tensor
from keras_dts.utils import (
    Untracked,
    check_count,
    check_number,
    deserialize,
    serialize,
)

# What KerasHub calls the weights of its low-rank modules.
_MODULE = "lora_"


@keras.saving.register_keras_serializable(package="keras_dts")
class OnlineTeacher(keras.Model):
    """A frozen teacher with small modules that learn with its student (OKD).

    ```
    loss of the modules = CE(teacher, labels) + weight * KL(student, teacher)
    ```

    Give it to `keras_dts.Distiller` as `teacher`. Before each training step
    the modules take one step of an optimizer of their own, so that the teacher
    comes a little towards its student; tokens of weight 0 do not count. The
    student learns from what the teacher said before. Nothing is generated.

    The modules are the low-rank ones of KerasHub's `Backbone.enable_lora`, in
    a copy of the teacher. Their second factor is 0 at first, so that the
    teacher begins as it was, and its own weights never move. `save_weights`
    of the distiller, which checkpoints call, keeps the modules and their
    optimizer; `save` keeps them merged into the weights of the copy.

    A named reconstruction: the paper has no code, and leaves open the modules,
    their place, the losses and the rates.

    Args:
        teacher: A trained causal language model of KerasHub.
        rank: The rank of the modules, at least 1.
        weight: The weight of the divergence from the student, at least 0.
        optimizer: The name of a Keras optimizer.
        rate: The learning rate of the modules. Positive.
        name: The name of this model.

    Raises:
        ValueError: If the teacher is no causal language model of KerasHub, or
            a value is out of its range. From `fit`, without labels, from a
            cache, or if the student's tokens are others.

    Example:
    >>> import keras_dts
    >>> import keras_hub
    >>> teacher = keras_hub.models.GPT2CausalLM(
    ...     keras_hub.models.GPT2Backbone(
    ...         vocabulary_size=20,
    ...         num_layers=1,
    ...         num_heads=1,
    ...         hidden_dim=4,
    ...         intermediate_dim=4,
    ...         max_sequence_length=8,
    ...     )
    ... )
    >>> online = keras_dts.OnlineTeacher(teacher, rank=2)
    >>> len(online.modules)  # two factors for the queries and the values each
    4

    Reference:
        Rao et al., Online Knowledge Distillation for autoregressive language
        models, arXiv 2409.12512, 2024.
    """

    def __init__(
        self,
        teacher: keras.Model,
        rank: int = 8,
        *,
        weight: float = 1.0,
        optimizer: str = "adam",
        rate: float = 1e-3,
        name: str = "online_teacher",
        **kwargs: Any,
    ) -> None:
        if not is_causal(teacher):
            raise ValueError(
                "`teacher` must be a causal language model of KerasHub. "
                f"Received: {teacher!r} of type {type(teacher).__name__}"
            )
        check_count("rank", rank)
        check_number("weight", weight, low=0.0)
        check_number("rate", rate, above=0.0)
        task = _copy(teacher)
        super().__init__(task.input, task(task.input), name=name, **kwargs)
        task.backbone.enable_lora(rank)
        self.wrapped_task = task
        self.rank = rank
        self.weight = weight
        self.optimizer_name = optimizer
        self.rate = rate
        # The biases of the layers that have modules stay trainable there.
        self.modules = [v for v in task.variables if _MODULE in v.name]
        own = keras.optimizers.get(optimizer)
        own.learning_rate = rate
        own.build(self.modules)
        self.slots = list(own.variables)
        self._own = Untracked(own)

    @property
    def preprocessor(self) -> Any:
        """The teacher's preprocessor."""
        return self.wrapped_task.preprocessor

    @property
    def backbone(self) -> Any:
        """The backbone of the copy, with the modules."""
        return self.wrapped_task.backbone

    @property
    def learned(self) -> list[Any]:
        """The variables that training steps move."""
        return [*self.modules, *self.slots]

    def before_step(self, context: StepContext) -> None:
        """Moves the modules by one step of their optimizer.

        Args:
            context: The training step that comes.
        """
        if context.y is None:
            raise ValueError(
                "`y` must be given: the modules of an `OnlineTeacher` learn "
                "from labels. Received: None"
            )
        student = context.student()

        def loss() -> Tensor:
            return self._loss(context, student)

        _, gradients = context.value_and_grad(loss, self.modules)
        self._own.value.apply(gradients, self.modules)

    def _loss(self, context: StepContext, student: Tensor) -> Tensor:
        own = context.run_teacher()
        if tuple(own.shape[1:]) != tuple(student.shape[1:]):
            raise ValueError(
                "`student` must have the tokens of an `OnlineTeacher`. "
                f"Received: outputs of shape {tuple(student.shape)} from the "
                f"student and {tuple(own.shape)} from the teacher"
            )
        # The student is the fixed one here, and the teacher learns.
        pair = LogitPair.of_logits(student, own, context.y, None)
        pair = dataclasses.replace(pair, weights=context.sample_weight)
        apart = kl(
            Distribution.of_logits(pair.teacher),
            Distribution.of_logits(pair.student),
        )
        labelled = cross_entropy(pair.student, pair.labels)
        return pair.weighted_mean(labelled + self.weight * apart)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialized."""
        return {
            "teacher": serialize(self.wrapped_task),
            "rank": self.rank,
            "weight": self.weight,
            "optimizer": self.optimizer_name,
            "rate": self.rate,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> OnlineTeacher:
        """Makes the teacher that `get_config` described."""
        made = {k: deserialize(v, custom_objects) for k, v in config.items()}
        return cls(**made)


def _copy(teacher: keras.Model) -> keras.Model:
    """Returns a task with a backbone and weights of its own."""
    backbone = teacher.backbone
    config = {
        **teacher.get_config(),
        "backbone": type(backbone).from_config(backbone.get_config()),
        "preprocessor": teacher.preprocessor,
    }
    copy = type(teacher).from_config(config)
    copy.set_weights(teacher.get_weights())
    return copy


def learned_of(teacher: keras.Model) -> list[Any]:
    """Returns the variables of a teacher that training steps move."""
    return teacher.learned if isinstance(teacher, OnlineTeacher) else []


def check_learns_not(teacher: keras.Model) -> None:
    """Raises a `ValueError` for a teacher that must run in each step."""
    if learned_of(teacher):
        raise ValueError(
            "`x` must be data for an `OnlineTeacher`, which learns with its "
            "student and must run in each step. Received: a `TeacherCache`"
        )
