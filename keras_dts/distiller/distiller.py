"""The distiller: a student that learns from labels and from a teacher."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.cache import CacheAdapter, OutputCodec, TeacherCache
from keras_dts.distiller.arguments import (
    check_models,
    to_entries,
    to_loss_weights,
    to_metrics,
    to_pair,
)
from keras_dts.distiller.chunked import Chunk, ChunkedLosses, Told
from keras_dts.distiller.chunks import Chunks
from keras_dts.distiller.fit_data import FitData
from keras_dts.distiller.heads import HeadReader, logged
from keras_dts.distiller.in_fit import (
    EpochDriver,
    FaultGuard,
    clear_faults,
    raise_faults,
)
from keras_dts.distiller.saving import Checkpoints
from keras_dts.distiller.terms import Step, to_term
from keras_dts.features import FeatureExtractor, known_input
from keras_dts.logits import LogitPair
from keras_dts.losses import DEFAULT_TEMPERATURE
from keras_dts.metrics import HeadMetrics
from keras_dts.temperatures import Temperature, Temperatures, to_policy
from keras_dts.text import RawTextAdapter, align_spans, is_causal, padding_of
from keras_dts.types import (
    CachedBatch,
    HiddenStates,
    ModelOutputs,
    Tensor,
    TokenizedInputs,
)
from keras_dts.utils import Schedule, check_weight, loss_dtype


class _Batch(NamedTuple):
    """A batch's inputs together with the teacher's answers to them.

    Attributes:
        inputs: The batch's `x`.
        teacher: The answers.
        overlap: `None`, or 0 where the models cannot be compared.
        classes: `None`, or for answers from a cache, by output, which
            classes they are of.
    """

    inputs: Any
    teacher: ModelOutputs
    overlap: Tensor | None
    classes: list[Tensor | None] | None


class _Pair(NamedTuple):
    """Inputs of each model, for the first look."""

    student: Any
    teacher: Any


@keras.saving.register_keras_serializable(package="keras_dts")
class Distiller(Checkpoints):
    """Trains a student on labels and on a teacher's answers, by `fit`.

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

    Where both models are tasks of KerasHub, `x` may be raw strings, with
    which `fit`, `evaluate` and `predict` do what the tasks' own do: a list,
    an array or a `tf.data.Dataset` of batches, pairs of sentences as a tuple,
    or what else the preprocessors take. `fit` shuffles what is in memory. For
    language models, labels and weights come from the student's preprocessor,
    both models must have the same tokens, and `metrics` count as
    `weighted_metrics`, so that padding and prompts do not.

    `fit`, `evaluate` and `predict` also take a `keras_dts.TeacherCache` for
    `x`: then the teacher's answers come from disk, and it does not run.

    The teacher runs with `training=False`, gets no gradient and is not
    changed; its `trainable` flags are not touched. A layer that both models
    share is the student's, and trains if the student's does.

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
        chunk_size: For language models, whose logits of all tokens may not
            fit: how many tokens a training step projects onto the vocabulary
            at once. Everything from there on, `compile`'s loss and metrics
            included, is computed chunk of tokens by chunk, forth and once
            more on the way back, with the same result. `None` never does so;
            a number always; `"auto"` where the logits are large (by
            `batch * length * classes`, where these are known when the step is
            traced) and it can be done. It can be for two models that end in a
            `Dense` layer or a reversed embedding, as causal language models
            of KerasHub do; losses `KD`, `ReverseKL` and `GeneralizedJSD`;
            temperatures that look at one token or at the gap alone; and
            labels that are class indices. `DTS`, which wants the gap first,
            takes one more pass. `evaluate` and `predict` hold all logits. On
            TensorFlow each chunk is compiled by XLA, if `compile` does not
            get `jit_compile=False`.
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
        self.terms = [to_term(entry, teacher, student) for entry in entries]
        self._reader = HeadReader(
            teacher, student, self.terms, to_pair(from_logits)
        )
        paths = [p for term in self.terms for p in term.teacher_paths]
        self._tapped_teacher = FeatureExtractor("teacher", teacher, paths)
        paths = [p for term in self.terms for p in term.student_paths]
        self._tapped_student = FeatureExtractor("student", student, paths)
        self.teacher_inputs = teacher_inputs
        self.student_inputs = student_inputs
        self._data = FitData(
            (
                CacheAdapter(student, self.check_cache),
                RawTextAdapter(
                    teacher, student, teacher_inputs, student_inputs
                ),
            )
        )
        self._codec = OutputCodec(teacher, self._reader.from_logits[0])
        self._make_state()
        self._look_at_models()
        self._chunks = Chunks(
            chunk_size, teacher, student, self.terms, self.temperature
        )
        self._chunked = ChunkedLosses(
            self._reader, self._chunks.bodies, self.terms, self.temperature
        )
        self._tapped_teacher.run = functools.partial(self._chunks.run, 0)
        self._tapped_student.run = functools.partial(self._chunks.run, 1)

    def _make_state(self) -> None:
        self.step = self.add_weight(
            name="step",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        # Whether a step met: logits of the teacher that are not finite;
        # labels that name no class.
        self.faults = self.add_weight(
            name="faults",
            shape=(2,),
            dtype=loss_dtype(),
            initializer="zeros",
            trainable=False,
            aggregation="mean",
        )
        names = ["student_loss", "distillation_loss"]
        names += ["gap"] if any(t.reads_logits for t in self.terms) else []
        names += ["temperature"] if self.uses_temperature else []
        self.trackers = [keras.metrics.Mean(name=name) for name in names]
        self._head_metrics = HeadMetrics([])
        self._looked = False

    # Construction: what the models are.

    @property
    def distillation_losses(self) -> list[Any]:
        """The distillation losses, one entry for each term."""
        return self._entries[0]

    @property
    def output_names(self) -> list[str]:
        """The student's output names, which `compile` may refer to."""
        return self.student.output_names

    @property
    def uses_temperature(self) -> bool:
        """Whether a loss softens by the distiller's temperature."""
        return any(term.uses_temperature for term in self.terms)

    @property
    def policies(self) -> list[Temperature]:
        """The policies in use: the distiller's, and those of its losses."""
        own = [policy for term in self.terms for policy in term.policies]
        return [self.temperature, *own] if self.uses_temperature else own

    def _look_at_models(self) -> None:
        """Builds and checks what can be, before any data are seen."""
        if self.student.built and self.teacher.built:
            pair = _Pair(known_input(self.student), known_input(self.teacher))
            if None not in pair:
                self.compute_output_spec(pair)
            self.built = self._looked

    def build(self, *shapes: Any, **named_shapes: Any) -> None:
        """Does nothing: the models build themselves when they are called."""

    def _pair(self, x: Any) -> _Pair:
        return _Pair(self._student_input(x), self._teacher_input(x))

    def _student_input(self, x: Any) -> Any:
        if isinstance(x, CachedBatch):
            x = x.inputs
        if isinstance(x, TokenizedInputs):
            return x.student
        return x if self.student_inputs is None else self.student_inputs(x)

    def _teacher_input(self, x: Any) -> Any:
        if isinstance(x, TokenizedInputs):
            return x.teacher
        return x if self.teacher_inputs is None else self.teacher_inputs(x)

    def _first_look(self, pair: _Pair) -> Any:
        """Runs both models once, to build and to check what depends on it.

        Returns:
            The student's outputs.
        """
        teacher = self._tapped_teacher(pair.teacher, training=False)
        student = self._tapped_student(pair.student, training=False)
        self._reader.check_outputs(teacher.outputs, student.outputs)
        for term in self.terms:
            term.first_look(teacher, student)
        for shapes in self._reader.logit_shapes(
            teacher.outputs, student.outputs
        ):
            for policy in self.policies:
                if not policy.built:
                    policy.build(*shapes)
        self._looked = True
        return student.outputs

    @property
    def _complete(self) -> bool:
        layers = [self.teacher, self.student]
        layers += [p for t in self.terms for p in t.projectors]
        layers += self.policies
        return all(layer.built for layer in layers)

    # What trains: the student, and what belongs to the distillation.

    @property
    def trainable_weights(self) -> list[Any]:
        """The weights of the student, the temperatures and the projectors."""
        if not self.trainable:
            return []
        layers = [self.student, *self.policies, *self.terms]
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

    # The step.

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
            taken=["loss", *(tracker.name for tracker in self.trackers)],
        )
        if metrics and not any(term.reads_logits for term in self.terms):
            raise ValueError(
                "`distillation_metrics` read the outputs that losses on "
                "logits read, and `distillation_losses` must hold such a "
                "loss, as `keras_dts.losses.KD()`. Received: "
                f"distillation_losses={self.distillation_losses}"
            )
        bound = inspect.signature(super().compile).bind(*args, **kwargs)
        if is_causal(self.student):
            _weigh_metrics(bound.arguments)
        self._chunks.compiled(
            *map(bound.arguments.get, ("loss", "loss_weights", "jit_compile"))
        )
        super().compile(*bound.args, **bound.kwargs)
        self._head_metrics = HeadMetrics(metrics)

    @property
    def evaluates_teacher(self) -> bool:
        """Whether an evaluation runs the teacher too."""
        return bool(self._head_metrics.metrics)

    @property
    def metrics(self) -> list[Any]:
        """All metrics; those of the distillation come last."""
        return [*super().metrics, *self._head_metrics.metrics]

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains the student; see `keras.Model.fit`."""
        guard = FaultGuard()

        def change(options: dict[str, Any]) -> None:
            given = options.get("callbacks")
            if isinstance(given, keras.callbacks.CallbackList):
                given = given.callbacks
            given = [c for c in keras.tree.flatten(given) if c is not None]
            options["callbacks"] = [guard, *given, EpochDriver()]
            self._data.for_fit(options, teacher=self.evaluates_teacher)

        try:
            return self._data.call(super().fit, args, kwargs, change)
        finally:
            guard.reattach()

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates the student; see `keras.Model.evaluate`."""
        return self._data.call(
            super().evaluate,
            args,
            kwargs,
            self._data.for_evaluation,
            teacher=self.evaluates_teacher,
        )

    @functools.wraps(keras.Model.predict)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the student's outputs; see `keras.Model.predict`."""
        return self._data.call(
            super().predict,
            args,
            kwargs,
            self._data.for_evaluation,
            teacher=False,
        )

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Trains on one batch; see `keras.Model.train_on_batch`."""
        clear_faults(self)
        logs = self._data.call(
            super().train_on_batch,
            args,
            kwargs,
            self._data.for_batch,
            teacher=True,
        )
        raise_faults(self, "in this batch")
        return logs

    @functools.wraps(keras.Model.test_on_batch)
    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates on one batch; see `keras.Model.test_on_batch`."""
        return self._data.call(
            super().test_on_batch,
            args,
            kwargs,
            self._data.for_batch,
            teacher=self.evaluates_teacher,
        )

    @functools.wraps(keras.Model.predict_on_batch)
    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Predicts one batch; see `keras.Model.predict_on_batch`."""
        return self._data.call(
            super().predict_on_batch,
            args,
            kwargs,
            self._data.for_batch,
            teacher=False,
        )

    def check_cache(self, cache: TeacherCache) -> None:
        """Raises a `ValueError` unless a cache has what the losses read."""
        cache.check_teacher(self.teacher)
        cache.check_from_logits(self._reader.from_logits[0])
        for term in self.terms:
            cache.check_features(term.teacher_paths)
            if term.reads_outputs:
                loss = type(term._wrapped[0]).__name__
                cache.check_every_class(loss, cache.output_indices)
            for loss in term.losses_on_logits:
                if not loss.takes_coarse:
                    cache.check_every_class(
                        type(loss).__name__, self._reader.outputs_of(loss)
                    )

    def train_step(self, *args: Any) -> Any:
        """Asks the teacher, then defers to Keras's own step.

        Args:
            *args: The batch; on JAX, the state and the batch.
        """
        with self._chunks.step(args[-1]):
            return super().train_step(*self._with_answers(*args))

    def test_step(self, *args: Any) -> Any:
        """Evaluates the student; the teacher runs for metrics that ask."""
        if self.evaluates_teacher:
            args = self._with_answers(*args)
        result = super().test_step(*args)
        logs, *state = result if isinstance(result, tuple) else (result,)
        unused = {tracker.name for tracker in self.trackers} - {"student_loss"}
        logs = {name: v for name, v in logs.items() if name not in unused}
        return (logs, *state) if state else logs

    def _with_answers(self, *args: Any) -> tuple[Any, ...]:
        """Puts the teacher's answers into a step's batch."""
        *state, data = args
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        classes, overlap = None, None
        if isinstance(x, CachedBatch):
            answers, classes = self._cached_answers(x)
            x = x.inputs
        else:
            answers = self._ask_teacher(x, *state)
        if isinstance(x, TokenizedInputs) and x.spans:
            outputs, overlap = align_spans(answers.outputs, *x.spans)
            answers = answers._replace(outputs=outputs)
        batch = _Batch(x, answers, overlap, classes)
        return (*state, (batch, y, sample_weight))

    def _cached_answers(self, x: CachedBatch) -> tuple[ModelOutputs, list[Any]]:
        """Returns the answers in a batch, and which classes they are of."""
        if not (self._complete and self._looked):
            self._first_look(self._pair(x.inputs))
        outputs = self._reader.packed(self._codec.restore(x))
        classes = [x.classes.get(str(i)) for i in range(len(x.outputs))]
        return ModelOutputs(outputs, x.features), classes

    def _ask_teacher(self, x: Any, state: Any = None) -> ModelOutputs:
        """Returns the teacher's answers, without a gradient or a change."""
        if not self._complete:
            self._first_look(self._pair(x))
        if state is None:
            variables = self.teacher.variables
            values = [ops.stop_gradient(v.value) for v in variables]
        else:
            variables = [
                *self.trainable_variables,
                *self.non_trainable_variables,
            ]
            values = [*state[0], *state[1]]
        # In the scope, what the teacher assigns is dropped, and on torch
        # detached weights keep it from recording a graph.
        with keras.StatelessScope(zip(variables, values, strict=True)):
            inputs = self._teacher_input(x)
            answers = self._tapped_teacher(inputs, training=False)
        return keras.tree.map_structure(ops.stop_gradient, answers)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the student's outputs.

        Args:
            inputs: A batch's `x`.
            training: Whether the student runs in training mode.
        """
        if isinstance(inputs, _Pair):
            return self._first_look(inputs)
        if isinstance(inputs, _Batch):
            x = self._student_input(inputs.inputs)
            return self._tapped_student(x, training)
        if not self._looked:
            self._first_look(self._pair(inputs))
        x = self._student_input(inputs)
        return self._tapped_student(x, training).outputs

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns nothing: the student's outputs carry their own masks."""

    # The loss.

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
            x: The inputs; in a training step, and where metrics ask for
                them, with the teacher's answers.
            y: The labels, or `None`.
            y_pred: What `call` returned.
            sample_weight: The user's weights, or `None`.
            training: Whether this is a training step.

        Returns:
            A scalar.
        """
        outputs = y_pred.outputs if isinstance(y_pred, ModelOutputs) else y_pred
        self._reader.check_targets(outputs, y, sample_weight)
        if not isinstance(x, _Batch):
            return self._evaluated(x, y, outputs, sample_weight)
        if isinstance(outputs, HiddenStates):
            told = self._told_in_chunks(x, y, outputs, sample_weight)
            return self._combined(x, told)
        heads, faults, safe_y = self._reader.prepare(
            x.teacher.outputs,
            outputs,
            y,
            sample_weight,
            self.loss,
            x.overlap,
            x.classes,
        )
        self._head_metrics.update(heads, faults[0])
        if not training:
            return self._evaluated(x, y, outputs, sample_weight)
        temperatures = self._temperatures(heads, training=True)
        step = Step(
            x.teacher,
            y_pred,
            heads,
            temperatures,
            sample_weight,
            padding_of(x.inputs),
        )
        student_loss = self._student_loss(safe_y, outputs, sample_weight)
        values = [term.loss(step) for term in self.terms]
        told = Told(student_loss, values, faults, logged(heads, temperatures))
        return self._combined(x, told)

    def _told_in_chunks(
        self, x: Any, y: Any, student: HiddenStates, sample_weight: Any
    ) -> Told:
        """Returns what a step tells, and updates the metrics of `compile`."""
        size: Any = self._chunks.size(student.states)
        tokens = self._chunked.tokens(
            x.teacher.outputs,
            student,
            y,
            sample_weight,
            self.loss,
            size,
            x.classes,
            jit=self._chunks.jit,
        )
        told = self._chunked.told(tokens, student, sample_weight, self.loss)
        if len(self.metrics) > len(self.trackers) + 1:  # one for the loss
            self._chunked.update_metrics(
                tokens,
                sample_weight,
                self._update_metrics,
                self.metrics_variables,
            )
        loss = _replica_share() * self._penalties()
        if told.student_loss is not None:
            loss = told.student_loss + loss
        return told._replace(student_loss=loss)

    def _update_metrics(self, chunk: Chunk, y: Any, sample_weight: Any) -> None:
        self._head_metrics.update([chunk.head], chunk.faults[0])
        if y is not None:
            super().compute_metrics(None, y, chunk.outputs, sample_weight)

    def _combined(self, x: Any, told: Told) -> Tensor:
        """Combines, logs and counts what a training step tells."""
        distillation_loss = sum(
            self._now(weight) * value
            for weight, value in zip(
                self.distillation_loss_weights, told.values, strict=True
            )
        )
        if self.uses_temperature:
            softened = zip(self.terms, told.values, strict=True)
            self.temperature.observe(
                sum(v for term, v in softened if term.uses_temperature)
            )
        share = _replica_share()
        parts = {
            "student_loss": told.student_loss / share,
            "distillation_loss": distillation_loss,
        }
        self._track(x, parts | told.logged)
        weight = self._now(self.student_loss_weight)
        self.step.assign_add(1)
        self.faults.assign(ops.maximum(self.faults, told.faults))
        taught = share * (distillation_loss + self._penalties())
        loss = weight * told.student_loss + (1 - weight) * taught
        return loss * (1 - ops.max(told.faults))

    def _evaluated(
        self, x: Any, y: Any, outputs: Any, sample_weight: Any
    ) -> Tensor:
        """Returns the loss of an evaluation, the student's own, and logs it."""
        loss = self._student_loss(y, outputs, sample_weight)
        self._track(x, {"student_loss": loss / _replica_share()})
        return loss

    def _student_loss(self, y: Any, outputs: Any, sample_weight: Any) -> Tensor:
        """Returns what the student's own `fit` would minimise."""
        if y is None or self.loss is None:
            return _replica_share() * self._penalties()
        outputs = self._reader.with_masks(outputs, sample_weight)
        return super().compute_loss(None, y, outputs, sample_weight)

    def _penalties(self) -> Tensor:
        """Returns the student's regularizers and `add_loss`."""
        penalties = [ops.sum(ops.cast(p, loss_dtype())) for p in self.losses]
        return sum(penalties, ops.zeros((), dtype=loss_dtype()))

    def _now(self, weight: float | Schedule) -> Any:
        return weight(self.step) if isinstance(weight, Schedule) else weight

    def _temperatures(
        self, heads: list[LogitPair | None], *, training: bool
    ) -> list[Temperatures | None]:
        """Asks the policy, once, for all outputs that losses read."""
        if not self.uses_temperature:
            return [None] * len(heads)
        read = [head for head in heads if head is not None]
        answers = iter(self.temperature.heads(read, training=training))
        return [None if head is None else next(answers) for head in heads]

    def temperatures_of(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> list[Temperatures | None]:
        """Returns the temperatures that a batch has now; nothing changes.

        Teacher and student answer, and the distiller's policy is asked, as in
        a training step, but with `training=False`.

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
        self._data.for_batch(given, teacher=True)
        names = ("x", "y", "sample_weight")
        data = keras.tree.map_structure(
            lambda v: None if v is None else ops.convert_to_tensor(v),
            tuple(given.get(name) for name in names),
        )
        ((batch, y, sample_weight),) = self._with_answers(data)
        heads = self._reader.prepare(
            batch.teacher.outputs,
            self(batch, training=False).outputs,
            y,
            sample_weight,
            self.loss if self.compiled else None,
            batch.overlap,
            batch.classes,
        ).heads
        answers = self._temperatures(heads, training=False)
        return [
            answer and Temperatures(*(_counted(t, head) for t in answer))
            for answer, head in zip(answers, heads, strict=True)
        ]

    def _track(self, x: Any, values: dict[str, Tensor]) -> None:
        """Logs values as Keras logs the loss: weighted by the batch's size."""
        first = next(i for i in keras.tree.flatten(x) if i is not None)
        for tracker in self.trackers:
            if tracker.name in values:
                value = values[tracker.name]
                tracker.update_state(value, sample_weight=ops.shape(first)[0])

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the logs; metrics that need labels wait for labels."""
        if isinstance(y_pred, ModelOutputs):
            y_pred = y_pred.outputs
        if y is None or isinstance(y_pred, HiddenStates):
            return self.get_metrics_result()
        return super().compute_metrics(x, y, y_pred, sample_weight)

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


def _weigh_metrics(options: dict[str, Any]) -> None:
    """Makes the metrics of `compile` count as the sample weights say.

    The preprocessors of language models say by weights what is padding.
    """
    metrics = options.get("metrics") or []
    weighted = options.get("weighted_metrics") or []
    if isinstance(metrics, list) and isinstance(weighted, list):
        options["weighted_metrics"] = [*metrics, *weighted] or None
        options["metrics"] = None


def _without(variables: list[Any], others: list[Any]) -> list[Any]:
    left_out = {id(v) for v in others}
    return [v for v in variables if id(v) not in left_out]


def _counted(temperature: Tensor, head: Any) -> Any:
    """Returns, as NumPy, a scalar as it is, and of others what counts."""
    value = ops.convert_to_numpy(temperature)
    return value[ops.convert_to_numpy(head.counted)] if value.ndim else value


def _replica_share() -> Any:
    """Returns one over the number of TensorFlow's replicas.

    Keras divides losses by that number, since the replicas' gradients are
    summed. It offers the number only by way of a loss.
    """
    if keras.config.backend() != "tensorflow":
        return 1.0
    off_by_one = keras.losses.MeanAbsoluteError()
    return off_by_one(ops.zeros((1, 1)), ops.ones((1, 1)))
