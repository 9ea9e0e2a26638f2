"""Takes prompts and responses in `fit` and related methods."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_dts.cache import TeacherCache
from keras_dts.generation.base import Text
from keras_dts.generation.packing import PackedText, PromptPacker
from keras_dts.hub import (
    is_dataset,
    preprocessed_dataset,
    preprocessor_of,
    raw_dataset,
)
from keras_dts.utils import require

# How an error message begins that misses prompts.
WANTED = (
    "`x` must hold `prompts` and `responses`, or `token_ids`, `padding_mask` "
    "and `prompt_mask`, in a training on text that a model writes."
)
_NAMES = ("x", "y", "sample_weight")
_KEYS = ("prompts", "responses")
# How many examples are tokenized for both models, to compare them.
_COMPARED = 8


class PromptAdapter:
    """Turns prompts and responses into token ids.

    A `keras_dts.utils.DataAdapter`. Arrays in memory are tokenized once, and
    stay arrays, so that Keras shuffles and splits them.

    Args:
        teacher: The teacher.
        student: The student, whose preprocessor makes the token ids.
        text: What writes responses.
        max_prompt_length: How many tokens of a prompt are kept, or `None`.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        text: Text,
        max_prompt_length: int | None,
    ) -> None:
        self._models = (teacher, student)
        self._text = text
        self._longest = max_prompt_length

    def takes(self, x: Any) -> bool:
        """Returns whether inputs are prompts, or what is refused here."""
        others = isinstance(x, (TeacherCache, list, tuple))
        return others or hasattr(x, "shape") or "prompts" in _keys_of(x)

    def adapt(
        self, options: dict[str, Any], *, teacher: bool, training: bool = False
    ) -> None:
        """Replaces prompts and responses by token ids, labels and weights.

        Args:
            options: The arguments of `fit`, `evaluate` or `predict` by name.
            teacher: Whether the teacher runs on the data.
            training: Whether these are the arguments of `fit`.

        Raises:
            ValueError: If texts are invalid, come with labels, with weights or
                from a cache, have no responses where these are needed, or
                the models make other tokens of them.
        """
        x = self._checked(options)
        keys = _keys_of(x)
        if training and "responses" not in keys:
            check_responses(self._text, None)
        if isinstance(x, dict):
            self._check_templates(x)
            self._replace(options, self._packer(1)(*_texts(x)), keys, training)
            return
        raw = raw_dataset(options, shuffle=False)
        self._check_templates(next(iter(raw.take(1)))[0])
        options["x"] = self._packed_dataset(raw, keys, training=training)

    def adapt_batch(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Replaces the prompts and responses of one batch.

        Args:
            options: The arguments of `train_on_batch`, `test_on_batch` or
                `predict_on_batch` by name.
            teacher: Whether the teacher runs on the batch.

        Raises:
            ValueError: As `adapt` does.
        """
        x = self._checked(options)
        self._check_templates(x)
        packed = self._packer(1)(*_texts(x))
        self._replace(options, packed, _keys_of(x), training=False)

    def _packer(self, role: int) -> PromptPacker:
        """Returns the packer of the teacher, 0, or of the student, 1."""
        return PromptPacker(self._models[role], self._longest)

    def _checked(self, options: dict[str, Any]) -> Any:
        """Returns `x`, if it is allowed."""
        x = options["x"]
        if isinstance(x, TeacherCache):
            raise ValueError(
                "`x` must not be a `TeacherCache` for a text that a model "
                "writes in each step: no cache holds what the teacher says of "
                f"it. Received: {x!r}"
            )
        if "prompts" not in _keys_of(x):
            raise ValueError(f"{WANTED} Received: {type(x).__name__}")
        for name in _NAMES[1:]:
            if options.get(name) is not None:
                raise ValueError(
                    f"`{name}` must be `None` with prompts: labels and weights "
                    "follow from the responses. Received: "
                    f"{type(options[name]).__name__}"
                )
        if preprocessor_of(self._models[1]) is None:
            raise ValueError(
                "`student` must have a `preprocessor` if `x` holds prompts. "
                "`x` may also be token ids: `token_ids`, `padding_mask` and "
                "`prompt_mask`. Received: preprocessor=None"
            )
        return x

    def _check_templates(self, x: dict[str, Any]) -> None:
        """Raises unless both models make the same tokens of a text."""
        if preprocessor_of(self._models[0]) is None:
            return
        some = [
            None if texts is None else texts[:_COMPARED] for texts in _texts(x)
        ]
        theirs, ours = (
            self._packer(role)(*some, warn=False).x["token_ids"]
            for role in (0, 1)
        )
        if theirs.shape != ours.shape or not np.array_equal(theirs, ours):
            raise ValueError(
                "The preprocessors of `teacher` and `student` must make the "
                "same token ids of a text, since the teacher reads what the "
                "student writes. Received: preprocessors that differ in the "
                f"window, {theirs.shape[1]} and {ours.shape[1]}, in the tokens "
                "or in the start and end tokens"
            )

    @staticmethod
    def _replace(
        options: dict[str, Any],
        packed: PackedText,
        keys: set[str],
        training: bool,
    ) -> None:
        """Puts packed texts into the arguments of a method."""
        labelled = training or "responses" in keys
        options.update(zip(_NAMES, packed, strict=True))
        for name in () if labelled else _NAMES[1:]:
            options.pop(name)

    def _packed_dataset(
        self, raw: Any, keys: set[str], *, training: bool
    ) -> Any:
        """Returns a `tf.data.Dataset` of packed batches."""
        tf = require("text", "Prompts in a data set", "tensorflow")[0]
        packer = self._packer(1)
        labelled = training or "responses" in keys
        names = sorted(keys & {*_KEYS})

        def pack(*texts: Any) -> list[Any]:
            packed = packer(**dict(zip(names, texts, strict=True)))
            return [*packed.x.values(), packed.y, packed.sample_weight]

        dtypes = [tf.int32] * 4 + [tf.float32]

        def batch(x: Any, *_: Any) -> Any:
            arrays = tf.numpy_function(pack, [x[n] for n in names], dtypes)
            for array in arrays:
                array.set_shape((None, packer.length))
            ids, mask, prompts, y, weights = arrays
            x = {
                "token_ids": ids,
                "padding_mask": mask,
                "prompt_mask": prompts,
            }
            return (x, y, weights) if labelled else (x,)

        return preprocessed_dataset(raw, batch)


def check_responses(text: Text, y: Any) -> None:
    """Raises if a step may need responses that the data do not have.

    Args:
        text: What writes responses.
        y: The labels, or `None`.
    """
    if y is None and not text.always_writes:
        raise ValueError(
            "`x` must have `responses`, unless every step writes its own, "
            f"with `share=1.0`. Received: prompts alone, and share={text.share}"
        )


def _keys_of(x: Any) -> set[str]:
    """Returns the keys of a batch's `x`, if it is a dictionary."""
    if is_dataset(x):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(x.element_spec)
    elif isinstance(x, keras.utils.PyDataset):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(x[0])
    return set(x) if isinstance(x, dict) else set()


def _texts(x: dict[str, Any]) -> tuple[Any, Any]:
    """Returns prompts, and responses or `None`."""
    return x["prompts"], x.get("responses")
