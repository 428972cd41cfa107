"""Mixtures: any budget is met exactly, and a request keeps the rule that its draw chose."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from cascade_core import (
    Action,
    Answer,
    Belief,
    Call,
    InvalidConfiguration,
    Observation,
    Request,
    Trace,
    Usage,
)
from cascade_core._states import States
from cascade_core.evaluation.simulation import Replies, simulate
from cascade_core.policies import (
    EarlyAbstentionCascade,
    MixturePolicy,
    Policy,
    ReservationIndexPolicy,
    SingleModelPolicy,
    ThresholdCascade,
)
from cascade_core.policies.mixture import meet_budget, upper_hull


@dataclass(frozen=True)
class Point:
    policy: Policy
    quality: float
    cost: float


def point(cost: float, quality: float) -> Point:
    return Point(SingleModelPolicy(int(cost)), quality, cost)


POINTS = [point(1, 0.5), point(2, 0.6), point(3, 0.8), point(3, 0.7), point(5, 0.9), point(9, 0.85)]


def test_the_hull_leaves_out_what_a_mixture_of_others_beats() -> None:
    assert [p.cost for p in upper_hull(POINTS)] == [1, 3, 5]
    assert [p.cost for p in upper_hull(POINTS[::-1])] == [1, 3, 5]
    assert [p.cost for p in upper_hull([point(2, 0.5), point(2, 0.7)])] == [2]


@pytest.mark.parametrize("budget", np.linspace(1, 5, 17).tolist())
def test_a_budget_is_spent_to_the_last_dollar_at_the_best_quality(budget: float) -> None:
    mixed = meet_budget(POINTS, budget)
    parts = [(mixed.policy, 1.0)]
    if isinstance(mixed.policy, MixturePolicy):
        parts = list(zip(mixed.policy.policies, mixed.policy.weights, strict=True))
    figures = {p.policy: p for p in POINTS if p != point(3, 0.7)}
    spent = sum(weight * figures[policy].cost for policy, weight in parts)
    assert mixed.cost == pytest.approx(budget)
    assert spent == pytest.approx(budget)
    gained = sum(weight * figures[policy].quality for policy, weight in parts)
    assert mixed.quality == pytest.approx(gained)
    best = max(
        (1 - g) * a.quality + g * b.quality
        for a in POINTS
        for b in POINTS
        for g in np.linspace(0, 1, 201)
        if (1 - g) * a.cost + g * b.cost <= budget + 1e-12
    )
    assert mixed.quality >= best - 1e-12


def test_more_than_the_best_costs_is_not_spent() -> None:
    assert meet_budget(POINTS, 100.0).policy == SingleModelPolicy(5)
    assert meet_budget(POINTS, 3.0).policy == SingleModelPolicy(3), "a point of the hull is no mix"


@pytest.mark.parametrize("budget", [0.99, -1.0, math.nan, math.inf])
def test_a_budget_that_cannot_be_met_is_refused(budget: float) -> None:
    with pytest.raises(InvalidConfiguration, match=r"cheapest costs 1"):
        meet_budget(POINTS, budget)
    with pytest.raises(InvalidConfiguration, match="there is none"):
        meet_budget([], budget)


def start(n: int) -> tuple[States, Replies]:
    rng = np.random.default_rng(0)
    estimate = rng.random((n, 3))
    cost = np.tile([1.0, 2.0, 4.0], (n, 1))
    states = States.before_any_call(
        np.full((n, 3), 0.5), np.full((n, 3), 0.2), cost, draw=rng.random(n)
    )
    replies = Replies(estimate, cost, np.zeros((n, 3)), np.zeros((n, 3), dtype=np.bool_))
    return states, replies


ONE = EarlyAbstentionCascade((0, 2), (0.2, -1.0), (0.6,))
TWO = EarlyAbstentionCascade((1,), (-1.0,), ())


def test_each_rule_gets_its_share_and_its_requests_are_decided_as_by_it_alone() -> None:
    states, replies = start(40_000)
    mixed = simulate(MixturePolicy((ONE, TWO), (0.3, 0.7)), states, replies)
    alone = [simulate(rule, states, replies) for rule in (ONE, TWO)]
    first = states.draw < 0.3
    np.testing.assert_array_equal(mixed.answer, np.where(first, alone[0].answer, alone[1].answer))
    np.testing.assert_array_equal(
        mixed.cost_usd, np.where(first, alone[0].cost_usd, alone[1].cost_usd)
    )
    expected = 0.3 * alone[0].cost_usd.mean() + 0.7 * alone[1].cost_usd.mean()
    assert mixed.cost_usd.mean() == pytest.approx(expected, abs=4 * mixed.cost_usd.std() / 200)


def test_what_is_left_of_the_draw_is_uniform_again() -> None:
    inner = MixturePolicy((ONE, TWO), (0.5, 0.5))
    nested = MixturePolicy((inner, TWO), (0.4, 0.6))
    states, replies = start(40_000)
    calls = simulate(nested, states, replies).calls[:, 0]
    assert (calls == 0).mean() == pytest.approx(0.2, abs=0.01)


def test_a_rule_of_no_weight_is_never_chosen() -> None:
    states, replies = start(200)
    edges = np.concatenate([[0.0, np.nextafter(1.0, 0.0)], states.draw[2:]])
    states = States.before_any_call(states.mean, states.sd, states.cost, draw=edges)
    for weights in [(0.0, 1.0, 0.0), (1e-17, 1.0, 0.0)]:
        policy = MixturePolicy((ONE, TWO, ONE), weights)
        assert (simulate(policy, states, replies).calls[1:, 0] == 1).all()


class Own:
    """A rule of a user, which knows of no rows."""

    needs_cost = False

    def check(self, n_arms: int) -> None:
        pass

    def decide(self, trace: Trace) -> Action:
        return Call(0)


def test_live_a_request_keeps_its_rule_and_any_rule_can_be_mixed() -> None:
    policy = MixturePolicy((ThresholdCascade((0, 1), (0.9,)), SingleModelPolicy(2)), (0.5, 0.5))
    belief = Belief.independent(np.full(3, 0.5), np.full(3, 0.1), np.full(3, 1.0))
    low, high = (Trace(belief, request=Request(draw=draw)) for draw in (0.49, 0.51))
    assert isinstance(first := policy.decide(low), Call) and first.arm == 0
    assert isinstance(only := policy.decide(high), Call) and only.arm == 2
    after = low.with_attempt(Observation(0, 0.5, Usage(), 1.0, 0.0))
    assert isinstance(second := policy.decide(after), Call) and second.arm == 1
    after = high.with_attempt(Observation(2, 0.5, Usage(), 1.0, 0.0))
    assert isinstance(policy.decide(after), Answer)
    with pytest.raises(InvalidConfiguration, match="no decide_many"):
        MixturePolicy((Own(), ONE), (0.5, 0.5)).decide_many(States.of(low))


def test_it_needs_what_its_rules_need() -> None:
    assert MixturePolicy((ONE, ReservationIndexPolicy(1.0)), (0.5, 0.5)).needs_cost
    assert not MixturePolicy((ONE, TWO), (0.5, 0.5)).needs_cost
    with pytest.raises(InvalidConfiguration, match="from 0 to 1"):
        MixturePolicy((TWO, ONE), (0.5, 0.5)).check(2)


@pytest.mark.parametrize(
    "weights", [(), (1.0,), (0.5, 0.6), (-0.5, 1.5), (math.nan, 1.0), (0.2, 0.3, 0.5)]
)
def test_weights_that_are_none_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(InvalidConfiguration, match="MixturePolicy needs a weight"):
        MixturePolicy((ONE, TWO), weights)
