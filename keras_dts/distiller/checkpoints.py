"""Which weights of a distiller train, and how they are saved."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_dts.utils import deserialize, fingerprint, serialize

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


class CheckpointedModel(keras.Model, abc.ABC):
    """A model of two, of which one trains; saved whole, or without the other.

    What trains are the student, the temperatures and the projectors. `save` is
    complete. `save_weights`, which Keras's callbacks call, leaves
    the teacher's weights out and keeps its fingerprint.

    A subclass has the arguments of its constructor as attributes, and
    implements the properties below.
    """

    teacher: keras.Model
    student: keras.Model

    # Attributes that Keras's saving shall not find.
    _hidden: frozenset[str] | set[str] = frozenset()

    @property
    @abc.abstractmethod
    def plain_config(self) -> dict[str, Any]:
        """The arguments of the constructor that hold no objects."""

    @property
    @abc.abstractmethod
    def policies(self) -> tuple[Any, ...]:
        """The temperatures in use."""

    @property
    @abc.abstractmethod
    def projectors(self) -> tuple[Any, ...]:
        """The layers that are built by the shapes of features."""

    @property
    @abc.abstractmethod
    def distillation_metrics(self) -> list[Any]:
        """The metrics that `compile` got as `distillation_metrics`."""

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
    ) -> CheckpointedModel:
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
            config["distillation_metrics"] = metrics
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` described."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves all weights but the teacher's, and who the teacher was."""
        with self._without_teacher():
            super().save_weights(filepath, *args, **kwargs)

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
            store["teacher"] = fingerprint(self.teacher)

    def load_own_variables(self, store: Any) -> None:
        """Loads the distiller's own state.

        Raises:
            ValueError: If it was saved with another teacher.
        """
        values = {key: store[key] for key in store.keys()}  # noqa: SIM118
        saved = values.pop("teacher", None)
        if saved is not None and not np.array_equal(
            saved, fingerprint(self.teacher)
        ):
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
