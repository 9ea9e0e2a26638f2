"""Asks a teacher for what a cache keeps of its answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy.typing as npt
from keras import ops

from keras_dts.cache.quantization import ends_of, pack
from keras_dts.cache.sources import has_texts
from keras_dts.features import FeatureExtractor
from keras_dts.logits import gives_logits, to_logits, top_classes
from keras_dts.text import Reader
from keras_dts.utils import require, to_loss_dtype

# As what outputs and features come from the teacher, by what a cache keeps
# outputs as. `pack` makes eight bits of them.
_DTYPES = {
    "float32": ("float32", "float32"),
    "float16": ("float16", "float16"),
    "uint8": ("float32", "float16"),
}


class Teacher:
    """A teacher that answers in NumPy arrays, by name.

    Args:
        model: The teacher.
        inputs: `None`, or a function from a batch's `x` to its input.
        features: The paths of the layers whose outputs are wanted too.
        top_k: How many classes to keep, or `None` for all.
        dtype: As what a cache keeps outputs.
        from_logits: Whether the outputs are logits, or `"auto"`.
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
        self._asked = _Asked(
            FeatureExtractor("teacher", model, features),
            top_k,
            dtype,
            from_logits,
        )
        self._reader = Reader("teacher", model, inputs)
        self._read: Any = None

    @classmethod
    def of(
        cls,
        about: dict[str, Any],
        model: keras.Model,
        inputs: Callable[[Any], Any] | None,
    ) -> Teacher:
        """Makes the one who answers as a cache is about."""
        names = ("features", "top_k", "dtype", "from_logits")
        return cls(model, inputs, *(about[name] for name in names))

    def answer(self, x: Any) -> dict[str, npt.NDArray[Any]]:
        """Returns the teacher's answers to one batch.

        Args:
            x: The batch's inputs, NumPy arrays; strings as objects.

        Returns:
            `output_0` and so on, each with `classes_0` where it is coarse and
            `output_0_ends` where it is in eight bits, and `feature_0` and so
            on, each of shape `(batch, ...)`.
        """
        if has_texts(x):
            x = self._tokenized(x)
        elif self._reader.inputs is not None:
            x = self._reader.inputs(x)
        answers: dict[str, Any] = dict(self._asked.predict_on_batch(x))
        for name, size in self._asked.sizes.items():
            if name in answers:
                narrow = "uint16" if size <= 2**16 else "uint32"
                answers[name] = answers[name].astype(narrow)
        if self._asked.kept_dtype == "uint8":
            for name in [n for n in answers if n.startswith("output_")]:
                answers[name], answers[ends_of(name)] = pack(answers[name])
        return answers

    def _tokenized(self, x: Any) -> Any:
        (tf,) = require("text", "Raw strings in `data`", "tensorflow")
        if self._read is None:
            self._reader.check()
            self._read = tf.function(
                lambda x: self._reader.read(x)[0], reduce_retracing=True
            )
        tensors = keras.tree.map_structure(
            lambda leaf: tf.constant(leaf.tolist()), x
        )
        return keras.tree.map_structure(
            lambda t: t.numpy(), self._read(tensors)
        )


class _Asked(keras.Model):
    """The teacher as a model that answers with what a cache keeps."""

    def __init__(
        self,
        tapped: FeatureExtractor,
        top_k: int | None,
        dtype: str,
        from_logits: bool | str,
    ) -> None:
        super().__init__(name="asked", autocast=False)
        self._tapped = tapped
        self.teacher = tapped.model
        self._top_k = top_k
        self.kept_dtype = dtype
        self._from_logits = from_logits
        self.sizes: dict[str, int] = {}

    def call(self, inputs: Any) -> dict[str, Any]:
        """Returns the answers by name."""
        answers = self._tapped(inputs, training=False)
        outputs, features = _DTYPES[self.kept_dtype]
        kept = {}
        for i, output in enumerate(keras.tree.flatten(answers.outputs)):
            self.sizes[f"classes_{i}"] = output.shape[-1]
            output = to_loss_dtype(output)
            k = self._top_k
            coarse = k is not None and k + 1 < output.shape[-1]
            if coarse or self.kept_dtype != "float32":
                is_logits = gives_logits(self.teacher, i, self._from_logits)
                output = to_logits(output, from_logits=is_logits)
            if k is not None and coarse:
                output, kept[f"classes_{i}"] = top_classes(output, k)
            kept[f"output_{i}"] = ops.cast(output, outputs)
        for i, feature in enumerate(answers.features.values()):
            kept[f"feature_{i}"] = ops.cast(feature, features)
        return kept
