"""Methods of `keras-dts compare` for students that learn from their own text.

They take the task on spellings, whose data are prompts and responses. What they
need is imported when it is used: `keras_dts.generation` is not imported with
the package.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras

from keras_dts.distiller import Distiller, OnlineTeacher
from keras_dts.experiments.spelling_task import SpellingTask
from keras_dts.experiments.task import DemoTask
from keras_dts.experiments.training import Recipe
from keras_dts.losses import KD, ReverseKL, SkewKL
from keras_dts.temperatures import TokenDifficultyTemperature, TokenFocus

# Returns the recipe of a method for the task, a teacher and a student.
TaskMethod = Callable[[DemoTask, keras.Model, keras.Model], Any]


def _spelling(task: DemoTask) -> SpellingTask:
    """Returns the task, if it has prompts."""
    if not isinstance(task, SpellingTask):
        raise ValueError(
            "`task` must have prompts for a method that writes responses, such "
            f"as `--task g2p`. Received: a {type(task).__name__}"
        )
    return task


def _on_policy(
    text: str, loss: Callable[[], Any], **options: Any
) -> TaskMethod:
    """Returns a method that learns from a text.

    Args:
        text: The name of a class of `keras_dts.generation`.
        loss: Returns the distillation loss.
        **options: The arguments of the class.
    """

    def method(
        task: DemoTask, teacher: keras.Model, student: keras.Model
    ) -> Recipe:
        generation = importlib.import_module("keras_dts.generation")
        prompts = _spelling(task)
        train = prompts.prompted(task.train)
        validation = None
        if text == "AdaptiveText":
            part, rest = (prompts.prompted(d) for d in task.split_train(0.8))
            train, validation = part, rest
        distiller = generation.OnPolicyDistiller(
            teacher,
            student,
            loss(),
            text=getattr(generation, text)(**options),
            stop_token_ids=[prompts.end_token_id],
        )
        return Recipe(distiller, train=train, validation_data=validation)

    return method


def _focused() -> ReverseKL:
    return ReverseKL(TokenDifficultyTemperature(focus=TokenFocus()))


def _warmed_up(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    generation = importlib.import_module("keras_dts.generation")
    prompts = _spelling(task)
    x, _, _ = prompts.prompted(task.train)
    generation.warmup(
        student,
        teacher,
        {name: x[name] for name in ("token_ids", "prompt_mask")},
        batch_size=task.setting.student_batch,
        stop_token_ids=[prompts.end_token_id],
    )
    return Distiller(teacher, student, KD(1.0), None, 0.0)


def _online(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    _spelling(task)
    return Distiller(OnlineTeacher(teacher), student, ReverseKL(1.0), None, 0.0)


# As `RECIPES`, for the task on spellings.
OWN_TEXT: dict[str, tuple[str, TaskMethod]] = {
    "gkd": (
        "GKD, all own text",
        _on_policy("StudentText", lambda: KD(1.0), share=1.0),
    ),
    "gkd-half": (
        "GKD, half own text",
        _on_policy("StudentText", lambda: KD(1.0), share=0.5),
    ),
    "teacher-text": (
        "the teacher's text",
        _on_policy("TeacherText", lambda: KD(1.0), share=1.0),
    ),
    "skd": ("SKD, K=3", _on_policy("MendedText", lambda: KD(1.0), top_k=3)),
    "distillm": (
        "DistiLLM, 80 % of the data",
        _on_policy("AdaptiveText", lambda: SkewKL(0.1, 1.0), length=32),
    ),
    "adakd-own": (
        "AdaKD, half own text",
        _on_policy("StudentText", _focused, share=0.5),
    ),
    "warmup": ("warm-up, KD (reconstruction)", _warmed_up),
    "okd": ("OKD (reconstruction)", _online),
}
