"""Weitzman's rule for Pandora's boxes: every arm has a price of its own for being opened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core._states import Decisions, States
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_cost_weight
from cascade_core.policies._normal_excess import inverse_excess
from cascade_core.policies._vector import VectorPolicy, decisions, priced


def reservation_values(mean: FloatArray, sd: FloatArray, price: FloatArray) -> FloatArray:
    r"""Return z with $E[(V - z)_+] = \text{price}$ for $V \sim N(\text{mean}, \text{sd}^2)$.

    The quality at which opening the box exactly pays; all arrays of one shape. A free box is always
    worth opening (inf); a box without surprise is worth its mean less its price.

    Examples:
        >>> reservation_values(np.array([0.5]), np.array([0.2]), np.array([0.08])).round(3)
        array([0.5])
    """
    # Forty deviations down the excess is the whole difference, to the last digit.
    plain = price >= 40 * sd
    target = np.where(plain, 1.0, price) / np.where(plain, 1.0, sd)
    value = np.where(plain, mean - price, mean + sd * inverse_excess(target))
    return np.where(price <= 0, np.inf, value)


@dataclass(frozen=True, slots=True)
class ReservationIndexPolicy(VectorPolicy):
    r"""Call arms by descending index while the best quality seen is below the highest index.

    Weitzman (1979), Optimal Search for the Best Alternative: with independent qualities this is
    optimal. The index $z_m$ solves $E[(Q_m - z)_+] = \lambda c_m$. The first call is obligatory;
    the answer is the best reply seen that nothing hard speaks against, and all beliefs are updated
    after each reply.

    Args:
        cost_weight: λ, quality per US dollar, >= 0.
        abstention_quality: What giving no answer is worth, on the scale of quality; None makes the
            first call obligatory. With a value the rule abstains where neither a reply in hand nor
            a call is worth more.
    """

    worth_is: ClassVar[str] = "highest index"

    cost_weight: float
    abstention_quality: float | None = None

    def __post_init__(self) -> None:
        check_cost_weight("ReservationIndexPolicy", self.cost_weight)
        outside = self.abstention_quality
        if outside is not None and not math.isfinite(outside):
            raise InvalidConfiguration(
                f"ReservationIndexPolicy needs a finite abstention_quality or None, got {outside!r}"
            )

    @property
    def needs_cost(self) -> bool:
        """True unless λ is 0."""
        return self.cost_weight > 0

    def check(self, n_arms: int) -> None:
        """Accept any number of arms."""

    def decide_many(self, states: States) -> Decisions:
        """Return the calls of the arms of highest index, or the best answers."""
        index = reservation_values(states.mean, states.sd, priced(self.cost_weight, states))
        index = np.where(states.open, index, -np.inf)
        arm = index.argmax(axis=1)
        highest = index[np.arange(states.n), arm]
        outside = self.abstention_quality
        in_hand = states.best_in_hand()
        best = in_hand[1] if outside is None else np.maximum(in_hand[1], outside)
        return decisions(states, arm, best < highest, highest, outside, in_hand)
