"""Vocabularies for KerasHub's tokenizers, trained on texts.

The trainers are those of `tokenizers`, which KerasHub depends on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from keras_dts.utils import require

_WORD_PIECE_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BYTE_PAIR_SPECIALS = ("<|endoftext|>",)


def word_piece_vocabulary(texts: Iterable[str], size: int) -> list[str]:
    """Trains a WordPiece vocabulary, as BERT has it, in lower case.

    Args:
        texts: The texts to train on.
        size: The highest number of tokens, including `[PAD]`, `[UNK]`,
            `[CLS]`, `[SEP]` and `[MASK]`, which come first.

    Returns:
        The tokens in the order of their ids, for
        `keras_hub.models.BertTokenizer(vocabulary, lowercase=True)`.

    Raises:
        ImportError: If `tokenizers` is missing.

    Example:
    >>> from keras_dts import data
    >>> pieces = data.word_piece_vocabulary(["a spam", "a mail"], size=100)
    >>> pieces[:5]
    ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    >>> "spam" in pieces
    True

    Reference:
        Wu et al., Google's Neural Machine Translation System, arXiv
        1609.08144, 2016.
    """
    (tokenizers,) = require("text", "Vocabularies", "tokenizers")
    trainer = tokenizers.BertWordPieceTokenizer(
        lowercase=True, strip_accents=False
    )
    _train(trainer, texts, size, _WORD_PIECE_SPECIALS)
    ids = trainer.get_vocab()
    return sorted(ids, key=ids.__getitem__)


def byte_pair_vocabulary(
    texts: Iterable[str], size: int
) -> tuple[dict[str, int], list[str]]:
    """Trains a byte-pair vocabulary and its merges, as GPT-2 has them.

    Args:
        texts: The texts to train on.
        size: The highest number of tokens, including the 256 bytes and
            `<|endoftext|>`, which comes last: at 0, where padding is, it would
            end each text that KerasHub's `generate` is to write.

    Returns:
        The id of each token, and the merges in their order, for
        `keras_hub.models.GPT2Tokenizer(vocabulary, merges)`.

    Raises:
        ImportError: If `tokenizers` is missing.

    Example:
    >>> from keras_dts import data
    >>> ids, merges = data.byte_pair_vocabulary(["a fox, a fox"], size=260)
    >>> ids["<|endoftext|>"], len(ids), len(merges)
    (259, 260, 3)

    Reference:
        Sennrich, Haddow and Birch, Neural Machine Translation of Rare Words
        with Subword Units, arXiv 1508.07909, 2015.
    """
    (tokenizers,) = require("text", "Vocabularies", "tokenizers")
    trainer = tokenizers.ByteLevelBPETokenizer()
    _train(trainer, texts, size, _BYTE_PAIR_SPECIALS)
    model = json.loads(trainer.to_str())["model"]
    merges = [
        merge if isinstance(merge, str) else " ".join(merge)
        for merge in model["merges"]
    ]
    # The special token is first there.
    size = len(model["vocab"])
    ids = {token: (i - 1) % size for token, i in model["vocab"].items()}
    return dict(sorted(ids.items(), key=lambda pair: pair[1])), merges


def _train(
    trainer: Any, texts: Iterable[str], size: int, specials: tuple[str, ...]
) -> None:
    trainer.train_from_iterator(
        texts,
        vocab_size=size,
        min_frequency=1,
        special_tokens=list(specials),
        show_progress=False,
    )
