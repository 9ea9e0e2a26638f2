"""Functions of chunks beside plain loops, values and gradients."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, value_and_grad
from keras import ops

from keras_dts.backend import fold_chunks, map_chunks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3)).astype("float32")
KERNEL = RNG.normal(size=(3, 2)).astype("float32")
COUNTS = RNG.integers(0, 4, 7).astype("int32")
SIZES = [1, 3, 7, 10]
COMPILED = [False] if BACKEND == "torch" else [False, True]


def rows(trained, chunk):
    """Two values for each entry, from floats and integers of a chunk."""
    values = ops.tanh(ops.matmul(chunk["x"], trained[0]))
    return values * ops.cast(chunk["counts"], "float32")[:, None]


def mapped(kernel, x, size, jit=False):
    batch = {"x": x, "counts": ops.convert_to_tensor(COUNTS)}
    batch = {name: ops.convert_to_tensor(v) for name, v in batch.items()}
    kernel = ops.convert_to_tensor(kernel)
    return map_chunks(rows, [kernel], batch, size, 2, jit=jit)


def by_numpy(weights):
    """The values, and the gradients of their weighted sum."""
    inner = np.tanh(X @ KERNEL)
    slope = weights * COUNTS[:, None] * (1 - inner**2)
    return inner * COUNTS[:, None], X.T @ slope, slope @ KERNEL.T


@pytest.mark.parametrize("size", SIZES)
def test_a_mapped_function_has_the_values_of_a_plain_one(size):
    found = ops.convert_to_numpy(mapped(KERNEL, X, size))
    assert found.shape == (7, 2)
    np.testing.assert_allclose(found, by_numpy(1.0)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("which", ["trained", "batch"])
def test_gradients_are_those_of_a_plain_function(which, size, compiled):
    weights = RNG.normal(size=(7, 2)).astype("float32")
    _, of_kernel, of_x = by_numpy(weights)

    def value(t):
        pair = (t, X) if which == "trained" else (KERNEL, t)
        return ops.sum(mapped(*pair, size) * ops.convert_to_tensor(weights))

    given, expected = (KERNEL, of_kernel) if which == "trained" else (X, of_x)
    _, grad = value_and_grad(value, given, compiled=compiled)
    np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-5)


def test_no_chunk_is_larger_than_its_size():
    sizes = []

    def looked(trained, chunk):
        sizes.append(tuple(chunk["x"].shape))
        return chunk["x"][:, :1]

    batch = {"x": ops.convert_to_tensor(X)}
    map_chunks(looked, [], batch, 3, 1, jit=False)
    assert set(sizes) == {(3, 3)}


def test_entries_may_have_more_axes():
    x = RNG.normal(size=(5, 1, 4)).astype("float32")
    found = map_chunks(
        lambda trained, chunk: ops.sum(chunk["x"], axis=-1),
        [],
        {"x": ops.convert_to_tensor(x)},
        2,
        1,
        jit=False,
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), x.sum(axis=-1), rtol=1e-5
    )


# Folds.


def by_a_loop(size):
    """A state that depends on the order and the size of the chunks."""
    total, last = np.zeros(3), 0.0
    for start in range(0, 7, size):
        chunk = X[start : start + size]
        total = 0.5 * total + chunk.sum(axis=0)
        last = len(chunk) + COUNTS[start : start + size].sum()
    return total, last


def step(state, chunk):
    total, _ = state
    ones = ops.sum(ops.ones_like(chunk["counts"]))
    return [
        0.5 * total + ops.sum(chunk["x"], axis=0),
        ops.cast(ones + ops.sum(chunk["counts"]), "float32"),
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("compiled", COMPILED)
def test_a_fold_is_a_loop_over_chunks(size, compiled):
    def folded(x):
        batch = {"x": x, "counts": ops.convert_to_tensor(COUNTS)}
        state = [ops.zeros((3,)), ops.zeros(())]
        return fold_chunks(step, state, batch, size)

    if compiled and BACKEND == "jax":
        import jax

        folded = jax.jit(folded)
    elif compiled and BACKEND == "tensorflow":
        import tensorflow as tf

        folded = tf.function(folded)
    total, last = folded(ops.convert_to_tensor(X))
    expected, number = by_a_loop(size)
    np.testing.assert_allclose(
        ops.convert_to_numpy(total), expected, rtol=1e-5, atol=1e-6
    )
    # The last chunk is as small as what is left.
    assert float(ops.convert_to_numpy(last)) == number


def test_a_fold_of_metrics_is_their_update():
    metric, plain = (keras.metrics.Mean() for _ in range(2))

    def body(state, chunk):
        mapping = zip(metric.variables, state, strict=True)
        with keras.StatelessScope(mapping) as scope:
            metric.update_state(chunk["x"])
        return [scope.get_current_value(v) for v in metric.variables]

    start = [v.value for v in metric.variables]
    state = fold_chunks(body, start, {"x": ops.convert_to_tensor(X)}, 2)
    plain.update_state(X)
    for found, variable in zip(state, plain.variables, strict=True):
        np.testing.assert_allclose(
            *map(ops.convert_to_numpy, (found, variable)), rtol=1e-5
        )
