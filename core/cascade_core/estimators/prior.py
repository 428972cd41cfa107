"""The ex-ante estimate without a look at the request: one mean and one cost per arm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from cascade_core._types import Arm, Belief, Request, Usage

if TYPE_CHECKING:
    from cascade_core.outcomes import OutcomeTable

# Stated assumptions, not measurements: a later arm is better, nobody knows by how much, and a chat
# request has about this many tokens. They order a cold start and are replaced by fitting.
_WORST_MEAN, _BEST_MEAN, _SD = 0.6, 0.9, 0.25
_TYPICAL_USAGE = Usage(input_tokens=1000, output_tokens=300)


@dataclass(frozen=True, slots=True)
class PriorEstimator:
    """The same belief for every request.

    Args:
        mean: Expected quality of every arm, in [0, 1].
        sd: Standard deviation of the quality of every arm over requests, >= 0.
        cost: Expected dollars of a call of every arm, >= 0; NaN where unknown.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    cost: tuple[float, ...]
    _belief: Belief = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mean, sd, cost = (np.array(a, dtype=np.float64) for a in (self.mean, self.sd, self.cost))
        # Built once: every request shares this immutable value.
        object.__setattr__(self, "_belief", Belief.independent(mean, sd, cost))

    @classmethod
    def assumed(cls, arms: tuple[Arm, ...]) -> Self:
        """Return the stated assumptions for a cold start: later arms are better."""
        n = len(arms)
        mean = np.linspace(_WORST_MEAN, _BEST_MEAN, n) if n > 1 else np.array([_BEST_MEAN])
        costs = [arm.cost_usd(_TYPICAL_USAGE) for arm in arms]
        return cls(
            tuple(mean.tolist()),
            (_SD,) * n,
            tuple(float("nan") if cost is None else cost for cost in costs),
        )

    @classmethod
    def of_table(cls, table: OutcomeTable) -> Self:
        """Return every arm's mean quality, its deviation and its mean dollars in ``table``."""
        return cls(
            mean=tuple(table.quality.mean(axis=0).tolist()),
            sd=tuple(table.quality.std(axis=0).tolist()),
            cost=tuple(table.cost_usd.mean(axis=0).tolist()),
        )

    def estimate(self, request: Request) -> Belief:
        """Return the one belief; ``request`` is not looked at."""
        return self._belief
