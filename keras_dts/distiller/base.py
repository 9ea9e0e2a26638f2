"""What Keras sees of a distiller: weights, logs, and how it was made."""

from __future__ import annotations

import abc
from typing import Any

import keras

from keras_dts.backend import summed_over_processes, without_parallel_model
from keras_dts.distiller.checkpoints import CheckpointedModel
from keras_dts.distiller.logs import DistillationMetrics, results_of
from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.objective import Objective
from keras_dts.distiller.steps import labels_of
from keras_dts.features import Projector
from keras_dts.temperatures import Temperature
from keras_dts.types import HiddenStates, ModelOutputs
from keras_dts.utils import (
    Untracked,
    deserialize,
    serialize,
)

# The constructor's arguments that hold objects.
_SERIALIZED = (
    "teacher",
    "student",
    "distillation_losses",
    "distillation_loss_weights",
    "student_loss_weight",
    "temperature",
    "teacher_inputs",
    "student_inputs",
)


class TeacherStudentModel(CheckpointedModel):
    """A model of two, of which one trains.

    What trains are the student, the temperatures and the projectors.

    A subclass has the arguments of its constructor and of `compile` as
    attributes.

    Attributes:
        objective: The objective of training steps.
    """

    objective: Objective
    _models: ModelPair
    _shared: Untracked[Temperature]
    _comparisons: DistillationMetrics
    on_fault: str = "raise"
    step_logs: tuple[str, ...] = ()  # beside their losses
    # `Steps` joins the gradients of processes.
    ddp_model = without_parallel_model()

    @property
    @abc.abstractmethod
    def plain_config(self) -> dict[str, Any]:
        """The arguments of the constructor that hold no objects."""

    @property
    def temperature(self) -> Temperature:
        """The temperature of losses that have none of their own."""
        return self._shared.value

    @property
    def distillation_metrics(self) -> list[Any]:
        """The metrics that `compile` got as `distillation_metrics`."""
        return self._comparisons.metrics

    @property
    def evaluates_teacher(self) -> bool:
        """Whether an evaluation runs the teacher too."""
        return bool(self.distillation_metrics)

    @property
    def output_names(self) -> list[str]:
        """The student's output names, which `compile` may refer to."""
        return self.student.output_names

    @property
    def policies(self) -> tuple[Temperature, ...]:
        """The temperatures in use: the distiller's, and those of its losses."""
        return self._models.policies

    @property
    def uses_temperature(self) -> bool:
        """Whether a loss softens by the distiller's temperature."""
        return self.objective.terms.uses_temperature

    @property
    def projectors(self) -> tuple[Projector, ...]:
        """The layers that project the student's features."""
        return self.objective.terms.projectors

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
        trainable = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trainable]

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Checks the models first, since Keras adds to the errors of `call`."""
        self._models.ensure_ready(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, *shapes: Any, **named_shapes: Any) -> None:
        """Does nothing: the models build themselves when they are called."""

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Returns nothing: the student's outputs carry their own masks."""

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Returns the logs; metrics of labels only where there are labels."""
        outputs = y_pred.outputs if isinstance(y_pred, ModelOutputs) else y_pred
        labels = labels_of(y)
        if labels is None:
            return results_of(self.metrics, labels=False)
        if isinstance(outputs, HiddenStates):
            return self.get_metrics_result()
        return super().compute_metrics(x, labels, outputs, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the logs of the metrics that have seen something.

        Where PyTorch trains in several processes, all of them must call it, as
        `fit` and `evaluate` do at their ends.
        """
        with summed_over_processes(self.metrics_variables):
            return results_of(self.metrics)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialized."""
        config = super().get_config()
        return {
            **{k: config[k] for k in ("name", "trainable", "dtype")},
            **{name: serialize(getattr(self, name)) for name in _SERIALIZED},
            **self.plain_config,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> TeacherStudentModel:
        """Makes the distiller that `get_config` described."""
        config = dict(config)
        for name in _SERIALIZED:
            config[name] = deserialize(config[name], custom_objects)
        return cls(**config)

    def get_build_config(self) -> dict[str, Any]:
        """Returns the shapes that the projectors were built with."""
        shapes = [projector.get_build_config() for projector in self.projectors]
        return {"projectors": shapes}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds the projectors, so that their weights can be loaded."""
        for projector, shapes in zip(
            self.projectors, config["projectors"], strict=True
        ):
            if shapes and not projector.built:
                projector.build_from_config(shapes)
        self.built = True

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, serialized."""
        config = super().get_compile_config()
        if config:
            metrics = serialize(self.distillation_metrics)
            config.update(distillation_metrics=metrics, on_fault=self.on_fault)
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` described."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """Exports the student, with its own input; see `keras.Model.export`."""
        return self.student.export(*args, **kwargs)
