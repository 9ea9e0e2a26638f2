"""Distillation losses on logits, and on values."""

from keras_dts.losses.annealing import AnnealingKD
from keras_dts.losses.base import BatchLoss, Divergence, LogitDistillation
from keras_dts.losses.correlation import BatchCorrelation, ClassCorrelation
from keras_dts.losses.cosine import CosineKD
from keras_dts.losses.dkd import DKD
from keras_dts.losses.from_keras import from_keras as from_keras
from keras_dts.losses.jsd import GeneralizedJSD
from keras_dts.losses.kd import KD
from keras_dts.losses.mlkd import MLKD
from keras_dts.losses.reverse_kl import ReverseKL
from keras_dts.losses.skew import SkewKL, SkewReverseKL
from keras_dts.losses.student_guided import StudentGuidedFeatures
from keras_dts.losses.total_variation import TotalVariation
from keras_dts.losses.universal import UniversalLogitDistillation
from keras_dts.losses.values import (
    Huber,
    MeanSquaredError,
    ValueLoss as ValueLoss,
)

__all__ = [
    "DKD",
    "KD",
    "MLKD",
    "AnnealingKD",
    "BatchCorrelation",
    "BatchLoss",
    "ClassCorrelation",
    "CosineKD",
    "Divergence",
    "GeneralizedJSD",
    "Huber",
    "LogitDistillation",
    "MeanSquaredError",
    "ReverseKL",
    "SkewKL",
    "SkewReverseKL",
    "StudentGuidedFeatures",
    "TotalVariation",
    "UniversalLogitDistillation",
]
