"""PyTorch's processes average the gradients of a step, and sum its metrics."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import keras

from keras_dts.backend.replicas import process_count

Result = TypeVar("Result")

# Whether this thread runs a step: its logs are of this process alone.
_local = threading.local()


@contextlib.contextmanager
def one_step() -> Iterator[None]:
    """Leaves `summed_over_processes` out: a step does not sum its metrics."""
    before = getattr(_local, "step", False)
    _local.step = True
    try:
        yield
    finally:
        _local.step = before


class DataParallel:
    """Runs layers so that `DistributedDataParallel` sees their gradients.

    Elsewhere, and in a single process, it runs them and nothing else. All
    processes begin with the weights of the first one.

    Args:
        layers: Returns the layers that train. They are built when it is called.
    """

    def __init__(self, layers: Callable[[], Sequence[Any]]) -> None:
        self._layers = layers
        self._module: Any = None
        self._trained: list[int] = []

    def __call__(self, run: Callable[[], Result]) -> Result:
        """Runs a function that calls the layers, for a step with a gradient."""
        if process_count() == 1:
            return run()
        layers = self._layers()
        trained = [id(w) for layer in layers for w in layer.trainable_weights]
        if trained != self._trained:
            self._module = None  # before the next one has its hooks
            self._module, self._trained = _joined(layers), trained
        result: Result = self._module(run)
        return result

    def check_gradients(self, variables: Iterable[Any]) -> None:
        """Raises a `ValueError` if a step left a variable without a gradient.

        The processes would wait for it in the next step.

        Args:
            variables: Those that train.
        """
        if process_count() == 1:
            return
        missing = [v.path for v in variables if v.value.grad is None]
        if missing:
            raise ValueError(
                "Every weight of the student must have a part in the loss "
                "where several processes train it. Set `trainable = False` "
                f"for the others. Received: no gradient for {missing}"
            )


def _joined(layers: Sequence[Any]) -> Any:
    """Returns the layers as a module of `DistributedDataParallel`.

    Raises:
        ValueError: If others than Keras's variables would train, as after
            `fully_shard`.
    """
    torch: Any = importlib.import_module("torch")
    known = {id(w.value) for layer in layers for w in layer.weights}
    for layer in layers:
        for name, parameter in layer.named_parameters():
            if id(parameter) not in known:
                raise ValueError(
                    "The parameters of a model must be those of Keras's "
                    "variables, which train. Received: "
                    f"{type(parameter).__name__} for {name} of {layer.name!r}"
                )

    class Layers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(layers)

        def forward(self, run: Callable[[], Any]) -> Any:
            return run()

    return torch.nn.parallel.DistributedDataParallel(Layers())


@contextlib.contextmanager
def summed_over_processes(variables: Iterable[Any]) -> Iterator[None]:
    """Gives variables the sums over PyTorch's processes, as long as it is open.

    Args:
        variables: Those of metrics.
    """
    if process_count() == 1 or getattr(_local, "step", False):
        yield
        return
    torch: Any = importlib.import_module("torch")
    variables = [v for v in variables if v.aggregation == "sum"]
    before = [keras.ops.copy(v.value) for v in variables]
    message = torch.cat([value.flatten().double() for value in before])
    torch.distributed.all_reduce(message)
    sizes = [value.numel() for value in before]
    sums = message.split(sizes)
    for variable, value in zip(variables, sums, strict=True):
        variable.assign(value.reshape(variable.shape))
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
