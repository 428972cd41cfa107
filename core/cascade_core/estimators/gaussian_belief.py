"""Beliefs about all arms by Gaussian conditioning, with a covariance shrunk toward independence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core._types import Belief, Request
from cascade_core.errors import InvalidOutcomes


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """The same correlated belief for every request, which replies move by conditioning.

    Attributes:
        belief: Mean, covariance and cost of all arms.
    """

    belief: Belief

    @classmethod
    def of_scores(cls, score: FloatArray, cost: FloatArray) -> GaussianPrior:
        """Return mean and shrunk covariance of the estimates, and the mean dollars.

        What one reply says about another arm is how the estimates of both moved together before.

        Args:
            score: Estimated quality of every logged reply, shape (n, m), n >= 2.
            cost: Dollars of every logged reply, shape (n, m).
        """
        mean = np.clip(score.mean(axis=0), 0.0, 1.0)
        return cls(Belief(mean, shrunk_covariance(score), cost.mean(axis=0)))

    @property
    def n_arms(self) -> int:
        """Number of arms."""
        return len(self.belief.mean)

    def estimate(self, request: Request) -> Belief:
        """Return the one belief; ``request`` is not looked at."""
        return self.belief


def shrunk_covariance(residuals: FloatArray) -> FloatArray:
    """Return the covariance of ``residuals`` (n, m), shrunk toward its diagonal; shape (m, m).

    Ledoit and Wolf's optimal weight, with the diagonal as the target (Schäfer and Strimmer, 2005):
    the share of each covariance that is estimation noise is taken away. Positive semi-definite.

    Raises:
        InvalidOutcomes: Fewer than two rows, or a number that is not finite.
    """
    n, m = residuals.shape if residuals.ndim == 2 else (0, 0)
    if n < 2 or not np.isfinite(residuals).all():
        raise InvalidOutcomes(
            f"A covariance needs finite residuals of shape (n, m) with n >= 2, got "
            f"{residuals.shape}."
        )
    centred = residuals - residuals.mean(axis=0)
    covariance: FloatArray = centred.T @ centred / n
    noise = ((centred**2).T @ (centred**2) / n - covariance**2) / (n - 1)
    off = ~np.eye(m, dtype=np.bool_)
    total = float((covariance[off] ** 2).sum())
    weight = 1.0 if total == 0 else min(1.0, float(noise[off].sum()) / total)
    return np.where(off, (1 - weight) * covariance, covariance)
