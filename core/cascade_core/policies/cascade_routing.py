"""Cascade routing: any arm may come next, and any set of arms may follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._states import Decisions, States
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._step_weights import (
    Weights,
    best_of,
    by_step,
    check_weights,
    prices,
)
from cascade_core.policies._vector import VectorPolicy, decisions
from cascade_core.policies.reservation_index import reservation_values
from cascade_core.policies.routing import TIE, cheapest, dearest

# Above every index that is finite: of free boxes the best mean is opened first.
_FREE = 1e6

NextCall = Literal["highest_index", "cheapest", "lowest_index"]


@dataclass(frozen=True, slots=True)
class CascadeRouting(VectorPolicy):
    r"""Call into the set of arms that is worth most, reply by reply, until none pays.

    Dekoninck, Baader and Vechev (2025), A Unified Approach to Routing and Cascading for LLMs,
    Theorem 3. After $j$ replies, b the best of them, the set of arms to be called is

    $$S_j = \arg\max_S E[\max(b, \max_{i \in S} Q_i)] - \lambda_j \sum_{i \in S} c_i.$$

    If it is empty the best reply answers; else one member is called and all is thought over again.
    Exact for independent qualities; correlated ones are sampled jointly, always with the same
    points. It presumes that the answer is as good as the greatest estimate, which is optimistic
    where estimates are poor.

    Args:
        cost_weights: λ, quality per US dollar, >= 0, for all steps, or one for each step, of which
            the last serves all steps after it. The step is the number of replies.
        cheap_share: γ in [0, 1]: of sets of equal utility the cheapest is taken where the request's
            draw is below it, else the dearest.
        max_depth: Most replies for a request, >= 1; more only while none may be shown.
        next: Which member is called: the one of the highest reservation index, as in
            ``ReservationIndexPolicy``, which on independent beliefs loses less than the
            ``"cheapest"``, as the paper has it. ``"lowest_index"`` does what the published code
            does (there the arms are sorted by cost).

    Examples:
        >>> mean, sd, cost = np.array([[0.6, 0.7]]), np.array([[0.2, 0.2]]), np.array([[1.0, 5.0]])
        >>> states = States.before_any_call(mean, sd, cost)
        >>> int(CascadeRouting(0.01, next="cheapest").decide_many(states).call[0])
        0
    """

    worth_is: ClassVar[str] = "utility of the best set"

    cost_weights: Weights
    cheap_share: float = 1.0
    max_depth: int | None = None
    next: NextCall = "highest_index"

    def __post_init__(self) -> None:
        check_weights("CascadeRouting", self.cost_weights, self.cheap_share)
        if self.max_depth is not None and self.max_depth < 1:
            raise InvalidConfiguration(
                f"CascadeRouting needs max_depth >= 1 or None, got {self.max_depth!r}."
            )
        if self.next not in ("highest_index", "cheapest", "lowest_index"):
            raise InvalidConfiguration(
                "CascadeRouting needs next to be 'highest_index', 'cheapest' or 'lowest_index', "
                f"got {self.next!r}."
            )

    @property
    def needs_cost(self) -> bool:
        """True unless λ is 0 at every step."""
        return any(by_step(self.cost_weights))

    def check(self, n_arms: int) -> None:
        """Accept any number of arms."""

    def decide_many(self, states: States) -> Decisions:
        """Return the calls into the best sets, or the best answers."""
        # Imported here as it brings SciPy, half a second that waits until it is needed.
        from cascade_core.expected_max import best_sets

        step: IndexArray = np.add.reduce(states.ran, axis=1, dtype=np.intp)
        price = prices(self.cost_weights, states, step)
        in_hand = states.best_in_hand()
        room = self._room(step, in_hand[1])
        base, open_ = in_hand[1], states.open
        found = best_of(best_sets, states, price, base, open_, self.cheap_share, room)
        arm = self._member(states, price, found.members)
        return decisions(states, arm, ~found.stop, found.value, in_hand=in_hand)

    def _room(self, step: IndexArray, best: FloatArray) -> IndexArray | None:
        if self.max_depth is None:
            return None
        # A reply that may be shown is owed, however deep.
        return np.maximum(self.max_depth - step, np.where(best == -np.inf, 1, 0))

    def _member(self, states: States, price: FloatArray, members: BoolArray) -> IndexArray:
        """Return the member that is called next, shape (n,); any arm where there is none."""
        if self.next == "lowest_index":
            first: IndexArray = members.argmax(axis=1)
            return first
        if self.next == "cheapest":
            index = -price
        else:
            index = reservation_values(states.mean, states.sd, price)
        # Free ones by their mean.
        index = np.where(price <= 0, _FREE + states.mean, index)
        index = np.where(members, index, -np.inf)
        highest: FloatArray = np.maximum.reduce(index, axis=1, keepdims=True)
        tied = members & (index >= highest - TIE)
        arm = cheapest(tied, price)
        if self.cheap_share == 1.0:
            return arm
        return np.where(states.draw < self.cheap_share, arm, dearest(tied, price))
