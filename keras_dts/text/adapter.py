"""Raw strings in `fit` and its like: tokenized in the input pipeline.

KerasHub's tasks do the same for themselves; wrapped in another model they
lose it. The steps only see tensors.
"""

from __future__ import annotations

import functools
import inspect
import os
import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.text.tasks import Reader, preprocessor_of, read_by_both
from keras_dts.types import CachedBatch
from keras_dts.utils import require


class TakesRawText(keras.Model):
    """A model of two models, to whose methods raw strings can be given."""

    _raw_text: RawText

    @property
    def evaluates_teacher(self) -> bool:
        """Whether an evaluation runs the teacher too."""
        return False

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.fit` does, for raw strings too."""
        bound = inspect.signature(super().fit).bind(*args, **kwargs)
        self._raw_text.feed_fit(bound.arguments, both=self.evaluates_teacher)
        return super().fit(*bound.args, **bound.kwargs)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.evaluate` does, for raw strings too."""
        bound = inspect.signature(super().evaluate).bind(*args, **kwargs)
        self._raw_text.feed(bound.arguments, both=self.evaluates_teacher)
        return super().evaluate(*bound.args, **bound.kwargs)

    @functools.wraps(keras.Model.predict)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.predict` does, for raw strings too."""
        bound = inspect.signature(super().predict).bind(*args, **kwargs)
        self._raw_text.feed(bound.arguments, both=False)
        return super().predict(*bound.args, **bound.kwargs)

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.train_on_batch` does, for raw strings too."""
        bound = inspect.signature(super().train_on_batch).bind(*args, **kwargs)
        self._raw_text.feed_batch(bound.arguments, both=True)
        return super().train_on_batch(*bound.args, **bound.kwargs)

    @functools.wraps(keras.Model.test_on_batch)
    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.test_on_batch` does, for raw strings too."""
        bound = inspect.signature(super().test_on_batch).bind(*args, **kwargs)
        self._raw_text.feed_batch(bound.arguments, both=self.evaluates_teacher)
        return super().test_on_batch(*bound.args, **bound.kwargs)

    @functools.wraps(keras.Model.predict_on_batch)
    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.predict_on_batch` does, for strings too."""
        bound = inspect.signature(super().predict_on_batch).bind(
            *args, **kwargs
        )
        self._raw_text.feed_batch(bound.arguments, both=False)
        return super().predict_on_batch(*bound.args, **bound.kwargs)


