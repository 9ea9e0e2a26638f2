"""Gives caches to `fit`, `evaluate` and `predict`."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_dts.cache.teacher_cache import CachedBatches, TeacherCache
from keras_dts.text import TakesRawText
from keras_dts.utils import require

# How the layers that change their inputs at random are called.
_AUGMENTATIONS = ("Random", "RandAugment", "MixUp", "CutMix", "AugMix")


class TakesCaches(TakesRawText):
    """A model of two models, to whose methods caches can be given."""

    def check_cache(self, cache: TeacherCache) -> None:
        """Raises unless a cache answers what is asked of the teacher."""
        raise NotImplementedError

    @functools.wraps(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.fit` does, for caches too."""
        bound = inspect.signature(super().fit).bind(*args, **kwargs)
        options = bound.arguments
        size = options.get("validation_batch_size") or options.get("batch_size")
        checked = options.get("validation_data")
        if isinstance(checked, TeacherCache):
            self.check_cache(checked)
            options["validation_data"] = _fed(checked.batches(size or 32))
            options.pop("validation_batch_size", None)
        if isinstance(options.get("x"), TeacherCache):
            _warn_of_augmentation(options["x"], self.student)
            batches = _batches(self, options, options.get("shuffle", True))
            options["x"] = _fed(batches)
            options["shuffle"] = False  # that is done
            options["callbacks"] = [
                *keras.tree.flatten(options.get("callbacks") or []),
                _BeginEpoch(batches),
            ]
        return super().fit(*bound.args, **bound.kwargs)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.evaluate` does, for caches too."""
        bound = inspect.signature(super().evaluate).bind(*args, **kwargs)
        if isinstance(bound.arguments.get("x"), TeacherCache):
            bound.arguments["x"] = _fed(_batches(self, bound.arguments))
        return super().evaluate(*bound.args, **bound.kwargs)

    @functools.wraps(keras.Model.predict)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.predict` does, for caches too."""
        bound = inspect.signature(super().predict).bind(*args, **kwargs)
        if isinstance(bound.arguments.get("x"), TeacherCache):
            bound.arguments["x"] = _fed(_batches(self, bound.arguments))
        return super().predict(*bound.args, **bound.kwargs)


class _BeginEpoch(keras.callbacks.Callback):
    """Tells batches which epoch begins.

    Keras tells a `PyDataset` of epochs too, but also when it only looks at
    the first batch.
    """

    def __init__(self, batches: CachedBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Deals out the examples."""
        self._batches.begin(epoch)


def _batches(
    model: TakesCaches, options: dict[str, Any], shuffle: bool = False
) -> CachedBatches:
    """Takes a cache out of arguments, and returns its batches."""
    cache = options["x"]
    for name in ("y", "sample_weight", "validation_split"):
        value = options.get(name)
        if value is not None and not (np.isscalar(value) and value == 0):
            raise ValueError(
                f"`{name}` must not be given where `x` is a cache, which has "
                f"the labels and the weights. Received: {name}={value!r}"
            )
    model.check_cache(cache)
    size = options.pop("batch_size", None) or 32
    epoch = options.get("initial_epoch", 0)
    batches: CachedBatches
    batches = cache.batches(size, shuffle=shuffle, epoch=epoch)
    return batches


def _fed(batches: CachedBatches) -> Any:
    """Returns what Keras takes: for texts, what can be read in a pipeline."""
    if not batches.cache.holds_texts:
        return batches
    (tf,) = require("text", "Raw strings in a cache", "tensorflow")

    def generate() -> Iterator[Any]:
        yield from (batches[i] for i in range(len(batches)))

    specs = keras.tree.map_structure(
        lambda leaf: tf.TensorSpec(
            (None, *leaf.shape[1:]),
            tf.string if leaf.dtype.kind == "O" else leaf.dtype,
        ),
        batches[0],
    )
    data = tf.data.Dataset.from_generator(generate, output_signature=specs)
    return data.apply(tf.data.experimental.assert_cardinality(len(batches)))


def _warn_of_augmentation(cache: TeacherCache, student: keras.Model) -> None:
    names = _augmentations(student)
    if names:
        warnings.warn(
            f"The student augments its inputs by {', '.join(names)}, and the "
            "teacher's answers in the cache are to the inputs as they were. "
            "Let `keras_dts.cache_teacher(augment=..., views=...)` augment "
            "for both.",
            stacklevel=4,
        )


def _augmentations(layer: Any) -> list[str]:
    """Lists the layers in a model that change its inputs at random."""
    found = []
    for child in getattr(layer, "layers", []):
        if isinstance(child, keras.Model):
            found += _augmentations(child)
        elif type(child).__name__.startswith(_AUGMENTATIONS):
            found.append(type(child).__name__)
    return found
