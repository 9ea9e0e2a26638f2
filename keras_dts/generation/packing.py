"""Prompts and responses as token ids, with masks, labels and weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_dts.hub import (
    check_strings,
    holds_strings,
    is_task,
    preprocessor_of,
)
from keras_dts.types import Tensor

# The key of a batch's `x` that models do not read.
PROMPT_MASK = "prompt_mask"


def model_inputs(x: Any) -> Any:
    """Returns what a model reads of a batch's `x`: all but the prompt mask."""
    if not isinstance(x, dict):
        return x
    return {name: value for name, value in x.items() if name != PROMPT_MASK}


def next_tokens(
    token_ids: Tensor, padding_mask: Tensor, prompt_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the labels of a text, and their weights.

    Args:
        token_ids: The tokens, int32, shape `(batch, length)`.
        padding_mask: Whether a position is of the text, bool, shape
            `(batch, length)`.
        prompt_mask: Whether it is of the prompt, bool, shape
            `(batch, length)`.

    Returns:
        The next token at each position, int32; and 1 where it is of the
        response, else 0, float32; shape `(batch, length)` each. The last
        position has no next token, and weight 0.
    """
    of_response = ops.logical_and(padding_mask, ops.logical_not(prompt_mask))
    shift = [[0, 0], [0, 1]]
    labels = ops.pad(token_ids[:, 1:], shift)
    return labels, ops.pad(ops.cast(of_response[:, 1:], "float32"), shift)


def prompts_alone(
    token_ids: Tensor, prompt_mask: Tensor, stop_token_ids: Sequence[int]
) -> Tensor:
    """Returns prompts, with a token behind them that is no stop token.

    Args:
        token_ids: The tokens of a text, int32, shape `(batch, length)`.
        prompt_mask: Whether a position is of the prompt, bool, shape
            `(batch, length)`.
        stop_token_ids: The stop tokens.
    """
    stops = {*stop_token_ids}
    pad = next(i for i in range(len(stops) + 1) if i not in stops)
    return ops.where(prompt_mask, token_ids, pad)


def are_stops(
    token_ids: Tensor, stop_token_ids: Sequence[int] | None
) -> Tensor:
    """Says which tokens are stop tokens, bool, of the shape of the tokens.

    Args:
        token_ids: Integers.
        stop_token_ids: The stop tokens; `None` is none.
    """
    found = ops.zeros_like(token_ids, dtype="bool")
    for stop in stop_token_ids or ():
        found = ops.logical_or(found, ops.equal(token_ids, stop))
    return found


class PackedText(NamedTuple):
    """Prompts with their responses, as arrays.

    Attributes:
        x: `token_ids`, `padding_mask` and `prompt_mask`, shape `(examples,
            length)` each.
        y: The next token at each position, int32, shape `(examples, length)`.
        sample_weight: 1 where it is of the response, else 0, float32.
    """

    x: dict[str, Any]
    y: Any
    sample_weight: Any


class PromptPacker:
    """Makes token ids of prompts and responses, as one model's task does.

    The prompt begins with the start token, and the response ends with the end
    token, as far as the preprocessor adds them. Both are tokenized apart.

    `OnPolicyDistiller` does so itself. For a `Distiller` it makes data of
    models whose preprocessor takes no prompts.

    Args:
        model: A causal language model of KerasHub with a preprocessor, or its
            preprocessor.
        max_prompt_length: How many tokens of a prompt are kept, the last
            ones; `None` for as many as the window has.

    Example:
    >>> import keras_hub
    >>> from keras_dts import generation
    >>> tokens = ["a", "b", "c", "ab", "<|endoftext|>"]
    >>> tokenizer = keras_hub.models.GPT2Tokenizer(
    ...     {token: i for i, token in enumerate(tokens)}, ["a b"]
    ... )
    >>> pack = generation.PromptPacker(
    ...     keras_hub.models.GPT2CausalLMPreprocessor(
    ...         tokenizer, sequence_length=5
    ...     )
    ... )
    >>> x, y, weights = pack(["ab"], ["c"])
    >>> x["token_ids"].tolist(), weights.tolist()
    ([[4, 3, 2, 4, 0]], [[0.0, 1.0, 1.0, 0.0, 0.0]])
    """

    def __init__(
        self, model: Any, max_prompt_length: int | None = None
    ) -> None:
        self._preprocessor = preprocessor_of(model) if is_task(model) else model
        self._longest = max_prompt_length

    @property
    def length(self) -> int:
        """The length of the window."""
        length: int = self._preprocessor.sequence_length
        return length

    def __call__(
        self, prompts: Any, responses: Any = None, *, warn: bool = True
    ) -> PackedText:
        """Packs texts.

        Args:
            prompts: A list or array of strings, or of sequences of token ids.
            responses: The same, or `None` for prompts alone.
            warn: Whether to say how many prompts were cut.

        Raises:
            ValueError: If the texts are empty, of other types, or not as many
                prompts as responses.
        """
        asked = self._tokens("prompts", prompts)
        said: list[list[int]] = [[]] * len(asked)
        ends = responses is not None and self._preprocessor.add_end_token
        if responses is not None:
            said = self._tokens("responses", responses)
        if len(asked) != len(said):
            raise ValueError(
                "`x` must have as many responses as prompts. Received: "
                f"{len(asked)} prompts and {len(said)} responses"
            )
        tokenizer = self._preprocessor.tokenizer
        begin = self._special("add_start_token", "start_token_id")
        end = [tokenizer.end_token_id] if ends else []
        room = self.length - len(begin)
        longest = room if self._longest is None else min(self._longest, room)
        cut = sum(len(prompt) > longest for prompt in asked)
        if cut and warn:
            warnings.warn(
                f"{cut} of {len(asked)} prompts have more than {longest} "
                "tokens; their last ones are kept. `max_prompt_length` says "
                "how many, and the preprocessor's `sequence_length` is the "
                "window.",
                stacklevel=2,
            )
        asked = [[*begin, *prompt[-longest:]] for prompt in asked]
        said = [[*response, *end] for response in said]
        return self._packed(asked, said)

    def _packed(
        self, prompts: list[list[int]], responses: list[list[int]]
    ) -> PackedText:
        """Returns arrays of prompts that fit into the window."""
        empty = [i for i, prompt in enumerate(prompts) if not prompt]
        if empty:
            raise ValueError(
                "`prompts` must have a token each, since a model writes behind "
                f"the last one. Received: none at position {empty[0]}"
            )
        shape = (len(prompts), self.length + 1)
        pad = getattr(self._preprocessor.tokenizer, "pad_token_id", None) or 0
        ids = np.full(shape, pad, "int32")
        for row, prompt, response in zip(ids, prompts, responses, strict=True):
            text = [*prompt, *response][: self.length + 1]
            row[: len(text)] = text
        places = np.arange(self.length + 1)[None]
        asked = np.array([len(p) for p in prompts])[:, None]
        both = asked + np.array([len(r) for r in responses])[:, None]
        of_prompt, of_text = places < asked, places < both
        x = {
            "token_ids": ids[:, :-1],
            # Numbers, since TensorFlow's strategies cannot average bools.
            "padding_mask": of_text[:, :-1].astype("int32"),
            PROMPT_MASK: of_prompt[:, :-1].astype("int32"),
        }
        weights = of_text[:, 1:] & ~of_prompt[:, 1:]
        return PackedText(x, ids[:, 1:], weights.astype("float32"))

    def _special(self, added: str, name: str) -> list[int]:
        """Returns a special token, if the preprocessor adds it."""
        token = getattr(self._preprocessor.tokenizer, name, None)
        adds = getattr(self._preprocessor, added, False)
        return [token] if adds and token is not None else []

    def _tokens(self, name: str, texts: Any) -> list[list[int]]:
        """Returns the tokens of texts, without special ones."""
        if not hasattr(texts, "__len__") or isinstance(texts, (str, bytes)):
            raise ValueError(
                f"`{name}` must be a list of strings or of token ids. "
                f"Received: {texts!r}"
            )
        texts = texts.numpy() if hasattr(texts, "numpy") else texts
        texts = list(texts)
        if not texts or holds_strings(texts):
            check_strings(np.array(texts, dtype=object))
            strings = [t.decode() if isinstance(t, bytes) else t for t in texts]
            tokens = self._preprocessor.tokenizer(strings)
            if hasattr(tokens, "to_list"):  # of TensorFlow
                return tokens.to_list()
            return [list(map(int, row)) for row in tokens]
        return [_ids(name, row) for row in texts]


def _ids(name: str, row: Sequence[int]) -> list[int]:
    """Returns one text that is given as token ids."""
    ids = np.asarray(row)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(
            f"`{name}` must be a list of strings or of token ids. Received: "
            f"{row!r} in the list"
        )
    found: list[int] = ids.tolist()
    return found
