"""Optimizers that keras-dts adds to those of Keras."""

from keras_dts.optimizers.layer_rates import LayerRates

__all__ = [
    "LayerRates",
]
