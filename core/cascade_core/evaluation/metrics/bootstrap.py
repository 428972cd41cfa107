"""An interval for any metric over a curve, by the bootstrap over requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes
from cascade_core.evaluation.intervals import Interval

_BLOCK = 1_000_000  # numbers held at a time, 8 MB an array

CurveMetric = Callable[[FloatArray, FloatArray], float]


def bootstrap_metric(
    metric: CurveMetric,
    cost: ArrayLike,
    quality: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> Interval:
    """Return ``metric`` of the mean costs and qualities, with its percentile interval.

    Requests are drawn with replacement, the same for all points, since all policies met the same
    requests. What the metric compares a curve with belongs into the same arrays: single models,
    or the points of another curve for the interval of a difference.

    The policies stay as they are: the interval says how much the figure depends on which requests
    were met, not on which were learnt from. The ends are drawn values, rounded outwards, so a
    metric may be ``inf`` in some draws.

    Efron & Tibshirani (1993), An Introduction to the Bootstrap, §13.

    Args:
        metric: Takes mean cost (k,) and mean quality (k,), and returns a number.
        cost: Cost of every point on every request, shape (k, n).
        quality: Its quality there, shape (k, n).
        rng: The only source of chance: the same generator gives the same interval.
        level: Probability of the interval, in (0, 1).
        draws: How often to resample, >= 1.

    Returns:
        The metric on all requests (as ``mean``) and the two ends.

    Raises:
        InvalidOutcomes: Shapes that do not fit, numbers that are not finite, or a metric that
            is undefined on all requests or on a resample: then there are too few of them.

    Examples:
        The first two rows are the curve, the last two the single models:

        >>> from cascade_core.evaluation.metrics import quality_cost_auc
        >>> def auc(c, q):
        ...     return quality_cost_auc(c[:2], q[:2], c[2:], q[2:]).auc
        >>> cost = np.array([[1.0, 1], [2, 2], [1, 1], [3, 3]])
        >>> quality = np.array([[0.4, 0.6], [0.8, 1.0], [0.4, 0.6], [0.8, 1.0]])
        >>> value = bootstrap_metric(auc, cost, quality, np.random.default_rng(0), draws=100)
        >>> f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"
        '0.80 [0.70, 0.90]'
    """
    c, q = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if c.ndim != 2 or c.shape != q.shape or c.size == 0:
        raise InvalidOutcomes(
            "A bootstrap needs cost and quality of one shape (k, n) with k, n >= 1, got "
            f"{c.shape} and {q.shape}."
        )
    if not (np.isfinite(c).all() and np.isfinite(q).all()):
        raise InvalidOutcomes("A bootstrap needs finite costs and qualities on every request.")
    if not (0 < level < 1 and draws >= 1):
        raise InvalidOutcomes(f"It needs 0 < level < 1 and draws >= 1, got {level}, {draws}.")
    value = _value(metric, c.mean(axis=1), q.mean(axis=1), "all requests")
    drawn = np.sort(
        [
            _value(metric, mean[0], mean[1], "a resample: there are too few requests")
            for mean in _resampled_means(np.stack([c, q]), rng, draws)
        ]
    )
    tail = (1 - level) / 2 * (draws - 1)
    low, high = drawn[math.floor(tail)], drawn[draws - 1 - math.floor(tail)]
    return Interval(value, float(low), float(high))


def _resampled_means(
    values: FloatArray, rng: np.random.Generator, draws: int
) -> Iterator[FloatArray]:
    """Yield, for every draw, the means (2, k) of ``values`` (2, k, n) over resampled requests."""
    n, k = values.shape[-1], values.shape[1]
    rows = values.reshape(2 * k, n)  # one matrix product: NumPy is slow on a stack of two
    block = max(1, _BLOCK // n)
    for done in range(0, draws, block):
        size = min(block, draws - done)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n) / n
        yield from (weights @ rows.T).reshape(size, 2, k)


def _value(metric: CurveMetric, cost: FloatArray, quality: FloatArray, where: str) -> float:
    try:
        value = float(metric(cost, quality))
    except InvalidOutcomes as error:
        raise InvalidOutcomes(f"The metric is undefined on {where}. {error}") from error
    if math.isnan(value):
        raise InvalidOutcomes(f"The metric is NaN on {where}.")
    return value
