"""Optimal cascading: the best prefix of a fixed order, for many decisions at once."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import IndexArray
from cascade_core.errors import InvalidBelief
from cascade_core.expected_max.best_set import blocks_of
from cascade_core.expected_max.decisions import check
from cascade_core.expected_max.result import BestSets
from cascade_core.expected_max.subsets import TIE


def best_prefix(
    mean: ArrayLike,
    sd: ArrayLike | None = None,
    price: ArrayLike = 0.0,
    base: ArrayLike = -np.inf,
    open: ArrayLike | None = None,
    *,
    order: ArrayLike,
    covariance: ArrayLike | None = None,
    max_size: ArrayLike | None = None,
    tie: Literal["cheapest", "dearest"] = "cheapest",
    log2_points: int = 8,
    seed: int = 0,
) -> BestSets:
    """Return the best of the prefixes of ``order``, as far as its arms are open, row by row.

    Dekoninck et al. (2025), Theorem 2. Arguments as for ``best_sets``; ``order`` is a permutation
    of the arms, shape (m,). The next call is the open arm that comes first in the order.
    """
    rows = check(mean, sd, covariance, price, base, open, max_size)
    n, m = rows.shape
    sequence = _permutation(order, m)
    rows = rows.permuted(sequence)
    members = np.zeros((n, m), dtype=bool)
    value = rows.base.copy()
    for block, arms, table in blocks_of(rows, rows.open, log2_points, seed):
        price_of = rows.price[block[:, None], arms]
        total = np.pad(np.cumsum(price_of, axis=1), ((0, 0), (1, 0)))
        utility = table.prefix_values() - total
        utility[rows.base[block] == -np.inf, 0] = -np.inf
        length: IndexArray = np.arange(int(arms.shape[1]) + 1)
        utility[length > rows.max_size[block, None]] = -np.inf
        close = utility >= utility.max(axis=1, keepdims=True) - TIE
        best = np.where(close, -total if tie == "dearest" else total, np.inf).argmin(axis=1)
        members[block[:, None], sequence[arms]] = length[:-1] < best[:, None]
        value[block] = utility[np.arange(len(block)), best]
    return BestSets(members, value, rows.base, np.zeros(n))


def _permutation(order: ArrayLike, m: int) -> IndexArray:
    sequence = np.asarray(order, dtype=np.intp)
    if sequence.shape != (m,) or not np.array_equal(np.sort(sequence), np.arange(m)):
        raise InvalidBelief(f"order needs each of {m} arms once, got {sequence.tolist()}.")
    return sequence
