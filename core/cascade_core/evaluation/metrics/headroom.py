"""How much better than the best single model a perfect choice would be, net of luck."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes


@dataclass(frozen=True, slots=True)
class Headroom:
    r"""Mean qualities, all over the same requests; $p_{im}$ is the true mean quality of model $m$.

    Attributes:
        best_single: The best model alone.
        split_oracle: Chooses per request on some trials, and is scored on the others. Its
            expectation is at most that of the oracle below.
        mean_oracle: Maximum per request of the mean over trials. Its expectation is at least that
            of the oracle, $E_i[\max_m p_{im}]$, because luck is taken for quality.
        trial_oracle: Maximum per request and trial, averaged: what a log of one trial shows as
            the oracle. At least ``mean_oracle``.
    """

    best_single: float
    split_oracle: float
    mean_oracle: float
    trial_oracle: float

    @property
    def corrected(self) -> float:
        """Noise-corrected headroom, never overstated in expectation."""
        return self.split_oracle - self.best_single

    @property
    def apparent(self) -> float:
        """Headroom as a log of one trial shows it."""
        return self.trial_oracle - self.best_single

    @property
    def noise_share(self) -> float:
        """Part of the apparent headroom that the correction takes away; 0 if there is none."""
        return 1 - self.corrected / self.apparent if self.apparent > 0 else 0.0


def noise_corrected_headroom(
    quality: ArrayLike, rng: np.random.Generator, max_splits: int = 100
) -> Headroom:
    r"""Return the headroom of choosing a model per request, from repeated trials.

    A model that was right by luck looks like the right choice, so the maximum over noisy
    outcomes exceeds the quality that even the perfect choice, $\max_m p_{im}$ with the true
    $p_{im} = E[q_{imt}]$, obtains. Here half of the trials chooses and the other
    half scores: given the choice, the score is unbiased. The result, averaged over splits and
    both directions, is the expected quality of *the policy that knows half of the trials of each
    request and chooses the best mean in them*. It estimates that policy without bias, and the
    oracle from below; the bound tightens with more trials. ``mean_oracle`` bounds it from above.

    A tie within the half goes to the model that is best there over all requests. The trials of a
    model on a request need to be independent and alike.

    Cross-fitting against the winner's curse, as in Chernozhukov et al. (2018); van Hasselt
    (2010), Double Q-learning, for the bound from below.

    Args:
        quality: Shape (n_requests, n_models, n_trials), n_trials >= 2.
        rng: Draws the splits if there are more than ``max_splits``; not used otherwise.
        max_splits: Greatest number of splits to average over, >= 1.

    Raises:
        InvalidOutcomes: One trial, another shape, nothing in it, or numbers that are not finite.
    """
    q = np.asarray(quality, dtype=np.float64)
    if q.ndim != 3 or q.size == 0 or q.shape[2] < 2:
        raise InvalidOutcomes(
            "The headroom net of noise needs quality (n_requests, n_models, n_trials) with at "
            f"least 2 trials, got {q.shape}."
        )
    if not np.isfinite(q).all():
        raise InvalidOutcomes("The headroom needs finite qualities in every trial.")
    if max_splits < 1:
        raise InvalidOutcomes(f"It needs max_splits >= 1, got {max_splits}.")
    means = q.mean(axis=2)
    return Headroom(
        float(means.mean(axis=0).max()),
        float(np.mean([_split_score(q, half) for half in _halves(q.shape[2], rng, max_splits)])),
        float(means.max(axis=1).mean()),
        float(q.max(axis=1).mean()),
    )


def _halves(trials: int, rng: np.random.Generator, most: int) -> Iterable[Sequence[int]]:
    half = trials // 2
    if math.comb(trials, half) <= most:
        return combinations(range(trials), half)
    return [rng.permutation(trials)[:half].tolist() for _ in range(most)]


def _split_score(q: FloatArray, half: Sequence[int]) -> float:
    """Return what choosing on one part scores on the other, averaged over both directions."""
    chosen = np.zeros(q.shape[2], dtype=np.bool_)
    chosen[list(half)] = True
    one, other = q[:, :, chosen].mean(axis=2), q[:, :, ~chosen].mean(axis=2)
    return (_choose(one, other) + _choose(other, one)) / 2


def _choose(seen: FloatArray, scored: FloatArray) -> float:
    best = seen >= seen.max(axis=1, keepdims=True)
    prior = np.where(best, seen.mean(axis=0), -np.inf)
    best &= prior >= prior.max(axis=1, keepdims=True)
    # Models that are equal even then share the request, so that their order does not matter.
    return float(((scored * best).sum(axis=1) / best.sum(axis=1)).mean())
