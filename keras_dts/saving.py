"""What a distiller writes down: its configuration, and who its teacher is."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

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


def fingerprint(model: keras.Model) -> np.ndarray[Any, Any]:
    """Returns 32 bytes that change when any of a model's weights does.

    Args:
        model: A built Keras model.

    Returns:
        A SHA-256 digest over shapes and values, `uint8`, shape `(32,)`.
    """
    digest = hashlib.sha256()
    for variable in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return np.frombuffer(digest.digest(), dtype="uint8")


def serialize(thing: Any) -> Any:
    """Describes a loss, policy, function, model, or structure of them.

    A `DistillationLoss` with only a `compute_loss`, as Keras documents it,
    is described by its class, which must take no arguments.
    """
    if isinstance(thing, dict):
        return {key: serialize(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [serialize(value) for value in thing]
    if isinstance(thing, keras.distillation.DistillationLoss) and not hasattr(
        thing, "get_config"
    ):
        return {"argumentless": type(thing).__name__}
    return keras.saving.serialize_keras_object(thing)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """Makes what `serialize` described.

    Raises:
        ValueError: If a class is not known to Keras.
    """
    if isinstance(config, list):
        return [deserialize(value, custom_objects) for value in config]
    if not isinstance(config, dict) or "class_name" in config:
        return keras.saving.deserialize_keras_object(config, custom_objects)
    if "argumentless" not in config:
        return {k: deserialize(v, custom_objects) for k, v in config.items()}
    name = config["argumentless"]
    kind = keras.saving.get_registered_object(name, custom_objects)
    if kind is None:
        raise ValueError(
            f"`custom_objects` must hold the loss {name!r} of this "
            "distiller, which has no `get_config` and so cannot be "
            "registered with Keras. Received: none of that name"
        )
    return kind()


class Checkpoints(keras.Model):
    """How a distiller is saved: whole, or without its teacher.

    `save` is complete. `save_weights`, which Keras's callbacks call, leaves
    the teacher's weights out and keeps its fingerprint.
    """

    # Attributes that Keras's saving shall not find.
    _hidden: frozenset[str] | set[str] = frozenset()

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialized."""
        return {
            **{
                k: v
                for k, v in super().get_config().items()
                if k in ("name", "trainable", "dtype")
            },
            **{name: serialize(getattr(self, name)) for name in _SERIALIZED},
            "from_logits": self._reader.from_logits,
            "chunk_size": self._chunks.chunk_size,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Checkpoints:
        """Makes the distiller that `get_config` described."""
        config = dict(config)
        for name in _SERIALIZED:
            config[name] = deserialize(config[name], custom_objects)
        return cls(**config)

    def get_build_config(self) -> dict[str, Any]:
        """Returns the shapes that the projectors were built with."""
        return {
            "projectors": [
                p.get_build_config() for t in self.terms for p in t.projectors
            ]
        }

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds the projectors, so that their weights can be loaded."""
        projectors = [p for term in self.terms for p in term.projectors]
        for projector, shapes in zip(
            projectors, config["projectors"], strict=True
        ):
            if shapes and not projector.built:
                projector.build_from_config(shapes)
        self.built = True

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, serialized."""
        config = super().get_compile_config()
        if config:
            config["distillation_metrics"] = serialize(
                self._head_metrics.metrics
            )
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
