"""Threshold cascades of any order and of four models and more, for a price of a dollar.

``pareto_cascades`` finds every point of the frontier of chains of up to three. It grows with a
power of the rows; here one λ is given, and a level costs a sort. The budget is met by mixing the
two neighbours on the hull: ``meet_budget(hull_cascades(...), budget)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_cost_weight
from cascade_core.policies._rows import Rows
from cascade_core.policies._sweeps import ChainLoss, Cuts
from cascade_core.policies.threshold_cascade import ThresholdCascade
from cascade_core.policies.threshold_search import NEVER, TunedCascade


def best_cascade(
    score: ArrayLike,
    quality: ArrayLike,
    cost: ArrayLike,
    cost_weight: float,
    *,
    max_depth: int = 4,
    any_order: bool = True,
) -> TunedCascade:
    """Return the cascade of greatest mean quality − λ dollars on the rows.

    Exact for chains of up to two models, and of three up to 2,000 different scores of the second;
    beyond that, exact sweeps of one level at a time from 32 starts, which may miss the optimum.

    Args:
        score: Estimated quality of each reply, shape (n, n_arms); -1 for rejected ones.
        quality: True quality, shape (n, n_arms).
        cost: Dollars, shape (n, n_arms).
        cost_weight: λ, quality per US dollar, >= 0.
        max_depth: Longest chain.
        any_order: Try every order of the arms: m!/(m − d)! chains of d; else cheapest first only.

    Raises:
        InvalidOutcomes: Rows that cannot be learnt from.
    """
    check_cost_weight("best_cascade", cost_weight)
    rows = Rows.of(score, quality, cost)
    return _best(rows, rows.chains(max_depth, any_order), cost_weight)


def hull_cascades(
    score: ArrayLike,
    quality: ArrayLike,
    cost: ArrayLike,
    *,
    max_depth: int = 4,
    any_order: bool = True,
    tolerance: float = 1e-3,
) -> list[TunedCascade]:
    """Return cascades along the upper hull in (cost, quality), cheapest first.

    Between two points the λ of the line through both is solved for: it finds the point that lies
    farthest above that line, or shows that there is none.

    Args:
        score: As in ``best_cascade``, and so are quality, cost, max_depth and any_order.
        quality: True quality.
        cost: Dollars.
        max_depth: Longest chain.
        any_order: Every order of the arms.
        tolerance: Points less than this mean quality above the line are not looked for, > 0.
    """
    if not tolerance > 0:
        raise InvalidConfiguration(f"tolerance must be a quality > 0, got {tolerance!r}.")
    rows = Rows.of(score, quality, cost)
    chains = rows.chains(max_depth, any_order)
    total = float(rows.cost.max(axis=0).sum())
    # At so low a price no dollar is spent for nothing, and less than 1e-9 quality is given up.
    best = _best(rows, chains, 1e-9 / total if total > 0 else 0.0)
    cheapest = min(
        (measured(ThresholdCascade((arm,), ()), rows) for arm in range(rows.n_arms)),
        key=lambda c: (c.cost, -c.quality),
    )
    if best.cost <= cheapest.cost:
        return [best]
    return [cheapest, *_between(rows, chains, cheapest, best, tolerance), best]


def measured(policy: ThresholdCascade, rows: Rows) -> TunedCascade:
    """Return what ``policy`` does on ``rows``."""
    left = np.arange(rows.n)
    quality = cost = 0.0
    for arm, threshold in zip(policy.order, (*policy.thresholds, -1.0), strict=True):
        cost += float(rows.cost[left, arm].sum())
        # Rejected replies, of score -1, answer at the last arm only.
        answers = rows.score[left, arm] >= threshold
        quality += float(rows.quality[left[answers], arm].sum())
        left = left[~answers]
    return TunedCascade(policy, quality / rows.n, cost / rows.n)


def _between(
    rows: Rows,
    chains: list[tuple[int, ...]],
    low: TunedCascade,
    high: TunedCascade,
    tolerance: float,
) -> list[TunedCascade]:
    gap = high.cost - low.cost
    if gap <= 0 or high.quality - low.quality <= tolerance:
        return []
    weight = (high.quality - low.quality) / gap
    found = _best(rows, chains, weight)
    above = found.quality - weight * found.cost - (low.quality - weight * low.cost)
    if above <= tolerance or not low.cost < found.cost < high.cost:
        return []
    return [
        *_between(rows, chains, low, found, tolerance),
        found,
        *_between(rows, chains, found, high, tolerance),
    ]


def _best(rows: Rows, chains: list[tuple[int, ...]], cost_weight: float) -> TunedCascade:
    tuned = [(ChainLoss(rows, chain, cost_weight).tune(), chain) for chain in chains]
    least, chain = min(tuned, key=lambda t: t[0].loss)
    return measured(_cascade(rows, chain, least.cuts), rows)


def _cascade(rows: Rows, chain: tuple[int, ...], cuts: Cuts) -> ThresholdCascade:
    thresholds = tuple(
        _at_least(rows.score[:, arm], high)
        for arm, (_, high) in zip(chain[:-1], cuts[:-1], strict=True)
    )
    return ThresholdCascade(chain, thresholds)


def _at_least(score: np.ndarray[tuple[int], np.dtype[np.float64]], above: float) -> float:
    """Return the least threshold t with score >= t exactly where score > ``above``."""
    if above < 0:
        return 0.0
    if above >= 1:
        return NEVER
    # A cut half-way between two scores is none itself, but for neighbours among the floats.
    return float(np.nextafter(above, 2.0)) if (score == above).any() else above
