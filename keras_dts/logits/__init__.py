"""The outputs of both models as logits that can be compared."""

from keras_dts.logits.convert import (
    from_stored_logits,
    gives_logits,
    gives_probabilities,
    to_logits,
    to_stored_logits,
)
from keras_dts.logits.divergence import kl
from keras_dts.logits.labels import are_indices, read_labels, to_labels
from keras_dts.logits.ops import cross_entropy, safe_sqrt, standard_deviation
from keras_dts.logits.pair import LogitPair
from keras_dts.logits.top_k import coarse_head, top_classes
from keras_dts.logits.weights import (
    EntryWeights,
    TokenMask,
    broadcast_weights,
    check_sample_weight,
    weighted_mean,
)

__all__ = [
    "EntryWeights",
    "LogitPair",
    "TokenMask",
    "are_indices",
    "broadcast_weights",
    "check_sample_weight",
    "coarse_head",
    "cross_entropy",
    "from_stored_logits",
    "gives_logits",
    "gives_probabilities",
    "kl",
    "read_labels",
    "safe_sqrt",
    "standard_deviation",
    "to_labels",
    "to_logits",
    "to_stored_logits",
    "top_classes",
    "weighted_mean",
]
