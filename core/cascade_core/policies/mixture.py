"""Mixing rules: a draw per request chooses one of them, so that any budget can be met exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from cascade_core._arrays import FloatArray, IndexArray
from cascade_core._states import Decisions, States
from cascade_core._types import Action, Trace
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import Policy


@dataclass(frozen=True, slots=True)
class MixturePolicy:
    r"""Decide a request by one of several rules, chosen once by its draw.

    Between two neighbours on the Pareto frontier no rule without chance meets the budget; the
    mixture with weights 1 − γ and γ does, at the quality of the hull. Dekoninck, Baader and Vechev
    (2025) mix at ties in this way. The draw of a request is a hash of its run: the same run is
    decided the same way again, on every step. What is left of the draw is uniform, and goes to the
    rule that was chosen.

    Args:
        policies: The rules.
        weights: Probability of each, >= 0, summing to 1.
    """

    policies: tuple[Policy, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        weights = self.weights
        good = all(math.isfinite(w) and w >= 0 for w in weights) and len(weights) > 0
        if len(weights) != len(self.policies) or not good or abs(sum(weights) - 1) > 1e-9:
            raise InvalidConfiguration(
                "MixturePolicy needs a weight >= 0 for each policy, together 1, got "
                f"{len(self.policies)} policies and weights={weights!r}."
            )

    @property
    def needs_cost(self) -> bool:
        """True if one of the rules weighs dollars."""
        return any(policy.needs_cost for policy in self.policies)

    def check(self, n_arms: int) -> None:
        """Refuse what one of the rules refuses."""
        for policy in self.policies:
            policy.check(n_arms)

    def decide(self, trace: Trace) -> Action:
        """Return what the chosen rule decides."""
        chosen, left = self._choose(np.array([trace.request.draw]))
        request = replace(trace.request, draw=float(left[0]))
        return self.policies[int(chosen[0])].decide(replace(trace, request=request))

    def decide_many(self, states: States) -> Decisions:
        """Return what the chosen rules decide; all of them must be rules over rows."""
        rules = [_over_rows(policy) for policy in self.policies]
        chosen, left = self._choose(states.draw)
        states = replace(states, draw=left)
        call, answer = (np.empty(states.n, dtype=np.intp) for _ in range(2))
        final, worth = np.empty(states.n, dtype=np.bool_), np.empty(states.n)
        for i, rule in enumerate(rules):
            rows = np.flatnonzero(chosen == i)
            if not len(rows):
                continue
            decided = rule.decide_many(states.rows(rows))
            call[rows], answer[rows] = decided.call, decided.answer
            final[rows], worth[rows] = decided.final, decided.worth
        return Decisions(call, answer, final, worth)

    def _choose(self, draw: FloatArray) -> tuple[IndexArray, FloatArray]:
        """Return the rule of each request, shape (n,), and the draw that is left to it, (n,)."""
        weights = np.array(self.weights)
        ends = np.cumsum(weights)
        # Rounding must not push a draw near 1 out, nor onto a rule of no weight.
        possible = int(np.flatnonzero(weights > 0)[-1])
        chosen: IndexArray = np.minimum(np.searchsorted(ends, draw, side="right"), possible)
        left = (draw - (ends - weights)[chosen]) / weights[chosen]
        return chosen, np.clip(left, 0.0, np.nextafter(1.0, 0.0))


@runtime_checkable
class _RowRule(Protocol):
    def decide_many(self, states: States) -> Decisions: ...


class Tuned(Protocol):
    """A rule with what it does on the rows that it was tuned on."""

    @property
    def policy(self) -> Policy:
        """The rule."""
        ...

    @property
    def quality(self) -> float:
        """Mean quality."""
        ...

    @property
    def cost(self) -> float:
        """Mean dollars."""
        ...


@dataclass(frozen=True, slots=True)
class TunedMixture:
    """A rule and its expected mean quality and dollars on the rows that it was tuned on."""

    policy: Policy
    quality: float
    cost: float


def upper_hull(points: Sequence[Tuned]) -> list[Tuned]:
    """Return the points that no mixture of others is better than, cheapest first."""
    hull: list[Tuned] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.quality)):
        if hull and point.quality <= hull[-1].quality:
            continue
        # A point on or under the line from the one before it to the new one is a mixture of both.
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def meet_budget(points: Sequence[Tuned], budget: float) -> TunedMixture:
    """Return the best mixture of ``points`` that spends at most ``budget`` on average.

    It is one point, or two neighbours on the hull with γ so that the budget is spent exactly.

    Args:
        points: Tuned rules, in any order.
        budget: Mean US dollars per request.

    Raises:
        InvalidConfiguration: No points, no finite budget, or one below the cheapest point.
    """
    hull = upper_hull(points)
    if not hull or not math.isfinite(budget) or budget < hull[0].cost:
        raise InvalidConfiguration(
            f"A budget of {budget!r} US dollars per request needs a rule that costs no more; "
            f"{'the cheapest costs ' + repr(hull[0].cost) if hull else 'there is none'}."
        )
    below = max(i for i, point in enumerate(hull) if point.cost <= budget)
    low = hull[below]
    if below == len(hull) - 1 or low.cost == budget:
        return TunedMixture(low.policy, low.quality, low.cost)
    high = hull[below + 1]
    share = (budget - low.cost) / (high.cost - low.cost)
    return TunedMixture(
        MixturePolicy((low.policy, high.policy), (1.0 - share, share)),
        (1.0 - share) * low.quality + share * high.quality,
        budget,
    )


def _slope(one: Tuned, other: Tuned) -> float:
    """Return quality per dollar from one point to a dearer one; of equal cost, infinite."""
    gap = other.cost - one.cost
    return (other.quality - one.quality) / gap if gap > 0 else math.inf


def _over_rows(policy: Policy) -> _RowRule:
    if not isinstance(policy, _RowRule):
        raise InvalidConfiguration(
            f"{policy!r} has no decide_many(states): a mixture of it is decided one trace at a "
            "time, by decide(trace)."
        )
    return policy
