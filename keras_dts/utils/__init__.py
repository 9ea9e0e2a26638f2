"""What every part of the package uses."""

from keras_dts.utils.checks import (
    Schedule,
    check_choice,
    check_count,
    check_number,
    check_weight,
)
from keras_dts.utils.data_adapter import DataAdapter
from keras_dts.utils.dtypes import loss_dtype, to_loss_dtype
from keras_dts.utils.files import write_text
from keras_dts.utils.fingerprint import fingerprint
from keras_dts.utils.keras_losses import unreduced
from keras_dts.utils.optional import require, require_matplotlib
from keras_dts.utils.progress import EpochBar, say
from keras_dts.utils.serialization import deserialize, deserialized, serialize
from keras_dts.utils.shapes import same_shape, show, static_shape
from keras_dts.utils.versions import __version__, versions

__all__ = [
    "DataAdapter",
    "EpochBar",
    "Schedule",
    "__version__",
    "check_choice",
    "check_count",
    "check_number",
    "check_weight",
    "deserialize",
    "deserialized",
    "fingerprint",
    "loss_dtype",
    "require",
    "require_matplotlib",
    "same_shape",
    "say",
    "serialize",
    "show",
    "static_shape",
    "to_loss_dtype",
    "unreduced",
    "versions",
    "write_text",
]
