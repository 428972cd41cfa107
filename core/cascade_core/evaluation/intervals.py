"""Confidence intervals by the bootstrap over requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes

_BLOCK = 2_000_000  # numbers held at a time: 16 MB


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
    if x.ndim != 1 or x.size == 0:
        raise InvalidOutcomes(f"An interval needs values of shape (n,), n >= 1, got {x.shape}.")
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
    # In blocks: a large table times all draws would not fit into memory.
    block = max(1, _BLOCK // x.size)
    sizes = [min(block, draws - done) for done in range(0, draws, block)]
    return np.concatenate([x[rng.integers(x.size, size=(k, x.size))].mean(axis=1) for k in sizes])
