"""What a model computes inside."""

from keras_dts.features.extractor import FeatureExtractor
from keras_dts.features.hidden_states import SplitModel, split_model
from keras_dts.features.projector import Projector
from keras_dts.features.symbolic import SymbolicCall, known_input

__all__ = [
    "FeatureExtractor",
    "Projector",
    "SplitModel",
    "SymbolicCall",
    "known_input",
    "split_model",
]
