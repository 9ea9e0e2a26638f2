"""The augmented views of examples, which can be computed again."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dts.cache.records import checksum
from keras_dts.cache.structure import (
    Array,
    describe,
    leaves,
    map_leaves,
    rebuild,
    stack,
)

# From the inputs of one example and a generator to augmented inputs.
Augment = Callable[[Any, np.random.Generator], Any]


class Views:
    """The views of examples that both models get as inputs.

    A view depends on nothing but the arguments of this class, the position of
    the example and the number of the view.

    Args:
        augment: The function that computes a view of one example, or `None`,
            where every view is the example itself.
        seed: The seed of all views.
        count: The number of views of each example.
    """

    def __init__(self, augment: Augment | None, seed: int, count: int) -> None:
        self._augment = augment
        self._seed = seed
        self.count = count

    @property
    def are_missing(self) -> bool:
        """Whether there are several views and no function to compute them."""
        return self._augment is None and self.count > 1

    def of(self, x: Any, rows: Array, numbers: Array) -> Any:
        """Returns one view of each example.

        Args:
            x: The inputs of the examples, arrays of shape `(n, ...)`.
            rows: The positions of the examples, shape `(n,)`.
            numbers: The number of the view for each example, shape `(n,)`.
        """
        if self._augment is None:
            return x
        made = [
            self._augment(
                map_leaves(operator.itemgetter(i), x),
                np.random.default_rng([self._seed, int(row), int(number)]),
            )
            for i, (row, number) in enumerate(zip(rows, numbers, strict=True))
        ]
        columns = zip(
            *(leaves(map_leaves(np.asarray, one)) for one in made), strict=True
        )
        return rebuild(describe(made[0]), map(stack, columns))

    def all(self, x: Any, rows: Array) -> list[Any]:
        """Returns every view of the examples.

        Args:
            x: The inputs of the examples, arrays of shape `(n, ...)`.
            rows: The positions of the examples, shape `(n,)`.
        """
        return [
            self.of(x, rows, np.full(len(rows), number))
            for number in range(self.count)
        ]

    def check(self, x: Any, rows: Array) -> None:
        """Checks that views are the same when they are computed again.

        Args:
            x: The inputs of the examples, arrays of shape `(n, ...)`.
            rows: The positions of the examples, shape `(n,)`.

        Raises:
            ValueError: If two computations differ.
        """
        once, again = (checksum(leaves(self.all(x, rows))) for _ in range(2))
        if once != again:
            raise ValueError(
                "`augment` must draw from its second argument alone, so that "
                "the student gets the inputs that the teacher got. Received: a "
                "function that returns different views of one example for "
                "equal generators"
            )
