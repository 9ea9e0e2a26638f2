"""The callback that balances the learning rates of layers."""

from __future__ import annotations

import contextlib
import importlib
import time
import warnings
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_dts.callbacks.exponents import balanced, exponent_of, tail_size
from keras_dts.callbacks.kernels import (
    by_variable,
    count_of,
    kernels_in,
    matrices_of,
)
from keras_dts.distiller import Distiller
from keras_dts.optimizers import LayerRates
from keras_dts.utils import check_count, check_number, layers_in

# The analysis may take this share of the training, or so many seconds each.
_SHARE, _SECONDS = 0.05, 1.0


class LayerBalance(NamedTuple):
    """What `TempBalance` found in one layer.

    Attributes:
        layer: The layer's path.
        alpha: The exponent of its eigenvalues.
        multiplier: The multiplier of its learning rate.
    """

    layer: str
    alpha: float
    multiplier: float


class TempBalance(keras.callbacks.Callback):
    """Balances the learning rates of layers by their weights' eigenvalues.

    The eigenvalues of `W^T W` of a trained layer have a heavy tail, which is
    close to a power law with the density `x ** -alpha`. A layer with
    a larger `alpha` is trained less, and gets a higher learning rate:

    ```
    share = (alpha - min(alpha)) / (max(alpha) - min(alpha))
    multiplier = low + (high - low) * share
    ```

    Minimum and maximum are over the layers. The weights are analysed at
    the start of each `every`-th epoch, the first included; `alpha` is the
    estimate of Hill of the upper half of the eigenvalues. The model's optimizer
    must be a `keras_dts.optimizers.LayerRates`. Any compiled model can be
    trained; of a `keras_dts.Distiller` it is the student that is balanced.

    Analysed are the kernels of `Dense`, `Conv1D`, `Conv2D`, `Conv3D` and
    `EinsumDense` that train, which in composite layers are found too. A
    convolution has a matrix for each place of its window, whose eigenvalues are
    pooled. Left out are the first and the last of these layers, then those
    with fewer than `minimum` eigenvalues, and those whose tail has zeros or no
    width. All that is not analysed keeps the learning rate of the optimizer,
    biases included.

    `fit` logs `alpha_mean`, and the standard deviation `alpha_spread`, of the
    last analysis of this `fit`. `alpha` of a layer with `n` eigenvalues has
    a standard error of `(alpha - 1) / sqrt(n / 2)`, 0.35 for 64 eigenvalues and
    an exponent of 3, but the layers always get the whole range from `low` to
    `high`. `shrink=True` pulls the multipliers towards 1 by the part of the
    exponents' variance that this error explains.

    On one thread of a CPU an analysis takes half a second for a ResNet-18, and
    four seconds for BERT-base. A warning names `every` if it takes more than
    5 % of the training, and more than a second. With `threadpoolctl` installed
    it runs on one thread, since more of them slow it down on a busy machine.

    The published rule gives layers with equal exponents the multiplier `high`;
    here it is 1. A new multiplier scales the momentum of earlier steps too, as
    in PyTorch's `SGD`, with which the method was published.

    Args:
        low: The multiplier of the layer with the smallest exponent. Positive.
        high: The multiplier of the layer with the largest exponent, at least
            `low`.
        every: The number of epochs from one analysis to the next. A training
            that goes on in between keeps the multipliers of its checkpoint.
        minimum: The lowest number of eigenvalues of a layer.
        first: Whether to include the first layer.
        last: Whether to include the last layer.
        norms: Whether `BatchNormalization` and `LayerNormalization` have the
            multiplier of the layer whose output they take; of another
            input, that of the last layer before them.
        shrink: Whether to shrink the multipliers by the error of the exponents.

    Attributes:
        table: One row for each analysed layer: `layer`, its path, `alpha` and
            `multiplier`. `keras_dts.plots.plot_layer_rates` draws it.

    Raises:
        ValueError: If an argument is not as described; at the start of `fit`,
            if the optimizer is no `LayerRates`, or fewer than two layers are
            left.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> from keras_dts.callbacks import TempBalance
    >>> from keras_dts.optimizers import LayerRates
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((8,)),
    ...         *(keras.layers.Dense(64, activation="relu") for _ in range(4)),
    ...         keras.layers.Dense(1),
    ...     ]
    ... )
    >>> model.compile(LayerRates(keras.optimizers.SGD(0.01)), "mse")
    >>> balance = TempBalance()
    >>> history = model.fit(
    ...     np.ones((4, 8)), np.ones((4, 1)), callbacks=[balance], verbose=0
    ... )
    >>> sorted(round(row.multiplier, 2) for row in balance.table)[::2]
    [0.5, 1.5]

    Reference:
        Zhou et al., Temperature Balancing, Layer-wise Weight Analysis, and
        Neural Network Training, arXiv 2312.00359, 2023.
    """

    def __init__(
        self,
        low: float = 0.5,
        high: float = 1.5,
        every: int = 1,
        minimum: int = 50,
        first: bool = False,
        last: bool = False,
        norms: bool = True,
        shrink: bool = False,
    ) -> None:
        super().__init__()
        check_number("low", low, above=0.0)
        check_number("high", high, low=low)
        check_count("every", every)
        check_count("minimum", minimum)
        self.low = low
        self.high = high
        self.every = every
        self.minimum = minimum
        self.first = first
        self.last = last
        self.norms = norms
        self.shrink = shrink
        self.table: list[LayerBalance] = []
        self._took = 0.0
        self._warned = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks the optimizer, and which layers can be analysed."""
        self._rates()
        layers = self._kernels()
        chosen = self._chosen(layers)
        if len(chosen) < 2:
            raise ValueError(
                "`TempBalance` balances two layers or more: kernels that "
                "train, without the first and the last, with at least "
                f"`minimum={self.minimum}` eigenvalues. Received: a model "
                f"{self.model.name!r} with {len(chosen)} of them, of "
                f"{len(layers)} kernels that have "
                f"{[count_of(layer) for layer in layers]} eigenvalues. Lower "
                "`minimum`, or include them by `first` and `last`"
            )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Analyses the weights, and sets the multipliers."""
        self._began = time.perf_counter()
        self._took = 0.0
        if epoch % self.every == 0:
            with _one_thread():
                self._balance()
            self._took = time.perf_counter() - self._began

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Logs the exponents."""
        self._warn_if_slow(time.perf_counter() - self._began)
        if logs is not None and self.table:
            alphas = [row.alpha for row in self.table]
            logs["alpha_mean"] = float(np.mean(alphas))
            logs["alpha_spread"] = float(np.std(alphas))

    def _rates(self) -> LayerRates:
        """Returns the optimizer that has the multipliers."""
        optimizer = self.model.optimizer
        while not isinstance(optimizer, LayerRates):
            inner = getattr(optimizer, "inner_optimizer", None)
            if inner is None:
                raise ValueError(
                    "`TempBalance` sets the multipliers of a "
                    "`keras_dts.optimizers.LayerRates`: compile the model with "
                    "`optimizer=LayerRates(...)` around the optimizer. "
                    f"Received: {type(self.model.optimizer).__name__}"
                )
            optimizer = inner
        return optimizer

    def _layers(self) -> list[keras.Layer]:
        """Returns the layers of the model, or of a distiller's student."""
        model: Any = self.model
        return layers_in(
            model.student if isinstance(model, Distiller) else model
        )

    def _kernels(self) -> list[keras.Layer]:
        """Returns the layers of the kinds that are analysed, if they train."""
        return kernels_in(self._layers(), self.model.trainable_variables)

    def _chosen(self, layers: list[keras.Layer]) -> list[keras.Layer]:
        """Returns those of the layers that are not left out by their place."""
        end = len(layers) if self.last else -1
        inner = layers[0 if self.first else 1 : end]
        return [layer for layer in inner if count_of(layer) >= self.minimum]

    def _balance(self) -> None:
        """Analyses the weights, and sets the multipliers."""
        kernels = self._kernels()
        chosen = self._chosen(kernels)
        found = [(layer, exponent_of(matrices_of(layer))) for layer in chosen]
        known = [(layer, alpha) for layer, alpha in found if alpha is not None]
        alphas = np.array([alpha for _, alpha in known])
        tails = np.array([tail_size(count_of(layer)) for layer, _ in known])
        multipliers = balanced(
            alphas, tails, self.low, self.high, shrink=self.shrink
        )
        self.table = [
            LayerBalance(layer.path, alpha, float(multiplier))
            for (layer, alpha), multiplier in zip(
                known, multipliers, strict=True
            )
        ]
        of_layer = {id(layer): 1.0 for layer in kernels}
        for (layer, _), row in zip(known, self.table, strict=True):
            of_layer[id(layer)] = row.multiplier
        new = by_variable(self._layers(), of_layer, norms=self.norms)
        self._rates().set_multipliers(
            (v, new.get(id(v), 1.0)) for v in self.model.trainable_variables
        )

    def _warn_if_slow(self, seconds: float) -> None:
        """Warns once if analyses take too much of a training.

        Args:
            seconds: How long the epoch took.
        """
        share = self._took / self.every / seconds
        if self._took > _SECONDS and share > _SHARE and not self._warned:
            self._warned = True
            warnings.warn(
                f"`TempBalance` takes {100 * share:.0f} % of an epoch to "
                f"analyse the weights: {self._took:.1f} seconds. A higher "
                f"`every` than {self.every} makes it rarer.",
                stacklevel=2,
            )


def _one_thread() -> AbstractContextManager[Any]:
    """Returns a context in which NumPy computes on one thread, if it can."""
    try:
        pools = importlib.import_module("threadpoolctl")
    except ImportError:
        return contextlib.nullcontext()
    limits: AbstractContextManager[Any]
    limits = pools.threadpool_limits(1, user_api="blas")
    return limits
