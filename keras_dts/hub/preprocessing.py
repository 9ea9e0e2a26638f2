"""Turns raw inputs into what a teacher and a student take."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.hub.strings import holds_strings
from keras_dts.hub.tasks import (
    is_masked,
    preprocesses_numbers,
    preprocessor_of,
    same_tokens,
)
from keras_dts.types import PreprocessedInputs


class TaskPreprocessor(NamedTuple):
    """Preprocesses batches of raw inputs for one model, as the model does.

    Attributes:
        role: `"teacher"` or `"student"`, for error messages.
        model: The model.
        inputs: `None`, or a function from the inputs of a batch to the
            model's input.
    """

    role: str
    model: keras.Model
    inputs: Callable[[Any], Any] | None

    def reads(self, x: Any) -> bool:
        """Returns whether `preprocess` has to make the model's input.

        Args:
            x: The inputs of a batch.
        """
        return preprocesses_numbers(self.model) or holds_strings(x)

    def check_strings(self) -> None:
        """Checks that the model takes raw strings.

        Raises:
            ValueError: If the model is no task of KerasHub with a
                preprocessor and has no string input.
        """
        if preprocessor_of(self.model) is None and not self._takes_strings:
            raise ValueError(
                f"`{self.role}` must be a KerasHub task with a `preprocessor` "
                "if `x` holds raw strings. Received: the "
                f"{type(self.model).__name__} {self.model.name!r} without a "
                "preprocessor. `x` may also hold token ids, if the strings "
                "are tokenized first"
            )

    def preprocess(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> tuple[Any, Any, Any]:
        """Returns the model's inputs, labels and weights for a raw batch.

        Masks are integers, as KerasHub's models declare them: TensorFlow
        cannot average bools, as Keras does over the replicas of a strategy.

        Args:
            x: The raw inputs of the batch.
            y: The labels, or `None`.
            sample_weight: One weight for each example, or `None`. The weights
                of the preprocessor, if it makes any, are multiplied by these.
        """
        x = x if self.inputs is None else self.inputs(x)
        if self._takes_strings or not self.reads(x):
            return x, y, sample_weight
        batch = self.model.preprocess_samples(
            x, y=y, sample_weight=sample_weight
        )
        batch = keras.tree.map_structure(_without_bools, batch)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        if sample_weight is not None and weight is not None:
            weight = _weighted(weight, sample_weight)
        return x, y, weight

    def cache_key(self) -> Any:
        """Returns a value that changes when the preprocessing may change.

        Returns:
            A value that stays equal as long as every input is preprocessed to
            the same result. `None` if this cannot be known: with `inputs`, and
            for classes that are not part of KerasHub.
        """
        preprocessor = preprocessor_of(self.model)
        names = ("tokenizer", "image_converter")
        parts = [getattr(preprocessor, name, None) for name in names]
        parts = [preprocessor, *(part for part in parts if part is not None)]
        if self.inputs is not None or not all(
            type(part).__module__.startswith("keras_hub.") for part in parts
        ):
            return None
        return parts, _settings(preprocessor), _assets(preprocessor.tokenizer)

    @property
    def _takes_strings(self) -> bool:
        """Whether the model itself has a string input."""
        inputs = getattr(self.model, "inputs", None) or []
        return any(i.dtype == "string" for i in inputs)


def pair_preprocessor(
    teacher: TaskPreprocessor, student: TaskPreprocessor
) -> Callable[..., Any]:
    """Returns a function that preprocesses a raw batch for both models.

    If both preprocessors are equal, each input is preprocessed once. Otherwise
    the inputs of the batch become `PreprocessedInputs`. Labels and weights are
    those of the student's preprocessor.

    Args:
        teacher: The preprocessor of the teacher.
        student: The preprocessor of the student.

    Returns:
        A function `(x, y=None, sample_weight=None)` that returns a batch as
        Keras takes it.

    Raises:
        ValueError: If the sequences of two language models cannot be compared
            position by position.
    """
    _check_positions(teacher.model, student.model)
    once = teacher.inputs is student.inputs is None and _preprocess_alike(
        teacher.model, student.model
    )
    if not once and any(is_masked(p.model) for p in (teacher, student)):
        raise ValueError(
            "The preprocessors of `teacher` and `student` must be equal for "
            "masked language models, because each preprocessor masks other "
            "tokens. Received: preprocessors that differ, "
            f"{preprocessor_of(teacher.model)!r} and "
            f"{preprocessor_of(student.model)!r}"
        )
    tokens_differ = same_tokens(teacher.model, student.model) is False

    def preprocess(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        inputs, labels, weights = student.preprocess(x, y, sample_weight)
        if not once:
            theirs, _, counts = teacher.preprocess(x, y, sample_weight)
            spans = (counts, weights) if tokens_differ else ()
            inputs = PreprocessedInputs(inputs, theirs, spans)
        return keras.utils.pack_x_y_sample_weight(inputs, labels, weights)

    return preprocess


def student_preprocessor(student: TaskPreprocessor) -> Callable[..., Any]:
    """Returns a function that preprocesses a raw batch for the student.

    Args:
        student: The preprocessor of the student.

    Returns:
        As of `pair_preprocessor`.
    """

    def preprocess(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        inputs, labels, weights = student.preprocess(x, y, sample_weight)
        if student.inputs is not None:
            inputs = PreprocessedInputs(inputs, (), ())
        return keras.utils.pack_x_y_sample_weight(inputs, labels, weights)

    return preprocess


def _weighted(weights: Any, sample_weight: Any) -> Any:
    """Multiplies a preprocessor's weights by one weight for each example."""
    if len(weights.shape) == len(sample_weight.shape):
        return sample_weight  # the preprocessor has passed them on
    weights = _cast(weights, "float32")
    return weights * _cast(sample_weight, "float32")[:, None]


