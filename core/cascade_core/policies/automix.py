"""AutoMix's meta-verifier: a belief about why the small model is unsure decides about the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._states import NO_ARM, Decisions, States
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_cost_weight
from cascade_core.policies._rows import Rows, between
from cascade_core.policies._vector import VectorPolicy, stand_in

_CLOSED, _OPEN = -1, -2


@dataclass(frozen=True)
class AutoMixPolicy(VectorPolicy):
    r"""Answer or escalate, whichever is worth more under the belief about a hidden state.

    Madaan et al. (2024), AutoMix. The state says who can do the request: *good* (the first model),
    *needy* (only a later one), *hopeless* (nobody). With k models there is one state for each model
    that is the first to be right, and the hopeless one, which is last. A reply's estimate, binned,
    is an observation; given the state, observations of different models are independent. The belief
    follows by Bayes, and the reward is quality − λ dollars. A chain is short, so this partially
    observed decision process is solved exactly, by looking at all observations ahead. Unlike a
    threshold, the rule may keep both sure answers and hopeless ones, and escalate in between.

    A reply with a hard reason against it is an observation of its own (bin 0), and no answer while
    arms of the order are left.

    Args:
        order: Indices of the k arms, as called.
        prior: Probability of every state, shape (k + 1,).
        quality: Mean quality of each arm's reply in every state, shape (k, k + 1).
        edges: Upper ends of the bins of each arm's estimates but for the highest, ascending,
            shape (k, bins - 1) with as many bins as each arm needs.
        likelihood: Probability of every bin, the rejected first, in every state: (k, k + 1, bins +
            1).
        cost: Expected US dollars of each arm's call, shape (k,).
        cost_weight: λ, quality per US dollar, >= 0.
    """

    worth_is: ClassVar[str] = "expected utility"

    order: tuple[int, ...]
    prior: tuple[float, ...]
    quality: tuple[tuple[float, ...], ...]
    edges: tuple[tuple[float, ...], ...]
    likelihood: tuple[tuple[tuple[float, ...], ...], ...]
    cost: tuple[float, ...]
    cost_weight: float

    def __post_init__(self) -> None:
        check_cost_weight("AutoMixPolicy", self.cost_weight)
        k = len(self.order)
        if k == 0 or len(set(self.order)) != k:
            raise InvalidConfiguration(
                f"AutoMixPolicy needs an order of distinct arms, got {self.order!r}."
            )
        if {len(self.quality), len(self.edges), len(self.likelihood), len(self.cost)} != {k}:
            raise InvalidConfiguration(
                "AutoMixPolicy needs quality, edges, likelihood and cost of each of its "
                f"{k} arms, got {len(self.quality)}, {len(self.edges)}, {len(self.likelihood)} and "
                f"{len(self.cost)}."
            )
        _check_distribution("prior", self.prior, k + 1)
        for level in range(k):
            if len(self.quality[level]) != k + 1 or len(self.likelihood[level]) != k + 1:
                raise InvalidConfiguration(
                    f"AutoMixPolicy needs quality and likelihood in all {k + 1} states, got "
                    f"{len(self.quality[level])} and {len(self.likelihood[level])} for arm "
                    f"{self.order[level]}."
                )
            if not all(0 <= q <= 1 for q in self.quality[level]):
                raise InvalidConfiguration(
                    f"AutoMixPolicy needs quality in [0, 1], got {self.quality[level]!r}."
                )
            if not (math.isfinite(self.cost[level]) and self.cost[level] >= 0):
                raise InvalidConfiguration(
                    f"AutoMixPolicy needs cost in US dollars >= 0, got {self.cost!r}."
                )
            edges = self.edges[level]
            if not all(a < b for a, b in pairwise(edges)):
                raise InvalidConfiguration(f"AutoMixPolicy needs ascending edges, got {edges!r}.")
            for row in self.likelihood[level]:
                _check_distribution("likelihood", row, len(edges) + 2)

    @property
    def needs_cost(self) -> bool:
        """False: the dollars of the rows that it was fitted on are in the rule."""
        return False

    def check(self, n_arms: int) -> None:
        """Refuse an order that names an arm that does not exist."""
        if not all(0 <= arm < n_arms for arm in self.order):
            raise InvalidConfiguration(
                f"AutoMixPolicy(order={self.order!r}) needs arms from 0 to {n_arms - 1}."
            )

    def decide_many(self, states: States) -> Decisions:
        """Return the next calls of the order where they are worth it, and the answers."""
        chain = np.array(self.order, dtype=np.intp)
        open_ = states.open[:, chain]
        terminal = ~open_.any(axis=1)
        replied = states.last != NO_ARM
        on, worth = self._compare(states, open_)
        instead = stand_in(states)
        wanted = np.where(terminal, instead, chain[open_.argmax(axis=1)])
        call = np.where(np.where(terminal, ~replied, on), wanted, NO_ARM)
        # Without any arm left after a failure, what is in hand answers, if it may be shown.
        in_hand, _ = states.best_in_hand()
        answer = np.where(call != NO_ARM, NO_ARM, np.where(replied, states.last, in_hand))
        final = (call != NO_ARM) & (open_.sum(axis=1) <= 1)
        return Decisions(call, answer, final, worth)

    def belief(self, bins: Sequence[int | None]) -> FloatArray:
        """Return the probabilities of the states, (k + 1,), given each arm's bin or None."""
        joint = np.array(self.prior)
        for level, seen in enumerate(bins):
            if seen is not None:
                joint = joint * self._likelihood[level][:, seen]
        total = joint.sum()
        # What was thought impossible says nothing.
        return joint / total if total > 0 else np.array(self.prior)

    def value_of_calling(self, belief: FloatArray, levels: tuple[int, ...]) -> float:
        r"""Return $V$ of calling ``levels[0]`` now, deciding best from then on.

        Args:
            belief: Probabilities of the states, shape (k + 1,); not normalised, V is linear in it.
            levels: Positions in the order that may be called, in order, at least one.
        """
        level, later = levels[0], levels[1:]
        paid = self.cost_weight * self.cost[level] * float(belief.sum())
        if not later:
            # The last answers whatever is seen, so it need not be looked at.
            return float(belief @ self._quality[level]) - paid
        total = -paid
        for seen, joint in enumerate((belief[:, None] * self._likelihood[level]).T):
            on = self.value_of_calling(joint, later)
            total += on if seen == 0 else max(on, float(joint @ self._quality[level]))
        return total

    @cached_property
    def _quality(self) -> FloatArray:
        return np.array(self.quality)

    @cached_property
    def _likelihood(self) -> tuple[FloatArray, ...]:
        return tuple(np.array(level) for level in self.likelihood)

    def _compare(self, states: States, open_: BoolArray) -> tuple[BoolArray, FloatArray]:
        """Return where the next call is worth more than the last reply, and the worth; (n,)."""
        levels = [self._bins(states, level) for level in range(len(self.order))]
        codes = np.where(open_, _OPEN, np.column_stack(levels))
        place = np.full(states.n_arms + 1, NO_ARM)
        place[list(self.order)] = np.arange(len(self.order))
        # Of a few bins there are a few histories, however many requests.
        histories, which = np.unique(
            np.column_stack([codes, place[states.last]]), axis=0, return_inverse=True
        )
        decided = [self._decide(tuple(row)) for row in histories.tolist()]
        which = which.reshape(-1)
        on = np.array([on for on, _ in decided], dtype=np.bool_)
        worth = np.array([worth for _, worth in decided], dtype=np.float64)
        return on[which], worth[which]

    def _decide(self, history: tuple[int, ...]) -> tuple[bool, float]:
        """Return whether to go on, and the value of that, for codes of all arms and the last."""
        *codes, last = history
        belief = self.belief([code if code >= 0 else None for code in codes])
        left = tuple(level for level, code in enumerate(codes) if code == _OPEN)
        here = float(belief @ self._quality[last]) if last != NO_ARM else -math.inf
        if not left:
            return False, max(here, 0.0)
        if last == NO_ARM or codes[last] == 0:
            # The call is made whatever it is worth: the tree need not be searched.
            reward = belief @ self._quality[left[0]] - self.cost_weight * self.cost[left[0]]
            return True, float(reward)
        on = self.value_of_calling(belief, left)
        return on > here, max(on, here)

    def _bins(self, states: States, level: int) -> IndexArray:
        arm = self.order[level]
        seen = _bins(
            np.where(states.rejected[:, arm], -1.0, states.mean[:, arm]), self.edges[level]
        )
        return np.where(states.ran[:, arm], seen, _CLOSED)


