"""One model for every request: the baseline that every policy has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._states import Decisions, States
from cascade_core._types import Action, Answer, Call, Trace
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import take_over
from cascade_core.policies._vector import single_call, stand_in


@dataclass(frozen=True, slots=True)
class SingleModelPolicy:
    """Call one arm and keep its answer; if it fails, the best of the others takes over."""

    arm: int

    @property
    def needs_cost(self) -> bool:
        """False: no dollars are weighed."""
        return False

    def check(self, n_arms: int) -> None:
        """Refuse an arm that does not exist."""
        if not 0 <= self.arm < n_arms:
            raise InvalidConfiguration(
                f"SingleModelPolicy(arm={self.arm}) needs an arm from 0 to {n_arms - 1}."
            )

    def decide_many(self, states: States) -> Decisions:
        """Return what ``decide`` does with every request of ``states``."""
        here = states.open[:, self.arm]
        arm = np.where(here, self.arm, stand_in(states))
        return single_call(states, arm, np.zeros(states.n))

    def decide(self, trace: Trace) -> Action:
        """Return the call of the arm, then its answer."""
        if trace.observations:
            return Answer(trace.observations[-1].arm, "the only model asked")
        if not trace.attempts and self.arm in trace.untried:
            return Call(self.arm, final=True, reason="single model")
        return take_over(trace)
