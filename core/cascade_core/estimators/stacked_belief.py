"""Beliefs about all arms, before any call and after each reply, from one stacked estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._logistic import logit
from cascade_core._types import Belief, Observation, Request
from cascade_core.estimators.evidence import Evidence
from cascade_core.estimators.stacked import StackedEstimator

if TYPE_CHECKING:
    from cascade_core.outcomes import OutcomeTable

# Fewer requests than this say too little about what a domain costs.
_MIN_OF_DOMAIN = 20


@dataclass(frozen=True, eq=False)
class EvidenceReader:
    """Reads replies, logged or live, into the arrays that the stacked estimate takes.

    Attributes:
        signals: Name of each arm's confidence signal; "" for none.
        domains: The domains that are told apart; a request of another one counts as none of them.
    """

    signals: tuple[str, ...]
    domains: tuple[str, ...]

    def of_table(self, table: OutcomeTable) -> Evidence:
        """Return what the logged replies say."""
        n, m = table.quality.shape
        strength = np.full((n, m), np.nan)
        for arm, name in enumerate(self.signals):
            if name in table.signals:
                strength[:, arm] = logit(table.signals[name][:, arm])
        none: IndexArray = np.full((n, m), -1, dtype=np.intp)
        return Evidence(
            strength,
            none if table.answers is None else table.answers.astype(np.intp),
            self._context(np.full(n, None) if table.domains is None else table.domains),
            np.zeros((n, m), dtype=np.bool_) if table.rejected is None else table.rejected,
        )

    def of_observations(
        self, request: Request, observations: Sequence[Observation]
    ) -> tuple[Evidence, BoolArray]:
        """Return what the replies of one request say, and which arms replied, shape (1, m)."""
        m = len(self.signals)
        strength, answers = np.full((1, m), np.nan), np.full((1, m), -1, dtype=np.intp)
        rejected, seen = np.zeros((1, m), dtype=np.bool_), np.zeros((1, m), dtype=np.bool_)
        codes: dict[str, int] = {}
        for reply in observations:
            arm = reply.arm
            seen[0, arm], rejected[0, arm] = True, reply.rejected_by is not None
            confidence = reply.signals.get(self.signals[arm])
            if confidence is not None:
                strength[0, arm] = logit(np.array(confidence))
            if reply.answer_key is not None:
                answers[0, arm] = codes.setdefault(reply.answer_key, len(codes))
        context = self._context(np.array([request.domain], dtype=np.object_))
        return Evidence(strength, answers, context, rejected), seen

    def _context(self, domains: np.ndarray[tuple[int], np.dtype[np.object_]]) -> FloatArray:
        columns = [domains == name for name in self.domains]
        return np.array(columns, dtype=np.float64).reshape(len(self.domains), len(domains)).T


@dataclass(frozen=True, eq=False)
class StackedBelief:
    """What is thought of all arms given the domain and every reply so far.

    Serves as the estimate before any call and as the update after each reply, so that the second
    averages to the first.

    Attributes:
        reader: How replies are read.
        estimator: The regressions.
        cost: Expected dollars of a call by domain, the last row for all others, shape (d + 1, m).
    """

    reader: EvidenceReader
    estimator: StackedEstimator
    cost: FloatArray

    @property
    def n_arms(self) -> int:
        """Number of arms."""
        return len(self.reader.signals)

    def estimate(self, request: Request) -> Belief:
        """Return the belief before any call."""
        return self.update(request, ())

    def update(self, request: Request, observations: Sequence[Observation]) -> Belief:
        """Return the belief about all arms after ``observations``."""
        evidence, seen = self.reader.of_observations(request, observations)
        mean, sd = self.beliefs(evidence, seen)
        return Belief(mean[0], np.diag(sd[0] ** 2), self.costs(evidence)[0])

    def beliefs(self, evidence: Evidence, seen: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and deviation, each (n, m), where the arms in ``seen`` (n, m) replied."""
        mean = self.estimator.posterior(evidence, seen)
        return mean, self.estimator.surprises(mean, seen)

    def costs(self, evidence: Evidence) -> FloatArray:
        """Return the expected dollars of a call, shape (n, m)."""
        return expected_costs(self.cost, evidence.context)


def costs_by_domain(cost: FloatArray, context: FloatArray) -> FloatArray:
    """Return the mean dollars of a call by domain, the last row over all; shape (d + 1, m)."""
    overall = cost.mean(axis=0)
    rows = [
        cost[within].mean(axis=0) if within.sum() >= _MIN_OF_DOMAIN else overall
        for within in (context.T > 0)
    ]
    return np.stack([*rows, overall])


def expected_costs(by_domain: FloatArray, context: FloatArray) -> FloatArray:
    """Return the row of each request's domain, shape (n, m)."""
    outside = 1.0 - context.sum(axis=1, keepdims=True)
    expected: FloatArray = np.hstack([context, outside]) @ by_domain
    return expected
