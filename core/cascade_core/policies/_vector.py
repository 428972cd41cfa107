"""What the rules that compute share: one decision is the first row of many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._states import NO_ARM, Decisions, States
from cascade_core._types import Action, Trace


class VectorPolicy(ABC):
    """A rule over rows; live it decides the one row that a trace is."""

    __slots__ = ()

    # What ``Decisions.worth`` means, for the reason that people read.
    worth_is: ClassVar[str] = "utility"

    @abstractmethod
    def decide_many(self, states: States) -> Decisions:
        """Return what to do next with every request of ``states``."""

    def decide(self, trace: Trace) -> Action:
        """Return what to do next with the request of ``trace``."""
        return self.decide_many(States.of(trace)).action(0, self.worth_is)


def decisions(
    states: States,
    arm: IndexArray,
    wanted: BoolArray,
    worth: FloatArray,
    outside: float | None = None,
    in_hand: tuple[IndexArray, FloatArray] | None = None,
) -> Decisions:
    """Return the calls that are ``wanted`` and possible, and the answers of the other rows.

    The answer is the best reply that nothing hard speaks against. While there is none the call is
    made whether it is wanted or not, and with no arm left the last reply answers, whatever it looks
    like. With an ``outside`` option nothing is forced: a row without a better reply abstains.

    Args:
        states: The n requests.
        arm: The arm to call, shape (n,); where no arm is open it is not looked at.
        wanted: True where a call is worth more than what is in hand, shape (n,).
        worth: The number that decided, shape (n,).
        outside: What abstaining is worth, on the scale of quality.
        in_hand: ``states.best_in_hand()``, if it is known already.
    """
    best, quality = states.best_in_hand() if in_hand is None else in_hand
    n_open: IndexArray = np.add.reduce(states.open, axis=1, dtype=np.intp)
    if outside is None:
        nothing = best == NO_ARM
        calls = (n_open > 0) & (wanted | nothing)
        answer = np.where(nothing & (n_open == 0), states.last, best)
        final = calls & nothing & (n_open == 1)
    else:
        calls = (n_open > 0) & wanted
        answer = np.where(quality >= outside, best, NO_ARM)
        final = np.zeros_like(calls)
    return Decisions(
        call=np.where(calls, arm, NO_ARM),
        answer=np.where(calls, NO_ARM, answer),
        final=final,
        worth=worth,
    )


def single_call(states: States, arm: IndexArray, worth: FloatArray) -> Decisions:
    """Return the decisions of a rule that calls one arm and keeps its answer, whatever it is like.

    Args:
        states: The n requests.
        arm: The arm to call while none has replied, shape (n,); where no arm is open it is not
            looked at.
        worth: The number that decided, shape (n,).
    """
    ran = states.ran.sum(axis=1) > 0
    calls = (states.open.sum(axis=1) > 0) & ~ran
    # One arm has run at most, unless another rule began.
    answer = np.where(states.last == NO_ARM, states.ran.argmax(axis=1), states.last)
    return Decisions(
        call=np.where(calls, arm, NO_ARM),
        answer=np.where(ran, answer, NO_ARM),
        final=calls,
        worth=worth,
    )


def stand_in(states: States) -> IndexArray:
    """Return the open arm of best mean, that takes over from one that failed; -1 without one."""
    mean = np.where(states.open, states.mean, -np.inf)
    # Of equals the one of greatest index, as for every rule.
    arm: IndexArray = states.n_arms - 1 - mean[:, ::-1].argmax(axis=1)
    return np.where(states.open.any(axis=1), arm, NO_ARM)


def priced(cost_weight: float, states: States) -> FloatArray:
    """Return λ times the expected cost of every arm, shape (n, m); λ = 0 makes all calls free."""
    # At λ = 0 an unknown cost weighs nothing, too.
    return np.zeros_like(states.mean) if cost_weight == 0 else cost_weight * states.cost
