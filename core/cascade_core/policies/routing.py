"""Routing: one model, chosen before any call."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._states import Decisions, States
from cascade_core._types import Abstain, Action, Answer, Call, Trace
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_cost_weight
from cascade_core.policies._vector import VectorPolicy, single_call

# Utilities this close are equal but for rounding; quality, whose unit they have, ends at 1.
TIE = 1e-9
_DEAREST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class RoutingPolicy(VectorPolicy):
    r"""Send the request to $\arg\max_m \mu_m - \lambda c_m$ and keep the answer.

    Dekoninck, Baader and Vechev (2025), A Unified Approach to Routing and Cascading for LLMs,
    Theorem 1: with $\lambda$ and $\gamma$ from ``fit_routing`` no other way of choosing one model
    a request has more expected quality for its budget. The pair matters where beliefs take few
    distinct values, so that a cost weight alone moves many requests at once. If the chosen arm
    fails, the next best one is asked. On the true qualities instead of beliefs it is the oracle.

    Args:
        cost_weight: λ, quality per US dollar, >= 0. At 0 the best arm is always asked.
        cheap_share: γ in [0, 1]: of the arms of equal utility (within 1e-9) the cheapest is taken
            where the request's draw is below it, else the dearest.
    """

    cost_weight: float
    cheap_share: float = 1.0

    def __post_init__(self) -> None:
        check_cost_weight("RoutingPolicy", self.cost_weight)
        if not 0.0 <= self.cheap_share <= 1.0:  # NaN included
            raise InvalidConfiguration(
                f"RoutingPolicy needs cheap_share in [0, 1], got {self.cheap_share!r}."
            )

    @property
    def needs_cost(self) -> bool:
        """True unless λ is 0."""
        return self.cost_weight > 0

    def check(self, n_arms: int) -> None:
        """Accept any number of arms."""

    def decide_many(self, states: States) -> Decisions:
        """Return the calls of the arms of greatest utility, or the answers of those that ran."""
        at = np.arange(states.n)
        arm = self._choose(states.mean, states.cost, states.open, states.draw)
        utility = states.mean[at, arm] - self._price(states.cost[at, arm])
        return single_call(states, arm, utility)

    def decide(self, trace: Trace) -> Action:
        """Return the call of the arm of greatest utility, then its answer."""
        # Not by way of States: most of them routing does not read, and half the time went there.
        if trace.observations:
            return Answer(trace.observations[-1].arm, "the model that was routed to")
        if not trace.untried:
            return Abstain("every model failed")
        belief = trace.prior
        open_ = np.zeros((1, len(belief.mean)), dtype=np.bool_)
        open_[0, trace.untried] = True
        arms = self._choose(
            belief.mean[None, :], belief.cost[None, :], open_, np.array([trace.request.draw])
        )
        arm = int(arms[0])
        utility = float(belief.mean[arm] - self._price(belief.cost[arm]))
        return Call(arm, True, f"utility {utility:.3f} at λ = {self.cost_weight:g}")

    def probabilities(self, mean: FloatArray, cost: FloatArray) -> FloatArray:
        """Return how likely each arm is chosen, shape (n, m), over the draw; rows sum to 1.

        What routing does in expectation, without the noise of drawing: with logged qualities
        (n, m), ``(probabilities * quality).sum(axis=1)``.
        """
        tied = equal_utility(mean, cost, None, self.cost_weight)
        at = np.arange(len(mean))
        chosen = np.zeros(mean.shape)
        chosen[at, cheapest(tied, cost)] += self.cheap_share
        chosen[at, dearest(tied, cost)] += 1.0 - self.cheap_share
        return chosen

    def _choose(
        self, mean: FloatArray, cost: FloatArray, open_: BoolArray, draw: FloatArray
    ) -> IndexArray:
        tied = equal_utility(mean, cost, open_, self.cost_weight)
        arm = cheapest(tied, cost)
        if self.cheap_share == 1.0:
            return arm
        return np.where(draw < self.cheap_share, arm, dearest(tied, cost))

    def _price(self, cost: FloatArray | float) -> FloatArray | float:
        # λ = 0 weighs no dollars, unknown ones included.
        return self.cost_weight * cost if self.cost_weight else 0.0


def equal_utility(
    mean: FloatArray, cost: FloatArray, open_: BoolArray | None, cost_weight: float
) -> BoolArray:
    """Return True for the open arms of greatest utility, ties within 1e-9, shape (n, m)."""
    utility = mean
    if cost_weight:
        # Dollars above the cheapest: what all arms cost alike would only swamp the digits.
        utility = mean - cost_weight * (cost - cost.min(axis=1, keepdims=True))
    if open_ is not None:
        utility = np.where(open_, utility, -math.inf)
    greatest: FloatArray = utility.max(axis=1, keepdims=True)
    return utility >= greatest - TIE


def cheapest(among: BoolArray, cost: FloatArray) -> IndexArray:
    """Return the cheapest arm of each row of ``among``, unknown costs last, shape (n,)."""
    key = np.where(among, np.fmin(cost, _DEAREST), math.inf)
    arm: IndexArray = key.argmin(axis=1)
    return arm


def dearest(among: BoolArray, cost: FloatArray) -> IndexArray:
    """Return the dearest arm of each row of ``among``, unknown costs last, shape (n,)."""
    key = np.where(among, np.fmax(cost, -1.0), -math.inf)
    arm: IndexArray = key.argmax(axis=1)
    return arm
