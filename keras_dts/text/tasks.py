"""Text for KerasHub tasks: how a task reads it, and whose tokens are whose.

KerasHub is optional, and is never imported here: who has a task of it has
imported it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.types import Tensor, TokenizedInputs


class Reader(NamedTuple):
    """A model, and how it reads a raw batch.

    Attributes:
        role: `"teacher"` or `"student"`, for the messages.
        model: The model.
        inputs: `None`, or a function from a batch's `x` to its input.
    """

    role: str
    model: keras.Model
    inputs: Callable[[Any], Any] | None

    def check(self) -> None:
        """Raises a `ValueError` unless the model can read strings."""
        if preprocessor_of(self.model) is None and not self._takes_strings:
            raise ValueError(
                f"`{self.role}` must be a KerasHub task with a `preprocessor` "
                "to take raw strings in `x`. Received: the "
                f"{type(self.model).__name__} {self.model.name!r} without "
                "one. Strings can also be tokenized before, so that `x` holds "
                "token ids"
            )

    def read(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> tuple[Any, Any, Any]:
        """Returns a raw batch's inputs, labels and weights for the model."""
        x = x if self.inputs is None else self.inputs(x)
        if self._takes_strings:
            return x, y, sample_weight
        read = self.model.preprocess_samples(
            x, y=y, sample_weight=sample_weight
        )
        x, y, weight = keras.utils.unpack_x_y_sample_weight(read)
        if sample_weight is not None and weight is not None:
            weight = _weighted(weight, sample_weight)
        return x, y, weight

    def reading(self) -> Any:
        """Returns what decides what the model's preprocessor makes of a text.

        Returns:
            Something that is equal as long as every text is read as it was,
            or `None` if that cannot be told: with `inputs`, and for classes
            that are not KerasHub's own.
        """
        preprocessor = preprocessor_of(self.model)
        parts = (preprocessor, getattr(preprocessor, "tokenizer", None))
        if self.inputs is not None or not all(
            type(part).__module__.startswith("keras_hub.") for part in parts
        ):
            return None
        return parts, _settings(preprocessor), _assets(preprocessor.tokenizer)

    @property
    def _takes_strings(self) -> bool:
        """Whether the model tokenizes strings itself."""
        inputs = getattr(self.model, "inputs", None) or []
        return any(i.dtype == "string" for i in inputs)


