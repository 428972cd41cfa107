"""Estimates for the rows that an estimator is learnt from, each made without that row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.estimators.evidence import Evidence
from cascade_core.estimators.stacked import StackedEstimator


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """A joint estimator, and one for each fold that was fitted on the other folds.

    What is tuned on estimates of rows that they were fitted on takes luck for knowledge.

    Attributes:
        evidence: What every arm replied to the n requests.
        fold: The fold of each request, shape (n,).
        by_fold: The estimator that has not seen the fold.
        whole: The estimator of all rows, for requests to come.
    """

    evidence: Evidence
    fold: IndexArray
    by_fold: tuple[StackedEstimator, ...]
    whole: StackedEstimator

    @classmethod
    def fit(
        cls,
        evidence: Evidence,
        fold: IndexArray,
        fit: Callable[[BoolArray], StackedEstimator],
    ) -> CrossFitted:
        """Return the estimators that ``fit`` gives for the rows of a mask of shape (n,)."""
        folds = range(int(fold.max()) + 1)
        by_fold = tuple(fit(fold != k) for k in folds)
        return cls(evidence, fold, by_fold, fit(np.ones(len(fold), dtype=np.bool_)))

    def posterior(self, seen: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and surprise of all arms for every row, out of fold; both (n, m)."""
        mean, surprise = np.empty(seen.shape), np.empty(seen.shape)
        for k, estimator in enumerate(self.by_fold):
            rows = np.flatnonzero(self.fold == k)
            mean[rows] = estimator.posterior(self.evidence.rows(rows), seen[rows])
            surprise[rows] = estimator.surprises(mean[rows], seen[rows])
        return mean, surprise
