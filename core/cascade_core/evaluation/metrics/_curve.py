"""What every metric needs of a curve: checked points, their order, the area under them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes


def checked(
    cost: ArrayLike, quality: ArrayLike, of: str = "curve"
) -> tuple[FloatArray, FloatArray]:
    """Return cost and quality, each of shape (k,), as finite float arrays, k >= 1, cost >= 0."""
    c, q = finite(cost, f"{of} cost"), finite(quality, f"{of} quality")
    if c.shape != q.shape:
        raise InvalidOutcomes(
            f"Every point of the {of} needs a cost and a quality, got {c.size} costs and "
            f"{q.size} qualities."
        )
    if (c < 0).any():
        raise InvalidOutcomes(f"The {of} needs costs >= 0, got {c.min()}.")
    return c, q


def finite(values: ArrayLike, of: str) -> FloatArray:
    """Return ``values`` of shape (k,), k >= 1, as a float array without NaN and infinity."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise InvalidOutcomes(f"The {of} needs shape (k,) with k >= 1 points, got {x.shape}.")
    if not np.isfinite(x).all():
        raise InvalidOutcomes(f"The {of} needs finite numbers, got {x.tolist()}.")
    return x


def cost_span(low: float, high: float, advice: str) -> tuple[float, float]:
    """Return ``(low, high)`` if it is a range to integrate over."""
    if not (np.isfinite(low) and np.isfinite(high) and 0 <= low < high):
        raise InvalidOutcomes(
            f"An area over cost needs a range 0 <= low < high, got ({low}, {high}). {advice}"
        )
    return float(low), float(high)


def by_cost(cost: FloatArray, quality: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the points cheapest first; at equal cost the worse first."""
    order = np.lexsort((quality, cost))
    return cost[order], quality[order]


def mean_height(x: FloatArray, y: FloatArray, low: float, high: float) -> float:
    """Return the mean over [low, high] of the polyline through ascending (x, y).

    Left of the first point the line is 0, right of the last it stays level.
    """
    start = max(low, float(x[0]))
    if start >= high:
        return 0.0
    inside = (x > start) & (x < high)
    ends = np.interp([start, high], x, y)
    nodes = np.concatenate([[start], x[inside], [high]])
    heights = np.concatenate([ends[:1], y[inside], ends[1:]])
    return area(nodes, heights) / (high - low)


def area(x: FloatArray, y: FloatArray) -> float:
    """Return the trapezoidal area; NumPy renamed its own between 1 and 2."""
    return float((np.diff(x) * (y[1:] + y[:-1])).sum() / 2)
