"""Cascading with thresholds: a fixed order; stop at the first answer that is good enough."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cascade_core._states import NO_ARM, Decisions, States
from cascade_core._types import Action, Answer, Call, Observation, Trace
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_order, take_over
from cascade_core.policies._vector import stand_in


@dataclass(frozen=True, slots=True)
class ThresholdCascade:
    r"""Call the arms of ``order`` in turn; answer once $\hat q \ge t_j$; the last one answers.

    Chen, Zaharia and Zou (2023), FrugalGPT. A reply with a hard reason against it (cut off,
    refused, empty, a validator said no) is rejected at every threshold, 0 included. Arms
    that cannot serve a request are no arms for it: the last one that can is the one that answers.

    Args:
        order: Indices of the arms, cheapest first; any sub-chain of them.
        thresholds: Least estimated quality, in [0, 1], at which each arm but the last answers.
    """

    order: tuple[int, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        order, thresholds = self.order, self.thresholds
        if not order or len(set(order)) != len(order) or len(thresholds) != len(order) - 1:
            raise InvalidConfiguration(
                "ThresholdCascade needs an order of distinct arms and one threshold fewer than "
                f"arms, got order={order!r}, thresholds={thresholds!r}."
            )
        # A threshold a hair above 1 is how a fit says "this arm never answers".
        if any(math.isnan(t) or t < 0 for t in thresholds):
            raise InvalidConfiguration(
                f"ThresholdCascade needs thresholds >= 0, got {thresholds!r}."
            )

    @property
    def needs_cost(self) -> bool:
        """False: dollars are weighed when the thresholds are fitted, not when they are used."""
        return False

    def check(self, n_arms: int) -> None:
        """Refuse an order that names an arm that does not exist."""
        check_order("ThresholdCascade", self.order, n_arms)

    def decide(self, trace: Trace) -> Action:
        """Return the next call of the order, or the answer."""
        order = tuple(arm for arm in self.order if arm not in trace.unavailable)
        last = trace.attempts[-1] if trace.attempts else None
        reason = "first of the order"
        if isinstance(last, Observation):
            threshold = self._threshold(last.arm, order)
            answer = self._answer(last, threshold)
            if answer is not None:
                return answer
            reason = self._why_rejected(last, threshold)
        elif last is not None:
            reason = "the model before it failed"
        for arm in order:
            if arm in trace.untried:
                return Call(arm, final=arm == order[-1], reason=reason)
        return take_over(trace)

    def decide_many(self, states: States) -> Decisions:
        """Return what ``decide`` does with every request of ``states``; a test holds them equal.

        Live one request needs no arrays: they would cost ten times the rule.
        """
        order = np.array(self.order)
        level = np.full(states.n_arms + 1, len(order))  # by arm; behind the last for all others
        level[order] = np.arange(len(order))
        level = level[states.last]
        still = states.open[:, order]
        later = (still & (np.arange(len(order)) > level[:, None])).any(axis=1)
        threshold = np.array([*self.thresholds, -np.inf, -np.inf])[level]
        rows = np.arange(states.n)
        quality = np.where(states.rejected[rows, states.last], -1.0, states.mean[rows, states.last])
        replied = states.last != NO_ARM
        answers = replied & (~later | (quality >= threshold))
        left = stand_in(states)
        arm = np.where(still.any(axis=1), order[still.argmax(axis=1)], left)
        return Decisions(
            call=np.where(answers, NO_ARM, arm),
            answer=np.where(answers, states.last, NO_ARM),
            final=~answers & (arm != NO_ARM) & (still.sum(axis=1) <= 1),
            worth=np.where(replied, quality, 0.0),
        )

    def _answer(self, last: Observation, threshold: float | None) -> Answer | None:
        if threshold is None:
            return Answer(last.arm, "last of the order")
        if last.rejected_by is None and last.quality >= threshold:
            return Answer(last.arm, f"estimated quality {last.quality:.3f} >= {threshold:.3f}")
        return None

    def _threshold(self, arm: int, order: tuple[int, ...]) -> float | None:
        """Return the arm's threshold; None for the last of the order and for one that took over."""
        if arm not in order[:-1]:
            return None
        return self.thresholds[self.order.index(arm)]

    def _why_rejected(self, last: Observation, threshold: float | None) -> str:
        if last.rejected_by is not None:
            return last.rejected_by
        return f"estimated quality {last.quality:.3f} < {threshold:.3f}"
