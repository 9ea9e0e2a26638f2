"""What a model computes inside."""

from keras_dts.features.extractor import FeatureExtractor, Projector
from keras_dts.features.hidden_states import SplitModel, split_model
from keras_dts.features.symbolic import known_input

__all__ = [
    "FeatureExtractor",
    "Projector",
    "SplitModel",
    "known_input",
    "split_model",
]
