"""Everything that the rules are fitted on, made once: beliefs out of fold, replies, costs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._states import States
from cascade_core.estimators import CalibratedConfidence
from cascade_core.estimators.cross_fitted import CrossFitted
from cascade_core.estimators.gaussian_belief import GaussianPrior
from cascade_core.estimators.stacked import MAX_DEPTH, StackedEstimator
from cascade_core.estimators.stacked_belief import (
    EvidenceReader,
    StackedBelief,
    costs_by_domain,
    expected_costs,
)
from cascade_core.evaluation.simulation import Replies, Update, gaussian_update
from cascade_core.fitting.confidence import confidence_scores, fit_confidence
from cascade_core.fitting.dial import check_folds
from cascade_core.outcomes import OutcomeTable
from cascade_core.policies.subset_programme import ProgrammeFit

Beliefs = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class Training:
    """Graded outcomes with the beliefs that a policy would have had, made without the row itself.

    Attributes:
        table: The outcomes.
        fold: The fold of every row, shape (n,).
        reader: How replies are read.
        cross: The joint estimates out of fold.
        confidence: The calibrated signals, fitted on all rows.
        score: Each reply judged on its own, out of fold, shape (n, m); 0 where rejected.
        cost: Expected dollars of a call, shape (n, m).
        cost_by_domain: The same by domain, the last row for all others, shape (d + 1, m).
    """

    table: OutcomeTable
    fold: IndexArray
    reader: EvidenceReader
    cross: CrossFitted
    confidence: CalibratedConfidence
    score: FloatArray
    cost: FloatArray
    cost_by_domain: FloatArray
    _memo: dict[frozenset[int], Beliefs] = field(default_factory=dict[frozenset[int], Beliefs])

    @classmethod
    def prepare(
        cls,
        table: OutcomeTable,
        *,
        folds: int = 5,
        max_depth: int = MAX_DEPTH,
        use_domains: bool = False,
        seed: int = 0,
    ) -> Training:
        """Fit the estimators on ``table``, once for every fold and once on all of it.

        Args:
            table: Graded outcomes.
            folds: Folds, >= 2.
            max_depth: Most replies to look at together.
            use_domains: Tell the domains of the table apart. Only where live requests say their
                domain, too, and where the mix of a domain stays what it was.
            seed: Decides the folds and the sets of replies to look at.
        """
        fold = table.shuffled_folds(folds, np.random.default_rng(seed)).astype(np.intp)
        check_folds(fold)
        confidence = fit_confidence(table)
        reader = EvidenceReader(confidence.signals, domains_of(table) if use_domains else ())
        evidence = reader.of_table(table)

        def joint(rows: BoolArray) -> StackedEstimator:
            return StackedEstimator.fit(
                evidence.rows(rows), table.quality[rows], max_depth=max_depth, seed=seed
            )

        by_domain = costs_by_domain(table.cost_usd, evidence.context)
        return cls(
            table,
            fold,
            reader,
            CrossFitted.fit(evidence, fold, joint),
            confidence,
            _scores_out_of_fold(table, fold),
            expected_costs(by_domain, evidence.context),
            by_domain,
        )

    @property
    def n(self) -> int:
        """Number of requests."""
        return self.table.n_requests

    @property
    def n_arms(self) -> int:
        """Number of arms."""
        return len(self.table.arms)

    @property
    def rejected(self) -> BoolArray:
        """True where a hard reason speaks against the reply, shape (n, m)."""
        return self.cross.evidence.rejected

    def belief(self, seen: frozenset[int]) -> Beliefs:
        """Return mean and surprise of all arms once those in ``seen`` replied; both (n, m)."""
        if seen not in self._memo:
            mask = np.zeros((self.n, self.n_arms), dtype=np.bool_)
            mask[:, list(seen)] = True
            self._memo[seen] = self.cross.posterior(mask)
        return self._memo[seen]

    def start(self, rows: IndexArray) -> States:
        """Return the requests ``rows`` before any call."""
        mean, sd = self.belief(frozenset())
        draw = spread_draws(self.n)[rows]
        return States.before_any_call(mean[rows], sd[rows], self.cost[rows], draw=draw)

    def start_gaussian(self, rows: IndexArray, fitted_on: IndexArray) -> States:
        """Return the requests ``rows`` before any call, under the prior of other rows."""
        belief = self.gaussian_prior(fitted_on).belief
        shape = (len(rows), self.n_arms)
        mean, sd, cost = (np.broadcast_to(a, shape) for a in (belief.mean, belief.sd, belief.cost))
        covariance = np.broadcast_to(belief.covariance, (*shape, self.n_arms))
        draw = spread_draws(self.n)[rows]
        return States.before_any_call(mean, sd, cost, covariance=covariance, draw=draw)

    def gaussian_prior(self, rows: IndexArray) -> GaussianPrior:
        """Return how the estimates of the replies moved together on ``rows``."""
        return GaussianPrior.of_scores(self.score[rows], self.table.cost_usd[rows])

    def replies(self, rows: IndexArray) -> Replies:
        """Return what every arm replies to the requests ``rows``."""
        return Replies(
            self.score[rows],
            self.table.cost_usd[rows],
            self.table.latency_seconds[rows],
            self.rejected[rows],
        )

    def update(self, rows: IndexArray, joint: bool) -> Update:
        """Return how beliefs about the requests ``rows`` follow from replies.

        Args:
            rows: The requests.
            joint: Every reply speaks for all arms; else each only for itself.
        """
        if not joint:
            return gaussian_update

        def update(states: States, at: IndexArray, arm: IndexArray, replies: Replies) -> States:
            mean, sd = self._posterior(states.ran, rows[at])
            return states.updated(mean=mean, sd=sd, covariance=None)

        return update

    def programme(self, rows: IndexArray) -> ProgrammeFit:
        """Return what the dynamic programme is fitted on: the requests ``rows``."""
        return ProgrammeFit(
            lambda chosen: self.belief(chosen)[0][rows],
            self.table.cost_usd[rows],
            self.rejected[rows],
            self.fold[rows],
            self.cross.whole.max_depth,
        )

    def stacked_belief(self) -> StackedBelief:
        """Return the joint estimator for requests to come."""
        return StackedBelief(self.reader, self.cross.whole, self.cost_by_domain)

    def _posterior(self, ran: BoolArray, rows: IndexArray) -> Beliefs:
        """Return the beliefs of some rows, each with its own set of replies; both (k, m)."""
        mean, sd = np.empty(ran.shape), np.empty(ran.shape)
        bits = ran @ (1 << np.arange(self.n_arms))
        for mask in np.unique(bits).tolist():
            chosen = np.flatnonzero(bits == mask)
            seen = frozenset(np.flatnonzero(ran[chosen[0]]).tolist())
            all_mean, all_sd = self.belief(seen)
            mean[chosen], sd[chosen] = all_mean[rows[chosen]], all_sd[rows[chosen]]
        return mean, sd


def spread_draws(n: int) -> FloatArray:
    """Return n numbers in [0, 1) that cover it evenly, the same ones every time."""
    # Multiples of the golden ratio: any stretch of them is spread out, too.
    return np.arange(n, dtype=np.float64) * 0.6180339887498949 % 1.0


def domains_of(table: OutcomeTable) -> tuple[str, ...]:
    """Return the domains that the table tells apart, sorted."""
    if table.domains is None:
        return ()
    return tuple(sorted({str(d) for d in table.domains if d is not None}))


def _scores_out_of_fold(table: OutcomeTable, fold: IndexArray) -> FloatArray:
    scores = np.empty(table.quality.shape)
    for k in range(int(fold.max()) + 1):
        rows = np.flatnonzero(fold == k)
        fitted = fit_confidence(table.select(np.flatnonzero(fold != k)))
        scores[rows] = confidence_scores(table.select(rows), fitted)
    return np.maximum(scores, 0.0)
