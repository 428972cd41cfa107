"""A threshold cascade on joint beliefs: the best reply so far answers once it is good enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cascade_core._states import Decisions, States
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_order
from cascade_core.policies._vector import VectorPolicy, decisions


@dataclass(frozen=True, slots=True)
class BeliefCascade(VectorPolicy):
    r"""Call the arms of ``order`` in turn until $\max_{i \in \text{ran}} \mu_i \ge t_j$.

    Differs from ``ThresholdCascade`` in what is compared and what is shown: the belief about every
    reply so far, which a later reply may have raised by agreeing or lowered by contradicting, and
    the best of them. Where beliefs are independent and later arms better, the two do the same.

    Args:
        order: Indices of the arms; any sub-chain of them.
        thresholds: Least belief, in [0, 1], at which the cascade stops after each arm but the last.
    """

    worth_is: ClassVar[str] = "best estimated quality"

    order: tuple[int, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        order, thresholds = self.order, self.thresholds
        if not order or len(set(order)) != len(order) or len(thresholds) != len(order) - 1:
            raise InvalidConfiguration(
                "BeliefCascade needs an order of distinct arms and one threshold fewer than arms, "
                f"got order={order!r}, thresholds={thresholds!r}."
            )
        if any(math.isnan(t) for t in thresholds):
            raise InvalidConfiguration(f"BeliefCascade needs thresholds, got {thresholds!r}.")

    @property
    def needs_cost(self) -> bool:
        """False: dollars are weighed when the thresholds are fitted, not when they are used."""
        return False

    def check(self, n_arms: int) -> None:
        """Refuse an order that names an arm that does not exist."""
        check_order("BeliefCascade", self.order, n_arms)

    def decide_many(self, states: States) -> Decisions:
        """Return the next calls of the order, or the best answers."""
        order = np.array(self.order)
        ran, still = states.ran[:, order], states.open[:, order]
        place = np.arange(1, len(order) + 1)
        # How far down the order a row is: behind the last of its arms that has replied.
        behind = (ran * place).max(axis=1)
        still = still & (place > behind[:, None])
        going = still.any(axis=1)
        # Where the order is used up and nothing may be shown, the best arm that is left takes over.
        left = np.where(states.open, states.mean, -np.inf).argmax(axis=1)
        arm = np.where(going, order[still.argmax(axis=1)], left)
        thresholds = np.array([np.inf, *self.thresholds, -np.inf])
        _, best = states.best_in_hand()
        return decisions(states, arm, going & (best < thresholds[behind]), best)
