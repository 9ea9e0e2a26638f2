"""What a model computes inside."""

from keras_dts.features.extractor import FeatureExtractor, input_of
from keras_dts.features.hidden_states import SplitModel, split_model
from keras_dts.features.passes import StochasticPasses, penultimate
from keras_dts.features.projector import Projector
from keras_dts.features.symbolic import SymbolicCall, known_input

__all__ = [
    "FeatureExtractor",
    "Projector",
    "SplitModel",
    "StochasticPasses",
    "SymbolicCall",
    "input_of",
    "known_input",
    "penultimate",
    "split_model",
]
