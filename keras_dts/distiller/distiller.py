"""The distiller: a student that learns from labels and from a teacher."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_dts.backend import checked_batches, one_step
from keras_dts.chunking import plan_chunks
from keras_dts.distiller.arguments import (
    check_models,
    to_entries,
    to_from_logits,
    to_loss_weights,
    to_metrics,
    weigh_metrics,
)
from keras_dts.distiller.base import TeacherStudentModel
from keras_dts.distiller.compose import compose
from keras_dts.distiller.epochs import add_callbacks
from keras_dts.distiller.faults import FaultGuard, raise_faults
from keras_dts.distiller.fit_data import FitData, converted, reading
from keras_dts.distiller.given_labels import all_labels
from keras_dts.distiller.logs import DistillationMetrics
from keras_dts.hub import is_causal
from keras_dts.temperatures import (
    DEFAULT_TEMPERATURE,
    Temperature,
    Temperatures,
    to_policy,
)
from keras_dts.types import TaughtLabels, Tensor
from keras_dts.utils import Schedule, Untracked, check_choice, check_weight


@keras.saving.register_keras_serializable(package="keras_dts")
class Distiller(TeacherStudentModel):
    """Trains a student on labels and on a teacher's outputs, by `fit`.

    ```
    loss = w * student_loss + (1 - w) * distillation_loss + penalties
    ```

    `w` is `student_loss_weight`. `student_loss` is what the student's own
    `fit` would minimise for the `loss` given to `compile`, except that tokens
    of weight 0 do not count in its mean. `distillation_loss` is the weighted
    sum of the `distillation_losses`. The penalties are the student's
    regularizers and `add_loss`, and count whole.

    A drop-in replacement for `keras.distillation.Distiller`. `fit` logs
    `loss`, `student_loss` (penalties included), `distillation_loss`,
    `temperature`, `gap` (the student's cross entropy minus the teacher's, in
    nats, at temperature 1), and the metrics of `compile`. `evaluate` and
    `predict` are the student's, and run the teacher for
    `distillation_metrics` alone.

    The teacher runs with `training=False` and is not changed. A layer that
    both models share trains if the student's does. `x` may be raw strings or
    images for tasks of KerasHub, or a `keras_dts.TeacherCache` (docs/large.md).

    Args:
        teacher: A trained `keras.Model`.
        student: The `keras.Model` to train.
        distillation_losses: A `keras.distillation.DistillationLoss`, or a
            list of them, each for all outputs. An entry may be a list or
            dictionary like the outputs, of losses on logits or on values
            (docs/works.md), with `None` for an output to skip. Defaults to
            `keras_dts.losses.KD()`.
        distillation_loss_weights: A number of at least 0, or a
            `keras.optimizers.schedules` object, for each entry. Defaults to
            1 for each.
        student_loss_weight: A number in `[0, 1]`, or a schedule: over steps,
            or a `keras_dts.schedules.EpochSchedule`. Defaults to 0.1.
        name: The name of this model.
        temperature: A positive number, `"auto"` (see
            `keras_dts.temperatures.AutoTemperature`), a schedule over the
            training steps, or a `keras_dts.temperatures.Temperature`, for
            losses that have no temperature of their own. Defaults to 4.
        from_logits: Whether outputs are logits, for both models or as a pair
            `(teacher, student)`. `"auto"` finds it out (docs/works.md).
        teacher_inputs: `None`, or a function from a batch's `x` to the
            teacher's input, registered with Keras if it is to be saved.
        student_inputs: The same for the student.
        chunk_size: How many tokens of a language model a step projects onto
            the vocabulary at once: a number, `None` for all, or `"auto"` for
            chunks where logits are large and can be cut (docs/large.md).
        **kwargs: Passed on to `keras.Model`.

    Raises:
        ValueError: If an argument is out of its range, or the models'
            outputs, tokens or `class_names` do not fit each other. From `fit`
            and its kind, if strings or a cache do not fit the models.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher, student = (
    ...     keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    ...     for _ in range(2)
    ... )
    >>> distiller = keras_dts.Distiller(teacher, student)
    >>> distiller.compile(
    ...     "adam",
    ...     keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ... )
    >>> x, y = np.ones((32, 8), "float32"), np.zeros(32, "int32")
    >>> run = distiller.fit(x, y, callbacks=[keras_dts.DTS()], verbose=0)
    >>> sorted(run.history)
    ['distillation_loss', 'gap', 'loss', 'student_loss', 'temperature']

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network, arXiv
        1503.02531, 2015; Ul Islam et al., Dynamic Temperature Scheduler for
        Knowledge Distillation, arXiv 2511.13767, 2025.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        distillation_losses: Any = None,
        distillation_loss_weights: Any = None,
        student_loss_weight: float | Schedule = 0.1,
        name: str = "distiller",
        *,
        temperature: float | str | Schedule | Temperature = DEFAULT_TEMPERATURE,
        from_logits: bool | str | tuple[bool, bool] = "auto",
        teacher_inputs: Callable[[Any], Any] | None = None,
        student_inputs: Callable[[Any], Any] | None = None,
        chunk_size: int | str | None = "auto",
        **kwargs: Any,
    ) -> None:
        check_models(teacher, student, teacher_inputs, student_inputs)
        check_weight("student_loss_weight", student_loss_weight, high=1.0)
        # The student's policy decides about loss scaling; its inputs are
        # cast by the student itself.
        kwargs.setdefault("dtype", student.dtype_policy)
        super().__init__(teacher, student, name=name, autocast=False, **kwargs)
        self.supports_masking = True
        entries = to_entries(distillation_losses)
        # In a tuple, so that Keras does not wrap the user's lists.
        self._entries = (entries,)
        self.distillation_loss_weights = to_loss_weights(
            distillation_loss_weights, entries, student_loss_weight
        )
        self.student_loss_weight = student_loss_weight
        self._shared = Untracked(to_policy(temperature))
        self.teacher_inputs = teacher_inputs
        self.student_inputs = student_inputs
        parts = compose(self, entries, to_from_logits(from_logits))
        self.objective, self.logs = parts.objective, parts.logs
        self.fit_data = parts.fit_data
        self._models, self._steps = parts.models, parts.steps
        self._undoable = parts.undoable
        self._comparisons = DistillationMetrics([])
        self.built = self._models.build_symbolically()
        losses = self.objective.terms.softened_losses(self.temperature)
        self._plan = plan_chunks(chunk_size, teacher, student, losses)

    @property
    def distillation_losses(self) -> list[Any]:
        """The distillation losses, one entry for each term."""
        return self._entries[0]

    @property
    def plain_config(self) -> dict[str, Any]:
        """The arguments of the constructor that hold no objects."""
        how = self._models.from_logits
        return {"from_logits": how, "chunk_size": self._plan.chunk_size}

    def compile(
        self,
        *args: Any,
        distillation_metrics: Any = None,
        on_fault: str = "raise",
        **kwargs: Any,
    ) -> None:
        """Configures the training; see `keras.Model.compile`.

        Args:
            *args: As for `keras.Model.compile`.
            distillation_metrics: A list of `keras.metrics.Metric` that
                compare the models, such as `keras_dts.metrics.TeacherKL()`.
                Each step calls `update_state(teacher_logits, student_logits,
                sample_weight=weights)` for each output that a loss on logits
                reads.
            on_fault: What `fit` does after a broken batch, whose step changes
                nothing (docs/reliability.md): `"raise"`, or `"skip"` to log
                `skipped_steps` and warn.
            **kwargs: As for `keras.Model.compile`. For causal language
                models of KerasHub, `metrics` count as `weighted_metrics`.

        Raises:
            ValueError: For metrics without names of their own or a loss on
                logits, and another `on_fault`.
        """
        check_choice("on_fault", on_fault, ["raise", "skip"])
        metrics = to_metrics(
            distillation_metrics,
            ["loss", *self.logs.names],
            self.distillation_losses,
            read_logits=self.objective.terms.reads_logits,
        )
        bound = inspect.signature(super().compile).bind(*args, **kwargs)
        if is_causal(self.student):
            weigh_metrics(bound.arguments)
        self._plan = self._plan.for_compile(bound.arguments)
        super().compile(*bound.args, **bound.kwargs)
        self._comparisons = DistillationMetrics(metrics)
        self.on_fault = on_fault

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains the student; see `keras.Model.fit`."""
        bound = inspect.signature(super().fit).bind(*args, **kwargs)
        guard = FaultGuard(all_labels(bound.arguments))
        add_callbacks(self, bound.arguments, guard)
        x = bound.arguments.get("x")
        self.fit_data.for_fit(bound.arguments)
        self._undoable.look_again()
        fixed = self.known_teacher.fixed(self.trainable_weights)
        with guard, fixed, reading(x):
            return super().fit(*bound.args, **bound.kwargs)

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Trains on one batch; see `keras.Model.train_on_batch`."""
        bound = inspect.signature(super().train_on_batch).bind(*args, **kwargs)
        y = all_labels(bound.arguments)
        self.fit_data.for_training_batch(bound.arguments)
        self.objective.notes.clear()
        self._undoable.look_again()
        with checked_batches():
            logs = super().train_on_batch(*bound.args, **bound.kwargs)
        if self.on_fault == "raise":
            raise_faults(self, self.objective.notes.counts, "this call", y)
        return logs

    evaluate = converted(keras.Model.evaluate, FitData.for_evaluation)
    predict = converted(keras.Model.predict, FitData.for_prediction)
    test_on_batch = converted(
        keras.Model.test_on_batch, FitData.for_evaluation_batch
    )
    predict_on_batch = converted(
        keras.Model.predict_on_batch, FitData.for_prediction_batch
    )

    @one_step()
    def train_step(self, *args: Any) -> Any:
        """Gets the teacher's outputs, then defers to Keras's own step."""
        args = self._steps.with_teacher(*args, plan=self._plan, training=True)
        return self._undoable(super().train_step, *args)

    @one_step()
    def test_step(self, *args: Any) -> Any:
        """Evaluates the student; the teacher runs for metrics that need it."""
        has_loss = self._steps.has_loss(args[-1])
        if self.evaluates_teacher:
            args = self._steps.with_teacher(*args, plan=None, training=False)
        return self.logs.of_evaluation(super().test_step(*args), has_loss)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the student's outputs for a batch's `x`."""
        return self._steps.student(inputs, training, self._plan)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the loss; in training, `y` brings the teacher's outputs."""
        step, metrics = (x, y, y_pred, sample_weight), self._comparisons
        if training and isinstance(y, TaughtLabels):
            return self._steps.training_loss(*step, self._plan, metrics)
        return self._steps.evaluation_loss(*step, metrics)

    def temperatures_of(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> list[Temperatures | None]:
        """Returns the temperatures of a batch: `x`, labels and weights.

        Returns:
            For each output, `None` if no loss softens it by the distiller's
            temperature, or `Temperatures` of NumPy arrays: a scalar each, or
            one value for each entry that counts, shape `(entries,)`. Nothing
            changes.
        """
        given = {"x": x, "y": y, "sample_weight": sample_weight}
        self.fit_data.for_training_batch(given)
        return self._steps.temperatures(given)
