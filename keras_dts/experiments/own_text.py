"""Methods of `keras-dts compare` for students that learn from their own text.

They take a task on prompts and responses. What they need is imported when it is
used: `keras_dts.generation` is not imported with the package.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_dts.distiller import Distiller, OnlineTeacher
from keras_dts.experiments.prompt_task import PromptTask
from keras_dts.experiments.task import DemoTask
from keras_dts.experiments.training import Recipe
from keras_dts.losses import KD, ReverseKL, SkewKL
from keras_dts.temperatures import TokenDifficultyTemperature, TokenFocus

# Returns the recipe of a method for the task, a teacher and a student.
TaskMethod = Callable[[DemoTask, keras.Model, keras.Model], Any]


def _with_prompts(task: DemoTask) -> PromptTask:
    """Returns the task, if it has prompts."""
    if not isinstance(task, PromptTask):
        raise ValueError(
            "`task` must have prompts for a method that writes responses, such "
            f"as `--task g2p`. Received: a {type(task).__name__}"
        )
    return task


class MorePrompts(keras.utils.PyDataset):
    """Reads as many rows an epoch as a task's data have, each time others.

    So a training takes the same number of steps on more prompts.

    Args:
        data: Inputs, labels and weights.
        rows: The rows of an epoch.
        batch_size: The batch size.
    """

    def __init__(
        self, data: tuple[Any, ...], rows: int, batch_size: int
    ) -> None:
        super().__init__()
        self._data = data
        self._rows = min(rows, len(data[-1]))
        self._batch_size = batch_size
        order = keras.random.shuffle(keras.ops.arange(len(data[-1])))
        self._order = keras.ops.convert_to_numpy(order)

    def __len__(self) -> int:
        """Returns the number of batches of an epoch."""
        return math.ceil(self._rows / self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Returns a batch."""
        end = min(self._rows, (index + 1) * self._batch_size)
        rows = self._order[index * self._batch_size : end]
        batch: tuple[Any, ...] = keras.tree.map_structure(
            lambda array: array[rows], self._data
        )
        return batch

    def on_epoch_end(self) -> None:
        """Turns to the next rows."""
        self._order = np.roll(self._order, -self._rows)


def _on_policy(
    make_text: Callable[[Any, PromptTask], Any],
    loss: Callable[[], Any] = lambda: KD(1.0),
    *,
    more: bool = False,
) -> TaskMethod:
    """Returns a method that learns from a text.

    Args:
        make_text: Returns the text, of `keras_dts.generation` and the task.
        loss: Returns the distillation loss.
        more: Whether it learns from all prompts of the task, without responses.
    """

    def method(
        task: DemoTask, teacher: keras.Model, student: keras.Model
    ) -> Recipe:
        generation = importlib.import_module("keras_dts.generation")
        prompts = _with_prompts(task)
        train, validation = prompts.prompted(task.train), None
        text = make_text(generation, prompts)
        if more:
            train = MorePrompts(
                prompts.prompted(prompts.prompts),
                task.counts["student"],
                prompts.setting.student_batch,
            )
        if text.needs_validation:
            train, validation = map(prompts.prompted, task.split_train(0.8))
        distiller = generation.OnPolicyDistiller(
            teacher,
            student,
            loss(),
            text=text,
            stop_token_ids=[prompts.end_token_id],
        )
        return Recipe(distiller, train=train, validation_data=validation)

    return method


def _student_text(share: float) -> Callable[[Any, PromptTask], Any]:
    """Returns what makes text of which a share is the student's own."""
    return lambda generation, _: generation.StudentText(share)


def _teacher_text(generation: Any, task: PromptTask) -> Any:
    """Returns text that the teacher writes."""
    del task
    return generation.TeacherText(1.0)


def _focused() -> ReverseKL:
    return ReverseKL(TokenDifficultyTemperature(focus=TokenFocus()))


class _WarmUp(keras.callbacks.Callback):
    """Warms a distiller's student up when its training begins.

    Args:
        task: The task, on whose prompts the student writes.
    """

    def __init__(self, task: PromptTask) -> None:
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
    return Recipe(distiller, callbacks=[_WarmUp(_with_prompts(task))])


def _online(
    task: DemoTask, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    _with_prompts(task)
    return Distiller(OnlineTeacher(teacher), student, ReverseKL(1.0), None, 0.0)


# As `RECIPES`, for tasks on prompts.
OWN_TEXT: dict[str, tuple[str, TaskMethod]] = {
    "kd-data": (
        "KD on the data, no labels",
        _on_policy(_student_text(0.0)),
    ),
    "rkl-data": (
        "reverse KL on the data, no labels",
        _on_policy(_student_text(0.0), lambda: ReverseKL(1.0)),
    ),
    "gkd": (
        "GKD, all own text",
        _on_policy(_student_text(1.0)),
    ),
    "gkd-half": (
        "GKD, half own text",
        _on_policy(_student_text(0.5)),
    ),
    "teacher-text": (
        "the teacher's text",
        _on_policy(_teacher_text),
    ),
    "skd": (
        "SKD, K=3",
        _on_policy(lambda g, _: g.MendedText(top_k=3)),
    ),
    "distillm": (
        "DistiLLM, 80 % of the data",
        _on_policy(
            lambda g, task: g.AdaptiveText(length=task.setting.length),
            lambda: SkewKL(0.1, 1.0),
        ),
    ),
    "adakd-data": (
        "AdaKD on the data, no labels",
        _on_policy(_student_text(0.0), _focused),
    ),
    "adakd-own": (
        "AdaKD, half own text",
        _on_policy(_student_text(0.5), _focused),
    ),
    "gkd-more": (
        "GKD, all own text, more prompts",
        _on_policy(_student_text(1.0), more=True),
    ),
    "teacher-more": (
        "the teacher's text, more prompts",
        _on_policy(_teacher_text, more=True),
    ),
    "warmup": ("warm-up, KD (reconstruction)", _warmed_up),
    "okd": ("OKD (reconstruction)", _online),
}
