"""The rules that compete: how each is fitted for a price of a dollar, and how simple it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np

from cascade_core._arrays import IndexArray
from cascade_core.evaluation.simulation import VectorRule
from cascade_core.fitting.chains import (
    best_arms,
    best_belief_cascade,
    best_chain,
    best_threshold_cascade,
)
from cascade_core.fitting.training import Training
from cascade_core.policies import (
    CascadeRouting,
    OptimalCascade,
    Policy,
    ReservationIndexPolicy,
    RoutingPolicy,
    SingleModelPolicy,
)
from cascade_core.policies.automix import fit_automix


class Beliefs(Enum):
    """What a rule knows of a request."""

    NONE = "each reply by itself"
    PRIOR = "the request, and each reply by itself"
    GAUSSIAN = "each reply, and how replies moved together before"
    JOINT = "the request, and every reply about all arms"


class RowPolicy(Policy, VectorRule, Protocol):
    """A rule for one request live and for many in a replay."""


class Family(Protocol):
    """One kind of rule."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def complexity(self) -> int:
        """Rank: of rules that do equally well the one of lower rank is chosen."""
        ...

    @property
    def beliefs(self) -> Beliefs:
        """What the rule looks at: see ``Beliefs``."""
        ...

    def fit(self, training: Training, rows: IndexArray, cost_weight: float) -> RowPolicy:
        """Return the rule of greatest utility on the ``rows`` of ``training``, at λ."""
        ...


@dataclass(frozen=True)
class SingleModel:
    """Always the same model."""

    name: str = "single model"
    complexity: int = 0
    beliefs: Beliefs = Beliefs.NONE

    def fit(self, training: Training, rows: IndexArray, cost_weight: float) -> RowPolicy:
        """Return the model of greatest mean utility."""
        table = training.table
        utility = table.quality[rows].mean(axis=0) - cost_weight * table.cost_usd[rows].mean(axis=0)
        return SingleModelPolicy(int(utility.argmax()))


@dataclass(frozen=True)
class Routing:
    """One model a request, by the belief before any call."""

    name: str = "routing"
    complexity: int = 1
    beliefs: Beliefs = Beliefs.PRIOR

    def fit(self, training: Training, rows: IndexArray, cost_weight: float) -> RowPolicy:
        """Return the rule; the belief is all that is fitted."""
        return RoutingPolicy(cost_weight)


@dataclass(frozen=True)
class Thresholds:
    """Threshold cascade; each reply is judged by its own confidence."""

    name: str = "threshold cascade"
    complexity: int = 2
    beliefs: Beliefs = Beliefs.NONE

    def fit(self, training: Training, rows: IndexArray, cost_weight: float) -> RowPolicy:
        """Return the best chain with the best thresholds."""
        return best_threshold_cascade(training, rows, cost_weight)


@dataclass(frozen=True)
class MetaVerifier:
    """AutoMix's verifier of two models: it keeps what no model can do."""

    name: str = "AutoMix"
    complexity: int = 3
    beliefs: Beliefs = Beliefs.NONE

    def fit(self, training: Training, rows: IndexArray, cost_weight: float) -> RowPolicy:
        """Return the verifier of the best chain of at most two models."""
        chain = best_chain(training, rows, cost_weight, max_depth=2)
        score = np.where(training.rejected[rows], -1.0, training.score[rows])
        table = training.table
        return fit_automix(
            score, table.quality[rows], table.cost_usd[rows], cost_weight, order=chain
        )


@dataclass(frozen=True)
class BeliefThresholds:
    """Threshold cascade on joint beliefs."""

    name: str = "threshold cascade on joint beliefs"
    complexity: int = 3
    beliefs: Beliefs = Beliefs.JOINT

    def fit(self, training: Training, rows: IndexArray, cost_weight: float) -> RowPolicy:
        """Return the best chain with the best thresholds."""
        return best_belief_cascade(training, rows, cost_weight)


@dataclass(frozen=True)
class Index:
    """Weitzman's reservation index."""

    beliefs: Beliefs
    complexity: int = 4

    @property
    def name(self) -> str:
        """For people."""
        return "reservation index" + _suffix(self.beliefs)

    def fit(self, training: Training, rows: IndexArray, cost_weight: float) -> RowPolicy:
        """Return the rule; the belief is all that is fitted."""
        return ReservationIndexPolicy(cost_weight)


@dataclass(frozen=True)
class SetRouting:
    """Cascade routing, or optimal cascading where the order is fixed."""

    beliefs: Beliefs
    ordered: bool = False
    complexity: int = 5

    @property
    def name(self) -> str:
        """For people."""
        return ("optimal cascade" if self.ordered else "cascade routing") + _suffix(self.beliefs)

    def fit(self, training: Training, rows: IndexArray, cost_weight: float) -> RowPolicy:
        """Return the rule, ordered by cost; the belief is all that is fitted."""
        order = tuple(int(arm) for arm in np.argsort(training.table.cost_usd[rows].mean(axis=0)))
        return OptimalCascade(order, cost_weight) if self.ordered else CascadeRouting(cost_weight)


@dataclass(frozen=True)
class Programme:
    """The dynamic programme over sets of replies, on the arms of the best chains."""

    name: str = "dynamic programme"
    max_arms: int = 6
    complexity: int = 6
    beliefs: Beliefs = Beliefs.JOINT

    def fit(self, training: Training, rows: IndexArray, cost_weight: float) -> RowPolicy:
        """Return the fitted programme."""
        arms = best_arms(training, rows, cost_weight, self.max_arms)
        return training.programme(rows).fit(cost_weight, arms)


def _suffix(beliefs: Beliefs) -> str:
    kinds = {Beliefs.JOINT: "joint", Beliefs.GAUSSIAN: "Gaussian", Beliefs.PRIOR: "independent"}
    return f", {kinds[beliefs]} beliefs"


FAMILIES: tuple[Family, ...] = (
    SingleModel(),
    Routing(),
    Thresholds(),
    MetaVerifier(),
    BeliefThresholds(),
    Index(beliefs=Beliefs.PRIOR),
    Index(beliefs=Beliefs.GAUSSIAN),
    Index(beliefs=Beliefs.JOINT),
    SetRouting(beliefs=Beliefs.PRIOR, ordered=True),
    SetRouting(beliefs=Beliefs.JOINT, ordered=True),
    SetRouting(beliefs=Beliefs.PRIOR),
    SetRouting(beliefs=Beliefs.JOINT),
    Programme(),
)
