r"""Optimal routing for a budget, exactly: a fractional knapsack over the requests' hulls.

Dekoninck, Baader and Vechev (2025), A Unified Approach to Routing and Cascading for LLMs,
Theorem 1: over all $s_i$ in the simplex,

$$\max \tfrac1n \sum_i \mu_i \cdot s_i \quad\text{s.t.}\quad \tfrac1n \sum_i c_i \cdot s_i \le B$$

is solved by one $\lambda$ and one tie-breaking $\gamma$. They search for the pair; it can be read
off. A mixture of models reaches the upper hull of a request's (cost, quality) points and nothing
above. Start every request on its cheapest model and buy hull edges, steepest first: on a concave
hull the edges come in their order by themselves. The slope of the edge at which the money runs out
is $\lambda$, the dual of the budget, and the part of it that is not bought is $\gamma$. Sorting is
all the work, O(n m log(n m)), and the result does not depend on the unit of money.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidBelief, InvalidConfiguration
from cascade_core.policies._row_hulls import row_hulls
from cascade_core.policies.routing import RoutingPolicy, cheapest, dearest, equal_utility

# The cost of the cheapest models, summed in another order, differs by less than this part of it.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class RoutingFit:
    """Optimal routing for a budget, and what it does on the requests that it was fitted on.

    Attributes:
        cost_weight: λ, quality per US dollar: what one more dollar a request would buy; 0 if the
            budget does not bind.
        cheap_share: γ, the probability of the cheapest at ties of utility.
        quality: Expected mean quality.
        cost: Expected mean US dollars per request; the budget itself if it binds.
    """

    cost_weight: float
    cheap_share: float
    quality: float
    cost: float

    @property
    def policy(self) -> RoutingPolicy:
        """The rule."""
        return RoutingPolicy(self.cost_weight, self.cheap_share)


@dataclass(frozen=True, eq=False)
class RoutingFrontier:
    """The greatest quality at every cost: a concave curve, straight between its corners.

    Attributes:
        quality: Mean quality at the corners, ascending, shape (k + 1,).
        cost: Mean US dollars per request at the corners, ascending, shape (k + 1,); from the
            cheapest model for every request to the cheapest of the best.
        cost_weight: λ on the line that leads to each next corner, descending, shape (k,). Between
            two values routing is what it is at the corner between their lines.
    """

    quality: FloatArray
    cost: FloatArray
    cost_weight: FloatArray


def fit_routing(mean: ArrayLike, cost: ArrayLike, budget: float) -> RoutingFit:
    """Return the routing of greatest mean quality that costs ``budget`` at most.

    Exact, without a search: value and λ are those of the linear programme. On true qualities it is
    the best that hindsight can do for the budget.

    Args:
        mean: Expected quality of every arm on every request, shape (n, m), in [0, 1].
        cost: Expected US dollars of a call, shape (n, m), >= 0.
        budget: Mean US dollars per request that may be spent in expectation.

    Raises:
        InvalidConfiguration: The budget is no number, or below what the cheapest arms cost.
        InvalidBelief: Shapes that do not fit, or numbers out of their range, NaN included.

    Examples:
        >>> fit = fit_routing([[0.5, 0.9], [0.8, 0.9]], [[1, 3], [1, 3]], budget=1.5)
        >>> round(fit.cost_weight, 3), round(fit.cheap_share, 3), round(fit.quality, 3)
        (0.2, 0.5, 0.75)
    """
    mean, cost = _checked(mean, cost)
    frontier = _frontier(mean, cost)
    cost_weight = _cost_weight(frontier, budget)
    tied = equal_utility(mean, cost, None, cost_weight)
    # γ is what makes the rule itself, with its idea of a tie, meet the budget.
    at = np.arange(len(mean))
    low = float(cost[at, cheapest(tied, cost)].mean())
    high = float(cost[at, dearest(tied, cost)].mean())
    share = 1.0
    if cost_weight > 0 and high > low:
        share = min(max((high - budget) / (high - low), 0.0), 1.0)
    chosen = RoutingPolicy(cost_weight, share).probabilities(mean, cost)
    quality = float((chosen * mean).sum(axis=1).mean())
    return RoutingFit(cost_weight, share, quality, float((chosen * cost).sum(axis=1).mean()))


def routing_frontier(mean: ArrayLike, cost: ArrayLike) -> RoutingFrontier:
    """Return optimal routing for all budgets at once.

    Args:
        mean: Expected quality of every arm on every request, shape (n, m), in [0, 1].
        cost: Expected US dollars of a call, shape (n, m), >= 0.

    Raises:
        InvalidBelief: Shapes that do not fit, or numbers out of their range, NaN included.

    Examples:
        >>> frontier = routing_frontier([[0.5, 0.9], [0.8, 0.9]], [[1, 3], [1, 3]])
        >>> frontier.cost, frontier.quality.round(3), frontier.cost_weight.round(3)
        (array([1., 2., 3.]), array([0.65, 0.85, 0.9 ]), array([0.2 , 0.05]))
    """
    return _frontier(*_checked(mean, cost))


def _frontier(mean: FloatArray, cost: FloatArray) -> RoutingFrontier:
    n = len(mean)
    hulls = row_hulls(mean, cost)
    slope, dollars, quality = hulls.edges()
    steepest_first = np.argsort(-slope, kind="stable")
    slope = slope[steepest_first]
    ends = np.append(slope[1:] != slope[:-1], True)[: len(slope)]  # edges of one slope are one line

    def corners(start: FloatArray, steps: FloatArray) -> FloatArray:
        return float(start.mean()) + np.append(0.0, np.cumsum(steps[steepest_first])[ends] / n)

    return RoutingFrontier(
        quality=corners(hulls.quality[:, 0], quality),
        cost=corners(hulls.cost[:, 0], dollars),
        cost_weight=slope[ends],
    )


def _cost_weight(frontier: RoutingFrontier, budget: float) -> float:
    """Return the slope of the line on which the money runs out; 0 if it does not."""
    least = float(frontier.cost[0])
    if not (math.isfinite(budget) and budget >= least * (1 - _ROUNDING)):
        raise InvalidConfiguration(
            "A budget for routing is finite and at least what the cheapest model of each request "
            f"costs, {least!r} US dollars per request on average; got {budget!r}."
        )
    reached = int(np.searchsorted(frontier.cost, max(budget, least), side="right"))
    return float(frontier.cost_weight[reached - 1]) if reached < len(frontier.cost) else 0.0


def _checked(mean: ArrayLike, cost: ArrayLike) -> tuple[FloatArray, FloatArray]:
    mean, cost = np.asarray(mean, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    if mean.ndim != 2 or mean.size == 0 or cost.shape != mean.shape:
        raise InvalidBelief(
            "Routing is fitted on mean and cost of one shape (n, m), n >= 1 and m >= 1, got "
            f"{mean.shape} and {cost.shape}."
        )
    for name, column, good, possible in (
        ("mean", mean, (mean >= 0) & (mean <= 1), "in [0, 1]"),
        ("cost", cost, (cost >= 0) & np.isfinite(cost), "US dollars, finite and >= 0"),
    ):
        if not good.all():
            row, arm = np.argwhere(~good)[0].tolist()
            raise InvalidBelief(
                f"Row {row}, arm {arm}: {name} is {float(column[row, arm])!r}, not {possible}."
            )
    return mean, cost
