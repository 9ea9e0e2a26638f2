"""Takes raw inputs of KerasHub's tasks in `fit` and related methods.

Tasks of KerasHub preprocess strings and images in their own `fit`. A model that
wraps such tasks has to do it for them, before Keras's methods see the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.hub.dataset import (
    holds_raw_strings,
    is_in_memory,
    preprocessed_dataset,
    raw_dataset,
    take_data,
    tensorflow,
)
from keras_dts.hub.preprocessing import (
    TaskPreprocessor,
    pair_preprocessor,
    student_preprocessor,
)
from keras_dts.hub.strings import (
    array_leaves,
    as_array,
    as_arrays,
    map_array_leaves,
)
from keras_dts.hub.tasks import preprocesses_numbers, preprocessor_of
from keras_dts.types import CachedBatch

_NAMES = ("x", "y", "sample_weight")


class RawInputAdapter:
    """Turns raw inputs into what a teacher and a student take.

    A `keras_dts.utils.DataAdapter`.

    Args:
        teacher: The teacher.
        student: The student.
        teacher_inputs: `None`, or a function from the inputs of a batch to
            the teacher's input.
        student_inputs: `None`, or a function from the inputs of a batch to
            the student's input.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        teacher_inputs: Callable[[Any], Any] | None,
        student_inputs: Callable[[Any], Any] | None,
    ) -> None:
        self._teacher = TaskPreprocessor("teacher", teacher, teacher_inputs)
        self._student = TaskPreprocessor("student", student, student_inputs)
        # By whether the teacher runs too: the keys of the preprocessors, and
        # the traced function.
        self._traced: dict[bool, tuple[Any, Callable[..., Any]]] = {}

    def takes(self, x: Any) -> bool:
        """Returns whether a task has to preprocess inputs.

        It has to if they are strings, or an empty list, or if it preprocesses
        numbers, too.
        """
        models = (self._teacher.model, self._student.model)
        if x is None or any(preprocesses_numbers(model) for model in models):
            return x is not None
        tasks = any(preprocessor_of(model) is not None for model in models)
        return holds_raw_strings(x) or (_is_empty(x) and tasks)

    def adapt(
        self, options: dict[str, Any], *, teacher: bool, training: bool = False
    ) -> None:
        """Replaces raw inputs by a `tf.data.Dataset` of preprocessed batches.

        Args:
            options: The arguments of `fit`, `evaluate` or `predict` by name.
            teacher: Whether the teacher runs on the data.
            training: Whether these are the arguments of `fit`, which shuffles
                inputs in memory and may split off a part for validation.

        Raises:
            ValueError: If a model takes no raw strings, or the inputs are
                invalid.
        """
        if training and options.get("validation_split"):
            split_off_validation(options)
        self._check(options["x"], teacher=teacher)
        shuffle = training and options.get("shuffle", True)
        preprocess = self._traced_preprocessor(teacher=teacher)
        raw = raw_dataset(options, shuffle=shuffle)
        options["x"] = preprocessed_dataset(raw, preprocess)
        if shuffle:
            options["shuffle"] = False

    def adapt_batch(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Replaces raw inputs by the tensors of one preprocessed batch.

        Args:
            options: The arguments of `train_on_batch`, `test_on_batch` or
                `predict_on_batch` by name.
            teacher: Whether the teacher runs on the batch.

        Raises:
            ValueError: If a model takes no raw strings, or the inputs are
                invalid.
        """
        self._check(options["x"], teacher=teacher)
        preprocess = self._preprocessor(teacher=teacher)
        x, y, sample_weight, _ = take_data(options)
        x, *others = as_arrays(x, y, sample_weight)
        x = map_array_leaves(_as_list_of_strings, x)
        batch = keras.utils.unpack_x_y_sample_weight(preprocess(x, *others))
        for name, value in zip(_NAMES, batch, strict=True):
            if value is not None:
                options[name] = keras.tree.map_structure(
                    ops.convert_to_tensor, value
                )

    def _check(self, x: Any, *, teacher: bool) -> None:
        """Checks that the models that run take raw strings, if `x` has some."""
        if holds_raw_strings(x) or _is_empty(x):
            if teacher:
                self._teacher.check_strings()
            self._student.check_strings()

    def _preprocessor(self, *, teacher: bool) -> Callable[..., Any]:
        """Returns a function from a raw batch to one that the models take.

        Args:
            teacher: Whether the teacher takes the batch too.
        """
        if teacher:
            preprocess = pair_preprocessor(self._teacher, self._student)
        else:
            preprocess = student_preprocessor(self._student)

        def preprocess_inputs(x: Any, *others: Any) -> Any:
            if not isinstance(x, CachedBatch):
                return preprocess(x, *others)
            batch = preprocess(x.inputs, *others)
            inputs, *rest = keras.utils.unpack_x_y_sample_weight(batch)
            return keras.utils.pack_x_y_sample_weight(
                x._replace(inputs=inputs), *rest
            )

        return preprocess_inputs

    def _traced_preprocessor(self, *, teacher: bool) -> Callable[..., Any]:
        """Returns the preprocessor as a `tf.function`.

        Tracing KerasHub's preprocessors takes half a second, so that the
        traced function is used again until a preprocessor changes.

        Args:
            teacher: Whether the teacher takes the batch too.
        """
        keys = [self._student.cache_key(), self._teacher.cache_key()]
        keys = keys if teacher else keys[:1]
        known_keys, traced = self._traced.get(teacher, (None, None))
        if traced is None or None in keys or keys != known_keys:
            preprocess = self._preprocessor(teacher=teacher)
            traced = tensorflow().function(
                lambda *batch: preprocess(
                    *keras.utils.unpack_x_y_sample_weight(batch)
                )
            )
            self._traced[teacher] = keys, traced
        return traced


def _is_empty(x: Any) -> bool:
    return isinstance(x, (list, np.ndarray)) and len(x) == 0


def _as_list_of_strings(array: Any) -> Any:
    """Returns strings as a list, which KerasHub reads; numbers as they are."""
    return array.tolist() if array.dtype.kind == "O" else array


def split_off_validation(options: dict[str, Any]) -> None:
    """Makes the last examples `validation_data`, as Keras does of arrays."""
    share = options.pop("validation_split")
    if not is_in_memory(options["x"]):
        raise ValueError(
            "`validation_split` must be 0 if `x` is a data set; use "
            f"`validation_data`. Received: validation_split={share}"
        )
    if options.get("validation_data") is not None:
        return
    arrays = [map_array_leaves(as_array, options.get(n)) for n in _NAMES]
    size = len(array_leaves(arrays[0])[0])
    at = int(size * (1 - share))
    if not 0 < at < size:
        raise ValueError(
            "`validation_split` must leave examples on both sides. Received: "
            f"validation_split={share} of {size} examples"
        )

    def part(entries: slice) -> list[Any]:
        return [map_array_leaves(lambda leaf: leaf[entries], a) for a in arrays]

    options.update(zip(_NAMES, part(slice(at)), strict=True))
    options["validation_data"] = tuple(part(slice(at, None)))
