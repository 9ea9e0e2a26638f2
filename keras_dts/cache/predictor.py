"""Computes the fields that a cache stores of a teacher's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.backend import without_parallel_model
from keras_dts.cache.fields import FieldKind
from keras_dts.cache.outputs import OutputCodec
from keras_dts.cache.quantization import quantize
from keras_dts.cache.structure import Array, has_strings, leaves
from keras_dts.features import FeatureExtractor
from keras_dts.hub import TaskPreprocessor
from keras_dts.utils import require

# The dtypes in which the teacher's outputs and features are computed, by the
# dtype of the cache. The 8 bits of an output are made of its float32.
_DTYPES = {
    "float32": ("float32", "float32"),
    "float16": ("float16", "float16"),
    "uint8": ("float32", "float16"),
}


class TeacherPredictor:
    """Runs a teacher on batches, and returns the fields of a cache.

    Args:
        model: The teacher.
        inputs: `None`, or a function from the inputs of a batch to the
            teacher's input.
        features: The paths of the layers whose outputs are stored.
        top_k: The number of classes to store, or `None` for all.
        dtype: The dtype of the cache.
        from_logits: Whether the teacher's outputs are logits, or `"auto"`.
    """

    def __init__(
        self,
        model: keras.Model,
        inputs: Callable[[Any], Any] | None,
        features: list[str],
        top_k: int | None,
        dtype: str,
        from_logits: bool | str,
    ) -> None:
        self._model = _PredictorModel(
            FeatureExtractor("teacher", model, features),
            features,
            OutputCodec(model, from_logits, top_k),
            dtype,
        )
        self._dtype = dtype
        self._preprocessor = TaskPreprocessor("teacher", model, inputs)
        self._preprocess: Any = None

    @classmethod
    def from_metadata(
        cls,
        metadata: dict[str, Any],
        model: keras.Model,
        inputs: Callable[[Any], Any] | None,
    ) -> TeacherPredictor:
        """Returns the predictor of a cache's fields.

        Args:
            metadata: The metadata of the cache.
            model: The teacher.
            inputs: As for `TeacherPredictor`.
        """
        names = ("features", "top_k", "dtype", "from_logits")
        return cls(model, inputs, *(metadata[name] for name in names))

    def predict(self, x: Any, start: int = 0) -> dict[str, Array]:
        """Returns the fields of one batch, by name.

        Args:
            x: The inputs of the batch, NumPy arrays; strings as objects.
            start: The index of the first example, for messages.

        Returns:
            The fields of the outputs and of the features, each of shape
            `(batch, ...)`.

        Raises:
            ValueError: If a value is NaN, infinite, or too large for the
                dtype of the cache, or there is not one for each example.
        """
        examples = len(leaves(x)[0])
        if self._preprocessor.reads(x):
            x = self._preprocessed(x)
        elif self._preprocessor.inputs is not None:
            x = self._preprocessor.inputs(x)
        fields: dict[str, Array] = dict(self._model.predict_on_batch(x))
        _check_length(fields, examples)
        self._check_finite(fields, start)
        for name, count in self._model.class_counts.items():
            narrow = "uint16" if count <= 2**16 else "uint32"
            fields[name] = fields[name].astype(narrow)
        if self._dtype == "uint8":
            for index, name in enumerate(FieldKind.OUTPUT.names_in(fields)):
                ends = FieldKind.RANGE.name_of(index)
                fields[name], fields[ends] = quantize(fields[name])
        return fields

    def _check_finite(self, fields: dict[str, Array], start: int) -> None:
        """Raises a `ValueError` if a value is not finite."""
        narrow = "float32" if self._dtype == "float32" else "float16"
        highest = float(np.finfo(narrow).max)
        for name, values in fields.items():
            wrong = ~(np.abs(values) <= highest)
            if wrong.any():
                (row, *_) = place = tuple(np.argwhere(wrong)[0])
                raise ValueError(
                    "`teacher` must compute finite numbers, of at most "
                    f"{highest:g} for dtype={self._dtype!r}. Received: "
                    f"{values[place]} in {name} of example {start + row}"
                )

    def _preprocessed(self, x: Any) -> Any:
        """Returns the teacher's input for a batch of raw inputs."""
        (tf,) = require("text", "Raw inputs in `data`", "tensorflow")
        if self._preprocess is None:
            if has_strings(x):
                self._preprocessor.check_strings()
            self._preprocess = tf.function(
                lambda x: self._preprocessor.preprocess(x)[0],
                reduce_retracing=True,
            )
        tensors = keras.tree.map_structure(
            lambda leaf: tf.constant(
                leaf.tolist() if has_strings(leaf) else leaf
            ),
            x,
        )
        return keras.tree.map_structure(
            lambda t: t.numpy(), self._preprocess(tensors)
        )


def _check_length(fields: dict[str, Array], examples: int) -> None:
    """Raises a `ValueError` unless each example has one value of a field."""
    for name, values in fields.items():
        if len(values) != examples:
            raise ValueError(
                "`teacher` must compute one output for each example. "
                f"Received: {len(values)} in {name} of {examples} examples"
            )


class _PredictorModel(keras.Model):
    """A teacher as a model whose outputs are the fields of a cache.

    Args:
        extractor: The teacher and its features.
        features: The paths of the features, in the order of their fields.
        codec: Converts the outputs.
        dtype: The dtype of the cache.
    """

    # A process caches its shard, and waits for no other.
    ddp_model = without_parallel_model()

    def __init__(
        self,
        extractor: FeatureExtractor,
        features: list[str],
        codec: OutputCodec,
        dtype: str,
    ) -> None:
        super().__init__(name="predictor", autocast=False)
        self.teacher = extractor.model
        self._extractor = extractor
        # In a tuple, which Keras does not wrap.
        self._features = tuple(features)
        self._codec = codec
        self._dtypes = _DTYPES[dtype]
        # The number of classes that indices in a field may name, by the name
        # of the field. Known when the teacher has run.
        self.class_counts: dict[str, int] = {}

    def call(self, inputs: Any) -> dict[str, Any]:
        """Returns the fields by name."""
        found = self._extractor(inputs, training=False)
        output_dtype, feature_dtype = self._dtypes
        fields = {}
        for i, output in enumerate(keras.tree.flatten(found.outputs)):
            stored, classes = self._codec.store(i, output)
            if classes is not None:
                name = FieldKind.CLASSES.name_of(i)
                self.class_counts[name] = output.shape[-1]
                fields[name] = classes
            name = FieldKind.OUTPUT.name_of(i)
            fields[name] = ops.cast(stored, output_dtype)
        for i, path in enumerate(self._features):
            name = FieldKind.FEATURE.name_of(i)
            fields[name] = ops.cast(found.features[path], feature_dtype)
        return fields
