"""What layers compute, captured in one pass of one thread.

Layers are changed here and nowhere else, and only as long as some pass needs
it: then the `call` of the instance looks in the running context whether this
pass captures it. Passes of other threads, and of other models that share the
layer, find nothing there and run the layer as it is.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import keras

# From a layer's `call` and its arguments to what the layer returns.
Handler = Callable[..., Any]

# The handlers of the running pass, by the identity of the layer.
_HANDLERS: ContextVar[Mapping[int, Handler]] = ContextVar(
    "handlers", default=MappingProxyType({})
)
_LOCK = threading.Lock()


@contextlib.contextmanager
def capture(handlers: Mapping[keras.Layer, Handler]) -> Iterator[None]:
    """Runs handlers instead of layers, in this context alone.

    Args:
        handlers: By layer, what is called instead of its `call`: with that
            `call` first, and with its arguments.
    """
    before = _HANDLERS.get()
    mine = dict(before)
    for layer, handler in handlers.items():
        outer = before.get(id(layer))
        mine[id(layer)] = handler if outer is None else _inside(outer, handler)
    with contextlib.ExitStack() as stack:
        for layer in handlers:
            stack.enter_context(_watched(layer))
        token = _HANDLERS.set(mine)
        try:
            yield
        finally:
            _HANDLERS.reset(token)


def _inside(outer: Handler, inner: Handler) -> Handler:
    """Returns a handler that runs `inner` as the layer that `outer` sees."""
    return lambda call, *args, **kwargs: outer(
        functools.partial(inner, call), *args, **kwargs
    )


class _Watcher:
    """Stands for the `call` of one layer while passes capture it.

    Args:
        layer: The layer.
        method: The name of the method to stand for.

    Attributes:
        passes: How many passes capture the layer now.
    """

    def __init__(self, layer: keras.Layer, method: str) -> None:
        self._layer = layer
        self._method = method
        self._call = getattr(layer, method)
        self._own = vars(layer).get(method)
        self.passes = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        handler = _HANDLERS.get().get(id(self._layer))
        if handler is None:
            return self._call(*args, **kwargs)
        return handler(self._call, *args, **kwargs)

    def put_in(self) -> None:
        """Takes the place of the method on the instance."""
        setattr(self._layer, self._method, self)

    def take_out(self) -> None:
        """Gives the layer its method back: its own, or its class's."""
        if self._own is None:
            delattr(self._layer, self._method)
        else:
            setattr(self._layer, self._method, self._own)


@contextlib.contextmanager
def _watched(layer: keras.Layer) -> Iterator[None]:
    """Puts a watcher in the place of a layer's `call`, for a while."""
    # Keras runs this method of a quantized layer instead of `call`.
    method = "call" if layer.quantization_mode is None else "quantized_call"
    with _LOCK:
        watcher = getattr(layer, method)
        if not isinstance(watcher, _Watcher):
            watcher = _Watcher(layer, method)
            watcher.put_in()
        watcher.passes += 1
    try:
        yield
    finally:
        with _LOCK:
            watcher.passes -= 1
            if watcher.passes == 0:
                watcher.take_out()
