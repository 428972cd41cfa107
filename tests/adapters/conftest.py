"""Graded outcomes whose rows can be said again live: by models that the adapters wrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cascade_core import FittedPolicy
from cascade_core.evaluation.replay import replay
from cascade_core.fitting import Selector
from cascade_core.fitting.families import FAMILIES
from cascade_core.outcomes import OutcomeTable

NAMES = ("cheap", "middle", "strong")
# Dollars per million tokens in and out; ``COST`` is a reply of 10 tokens to 10.
PRICES = {"cheap": (1.0, 4.0), "middle": (10.0, 40.0), "strong": (100.0, 400.0)}
COST = 1e-5 * np.array([sum(price) for price in PRICES.values()])
ROWS, COST_WEIGHT = 40, 60.0


@dataclass(frozen=True)
class Said:
    """What a model says to a request."""

    text: str
    logprob: float
    finish_reason: str


@dataclass(frozen=True)
class Graded:
    """A policy, what a replay says that it does on some requests, and what the models say."""

    policy: FittedPolicy
    table: OutcomeTable
    answered_by: list[str]
    cost_usd: list[float]

    def said(self, row: int, arm: int) -> Said:
        """Say a logged reply again: other words for every model, the same answer for a code."""
        assert self.table.answers is not None and self.table.rejected is not None
        return Said(
            f"So says {NAMES[arm]}. The answer is {self.table.answers[row, arm]}.",
            float(np.log(self.table.signals["mean_token_probability"][row, arm])),
            "length" if self.table.rejected[row, arm] else "stop",
        )


def outcomes(seed: int, n: int) -> OutcomeTable:
    """Return outcomes where confidence says something, and agreement more."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3)) + rng.normal(size=(n, 1)) + np.array([-0.3, 0.6, 1.5])
    right = rng.uniform(size=(n, 3)) < 1 / (1 + np.exp(-z))
    told = z + rng.normal(size=(n, 3))
    return OutcomeTable(
        NAMES,
        right,
        np.tile(COST, (n, 1)),
        np.ones((n, 3)),
        signals={"mean_token_probability": 1 / (1 + np.exp(-told))},
        rejected=rng.uniform(size=(n, 3)) < 0.05,
        answers=np.where(right, 0, rng.integers(1, 9, size=(n, 3))),
    )


@pytest.fixture(scope="session")
def _selector() -> Selector:
    return Selector.measure(outcomes(0, 300), folds=2)


@pytest.fixture(params=FAMILIES, ids=lambda family: family.name)
def graded(request: Any, _selector: Selector) -> Graded:
    """Every kind of rule in turn, on fresh rows."""
    policy, table = _selector.fit(request.param.name, cost_weight=COST_WEIGHT), outcomes(1, ROWS)
    done = replay(policy, table)
    return Graded(policy, table, [NAMES[a] for a in done.answered_by], done.cost_usd.tolist())
