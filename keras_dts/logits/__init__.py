"""The outputs of both models as logits that can be compared."""

from keras_dts.logits.batch import (
    BatchLogits,
    EntryFunction,
    WeightedMean,
    WholeBatch,
)
from keras_dts.logits.compatibility import (
    OutputSpec,
    class_counts,
    output_specs,
)
from keras_dts.logits.convert import (
    from_stored_logits,
    to_logits,
    to_stored_logits,
)
from keras_dts.logits.divergence import Distribution, kl, mix
from keras_dts.logits.families import is_of_values, reads_classes
from keras_dts.logits.faults import FAULTS, Faults, teacher_faults
from keras_dts.logits.kinds import (
    OutputKind,
    find_output_kinds,
    gives_logits,
    lost_probabilities,
)
from keras_dts.logits.labels import TOLERANCE, read_labels
from keras_dts.logits.means import (
    Column,
    Part,
    Sums,
    added,
    averaged,
    means,
    means_and_faults,
    settled,
    sum_and_count,
    weighted_mean,
)
from keras_dts.logits.ops import (
    cross_entropy,
    number_of_classes,
    safe_sqrt,
    soften,
    standard_deviation,
)
from keras_dts.logits.pair import LogitPair
from keras_dts.logits.pairing import (
    PairedOutputs,
    Targets,
    check_targets,
    pair_outputs,
)
from keras_dts.logits.top_k import top_classes
from keras_dts.logits.weights import (
    EntryWeights,
    TokenMask,
    broadcast_weights,
    check_sample_weight,
    entry_weights,
)

__all__ = [
    "FAULTS",
    "TOLERANCE",
    "BatchLogits",
    "Column",
    "Distribution",
    "EntryFunction",
    "EntryWeights",
    "Faults",
    "LogitPair",
    "OutputKind",
    "OutputSpec",
    "PairedOutputs",
    "Part",
    "Sums",
    "Targets",
    "TokenMask",
    "WeightedMean",
    "WholeBatch",
    "added",
    "averaged",
    "broadcast_weights",
    "check_sample_weight",
    "check_targets",
    "class_counts",
    "cross_entropy",
    "entry_weights",
    "find_output_kinds",
    "from_stored_logits",
    "gives_logits",
    "is_of_values",
    "kl",
    "lost_probabilities",
    "means",
    "means_and_faults",
    "mix",
    "number_of_classes",
    "output_specs",
    "pair_outputs",
    "read_labels",
    "reads_classes",
    "safe_sqrt",
    "settled",
    "soften",
    "standard_deviation",
    "sum_and_count",
    "teacher_faults",
    "to_logits",
    "to_stored_logits",
    "top_classes",
    "weighted_mean",
]
