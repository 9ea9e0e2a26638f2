"""All that differs between JAX, TensorFlow and PyTorch."""

from keras_dts.backend import fast
from keras_dts.backend.chunked_map import fold_chunks, map_chunks
from keras_dts.backend.compiled import compiled
from keras_dts.backend.data_parallel import (
    DataParallel,
    summed_over_processes,
    without_parallel_model,
)
from keras_dts.backend.devices import (
    batch_devices,
    bytes_on_devices,
    checked_batches,
    indivisible,
    is_divided,
    numpy_value,
    on_all_devices,
    process_index,
    spanning,
)
from keras_dts.backend.engines import check_engine
from keras_dts.backend.gradients import frozen, value_and_grad
from keras_dts.backend.loops import assign_repeatedly, repeat
from keras_dts.backend.processes import (
    batch_multiple,
    check_steps,
    dealing,
    process_part,
    shares_arrays,
    undivided,
)
from keras_dts.backend.replicas import (
    gathered,
    joined_replicas,
    one_step,
    process_count,
    replica_count,
    together,
    total,
)
from keras_dts.backend.softmax import (
    class_log_probs,
    exact_difference,
    excess,
    log_ratio,
)
from keras_dts.backend.steps import (
    all_finite,
    answer,
    assign_if,
    careful,
    needs_gradient,
    no_gradient,
    only_if,
    runs_eagerly,
    seeded,
    some,
    without_gradient,
    zero_unless,
)
from keras_dts.backend.undo import (
    Copies,
    StoppedStepError,
    can_stop,
    with_optional_update,
)

__all__ = [
    "Copies",
    "DataParallel",
    "StoppedStepError",
    "all_finite",
    "answer",
    "assign_if",
    "assign_repeatedly",
    "batch_devices",
    "batch_multiple",
    "bytes_on_devices",
    "can_stop",
    "careful",
    "check_engine",
    "check_steps",
    "checked_batches",
    "class_log_probs",
    "compiled",
    "dealing",
    "exact_difference",
    "excess",
    "fast",
    "fold_chunks",
    "frozen",
    "gathered",
    "indivisible",
    "is_divided",
    "joined_replicas",
    "log_ratio",
    "map_chunks",
    "needs_gradient",
    "no_gradient",
    "numpy_value",
    "on_all_devices",
    "one_step",
    "only_if",
    "process_count",
    "process_index",
    "process_part",
    "repeat",
    "replica_count",
    "runs_eagerly",
    "seeded",
    "shares_arrays",
    "some",
    "spanning",
    "summed_over_processes",
    "together",
    "total",
    "undivided",
    "value_and_grad",
    "with_optional_update",
    "without_gradient",
    "without_parallel_model",
    "zero_unless",
]
