"""Learn a policy from graded outcomes."""

from __future__ import annotations

from cascade_core._cascade import FittedPolicy
from cascade_core.errors import InvalidConfiguration
from cascade_core.estimators import PriorEstimator
from cascade_core.fitting.confidence import confidence_scores, fit_confidence
from cascade_core.fitting.dial import affords, check_dial, check_size
from cascade_core.outcomes import OutcomeTable
from cascade_core.policies.threshold_search import TunedCascade, pareto_cascades


def fit_policy(
    table: OutcomeTable, *, budget: float | None = None, cost_weight: float | None = None
) -> FittedPolicy:
    """Return the threshold cascade, or the single model, that is best on ``table``.

    Each arm's best confidence signal is calibrated; then the thresholds of all sub-chains are tuned
    exactly on the rows. Figures for the policy must come from other rows than these.

    Args:
        table: Outcomes of all arms, at least 20 requests.
        budget: Mean US dollars per request that may be spent.
        cost_weight: λ, quality per US dollar, instead of a budget.

    Raises:
        InvalidConfiguration: Not exactly one of the two was given, it is negative or not finite,
            or the budget is below what the cheapest arm costs.
        InvalidOutcomes: Too few requests to learn from.
    """
    check_dial(budget, cost_weight)
    check_size(table)
    ex_post = fit_confidence(table)
    candidates = pareto_cascades(confidence_scores(table, ex_post), table.quality, table.cost_usd)
    chosen = _choose(candidates, budget, cost_weight)
    return FittedPolicy(table.arms, chosen.policy, PriorEstimator.of_table(table), ex_post)


def fit_policies(table: OutcomeTable) -> list[FittedPolicy]:
    """Return the policies along the whole cost-quality frontier of ``table``, cheapest first."""
    check_size(table)
    ex_post, prior = fit_confidence(table), PriorEstimator.of_table(table)
    return [
        FittedPolicy(table.arms, candidate.policy, prior, ex_post)
        for candidate in pareto_cascades(
            confidence_scores(table, ex_post), table.quality, table.cost_usd
        )
    ]


def _choose(
    candidates: list[TunedCascade], budget: float | None, cost_weight: float | None
) -> TunedCascade:
    if cost_weight is not None:
        return max(candidates, key=lambda c: c.quality - cost_weight * c.cost)
    affordable = [c for c in candidates if budget is not None and c.cost <= affords(budget)]
    if not affordable:
        raise InvalidConfiguration(
            f"A budget of {budget!r} US dollars per request is below the cheapest model's "
            f"{candidates[0].cost!r}. Give at least that."
        )
    return affordable[-1]
