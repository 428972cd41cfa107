"""Routing at ties: γ, the draw, and one rule for one request and for many."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cascade_core import (
    Abstain,
    Action,
    Answer,
    Belief,
    Call,
    Failure,
    InvalidConfiguration,
    Observation,
    Request,
    RoutingPolicy,
    Trace,
    Usage,
)
from cascade_core._states import States


def belief(mean: list[float], cost: list[float]) -> Belief:
    return Belief.independent(np.array(mean), np.full(len(mean), 0.2), np.array(cost))


def called(policy: RoutingPolicy, prior: Belief, draw: float, *failed: int) -> int:
    attempts = tuple(Failure(arm, ConnectionError(), 0.0) for arm in failed)
    action = policy.decide(Trace(prior, attempts, request=Request(draw=draw)))
    assert isinstance(action, Call) and action.final
    return action.arm


# At λ = 0.1 the first three have a utility of 0.3, each rounded in its own way.
TIED = belief([0.4, 0.6, 0.5, 0.39], [1.0, 3.0, 2.0, 1.0])


@pytest.mark.parametrize(("draw", "arm"), [(0.0, 0), (0.2999, 0), (0.3, 1), (0.9999, 1)])
def test_of_equal_utilities_the_cheapest_or_the_dearest_by_the_draw(draw: float, arm: int) -> None:
    assert called(RoutingPolicy(0.1, cheap_share=0.3), TIED, draw) == arm


@pytest.mark.parametrize("draw", [0.0, 0.5, math.nextafter(1, 0)])
def test_a_share_of_one_is_always_the_cheapest_and_of_none_always_the_dearest(draw: float) -> None:
    assert called(RoutingPolicy(0.1), TIED, draw) == 0
    assert called(RoutingPolicy(0.1, cheap_share=0.0), TIED, draw) == 1


def test_after_a_failure_ties_are_broken_among_what_is_left() -> None:
    rule = RoutingPolicy(0.1, cheap_share=0.3)
    assert called(rule, TIED, 0.1, 0) == 2
    assert called(rule, TIED, 0.9, 1) == 2
    assert called(rule, TIED, 0.9, 0, 1, 2) == 3


@pytest.mark.parametrize(("gap", "arm"), [(1e-10, 0), (1e-8, 1)])
def test_only_rounding_makes_a_tie(gap: float, arm: int) -> None:
    assert called(RoutingPolicy(0.0), belief([0.5, 0.5 + gap], [1.0, 2.0]), 0.0) == arm


def test_a_dear_arm_far_away_does_not_make_others_equal() -> None:
    prior = belief([0.5, 0.5 + 1e-6, 1.0], [1.0, 1.0, 1e9])
    assert called(RoutingPolicy(1.0), prior, 0.0) == 1


def test_what_all_arms_cost_alike_does_not_blur_ties() -> None:
    # 0.3 of ten billion dollars has no digits left below 1e-7.
    prior = belief([0.25, 0.25 + 0.3 * 0.5, 0.0], [1e10, 1e10 + 0.5, 1e10 + 0.25])
    assert called(RoutingPolicy(0.3), prior, 0.0) == 0
    assert called(RoutingPolicy(0.3, cheap_share=0.0), prior, 0.0) == 1
    assert called(RoutingPolicy(0.3 - 1e-6), prior, 0.0) == 1


def test_an_unknown_cost_is_the_last_choice_among_equals() -> None:
    for share in (0.0, 1.0):
        rule = RoutingPolicy(0.0, cheap_share=share)
        assert called(rule, belief([0.5, 0.5, 0.1], [math.nan, 2.0, 1.0]), 0.5) == 1
        assert called(rule, belief([0.1, 0.5, 0.5], [0.0, math.nan, math.nan]), 0.5) == 1


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan, math.inf])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InvalidConfiguration, match=r"cheap_share in \[0, 1\], got"):
        RoutingPolicy(1.0, share)


def test_the_reasons_say_why() -> None:
    rule, prior = RoutingPolicy(0.1), belief([0.5], [2.0])
    assert rule.decide(Trace(prior)).reason == "utility 0.300 at λ = 0.1"
    seen = (Observation(0, 0.1, Usage(), 0.0, 0.0),)
    assert "routed to" in rule.decide(Trace(prior, seen)).reason
    failed = (Failure(0, ConnectionError(), 0.0),)
    assert "failed" in rule.decide(Trace(prior, failed)).reason


def row(action: Action) -> tuple[int, int, bool]:
    match action:
        case Call(arm, final):
            return arm, -1, final
        case Answer(arm):
            return -1, arm, False
        case Abstain():
            return -1, -1, False


@pytest.mark.parametrize("seed", range(5))
def test_one_request_is_decided_as_many(seed: int) -> None:
    # A coarse grid: ties by the dozen; failures, arms that cannot serve, and replies.
    rng = np.random.default_rng(seed)
    ties = 0
    for _ in range(500):
        n = int(rng.integers(1, 6))
        prior = belief((rng.integers(0, 5, n) / 4).tolist(), (rng.integers(0, 5, n) / 8).tolist())
        arms = rng.permutation(n).tolist()
        failed, gone = (int(rng.integers(0, n + 1)) if rng.random() < 0.3 else 0 for _ in "ab")
        attempts: list[Observation | Failure] = [
            Failure(arm, ConnectionError(), 0.0) for arm in arms[:failed]
        ]
        if rng.random() < 0.2 and failed < n:
            attempts.append(Observation(arms[failed], 0.5, Usage(), 0.0, 0.0))
        unavailable = frozenset(arms[failed + 1 :][:gone])
        trace = Trace(prior, tuple(attempts), unavailable, Request(draw=float(rng.random())))
        rule = RoutingPolicy(float(rng.choice([0.0, 0.5, 1.0, 2.0])), cheap_share=0.5)
        many = rule.decide_many(States.of(trace))
        live = rule.decide(trace)
        assert (many.call[0], many.answer[0], many.final[0]) == row(live)
        if isinstance(live, Call):
            other = Trace(
                prior,
                tuple(attempts),
                unavailable,
                Request(draw=0.999 * (trace.request.draw < 0.5)),
            )
            ties += rule.decide(other) != live
            assert f"{many.worth[0]:.3f}" in live.reason
    assert ties > 10
