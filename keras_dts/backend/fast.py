"""Operations of `keras.ops` on tensors, without what they cost on PyTorch.

Where Python runs in every step, `keras.ops` takes longer to look at the
arguments of a small operation than PyTorch to compute it. These functions take
tensors alone, by position, and leave the looking out. They serve what every
step runs, whatever the models.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.types import Tensor

# Keras has imported its backend.
_torch = keras.config.backend() == "torch"
_native: Any = importlib.import_module("torch") if _torch else ops

Operation = Callable[..., Tensor]
any_: Operation = _native.any
clip: Operation = _native.clip
exp: Operation = _native.exp
isfinite: Operation = _native.isfinite
log_softmax: Operation = _native.log_softmax
max_: Operation = _native.max
mean: Operation = _native.mean
not_equal: Operation = _native.not_equal
ones_like: Operation = _native.ones_like
relu: Operation = _native.relu
stack: Operation = _native.stack
sum_: Operation = _native.sum
zeros_like: Operation = _native.zeros_like
