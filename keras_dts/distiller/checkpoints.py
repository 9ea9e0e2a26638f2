"""What a distiller saves: all of it, or all but the teacher's weights."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from keras_dts.backend import on_all_devices, process_index, spanning
from keras_dts.distiller.known_teacher import KnownTeacher
from keras_dts.utils import replaced


class CheckpointedModel(keras.Model, abc.ABC):
    """A model that keeps of its teacher the fingerprint in a checkpoint.

    `save` is complete. `save_weights` and `get_state_tree`, which callbacks
    call, leave the teacher's weights out, but for those that train. If its
    weights are divided among several processes, all of them must call.

    Args:
        teacher: The teacher.
        student: The student.
        **kwargs: Passed on to `keras.Model`.
    """

    # Attributes that Keras's saving shall not find.
    _hidden: frozenset[str] | set[str] = frozenset()
    # Variables, by `id`, that the state tree shall not have.
    _left_out: frozenset[int] = frozenset()

    def __init__(
        self, teacher: keras.Model, student: keras.Model, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.teacher, self.student = teacher, student
        self.known_teacher = KnownTeacher(teacher)

    @property
    def non_trainable_variables(self) -> list[Any]:
        """All other variables; the teacher's are among them."""
        left_out = self._left_out | {id(v) for v in self.trainable_weights}
        return [v for v in self.variables if id(v) not in left_out]

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves all of it; see `keras.Model.save`.

        Raises:
            ValueError: If `filepath` is a file of the older format HDF5, or
                no process has all weights of the models.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "`filepath` of a distiller must end in `.keras`: a file of "
                "HDF5 holds no model of two. `distiller.student.save("
                f"{str(filepath)!r})` saves the student alone. Received: "
                f"filepath={str(filepath)!r}"
            )
        self._check_whole("save", self.variables)
        super().save(filepath, *args, **kwargs)

    def save_weights(
        self,
        filepath: Any,
        overwrite: bool = True,
        max_shard_size: float | None = None,
    ) -> None:
        """Saves all weights but the teacher's, and who the teacher was.

        A killed process leaves the old file or the new one. Several files,
        remote ones, and those that Keras asks about are written in place.

        Raises:
            ValueError: If no process has all weights of the student.
        """
        self._check_whole("save_weights", self._kept)
        name = str(filepath)
        at_once = overwrite and max_shard_size is None
        at_once = at_once and name.endswith(".weights.h5") and "://" not in name
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._without_teacher())
            if at_once:
                file = replaced(Path(filepath), process_index())
                filepath = stack.enter_context(file)
            super().save_weights(filepath, overwrite, max_shard_size)

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Loads what `save_weights` or `OrbaxCheckpoint` saved.

        Raises:
            ValueError: If it was saved with another teacher.
        """
        optimizer = getattr(self, "optimizer", None)  # compiled or not
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.trainable_variables)
        with self._without_teacher():
            super().load_weights(filepath, *args, **kwargs)

    def get_state_tree(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Returns the state without the teacher's weights, by variable path.

        See `keras.Model.get_state_tree`. `"teacher"` holds the fingerprint of
        the teacher, `uint8`, shape `(32,)`.
        """
        with self._without_frozen_variables():
            tree = super().get_state_tree(*args, **kwargs)
        return {
            **tree,
            "teacher": on_all_devices(self.known_teacher.fingerprint),
        }

    def set_state_tree(self, state_tree: dict[str, Any]) -> None:
        """Sets the state that `get_state_tree` returned.

        Raises:
            ValueError: If it is of another teacher, or is that of a new
                distiller, whose teacher is in no checkpoint.
        """
        variables = dict(state_tree)
        saved = variables.pop("teacher", None)
        if saved is not None:
            self.known_teacher.check(saved)
        elif "optimizer_variables" in variables:
            raise ValueError(
                "`state_tree` must say of which teacher it is. A checkpoint of "
                "Orbax has no weights of a teacher: make the distiller with "
                "its teacher, and call `load_weights(directory)` in place of "
                f"`load_model`. Received: {', '.join(variables)}"
            )
        with self._without_frozen_variables():
            self._check_paths(variables)
            super().set_state_tree(variables)

    def _check_paths(self, state_tree: dict[str, Any]) -> None:
        """Raises if Keras would silently leave out a part of a state."""
        groups = {
            "trainable_variables": self.trainable_variables,
            "non_trainable_variables": self.non_trainable_variables,
            "optimizer_variables": self.optimizer.variables,
        }
        for name in groups.keys() & state_tree:
            saved = set(_paths_of(state_tree[name]))
            own = {variable.path for variable in groups[name]}
            if saved != own:
                raise ValueError(
                    f"`state_tree` must have the paths of this distiller's "
                    f"{name}. Give models, temperatures and optimizers the "
                    "names that they had, or make them in the same order in a "
                    f"new process. Received: {sorted(saved - own)}, where it "
                    f"has {sorted(own - saved)}"
                )

    def save_own_variables(self, store: Any) -> None:
        """Saves the distiller's own state."""
        super().save_own_variables(store)
        if self._hidden:
            self.known_teacher.save(store)

    def load_own_variables(self, store: Any) -> None:
        """Loads the distiller's own state.

        Raises:
            ValueError: If it was saved with another teacher.
        """
        values = {key: store[key] for key in store.keys()}  # noqa: SIM118
        try:
            self.known_teacher.load(values)
        except ValueError:
            # Keras would go on to load the rest, and raise then.
            self._hidden = set(super().__dir__())
            raise
        super().load_own_variables(values)

    def __dir__(self) -> list[str]:
        """Lists the attributes; Keras saves the state of those it finds."""
        return sorted(set(super().__dir__()) - self._hidden)

    @contextlib.contextmanager
    def _without_teacher(self) -> Iterator[None]:
        self._hidden = {"teacher", "layers"}  # both lead to the teacher
        try:
            yield
        finally:
            self._hidden = set()

    @contextlib.contextmanager
    def _without_frozen_variables(self) -> Iterator[None]:
        kept = {id(v) for v in self._kept}
        self._left_out = frozenset(map(id, self.variables)) - kept
        try:
            yield
        finally:
            self._left_out = frozenset()

    @property
    def _kept(self) -> list[Any]:
        """All variables but those of the teacher that do not train."""
        frozen = {id(v) for v in self.known_teacher.frozen}
        frozen -= {id(v) for v in self.student.variables}
        return [v for v in self.variables if id(v) not in frozen]

    @staticmethod
    def _check_whole(method: str, variables: list[Any]) -> None:
        """Raises if no process has all values of variables."""
        for variable in spanning(variables):
            raise ValueError(
                f"`{method}` needs all weights in each process. "
                "`keras.callbacks.OrbaxCheckpoint` saves those that are "
                "divided, and `distiller.student.save` a student that is not. "
                f"Received: {variable.path!r}, divided among processes"
            )


def _paths_of(tree: dict[str, Any], before: str = "") -> Iterator[str]:
    """Yields the paths of a nested dictionary's values."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _paths_of(value, f"{before}{key}/")
        else:
            yield f"{before}{key}"
