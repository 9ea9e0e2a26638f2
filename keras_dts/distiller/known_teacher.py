"""Who the teacher of a distiller is, for checkpoints that leave it out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_dts.backend import frozen
from keras_dts.cache import fingerprint
from keras_dts.distiller.online_teacher import learned_of

# The names by which a checkpoint keeps a teacher.
_TEACHER, _LEARNED = "teacher", "learned_{}"


class KnownTeacher:
    """A teacher that is known by the fingerprint of its frozen weights.

    Args:
        teacher: The teacher.
    """

    def __init__(self, teacher: keras.Model) -> None:
        self._teacher = teacher
        self._is_fixed = False
        self._known: np.ndarray[Any, Any] | None = None

    @contextlib.contextmanager
    def fixed(self, trained: Iterable[Any]) -> Iterator[None]:
        """Reads the weights once at most, as long as a training runs.

        On PyTorch, they have no gradient until then.

        Args:
            trained: The variables that train; the teacher may share them.
        """
        moved = {id(v) for v in trained}
        self._is_fixed = True
        try:
            with frozen(v for v in self.frozen if id(v) not in moved):
                yield
        finally:
            self._is_fixed, self._known = False, None

    @property
    def fingerprint(self) -> np.ndarray[Any, Any]:
        """The fingerprint, `uint8`, shape `(32,)`."""
        if self._known is not None:
            return self._known
        learned = learned_of(self._teacher)
        found = fingerprint(self._teacher, without=learned)
        if self._is_fixed:
            self._known = found
        return found

    @property
    def frozen(self) -> list[Any]:
        """The variables that no training moves."""
        learned = {id(v) for v in learned_of(self._teacher)}
        return [v for v in self._teacher.variables if id(v) not in learned]

    def save(self, store: Any) -> None:
        """Saves who the teacher is, and what of it the training has moved.

        Args:
            store: Where to, by name.
        """
        store[_TEACHER] = self.fingerprint
        for i, variable in enumerate(learned_of(self._teacher)):
            store[_LEARNED.format(i)] = keras.ops.convert_to_numpy(variable)

    def load(self, values: dict[str, Any]) -> None:
        """Loads what `save` saved, and takes it out of the values.

        Args:
            values: What was saved, by name; perhaps without a teacher.

        Raises:
            ValueError: If it was another teacher.
        """
        saved = values.pop(_TEACHER, None)
        if saved is None:
            return
        self.check(saved)
        for i, variable in enumerate(learned_of(self._teacher)):
            variable.assign(values.pop(_LEARNED.format(i)))

    def check(self, saved: Any) -> None:
        """Raises a `ValueError` unless a saved fingerprint is the teacher's.

        Args:
            saved: The fingerprint.
        """
        found = keras.ops.convert_to_numpy(saved)
        if not np.array_equal(found, self.fingerprint):
            raise ValueError(
                "`teacher` must be the one that these weights were trained "
                f"with. Received: {self._teacher.name!r}, whose weights differ"
            )