def read_by_both(teacher: Reader, student: Reader) -> Callable[..., Any]:
    """Returns a function from a raw batch to one that both models take.

    Where both read alike, the text is tokenized once; otherwise the batch's
    `x` is `TokenizedInputs`. Labels and weights are the student's.

    Args:
        teacher: The teacher.
        student: The student.

    Raises:
        ValueError: If one of them cannot read strings, or their positions do
            not fit each other.
    """
    teacher.check()
    student.check()
    _check_positions(teacher.model, student.model)
    once = teacher.inputs is student.inputs and _read_alike(
        teacher.model, student.model
    )
    if not once and any(_is_a(r.model, "MaskedLM") for r in (teacher, student)):
        raise ValueError(
            "The preprocessors of `teacher` and `student` must be equal for "
            "masked language models, because each masks other tokens. "
            f"Received: {preprocessor_of(teacher.model)!r} and "
            f"{preprocessor_of(student.model)!r}, which differ"
        )
    apart = same_tokens(teacher.model, student.model) is False

    def read(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        inputs, labels, weights = student.read(x, y, sample_weight)
        if not once:
            theirs, _, counts = teacher.read(x, y, sample_weight)
            spans = (counts, weights) if apart else ()
            inputs = TokenizedInputs(inputs, theirs, spans)
        return keras.utils.pack_x_y_sample_weight(inputs, labels, weights)

    return read


def same_tokens(teacher: keras.Model, student: keras.Model) -> bool | None:
    """Says whether the classes of two language models are the same tokens.

    Args:
        teacher: The teacher.
        student: The student.

    Returns:
        `None` if they are no language models of KerasHub with a tokenizer
        each, or `tokens_unknown`.
    """
    theirs, ours = _tokenizer(teacher), _tokenizer(student)
    if theirs is None or ours is None or tokens_unknown(teacher, student):
        return None
    return theirs is ours or _tokens(theirs) == _tokens(ours)


def tokens_unknown(teacher: keras.Model, student: keras.Model) -> bool:
    """Says whether a language model's tokenizer has no tokens yet.

    While a model is loaded from a file, they come last.
    """
    for model in (teacher, student):
        tokenizer = _tokenizer(model)
        if tokenizer is not None:
            try:
                tokenizer.vocabulary_size()
            except ValueError:
                return True
    return False


def align_spans(
    outputs: Any, teacher_counts: Tensor, student_counts: Tensor
) -> tuple[Any, Tensor]:
    """Moves a teacher's outputs to the positions of the student's tokens.

    Models with different tokens split a text at different places. The first
    position that counts for the one is compared with the first one that
    counts for the other, the second with the second, and so on, as far as the
    shorter one goes.

    Args:
        outputs: The teacher's outputs, each of shape
            `(batch, teacher_length, classes)`.
        teacher_counts: Nonzero where the teacher's positions count, without
            gaps, shape `(batch, teacher_length)`.
        student_counts: The same for the student,
            `(batch, student_length)`.

    Returns:
        The outputs at the student's positions, each of shape
        `(batch, student_length, classes)`; and where both count, 1 or 0,
        float32, shape `(batch, student_length)`.
    """
    theirs, ours = (
        ops.cast(ops.not_equal(ops.cast(counts, "int32"), 0), "int32")
        for counts in (teacher_counts, student_counts)
    )
    length = ops.shape(theirs)[1]
    first = ops.argmax(theirs, axis=1)[:, None]  # (batch, 1)
    place = ops.arange(ops.shape(ours)[1])[None] - ops.argmax(ours, 1)[:, None]
    place = ops.cast(place, "int32")  # (batch, student_length)
    many = ops.sum(theirs, axis=1)[:, None]
    both = ops.logical_and(ours > 0, ops.logical_and(place >= 0, place < many))
    index = ops.clip(ops.cast(first, "int32") + place, 0, length - 1)
    rows = index + length * ops.arange(ops.shape(theirs)[0])[:, None]

    def moved(logits: Tensor) -> Tensor:
        flat = ops.reshape(logits, (-1, logits.shape[-1]))
        return ops.take(flat, rows, axis=0)

    return keras.tree.map_structure(moved, outputs), ops.cast(both, "float32")


def padding_of(inputs: Any) -> Tensor | None:
    """Returns a batch's padding masks, or `None` if it has none.

    Args:
        inputs: A batch's `x`.

    Returns:
        Zero where a position is padding for a model, shape
        `(batch, length)`.
    """
    read = inputs[:2] if isinstance(inputs, TokenizedInputs) else (inputs,)
    masks = [
        ops.cast(one["padding_mask"], "float32")
        for one in read
        if isinstance(one, dict) and "padding_mask" in one
    ]
    if not masks or len({tuple(mask.shape) for mask in masks}) > 1:
        return masks[0] if masks else None
    return masks[0] * masks[-1]


def is_causal(model: keras.Model) -> bool:
    """Says whether a model is a causal language model of KerasHub."""
    return _is_a(model, "CausalLM")


def is_task(model: keras.Model) -> bool:
    """Says whether a model is a task of KerasHub."""
    return _is_a(model, "Task")


def preprocessor_of(model: keras.Model) -> Any:
    """Returns the preprocessor of a KerasHub task, or `None`."""
    return model.preprocessor if is_task(model) else None


def _is_a(model: keras.Model, kind: str) -> bool:
    hub = sys.modules.get("keras_hub")
    return hub is not None and isinstance(model, getattr(hub.models, kind))


def _tokenizer(model: keras.Model) -> Any:
    """Returns a language model's tokenizer, or `None`."""
    if not (_is_a(model, "CausalLM") or _is_a(model, "MaskedLM")):
        return None
    return getattr(preprocessor_of(model), "tokenizer", None)


def _tokens(tokenizer: Any) -> dict[str, int]:
    return {t: tokenizer.token_to_id(t) for t in tokenizer.get_vocabulary()}


def _weighted(weights: Any, sample_weight: Any) -> Any:
    """Multiplies a preprocessor's weights by the user's, one an example."""
    if len(weights.shape) == len(sample_weight.shape):
        return sample_weight  # which the preprocessor passed on
    return _float(weights) * _float(sample_weight)[:, None]


def _float(weights: Any) -> Any:
    tf = sys.modules.get("tensorflow")
    if tf is not None and tf.is_tensor(weights):  # in the input pipeline
        return tf.cast(weights, "float32")
    return ops.cast(weights, "float32")


def _check_positions(teacher: keras.Model, student: keras.Model) -> None:
    """Raises unless the positions of language models fit each other."""
    same = same_tokens(teacher, student)
    if same is None:
        return
    names = ["sequence_length"]
    if same:
        names += ["add_start_token", "add_end_token"]
    theirs, ours = (
        {n: getattr(preprocessor_of(m), n, None) for n in names}
        for m in (teacher, student)
    )
    for name in names:
        if theirs[name] != ours[name]:
            raise ValueError(
                "The preprocessors of `teacher` and `student` must have the "
                f"same `{name}`, because language models are compared token "
                f"by token. Received: {name}={theirs[name]} of the teacher "
                f"and {ours[name]} of the student"
            )


def _read_alike(teacher: keras.Model, student: keras.Model) -> bool:
    """Says whether two tasks' preprocessors make the same of every text."""
    theirs, ours = preprocessor_of(teacher), preprocessor_of(student)
    if theirs is ours:
        return True
    if not hasattr(theirs, "tokenizer") or not hasattr(ours, "tokenizer"):
        return False
    if _settings(theirs) != _settings(ours):
        return False
    # The files last, since tokenizers write them to tell what is in them.
    same: bool = theirs.tokenizer is ours.tokenizer or (
        _assets(theirs.tokenizer) == _assets(ours.tokenizer)
    )
    return same


def _settings(preprocessor: Any) -> tuple[Any, ...]:
    """Returns what a preprocessor does, whatever its tokenizer's files say."""
    return type(preprocessor), _unnamed(preprocessor.get_config())


def _unnamed(config: Any) -> Any:
    """Returns a configuration without the names of layers."""
    if isinstance(config, dict):
        return {k: _unnamed(v) for k, v in config.items() if k != "name"}
    if isinstance(config, (list, tuple)):
        return [_unnamed(value) for value in config]
    return config


def _assets(tokenizer: Any) -> dict[str, bytes]:
    """Returns the files that a tokenizer saves: vocabulary, merges, ..."""
    if not hasattr(tokenizer, "save_assets"):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_assets(folder)
        return {f.name: f.read_bytes() for f in Path(folder).iterdir()}