class RawText:
    """Turns raw strings into what a teacher and a student take.

    Args:
        teacher: The teacher.
        student: The student.
        teacher_inputs: `None`, or a function from a batch's `x` to the
            teacher's input.
        student_inputs: The same for the student.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        teacher_inputs: Callable[[Any], Any] | None,
        student_inputs: Callable[[Any], Any] | None,
    ) -> None:
        self._teacher = Reader("teacher", teacher, teacher_inputs)
        self._student = Reader("student", student, student_inputs)
        # By whether both read: what decides what they read, and a function.
        self._traced: dict[bool, tuple[Any, Callable[..., Any]]] = {}

    def feed_fit(self, options: dict[str, Any], *, both: bool) -> None:
        """Replaces raw strings among the arguments of `fit` by data sets.

        Args:
            options: The arguments by name.
            both: Whether the teacher reads those for the validation too.
        """
        if options.get("validation_split") and self._is_raw(options.get("x")):
            _split_off_validation(options)
        given = options.get("validation_data")
        if given is not None:
            x, y, weight = _unpacked(given)
            if self._is_raw(x):
                x = given if _is_data_set(given) else x
                size = options.pop("validation_batch_size", None)
                size = size or options.get("batch_size")
                options["validation_data"] = self._data_set(
                    x, y, weight, size, both=both
                )
        self.feed(options, both=True, shuffle=options.get("shuffle", True))

    def feed(
        self, options: dict[str, Any], *, both: bool, shuffle: bool = False
    ) -> None:
        """Replaces raw strings among arguments by a data set of batches.

        Args:
            options: The arguments of `fit`, `evaluate` or `predict` by name.
            both: Whether the teacher reads them too.
            shuffle: Whether strings in memory are shuffled in each epoch.
        """
        x = options.get("x")
        if not self._is_raw(x):
            return
        # Beside a data set, Keras refuses what else there is.
        given = (x, None, None, None) if _is_data_set(x) else _taken(options)
        options["x"] = self._data_set(*given, both=both, shuffle=shuffle)
        if shuffle:
            options["shuffle"] = False  # that is done

    def feed_batch(self, options: dict[str, Any], *, both: bool) -> None:
        """Replaces raw strings among the arguments for one batch by tensors.

        Args:
            options: The arguments of `train_on_batch` and its like, by name.
            both: Whether the teacher reads them too.
        """
        if not self._is_raw(options.get("x")):
            return
        read = self._read(both)
        x, *others = _in_memory(*_taken(options)[:3])
        batch = read(_mapped(lambda leaf: leaf.tolist(), x), *others)
        names = ("x", "y", "sample_weight")
        for name, value in zip(
            names, keras.utils.unpack_x_y_sample_weight(batch), strict=True
        ):
            if value is not None:
                options[name] = keras.tree.map_structure(
                    ops.convert_to_tensor, value
                )

    def _read(self, both: bool) -> Callable[..., Any]:
        """Returns a function from a raw batch to one that the models take.

        Args:
            both: Whether the teacher reads it too.
        """
        if both:
            read = read_by_both(self._teacher, self._student)
        else:
            self._student.check()
            read = self._read_by_student

        def read_inputs(x: Any, *others: Any) -> Any:
            if not isinstance(x, CachedBatch):
                return read(x, *others)
            batch = read(x.inputs, *others)
            inputs, *rest = keras.utils.unpack_x_y_sample_weight(batch)
            return keras.utils.pack_x_y_sample_weight(
                x._replace(inputs=inputs), *rest
            )

        return read_inputs

    def _read_by_student(self, *batch: Any) -> Any:
        return keras.utils.pack_x_y_sample_weight(*self._student.read(*batch))

    def _read_in_pipeline(self, both: bool) -> Callable[..., Any]:
        """Returns such a function for `tf.data`.

        Tracing KerasHub's preprocessors takes half a second. As long as what
        they make of a text stays the same, they are traced once.

        Args:
            both: Whether the teacher reads it too.
        """
        now = [self._student.reading(), self._teacher.reading()]
        now = now if both else now[:1]
        then, traced = self._traced.get(both, (None, None))
        if traced is None or None in now or now != then:
            read = self._read(both)
            traced = _tensorflow().function(
                lambda *batch: read(
                    *keras.utils.unpack_x_y_sample_weight(batch)
                )
            )
            self._traced[both] = now, traced
        return traced

    def _is_raw(self, x: Any) -> bool:
        """Says whether `x` holds strings, or could if it were not empty."""
        empty = isinstance(x, (list, np.ndarray)) and len(x) == 0
        models = (self._teacher.model, self._student.model)
        tasks = any(preprocessor_of(model) is not None for model in models)
        return _holds_strings(x) or (empty and tasks)

    def _data_set(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        batch_size: int | None,
        *,
        both: bool,
        shuffle: bool = False,
    ) -> Any:
        """Returns a `tf.data.Dataset` of batches that the models take."""
        tf = _tensorflow()
        read = self._read_in_pipeline(both)
        if _is_data_set(x):
            _check_batched(x)
            raw = x.map(lambda *batch: _strict(tf, batch))
        else:
            raw = _batches(x, y, sample_weight, batch_size, shuffle=shuffle)
        workers = min(4, os.cpu_count() or 1)
        return raw.map(read, num_parallel_calls=workers).prefetch(4)


def shuffle_like_keras(options: dict[str, Any]) -> None:
    """Replaces raw strings in memory by batches of them, shuffled.

    KerasHub's own `fit` does not shuffle what is in memory.

    Args:
        options: The arguments of a task's `fit`, by name.
    """
    x = options["x"]
    if _holds_strings(x) and not _is_data_set(x):
        options["x"] = _batches(*_taken(options), shuffle=True)
        options["shuffle"] = False  # that is done


def _taken(options: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Takes the data, and how many make a batch, out of arguments."""
    x, y, weight, size = (
        options.pop(name, None)
        for name in ("x", "y", "sample_weight", "batch_size")
    )
    return x, y, weight, size


def _batches(
    x: Any,
    y: Any,
    sample_weight: Any,
    batch_size: int | None,
    *,
    shuffle: bool,
) -> Any:
    """Returns raw batches of what is in memory, as a `tf.data.Dataset`."""
    arrays = _in_memory(x, y, sample_weight)
    tf = _tensorflow()
    raw = tf.data.Dataset.from_tensor_slices(arrays)
    # Where it is on, a pipeline takes up to seconds to end.
    options = tf.data.Options()
    options.autotune.enabled = False
    raw = raw.with_options(options)
    if shuffle:
        # Seeded by `keras.utils.set_random_seed`.
        raw = raw.shuffle(len(raw), seed=random.randrange(2**31))
    return raw.batch(batch_size or 32)


def _tensorflow() -> Any:
    return require("text", "Raw strings in `x`", "tensorflow")[0]


def _unpacked(data: Any) -> tuple[Any, Any, Any]:
    if isinstance(data, (tuple, list)):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(tuple(data))
        return x, y, weight
    return data, None, None


def _is_data_set(data: Any) -> bool:
    return hasattr(data, "element_spec")


def _holds_strings(data: Any) -> bool:
    """Says whether data hold strings, as far as it can be seen."""
    if _is_data_set(data):
        x, _, _ = _unpacked(data.element_spec)
        return any("string" in str(s.dtype) for s in keras.tree.flatten(x))
    return any(_is_text(leaf) for leaf in _leaves(data))


