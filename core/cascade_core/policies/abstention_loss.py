"""What errors, dollars and abstentions weigh against each other, and what a cascade has of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_cost_weight
from cascade_core.policies._rows import Rows
from cascade_core.policies.early_abstention import EarlyAbstentionCascade


@dataclass(frozen=True, slots=True)
class AbstentionLoss:
    r"""$L = P(\text{error}) + \lambda_c\,E[\text{cost}] + \lambda_a\,P(\text{abstain})$.

    Zellinger, Liu and Thomson (2025). An error is an answer, and counts 1 − quality.

    Args:
        cost_weight: $\lambda_c$, errors per US dollar, >= 0.
        abstention: $\lambda_a$, the loss of an abstention, where an error's is 1: at 0.3 an answer
            is given if it is right with a probability above 0.7. From 1 on nothing that may be
            shown is withheld; at 0 and below everything is.
    """

    cost_weight: float
    abstention: float

    def __post_init__(self) -> None:
        check_cost_weight("AbstentionLoss", self.cost_weight)
        if math.isnan(self.abstention) or self.abstention == -math.inf:
            raise InvalidConfiguration(
                "AbstentionLoss needs an abstention loss in units of an error, a number or "
                f"infinite, got {self.abstention!r}."
            )

    @classmethod
    def from_dollars(cls, cost_of_error: float, cost_of_abstention: float) -> AbstentionLoss:
        """Return the loss for what a wrong answer and a missing one cost, both in US dollars.

        Examples:
            >>> AbstentionLoss.from_dollars(cost_of_error=2.0, cost_of_abstention=0.5)
            AbstentionLoss(cost_weight=0.5, abstention=0.25)
        """
        if not (math.isfinite(cost_of_error) and cost_of_error > 0):
            raise InvalidConfiguration(
                f"cost_of_error must be finite US dollars > 0, got {cost_of_error!r}."
            )
        return cls(1.0 / cost_of_error, cost_of_abstention / cost_of_error)

    def measure(self, policy: EarlyAbstentionCascade, rows: Rows) -> TunedAbstention:
        """Return what ``policy`` does on ``rows``."""
        shown, spent, abstained = np.zeros(rows.n), np.zeros(rows.n), 0
        left = np.arange(rows.n)
        highs = (*policy.answer_above, *policy.abstain_below[-1:])
        for arm, low, high in zip(policy.order, policy.abstain_below, highs, strict=True):
            spent[left] += rows.cost[left, arm]
            score = rows.score[left, arm]
            hard = (score < 0) & (arm != policy.order[-1])
            score = np.maximum(score, 0.0)
            answers, gives_up = ~hard & (score > high), ~hard & (score <= low)
            shown[left[answers]] = 1.0 - rows.quality[left[answers], arm]
            abstained += int(gives_up.sum())
            left = left[~(answers | gives_up)]
        # Left over are only those that an empty order has never asked anybody about.
        error, cost = float(shown.mean()), float(spent.mean())
        share = (abstained + len(left)) / rows.n
        # Without an abstention its loss weighs nothing, an infinite one included.
        loss = error + self.cost_weight * cost + (self.abstention * share if share > 0 else 0.0)
        return TunedAbstention(policy, loss, error, cost, share)


@dataclass(frozen=True, slots=True)
class TunedAbstention:
    """A cascade and what it does on the rows that it was measured on.

    Attributes:
        policy: The rule.
        loss: Mean loss per request.
        error: Share of the requests that got a wrong answer; abstentions are none.
        cost: Mean US dollars per request.
        abstained: Share of the requests without an answer.
    """

    policy: EarlyAbstentionCascade
    loss: float
    error: float
    cost: float
    abstained: float