def fit_automix(
    score: ArrayLike,
    quality: ArrayLike,
    cost: ArrayLike,
    cost_weight: float,
    *,
    order: tuple[int, ...] | None = None,
    n_bins: int = 8,
    smoothing: float = 1.0,
) -> AutoMixPolicy:
    """Return the meta-verifier of one chain, counted on the rows.

    A reply counts as right from a quality of 0.5 on; rewards are the mean qualities themselves.

    Args:
        score: Estimated quality of each reply, shape (n, n_arms); -1 for rejected ones.
        quality: True quality, shape (n, n_arms).
        cost: Dollars, shape (n, n_arms).
        cost_weight: λ, quality per US dollar, >= 0.
        order: The chain; all arms, cheapest first, by default. The exact solution grows as
            ``n_bins ** (len(order) - 2)``.
        n_bins: At most so many bins of the scores, of about equal counts.
        smoothing: Rows added to every bin in every state (Laplace), > 0.

    Raises:
        InvalidConfiguration: An order that is no chain, or numbers that are out of range.
        InvalidOutcomes: Rows that cannot be learnt from.
    """
    rows = Rows.of(score, quality, cost)
    chain = tuple(rows.cheapest_first()) if order is None else order
    rows.check_chain(chain)
    if n_bins < 1 or not (math.isfinite(smoothing) and smoothing > 0):
        raise InvalidConfiguration(
            f"AutoMix needs n_bins >= 1 and smoothing > 0, got {n_bins!r} and {smoothing!r}."
        )
    state = _first_right(rows.quality[:, chain])
    k = len(chain)
    member = state[:, None] == np.arange(k + 1)
    size = member.sum(axis=0)
    # A state that was never seen: by definition its own arm is right, and those before it wrong.
    assumed = np.eye(k, k + 1)
    right = np.divide(
        rows.quality[:, chain].T @ member,
        size,
        out=assumed,
        where=np.broadcast_to(size > 0, (k, k + 1)),
    )
    edges = tuple(_edges(rows.score[:, arm], n_bins) for arm in chain)
    likelihood: list[tuple[tuple[float, ...], ...]] = []
    for arm, ends in zip(chain, edges, strict=True):
        seen = _bins(rows.score[:, arm], ends)[:, None] == np.arange(len(ends) + 2)
        counts = member.T.astype(np.float64) @ seen + smoothing
        likelihood.append(_nested(counts / counts.sum(axis=1, keepdims=True)))
    return AutoMixPolicy(
        order=chain,
        prior=tuple((size / rows.n).tolist()),
        quality=_nested(np.clip(right, 0.0, 1.0)),
        edges=edges,
        likelihood=tuple(likelihood),
        cost=tuple(rows.cost[:, chain].mean(axis=0).tolist()),
        cost_weight=cost_weight,
    )


