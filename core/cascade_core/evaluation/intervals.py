"""Confidence intervals by the bootstrap over requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._types import FloatArray


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its two-sided interval."""

    mean: float
    low: float
    high: float

    def excludes_zero(self) -> bool:
        """Return True if 0 lies outside."""
        return not self.low <= 0.0 <= self.high


def bootstrap_interval(
    values: ArrayLike, rng: np.random.Generator, level: float = 0.95, draws: int = 4000
) -> Interval:
    """Return the percentile interval of the mean of ``values``, shape (n,)."""
    x = np.asarray(values, dtype=np.float64)
    means = _resampled_means(x, rng, draws)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail]).tolist()
    return Interval(float(x.mean()), low, high)


def paired_difference(
    a: ArrayLike, b: ArrayLike, rng: np.random.Generator, level: float = 0.95
) -> Interval:
    """Return the interval of mean(a - b) over the same requests, both of shape (n,)."""
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return bootstrap_interval(difference, rng, level)


def _resampled_means(x: FloatArray, rng: np.random.Generator, draws: int) -> FloatArray:
    # Counts instead of indices: n numbers a draw, and one matrix product for all of them.
    counts = rng.multinomial(x.size, np.full(x.size, 1 / x.size), size=draws)
    return counts @ x / x.size