def _without_bools(values: Any) -> Any:
    """Returns bools as integers, and others as they are."""
    is_bool = keras.backend.standardize_dtype(values.dtype) == "bool"
    return _cast(values, "int32") if is_bool else values


def _cast(values: Any, dtype: str) -> Any:
    tf = sys.modules.get("tensorflow")
    if tf is not None and tf.is_tensor(values):  # in the input pipeline
        return tf.cast(values, dtype)
    return ops.cast(values, dtype)


def _check_positions(teacher: keras.Model, student: keras.Model) -> None:
    """Raises unless the positions of two language models correspond."""
    same = same_tokens(teacher, student)
    if same is None:
        return
    names = ["sequence_length"]
    if same:
        names += ["add_start_token", "add_end_token"]
    theirs, ours = (
        {n: getattr(preprocessor_of(m), n, None) for n in names}
        for m in (teacher, student)
    )
    for name in names:
        if theirs[name] != ours[name]:
            raise ValueError(
                "The preprocessors of `teacher` and `student` must have the "
                f"same `{name}`, because language models are compared token "
                f"by token. Received: {name}={theirs[name]} of the teacher "
                f"and {ours[name]} of the student"
            )


def _preprocess_alike(teacher: keras.Model, student: keras.Model) -> bool:
    """Returns whether two tasks preprocess every input to the same result."""
    theirs, ours = preprocessor_of(teacher), preprocessor_of(student)
    if theirs is ours:
        return True
    if not hasattr(theirs, "tokenizer") or not hasattr(ours, "tokenizer"):
        return False
    if _settings(theirs) != _settings(ours):
        return False
    # Last, because tokenizers have to write their files to compare them.
    same: bool = theirs.tokenizer is ours.tokenizer or (
        _assets(theirs.tokenizer) == _assets(ours.tokenizer)
    )
    return same


def _settings(preprocessor: Any) -> tuple[Any, ...]:
    """Returns a preprocessor's class and configuration, without its files."""
    return type(preprocessor), _without_names(preprocessor.get_config())


def _without_names(config: Any) -> Any:
    """Returns a configuration without the names of layers."""
    if isinstance(config, dict):
        return {k: _without_names(v) for k, v in config.items() if k != "name"}
    if isinstance(config, (list, tuple)):
        return [_without_names(value) for value in config]
    return config


def _assets(tokenizer: Any) -> dict[str, bytes]:
    """Returns the files that a tokenizer saves: vocabulary, merges, ..."""
    if not hasattr(tokenizer, "save_assets"):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_assets(folder)
        return {f.name: f.read_bytes() for f in Path(folder).iterdir()}
