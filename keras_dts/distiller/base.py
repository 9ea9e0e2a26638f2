"""What Keras sees of a distiller: weights, logs, and what is saved."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from keras_dts.backend import summed_over_processes
from keras_dts.distiller.logs import DistillationMetrics, results_of
from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.objective import Objective
from keras_dts.distiller.online_teacher import load_teacher, save_teacher
from keras_dts.distiller.steps import labels_of
from keras_dts.features import Projector
from keras_dts.temperatures import Temperature
from keras_dts.types import HiddenStates, ModelOutputs
from keras_dts.utils import (
    Untracked,
    deserialize,
    replaced,
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


class TeacherStudentModel(keras.Model, abc.ABC):
    """A model of two, of which one trains.

    What trains are the student, the temperatures and the projectors. `save` is
    complete. `save_weights`, as callbacks call it, keeps of the teacher's
    weights the fingerprint alone.

    A subclass has the arguments of its constructor and of `compile` as
    attributes.

    Attributes:
        objective: The objective of training steps.
    """

    teacher: keras.Model
    student: keras.Model
    objective: Objective
    _models: ModelPair
    _shared: Untracked[Temperature]
    _comparisons: DistillationMetrics
    on_fault: str = "raise"
    step_logs: tuple[str, ...] = ()  # beside their losses
    # Attributes that Keras's saving shall not find.
    _hidden: frozenset[str] | set[str] = frozenset()

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
        return _without(self.weights, self.trainable_weights)

    @property
    def non_trainable_variables(self) -> list[Any]:
        """All other variables; the teacher's are among them."""
        return _without(self.variables, self.trainable_weights)

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

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves all of it; see `keras.Model.save`.

        Raises:
            ValueError: If `filepath` is a file of the older format HDF5.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "`filepath` of a distiller must end in `.keras`: a file of "
                "HDF5 holds no model of two. `distiller.student.save("
                f"{str(filepath)!r})` saves the student alone. Received: "
                f"filepath={str(filepath)!r}"
            )
        super().save(filepath, *args, **kwargs)

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """Exports the student, with its own input; see `keras.Model.export`."""
        return self.student.export(*args, **kwargs)

    def save_weights(
        self,
        filepath: Any,
        overwrite: bool = True,
        max_shard_size: float | None = None,
    ) -> None:
        """Saves all weights but the teacher's, and who the teacher was.

        A killed process leaves the old file or the new one. Several files,
        remote ones, and those that Keras asks about are written in place.
        """
        name = str(filepath)
        at_once = overwrite and max_shard_size is None
        at_once = at_once and name.endswith(".weights.h5") and "://" not in name
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._without_teacher())
            if at_once:
                filepath = stack.enter_context(replaced(Path(filepath)))
            super().save_weights(filepath, overwrite, max_shard_size)

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Loads what `save_weights` saved.

        Raises:
            ValueError: If it was saved with another teacher.
        """
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        with self._without_teacher():
            super().load_weights(filepath, *args, **kwargs)

    @contextlib.contextmanager
    def _without_teacher(self) -> Iterator[None]:
        self._hidden = {"teacher", "layers"}  # both lead to the teacher
        try:
            yield
        finally:
            self._hidden = set()

    def __dir__(self) -> list[str]:
        """Lists the attributes; Keras saves the state of those it finds."""
        return sorted(set(super().__dir__()) - self._hidden)

    def save_own_variables(self, store: Any) -> None:
        """Saves the distiller's own state."""
        super().save_own_variables(store)
        if self._hidden:
            save_teacher(self.teacher, store)

    def load_own_variables(self, store: Any) -> None:
        """Loads the distiller's own state.

        Raises:
            ValueError: If it was saved with another teacher.
        """
        values = {key: store[key] for key in store.keys()}  # noqa: SIM118
        if not load_teacher(self.teacher, values):
            # Keras would go on to load the rest, and raise then.
            self._hidden = set(super().__dir__())
            raise ValueError(
                "`teacher` must be the one that these weights were trained "
                f"with. Received: {self.teacher.name!r}, whose weights differ"
            )
        super().load_own_variables(values)


def _without(variables: list[Any], others: list[Any]) -> list[Any]:
    left_out = {id(v) for v in others}
    return [v for v in variables if id(v) not in left_out]
