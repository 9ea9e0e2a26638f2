"""The losses of a training step, computed chunk of tokens by chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.backend import fold_parts, map_parts
from keras_dts.distiller.heads import HeadReader, one_for_each
from keras_dts.distiller.terms import Term
from keras_dts.features import SplitModel
from keras_dts.logits import (
    EntryWeights,
    LogitPair,
    broadcast_weights,
    weighted_mean,
)
from keras_dts.temperatures import Temperature, Temperatures
from keras_dts.types import HiddenStates, Tensor
from keras_dts.utils import loss_dtype, to_loss_dtype, unreduced


class Chunk(NamedTuple):
    """Some tokens, as both models see them.

    Attributes:
        head: Both models' logits, labels and weights, `(size, 1, ...)`.
        faults: As in `heads.Prepared`.
        y: The labels, with 0 for indices that name no class, or `None`.
        outputs: The student's outputs, for the loss on labels.
    """

    head: LogitPair
    faults: Tensor
    y: Tensor | None
    outputs: Tensor


class Tokens(NamedTuple):
    """A batch of tokens, and how a chunk of them is read.

    Attributes:
        read: From the values of `trained`, and a part of `batch`, to a
            `Chunk`. It alone knows what the teacher's answers are.
        trained: What a gradient flows to, beside the batch.
        batch: Tensors of shape `(tokens, ...)`.
        shape: The shape of the tokens, `(batch, length)`.
        size: The number of tokens in a chunk.
        jit: As for `map_parts`.
    """

    read: Callable[[list[Tensor], dict[str, Tensor]], Chunk]
    trained: list[Tensor]
    batch: dict[str, Tensor]
    shape: tuple[Any, ...]
    size: int
    jit: bool

    def columns(
        self, row: Callable[[Chunk], list[Tensor]], count: int
    ) -> list[Tensor]:
        """Computes values for each token.

        Args:
            row: From a chunk to `count` values, each a scalar or one for
                each token, shape `(size, 1)`.
            count: How many there are.

        Returns:
            The values, each of shape `(batch, length)`.
        """

        def rows(trained: list[Tensor], part: dict[str, Tensor]) -> Tensor:
            values = [to_loss_dtype(x) for x in row(self.read(trained, part))]
            values = [ops.broadcast_to(x, (self.size, 1)) for x in values]
            return ops.concatenate(values, axis=-1)

        table = map_parts(
            rows, self.trained, self.batch, self.size, count, jit=self.jit
        )
        return [ops.reshape(table[:, i], self.shape) for i in range(count)]

    def frozen(self) -> Tokens:
        """Returns the same batch, without a gradient."""
        trained, batch = keras.tree.map_structure(
            ops.stop_gradient, (self.trained, self.batch)
        )
        return self._replace(trained=trained, batch=batch)


class Told(NamedTuple):
    """What a step tells of its batch.

    Attributes:
        student_loss: The loss on labels without penalties, or `None`.
        values: The distillation losses, one a term.
        faults: As in `heads.Prepared`.
        logged: The gap and the temperature, by name.
    """

    student_loss: Tensor | None
    values: list[Tensor]
    faults: Tensor
    logged: dict[str, Tensor]


class ChunkedLosses:
    """Computes what a step computes, and never all logits at once.

    Args:
        reader: What prepares the outputs.
        bodies: The teacher's and the student's.
        terms: The terms of the distillation loss, one loss on logits each.
        policy: The temperature of losses that have none of their own.
    """

    def __init__(
        self,
        reader: HeadReader,
        bodies: tuple[SplitModel, ...],
        terms: list[Term],
        policy: Temperature,
    ) -> None:
        self._reader = reader
        self._bodies = bodies
        self._losses = [x for term in terms for x in term.losses_on_logits]
        self._policy = policy
        self._entry_weights = EntryWeights(name="token_weights")

    def tokens(
        self,
        teacher: Any,
        student: HiddenStates,
        y: Any,
        sample_weight: Any,
        loss: Any,
        size: int,
        classes: list[Tensor | None] | None = None,
        *,
        jit: bool,
    ) -> Tokens:
        """Returns a batch whose chunks can be read.

        Args:
            teacher: What the teacher's body gave; or its logits, from a
                cache.
            student: What the student's gave.
            y: The labels, or `None`.
            sample_weight: The user's weights, or `None`.
            loss: The loss given to `compile`.
            size: The number of tokens in a chunk.
            classes: `None`, or for logits from a cache as for
                `HeadReader.prepare`.
            jit: As for `map_parts`.
        """
        states = student.states
        (y,), (weights,) = (
            one_for_each(x, student) for x in (y, sample_weight)
        )
        cached = classes is not None
        if not cached:
            self._check(teacher, student)
        batch = {
            "teacher": teacher if cached else teacher.states,
            "student": states,
            "weights": self._entry_weights(states, sample_weight=weights),
        }
        if y is not None:
            batch["y"] = ops.reshape(y, ops.shape(states)[:2])
        if classes and classes[0] is not None:
            batch["classes"] = classes[0]
        ours, theirs = self._bodies[1], self._bodies[0]
        fixed = [ops.stop_gradient(value) for value in theirs.values()]

        def read(trained: list[Tensor], part: dict[str, Tensor]) -> Chunk:
            outputs = ours.project(part["student"], trained)
            answers = part["teacher"]
            if not cached:
                answers = theirs.project(answers, fixed)
            prepared = self._reader.prepare(
                ops.stop_gradient(answers),
                outputs,
                part.get("y"),
                part["weights"],
                loss,
                classes=[part.get("classes")] if cached else None,
            )
            head: Any = prepared.heads[0]
            return Chunk(head, prepared.faults, prepared.y, outputs)

        return Tokens(
            read,
            ours.values(),
            {name: _one_by_one(x) for name, x in batch.items()},
            ops.shape(states)[:2],
            size,
            jit,
        )

    def _check(self, teacher: Any, student: HiddenStates) -> None:
        """Raises unless the outputs that nobody holds fit each other."""
        self._reader.check_outputs(
            *(
                keras.KerasTensor((*hidden.states.shape[:-1], body.classes))
                for hidden, body in zip(
                    (teacher, student), self._bodies, strict=True
                )
            )
        )

    def told(
        self,
        tokens: Tokens,
        student: HiddenStates,
        sample_weight: Any,
        loss: Any,
    ) -> Told:
        """Computes what a step tells, and lets the temperatures advance.

        A temperature that needs the gap before it answers gets it from a pass
        of its own, without a gradient; all else comes from one pass.

        Args:
            tokens: The batch.
            student: What the student's body gave.
            sample_weight: The user's weights, or `None`.
            loss: The loss given to `compile`.
        """
        (function,) = one_for_each(loss, student)
        function = None if "y" not in tokens.batch else _loss(function)
        policies = [loss.temperature or self._policy for loss in self._losses]
        shared = [loss.temperature is None for loss in self._losses]
        answers = self._answers(tokens, policies)

        def row(chunk: Chunk) -> list[Tensor]:
            head = chunk.head
            softened = [answer(head) for answer in answers]
            common = [t for t, s in zip(softened, shared, strict=True) if s]
            temperature = common[0].student if common else ops.zeros(())
            return [
                _label_values(function, chunk),
                ops.stop_gradient(temperature),
                head.behind,
                head.weights,
                *[chunk.faults[i] for i in range(2)],
                *[
                    loss.values(head, t)
                    for loss, t in zip(self._losses, softened, strict=True)
                ],
            ]

        count = 6 + len(self._losses)
        labels, temperature, behind, weights, *rest = tokens.columns(row, count)
        faults, losses = rest[:2], rest[2:]
        gap = _mean(behind, weights)
        for policy in {id(p): p for p in policies}.values():
            policy.end_step(gap)
        values = [weighted_mean(loss, weights) for loss in losses]
        for loss_, value in zip(self._losses, values, strict=True):
            if loss_.temperature is not None:
                loss_.temperature.observe(value)
        logged = {"gap": gap}
        if any(shared):
            logged["temperature"] = _mean(temperature, weights)
        student_loss = function and self._reduced(
            labels, tokens, student, sample_weight, function
        )
        return Told(
            student_loss,
            values,
            ops.stack([ops.max(fault) for fault in faults]),
            logged,
        )

    def _answers(
        self, tokens: Tokens, policies: list[Temperature]
    ) -> list[Callable[[LogitPair], Temperatures]]:
        """Begins the step of each policy, once, and returns what it answers."""

        def gap() -> Tensor:
            if "y" not in tokens.batch:
                return ops.zeros((), dtype=loss_dtype())
            behind, weights = tokens.frozen().columns(
                lambda chunk: [chunk.head.behind, chunk.head.weights], 2
            )
            return _mean(behind, weights)

        begun: dict[int, Any] = {}
        for policy in policies:
            if id(policy) not in begun:
                begun[id(policy)] = policy.begin_step(gap)
        return [begun[id(policy)] for policy in policies]

    def _reduced(
        self,
        values: Tensor,
        tokens: Tokens,
        student: HiddenStates,
        sample_weight: Any,
        loss: Any,
    ) -> Tensor:
        """Reduces a loss on labels as Keras reduces it."""
        masked = self._reader.with_masks(student.states, sample_weight)
        ignore = getattr(loss, "ignore_class", None)
        if ignore is not None:
            y = ops.reshape(tokens.batch["y"], tokens.shape)
            named = ops.cast(ops.not_equal(y, ignore), loss_dtype())
            masked = self._reader.with_masks(masked, named)
        reduction = getattr(loss, "reduction", "sum_over_batch_size")
        (weights,) = one_for_each(sample_weight, student)
        return _Reduction(reduction=reduction)(values, masked, weights)

    def update_metrics(
        self,
        tokens: Tokens,
        sample_weight: Any,
        update: Callable[[Chunk, Any, Any], None],
        variables: list[Any],
    ) -> None:
        """Shows metrics a batch, chunk by chunk and without a gradient.

        Args:
            tokens: The batch.
            sample_weight: The user's weights, or `None`.
            update: Updates metrics, from a chunk, its labels as they came,
                or `None`, and its sample weights, or `None`.
            variables: The metrics' variables.
        """
        batch = dict(tokens.batch)
        entries = ops.zeros(tokens.shape, dtype=loss_dtype())
        weights = [
            w for w in keras.tree.flatten(sample_weight) if w is not None
        ]
        if weights:
            given = broadcast_weights(weights[0], entries) + entries
            batch["sample_weight"] = _one_by_one(given)
        frozen = tokens._replace(batch=batch).frozen()

        def body(values: list[Tensor], part: dict[str, Tensor]) -> list[Tensor]:
            chunk = frozen.read(frozen.trained, part)
            with keras.StatelessScope(
                zip(variables, values, strict=True)
            ) as scope:
                update(chunk, part.get("y"), part.get("sample_weight"))
            return [scope.get_current_value(v) for v in variables]

        start = [v.value for v in variables]
        end = fold_parts(body, start, frozen.batch, tokens.size)
        for variable, value in zip(variables, end, strict=True):
            variable.assign(value)


class _Reduction(keras.losses.Loss):
    """Reduces values that another loss gave, masks and weights included."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(name="reduced", dtype=loss_dtype(), **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the values; `y_pred` only brings its mask."""
        del y_pred
        return y_true


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Returns the plain mean of values over the entries that weigh."""
    return weighted_mean(
        values, ops.cast(ops.not_equal(weights, 0), loss_dtype())
    )


def _loss(loss: Any) -> Any:
    """Returns the function, or `keras.losses.Loss`, that Keras would use."""
    return None if loss is None else keras.losses.get(loss)


def _label_values(loss: Any, chunk: Chunk) -> Tensor:
    """Returns the loss on labels of each token."""
    if loss is None:
        return ops.zeros(())
    return unreduced(loss, to_loss_dtype(chunk.y), to_loss_dtype(chunk.outputs))


def _one_by_one(x: Tensor) -> Tensor:
    """Makes a batch of rows one of single tokens.

    Args:
        x: Shape `(batch, length, ...)`.

    Returns:
        Shape `(batch * length, 1, ...)`.
    """
    return ops.reshape(x, (-1, 1, *x.shape[2:]))
