"""Many requests at the moment of a decision, as arrays: what a numeric rule sees, and its answer.

A rule that computes (cascade routing, the reservation index, a dynamic programme) is written once,
over rows. Live it gets one row, in a replay thousands, and it cannot tell the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._types import Abstain, Action, Answer, Belief, Call, Observation, Trace
from cascade_core.errors import InvalidBelief

NO_ARM = -1


@dataclass(frozen=True, eq=False)
class States:
    """n requests, each somewhere between its first call and its answer; m arms.

    Attributes:
        mean: Expected quality of every arm given all that was seen, shape (n, m), in [0, 1].
        sd: Its standard deviation, shape (n, m), >= 0; 0 where the arm has run.
        cost: Expected dollars of a call, shape (n, m), >= 0; NaN where unknown.
        ran: True where the arm has replied, shape (n, m).
        rejected: True where a hard reason speaks against that reply, shape (n, m).
        open: True where the arm may still be called, shape (n, m).
        last: The arm of the last attempt if it replied, else -1, shape (n,).
        draw: A number in [0, 1) of each request, shape (n,), that breaks ties reproducibly.
        covariance: Covariance of the qualities, shape (n, m, m); None where independent.
    """

    mean: FloatArray
    sd: FloatArray
    cost: FloatArray
    ran: BoolArray
    rejected: BoolArray
    open: BoolArray
    last: IndexArray
    draw: FloatArray
    covariance: FloatArray | None = None

    @classmethod
    def before_any_call(
        cls,
        mean: FloatArray,
        sd: FloatArray,
        cost: FloatArray,
        *,
        covariance: FloatArray | None = None,
        draw: FloatArray | None = None,
    ) -> States:
        """Return the states before any call; the first three of shape (n, m).

        Raises:
            InvalidBelief: Shapes that do not fit, a mean outside [0, 1], a negative deviation or
                cost, NaN where it means nothing.
        """
        n = len(mean)
        nothing = np.zeros(mean.shape, dtype=np.bool_)
        states = cls(
            mean,
            sd,
            cost,
            ran=nothing,
            rejected=nothing,
            open=np.ones(mean.shape, dtype=np.bool_),
            last=np.full(n, NO_ARM, dtype=np.intp),
            draw=np.zeros(n, dtype=np.float64) if draw is None else draw,
            covariance=covariance,
        )
        states.check()
        return states

    @classmethod
    def of(cls, trace: Trace) -> States:
        """Return the one row that a live trace is."""
        belief = trace.belief
        m = belief.mean.shape[0]
        ran, rejected, callable_ = np.zeros((3, 1, m), dtype=np.bool_)
        for seen in trace.observations:
            ran[0, seen.arm] = True
            rejected[0, seen.arm] = seen.rejected_by is not None
        callable_[0, trace.untried] = True
        last = trace.attempts[-1] if trace.attempts else None
        return cls(
            belief.mean[None, :],
            belief.sd[None, :],
            belief.cost[None, :],
            ran,
            rejected,
            callable_,
            np.array([last.arm if isinstance(last, Observation) else NO_ARM], dtype=np.intp),
            np.array([trace.request.draw]),
            belief.covariance[None, :, :] if belief.correlated else None,
        )

    @property
    def n(self) -> int:
        """Number of requests."""
        return int(self.mean.shape[0])

    @property
    def n_arms(self) -> int:
        """Number of arms."""
        return int(self.mean.shape[1])

    def rows(self, rows: IndexArray | BoolArray) -> States:
        """Return the states of some requests."""
        return States(
            self.mean[rows],
            self.sd[rows],
            self.cost[rows],
            self.ran[rows],
            self.rejected[rows],
            self.open[rows],
            self.last[rows],
            self.draw[rows],
            None if self.covariance is None else self.covariance[rows],
        )

    def updated(self, *, mean: FloatArray, sd: FloatArray, covariance: FloatArray | None) -> States:
        """Return the same states with another belief."""
        return replace(self, mean=mean, sd=sd, covariance=covariance)

    def called(self, arm: IndexArray, rejected: BoolArray) -> States:
        """Return the states after ``arm`` (n,) has replied, the belief being as it was."""
        at = np.arange(self.n)
        ran, hard, callable_ = self.ran.copy(), self.rejected.copy(), self.open.copy()
        ran[at, arm], hard[at, arm], callable_[at, arm] = True, rejected, False
        return replace(self, ran=ran, rejected=hard, open=callable_, last=arm)

    def best_in_hand(self) -> tuple[IndexArray, FloatArray]:
        """Return the best reply that may be shown and its quality, each of shape (n,).

        -1 and minus infinity where there is none.
        """
        if not self.ran.any():  # a third of an index decision's arrays are not made
            return np.full(self.n, NO_ARM, dtype=np.intp), np.full(self.n, -np.inf)
        quality = np.where(self.ran & ~self.rejected, self.mean, -np.inf)
        arm = quality.argmax(axis=1)
        value = quality[np.arange(self.n), arm]
        return np.where(np.isfinite(value), arm, NO_ARM), value

    def check(self) -> None:
        """Refuse numbers that are no belief; names the first row and arm."""
        shape = self.mean.shape
        if self.mean.ndim != 2 or shape[1] == 0:
            raise InvalidBelief(f"States need mean of shape (n, m) with m >= 1, got {shape}.")
        if self.sd.shape != shape or self.cost.shape != shape:
            raise InvalidBelief(
                f"States need sd and cost of the shape of mean {shape}, got {self.sd.shape} and "
                f"{self.cost.shape}."
            )
        if self.covariance is not None and self.covariance.shape != (*shape, shape[1]):
            raise InvalidBelief(
                f"States need covariance (n, m, m) for mean {shape}, got {self.covariance.shape}."
            )
        _refuse("mean", self.mean, (self.mean >= 0) & (self.mean <= 1), "in [0, 1]")
        _refuse("sd", self.sd, (self.sd >= 0) & np.isfinite(self.sd), "finite and >= 0")
        good = np.isnan(self.cost) | ((self.cost >= 0) & np.isfinite(self.cost))
        _refuse("cost", self.cost, good, "US dollars >= 0, NaN where unknown")


def stack_beliefs(beliefs: list[Belief]) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Return mean (n, m), cost (n, m) and covariance (n, m, m), None if all are independent."""
    mean = np.stack([belief.mean for belief in beliefs])
    cost = np.stack([belief.cost for belief in beliefs])
    if not any(belief.correlated for belief in beliefs):
        return mean, cost, None
    return mean, cost, np.stack([belief.covariance for belief in beliefs])


@dataclass(frozen=True, eq=False)
class Decisions:
    """What to do with each of n requests: call, else answer, else abstain.

    Attributes:
        call: The arm to call, shape (n,); -1 where none.
        answer: The arm whose reply is shown, shape (n,); -1 where none.
        final: True where the reply of ``call`` is the answer whatever it looks like, shape (n,).
        worth: The number that decided, for people, shape (n,): a utility or an index.
    """

    call: IndexArray
    answer: IndexArray
    final: BoolArray
    worth: FloatArray

    def action(self, row: int, why: str) -> Action:
        """Return one row as the action that a flow understands."""
        call, answer = int(self.call[row]), int(self.answer[row])
        reason = f"{why} {float(self.worth[row]):.3f}"
        if call != NO_ARM:
            return Call(call, bool(self.final[row]), reason)
        if answer != NO_ARM:
            return Answer(answer, reason)
        return Abstain(reason)


def _refuse(name: str, column: FloatArray, good: BoolArray, possible: str) -> None:
    if good.all():
        return
    row, arm = np.argwhere(~good)[0].tolist()
    raise InvalidBelief(f"Row {row}, arm {arm}: {name} is {column[row, arm]!r}, not {possible}.")
