"""Exact search for the thresholds of a cascade on the data points.

With n graded requests a threshold matters only where it falls between two scores: each level has
n + 1 candidates. With the other levels fixed, all of them are compared by one cumulative sum over
the sorted scores; levels are swept in turn until nothing improves, from several starts. A cascade
of two models has one level, and is solved exactly by one sweep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cascade_core._types import FloatArray
from cascade_core.policies.threshold_cascade import ThresholdCascade

# Never answers here: above every probability.
NEVER = 1.1
# Where the sweeps start: every level answers this share of what reaches it.
_STARTS = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class TunedCascade:
    """A cascade and what it does on the rows that it was tuned on: mean quality and dollars."""

    policy: ThresholdCascade
    quality: float
    cost: float


def pareto_cascades(
    score: FloatArray, quality: FloatArray, cost: FloatArray, max_depth: int = 3
) -> list[TunedCascade]:
    """Return the cascades of all sub-chains that some λ prefers, cheapest first.

    Single models are the chains of length one. For every chain the λ that matter are enumerated:
    between two cascades the slope of their connection is tried until nothing lies above it.

    Args:
        score: Estimated quality of each reply, shape (n, n_arms); -1 for rejected ones.
        quality: True quality, shape (n, n_arms).
        cost: Dollars, shape (n, n_arms).
        max_depth: Longest chain.
    """
    order = np.argsort(cost.mean(axis=0), kind="stable").tolist()
    found = [
        cascade
        for depth in range(1, min(max_depth, len(order)) + 1)
        for chain in combinations(order, depth)
        for cascade in _hull(_Chain(chain, score, quality, cost))
    ]
    # Cheapest first; of equals the better one, then the shorter chain.
    found.sort(key=lambda c: (c.cost, -c.quality, len(c.policy.order)))
    best: list[TunedCascade] = []
    for cascade in found:
        if not best or cascade.quality > best[-1].quality:
            best.append(cascade)
    return best


class _Chain:
    """One chain of arms and the rows to tune it on."""

    def __init__(
        self, chain: tuple[int, ...], score: FloatArray, quality: FloatArray, cost: FloatArray
    ) -> None:
        self.order = chain
        self.score = score[:, chain[:-1]]
        self.quality = quality[:, chain]
        # Dollars spent once level j has run.
        self.spent = np.cumsum(cost[:, chain], axis=1)

    def tune(self, cost_weight: float) -> TunedCascade:
        """Return the best cascade found for this λ."""
        utility = self.quality - cost_weight * self.spent
        candidates = (self._sweep(start, utility) for start in self._starts())
        thresholds = max(candidates, key=lambda t: self._mean(utility, t))
        return TunedCascade(
            ThresholdCascade(self.order, tuple(thresholds)),
            self._mean(self.quality, thresholds),
            self._mean(self.spent, thresholds),
        )

    def _starts(self) -> Iterator[list[float]]:
        levels = self.score.shape[1]
        if levels <= 1:
            yield [NEVER] * levels
            return
        for share in _STARTS:
            yield np.quantile(self.score, 1 - share, axis=0).tolist() if share else [NEVER] * levels

    def _sweep(self, thresholds: list[float], utility: FloatArray) -> list[float]:
        value = self._mean(utility, thresholds)
        while True:
            for level in range(len(thresholds)):
                thresholds[level] = self._best_threshold(level, thresholds, utility)
            new = self._mean(utility, thresholds)
            if new <= value + 1e-15:
                return thresholds
            value = new

    def _best_threshold(self, level: int, thresholds: list[float], utility: FloatArray) -> float:
        stops = self._stopping_level(thresholds[:level])
        reached = stops == level if level else np.ones(len(utility), dtype=np.bool_)
        if not reached.any():
            return thresholds[level]
        later = self._stopping_level([NEVER] * (level + 1) + thresholds[level + 1 :])
        rows = np.flatnonzero(reached)
        gain = utility[rows, level] - utility[rows, later[rows]]
        score = self.score[rows, level]
        by_score = np.argsort(-score, kind="stable")
        score, total = score[by_score], np.cumsum(gain[by_score])
        # Equal scores stop together, and a rejected reply (-1) never stops.
        possible = (np.append(score[1:], -np.inf) < score) & (score >= 0)
        total = np.where(possible, total, -np.inf)
        best = int(total.argmax())
        if total[best] <= 0:
            return NEVER
        below = score[best + 1] if best + 1 < len(score) else 0.0
        # Half-way to the next score: the widest margin for scores not seen yet.
        return float((score[best] + max(below, 0.0)) / 2)

    def _stopping_level(self, thresholds: list[float]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Return at which level each row stops, shape (n,)."""
        if not thresholds:
            return np.zeros(len(self.quality), dtype=np.intp)
        stops = self.score[:, : len(thresholds)] >= np.array(thresholds)
        return np.where(stops.any(axis=1), stops.argmax(axis=1), len(thresholds))

    def _mean(self, values: FloatArray, thresholds: list[float]) -> float:
        """Return the mean of ``values`` (n, levels) at the level where each row stops."""
        return float(values[np.arange(len(values)), self._stopping_level(thresholds)].mean())


def _hull(chain: _Chain) -> list[TunedCascade]:
    """Return the cascades of one chain that are best for some λ >= 0."""
    if len(chain.order) == 1:
        return [chain.tune(0.0)]
    best = chain.tune(0.0)
    # Heavy enough that any dollar saved outweighs any quality.
    cheapest = chain.tune(1e3 / max(float(chain.spent[:, 0].mean()), 1e-30))
    return [cheapest, *_between(chain, cheapest, best), best]


def _between(
    chain: _Chain, low: TunedCascade, high: TunedCascade, depth: int = 8
) -> list[TunedCascade]:
    dearer, better = high.cost - low.cost, high.quality - low.quality
    if depth == 0 or dearer <= 0 or better <= 0:
        return []
    cost_weight = better / dearer
    middle = chain.tune(cost_weight)
    gain = (middle.quality - low.quality) - cost_weight * (middle.cost - low.cost)
    if gain <= 1e-12:
        return []
    return [
        *_between(chain, low, middle, depth - 1),
        middle,
        *_between(chain, middle, high, depth - 1),
    ]
