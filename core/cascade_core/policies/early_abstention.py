"""Cascading with early abstention: on every level answer, give up, or go on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cascade_core._arrays import FloatArray, IndexArray
from cascade_core._states import NO_ARM, Decisions, States
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_order
from cascade_core.policies._vector import VectorPolicy, stand_in


@dataclass(frozen=True, slots=True)
class EarlyAbstentionCascade(VectorPolicy):
    r"""Call the arms of ``order`` in turn; answer if $\hat q > t_j$, abstain if $\hat q \le s_j$.

    Zellinger, Liu and Thomson (2025), Cost-Saving LLM Cascades with Early Abstention. A request
    that the first model finds hopeless is given up before a dear one is paid for it. The last arm
    abstains at or below $s_k$ and answers above.

    A reply with a hard reason against it (cut off, refused, empty, a validator said no) says little
    about the other models: it goes on, whatever the thresholds; from the last arm it counts as an
    estimate of 0. Arms that cannot serve a request are no arms for it, and the last one that can
    serve is judged by $s_k$, which for calibrated estimates does not depend on the arm. So is an
    arm that takes over when all of the order have failed; with none left, the best draft in hand.

    Args:
        order: Indices of the arms; an empty one abstains at once.
        abstain_below: $s_j$ of every arm; below 0 it never abstains.
        answer_above: $t_j \ge s_j$ of every arm but the last; below 0 it always answers, from 1 on
            never.
    """

    worth_is: ClassVar[str] = "estimated quality"

    order: tuple[int, ...]
    abstain_below: tuple[float, ...]
    answer_above: tuple[float, ...]

    def __post_init__(self) -> None:
        order, low, high = self.order, self.abstain_below, self.answer_above
        given = f"got order={order!r}, abstain_below={low!r}, answer_above={high!r}."
        if len(set(order)) != len(order) or len(low) != len(order):
            raise InvalidConfiguration(
                f"EarlyAbstentionCascade needs distinct arms and an abstain_below for each, {given}"
            )
        if len(high) != max(len(order) - 1, 0):
            raise InvalidConfiguration(
                f"EarlyAbstentionCascade needs an answer_above for each arm but the last, {given}"
            )
        if any(map(math.isnan, (*low, *high))) or any(
            s > t for s, t in zip(low[:-1], high, strict=True)
        ):
            raise InvalidConfiguration(
                f"EarlyAbstentionCascade needs abstain_below <= answer_above on each level, {given}"
            )

    @property
    def needs_cost(self) -> bool:
        """False: dollars are weighed when the thresholds are fitted, not when they are used."""
        return False

    def check(self, n_arms: int) -> None:
        """Refuse an order that names an arm that does not exist."""
        check_order("EarlyAbstentionCascade", self.order, n_arms)

    def decide_many(self, states: States) -> Decisions:
        """Return the next calls of the order, the answers and the abstentions."""
        n, at = states.n, np.arange(states.n)
        nothing = np.full(n, NO_ARM, dtype=np.intp)
        if not self.order:
            no = np.zeros(n, dtype=np.bool_)
            return Decisions(nothing, nothing, no, np.zeros(n))
        chain = np.array(self.order, dtype=np.intp)
        open_ = states.open[:, chain]
        terminal = ~open_.any(axis=1)
        replied = states.last != NO_ARM
        low, high = self._cuts(states.last, states.n_arms)
        bottom = self.abstain_below[-1]
        low, high = np.where(terminal, bottom, low), np.where(terminal, bottom, high)
        hard = states.rejected[at, states.last] & replied
        estimate = np.where(hard, 0.0, states.mean[at, states.last])
        on = ~replied | ((hard | ((estimate > low) & (estimate <= high))) & ~terminal)
        answer = np.where(~on & (estimate > high), states.last, NO_ARM)
        # After a failure at the end of the order: another arm, or what is in hand.
        instead = stand_in(states)
        call = np.where(on, np.where(terminal, instead, chain[open_.argmax(axis=1)]), NO_ARM)
        in_hand, best = states.best_in_hand()
        stuck = on & (call == NO_ARM)
        answer = np.where(stuck & (best > bottom), in_hand, answer)
        final = (call != NO_ARM) & (open_.sum(axis=1) <= 1) & (bottom < 0)
        # Before a reply the number is what is expected of the arm that is called.
        shown = np.where(replied, estimate, states.mean[at, call])
        worth = np.where(stuck, np.maximum(best, 0.0), shown)
        return Decisions(call, answer, final, worth)

    def _cuts(self, last: IndexArray, n_arms: int) -> tuple[FloatArray, FloatArray]:
        """Return $s_j$ and $t_j$ for the arm that replied last, each (n,)."""
        low = np.full(n_arms, self.abstain_below[-1])
        high = low.copy()
        low[list(self.order)] = self.abstain_below
        high[list(self.order[:-1])] = self.answer_above
        return low[last], high[last]
