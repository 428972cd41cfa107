"""Play a rule that computes on many requests at once: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._gaussian import condition
from cascade_core._states import NO_ARM, Decisions, States
from cascade_core.errors import PolicyError


@runtime_checkable
class VectorRule(Protocol):
    """A rule over rows."""

    def decide_many(self, states: States) -> Decisions:
        """Return what to do next with every request of ``states``."""
        ...


@dataclass(frozen=True, eq=False)
class Replies:
    """What every arm replies to every request, were it called; all of shape (n, m).

    Attributes:
        estimate: Quality as estimated from the reply, in [0, 1].
        cost_usd: Dollars.
        latency_seconds: Seconds; NaN where unknown.
        rejected: True where a hard reason speaks against the reply.
    """

    estimate: FloatArray
    cost_usd: FloatArray
    latency_seconds: FloatArray
    rejected: BoolArray


Update = Callable[[States, IndexArray, IndexArray, Replies], States]
"""How a belief about all arms follows from one more reply.

Takes k requests before the reply, with ``ran`` already true for the arm; their rows in the replies,
shape (k,); the arm that replied, shape (k,); and what every arm replies. Returns the states with
their mean, deviation and covariance after the replies.
"""


@dataclass(frozen=True, eq=False)
class Paths:
    """What a rule did.

    Attributes:
        calls: The arm of every call in order, shape (n, longest path); -1 after the last.
        answer: The arm whose reply was shown, shape (n,); -1 where the rule abstained.
        cost_usd: Dollars of all calls, shape (n,).
        latency_seconds: Seconds of all calls, one after the other, shape (n,).
        decisions: How many decisions were made in all.
    """

    calls: IndexArray
    answer: IndexArray
    cost_usd: FloatArray
    latency_seconds: FloatArray
    decisions: int

    def quality(self, quality: FloatArray) -> FloatArray:
        """Return the quality of the answers, shape (n,), out of (n, m); 0 for an abstention."""
        shown = quality[np.arange(len(self.answer)), self.answer]
        return np.where(self.answer == NO_ARM, 0.0, shown)


def gaussian_update(states: States, rows: IndexArray, arm: IndexArray, replies: Replies) -> States:
    """Condition on the estimate of the reply: the other arms move as far as they are correlated."""
    k = np.arange(len(rows))
    estimate = replies.estimate[rows, arm]
    covariance = states.covariance
    if covariance is None:
        mean, sd = states.mean.copy(), states.sd.copy()
        mean[k, arm], sd[k, arm] = estimate, 0.0
    else:
        mean, covariance = condition(states.mean, covariance, arm, estimate)
        sd = np.sqrt(np.einsum("nii->ni", covariance))
    return states.updated(mean=mean, sd=sd, covariance=covariance)


def simulate(
    rule: VectorRule, start: States, replies: Replies, update: Update = gaussian_update
) -> Paths:
    """Return what ``rule`` does on every request of ``start``.

    Raises:
        PolicyError: The rule called an arm that is not open, or answered with one that never ran.
    """
    n, m = start.n, start.n_arms
    answer = np.full(n, NO_ARM, dtype=np.intp)
    cost, latency = np.zeros(n), np.zeros(n)
    calls = np.full((n, m), NO_ARM, dtype=np.intp)
    rows = np.arange(n)
    states = start
    made = 0
    for step in range(m + 1):
        decided = rule.decide_many(states)
        made += len(rows)
        going = decided.call != NO_ARM
        _check(rule, states, decided)
        answer[rows[~going]] = decided.answer[~going]
        rows, arm, states = rows[going], decided.call[going], states.rows(going)
        if not len(rows):
            break
        calls[rows, step] = arm
        cost[rows] += replies.cost_usd[rows, arm]
        latency[rows] += replies.latency_seconds[rows, arm]
        states = update(states.called(arm, replies.rejected[rows, arm]), rows, arm, replies)
        final = decided.final[going]
        answer[rows[final]] = arm[final]
        rows, states = rows[~final], states.rows(~final)
    longest = int((calls != NO_ARM).any(axis=0).sum())
    return Paths(calls[:, :longest], answer, cost, latency, made)


def _check(rule: VectorRule, states: States, decided: Decisions) -> None:
    at = np.arange(states.n)
    bad = (decided.call != NO_ARM) & ~states.open[at, decided.call]
    bad |= (decided.call == NO_ARM) & (decided.answer != NO_ARM) & ~states.ran[at, decided.answer]
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise PolicyError(
            f"{rule!r} decided call={decided.call[row]}, answer={decided.answer[row]} where only "
            f"{np.flatnonzero(states.open[row]).tolist()} may be called and "
            f"{np.flatnonzero(states.ran[row]).tolist()} have replied."
        )
