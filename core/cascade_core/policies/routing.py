"""Routing: one model, chosen before any call."""

from __future__ import annotations

from dataclasses import dataclass

from cascade_core._types import Abstain, Action, Answer, Call, Trace
from cascade_core.policies._base import check_cost_weight


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    r"""Send the request to $\arg\max_m \mu_m - \lambda c_m$ and keep the answer.

    Dekoninck, Baader and Vechev (2025), A Unified Approach to Routing and Cascading for LLMs, §2.
    Among ties the cheapest wins. If the chosen arm fails, the next best one is asked.

    Args:
        cost_weight: λ, quality per US dollar, >= 0. At 0 the best arm is always asked.
    """

    cost_weight: float

    def __post_init__(self) -> None:
        check_cost_weight("RoutingPolicy", self.cost_weight)

    @property
    def needs_cost(self) -> bool:
        """True unless λ is 0."""
        return self.cost_weight > 0

    def check(self, n_arms: int) -> None:
        """Accept any number of arms."""

    def decide(self, trace: Trace) -> Action:
        """Return the call of the arm of greatest utility, then its answer."""
        if trace.observations:
            return Answer(trace.observations[-1].arm, "the model that was routed to")
        if not trace.untried:
            return Abstain("every model failed")
        belief, arms = trace.prior, trace.untried
        mean, cost = belief.mean.tolist(), belief.cost.tolist()
        # λ = 0 weighs no dollars, unknown ones included.
        price = [self.cost_weight * c if self.cost_weight > 0 else 0.0 for c in cost]
        best = max(arms, key=lambda m: (mean[m] - price[m], -cost[m], -m))
        utility = mean[best] - price[best]
        return Call(best, True, f"utility {utility:.3f} at λ = {self.cost_weight:g}")
