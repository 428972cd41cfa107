"""Monotone regression: the pool-adjacent-violators algorithm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Decreasing:
    """A continuous function that never rises: linear between knots, flat beyond them.

    Attributes:
        x: Knots, ascending, shape (k,).
        y: Values, descending, shape (k,).
    """

    x: FloatArray
    y: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return the values at ``x``, shape kept."""
        return np.interp(x, self.x, self.y)

    @classmethod
    def fit(cls, x: FloatArray, y: FloatArray) -> Decreasing:
        """Return the non-increasing regression of ``y`` on ``x``, both (n,), n >= 1.

        Least squares by pooling adjacent violators, then linear between the centres of the pools
        (Oron and Flournoy 2017, Centered isotonic regression): the steps of the plain solution are
        an artefact where the truth is smooth.
        """
        knots, which = np.unique(x, return_inverse=True)
        weight = np.bincount(which).astype(np.float64)
        mean = np.bincount(which, weights=y) / weight
        pools: list[tuple[float, float, float]] = []  # weight, centre, value
        for w, centre, value in zip(weight.tolist(), knots.tolist(), mean.tolist(), strict=True):
            pool = (w, centre, value)
            while pools and pools[-1][2] <= pool[2]:
                pool = _pooled(pools.pop(), pool)
            pools.append(pool)
        _, centres, values = zip(*pools, strict=True)
        return cls(np.array(centres), np.array(values))


def _pooled(
    one: tuple[float, float, float], other: tuple[float, float, float]
) -> tuple[float, float, float]:
    w, v = one[0], other[0]
    total = w + v
    return (
        total,
        (w * one[1] + v * other[1]) / total,
        (w * one[2] + v * other[2]) / total,
    )
