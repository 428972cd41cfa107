"""A dynamic programme over the sets of arms that have replied, fitted on logged outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._logistic import logit
from cascade_core._states import Decisions, States
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_cost_weight
from cascade_core.policies._vector import VectorPolicy, decisions, priced

MAX_SETS = 300
RIDGE = 3.0
# Below every utility, and still a number.
NOT_FITTED = -1e6


@dataclass(frozen=True, eq=False)
class SubsetProgramme(VectorPolicy):
    r"""Call the arm whose reply is expected to lead to the greatest value, while that pays.

    $V(T, x) = \max(\max_{j \in T} q_j, \max_k E[V(T \cup k) \mid x] - \lambda c_k)$ over the sets
    T of arms that have replied. The expectation is a ridge regression, one for each set and
    each next arm, on the estimated quality of all arms given the replies in T.

    Attributes:
        cost_weight: λ, quality per US dollar, >= 0.
        sets: The sets T as bit masks, ascending, shape (s,); others are never gone on from.
        weights: Shape (s, m, p): the regression of every next arm's value on the features.
    """

    worth_is: ClassVar[str] = "expected value"

    cost_weight: float
    sets: IndexArray
    weights: FloatArray

    def __post_init__(self) -> None:
        check_cost_weight("SubsetProgramme", self.cost_weight)

    @property
    def needs_cost(self) -> bool:
        """True unless λ is 0."""
        return self.cost_weight > 0

    def check(self, n_arms: int) -> None:
        """Refuse another number of arms than it was fitted for."""
        if self.weights.shape[1] != n_arms:
            raise InvalidConfiguration(
                f"SubsetProgramme was fitted for {self.weights.shape[1]} arms, got {n_arms}."
            )

    def decide_many(self, states: States) -> Decisions:
        """Return the calls of greatest expected value, or the best answers."""
        _, best = states.best_in_hand()
        bits: IndexArray = states.ran @ (1 << np.arange(states.n_arms))
        at: IndexArray = np.minimum(np.searchsorted(self.sets, bits), len(self.sets) - 1)
        known = self.sets[at] == bits
        features = programme_features(states.mean, states.ran & ~states.rejected)
        value = np.einsum("np,nmp->nm", features, self.weights[at])
        value = np.where(states.open, value - priced(self.cost_weight, states), -np.inf)
        arm = value.argmax(axis=1)
        highest = value[np.arange(states.n), arm]
        return decisions(states, arm, known & (highest > best), np.maximum(highest, best))


def programme_features(mean: FloatArray, usable: BoolArray) -> FloatArray:
    """Return what a value is regressed on, shape (n, 2 m + 4).

    Args:
        mean: Estimated quality of all arms, shape (n, m).
        usable: True where the arm has replied and may answer, shape (n, m).
    """
    best = np.where(usable, mean, 0.0).max(axis=1)
    ahead = np.where(usable, 0.0, mean).max(axis=1)
    ones = np.ones(len(mean))
    # The logits let the regression bend: a value is not linear in a probability near 0 or 1.
    return np.column_stack([ones, mean, logit(mean, 0.01), best, best**2, best * ahead])


@dataclass(frozen=True, eq=False)
class ProgrammeFit:
    """Everything about the rows that does not depend on λ, so that many λ cost little.

    Args:
        posterior: Estimated quality of all arms out of fold, (n, m), by the set of arms seen.
        cost: Dollars of every reply, shape (n, m).
        rejected: True where a reply may not answer, shape (n, m).
        fold: The fold of each row, shape (n,).
        max_depth: Most calls.
    """

    posterior: Callable[[frozenset[int]], FloatArray]
    cost: FloatArray
    rejected: BoolArray
    fold: IndexArray
    max_depth: int = 3

    def fit(self, cost_weight: float, arms: Sequence[int] | None = None) -> SubsetProgramme:
        """Return the programme for λ, by going backward from the largest sets.

        Args:
            cost_weight: λ, quality per US dollar, >= 0.
            arms: The arms that may be called; all by default. With few rows fewer arms are better:
                the greatest of many noisy expectations is mostly noise.
        """
        n, m = len(self.cost), int(self.cost.shape[1])
        arms = tuple(range(m)) if arms is None else arms
        depths = range(min(self.max_depth, len(arms)) + 1)
        sets = [frozenset(c) for d in depths for c in combinations(arms, d)]
        value: dict[frozenset[int], FloatArray] = {}
        weights: dict[int, FloatArray] = {}
        price = cost_weight * self.cost
        for chosen in reversed(sets):
            state = self._state(chosen)
            stop = np.where(state.usable, state.mean, 0.0).max(axis=1) if chosen else -np.inf
            onward = [k for k in arms if k not in chosen and chosen | {k} in value]
            if not onward:
                value[chosen] = np.broadcast_to(stop, (n,)).astype(np.float64)
                continue
            reached = np.column_stack([value[chosen | {k}] for k in onward])
            predicted, coefficients = _cross_fit(state.features, reached, self.fold)
            table = np.zeros((m, coefficients.shape[0]))
            # An arm that is not gone on to is worth less than anything: its constant says so.
            table[:, 0] = NOT_FITTED
            table[onward] = coefficients.T
            weights[sum(1 << k for k in chosen)] = table
            # What a decision is worth is what it leads to, not what it was thought to lead to.
            pick = (predicted - price[:, onward]).argmax(axis=1)
            rows = np.arange(n)
            going = predicted[rows, pick] - price[rows, np.array(onward)[pick]] > stop
            realised = reached[rows, pick] - price[rows, np.array(onward)[pick]]
            value[chosen] = np.where(going, realised, stop)
        masks = np.array(sorted(weights), dtype=np.intp)
        return SubsetProgramme(cost_weight, masks, np.stack([weights[int(b)] for b in masks]))

    def _state(self, chosen: frozenset[int]) -> _State:
        cached = self._states.get(chosen)
        if cached is None:
            seen = np.zeros(self.cost.shape, dtype=np.bool_)
            seen[:, list(chosen)] = True
            mean, usable = self.posterior(chosen), seen & ~self.rejected
            cached = _State(mean, usable, programme_features(mean, usable))
            self._states[chosen] = cached
        return cached

    @property
    def _states(self) -> dict[frozenset[int], _State]:
        if "_memo" not in self.__dict__:
            object.__setattr__(self, "_memo", {})
        memo: dict[frozenset[int], _State] = self.__dict__["_memo"]
        return memo


@dataclass(frozen=True, eq=False)
class _State:
    mean: FloatArray
    usable: BoolArray
    features: FloatArray


def _cross_fit(
    features: FloatArray, target: FloatArray, fold: IndexArray
) -> tuple[FloatArray, FloatArray]:
    """Return predictions out of fold (n, t), and the coefficients (p, t) of all rows."""
    predicted = np.empty_like(target)
    for k in range(int(fold.max()) + 1):
        rows = fold == k
        predicted[rows] = features[rows] @ _ridge(features[~rows], target[~rows])
    return predicted, _ridge(features, target)


def _ridge(features: FloatArray, target: FloatArray) -> FloatArray:
    penalty = RIDGE * np.eye(features.shape[1])
    penalty[0, 0] = 1e-9
    gram = features.T @ features + penalty
    return np.linalg.solve(gram, features.T @ target).astype(np.float64)
