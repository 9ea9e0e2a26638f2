"""Exponents of power laws that the eigenvalues of weights follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Orthogonal matrices have equal eigenvalues, but for rounding: a tail that is
# narrower than this, an exponent above 1,000, says nothing.
_NARROWEST = 1e-3
# Exponents that differ by less, relatively, differ by rounding.
_EQUAL = 1e-6


def eigenvalues_of(
    matrices: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Returns the squared singular values of matrices, ascending.

    They are the eigenvalues of the smaller of `W W^T` and `W^T W`, which takes
    half the time of a singular value decomposition. Those that rounding cannot
    tell from 0 are 0.

    Args:
        matrices: Shape `(matrices, rows, columns)`, float64.

    Returns:
        The values of all matrices, shape
        `(matrices * min(rows, columns),)`.
    """
    if matrices.shape[1] > matrices.shape[2]:
        matrices = matrices.transpose(0, 2, 1)
    gram = matrices @ matrices.transpose(0, 2, 1)  # (matrices, n, n), n <= rows
    found = np.sort(np.linalg.eigvalsh(gram), axis=None)
    rounding = matrices.shape[2] * np.finfo("float64").eps * found[-1]
    return np.where(found > rounding, found, 0.0)


def tail_size(count: int) -> int:
    """Returns how many of `count` eigenvalues the exponent is fitted to."""
    return count - count // 2


def hill_exponent(eigenvalues: npt.NDArray[Any]) -> float | None:
    """Fits a power law to the upper half of eigenvalues.

    The estimator of Hill: a density that falls as `x ** -exponent` above
    the median gives

    ```
    exponent = 1 + 1 / mean(log(tail) - log(min(tail)))
    ```

    It does not depend on the scale of the eigenvalues. Its standard error is
    `(exponent - 1) / sqrt(tail_size)`.

    Args:
        eigenvalues: Not negative, in any order, shape `(n,)`.

    Returns:
        The exponent; or `None` if the tail has zeros or no width.
    """
    tail = np.sort(eigenvalues)[-tail_size(len(eigenvalues)) :]
    if not tail[0] > 0.0:
        return None
    width = float(np.mean(np.log(tail / tail[0])))
    return 1.0 + 1.0 / width if width > _NARROWEST else None


def exponent_of(matrices: npt.NDArray[np.float64]) -> float | None:
    """Returns the exponent of a kernel, or `None` if it has none.

    Args:
        matrices: The kernel, as for `eigenvalues_of`.
    """
    if not np.isfinite(matrices).all():
        return None
    return hill_exponent(eigenvalues_of(matrices))


def balanced(
    alphas: npt.NDArray[Any],
    tails: npt.NDArray[Any],
    low: float,
    high: float,
    *,
    shrink: bool,
) -> npt.NDArray[Any]:
    """Returns the multipliers of layers, shape `(layers,)`; 1 for equal ones.

    Args:
        alphas: The exponents of the layers, shape `(layers,)`.
        tails: The number of eigenvalues that each was fitted to.
        low: The multiplier of the smallest exponent.
        high: The multiplier of the largest exponent.
        shrink: Whether to pull them towards 1 by the part of the exponents'
            variance that their standard error explains.
    """
    if len(alphas) == 0 or np.ptp(alphas) <= _EQUAL * alphas.max():
        return np.ones(len(alphas))
    share = (alphas - alphas.min()) / np.ptp(alphas)
    multipliers = low + (high - low) * share
    if not shrink:
        return multipliers
    error = np.mean((alphas - 1.0) ** 2 / tails)
    kept = max(0.0, 1.0 - error / np.var(alphas, ddof=1))
    return 1.0 + kept * (multipliers - 1.0)
