"""Data sets of images and of texts as NumPy arrays, in one form."""

from keras_dts.data.load import (
    Corpus,
    Splits,
    load,
    load_corpus,
    prepare_fashion_mnist,
)
from keras_dts.data.vocabularies import byte_pairs, word_pieces

__all__ = [
    "Corpus",
    "Splits",
    "byte_pairs",
    "load",
    "load_corpus",
    "prepare_fashion_mnist",
    "word_pieces",
]
