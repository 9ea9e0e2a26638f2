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
    make_text: Callable[[Any, SpellingTask], Any], loss: Callable[[], Any]
) -> TaskMethod:
    """Returns a method that learns from a text.

    Args:
        make_text: Returns the text, of `keras_dts.generation` and the task.
        loss: Returns the distillation loss.
    """

    def method(
        task: DemoTask, teacher: keras.Model, student: keras.Model
    ) -> Recipe:
        generation = importlib.import_module("keras_dts.generation")
        prompts = _spelling(task)
        train, validation = task.train, None
        text = make_text(generation, prompts)
        if text.needs_validation:
            train, rest = task.split_train(0.8)
            validation = prompts.prompted(rest)
        distiller = generation.OnPolicyDistiller(
            teacher,
            student,
            loss(),
            text=text,
            stop_token_ids=[prompts.end_token_id],
        )
        return Recipe(
            distiller,
            train=prompts.prompted(train),
            validation_data=validation,
        )

    return method


def _focused() -> ReverseKL:
    return ReverseKL(TokenDifficultyTemperature(focus=TokenFocus()))


class _WarmUp(keras.callbacks.Callback):
    """Warms a distiller's student up when its training begins.

    Args:
        task: The task, on whose prompts the student writes.
    """

    def __init__(self, task: SpellingTask) -> None:
        super().__init__()
        self._task = task

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Trains the student on its own text, mended."""
        generation = importlib.import_module("keras_dts.generation")
        x, _, _ = self._task.prompted(self._task.train)
        generation.warmup(
            self.model.student,
            self.model.teacher,
            {name: x[name] for name in ("token_ids", "prompt_mask")},
            batch_size=self._task.setting.student_batch,
            stop_token_ids=[self._task.end_token_id],
        )


def _warmed_up(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> Recipe:
    distiller = Distiller(teacher, student, KD(1.0), None, 0.0)
    return Recipe(distiller, callbacks=[_WarmUp(_spelling(task))])


def _online(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    _spelling(task)
    return Distiller(OnlineTeacher(teacher), student, ReverseKL(1.0), None, 0.0)


# As `RECIPES`, for the task on spellings.
OWN_TEXT: dict[str, tuple[str, TaskMethod]] = {
    "gkd": (
        "GKD, all own text",
        _on_policy(lambda g, _: g.StudentText(1.0), lambda: KD(1.0)),
    ),
    "gkd-half": (
        "GKD, half own text",
        _on_policy(lambda g, _: g.StudentText(0.5), lambda: KD(1.0)),
    ),
    "teacher-text": (
        "the teacher's text",
        _on_policy(lambda g, _: g.TeacherText(1.0), lambda: KD(1.0)),
    ),
    "skd": (
        "SKD, K=3",
        _on_policy(lambda g, _: g.MendedText(top_k=3), lambda: KD(1.0)),
    ),
    "distillm": (
        "DistiLLM, 80 % of the data",
        _on_policy(
            lambda g, task: g.AdaptiveText(length=task.setting.length),
            lambda: SkewKL(0.1, 1.0),
        ),
    ),
    "adakd-own": (
        "AdaKD, half own text",
        _on_policy(lambda g, _: g.StudentText(0.5), _focused),
    ),
    "warmup": ("warm-up, KD (reconstruction)", _warmed_up),
    "okd": ("OKD (reconstruction)", _online),
}
