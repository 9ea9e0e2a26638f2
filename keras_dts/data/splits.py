"""What `load`, `load_corpus` and `load_instructions` return."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_dts.data.arrays import Texts


class Splits(NamedTuple):
    """Holds a data set's training and test arrays.

    Args:
        x_train: Training images in [0, 1], shape `(n, height, width,
            channels)`, float32; or time series, shape `(n, time, channels)`,
            float32; or training texts, an object array of `str` of shape
            `(n,)`; or, for pairs of texts, a tuple of two such
            arrays in the order that KerasHub's tasks take.
        y_train: Training labels, shape `(n,)`, int32.
        x_test: Test images, series or texts, in the form of `x_train`.
        y_test: Test labels, in the form of `y_train`.
        num_classes: The number of classes; labels are less than this.
        class_names: The names of the classes in the order of the labels, or
            `None` where the classes are numbers or have no known names.

    Example:
    >>> from keras_dts import data
    >>> data.load("digits").num_classes
    10
    """

    x_train: Any
    y_train: npt.NDArray[np.int32]
    x_test: Any
    y_test: npt.NDArray[np.int32]
    num_classes: int
    class_names: tuple[str, ...] | None = None


class Corpus(NamedTuple):
    """Holds the passages of a corpus for language models.

    Args:
        train: Training passages, an object array of `str`, shape `(n,)`.
        test: Test passages, in the form of `train`.

    Example:
    >>> import numpy as np
    >>> from keras_dts import data
    >>> data.Corpus(np.array(["One."], object), np.array(["Two."], object)).test
    array(['Two.'], dtype=object)
    """

    train: npt.NDArray[np.object_]
    test: npt.NDArray[np.object_]


class Instructions(NamedTuple):
    """Holds prompts and the responses that a language model is to give.

    Each part is a dictionary with two object arrays of `str`, both of shape
    `(n,)`: `"prompts"` and `"responses"`.

    Args:
        train: Training prompts and responses.
        validation: Those for choices during the training, in the form of
            `train`. A part may be empty.
        test: Those for the evaluation, in the form of `train`.
        references: All responses to each test prompt that are right, as
            `keras_dts.metrics.rouge_l` takes them; the first one is the
            response in `test`. `None` where each prompt has one.

    Example:
    >>> import numpy as np
    >>> from keras_dts import data
    >>> part = {
    ...     "prompts": np.array(["cat"], object),
    ...     "responses": np.array(["K AE T"], object),
    ... }
    >>> data.Instructions(part, part, part).test["responses"]
    array(['K AE T'], dtype=object)
    """

    train: dict[str, Texts]
    validation: dict[str, Texts]
    test: dict[str, Texts]
    references: list[tuple[str, ...]] | None = None
