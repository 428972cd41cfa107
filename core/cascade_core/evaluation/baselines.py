"""The lines that a policy is shown next to: single models, random mixing, the oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core.evaluation.results import Results
from cascade_core.outcomes import OutcomeTable
from cascade_core.policies import fit_routing


def single_models(table: OutcomeTable) -> list[Results]:
    """Return every arm alone."""
    return [_always(table, np.full(table.n_requests, m)) for m in range(len(table.arms))]


def oracle(table: OutcomeTable) -> Results:
    """Return the cheapest arm among those of greatest quality, request by request.

    No policy can know it: it shows how much there is to win.
    """
    best = table.quality >= table.quality.max(axis=1, keepdims=True)
    return _always(table, np.where(best, table.cost_usd, np.inf).argmin(axis=1))


@dataclass(frozen=True, slots=True)
class Mixture:
    """A blind choice between models: each with a fixed probability, whatever the request.

    Attributes:
        weights: Probability of each arm, shape (n_arms,).
    """

    weights: FloatArray

    def expected(self, per_arm: FloatArray) -> FloatArray:
        """Return the expectation over the choice, shape (n,), of values (n, n_arms)."""
        return per_arm @ self.weights


def random_mixing(table: OutcomeTable, cost_usd: float) -> Mixture:
    """Return the best blind mixture that spends at most ``cost_usd`` a request on average.

    Routing with one and the same belief about every request, so it needs two models at most. It is
    what a policy must beat to have learnt anything. Below the cheapest model's cost there is no
    mixture; the cheapest alone is returned.
    """
    cost, quality = table.cost_usd.mean(axis=0)[None, :], table.quality.mean(axis=0)[None, :]
    routing = fit_routing(quality, cost, max(cost_usd, float(cost.min()))).policy
    return Mixture(routing.probabilities(quality, cost)[0])


def _always(table: OutcomeTable, arm: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Results:
    rows = np.arange(table.n_requests)
    return Results(
        table.arms,
        table.quality[rows, arm],
        table.cost_usd[rows, arm],
        table.latency_seconds[rows, arm],
        arm,
    )
