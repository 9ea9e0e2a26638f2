"""Data sets of images, texts and time series as NumPy arrays, in one form."""

from keras_dts.data.load import load, load_corpus
from keras_dts.data.splits import Corpus, Splits
from keras_dts.data.tfds import prepare_fashion_mnist
from keras_dts.data.vocabularies import (
    byte_pair_vocabulary,
    word_piece_vocabulary,
)

__all__ = [
    "Corpus",
    "Splits",
    "byte_pair_vocabulary",
    "load",
    "load_corpus",
    "prepare_fashion_mnist",
    "word_piece_vocabulary",
]
