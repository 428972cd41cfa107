"""Cascade routing: the best set of arms still to be called, for many decisions at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import BoolArray, IndexArray
from cascade_core.expected_max.blocks import normal_blocks, sample_blocks
from cascade_core.expected_max.decisions import Decisions, check
from cascade_core.expected_max.lattice import MaxTable, Problem
from cascade_core.expected_max.prefilter import worth_it
from cascade_core.expected_max.result import BestSets
from cascade_core.expected_max.samples import normal_points
from cascade_core.expected_max.solve import solve


def best_sets(
    mean: ArrayLike,
    sd: ArrayLike | None = None,
    price: ArrayLike = 0.0,
    base: ArrayLike = -np.inf,
    open: ArrayLike | None = None,
    *,
    covariance: ArrayLike | None = None,
    max_size: ArrayLike | None = None,
    tie: Literal["cheapest", "dearest"] = "cheapest",
    log2_points: int = 8,
    seed: int = 0,
) -> BestSets:
    r"""Return, row by row, the set S that maximises $E[\max(b, \max_{i \in S} X_i)] - \sum_S p_i$.

    Dekoninck et al. (2025), Theorem 3. Exact for independent qualities; with a covariance exact on
    the sample average over seeded joint samples.

    Args:
        mean: Expected quality of every arm, shape (n, m).
        sd: Standard deviations of independent qualities, shape (n, m); 0 for a certain one.
        price: λ times the cost of every arm, shape (n, m), in units of quality.
        base: Quality of the best reply in hand, shape (n,); -inf where there is none, and then the
            set has at least one arm.
        open: Arms that may still be called, shape (n, m); all by default.
        covariance: Covariance of the qualities, shape (n, m, m), in place of ``sd``.
        max_size: Most arms of a set, a number or shape (n,); no limit by default.
        tie: Which of the sets that tie within 1e-12.
        log2_points: Binary logarithm of the number of joint samples.
        seed: Of the samples.

    Raises:
        InvalidBelief: A number is NaN, a deviation negative, a covariance not positive
            semi-definite, or a shape does not fit.

    Examples:
        >>> best_sets([[0.6, 0.7]], [[0.2, 0.2]], [[0.01, 0.05]], [-np.inf]).members
        array([[ True,  True]])
    """
    rows = check(mean, sd, covariance, price, base, open, max_size)
    n, m = rows.shape
    live = rows.open & (rows.max_size > 0)[:, None]
    if rows.covariance is None:
        live = worth_it(rows, live, tie == "dearest")
    members = np.zeros((n, m), dtype=bool)
    value, gap = rows.base.copy(), np.zeros(n)
    for block, arms, table in blocks_of(rows, live, log2_points, seed):
        problem = Problem(
            rows.price[block[:, None], arms],
            rows.base[block] > -np.inf,
            rows.max_size[block],
            tie == "dearest",
        )
        found = solve(table, problem)
        members[block[:, None], arms] = found.members
        value[block], gap[block] = found.value, found.gap
    return BestSets(members, value, rows.base, gap)


def blocks_of(
    rows: Decisions, live: BoolArray, log2_points: int, seed: int
) -> Iterator[tuple[IndexArray, IndexArray, MaxTable]]:
    """Yield (rows, their live arms, table) for all rows that have a live arm."""
    if rows.covariance is None:
        return normal_blocks(rows, live)
    points = normal_points(live.shape[1], log2_points, seed)
    return sample_blocks(rows, rows.covariance, live, points)
