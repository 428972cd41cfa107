"""The optimal cascade: a fixed order, and how far down it to plan to go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from cascade_core._arrays import IndexArray
from cascade_core._states import Decisions, States
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_order
from cascade_core.policies._step_weights import (
    Weights,
    best_of,
    by_step,
    check_weights,
    prices,
)
from cascade_core.policies._vector import VectorPolicy, decisions


@dataclass(frozen=True, slots=True)
class OptimalCascade(VectorPolicy):
    r"""Call the arms of ``order`` in turn as long as some stretch of what is left of it pays.

    Dekoninck, Baader and Vechev (2025), A Unified Approach to Routing and Cascading for LLMs,
    Theorem 2: after $j$ replies, b the best of them, each step is a routing problem over the
    supermodels that the rest $r_1, r_2, \dots$ of the order makes,

    $$k_j = \arg\max_k E[\max(b, Q_{r_1}, \dots, Q_{r_k})] - \lambda_j \sum_{i \le k} c_{r_i}.$$

    $k_j = 0$: the best reply answers; else $r_1$ is called. A threshold cascade is the case where
    nothing is known of a request's later arms. An arm that is not available is skipped; once the
    order is used up and no reply may be shown, the best arm that is left takes over.

    Args:
        order: Indices of the arms, distinct; any sub-chain of them.
        cost_weights: λ, quality per US dollar, >= 0, for all steps, or one for each step, of which
            the last serves all steps after it. The step is the number of replies.
        cheap_share: γ in [0, 1]: of prefixes of equal utility the cheapest is taken where the
            request's draw is below it, else the dearest.

    Examples:
        >>> mean, sd, cost = np.array([[0.1, 0.7]]), np.array([[0.1, 0.2]]), np.array([[1.0, 5.0]])
        >>> states = States.before_any_call(mean, sd, cost)
        >>> int(OptimalCascade((0, 1), 0.01).decide_many(states).call[0])
        0
    """

    worth_is: ClassVar[str] = "utility of the best prefix"

    order: tuple[int, ...]
    cost_weights: Weights
    cheap_share: float = 1.0

    def __post_init__(self) -> None:
        if not self.order or len(set(self.order)) != len(self.order):
            raise InvalidConfiguration(
                f"OptimalCascade needs an order of distinct arms, got order={self.order!r}."
            )
        check_weights("OptimalCascade", self.cost_weights, self.cheap_share)

    @property
    def needs_cost(self) -> bool:
        """True unless λ is 0 at every step."""
        return any(by_step(self.cost_weights))

    def check(self, n_arms: int) -> None:
        """Refuse an order that names an arm that does not exist."""
        check_order("OptimalCascade", self.order, n_arms)

    def decide_many(self, states: States) -> Decisions:
        """Return the next calls of the order, or the best answers."""
        # Imported here as it brings SciPy, half a second that waits until it is needed.
        from cascade_core.expected_max import best_prefix

        order = np.array(self.order)
        ran, ahead = states.ran[:, order], states.open[:, order]
        place = np.arange(1, len(order) + 1)
        # Behind the last of its arms that has replied.
        ahead = ahead & (place > (ran * place).max(axis=1)[:, None])
        open_ = np.zeros_like(states.open)
        open_[:, order] = ahead
        step: IndexArray = np.add.reduce(states.ran, axis=1, dtype=np.intp)
        price = prices(self.cost_weights, states, step)
        others = np.setdiff1d(np.arange(states.n_arms), order)
        search = partial(best_prefix, order=np.concatenate([order, others]))
        in_hand = states.best_in_hand()
        found = best_of(search, states, price, in_hand[1], open_, self.cheap_share)
        left = np.where(states.open, states.mean, -np.inf).argmax(axis=1)
        arm = np.where(ahead.any(axis=1), order[ahead.argmax(axis=1)], left)
        return decisions(states, arm, ~found.stop, found.value, in_hand=in_hand)
