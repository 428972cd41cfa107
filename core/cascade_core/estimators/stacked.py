"""The joint estimate: the probability that an arm is right, given all that was seen so far.

One logistic regression for each arm, each number of replies seen, and each of two cases, the arm
being among them or not. Earlier replies speak through their confidence and through who agrees with
whom. So n arms need 2 n d regressions for d replies, not one for each of the 2^n sets.

Dekoninck, Baader and Vechev (2025) condition on the set of replies with one regression a set; the
estimate after a reply must average to the one before it (a martingale), which fitting both on the
same features, out of fold, gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._logistic import fit_logistic, sigmoid
from cascade_core.errors import InvalidConfiguration
from cascade_core.estimators._stacked_features import stacked_features
from cascade_core.estimators.evidence import Evidence

RIDGE = 10.0
MAX_DEPTH = 3
# Each request is looked at under this many sets of replies; more than this many rows add nothing.
_SETS_PER_REQUEST = 5
_MAX_ROWS = 50_000
# Confidences beyond this logit are rounding, not knowledge.
_WEAKEST, _STRONGEST = -8.0, 12.0


@dataclass(frozen=True, eq=False)
class StackedEstimator:
    """Posterior qualities of all arms from the replies seen so far.

    Attributes:
        weights: Shape (max_depth + 1, 2, m, p + 1): by number of replies, whether the target is
            among them, target, and feature, the intercept last.
        surprise: Shape (max_depth, m): the share of an arm's variance p (1 - p), given so many
            replies, that its own reply resolves.
        typical: Strength of a reply without confidence, shape (m,).
    """

    weights: FloatArray
    surprise: FloatArray
    typical: FloatArray

    @property
    def max_depth(self) -> int:
        """Most replies that were looked at together; with more the last model is used."""
        return int(self.weights.shape[0]) - 1

    @classmethod
    def fit(
        cls,
        evidence: Evidence,
        quality: FloatArray,
        *,
        max_depth: int = MAX_DEPTH,
        ridge: float = RIDGE,
        seed: int = 0,
    ) -> StackedEstimator:
        """Return the estimator of least penalised log loss.

        Args:
            evidence: What every arm replied to the n requests.
            quality: Shape (n, m), in [0, 1].
            max_depth: Most replies to look at together, >= 1.
            ridge: Penalty on the standardised weights, > 0.
            seed: Chooses the sets of replies under which each request is looked at.
        """
        if max_depth < 1 or not ridge > 0 or quality.shape != evidence.strength.shape:
            raise InvalidConfiguration(
                "StackedEstimator needs max_depth >= 1, ridge > 0 and quality of the shape of the "
                f"evidence {evidence.strength.shape}, got {max_depth}, {ridge}, {quality.shape}."
            )
        depth = min(max_depth, evidence.n_arms)
        typical = _typical(evidence.strength)
        rng = np.random.default_rng(seed)
        # What a reply resolves is measured on requests that the regressions have not seen.
        half = rng.permutation(len(evidence)) % 2 == 0
        draft = cls._fit_weights(evidence.rows(half), quality[half], typical, depth, ridge, rng)
        surprise = draft._resolved(evidence.rows(~half), rng)
        whole = cls._fit_weights(evidence, quality, typical, depth, ridge, rng)
        return cls(whole.weights, surprise, typical)

    @classmethod
    def _fit_weights(
        cls,
        evidence: Evidence,
        quality: FloatArray,
        typical: FloatArray,
        max_depth: int,
        ridge: float,
        rng: np.random.Generator,
    ) -> StackedEstimator:
        n_arms = evidence.n_arms
        strength = _without_gaps(evidence.strength, typical)
        weights: dict[tuple[int, int, int], FloatArray] = {}
        for depth, among, arm in product(range(max_depth + 1), (0, 1), range(n_arms)):
            rows, seen = _looks(len(evidence), n_arms, depth, arm, bool(among), rng)
            if len(rows):
                features = stacked_features(
                    evidence.rows(rows), seen, strength[rows], np.array([arm])
                )[:, 0]
                # A request that is looked at k times counts once.
                model = fit_logistic(
                    features, quality[rows, arm], ridge * len(rows) / len(evidence)
                )
                weights[depth, among, arm] = np.append(model.weights, model.intercept)
        width = len(next(iter(weights.values())))
        dense = np.zeros((max_depth + 1, 2, n_arms, width))
        for at, vector in weights.items():
            dense[at] = vector
        return cls(dense, np.ones((max_depth, n_arms)), typical)

    def _resolved(self, evidence: Evidence, rng: np.random.Generator) -> FloatArray:
        """Return the share of the variance that a reply resolves, shape (max_depth, m)."""
        share = np.zeros((self.max_depth, evidence.n_arms))
        for depth, arm in product(range(self.max_depth), range(evidence.n_arms)):
            rows, seen = _looks(len(evidence), evidence.n_arms, depth, arm, False, rng)
            if len(rows):
                looked_at, target = evidence.rows(rows), np.array([arm])
                before = self.posterior(looked_at, seen, target)
                seen[:, arm] = True
                after = self.posterior(looked_at, seen, target)
                moved = float(((after - before) ** 2).mean())
                share[depth, arm] = moved / max(float((before * (1 - before)).mean()), 1e-12)
        return np.minimum(share, 1.0)

    def posterior(
        self, evidence: Evidence, seen: BoolArray, targets: IndexArray | None = None
    ) -> FloatArray:
        """Return the probability that each arm's reply is good, shape (n, t).

        Args:
            evidence: What the replies say; only those in ``seen`` are looked at.
            seen: True where the arm has replied, shape (n, m).
            targets: The arms to speak about, shape (t,); all by default.
        """
        of = np.arange(evidence.n_arms) if targets is None else targets
        strength = _without_gaps(evidence.strength, self.typical)
        features = stacked_features(evidence, seen, strength, of)
        depth = np.minimum(seen.sum(axis=1), self.max_depth)
        weights = self.weights[depth[:, None], seen[:, of].astype(np.intp), of]
        z = np.einsum("nmp,nmp->nm", features, weights[:, :, :-1]) + weights[:, :, -1]
        return np.where((evidence.rejected & seen)[:, of], 0.0, sigmoid(z))

    def surprises(self, mean: FloatArray, seen: BoolArray) -> FloatArray:
        """Return the deviation by which each arm's estimate will move when it replies, (n, m).

        0 for the arms seen.

        Args:
            mean: The posterior, shape (n, m).
            seen: True where the arm has replied, shape (n, m).
        """
        depth = np.minimum(seen.sum(axis=1), len(self.surprise) - 1)
        variance = self.surprise[depth] * mean * (1 - mean)
        return np.where(seen, 0.0, np.sqrt(variance))


def _looks(
    n: int, m: int, depth: int, arm: int, with_arm: bool, rng: np.random.Generator
) -> tuple[IndexArray, BoolArray]:
    """Return rows, repeated, and for each a random set of ``depth`` arms; with ``arm`` or without.

    No rows where there is no such set.
    """
    free = depth - with_arm
    if not 0 <= free <= m - 1:
        return np.empty(0, dtype=np.intp), np.empty((0, m), dtype=np.bool_)
    # Without a choice of sets one look is all there is to see.
    times = 1 if free in (0, m - 1) else int(np.clip(_MAX_ROWS // n, 1, _SETS_PER_REQUEST))
    order = rng.random((n * times, m))
    order[:, arm] = 2.0
    seen = np.zeros((n * times, m), dtype=np.bool_)
    np.put_along_axis(seen, order.argsort(axis=1)[:, :free], True, axis=1)
    seen[:, arm] = with_arm
    return np.tile(np.arange(n), times), seen


def _typical(strength: FloatArray) -> FloatArray:
    """Return the mean strength of every arm, 0 for one without any; shape (m,)."""
    known = np.isfinite(strength)
    bounded = np.where(known, np.clip(strength, _WEAKEST, _STRONGEST), 0.0)
    mean: FloatArray = bounded.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean


def _without_gaps(strength: FloatArray, typical: FloatArray) -> FloatArray:
    bounded = np.minimum(np.maximum(strength, _WEAKEST), _STRONGEST)
    return np.where(np.isnan(strength), typical, bounded)
