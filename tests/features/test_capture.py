"""What layers compute, captured in one pass of one thread."""

import contextvars
import threading

import keras
import numpy as np
import pytest
from helpers import blobs, mlp
from keras import layers, ops

from keras_dts.features.capture import capture

X, _ = blobs(examples=4)


def dense():
    """A model and its first layer, a dense one."""
    model = mlp(seed=1)
    return model, model.get_layer("feat")


def run(model):
    return ops.convert_to_numpy(model(X))


def plus(number, seen=None):
    """A handler that adds to what the layer returns."""

    def handler(call, *args, **kwargs):
        output = call(*args, **kwargs)
        if seen is not None:
            seen.append(number)
        return output + number

    return handler


def as_it_was(layer):
    return "call" not in vars(layer) and "quantized_call" not in vars(layer)


def in_thread(function):
    """Runs a function in another thread, and returns what it returns."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    (result,) = results
    return result


def test_a_handler_runs_instead_of_the_layer():
    _, layer = dense()
    plain = run(layer)
    with capture({layer: lambda call, *args: 2.0 * call(*args)}):
        np.testing.assert_array_equal(run(layer), 2 * plain)
    np.testing.assert_array_equal(run(layer), plain)
    assert as_it_was(layer)


def test_a_handler_gets_the_arguments_of_the_call():
    inner = layers.Identity()
    seen = {}

    class Layer(layers.Layer):
        def call(self, x, training=None, factor=1.0):
            return inner(x) * factor

    layer = Layer()

    def handler(call, *args, **kwargs):
        seen.update(kwargs)
        return call(*args, **kwargs)

    with capture({layer: handler}):
        found = layer(ops.ones((1, 2)), training=False, factor=3.0)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), [[3.0, 3.0]])
    assert seen == {"training": False, "factor": 3.0}


def test_the_model_sees_what_the_handler_returns():
    model, layer = dense()
    kernel, bias = model.get_layer("out").get_weights()
    with capture({layer: lambda call, x: 0.0 * call(x) + 1.0}):
        found = run(model)
    expected = np.tile(kernel.sum(axis=0) + bias, (4, 1))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_nested_captures_run_the_inner_handler_as_the_layer():
    _, layer = dense()
    plain, seen = run(layer), []
    with capture({layer: plus(10.0, seen)}):
        with capture({layer: plus(1.0, seen)}):
            np.testing.assert_allclose(run(layer), plain + 11, rtol=1e-6)
        assert seen == [1.0, 10.0]
        # After the inner one, the outer one goes on.
        np.testing.assert_allclose(run(layer), plain + 10, rtol=1e-6)
        assert not as_it_was(layer)
    np.testing.assert_array_equal(run(layer), plain)
    assert as_it_was(layer)


def test_nested_captures_of_different_layers_hold_both():
    model, layer = dense()
    last = model.get_layer("out")
    seen = []
    with capture({layer: plus(0.0, seen)}):
        with capture({last: plus(1.0, seen)}):
            run(model)
        assert seen == [0.0, 1.0]
        assert as_it_was(last)
        assert not as_it_was(layer)
    assert as_it_was(layer)


def test_an_exception_inside_gives_the_layer_back():
    model, layer = dense()
    plain = run(layer)
    with (
        pytest.raises(RuntimeError, match="stop"),
        capture({layer: plus(1.0)}),
        capture({layer: plus(1.0), model.get_layer("out"): plus(1.0)}),
    ):
        raise RuntimeError("stop")
    assert as_it_was(layer)
    assert as_it_was(model.get_layer("out"))
    np.testing.assert_array_equal(run(layer), plain)


def test_a_layer_that_fails_gives_the_layer_back():
    def failing(call, *args):
        raise RuntimeError("no way")

    model, layer = dense()
    with (
        pytest.raises(RuntimeError, match="no way"),
        capture({layer: failing}),
    ):
        run(model)
    assert as_it_was(layer)
    run(model)


def test_a_layer_keeps_a_call_of_its_own():
    _, layer = dense()
    original = layer.call

    def own(x):
        return original(x) + 5.0

    layer.call = own
    plain = run(layer)
    with capture({layer: plus(1.0)}):
        np.testing.assert_allclose(run(layer), plain + 1, rtol=1e-6)
    assert layer.call is own
    np.testing.assert_array_equal(run(layer), plain)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_a_quantized_layer_is_captured_too():
    model, layer = dense()
    model.quantize("int8")
    plain = run(layer)
    with capture({layer: plus(1.0)}):
        np.testing.assert_allclose(run(layer), plain + 1, rtol=1e-6)
    assert as_it_was(layer)
    np.testing.assert_array_equal(run(layer), plain)


def test_another_thread_runs_the_layer_as_it_is_meanwhile():
    model, layer = dense()
    plain = run(model)
    here, ran_in, seen = threading.current_thread(), [], []

    def handler(call, *args):
        ran_in.append(threading.current_thread())
        if ran_in == [here]:
            seen.append(in_thread(lambda: run(model)))
        return call(*args) + 1.0

    with capture({layer: handler}):
        ours = run(model)
        seen.append(in_thread(lambda: run(model)))
    assert ran_in == [here]
    assert len(seen) == 2
    for theirs in seen:
        np.testing.assert_array_equal(theirs, plain)
    assert np.max(np.abs(ours - plain)) > 0.1


@pytest.mark.parametrize("leaves_first", [0, 1])
def test_two_contexts_capture_one_layer_each_for_itself(leaves_first):
    # Each thread has a context of its own.
    _, layer = dense()
    plain = run(layer)
    contexts = [contextvars.Context(), contextvars.Context()]
    captures = [capture({layer: plus(added)}) for added in (1.0, 100.0)]

    def expect(*added):
        for context, number in zip(contexts, added, strict=True):
            found = context.run(run, layer)
            np.testing.assert_allclose(found, plain + number, rtol=1e-5)

    def leave(which):
        contexts[which].run(captures[which].__exit__, None, None, None)

    contexts[0].run(captures[0].__enter__)
    expect(1.0, 0.0)
    contexts[1].run(captures[1].__enter__)
    expect(1.0, 100.0)
    leave(leaves_first)
    expect(*((0.0, 100.0) if leaves_first == 0 else (1.0, 0.0)))
    assert not as_it_was(layer)
    leave(1 - leaves_first)
    expect(0.0, 0.0)
    assert as_it_was(layer)


def test_a_layer_of_two_models_is_captured_in_both():
    model, layer = dense()
    other = keras.Sequential([keras.Input((8,)), layer])
    seen = []
    with capture({layer: plus(0.0, seen)}):
        run(other)
        run(model)
    assert seen == [0.0, 0.0]
