"""The texts of GLUE's tasks, and pairs of them, as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_dts.data.arrays import Labels, to_objects

GLUE_COLUMNS = {
    "glue/sst2": ("sentence",),
    "glue/mrpc": ("sentence1", "sentence2"),
    "glue/qnli": ("question", "sentence"),
    "glue/mnli": ("premise", "hypothesis"),
    "glue/mnli_mismatched": ("premise", "hypothesis"),
}


def texts_and_labels(
    batches: Iterable[dict[str, Any]], columns: tuple[str, ...]
) -> tuple[Any, Labels]:
    """Returns the texts and the labels of a GLUE task.

    Args:
        batches: Batches of examples by column, with texts as bytes.
        columns: The names of the columns that hold texts.

    Returns:
        The texts of the column, shape `(n,)`, or a tuple of one such array for
        each of several columns; and the labels, int32, shape `(n,)`.
    """
    batches = list(batches)
    texts = tuple(
        to_objects(text.decode() for batch in batches for text in batch[column])
        for column in columns
    )
    labels = np.concatenate([batch["label"] for batch in batches])
    return texts if len(texts) > 1 else texts[0], labels.astype(np.int32)
