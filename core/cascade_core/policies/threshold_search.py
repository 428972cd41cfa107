"""Exact search for the thresholds of a cascade on the data points.

With n graded requests a threshold matters only where it falls between two scores: a level has at
most n + 1 candidates. The last two levels are compared for all of them at once by cumulative sums
over the sorted scores; a level before them is tried candidate by candidate. So a cascade of two
models costs O(n log n) and one of three O(n² log n), and both are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core.policies._rows import Rows
from cascade_core.policies.threshold_cascade import ThresholdCascade

# Never answers here: above every probability.
NEVER = 1.1
# A level that is tried candidate by candidate gets this many at most, evenly spread over the
# sorted scores: up to as many requests the search is exact, beyond it the grid is still fine.
MAX_CANDIDATES = 1000

_Indices = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True, slots=True)
class TunedCascade:
    """A cascade and what it does on the rows that it was tuned on: mean quality and dollars."""

    policy: ThresholdCascade
    quality: float
    cost: float


def pareto_cascades(
    score: FloatArray,
    quality: FloatArray,
    cost: FloatArray,
    max_depth: int = 3,
    any_order: bool = False,
) -> list[TunedCascade]:
    """Return the Pareto frontier over the cascades of all sub-chains, cheapest first.

    Single models are the chains of length one. Of equals the shorter chain is kept.

    Args:
        score: Estimated quality of each reply, shape (n, n_arms); -1 for rejected ones.
        quality: True quality, shape (n, n_arms).
        cost: Dollars, shape (n, n_arms).
        max_depth: Longest chain. Beyond three see ``hull_cascades``.
        any_order: Try every order of the arms, not only cheapest first: a dearer model with the
            better signal may come first.

    Raises:
        InvalidOutcomes: Rows that cannot be learnt from.
    """
    rows = Rows.of(score, quality, cost)
    n, score, quality, cost = rows.n, rows.score, rows.quality, rows.cost
    found = [
        TunedCascade(ThresholdCascade(chain, tuple(thresholds)), total_quality / n, total_cost / n)
        for chain in rows.chains(max_depth, any_order)
        for total_cost, total_quality, thresholds in _Chain(chain, score, quality, cost).options()
    ]
    # Stable: shorter chains come first, and stay first among equals.
    found.sort(key=lambda c: (c.cost, -c.quality))
    frontier: list[TunedCascade] = []
    for cascade in found:
        if not frontier or cascade.quality > frontier[-1].quality:
            frontier.append(cascade)
    return frontier


@dataclass(frozen=True, slots=True)
class _Options:
    """Ways to go on from a level: totals over its rows, and the thresholds that lead there.

    Attributes:
        cost: Total dollars, shape (k,).
        quality: Total quality, shape (k,).
        thresholds: Of this level and the later ones, shape (k, levels left).
    """

    cost: FloatArray
    quality: FloatArray
    thresholds: FloatArray

    def pareto(self) -> _Options:
        """Return the options that no other is better and cheaper than, cheapest first."""
        by_cost = np.lexsort((-self.quality, self.cost))
        quality = self.quality[by_cost]
        best_before = np.maximum.accumulate(np.append(-np.inf, quality[:-1]))
        keep = by_cost[quality > best_before]
        return _Options(self.cost[keep], self.quality[keep], self.thresholds[keep])


class _Chain:
    """One chain of arms and the rows to tune it on."""

    def __init__(
        self, chain: tuple[int, ...], score: FloatArray, quality: FloatArray, cost: FloatArray
    ) -> None:
        self._last = len(chain) - 1
        self._score = score[:, chain]
        self._quality = quality[:, chain]
        # Dollars spent once level j has run.
        self._spent = np.cumsum(cost[:, chain], axis=1)

    def options(self) -> list[tuple[float, float, list[float]]]:
        """Return (total cost, total quality, thresholds) along the chain's Pareto frontier."""
        found = self._options(0, np.arange(len(self._quality)))
        return list(
            zip(found.cost.tolist(), found.quality.tolist(), found.thresholds.tolist(), strict=True)
        )

    def _options(self, level: int, rows: _Indices) -> _Options:
        """Return the Pareto frontier for the ``rows`` that reach ``level``."""
        if level == self._last:
            cost, quality = self._spent[rows, level].sum(), self._quality[rows, level].sum()
            return _Options(np.array([cost]), np.array([quality]), np.empty((1, 0)))
        rows = rows[np.argsort(-self._score[rows, level], kind="stable")]
        counts, thresholds = _candidates(self._score[rows, level])
        # Totals of the first k rows, which stop here, for every candidate k.
        cost = _totals(self._spent[rows, level], counts)
        quality = _totals(self._quality[rows, level], counts)
        if level == self._last - 1:
            later_cost, later_quality = (
                self._spent[rows, self._last],
                self._quality[rows, self._last],
            )
            cost += later_cost.sum() - _totals(later_cost, counts)
            quality += later_quality.sum() - _totals(later_quality, counts)
            return _Options(cost, quality, thresholds[:, None]).pareto()
        return self._each_with_later(level, rows, counts, _Options(cost, quality, thresholds))

    def _each_with_later(
        self, level: int, rows: _Indices, counts: _Indices, here: _Options
    ) -> _Options:
        spread = np.linspace(0, len(counts) - 1, min(len(counts), MAX_CANDIDATES))
        joined: list[_Options] = []
        for k in np.unique(spread.astype(np.intp)).tolist():
            later = self._options(level + 1, rows[counts[k] :])
            first = np.full((len(later.cost), 1), here.thresholds[k])
            joined.append(
                _Options(
                    here.cost[k] + later.cost,
                    here.quality[k] + later.quality,
                    np.hstack([first, later.thresholds]),
                )
            )
        return _Options(
            np.concatenate([o.cost for o in joined]),
            np.concatenate([o.quality for o in joined]),
            np.concatenate([o.thresholds for o in joined]),
        ).pareto()


def _candidates(score: FloatArray) -> tuple[_Indices, FloatArray]:
    """Return how many of the descending scores may stop here, and the threshold for each.

    Equal scores stop together, and rejected replies (-1) never do. A threshold lies half-way to the
    next score: the widest margin for scores not seen yet.
    """
    following = np.append(np.maximum(score[1:], 0.0), 0.0)[: len(score)]
    ends = np.flatnonzero((score >= 0) & (np.append(score[1:], -np.inf)[: len(score)] < score))
    thresholds = np.append(NEVER, (score[ends] + following[ends]) / 2)
    return np.append(0, ends + 1), thresholds


def _totals(values: FloatArray, counts: _Indices) -> FloatArray:
    """Return the sum of the first k values for every k in ``counts``."""
    return np.append(0.0, np.cumsum(values))[counts]