def _is_text(leaf: Any) -> bool:
    if isinstance(leaf, (str, bytes)):
        return True
    if isinstance(leaf, list):
        return len(leaf) > 0 and _is_text(_first(leaf))
    dtype = getattr(leaf, "dtype", None)
    if "string" in str(dtype) or getattr(dtype, "kind", "") in ("U", "S"):
        return True
    return getattr(dtype, "kind", "") == "O" and _is_text(_first(leaf))


def _first(values: Any) -> Any:
    """Returns the first value that is there."""
    return next((v for v in values if v is not None), "")


def _leaves(data: Any) -> list[Any]:
    """Lists the arrays in data. Tuples and dictionaries hold several."""
    if isinstance(data, dict):
        return [leaf for value in data.values() for leaf in _leaves(value)]
    if isinstance(data, tuple):
        return [leaf for value in data for leaf in _leaves(value)]
    return [] if data is None else [data]


def _mapped(function: Callable[[Any], Any], data: Any) -> Any:
    """Maps the arrays in data, of which a list is one."""
    if isinstance(data, dict):
        return {k: _mapped(function, v) for k, v in data.items()}
    if isinstance(data, tuple):
        return tuple(_mapped(function, value) for value in data)
    return data if data is None else function(data)


def as_array(values: Any) -> Any:
    """Returns values as an array, strings as objects."""
    if isinstance(values, (str, bytes)):
        raise ValueError(
            "`x` must hold a batch of strings, such as a list. Received: the "
            f"single string {_shown(values)}"
        )
    if _is_text(values):
        if hasattr(values, "numpy"):  # TensorFlow's strings
            values = values.numpy()
        return np.asarray(values, dtype=object)
    return ops.convert_to_numpy(values)


def _in_memory(x: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
    """Returns arrays of equal lengths, and raises for what is no text."""
    data = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
    data = data if isinstance(data, tuple) else (data,)
    arrays = tuple(_mapped(as_array, part) for part in data)
    check_strings(arrays[0])
    lengths = [len(leaf) for leaf in _leaves(arrays)]
    if len(set(lengths)) > 1:
        raise ValueError(
            "`x`, `y` and `sample_weight` must have as many entries as each "
            f"other. Received: {', '.join(map(str, lengths))} entries"
        )
    return arrays


def check_strings(x: Any) -> None:
    """Raises unless the arrays of objects in `x` are Unicode texts."""
    for leaf in _leaves(x):
        if len(leaf) == 0:
            raise ValueError(
                "`x` must hold at least one string. Received: an empty list"
            )
        if leaf.dtype.kind != "O":
            continue
        for index, text in enumerate(leaf.reshape(-1)):
            if not isinstance(text, (str, bytes)):
                raise ValueError(
                    f"`x` must hold strings only. Received: {text!r} of type "
                    f"{type(text).__name__} at position {index}"
                )
            try:
                _ = text.decode() if isinstance(text, bytes) else text.encode()
            except UnicodeError as error:
                raise ValueError(
                    "`x` must hold strings that are valid UTF-8. Received: "
                    f"{_shown(text)} at position {index}"
                ) from error


def _shown(text: Any) -> str:
    """Shows a text, or its beginning."""
    return f"{text[:40]!r}" + ("..." if len(text) > 40 else "")


def _check_batched(data: Any) -> None:
    x, _, _ = _unpacked(data.element_spec)
    if any(spec.shape.rank == 0 for spec in keras.tree.flatten(x)):
        raise ValueError(
            "`x` must be a data set of batches, as `dataset.batch(32)` makes "
            f"it. Received: a data set of single elements, {x}"
        )


def _strict(tf: Any, batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """Raises, when it is run, for strings that are not valid UTF-8."""

    def check(x: Any) -> Any:
        if x.dtype != tf.string:
            return x
        return tf.strings.unicode_transcode(x, "UTF-8", "UTF-8", "strict")

    x, *others = batch
    return (tf.nest.map_structure(check, x), *others)


def _split_off_validation(options: dict[str, Any]) -> None:
    """Makes `validation_data` of the last part, as Keras does of arrays."""
    names = ("x", "y", "sample_weight")
    share = options.pop("validation_split")
    if _is_data_set(options["x"]):
        raise ValueError(
            "`validation_split` must be 0 where `x` is a data set; give "
            f"`validation_data`. Received: validation_split={share}"
        )
    if options.get("validation_data") is not None:
        return
    arrays = [_mapped(as_array, options.get(name)) for name in names]
    size = len(_leaves(arrays[0])[0])
    at = int(size * (1 - share))
    if not 0 < at < size:
        raise ValueError(
            "`validation_split` must leave examples on both sides. Received: "
            f"validation_split={share} of {size} examples"
        )

    def part(entries: slice) -> list[Any]:
        return [_mapped(lambda leaf: leaf[entries], a) for a in arrays]

    options.update(zip(names, part(slice(at)), strict=True))
    options["validation_data"] = tuple(part(slice(at, None)))
