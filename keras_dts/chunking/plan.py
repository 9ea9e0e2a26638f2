"""Whether the steps of a distiller are cut into chunks of tokens, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.features import SplitModel, split_model
from keras_dts.logits import reads_classes
from keras_dts.utils import check_number, loss_dtype, unreduced

# "auto" cuts a step into chunks where the logits of one model have at least
# this many elements, and into chunks of about that many.
PAYS = 2**25
CHUNK = 2**22
# "auto" does not try to split a model of fewer classes.
FEWEST_CLASSES = 1024


@dataclasses.dataclass(frozen=True)
class ChunkPlan:
    """Whether the steps of a distiller are cut into chunks, and how.

    Args:
        chunk_size: `None`, a number of tokens, or `"auto"`.
        splits: The teacher and the student in two parts, if both can be.
        refusal: Why no step can be cut into chunks, or `None`.
        jit: Whether TensorFlow may compile chunks by XLA.

    Raises:
        ValueError: If a number is given, and there is a refusal.
    """

    chunk_size: int | str | None
    splits: tuple[SplitModel, ...] = ()
    refusal: str | None = None
    jit: bool = True

    def __post_init__(self) -> None:
        self._check(self.refusal)

    def for_compile(self, options: dict[str, Any]) -> ChunkPlan:
        """Returns the plan for what `compile` gets.

        Args:
            options: The arguments of `compile` by name, as far as they were
                given. By `jit_compile="auto"` Keras leaves XLA out on CPUs;
                chunks leave it out for `False` alone.
        """
        refusal = self.refusal
        losses = keras.tree.flatten(options.get("loss"))
        if options.get("loss_weights") is not None:
            refusal = "`loss_weights` were given to `compile`"
        if any(getattr(x, "reduction", "") in (None, "none") for x in losses):
            refusal = "a loss without a reduction"
        if any(reads_classes(x) is False for x in losses):
            refusal = "a loss whose labels are no classes of tokens"
        if refusal is None and self.chunk_size is not None:
            refusal = _refused_label_loss(losses, self.splits)
        jit = options.get("jit_compile", "auto") is not False
        return dataclasses.replace(self, refusal=refusal, jit=jit)

    def allows(self, y: Any) -> bool:
        """Says whether a batch with these labels can be cut into chunks.

        Args:
            y: The labels of the batch, or `None`.

        Raises:
            ValueError: If `chunk_size` is a number, and the batch cannot.
        """
        refusal = self.refusal or _refused_labels(y)
        self._check(refusal)
        return refusal is None

    def size(
        self, batch: int | None, length: int | None, width: int = 1
    ) -> int | None:
        """Returns the number of tokens in a chunk, or `None` for no chunks.

        A chunk of "auto" has half as many tokens as the hidden states have
        values, if that is more: each chunk reads the whole projection, which
        would be most of the work for fewer tokens.

        Args:
            batch: The number of examples, if it is known.
            length: The number of tokens in an example, if it is known.
            width: The number of values in a hidden state.
        """
        if self.chunk_size != "auto":
            return None if self.chunk_size is None else int(self.chunk_size)
        classes = max(split.classes for split in self.splits)
        if batch is None or length is None or batch * length * classes < PAYS:
            return None
        return max(CHUNK // classes, width // 2, 1)

    def _check(self, refusal: str | None) -> None:
        if refusal is not None and self.chunk_size not in (None, "auto"):
            raise ValueError(
                "`chunk_size` needs models, losses and labels that can be cut "
                'into chunks; use `None` or "auto" instead. Received: '
                f"chunk_size={self.chunk_size} and {refusal}"
            )


def plan_chunks(
    chunk_size: Any,
    teacher: keras.Model,
    student: keras.Model,
    losses: Iterable[tuple[Any, Any]] | None,
) -> ChunkPlan:
    """Plans how the steps of a distiller are cut into chunks.

    Args:
        chunk_size: `None`, a number of tokens, or `"auto"`.
        teacher: The teacher.
        student: The student.
        losses: Each loss on logits with the temperature that it uses; `None`
            where there are other losses.

    Raises:
        ValueError: If `chunk_size` is none of these; or if it is a number,
            and the models, losses or temperatures cannot be cut into chunks.
    """
    if chunk_size is None:
        return ChunkPlan(None, refusal="no size")
    if chunk_size != "auto":
        check_number("chunk_size", chunk_size, low=1)
        if int(chunk_size) != chunk_size:
            raise ValueError(
                "`chunk_size` must be a whole number. Received: "
                f"chunk_size={chunk_size}"
            )
    refusal = _refused_losses(losses)
    if refusal is None and chunk_size == "auto" and not _many_classes(student):
        refusal = "few classes"
    if refusal is not None:
        return ChunkPlan(chunk_size, refusal=refusal)
    splits = []
    for role, model in (("teacher", teacher), ("student", student)):
        split = split_model(model)
        if isinstance(split, str):
            return ChunkPlan(chunk_size, refusal=f"`{role}` {split}")
        splits.append(split)
    return ChunkPlan(chunk_size, tuple(splits))


def _refused_losses(losses: Iterable[tuple[Any, Any]] | None) -> str | None:
    """Says which loss or temperature compares whole batches, if one does."""
    if losses is None:
        return "`distillation_losses` that are not on logits"
    for loss, policy in losses:
        if not loss.per_entry:
            return f"the loss {type(loss).__name__}"
        if not policy.chunkable:
            return f"the temperature {type(policy).__name__}"
    return None


def _refused_label_loss(
    losses: list[Any], splits: tuple[SplitModel, ...]
) -> str | None:
    """Says why a loss on labels cannot be cut into chunks, if it cannot.

    It has to give a value for each token, whatever the other tokens are. A
    mean over a batch, or over the tokens that a mask leaves, is no such value.

    Args:
        losses: What `compile` got, flat.
        splits: The teacher and the student in two parts.
    """
    for loss in losses:
        function = keras.losses.get(loss)
        if function is None:
            continue
        labels = np.array([[1.0], [0.0], [1.0]])
        # Probabilities, which a loss may take for logits too.
        outputs = np.random.default_rng(0).dirichlet(
            np.ones(splits[1].classes), size=(3, 1)
        )
        try:
            together = _values_of(function, labels, outputs)
            alone = _values_of(function, labels[:1], outputs[:1])
        except Exception:  # It takes other labels, which `allows` reads.
            continue
        if together.shape != (3, 1) or not np.allclose(together[:1], alone):
            name = getattr(function, "__name__", type(function).__name__)
            return (
                f"the loss on labels {name}, which gives no value for each "
                "token that other tokens do not change"
            )
    return None


def _values_of(function: Any, labels: Any, outputs: Any) -> Any:
    """Returns the values of a loss on labels before its reduction, NumPy."""
    tensors = [
        ops.convert_to_tensor(x, loss_dtype()) for x in (labels, outputs)
    ]
    return ops.convert_to_numpy(unreduced(function, *tensors))


def _refused_labels(y: Any) -> str | None:
    """Says why labels are not one class index a token, if they are not."""
    if y is None:
        return None
    labels = keras.tree.flatten(y)
    if len(labels) != 1:
        return f"{len(labels)} labels `y`"
    shape = tuple(labels[0].shape)
    if len(shape) < 3 or shape[2:] == (1,):
        return None
    return f"labels `y` of shape {shape}"


def _many_classes(model: keras.Model) -> bool:
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) != 1:
        return False
    return (outputs[0].shape[-1] or 0) >= FEWEST_CLASSES
