"""Threshold cascades for one λ: the best chain of at most three, cheapest first.

What a level of a chain is worth depends on the beliefs: on its own each reply stands for itself;
on joint beliefs the best of all replies so far answers. Both are rows of scores, qualities and
dollars a level, and the same sweeps find the thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from cascade_core._arrays import FloatArray, IndexArray
from cascade_core.fitting.training import Training
from cascade_core.policies._level_sweeps import LevelSweeps, Thresholds
from cascade_core.policies.belief_cascade import BeliefCascade
from cascade_core.policies.threshold_cascade import ThresholdCascade

MAX_DEPTH = 3
# How much of a reply's quality is taken from its estimate and how much from its grade when the
# thresholds are tuned. A grade is 0 or 1, and thresholds that follow a few hundred of them follow
# luck; a calibrated estimate has the noise taken out already. Chosen by cross-validation on
# training rows.
FROM_ESTIMATE_ALONE, FROM_ESTIMATE_JOINT = 1.0, 0.5
# A chain is looked for among so many arms at most: 24 have 2,324 chains, 10 have 175.
MAX_ARMS = 10
Chain = tuple[int, ...]
Levels = Callable[[Training, IndexArray, Chain], LevelSweeps]


def best_threshold_cascade(
    training: Training, rows: IndexArray, cost_weight: float
) -> ThresholdCascade:
    """Return the chain of greatest utility on ``rows`` where each reply is judged by itself."""
    return ThresholdCascade(*_best(training, rows, cost_weight, _by_itself))


def best_belief_cascade(training: Training, rows: IndexArray, cost_weight: float) -> BeliefCascade:
    """Return the chain of greatest utility on ``rows`` where the best reply so far answers."""
    return BeliefCascade(*_best(training, rows, cost_weight, _best_so_far))


def best_chain(training: Training, rows: IndexArray, cost_weight: float, max_depth: int) -> Chain:
    """Return the chain of greatest utility where each reply is judged by itself."""
    return _best(training, rows, cost_weight, _by_itself, max_depth)[0]


def best_arms(
    training: Training, rows: IndexArray, cost_weight: float, count: int
) -> tuple[int, ...]:
    """Return the arms whose best chain on joint beliefs has the greatest utility, best first."""
    worth: dict[int, float] = {}
    for chain, tuned in _all(training, rows, cost_weight, _best_so_far):
        for arm in chain:
            worth[arm] = max(worth.get(arm, -np.inf), tuned.value)
    return tuple(sorted(worth, key=lambda arm: (-worth[arm], arm))[:count])


def _best(
    training: Training,
    rows: IndexArray,
    cost_weight: float,
    levels: Levels,
    max_depth: int = MAX_DEPTH,
) -> tuple[Chain, tuple[float, ...]]:
    # Of equals the first: the shorter chain, of cheaper arms.
    found = _all(training, rows, cost_weight, levels, max_depth)
    chain, best = max(found, key=lambda one: one[1].value)
    return chain, best.thresholds


def _all(
    training: Training,
    rows: IndexArray,
    cost_weight: float,
    levels: Levels,
    max_depth: int = MAX_DEPTH,
) -> list[tuple[Chain, Thresholds]]:
    order = _contenders(training, rows, cost_weight)
    chains = [c for d in range(1, max_depth + 1) for c in combinations(order, d)]
    return [(c, levels(training, rows, c).best(cost_weight)) for c in chains]


def _contenders(training: Training, rows: IndexArray, cost_weight: float) -> list[int]:
    """Return the arms that may be of a chain, cheapest first.

    At the price itself the best arm alone; at a quarter and at four times it the arms that a chain
    ends and begins with.
    """
    table = training.table
    quality, cost = table.quality[rows].mean(axis=0), table.cost_usd[rows].mean(axis=0)
    places = [
        np.argsort(np.argsort(-(quality - factor * cost_weight * cost), kind="stable"))
        for factor in (0.25, 1.0, 4.0)
    ]
    chosen = np.argsort(np.min(places, axis=0), kind="stable")[:MAX_ARMS]
    by_cost: list[int] = chosen[np.argsort(cost[chosen], kind="stable")].tolist()
    return by_cost


def _by_itself(training: Training, rows: IndexArray, chain: Chain) -> LevelSweeps:
    at = np.ix_(rows, np.array(chain))
    score = np.where(training.rejected[at], -1.0, training.score[at])
    quality = _blend(score, training.table.quality[at], FROM_ESTIMATE_ALONE)
    return LevelSweeps(score, quality, training.table.cost_usd[at])


def _best_so_far(training: Training, rows: IndexArray, chain: Chain) -> LevelSweeps:
    """Return the best reply so far at every level as if it were an arm's."""
    score, quality = (np.empty((len(rows), len(chain))) for _ in range(2))
    for level in range(len(chain)):
        seen = np.array(chain[: level + 1])
        mean, _ = training.belief(frozenset(chain[: level + 1]))
        at = np.ix_(rows, seen)
        usable = np.where(training.rejected[at], -1.0, mean[at])
        best = usable.argmax(axis=1)
        score[:, level] = usable[np.arange(len(rows)), best]
        quality[:, level] = training.table.quality[rows, seen[best]]
    quality = _blend(score, quality, FROM_ESTIMATE_JOINT)
    return LevelSweeps(score, quality, training.table.cost_usd[np.ix_(rows, np.array(chain))])


def _blend(score: FloatArray, quality: FloatArray, share: float) -> FloatArray:
    return share * np.maximum(score, 0.0) + (1.0 - share) * quality
