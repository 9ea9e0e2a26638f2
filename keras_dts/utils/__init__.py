"""Functions that every wing uses, and that use no other wing."""

from keras_dts.utils.batches import EpochBatches, batch_of, default_batch_size
from keras_dts.utils.checks import (
    check_choice,
    check_count,
    check_function,
    check_number,
    check_part,
    check_temperature,
)
from keras_dts.utils.data_adapter import DataAdapter
from keras_dts.utils.dtypes import loss_dtype, to_loss_dtype
from keras_dts.utils.files import replaced, sync_folder, write_text
from keras_dts.utils.keras_losses import is_keras_loss, loss_setting, unreduced
from keras_dts.utils.models import add_step_counter, layers_in, symbolic_input
from keras_dts.utils.optional import require, require_matplotlib
from keras_dts.utils.progress import EpochBar, print_now
from keras_dts.utils.schedules import (
    EpochSchedule,
    Schedule,
    ScheduleClock,
    check_first,
    check_weight,
)
from keras_dts.utils.serialization import deserialize, serialize
from keras_dts.utils.shapes import same_shape, show, static_shape
from keras_dts.utils.structure import (
    flatten,
    is_partial,
    per_output,
    per_output_strictly,
    repack,
    spread,
)
from keras_dts.utils.untracked import Untracked
from keras_dts.utils.versions import __version__, versions

__all__ = [
    "DataAdapter",
    "EpochBar",
    "EpochBatches",
    "EpochSchedule",
    "Schedule",
    "ScheduleClock",
    "Untracked",
    "__version__",
    "add_step_counter",
    "batch_of",
    "check_choice",
    "check_count",
    "check_first",
    "check_function",
    "check_number",
    "check_part",
    "check_temperature",
    "check_weight",
    "default_batch_size",
    "deserialize",
    "flatten",
    "is_keras_loss",
    "is_partial",
    "layers_in",
    "loss_dtype",
    "loss_setting",
    "per_output",
    "per_output_strictly",
    "print_now",
    "repack",
    "replaced",
    "require",
    "require_matplotlib",
    "same_shape",
    "serialize",
    "show",
    "spread",
    "static_shape",
    "symbolic_input",
    "sync_folder",
    "to_loss_dtype",
    "unreduced",
    "versions",
    "write_text",
]