def _first_right(quality: FloatArray) -> IndexArray:
    """Return the position of the first model that is right, shape (n,); k where none is."""
    right: BoolArray = quality >= 0.5
    first: IndexArray = right.argmax(axis=1)
    return np.where(right.any(axis=1), first, quality.shape[1])


def _edges(score: FloatArray, n_bins: int) -> tuple[float, ...]:
    """Return cuts between different scores that part them into bins of about equal counts.

    A few different ones, as of k verifications by the model itself, are a bin each.
    """
    ordered = np.sort(score[score >= 0])
    unique = np.unique(ordered)
    if len(unique) <= n_bins:
        return tuple(between(x, y) for x, y in pairwise(unique.tolist()))
    wanted = np.quantile(ordered, np.linspace(0, 1, n_bins + 1)[1:-1], method="lower")
    below = np.unique(np.searchsorted(unique, wanted))
    return tuple(
        between(float(unique[i]), float(unique[i + 1]))
        for i in below.tolist()
        if i + 1 < len(unique)
    )


def _bins(score: FloatArray, edges: tuple[float, ...]) -> IndexArray:
    """Return the bin of every score: 0 if rejected, else 1 and up."""
    above: IndexArray = np.searchsorted(np.array(edges), score, side="left") + 1
    return np.where(score < 0, 0, above)


def _nested(matrix: FloatArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def _check_distribution(name: str, values: tuple[float, ...], size: int) -> None:
    good = all(math.isfinite(p) and p >= 0 for p in values) and abs(sum(values) - 1) < 1e-9
    if len(values) != size or not good:
        raise InvalidConfiguration(
            f"AutoMixPolicy needs a {name} of {size} probabilities that sum to 1, got {values!r}."
        )
