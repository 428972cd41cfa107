"""Many requests at once are decided as each of them live, one call after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cascade_core import Answer, Belief, Call, Observation, PolicyError, Request, Trace, Usage
from cascade_core._states import Decisions, States
from cascade_core.evaluation.simulation import Replies, VectorRule, simulate
from cascade_core.policies import (
    AutoMixPolicy,
    CascadeRouting,
    EarlyAbstentionCascade,
    MixturePolicy,
    OptimalCascade,
    RandomMixing,
    ReservationIndexPolicy,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
)
from cascade_core.policies._vector import VectorPolicy
from cascade_core.policies.belief_cascade import BeliefCascade

RowRule = VectorPolicy | MixturePolicy | SingleModelPolicy | ThresholdCascade

EARLY = EarlyAbstentionCascade((2, 0, 3), (0.2, 0.1, 0.3), (0.8, 0.6))


def automix() -> AutoMixPolicy:
    rng = np.random.default_rng(2)
    return AutoMixPolicy(
        order=(1, 3, 0),
        prior=(0.3, 0.3, 0.2, 0.2),
        quality=((1, 0, 0, 0), (0.8, 1, 0, 0), (0.7, 0.8, 1, 0)),
        edges=((0.3, 0.7), (0.5,), ()),
        likelihood=tuple(
            tuple(map(tuple, rng.dirichlet(np.ones(bins + 1), size=4).tolist()))
            for bins in (3, 2, 1)
        ),
        cost=(0.02, 0.05, 0.1),
        cost_weight=1.0,
    )


RULES: dict[str, Callable[[], RowRule]] = {
    "reservation index": lambda: ReservationIndexPolicy(0.5),
    "reservation index, free": lambda: ReservationIndexPolicy(0.0),
    "reservation index, dear": lambda: ReservationIndexPolicy(50.0),
    "reservation index, may abstain": lambda: ReservationIndexPolicy(0.5, abstention_quality=0.6),
    "single model": lambda: SingleModelPolicy(2),
    "threshold cascade": lambda: ThresholdCascade((2, 0, 3), (0.7, 0.6)),
    "threshold cascade, lax": lambda: ThresholdCascade((1, 3), (0.0,)),
    "belief cascade": lambda: BeliefCascade((2, 0, 3), (0.7, 0.6)),
    "routing": lambda: RoutingPolicy(0.5),
    "routing, free": lambda: RoutingPolicy(0.0, cheap_share=0.5),
    "routing, ties drawn": lambda: RoutingPolicy(1.0, cheap_share=0.5),
    "random mixing": lambda: RandomMixing((0.1, 0.2, 0.0, 0.7)),
    "early abstention": lambda: EARLY,
    "early abstention, never at the end": lambda: EarlyAbstentionCascade(
        (0, 1, 2, 3), (0.2, 0.1, 0.3, -1.0), (0.8, 0.8, 0.8)
    ),
    "AutoMix": automix,
    "mixture of mixtures": lambda: MixturePolicy(
        (MixturePolicy((EARLY, ReservationIndexPolicy(0.5)), (0.5, 0.5)), automix()), (0.7, 0.3)
    ),
    "mixture": lambda: MixturePolicy(
        (EARLY, automix(), ReservationIndexPolicy(0.5)), (0.4, 0.4, 0.2)
    ),
    "cascade routing": lambda: CascadeRouting(0.5),
    "cascade routing, free": lambda: CascadeRouting(0.0, cheap_share=0.5),
    "cascade routing, dear": lambda: CascadeRouting(50.0, next="cheapest"),
    "cascade routing, λ by step": lambda: CascadeRouting((1.0, 0.1, 0.3), cheap_share=0.3),
    "cascade routing, two at most": lambda: CascadeRouting(0.1, max_depth=2),
    "cascade routing, lowest first": lambda: CascadeRouting(0.2, next="lowest_index"),
    "optimal cascade": lambda: OptimalCascade((2, 0, 1, 3), 0.3),
    "optimal cascade, sub-chain": lambda: OptimalCascade((3, 1), (0.3, 0.1), cheap_share=0.5),
}


def world(seed: int, n: int = 40, m: int = 4, correlated: bool = False) -> tuple[States, Replies]:
    rng = np.random.default_rng(seed)
    mean, sd = rng.uniform(0, 1, (n, m)), rng.uniform(0, 0.4, (n, m))
    cost = rng.uniform(0, 0.3, (n, m))
    covariance = None
    if correlated:
        factor = rng.normal(size=(n, m, m)) * 0.2
        covariance = factor @ factor.transpose(0, 2, 1)
        sd = np.sqrt(np.einsum("nii->ni", covariance))
    replies = Replies(
        estimate=rng.uniform(0, 1, (n, m)),
        cost_usd=cost * rng.uniform(0.5, 2, (n, m)),
        latency_seconds=rng.uniform(0, 1, (n, m)),
        rejected=rng.uniform(size=(n, m)) < 0.2,
    )
    states = States.before_any_call(mean, sd, cost, covariance=covariance, draw=rng.uniform(size=n))
    return states, replies


def play(rule: RowRule, start: States, replies: Replies, row: int) -> tuple[list[int], int]:
    """Return the calls and the answer of one request, decided live."""
    covariance = np.diag(start.sd[row] ** 2) if start.covariance is None else start.covariance[row]
    trace = Trace(
        Belief(start.mean[row], covariance, start.cost[row]), request=Request(draw=start.draw[row])
    )
    calls: list[int] = []
    while isinstance(action := rule.decide(trace), Call):
        arm = action.arm
        calls.append(arm)
        trace = trace.with_attempt(
            Observation(
                arm,
                float(replies.estimate[row, arm]),
                Usage(),
                float(replies.cost_usd[row, arm]),
                0.0,
                rejected_by="logged" if replies.rejected[row, arm] else None,
            )
        )
        if action.final:
            return calls, arm
    return calls, action.arm if isinstance(action, Answer) else -1


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("make", RULES.values(), ids=RULES.keys())
def test_many_at_once_are_decided_as_each_alone(
    make: Callable[[], RowRule], correlated: bool
) -> None:
    start, replies = world(3, correlated=correlated)
    paths = simulate(make(), start, replies)
    for row in range(start.n):
        calls, answer = play(make(), start, replies, row)
        logged = paths.calls[row]
        assert logged[logged >= 0].tolist() == calls
        assert paths.answer[row] == answer
        assert paths.cost_usd[row] == pytest.approx(sum(replies.cost_usd[row, calls]))
        assert paths.latency_seconds[row] == pytest.approx(sum(replies.latency_seconds[row, calls]))


def test_quality_of_an_abstention_is_nothing() -> None:
    start, replies = world(1)
    paths = simulate(ReservationIndexPolicy(1.0, abstention_quality=5.0), start, replies)
    assert (paths.answer == -1).all()
    assert (paths.quality(np.ones((start.n, start.n_arms))) == 0).all()
    assert (paths.cost_usd == 0).all()


class _Stubborn:
    def decide_many(self, states: States) -> Decisions:
        n = states.n
        arm = np.zeros(n, dtype=np.intp)
        return Decisions(arm, arm - 1, np.zeros(n, dtype=np.bool_), np.zeros(n))


class _Liar:
    def decide_many(self, states: States) -> Decisions:
        n = states.n
        arm = np.zeros(n, dtype=np.intp)
        return Decisions(arm - 1, arm, np.zeros(n, dtype=np.bool_), np.zeros(n))


@pytest.mark.parametrize("rule", [_Stubborn(), _Liar()])
def test_a_rule_that_asks_for_what_cannot_be_is_found_out(rule: VectorRule) -> None:
    with pytest.raises(PolicyError, match="where only"):
        simulate(rule, *world(2))
