"""How a backend runs a step: eagerly or not, in replicas, with a gradient."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
from keras import ops

from keras_dts.backend import fast
from keras_dts.backend.undo import on_cpu
from keras_dts.types import Tensor


def runs_eagerly() -> bool:
    """Says whether Python runs in every step, as on PyTorch."""
    eager: bool = keras.config.backend() == "torch"
    return eager


def no_gradient() -> AbstractContextManager[Any]:
    """Returns a context in which PyTorch records nothing for a gradient.

    JAX and TensorFlow record a gradient only where a function asks for one.
    """
    if keras.config.backend() != "torch":
        return contextlib.nullcontext()
    torch: Any = importlib.import_module("torch")
    context: AbstractContextManager[Any] = torch.no_grad()
    return context


def without_gradient(
    function: Callable[..., Tensor], *tensors: Tensor
) -> Tensor:
    """Computes a function that the gradient does not flow through.

    Args:
        function: From the tensors to a tensor.
        *tensors: The tensors.
    """
    if keras.config.backend() == "torch":
        with no_gradient():
            return function(*tensors)
    return function(*map(ops.stop_gradient, tensors))


def seeded(*numbers: Any) -> AbstractContextManager[Any]:
    """Returns a context in which PyTorch's own random numbers follow a seed.

    Keras gives a layer without a seed these numbers there.

    Args:
        *numbers: What the seed follows from, integers or integer scalars.
    """
    if keras.config.backend() != "torch":
        return contextlib.nullcontext()
    return _seeded_torch(sum(int(number) for number in numbers))


@contextlib.contextmanager
def _seeded_torch(seed: int) -> Iterator[None]:
    torch: Any = importlib.import_module("torch")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def needs_gradient(tensor: Tensor) -> bool:
    """Says whether a gradient for a tensor may be asked for.

    PyTorch knows it; the compilers of the other backends leave out a gradient
    that nobody asks for.
    """
    if keras.config.backend() != "torch":
        return True
    needed: bool = tensor.requires_grad
    return needed


def only_if(
    flag: Tensor | bool, function: Callable[[], Tensor], otherwise: Tensor
) -> Tensor:
    """Computes what is rarely needed, without a gradient.

    PyTorch on a GPU computes it always, since a branch would wait for the flag.

    Args:
        flag: Whether it is needed, a bool scalar.
        function: Computes it.
        otherwise: What stands for it, of the same shape and dtype.
    """
    known = answer(flag)
    if known is not None:
        return function() if known else otherwise
    if runs_eagerly():
        return ops.where(flag, function(), otherwise)
    return ops.cond(flag, function, lambda: otherwise)


def assign_if(
    flag: Tensor, function: Callable[[], None], variables: Sequence[Any]
) -> None:
    """Runs a function that assigns variables, if a flag is up.

    PyTorch waits for the flag.

    Args:
        flag: A bool scalar.
        function: Reads and assigns these variables, and no others.
        variables: The variables.
    """
    _ASSIGN_IF[keras.config.backend()](flag, function, variables)


def _torch_assign_if(
    flag: Tensor, function: Callable[[], None], variables: Sequence[Any]
) -> None:
    del variables
    if flag:
        function()


def _tensorflow_assign_if(
    flag: Tensor, function: Callable[[], None], variables: Sequence[Any]
) -> None:
    del variables

    def run() -> Tensor:
        function()
        return ops.zeros(())

    ops.cond(flag, run, lambda: ops.zeros(()))


def _jax_assign_if(
    flag: Tensor, function: Callable[[], None], variables: Sequence[Any]
) -> None:
    # A branch may not assign, but in a scope of its own.
    def run() -> list[Tensor]:
        with keras.StatelessScope([(v, v.value) for v in variables]) as scope:
            function()
            return [scope.get_current_value(v) for v in variables]

    values = ops.cond(flag, run, lambda: [v.value for v in variables])
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


_ASSIGN_IF = {
    "jax": _jax_assign_if,
    "tensorflow": _tensorflow_assign_if,
    "torch": _torch_assign_if,
}


def careful(
    function: Callable[[], list[Tensor]],
    careless: Callable[[], list[Tensor]],
    given: Tensor,
) -> list[Tensor]:
    """Computes something with care for what is rare, without a gradient.

    XLA and a GPU have the care for nothing. Elsewhere it costs passes over the
    memory, and is taken only if the other way gave NaN or infinity.

    Args:
        function: Computes it with care.
        careless: Computes it without. Its last tensor shows whether that was
            right.
        given: One of the tensors that it is computed from.
    """
    eager = runs_eagerly()
    if keras.config.backend() == "jax" or (eager and not on_cpu(given)):
        return function()
    found = careless()
    good = all_finite(found[-1])
    if eager:
        return found if good else function()
    return list(ops.cond(good, lambda: found, function))


def zero_unless(flags: Tensor, values: Tensor) -> Tensor:
    """Returns values where a flag is up, and 0 elsewhere.

    Args:
        flags: Bool, of a shape that broadcasts with `values`.
        values: A tensor that no gradient flows into.
    """
    if answer(flags.all() if runs_eagerly() else flags):
        return values
    return ops.where(flags, values, 0.0)


def all_finite(values: Tensor) -> Tensor | bool:
    """Says whether no value is NaN or infinite; a bool if Python can know.

    Args:
        values: A tensor whose sum its dtype holds.
    """
    # A sum is finite only where all its terms are.
    total = fast.sum_(values)
    if runs_eagerly() and on_cpu(total):
        return math.isfinite(total.item())
    return fast.isfinite(total)


def some(flags: Iterable[Tensor | bool]) -> Tensor | bool:
    """Says whether one of the flags is up; a bool if Python can know.

    Args:
        flags: Bool scalars.
    """
    flags = list(flags)
    if runs_eagerly():
        known = [answer(x) for x in flags]
        if None not in known:
            return any(known)
    return flags[0] if len(flags) == 1 else fast.any_(fast.stack(flags))


def answer(flag: Tensor | bool) -> bool | None:
    """Returns the value of a bool scalar, or `None` where that would wait.

    It does not wait where PyTorch computes on the CPU, and compiles nothing.
    """
    if isinstance(flag, bool):
        return flag
    if keras.config.backend() != "torch" or not on_cpu(flag):
        return None
    return bool(flag)
