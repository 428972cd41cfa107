"""Random mixing: a blind choice, the line that a policy must beat to have learnt anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cascade_core._states import Decisions, States
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._vector import VectorPolicy, single_call


@dataclass(frozen=True, slots=True)
class RandomMixing(VectorPolicy):
    """Call an arm with a fixed probability, whatever the request, and keep its answer.

    The request's draw decides, so the same request is decided the same way again. Arms that failed
    or cannot serve leave their probability to the others in proportion; where nothing is left of
    it, the arm of best belief takes over.

    Args:
        weights: Probability of every arm, >= 0, summing to 1.
    """

    worth_is: ClassVar[str] = "chosen blindly, with probability"

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        weights = self.weights
        if not (all(w >= 0 for w in weights) and math.isclose(sum(weights), 1.0, abs_tol=1e-9)):
            raise InvalidConfiguration(
                f"RandomMixing needs weights >= 0 that sum to 1, got {weights!r}."
            )

    @property
    def needs_cost(self) -> bool:
        """False: no dollars are weighed."""
        return False

    def check(self, n_arms: int) -> None:
        """Refuse another number of arms than there are weights."""
        if len(self.weights) != n_arms:
            raise InvalidConfiguration(
                f"RandomMixing has {len(self.weights)} weights for {n_arms} arms; give one each."
            )

    def decide_many(self, states: States) -> Decisions:
        """Return the calls of the arms that are drawn, or the answers of those that ran."""
        at = np.arange(states.n)
        weights = np.where(states.open, np.array(self.weights), 0.0)
        nothing = weights.sum(axis=1) == 0
        best = np.where(states.open, states.mean, -np.inf).argmax(axis=1)
        weights[at[nothing], best[nothing]] = 1.0
        reached = np.cumsum(weights, axis=1)
        reached /= reached[:, -1:]
        # The first arm whose cumulated probability exceeds the draw; the last one is exactly 1.
        arm = (reached > states.draw[:, None]).argmax(axis=1)
        return single_call(states, arm, weights[at, arm] / weights.sum(axis=1))
