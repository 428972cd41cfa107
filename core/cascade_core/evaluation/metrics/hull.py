"""The upper hull: the points that a blind mixture of policies would use."""

from __future__ import annotations

from fractions import Fraction
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade_core.errors import InvalidOutcomes
from cascade_core.evaluation.metrics._curve import finite

# Shewchuk (1997), Adaptive Precision Floating-Point Arithmetic: |error of the 2 x 2 determinant|
# <= (3 + 16 u) u (|left| + |right|) with u = 2^-53, unless a product underflows.
_ERROR = (3 + 16 * 2.0**-53) * 2.0**-53
_UNDERFLOW = 1e-270


def upper_hull(cost: ArrayLike, quality: ArrayLike) -> NDArray[np.intp]:
    """Return the indices of the corners of the non-decreasing concave hull, cheapest first.

    Whatever the costs of a set of policies, a random mixture of two of them reaches every point
    of the line between them, and no mixture reaches a point above this hull. Along the result
    cost and quality increase strictly and the quality gained per cost decreases strictly: it runs
    from the cheapest point to the cheapest of the best, without points that lie on a line between
    others. Of points of equal cost the best is taken, of equal points the first. The test for a
    corner is exact, not up to rounding.

    Andrew (1979), monotone chain, upper half.

    Args:
        cost: Shape (k,), k >= 1, any finite numbers.
        quality: Shape (k,), any finite numbers.

    Returns:
        Indices into the points, shape (h,), 1 <= h <= k.

    Raises:
        InvalidOutcomes: NaN, infinity, no points, or unequal shapes.

    Examples:
        >>> upper_hull([1, 2, 3, 4, 5], [0.5, 0.6, 0.9, 0.8, 0.9]).tolist()
        [0, 2]
    """
    c, q = finite(cost, "cost"), finite(quality, "quality")
    if c.shape != q.shape:
        raise InvalidOutcomes(f"A hull needs as many costs as qualities, got {c.size}, {q.size}.")
    x, y = c.tolist(), q.tolist()
    hull: list[int] = []
    for new in np.lexsort((-q, c)).tolist():
        if hull and y[new] <= y[hull[-1]]:
            continue  # the last corner is as good and no dearer
        while len(hull) > 1 and not _is_corner(x, y, hull[-2], hull[-1], new):
            hull.pop()
        hull.append(new)
    return np.array(hull, dtype=np.intp)


def _is_corner(x: list[float], y: list[float], a: int, b: int, c: int) -> bool:
    """Return True if b lies strictly above the line from a to c."""
    left, right = (y[b] - y[a]) * (x[c] - x[a]), (y[c] - y[a]) * (x[b] - x[a])
    size = abs(left) + abs(right)
    if isfinite(size) and size > _UNDERFLOW and abs(left - right) > _ERROR * size:
        return left > right
    (xa, ya), (xb, yb), (xc, yc) = ((Fraction(x[i]), Fraction(y[i])) for i in (a, b, c))
    return (yb - ya) * (xc - xa) > (yc - ya) * (xb - xa)
