"""Text of the student, written more and more, and kept to be read again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.generation.student_text import StudentText
from keras_dts.hub import preprocessor_of
from keras_dts.types import Tensor
from keras_dts.utils import check_count, check_number


@keras.saving.register_keras_serializable(package="keras_dts")
class AdaptiveText(StudentText):
    """Responses of the student, new or kept, as many as it needs (DistiLLM).

    ```
    u < share * (1 - step / steps)    the student writes; the text is kept
    u < share, the store is not full  the same
    u < share                         texts that were kept, drawn at random
    else                              the data's text
    ```

    `u` is drawn for each batch. `share` begins at `start`, and grows by
    `growth` whenever a validation loss of `fit` is above the last reference by
    `tolerance` or more, which then is the new reference. So a student that
    learns well from the data keeps to them. The reference is the loss before
    the training; it never falls.

    The store holds `capacity` responses as weights of the model, in the order
    of their writing, the oldest leaves first. A training that was stopped goes
    on with it. `fit` needs to know how many steps an epoch has, and a
    validation.

    The published code taught tokens a place too late, and no end of a
    response; here text of the student and of the data teach the same places.

    Args:
        capacity: How many responses are kept, at least 1.
        start: The share at first, in `[0, 1]`.
        tolerance: In nats a token, at least 0.
        growth: What the share grows by, in `[0, 1]`.
        reference: The validation loss before the training, or `None` for that
            of the first validation.
        length: The length of the batches' rows, or `None` for the
            `sequence_length` of the student's preprocessor.
        sampler: A `keras_hub.samplers.Sampler`, or the name of one.
        temperature: What divides the logits for a sampler that is given by
            its name.
        name: The name of the layer.

    Raises:
        ImportError: If KerasHub is missing.
        ValueError: If an argument is out of its range. From `fit`, if it has
            no validation loss, or batches of another length.

    Example:
    >>> from keras_dts import generation
    >>> generation.AdaptiveText(start=0.5).always_writes
    False

    Reference:
        Ko et al., DistiLLM, ICML 2024, arXiv 2402.03898.
    """

    def __init__(
        self,
        capacity: int = 1000,
        start: float = 0.0,
        tolerance: float = 0.1,
        growth: float = 0.1,
        *,
        reference: float | None = None,
        length: int | None = None,
        sampler: Any = "random",
        temperature: float = 0.9,
        name: str | None = None,
    ) -> None:
        check_number("start", start, low=0.0, high=1.0)
        super().__init__(start, sampler, temperature, name=name)
        check_count("capacity", capacity)
        check_number("tolerance", tolerance, low=0.0)
        check_number("growth", growth, low=0.0, high=1.0)
        if reference is not None:
            check_number("reference", reference)
        if length is not None:
            check_count("length", length)
        self.capacity = capacity
        self.start = start
        self.tolerance = tolerance
        self.growth = growth
        self.reference = reference
        self.length = length
        self.kept: list[Any] = []

    def build_for(self, student: keras.Model) -> None:
        """Makes the store, as long as the student's window."""
        if self.kept:
            return
        preprocessor = preprocessor_of(student)
        length = self.length or getattr(preprocessor, "sequence_length", None)
        if length is None:
            raise ValueError(
                "`length` of `AdaptiveText` must be given for a student "
                "without a `preprocessor`. Received: length=None"
            )
        self.kept = [
            self._add(name, (self.capacity, length), dtype)
            for name, dtype in (
                ("token_ids", "int32"),
                ("padding_mask", "int32"),
                ("labels", "int32"),
                ("weights", "float32"),
            )
        ]
        self.written = self._add("written", (), "int32")
        self.steps = self._add("steps", (), "int32")
        first = math.inf if self.reference is None else self.reference
        self.now = self._add("share", (), "float32", self.start)
        self.last = self._add("reference", (), "float32", first)

    def _add(self, name: str, shape: Any, dtype: str, value: Any = 0) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=dtype,
            initializer=keras.initializers.Constant(value),
            trainable=False,
            aggregation="only_first_replica",
        )

    @property
    def needs_validation(self) -> bool:
        """Whether `fit` must validate."""
        return True

    @property
    def always_writes(self) -> bool:
        """Whether no step uses the responses of the data: it may be any."""
        return False

    @property
    def never_writes(self) -> bool:
        """Whether each step uses the responses of the data: no."""
        return False

    def choose(
        self,
        given: list[Tensor],
        write: Callable[[], list[Tensor]],
        step: Tensor,
        seed: int,
    ) -> tuple[list[Tensor], Tensor | None]:
        """Decides what a step learns from, and keeps what is written."""
        ids = given[0]
        length = self.kept[0].shape[1]
        if ids.shape[1] != length:
            raise ValueError(
                "`length` of `AdaptiveText` must be that of the batches. "
                f"Received: length={length}, and rows of {ids.shape[1]} tokens"
            )
        share, written = self.now.value, self.written.value
        drawn = self.coin.draw(seed + 1, step)
        total = ops.maximum(self.steps.value, 1)
        done = ops.cast(step, "float32") / ops.cast(total, "float32")
        own = drawn < share
        new = ops.logical_or(
            drawn < share * (1.0 - done), written < self.capacity
        )
        writes = ops.logical_and(own, new)
        rows = ops.shape(ids)[0]
        # All of it is full where kept texts are read.
        place = self.coin.draw(seed + 2, step, (rows,)) * self.capacity
        place = ops.minimum(ops.cast(place, "int32"), self.capacity - 1)
        again = [ops.take(v.value, place, axis=0) for v in self.kept]

        def other() -> list[Tensor]:
            return [
                ops.where(own, ops.cast(old, x.dtype), x)
                for old, x in zip(again, given, strict=True)
            ]

        chosen = list(ops.cond(writes, write, other))
        self._keep(chosen, writes)
        return chosen, own

    def _keep(self, text: list[Tensor], writes: Tensor) -> None:
        """Keeps a text if it was written, in the place of the oldest."""
        # Of more rows than there are places, the last ones stay.
        text = [x[-self.capacity :] for x in text]
        rows = ops.shape(text[0])[0]
        begin = self.written.value
        place = (begin + ops.arange(rows, dtype="int32")) % self.capacity
        for variable, x in zip(self.kept, text, strict=True):
            old = variable.value
            new = ops.scatter_update(
                old, place[:, None], ops.cast(x, variable.dtype)
            )
            variable.assign(ops.where(writes, new, old))
        self.written.assign(begin + ops.where(writes, rows, 0))

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Notes how many steps the training has."""
        if steps is None:
            raise ValueError(
                "`steps_per_epoch` must be known for `AdaptiveText`. "
                "Received: data of unknown length"
            )
        self.steps.assign(epochs * steps)

    def validated(self, loss: float) -> None:
        """Lets the share grow if the loss has."""
        last = float(ops.convert_to_numpy(self.last.value))
        if math.isinf(last):
            self.last.assign(loss)
        elif loss >= last + self.tolerance:
            self.last.assign(loss)
            share = float(ops.convert_to_numpy(self.now.value))
            self.now.assign(min(share + self.growth, 1.0))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialized."""
        config = super().get_config()
        del config["share"]
        return {
            **config,
            "capacity": self.capacity,
            "start": self.start,
            "tolerance": self.tolerance,
            "growth": self.growth,
            "reference": self.reference,
            "length": self.length,
        }
