"""What a decision rule is, and what all rules share."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

from cascade_core._types import Abstain, Action, Call, Trace
from cascade_core.errors import InvalidConfiguration


@runtime_checkable
class Policy(Protocol):
    """Decides the next step from what has been seen: pure and deterministic."""

    @property
    def needs_cost(self) -> bool:
        """True if the rule weighs dollars, so that every arm needs a price."""
        ...

    def check(self, n_arms: int) -> None:
        """Raise ``InvalidConfiguration`` if the rule cannot serve ``n_arms`` arms."""
        ...

    def decide(self, trace: Trace) -> Action:
        """Return what to do next."""
        ...


def check_cost_weight(rule: str, cost_weight: float) -> None:
    """Refuse a λ that is negative, infinite or NaN."""
    if not (math.isfinite(cost_weight) and cost_weight >= 0):
        raise InvalidConfiguration(
            f"{rule} needs cost_weight (quality per US dollar), finite and >= 0, "
            f"got {cost_weight!r}."
        )


def check_order(rule: str, order: tuple[int, ...], n_arms: int) -> None:
    """Refuse an order that names an arm that does not exist."""
    if not all(0 <= arm < n_arms for arm in order):
        raise InvalidConfiguration(f"{rule}(order={order!r}) needs arms from 0 to {n_arms - 1}.")


def take_over(trace: Trace) -> Call | Abstain:
    """Return the call that replaces a model that failed or cannot serve: the best untried arm.

    A draft that was rejected stays rejected: with no arm left there is no answer.
    """
    failed = bool(trace.failures)
    if not trace.untried:
        reason = "every model that could still answer failed" if failed else "no model is left"
        return Abstain(reason)
    mean = trace.belief.mean
    arm = max(trace.untried, key=lambda m: (mean[m], m))
    whom = "failed" if failed else "cannot serve this request"
    return Call(arm, final=True, reason=f"takes over from a model that {whom}")
