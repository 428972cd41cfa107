"""All subsets of u arms, coded as integers: bit i of the code says whether arm i is in."""

from __future__ import annotations

from functools import cache

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.expected_max.reduce import count, largest

# Utilities this close are a tie.
TIE = 1e-12


@cache
def sizes(u: int) -> IndexArray:
    """Return the number of arms in every subset, shape (2^u,)."""
    return count(members(np.arange(1 << u), u))


def members(codes: IndexArray, u: int) -> BoolArray:
    """Return the subsets of ``codes`` (n,) as masks, shape (n, u)."""
    out: BoolArray = (codes[:, None] >> np.arange(u)) & 1 == 1
    return out


def sums(values: FloatArray) -> FloatArray:
    """Return the sum over every subset: (n, u) to (n, 2^u)."""
    n, u = values.shape
    out = np.zeros((n, 1 << u))
    for i in range(u):
        np.add(out[:, : 1 << i], values[:, i, None], out=out[:, 1 << i : 2 << i])
    return out


def products(factors: FloatArray, start: FloatArray | None = None) -> FloatArray:
    """Return ``start`` (n, K) times the product over every subset: (n, u, K) to (n, 2^u, K)."""
    n, u, k = factors.shape
    out = np.empty((n, 1 << u, k))
    out[:, 0] = 1.0 if start is None else start
    for i in range(u):
        np.multiply(out[:, : 1 << i], factors[:, i, None], out=out[:, 1 << i : 2 << i])
    return out


def pick(utility: FloatArray, price: FloatArray, dearest: bool) -> IndexArray:
    """Return the code of the best subset of every row.

    Of those that tie the cheapest, or the dearest; then the one of fewest arms; then the lowest
    code.

    Args:
        utility: Utility of every subset, shape (n, 2^u).
        price: Price of every arm, shape (n, u).
        dearest: Which of the tied ones.
    """
    best: IndexArray = utility.argmax(axis=1)
    every = np.arange(len(utility))
    top = utility[every, best]
    utility[every, best] = -np.inf
    tied = np.flatnonzero(largest(utility) >= top - TIE)
    utility[every, best] = top
    if tied.size:
        total = sums(price[tied])
        close = utility[tied] >= top[tied, None] - TIE
        total = np.where(close, -total if dearest else total, np.inf)
        extreme = total <= total.min(axis=1, keepdims=True)
        best[tied] = np.where(extreme, sizes(price.shape[1]), price.shape[1] + 1).argmin(axis=1)
    return best
