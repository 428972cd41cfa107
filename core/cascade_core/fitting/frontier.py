"""What one kind of rule would have done on every row, fitted without that row, at every price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray, IndexArray
from cascade_core.evaluation.metrics import upper_hull
from cascade_core.evaluation.simulation import simulate
from cascade_core.fitting.families import Beliefs, Family
from cascade_core.fitting.training import Training


@dataclass(frozen=True, eq=False)
class Frontier:
    """The held-out outcomes of a kind of rule.

    Attributes:
        family: The kind.
        cost_weights: λ of every point, ascending, shape (k,).
        quality: Quality of every row's answer, shape (k, n).
        cost_usd: Dollars of every row, shape (k, n).
        fold: The fold of every row, shape (n,).
    """

    family: Family
    cost_weights: FloatArray
    quality: FloatArray
    cost_usd: FloatArray
    fold: IndexArray

    @classmethod
    def measure(cls, family: Family, training: Training, cost_weights: FloatArray) -> Frontier:
        """Fit the rule for every λ on all folds but one, and play it on that one."""
        shape = (len(cost_weights), training.n)
        quality, cost = np.empty(shape), np.empty(shape)
        for k in range(int(training.fold.max()) + 1):
            train, test = (np.flatnonzero(f) for f in (training.fold != k, training.fold == k))
            gaussian = family.beliefs is Beliefs.GAUSSIAN
            start = training.start_gaussian(test, train) if gaussian else training.start(test)
            replies = training.replies(test)
            update = training.update(test, family.beliefs is Beliefs.JOINT)
            for i, cost_weight in enumerate(cost_weights.tolist()):
                rule = family.fit(training, train, cost_weight)
                paths = simulate(rule, start, replies, update)
                quality[i, test] = paths.quality(training.table.quality[test])
                cost[i, test] = paths.cost_usd
        return cls(family, cost_weights, quality, cost, training.fold)

    def at(self, cost_weight: float) -> tuple[FloatArray, FloatArray]:
        """Return quality and dollars of every row, (n,) each, where a dollar is worth λ.

        Which point of the frontier serves that price best is decided for every fold by the others.
        """
        utility = self.quality - cost_weight * self.cost_usd
        quality, cost = np.empty(utility.shape[1]), np.empty(utility.shape[1])
        for k in range(int(self.fold.max()) + 1):
            rows = self.fold == k
            best = int(utility[:, ~rows].mean(axis=1).argmax())
            quality[rows], cost[rows] = self.quality[best, rows], self.cost_usd[best, rows]
        return quality, cost

    def best_weight(self, cost_weight: float) -> float:
        """Return the λ to fit with on all rows where a dollar is worth ``cost_weight``."""
        utility = (self.quality - cost_weight * self.cost_usd).mean(axis=1)
        return float(self.cost_weights[int(utility.argmax())])


def cost_weight_grid(training: Training, points: int = 16) -> FloatArray:
    """Return λ values, ascending, that span the prices at which the choice of model changes.

    From a tenth of the least slope along the upper hull of the single models to four times the
    greatest; 0 is the first.
    """
    quality, cost = (a.mean(axis=0) for a in (training.table.quality, training.table.cost_usd))
    hull = upper_hull(cost, quality)
    if len(hull) == 1:
        return np.zeros(1)
    slopes: FloatArray = np.diff(quality[hull]) / np.diff(cost[hull])
    low, high = float(slopes.min()) / 10, float(slopes.max()) * 4
    return np.concatenate([np.zeros(1), np.geomspace(low, high, points - 1)])
