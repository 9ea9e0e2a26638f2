"""Data sets of images, texts and time series as NumPy arrays, in one form."""

from keras_dts.data.load import load, load_corpus, load_instructions
from keras_dts.data.prompts import alpaca_prompt, read_instructions
from keras_dts.data.splits import Corpus, Instructions, Splits
from keras_dts.data.tfds import prepare_fashion_mnist
from keras_dts.data.vocabularies import (
    byte_pair_vocabulary,
    word_piece_vocabulary,
)

__all__ = [
    "Corpus",
    "Instructions",
    "Splits",
    "alpaca_prompt",
    "byte_pair_vocabulary",
    "load",
    "load_corpus",
    "load_instructions",
    "prepare_fashion_mnist",
    "read_instructions",
    "word_piece_vocabulary",
]
