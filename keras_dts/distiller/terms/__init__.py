"""The terms of the distillation loss."""

from keras_dts.distiller.terms.base import TermInputs
from keras_dts.distiller.terms.terms import LossUse, Terms

__all__ = [
    "LossUse",
    "TermInputs",
    "Terms",
]
