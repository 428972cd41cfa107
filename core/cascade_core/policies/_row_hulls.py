"""The upper hulls of many requests at once, each in the plane of (cost, quality)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray, IndexArray

_GREATEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class RowHulls:
    """One increasing, strictly concave hull per row, from its cheapest point to its best.

    Attributes:
        cost: Of the corners, ascending, shape (n, m); only the first ``size`` of a row count.
        quality: Of the corners, ascending, shape (n, m).
        slope: Of the edge that ends in the corner, descending, shape (n, m); inf at the first.
        size: Number of corners, shape (n,), >= 1.
    """

    cost: FloatArray
    quality: FloatArray
    slope: FloatArray
    size: IndexArray

    def edges(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return slope, cost and quality along every edge of every row, each of shape (k,)."""
        corner: IndexArray = np.arange(1, self.cost.shape[1], dtype=np.intp)
        inside = corner < self.size[:, None]
        return (
            self.slope[:, 1:][inside],
            np.diff(self.cost, axis=1)[inside],
            np.diff(self.quality, axis=1)[inside],
        )


def row_hulls(quality: FloatArray, cost: FloatArray) -> RowHulls:
    """Return the hull of every row of ``quality`` and ``cost``, both (n, m), finite, m >= 1.

    Andrew (1979), monotone chain, with one stack per row and a loop over the columns: all rows
    push their j-th cheapest point together, and those that still have to pop do so together. Every
    point is pushed and popped once at most, so the work is O(n m) after the sort. A corner is
    judged by the slopes as rounded: they strictly descend, whatever the rounding.
    """
    n, m = quality.shape
    order = np.lexsort((-quality, cost), axis=1)
    q, c = np.take_along_axis(quality, order, axis=1), np.take_along_axis(cost, order, axis=1)
    hull_q, hull_c, slope = np.zeros((n, m)), np.zeros((n, m)), np.full((n, m), np.inf)
    hull_q[:, 0], hull_c[:, 0] = q[:, 0], c[:, 0]
    top = np.zeros(n, dtype=np.intp)
    for j in range(1, m):
        # The top is the best so far, so a point that is no better is no corner. Of points of
        # equal cost the best comes first: what is left is dearer than the top.
        rows = np.flatnonzero(q[:, j] > hull_q[np.arange(n), top])
        popping = rows
        while len(popping):
            at = top[popping]
            incoming = _slope(
                q[popping, j] - hull_q[popping, at], c[popping, j] - hull_c[popping, at]
            )
            below = slope[popping, at] <= incoming
            done = popping[~below]
            slope[done, top[done] + 1] = incoming[~below]
            popping = popping[below]
            top[popping] -= 1
        top[rows] += 1
        hull_q[rows, top[rows]], hull_c[rows, top[rows]] = q[rows, j], c[rows, j]
    return RowHulls(hull_c, hull_q, slope, top + 1)


def _slope(rise: FloatArray, run: FloatArray) -> FloatArray:
    # A difference of 1e-310 dollars overflows; infinite, it would pop the first corner.
    with np.errstate(over="ignore"):
        return np.minimum(rise / run, _GREATEST)
