"""PyTorch's processes average the gradients of a step, and sum its metrics."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import keras

from keras_dts.backend.replicas import in_step, is_joined, process_count

Result = TypeVar("Result")


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
        self._trained: list[Any] = []
        self.look_again()

    def look_again(self) -> None:
        """Forgets what trains: the layers may have changed."""
        self._is_known = self._is_checked = False

    def __call__(self, run: Callable[[], Result]) -> Result:
        """Runs a function that calls the layers, for a step with a gradient."""
        if process_count() == 1:
            return run()
        if not self._is_known:
            self._join()
        result: Result = self._module(run)
        return result

    def checked(self, step: Callable[..., Result]) -> Callable[..., Result]:
        """Returns a training step that misses no gradient.

        The first one raises a `ValueError` for a weight without a gradient, for
        which the processes would wait in the next.

        Args:
            step: Keras's own.
        """

        def run(*args: Any) -> Result:
            result = step(*args)
            if not self._is_checked and process_count() > 1:
                self._check_gradients()
                self._is_checked = True
            return result

        return run

    def _join(self) -> None:
        layers = self._layers()
        trained = [w for layer in layers for w in layer.trainable_weights]
        if [*map(id, trained)] != [*map(id, self._trained)]:
            self._module = None  # before the next one has its hooks
            self._module, self._trained = _joined(layers), trained
        self._is_known = True

    def _check_gradients(self) -> None:
        missing = [v.path for v in self._trained if v.value.grad is None]
        if missing:
            raise ValueError(
                "Every weight of the student must have a part in the loss "
                "where several processes train it. Set `trainable = False` "
                f"for the others. Received: no gradient for {missing}"
            )


def without_parallel_model() -> property:
    """Returns a `ddp_model` for a model that Keras must not wrap.

    From 3.16 on, where `torch.distributed` is initialised, Keras's steps call
    a model by its `ddp_model`, a `DistributedDataParallel` of all parameters.
    That would wait for gradients of a teacher, and refuses a model that does
    not train.
    """

    def unwrapped(model: Any) -> Any:
        """What Keras's steps call, where Keras would make a `ddp_model`."""
        return _Unwrapped(model) if is_joined() else None

    def keep(model: Any, value: Any) -> None:
        """Does nothing, where Keras's constructor assigns `None`."""

    return property(unwrapped, keep)


class _Unwrapped:
    """A model as Keras's steps call it; not one that Keras would save.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the model."""
        return self._model(*args, **kwargs)

    def zero_grad(self) -> None:
        """Clears the gradients of the model's parameters."""
        self._model.zero_grad()


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
            # Once more, since tasks of KerasHub hide theirs from PyTorch.
            variables = [v.value for layer in layers for v in layer.variables]
            self.variables = torch.nn.ParameterList(variables)

        def forward(self, run: Callable[[], Any]) -> Any:
            return run()

    return torch.nn.parallel.DistributedDataParallel(Layers())


@contextlib.contextmanager
def summed_over_processes(variables: Iterable[Any]) -> Iterator[None]:
    """Gives variables the sums over PyTorch's processes, as long as it is open.

    Args:
        variables: Those of metrics.
    """
    if process_count() == 1 or in_step():
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
