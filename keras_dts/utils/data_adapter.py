"""The interface of data adapters."""

from __future__ import annotations

from typing import Any, Protocol


class DataAdapter(Protocol):
    """Turns data that Keras does not take into data that Keras takes."""

    def takes(self, x: Any) -> bool:
        """Returns whether the adapter converts inputs of this kind.

        Args:
            x: The argument `x` of `fit` or of a related method.
        """
        ...

    def adapt(
        self, options: dict[str, Any], *, teacher: bool, training: bool = False
    ) -> None:
        """Replaces the data among a method's arguments by batches.

        Args:
            options: The arguments of `fit`, `evaluate` or `predict` by name,
                which are changed in place. `options["x"]` becomes the
                batches.
            teacher: Whether the teacher runs on the data.
            training: Whether these are the arguments of `fit`.
        """
        ...

    def adapt_batch(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Replaces the data among a method's arguments by one batch.

        Args:
            options: The arguments of `train_on_batch`, `test_on_batch` or
                `predict_on_batch` by name, which are changed in place.
            teacher: Whether the teacher runs on the batch.
        """
        ...
