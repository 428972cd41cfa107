"""What each rule decides, against brute force and by hand."""

import math
from typing import Any

import numpy as np
import pytest

from cascade_core import (
    Abstain,
    Action,
    Answer,
    Belief,
    Call,
    Failure,
    Observation,
    ReservationIndexPolicy,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
    Trace,
    Usage,
)


def belief(mean: Any, cost: Any = None) -> Belief:
    mean = np.asarray(mean, dtype=float)
    cost = np.ones_like(mean) if cost is None else np.asarray(cost, dtype=float)
    return Belief.independent(mean, np.full_like(mean, 0.2), cost)


def seen(arm: int, quality: float, rejected_by: str | None = None) -> Observation:
    return Observation(arm, quality, Usage(), 0.0, 0.0, rejected_by=rejected_by)


def failed(arm: int) -> Failure:
    return Failure(arm, ConnectionError(), 0.0)


def what(action: Action) -> tuple[Any, ...]:
    """Return the decision without its reason, which is for people."""
    if isinstance(action, Call):
        return ("call", action.arm, "final" if action.final else "draft")
    return ("answer", action.arm) if isinstance(action, Answer) else ("abstain",)


def test_routing_is_the_argmax_of_utility_and_ties_go_to_the_cheapest() -> None:
    # A coarse grid of binary fractions: exact arithmetic, and plenty of ties.
    rng = np.random.default_rng(0)
    ties = 0
    for _ in range(500):
        n = int(rng.integers(1, 6))
        mean, cost = rng.integers(0, 5, n) / 4, rng.integers(0, 5, n) / 8
        λ = float(rng.choice([0.0, 0.5, 1.0, 2.0]))
        utility = [mean[m] - λ * cost[m] for m in range(n)]
        best = [m for m in range(n) if utility[m] == max(utility)]
        cheapest = min(best, key=lambda m: (cost[m], m))
        ties += len(best) > 1
        decision = RoutingPolicy(λ).decide(Trace(belief(mean, cost)))
        assert what(decision) == ("call", cheapest, "final")
    assert ties > 50


def test_routing_asks_the_next_best_after_a_failure_and_gives_up_after_the_last() -> None:
    policy = RoutingPolicy(1.0)
    trace = Trace(belief([0.9, 0.5, 0.7], [0, 0, 0]))
    called = []
    while isinstance(action := policy.decide(trace), Call):
        called.append(action.arm)
        trace = trace.with_attempt(failed(action.arm))
    assert called == [0, 2, 1]
    assert isinstance(action, Abstain)


def test_a_single_model_is_replaced_by_the_best_of_the_others_only_if_it_fails() -> None:
    policy, prior = SingleModelPolicy(1), belief([0.4, 0.5, 0.3])
    assert what(policy.decide(Trace(prior))) == ("call", 1, "final")
    rejected = Trace(prior, (seen(1, 0.0, "refusal"),))
    assert what(policy.decide(rejected)) == ("answer", 1)
    assert what(policy.decide(Trace(prior, (failed(1),)))) == ("call", 0, "final")
    assert what(policy.decide(Trace(prior, (failed(1), failed(0))))) == ("call", 2, "final")
    assert what(policy.decide(Trace(prior, (failed(1), failed(0), failed(2))))) == ("abstain",)


CHAIN = ThresholdCascade((2, 0), (0.6,))


@pytest.mark.parametrize(
    ("attempts", "decision"),
    [
        ((), ("call", 2, "draft")),
        ((seen(2, 0.6),), ("answer", 2)),
        ((seen(2, math.nextafter(0.6, 0)),), ("call", 0, "final")),
        ((seen(2, 1.0, "truncated"),), ("call", 0, "final")),
        ((seen(2, 0.1), seen(0, 0.0)), ("answer", 0)),
        ((seen(2, 0.1), seen(0, 0.0, "empty")), ("answer", 0)),
        ((failed(2),), ("call", 0, "final")),
        ((failed(2), seen(0, 0.0)), ("answer", 0)),
        # Arm 1 is none of the chain, but better than no answer; a rejected draft is not.
        ((seen(2, 0.5), failed(0)), ("call", 1, "final")),
        ((seen(2, 0.5), failed(0), seen(1, 0.0)), ("answer", 1)),
        ((seen(2, 0.5), failed(0), failed(1)), ("abstain",)),
    ],
)
def test_a_threshold_cascade_step_by_step(
    attempts: tuple[Observation | Failure, ...], decision: tuple[Any, ...]
) -> None:
    trace = Trace(belief([0.5, 0.5, 0.5]), attempts)
    assert what(CHAIN.decide(trace)) == decision


def test_a_threshold_of_zero_still_rejects_what_something_hard_speaks_against() -> None:
    policy = ThresholdCascade((0, 1), (0.0,))
    prior = belief([0.5, 0.5])
    assert what(policy.decide(Trace(prior, (seen(0, 0.0),)))) == ("answer", 0)
    assert what(policy.decide(Trace(prior, (seen(0, 0.0, "empty"),)))) == ("call", 1, "final")


def test_without_the_last_arm_of_the_chain_the_one_before_it_answers() -> None:
    policy = ThresholdCascade((0, 1, 2), (0.9, 0.9))
    trace = Trace(belief([0.5, 0.5, 0.5]), (seen(0, 0.1),), frozenset({2}))
    assert what(policy.decide(trace)) == ("call", 1, "final")
    assert what(policy.decide(trace.with_attempt(seen(1, 0.1)))) == ("answer", 1)


def test_the_index_rule_never_answers_with_what_something_hard_speaks_against() -> None:
    policy = ReservationIndexPolicy(0.1)
    prior = belief([0.5, 0.5])
    rejected = (seen(0, 0.0, "refusal"),)
    assert what(policy.decide(Trace(prior, rejected))) == ("call", 1, "final")
    assert what(policy.decide(Trace(prior, (*rejected, failed(1))))) == ("abstain",)


def test_the_index_rule_goes_back_to_its_best_draft() -> None:
    policy = ReservationIndexPolicy(0.1)
    prior = belief([0.9, 0.9], [0.1, 0.1])
    trace = Trace(prior, (seen(0, 0.6), seen(1, 0.3)))
    assert what(policy.decide(trace)) == ("answer", 0)
    assert what(policy.decide(Trace(prior, (seen(0, 0.6), failed(1))))) == ("answer", 0)


def test_reasons_say_the_numbers_that_decided() -> None:
    trace = Trace(belief([0.5, 0.5, 0.5]), (seen(2, 0.25),))
    assert CHAIN.decide(trace).reason == "estimated quality 0.250 < 0.600"
    trace = Trace(belief([0.5, 0.5, 0.5]), (seen(2, 0.75),))
    assert CHAIN.decide(trace).reason == "estimated quality 0.750 >= 0.600"
    trace = Trace(belief([0.5, 0.5, 0.5]), (seen(2, 0.0, "truncated"),))
    assert CHAIN.decide(trace).reason == "truncated"
