"""Images as arrays: scikit-learn's digits, and batches of other data sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_dts.data.splits import Splits
from keras_dts.utils import require


def load_digits() -> Splits:
    """Returns scikit-learn's digits, always with the same split.

    Raises:
        ImportError: If scikit-learn is missing.
    """
    datasets, model_selection = require(
        "demo", "The digits", "sklearn.datasets", "sklearn.model_selection"
    )
    images, labels = datasets.load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = model_selection.train_test_split(
        images.reshape(-1, 8, 8, 1),
        labels,
        test_size=0.4,
        stratify=labels,
        random_state=0,
    )
    return Splits(
        _scale(x_train, 16),  # a pixel is 0 to 16
        y_train.astype(np.int32),
        _scale(x_test, 16),
        y_test.astype(np.int32),
        num_classes=10,
    )


def images_and_labels(
    batches: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Returns all images, float32 in [0, 1], and all labels, int32.

    Args:
        batches: Batches of images, uint8 of shape `(batch, height, width,
            channels)`, and of labels, shape `(batch,)`.
    """
    images, labels = zip(*batches, strict=True)
    return (
        _scale(np.concatenate(images), 255),
        np.concatenate(labels).astype(np.int32),
    )


def _scale(images: npt.NDArray[Any], highest: int) -> npt.NDArray[np.float32]:
    # In one pass, since a float32 copy of Tiny-ImageNet takes 5 GB.
    scaled: npt.NDArray[np.float32] = np.divide(
        images, np.float32(highest), dtype=np.float32, casting="same_kind"
    )
    return scaled
