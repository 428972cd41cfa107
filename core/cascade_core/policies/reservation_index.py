"""Weitzman's rule for Pandora's boxes: every arm has a price of its own for being opened."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cascade_core._types import Action, Answer, Call, Observation, Trace
from cascade_core.policies._base import check_cost_weight, take_over

_SQRT2, _SQRT2PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)


def expected_excess(u: float) -> float:
    r"""Return $h(u) = \varphi(u) - u\,(1 - \Phi(u)) = E[(Z - u)_+]$ for a standard normal Z."""
    return math.exp(-0.5 * u * u) / _SQRT2PI - u * 0.5 * math.erfc(u / _SQRT2)


def reservation_value(mean: float, sd: float, price: float) -> float:
    r"""Return z with $E[(V - z)_+] = \text{price}$ for $V \sim N(\text{mean}, \text{sd}^2)$.

    The quality at which opening the box exactly pays. A free box is always worth opening (inf);
    a box without surprise is worth its mean less its price.

    Examples:
        >>> round(reservation_value(0.5, 0.2, 0.08), 3)
        0.5
    """
    if price <= 0:
        return math.inf
    if sd <= 0:
        return mean - price
    if price >= 40 * sd:
        return mean - price  # h(u) = -u to the last digit there, and the quotient may overflow
    # Below 1e-200 the normal tail underflows; the index is then thirty deviations up, whatever.
    target = max(price / sd, 1e-200)
    # h is convex and decreasing, so Newton from a point left of the root rises to it and never
    # overshoots. h(u) >= -u (Jensen) puts u = -target left of the root.
    u = -target
    for _ in range(1000):
        step = (expected_excess(u) - target) / (0.5 * math.erfc(u / _SQRT2))
        u += step
        if abs(step) < 1e-12 * max(1.0, abs(u)):
            break
    return mean + sd * u


@dataclass(frozen=True, slots=True)
class ReservationIndexPolicy:
    r"""Call arms by descending index while the best quality seen is below the highest index.

    Weitzman (1979), Optimal Search for the Best Alternative: with independent qualities this is
    optimal. The index $z_m$ solves $E[(Q_m - z)_+] = \lambda c_m$. The first call is obligatory;
    the answer is the best reply seen that nothing hard speaks against, and all beliefs are updated
    after each reply.

    Args:
        cost_weight: λ, quality per US dollar, >= 0.
    """

    cost_weight: float

    def __post_init__(self) -> None:
        check_cost_weight("ReservationIndexPolicy", self.cost_weight)

    @property
    def needs_cost(self) -> bool:
        """True unless λ is 0."""
        return self.cost_weight > 0

    def check(self, n_arms: int) -> None:
        """Accept any number of arms."""

    def decide(self, trace: Trace) -> Action:
        """Return the call of the arm of highest index, or the best answer."""
        best = max(
            (o for o in trace.observations if o.rejected_by is None),
            key=lambda o: o.quality,
            default=None,
        )
        if not trace.untried:
            return self._with_no_model_left(trace, best)
        indices = self._indices(trace)
        arm = max(indices, key=lambda m: (indices[m], -m))
        if best is None or best.quality < indices[arm]:
            # With nothing to fall back on and nobody left to ask, this reply is the answer.
            final = best is None and len(trace.untried) == 1
            return Call(arm, final=final, reason=f"index {indices[arm]:.3f} is the highest")
        return Answer(best.arm, f"quality {best.quality:.3f} >= index {indices[arm]:.3f}")

    def _with_no_model_left(self, trace: Trace, best: Observation | None) -> Action:
        if best is not None:
            return Answer(best.arm, "best of all models")
        if isinstance(trace.attempts[-1], Observation):
            return Answer(trace.attempts[-1].arm, "no model left")
        return take_over(trace)

    def _indices(self, trace: Trace) -> dict[int, float]:
        belief = trace.belief
        mean, sd, cost = belief.mean.tolist(), belief.sd.tolist(), belief.cost.tolist()
        # λ = 0 makes every call free, at an unknown price too.
        price = [self.cost_weight * c if self.cost_weight > 0 else 0.0 for c in cost]
        return {m: reservation_value(mean[m], sd[m], price[m]) for m in trace.untried}
