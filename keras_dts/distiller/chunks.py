"""A training step that never holds the logits of all tokens at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_dts.distiller.terms import Term
from keras_dts.features import SplitModel, split_model
from keras_dts.temperatures import Temperature
from keras_dts.types import Tensor
from keras_dts.utils import check_number

# "auto" cuts a step into chunks where the logits of one model have at least
# so many elements, and into chunks of about so many.
PAYS = 2**25
CHUNK = 2**22
# A model of fewer classes is not tried under "auto".
_FEWEST_CLASSES = 1024


class Chunks:
    """Whether and how a distiller's steps are cut into chunks of tokens.

    Args:
        chunk_size: `None`, a number of tokens, or `"auto"`.
        teacher: The teacher.
        student: The student.
        terms: The terms of the distillation loss.
        policy: The distiller's temperature.

    Raises:
        ValueError: If a number is given, and the models, losses or policies
            cannot be asked for chunks.
    """

    def __init__(
        self,
        chunk_size: Any,
        teacher: keras.Model,
        student: keras.Model,
        terms: list[Term],
        policy: Temperature,
    ) -> None:
        if chunk_size is not None and chunk_size != "auto":
            check_number("chunk_size", chunk_size, low=1)
            if int(chunk_size) != chunk_size:
                raise ValueError(
                    "`chunk_size` must be a whole number. Received: "
                    f"chunk_size={chunk_size}"
                )
        self.chunk_size = chunk_size
        self._terms = terms
        self._policy = policy
        self._active = False
        self.bodies: tuple[SplitModel, ...] = ()
        # Whether TensorFlow may compile chunks by XLA.
        self.jit = True
        self._why_not = self._why_not_now = self._look(teacher, student)
        self._complain(self._why_not)

    def _look(self, teacher: keras.Model, student: keras.Model) -> str | None:
        """Finds the bodies, and says why not, if there is a reason."""
        if self.chunk_size is None:
            return "no size"
        why_not = _other_losses(self._terms, self._policy)
        if why_not is not None:
            return why_not
        if self.chunk_size == "auto" and not _many_classes(student):
            return "few classes"
        bodies = []
        for role, model in (("teacher", teacher), ("student", student)):
            body = split_model(model)
            if isinstance(body, str):
                return f"`{role}` {body}"
            bodies.append(body)
        self.bodies = tuple(bodies)
        return None

    def _complain(self, why_not: str | None) -> None:
        if why_not is not None and self.chunk_size not in (None, "auto"):
            raise ValueError(
                "`chunk_size` needs models, losses and labels that can be cut "
                'into chunks; use `None` or "auto" instead. Received: '
                f"chunk_size={self.chunk_size} and {why_not}"
            )

    def compiled(self, loss: Any, loss_weights: Any, jit_compile: Any) -> None:
        """Looks at what `compile` got.

        Args:
            loss: The loss on labels.
            loss_weights: Its weights, or `None`.
            jit_compile: Whether XLA compiles the step: `True`, `False`, or
                `"auto"`, by which Keras leaves it out on CPUs.

        Raises:
            ValueError: If a number of tokens was asked for, and these cannot
                be asked for chunks.
        """
        self.jit = jit_compile is not False
        self._why_not_now = self._why_not
        losses = [x for x in keras.tree.flatten(loss) if x is not None]
        if loss_weights is not None:
            self._why_not_now = "`loss_weights` were given to `compile`"
        if any(getattr(x, "reduction", "") in (None, "none") for x in losses):
            self._why_not_now = "a loss without a reduction"
        self._complain(self._why_not_now)

    @contextlib.contextmanager
    def step(self, data: Any) -> Iterator[None]:
        """For a training step: bodies may stop before their projections.

        Args:
            data: The step's batch.

        Raises:
            ValueError: If a number of tokens was asked for, and the labels
                cannot be cut into chunks.
        """
        why_not = self._why_not_now
        if why_not is None:
            why_not = _other_labels(data)
        self._complain(why_not)
        before, self._active = self._active, why_not is None
        try:
            yield
        finally:
            self._active = before

    def run(
        self, role: int, model: Any, inputs: Any, training: bool | None
    ) -> Any:
        """Runs a model, up to its projection if that pays.

        Args:
            role: 0 for the teacher, 1 for the student.
            model: The model.
            inputs: Its input.
            training: Whether it runs in training mode.

        Returns:
            Its outputs, or `HiddenStates`.
        """
        if not self._active:
            return model(inputs, training=training)
        return self.bodies[role](
            inputs, training, lambda states: self.size(states) is not None
        )

    def size(self, states: Tensor) -> int | None:
        """Returns the number of tokens in a chunk, or `None` for no chunks.

        Args:
            states: HiddenStates states, shape `(batch, length, width)`.
        """
        if self.chunk_size != "auto":
            return int(self.chunk_size)
        batch, length = states.shape[:2]
        classes = max(body.classes for body in self.bodies)
        if None in (batch, length) or batch * length * classes < PAYS:
            return None
        return max(CHUNK // classes, 1)


def _other_losses(terms: list[Term], policy: Temperature) -> str | None:
    """Says which losses or policies look at whole batches, if any does."""
    if not all(term.reads_logits for term in terms):
        return "`distillation_losses` that are not on logits"
    for loss in (x for term in terms for x in term.losses_on_logits):
        if not loss.in_parts:
            return f"the loss {type(loss).__name__}"
        own = loss.temperature or policy
        if not own.in_parts:
            return f"the temperature {type(own).__name__}"
    return None


def _many_classes(model: keras.Model) -> bool:
    outputs = getattr(model, "outputs", None) or []
    return len(outputs) == 1 and (outputs[0].shape[-1] or 0) >= _FEWEST_CLASSES


def _other_labels(data: Any) -> str | None:
    """Says what about the labels is not one class index a token, if so."""
    _, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    labels = keras.tree.flatten(y)
    if y is None or len(labels) == 1:
        shape = tuple(labels[0].shape) if y is not None else ()
        if len(shape) < 3 or shape[2:] == (1,):
            return None
        return f"labels `y` of shape {shape}"
    return f"{len(labels)} labels `y`"
