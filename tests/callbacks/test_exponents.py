"""The exponent of a power law, by the estimator of Hill."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dts.callbacks.exponents import (
    balanced,
    eigenvalues_of,
    exponent_of,
    hill_exponent,
    tail_size,
)
from keras_dts.callbacks.kernels import count_of, matrices_of


def planted(exponent, draws):
    """Quantiles of the density `x ** -exponent`, at uniform draws."""
    return (1.0 - np.asarray(draws)) ** (-1.0 / (exponent - 1.0))


@pytest.mark.parametrize("exponent", [2.0, 3.0, 4.5])
@pytest.mark.parametrize("count", [64, 256, 1024])
def test_a_planted_exponent_is_found(exponent, count):
    rng = np.random.default_rng(0)
    error = (exponent - 1.0) / np.sqrt(tail_size(count))
    for _ in range(3):
        found = hill_exponent(planted(exponent, rng.uniform(size=count)))
        assert abs(found - exponent) < 3 * error


def test_exact_quantiles_have_the_exact_exponent():
    draws = (np.arange(2000) + 0.5) / 2000
    found = hill_exponent(planted(3.0, draws)[::-1])
    assert found == pytest.approx(3.0, abs=0.01)


def test_the_tail_begins_at_the_median():
    # 1 + 3 / (ln 2 + ln 4), by hand; of five values the upper three.
    found = hill_exponent(np.array([0.0, 0.1, 1.0, 2.0, 4.0]))
    assert found == pytest.approx(1 + 3 / np.log(8))


@pytest.mark.parametrize("shape", [(40, 90), (90, 40)])
def test_eigenvalues_are_squared_singular_values(shape):
    matrix = np.random.default_rng(0).normal(size=(1, *shape))
    expected = np.linalg.svd(matrix[0], compute_uv=False)[::-1] ** 2
    np.testing.assert_allclose(eigenvalues_of(matrix), expected, rtol=1e-9)


def built(layer, shape):
    layer.build(shape)
    rng = np.random.default_rng(0)
    layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    return layer, keras.ops.convert_to_numpy(layer.kernel).astype("float64")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Conv1D(5, 3), (None, 9, 4)),
        (layers.Conv2D(5, (3, 2)), (None, 9, 9, 4)),
        (layers.Conv3D(5, 2), (None, 9, 9, 9, 4)),
    ],
)
def test_a_convolution_pools_the_places_of_its_window(layer, shape):
    layer, kernel = built(layer, shape)
    places = kernel.reshape(-1, 4, 5)
    # With the published factor, which an exponent does not depend on.
    singular = np.sqrt(0.5) * np.linalg.svd(places, compute_uv=False)
    assert count_of(layer) == singular.size
    found = exponent_of(matrices_of(layer))
    assert found == pytest.approx(hill_exponent(singular.ravel() ** 2))


@pytest.mark.parametrize(
    ("equation", "output", "axes", "rows"),
    [
        ("abc,cde->abde", (None, 3, 4), (0, 1, 2), 6),
        ("abcd,cde->abe", (None, 5), (0, 1, 2), 12),
        ("abcd,edc->abe", (None, 5), (1, 2, 0), 12),
        ("...x,xy->...y", 5, (0, 1), 4),
    ],
)
def test_rows_of_an_einsum_are_the_axes_of_its_input(
    equation, output, axes, rows
):
    shape = (None, 7, 6) if rows == 6 else (None, 7, 3, 4)
    layer, kernel = built(layers.EinsumDense(equation, output), shape)
    (matrix,) = matrices_of(layer)
    assert count_of(layer) == min(matrix.shape)
    expected = kernel.transpose(axes).reshape(rows, -1)
    np.testing.assert_array_equal(matrix, expected)


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        (np.zeros((64, 64)), "zeros"),
        (np.outer(np.arange(64.0), np.ones(64)), "rank 1"),
        (np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0], "Q"),
        (np.full((64, 64), np.nan), "NaN"),
    ],
)
def test_a_tail_of_zeros_or_without_width_has_no_exponent(matrix, why):
    rounded = matrix.astype("float32").astype("float64")
    assert exponent_of(rounded[None]) is None


def test_the_range_is_spent_on_the_exponents():
    alphas, tails = np.array([2.0, 3.0, 2.5]), np.array([32, 32, 32])
    found = balanced(alphas, tails, 0.5, 1.5, shrink=False)
    np.testing.assert_allclose(found, [0.5, 1.5, 1.0])
    alphas = np.array([2.0, 2.0 + 1e-12, 2.0])
    same = balanced(alphas, tails, 0.5, 1.5, shrink=False)
    np.testing.assert_array_equal(same, 1.0)


def test_shrinking_leaves_what_the_error_does_not_explain():
    alphas = np.array([2.0, 3.0, 2.5])
    # The errors' mean variance is (1 + 4 + 2.25) / 3 / tail, the exponents'
    # 0.25.
    for tail, kept in ((32, 1 - 7.25 / 96 / 0.25), (4, 0.0)):
        found = balanced(alphas, np.full(3, tail), 0.5, 1.7, shrink=True)
        expected = 1 + kept * (np.array([0.5, 1.7, 1.1]) - 1)
        np.testing.assert_allclose(found, expected)
