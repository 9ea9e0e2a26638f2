"""Takes raw strings in `fit` and related methods.

Tasks of KerasHub tokenize raw strings in their own `fit`. A model that wraps
such tasks has to do it for them, before Keras's methods see the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.text.dataset import (
    holds_raw_strings,
    is_dataset,
    raw_batches,
    strict_batches,
    take_data,
    tensorflow,
    tokenized_dataset,
)
from keras_dts.text.preprocessing import TextPreprocessor, pair_preprocessor
from keras_dts.text.strings import (
    array_leaves,
    as_array,
    as_arrays,
    map_array_leaves,
)
from keras_dts.text.tasks import preprocessor_of
from keras_dts.types import CachedBatch

_NAMES = ("x", "y", "sample_weight")


class RawTextAdapter:
    """Turns raw strings into tokens for a teacher and a student.

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
        self._teacher = TextPreprocessor("teacher", teacher, teacher_inputs)
        self._student = TextPreprocessor("student", student, student_inputs)
        # By whether the teacher runs too: the keys of the preprocessors, and
        # the traced function.
        self._traced: dict[bool, tuple[Any, Callable[..., Any]]] = {}

    def takes(self, x: Any) -> bool:
        """Returns whether inputs are strings, or an empty list for a task."""
        empty = isinstance(x, (list, np.ndarray)) and len(x) == 0
        models = (self._teacher.model, self._student.model)
        tasks = any(preprocessor_of(model) is not None for model in models)
        return holds_raw_strings(x) or (empty and tasks)

    def adapt(
        self, options: dict[str, Any], *, teacher: bool, training: bool = False
    ) -> None:
        """Replaces raw strings by a `tf.data.Dataset` of tokenized batches.

        Args:
            options: The arguments of `fit`, `evaluate` or `predict` by name.
            teacher: Whether the teacher runs on the data.
            training: Whether these are the arguments of `fit`, which shuffles
                strings in memory and may split off a part for validation.

        Raises:
            ValueError: If a model takes no raw strings, or the strings are
                invalid.
        """
        if training and options.get("validation_split"):
            _split_off_validation(options)
        shuffle = training and options.get("shuffle", True)
        preprocess = self._traced_preprocessor(teacher=teacher)
        if is_dataset(options["x"]):
            raw = strict_batches(options["x"])
        else:
            raw = raw_batches(*take_data(options), shuffle=shuffle)
        options["x"] = tokenized_dataset(raw, preprocess)
        if shuffle:
            options["shuffle"] = False

    def adapt_batch(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Replaces raw strings by the tensors of one tokenized batch.

        Args:
            options: The arguments of `train_on_batch`, `test_on_batch` or
                `predict_on_batch` by name.
            teacher: Whether the teacher runs on the batch.

        Raises:
            ValueError: If a model takes no raw strings, or the strings are
                invalid.
        """
        preprocess = self._preprocessor(teacher=teacher)
        x, y, sample_weight, _ = take_data(options)
        x, *others = as_arrays(x, y, sample_weight)
        x = map_array_leaves(lambda leaf: leaf.tolist(), x)
        batch = keras.utils.unpack_x_y_sample_weight(preprocess(x, *others))
        for name, value in zip(_NAMES, batch, strict=True):
            if value is not None:
                options[name] = keras.tree.map_structure(
                    ops.convert_to_tensor, value
                )

    def _preprocessor(self, *, teacher: bool) -> Callable[..., Any]:
        """Returns a function from a raw batch to one that the models take.

        Args:
            teacher: Whether the teacher takes the batch too.
        """
        if teacher:
            preprocess = pair_preprocessor(self._teacher, self._student)
        else:
            self._student.check()
            preprocess = self._preprocess_for_student

        def preprocess_inputs(x: Any, *others: Any) -> Any:
            if not isinstance(x, CachedBatch):
                return preprocess(x, *others)
            batch = preprocess(x.inputs, *others)
            inputs, *rest = keras.utils.unpack_x_y_sample_weight(batch)
            return keras.utils.pack_x_y_sample_weight(
                x._replace(inputs=inputs), *rest
            )

        return preprocess_inputs

    def _preprocess_for_student(self, *batch: Any) -> Any:
        return keras.utils.pack_x_y_sample_weight(
            *self._student.preprocess(*batch)
        )

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


def _split_off_validation(options: dict[str, Any]) -> None:
    """Makes the last examples `validation_data`, as Keras does of arrays."""
    share = options.pop("validation_split")
    if is_dataset(options["x"]):
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
