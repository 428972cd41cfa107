"""The live code on logged outcomes: one request after the other, with replies from the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core._cascade import Cascade, FittedPolicy
from cascade_core._drivers import drive
from cascade_core._types import Arm, Call, Reply, Request, Usage
from cascade_core.errors import InvalidOutcomes
from cascade_core.evaluation.results import Results
from cascade_core.outcomes import OutcomeTable
from cascade_core.signals import Reading


@dataclass(frozen=True, slots=True)
class _Logged:
    """A logged reply: what its signals were, and whether one spoke hard against it."""

    signals: dict[str, float]
    rejected: bool


@dataclass(frozen=True, slots=True)
class _LoggedSignal:
    """Reads back what was logged."""

    def read(self, reply: Reply[_Logged]) -> Reading:
        return Reading(reply.value.signals, "logged" if reply.value.rejected else None)


def replay_live(policy: FittedPolicy, table: OutcomeTable) -> Results:
    """Return what ``policy`` does on the requests of ``table``; ``replay`` is the faster way.

    Raises:
        InvalidOutcomes: The policy was fitted for other arms than the table has.
    """
    check_arms(policy, table)
    cascade = Cascade(
        tuple(Arm(name) for name in table.arms),
        policy.policy,
        policy.ex_ante,
        policy.ex_post,
        policy.joint,
        signals=(_LoggedSignal(),),
    )
    outcomes = [
        drive(cascade.run(request), partial(_reply, table, row))
        for row, request in enumerate(requests_of(table))
    ]
    arms = np.array([-1 if o.arm is None else o.arm for o in outcomes], dtype=np.intp)
    answered = arms >= 0
    quality = np.where(answered, table.quality[np.arange(len(arms)), arms], 0.0)
    cost = np.array([o.cost_usd for o in outcomes], dtype=np.float64)
    latency = np.array([o.latency_seconds for o in outcomes], dtype=np.float64)
    return Results(table.arms, quality, cost, latency, arms)


def check_arms(policy: FittedPolicy, table: OutcomeTable) -> None:
    """Refuse a policy that was fitted for other arms than the table has."""
    if policy.arms != table.arms:
        raise InvalidOutcomes(
            f"The policy is for {list(policy.arms)}, the outcomes are of {list(table.arms)}. "
            "table.with_arms(policy.arms) orders them."
        )


def requests_of(table: OutcomeTable) -> Iterator[Request]:
    """Yield the request of every row."""
    # Live a hash of the run breaks ties. Here the row stands for the run, the same every time.
    draws = draws_of(table).tolist()
    for row, draw in enumerate(draws):
        text = None if table.prompts is None else table.prompts[row]
        domain = None if table.domains is None else table.domains[row]
        yield Request(text or "", row, draw=draw, domain=domain)


def draws_of(table: OutcomeTable) -> FloatArray:
    """Return the number in [0, 1) of every row that breaks its ties, shape (n,)."""
    return np.random.default_rng(0).random(table.n_requests)


def _reply(table: OutcomeTable, row: int, call: Call) -> Reply[_Logged]:
    arm = call.arm
    signals = {
        name: float(values[row, arm])
        for name, values in table.signals.items()
        if np.isfinite(values[row, arm])
    }
    rejected = table.rejected is not None and bool(table.rejected[row, arm])
    return Reply(
        _Logged(signals, rejected),
        text=_answer(table, row, arm),
        usage=Usage(),
        cost_usd=float(table.cost_usd[row, arm]),
        latency_seconds=float(table.latency_seconds[row, arm]),
    )


def _answer(table: OutcomeTable, row: int, arm: int) -> str:
    """Return text that is equal where the logged answers were."""
    code = -1 if table.answers is None else int(table.answers[row, arm])
    return "" if code < 0 else f"answer {code}"
