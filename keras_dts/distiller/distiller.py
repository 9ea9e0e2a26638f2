"""The distiller: a student that learns from labels and from a teacher."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.cache import TakesCaches, TeacherCache
from keras_dts.chunking import LogitChunk, plan_chunks
from keras_dts.distiller.arguments import (
    check_models,
    to_entries,
    to_from_logits,
    to_loss_weights,
    to_metrics,
    weigh_metrics,
)
from keras_dts.distiller.checkpoints import CheckpointedModel
from keras_dts.distiller.epochs import EpochDriver
from keras_dts.distiller.faults import FaultGuard, clear_faults, raise_faults
from keras_dts.distiller.logs import DistillationMetrics, StepLogs
from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.objective import Objective
from keras_dts.distiller.student_loss import StudentLoss
from keras_dts.distiller.teacher import TeacherSource, comes_in_chunks
from keras_dts.distiller.terms import TermInputs, Terms
from keras_dts.logits import Targets, check_targets
from keras_dts.temperatures import (
    DEFAULT_TEMPERATURE,
    Temperature,
    Temperatures,
    to_policy,
)
from keras_dts.text import RawText, is_causal
from keras_dts.types import (
    CachedBatch,
    ChunkableBatch,
    FeatureBatch,
    HiddenStates,
    ModelOutputs,
    TaughtLabels,
    Tensor,
)
from keras_dts.utils import Schedule, check_weight


@keras.saving.register_keras_serializable(package="keras_dts")
class Distiller(CheckpointedModel, TakesCaches):
    """Trains a student on labels and on a teacher's outputs, by `fit`.

    ```
    loss = w * student_loss + (1 - w) * distillation_loss + penalties
    ```

    where `w` is `student_loss_weight`, `student_loss` is what the student's
    own `fit` would minimise for the `loss` given to `compile` (but tokens
    whose `sample_weight` is 0 are left out of its mean, as padding is),
    `distillation_loss` is the weighted sum of the `distillation_losses`, and
    the penalties are the student's regularizers and `add_loss`, which count
    whole whatever `w` is.

    A drop-in replacement for `keras.distillation.Distiller`. `fit` logs
    `loss`, `student_loss` (penalties included), `distillation_loss`,
    `temperature` and `gap` (the student's cross entropy minus the teacher's,
    in nats, at temperature 1), and the metrics given to `compile`.
    `evaluate` and `predict` are the student's and do not run the teacher,
    unless `compile` gets `distillation_metrics`, for which `evaluate` runs
    it; there `loss` is the student's own.

    The teacher runs with `training=False`, gets no gradient and is not
    changed; its `trainable` flags are not touched. A layer that both models
    share is the student's, and trains if the student's does.

    For tasks of KerasHub, `x` may be raw strings (docs/text.md). A
    `keras_dts.TeacherCache` for `x` brings the teacher's outputs, so that it
    does not run; and large vocabularies come in chunks (docs/large.md).

    Args:
        teacher: A trained `keras.Model`.
        student: The `keras.Model` to train.
        distillation_losses: A `keras.distillation.DistillationLoss`, or a
            list of them; each sees all outputs. For models with several
            outputs an entry may be a list or dictionary like the outputs, of
            losses on logits, with `None` for an output to skip; a list that
            holds a `None` is one such entry. Defaults to
            `keras_dts.losses.KD()`.
        distillation_loss_weights: A number or a
            `keras.optimizers.schedules` object for each entry; at least 0.
            Defaults to 1 for each.
        student_loss_weight: A number in `[0, 1]`, or a schedule over the
            training steps. Defaults to 0.1.
        name: The name of this model.
        temperature: A positive number, `"auto"` (see
            `keras_dts.temperatures.AutoTemperature`), a
            `keras.optimizers.schedules` object over the training steps, or a
            `keras_dts.temperatures.Temperature`. Losses that have no
            temperature of their own use it. Defaults to 4.
        from_logits: Whether the models' outputs are logits: `"auto"` looks
            whether a model ends in a softmax (a single unit: in a sigmoid),
            and takes for logits what it cannot recognise; `True` and `False`
            say it of both models, and a pair `(teacher, student)` of each.
        teacher_inputs: `None`, or a function from a batch's `x` to the
            teacher's input; of raw strings, a batch as it is before the
            preprocessors. To be saved with the distiller it must be
            registered with Keras.
        student_inputs: The same for the student.
        chunk_size: For language models, how many tokens a training step
            projects onto the vocabulary at once: a number, `None` for all, or
            `"auto"`, which cuts a step into chunks where its logits are large
            and it can be done.
        **kwargs: Passed on to `keras.Model`.

    Raises:
        ValueError: If an argument is out of its range, the models' outputs,
            tokens or `class_names` do not fit each other, or teacher and
            student are one. From `fit` and its kind, if raw strings are no
            strings, or the models cannot read them; if a cache is another
            teacher's, or lacks what a loss reads.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_dts
    >>> def classifier(width):
    ...     return keras.Sequential(
    ...         [
    ...             keras.Input((8,)),
    ...             keras.layers.Dense(width, activation="relu"),
    ...             keras.layers.Dense(3),
    ...         ]
    ...     )
    >>> distiller = keras_dts.Distiller(classifier(64), classifier(4))
    >>> distiller.compile(
    ...     "adam",
    ...     keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ... )
    >>> x, y = np.ones((32, 8), "float32"), np.zeros(32, "int32")
    >>> history = distiller.fit(
    ...     x, y, callbacks=[keras_dts.DTS()], verbose=0
    ... )
    >>> sorted(history.history)
    ['distillation_loss', 'gap', 'loss', 'student_loss', 'temperature']

    Reference:
        Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural
        Network, arXiv 1503.02531, 2015; Ul Islam et al., Dynamic Temperature
        Scheduler for Knowledge Distillation, arXiv 2511.13767, 2025.
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
        check_models(teacher, student)
        check_weight("student_loss_weight", student_loss_weight, high=1.0)
        # The student's policy decides about loss scaling; its inputs are
        # cast by the student itself.
        kwargs.setdefault("dtype", student.dtype_policy)
        super().__init__(name=name, autocast=False, **kwargs)
        self.supports_masking = True
        self.teacher = teacher
        self.student = student
        self.student_loss_weight = student_loss_weight
        entries = to_entries(distillation_losses)
        # In a tuple, so that Keras does not wrap the user's lists.
        self._entries = (entries,)
        self.distillation_loss_weights = to_loss_weights(
            distillation_loss_weights, entries
        )
        self.temperature = to_policy(temperature)
        self.teacher_inputs = teacher_inputs
        self.student_inputs = student_inputs
        terms = Terms(entries, teacher, student)
        own = [self.temperature] if terms.uses_temperature else []
        self._models = ModelPair(
            teacher,
            student,
            terms,
            [*own, *terms.policies],
            to_from_logits(from_logits),
            teacher_inputs,
            student_inputs,
        )
        self._student_loss = StudentLoss(self)
        self.objective = Objective(
            self._models,
            terms,
            self.temperature,
            self._student_loss,
            (student_loss_weight, self.distillation_loss_weights),
        )
        self._source = TeacherSource(self._models, self)
        self._raw_text = RawText(
            teacher, student, teacher_inputs, student_inputs
        )
        self.logs = StepLogs(self.objective.logged_names)
        self._distillation_metrics = DistillationMetrics([])
        self.built = self._models.build_symbolically()
        self._plan = plan_chunks(
            chunk_size, teacher, student, self._softened_losses(terms)
        )

    def _softened_losses(self, terms: Terms) -> list[tuple[Any, Any]] | None:
        """Returns each loss with its temperature, if all are on logits."""
        if not terms.only_logits:
            return None
        return [
            (loss, loss.temperature or self.temperature)
            for loss in terms.losses_on_logits
        ]

    # What the models are, for Keras, for callbacks and for checkpoints.

    @property
    def distillation_losses(self) -> list[Any]:
        """The distillation losses, one entry for each term."""
        return self._entries[0]

    @property
    def distillation_metrics(self) -> list[Any]:
        """The metrics that `compile` got as `distillation_metrics`."""
        return self._distillation_metrics.metrics

    @property
    def output_names(self) -> list[str]:
        """The student's output names, which `compile` may refer to."""
        return self.student.output_names

    @property
    def policies(self) -> tuple[Temperature, ...]:
        """The temperatures in use: the distiller's, and those of its losses."""
        own = (self.temperature,) if self.uses_temperature else ()
        return (*own, *self.objective.terms.policies)

    @property
    def uses_temperature(self) -> bool:
        """Whether a loss softens by the distiller's temperature."""
        return self.objective.terms.uses_temperature

    @property
    def evaluates_teacher(self) -> bool:
        """Whether an evaluation runs the teacher too."""
        return bool(self.distillation_metrics)

    @property
    def projectors(self) -> list[Any]:
        """The layers that project the student's features."""
        return self.objective.terms.projectors

    @property
    def plain_config(self) -> dict[str, Any]:
        """The arguments of the constructor that hold no objects."""
        return {
            "from_logits": self._models.from_logits,
            "chunk_size": self._plan.chunk_size,
        }

    @property
    def metrics(self) -> list[Any]:
        """All metrics; those of the distillation come last."""
        return [*super().metrics, *self.distillation_metrics]

    @property
    def trainable_weights(self) -> list[Any]:
        """The weights of the student, the temperatures and the projectors."""
        if not self.trainable:
            return []
        layers = [self.student, *self.policies, *self.projectors]
        weights = [w for layer in layers for w in layer.trainable_weights]
        return list({id(w): w for w in weights}.values())

    @property
    def trainable_variables(self) -> list[Any]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Any]:
        """All other weights; the teacher's are among them."""
        return _without(self.weights, self.trainable_weights)

    @property
    def non_trainable_variables(self) -> list[Any]:
        """All other variables; the teacher's are among them."""
        return _without(self.variables, self.trainable_weights)

    def build(self, *shapes: Any, **named_shapes: Any) -> None:
        """Does nothing: the models build themselves when they are called."""

    # Training.

    def compile(
        self, *args: Any, distillation_metrics: Any = None, **kwargs: Any
    ) -> None:
        """Configures the training; see `keras.Model.compile`.

        Args:
            *args: As for `keras.Model.compile`.
            distillation_metrics: A list of `keras.metrics.Metric` that
                compare the models, such as `keras_dts.metrics.TeacherKL()`.
                Each step calls `update_state(teacher_logits, student_logits,
                sample_weight=weights)` for each output that a loss on logits
                reads, so that a metric is one number over all these outputs.
                `evaluate` and validation run the teacher for them. Where the
                teacher's logits are not finite, they are NaN.
            **kwargs: As for `keras.Model.compile`. For causal language
                models of KerasHub, `metrics` count as `weighted_metrics`.

        Raises:
            ValueError: If `distillation_metrics` is no list of metrics with
                names of their own, or no loss reads logits.
        """
        metrics = to_metrics(
            distillation_metrics,
            ["loss", *self.logs.names],
            self.distillation_losses,
            read_logits=self.objective.terms.reads_logits,
        )
        bound = inspect.signature(super().compile).bind(*args, **kwargs)
        if is_causal(self.student):
            weigh_metrics(bound.arguments)
        self._plan = self._plan.for_compile(
            *map(bound.arguments.get, ("loss", "loss_weights", "jit_compile"))
        )
        super().compile(*bound.args, **bound.kwargs)
        self._distillation_metrics = DistillationMetrics(metrics)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains the student; see `keras.Model.fit`."""
        bound = inspect.signature(super().fit).bind(*args, **kwargs)
        given = bound.arguments.get("callbacks")
        if isinstance(given, keras.callbacks.CallbackList):
            given = given.callbacks
        given = [c for c in keras.tree.flatten(given) if c is not None]
        guard = FaultGuard()
        bound.arguments["callbacks"] = [guard, *given, EpochDriver()]
        try:
            return super().fit(*bound.args, **bound.kwargs)
        finally:
            guard.stop_watching()

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Trains on one batch; see `keras.Model.train_on_batch`."""
        clear_faults(self)
        logs = super().train_on_batch(*args, **kwargs)
        faults = ops.convert_to_numpy(self.objective.faults)
        raise_faults(self, faults, "in this batch")
        return logs

    def check_cache(self, cache: TeacherCache) -> None:
        """Raises a `ValueError` unless a cache answers for the teacher."""
        cache.check_teacher(self.teacher)
        terms = self.objective.terms
        cache.check_answers(
            terms.teacher_paths,
            self._models.from_logits[0],
            outputs=terms.reads_outputs,
        )

    def train_step(self, *args: Any) -> Any:
        """Gets the teacher's outputs, then defers to Keras's own step.

        Args:
            *args: The batch; on JAX, the state and the batch.
        """
        return super().train_step(*self._with_teacher(*args, training=True))

    def test_step(self, *args: Any) -> Any:
        """Evaluates the student; the teacher runs for metrics that need it."""
        if self.evaluates_teacher:
            args = self._with_teacher(*args, training=False)
        result = super().test_step(*args)
        logs, *state = result if isinstance(result, tuple) else (result,)
        unused = {*self.logs.names} - {"student_loss"}
        logs = {name: v for name, v in logs.items() if name not in unused}
        return (logs, *state) if state else logs

    def _with_teacher(self, *args: Any, training: bool) -> tuple[Any, ...]:
        """Adds the teacher's outputs to the labels of a step's batch."""
        *state, data = args
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        plan = self._plan if training and self._plan.allows(y) else None
        teacher = self._source.outputs(x, *(state or [None]), plan)
        x = x.inputs if isinstance(x, CachedBatch) else x
        y = TaughtLabels(y, teacher, x)
        if plan is not None and comes_in_chunks(teacher, plan):
            x = ChunkableBatch(x)
        elif training and self.objective.terms.student_paths:
            x = FeatureBatch(x)
        return (*state, (x, y, sample_weight))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the student's outputs.

        Args:
            inputs: A batch's `x`. In a step that needs more than outputs, a
                `FeatureBatch` or a `ChunkableBatch`.
            training: Whether the student runs in training mode.
        """
        if isinstance(inputs, FeatureBatch):
            return self._models.student(inputs.inputs, training)
        if isinstance(inputs, ChunkableBatch):
            return self._models.student(inputs.inputs, training, self._plan)
        x = inputs.inputs if isinstance(inputs, CachedBatch) else inputs
        self._models.ensure_ready(x)
        return self._models.student(x, training).outputs

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns nothing: the student's outputs carry their own masks."""

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the loss of a batch: in training, with the teacher's part.

        Args:
            x: The inputs.
            y: The labels, or `None`; in a training step, and where metrics
                need them, with the teacher's outputs.
            y_pred: What `call` returned.
            sample_weight: The user's weights, or `None`.
            training: Whether this is a training step.

        Returns:
            A scalar.
        """
        if not training or not isinstance(y, TaughtLabels):
            return self._evaluation_loss(x, y, y_pred, sample_weight)
        student = y_pred
        if not isinstance(student, ModelOutputs):
            student = ModelOutputs(student, {})
        losses = self.objective.compute(
            TermInputs(y.inputs, y.teacher, student, sample_weight),
            Targets(y.y, sample_weight, self.loss),
            self._plan,
        )
        if losses.logits.is_whole:
            self._distillation_metrics.update(losses.logits)
        else:
            self._update_metrics_in_chunks(losses.logits, sample_weight)
        self.logs.update_state(losses.logged, _examples(x))
        return losses.total

    def _evaluation_loss(
        self, x: Any, y: Any, outputs: Any, sample_weight: Any
    ) -> Tensor:
        """Returns the loss of an evaluation, the student's own, and logs it."""
        labels = y.y if isinstance(y, TaughtLabels) else y
        check_targets(self._models.specs, outputs, labels, sample_weight)
        if isinstance(y, TaughtLabels):
            targets = Targets(labels, sample_weight, self.loss)
            logits, _ = self.objective.whole(y.teacher, outputs, targets)
            self._distillation_metrics.update(logits)
        loss = self._student_loss(labels, outputs, sample_weight)
        logged = {"student_loss": self._student_loss.unshare(loss)}
        self.logs.update_state(logged, _examples(x))
        return loss

    def _update_metrics_in_chunks(
        self, logits: Any, sample_weight: Any
    ) -> None:
        """Updates the metrics of `compile` chunk by chunk."""

        def update(chunk: LogitChunk, y: Any, weights: Any) -> None:
            self._distillation_metrics.update_chunk(chunk)
            if y is not None:
                super(Distiller, self).compute_metrics(
                    None, y, chunk.outputs, weights
                )

        if len(self.metrics) > 2:  # of which one is the loss, one the logs
            logits.fold(update, self.metrics_variables, sample_weight)

    def temperatures_of(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> list[Temperatures | None]:
        """Returns the temperatures that a batch has now; nothing changes.

        Teacher and student run, and the distiller's policy is used, as in a
        training step, but for inference.

        Args:
            x: The inputs of a batch, or its raw strings.
            y: The labels, or `None`.
            sample_weight: The weights, or `None`.

        Returns:
            For each output, `None` if no loss softens it by this policy, or
            `Temperatures` of NumPy arrays: a scalar each, or one value for
            each example or token that counts, shape `(entries,)`.
        """
        given = {"x": x, "y": y, "sample_weight": sample_weight}
        self._raw_text.feed_batch(given, both=True)
        names = ("x", "y", "sample_weight")
        x, y, sample_weight = keras.tree.map_structure(
            lambda v: None if v is None else ops.convert_to_tensor(v),
            tuple(given.get(name) for name in names),
        )
        teacher = self._source.outputs(x)
        outputs = self(x, training=False)
        targets = Targets(
            y, sample_weight, self.loss if self.compiled else None
        )
        logits, _ = self.objective.whole(teacher, outputs, targets)
        return self.objective.temperatures_of(logits, outputs)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the logs; metrics that need labels wait for labels."""
        labels = y.y if isinstance(y, TaughtLabels) else y
        outputs = y_pred.outputs if isinstance(y_pred, ModelOutputs) else y_pred
        if labels is None or isinstance(outputs, HiddenStates):
            return self.get_metrics_result()
        return super().compute_metrics(x, labels, outputs, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the logs of the metrics that have seen something."""
        logs: dict[str, Any] = {}
        for metric in self.metrics:
            # The metrics of `compile` stay unbuilt as long as no labels come.
            if getattr(metric, "built", True):
                result = metric.result()
                named = isinstance(result, dict)
                logs |= result if named else {metric.name: result}
        return logs


def _examples(x: Any) -> Any:
    """Returns the number of examples in a batch."""
    first = next(i for i in keras.tree.flatten(x) if i is not None)
    return ops.shape(first)[0]


def _without(variables: list[Any], others: list[Any]) -> list[Any]:
    left_out = {id(v) for v in others}
    return [v for v in variables if id(v) not in left_out]
