"""Distillation losses on logits."""

from keras_dts.losses.base import LogitDistillation
from keras_dts.losses.kd import KD

__all__ = ["KD", "LogitDistillation"]
