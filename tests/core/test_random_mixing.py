"""A blind choice: its probabilities, and what is left of them when an arm is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cascade_core import (
    Abstain,
    Answer,
    Belief,
    Call,
    Failure,
    InvalidConfiguration,
    Observation,
    RandomMixing,
    Request,
    Trace,
    Usage,
)
from cascade_core._states import States
from cascade_core.evaluation import random_mixing
from cascade_core.outcomes import OutcomeTable

BELIEF = Belief.independent(np.array([0.3, 0.9, 0.5]), np.full(3, 0.1), np.full(3, math.nan))


def failed(arm: int) -> Failure:
    return Failure(arm, ConnectionError(), 0.0)


def test_arms_are_drawn_as_often_as_their_weights_say() -> None:
    rng, weights = np.random.default_rng(0), np.array([0.2, 0.0, 0.5, 0.3])
    n = 40_000
    nothing = np.zeros((n, 4))
    start = States.before_any_call(nothing, nothing, nothing, draw=rng.random(n))
    call = RandomMixing(tuple(weights)).decide_many(start).call
    share = np.bincount(call, minlength=4) / n
    assert share[1] == 0
    assert (np.abs(share - weights) <= 4 * np.sqrt(weights * (1 - weights) / n)).all()


@pytest.mark.parametrize(
    ("draw", "arm"),
    [(0.0, 0), (math.nextafter(0.25, 0), 0), (0.25, 2), (math.nextafter(1, 0), 2)],
)
def test_an_arm_owns_a_half_open_interval_of_draws(draw: float, arm: int) -> None:
    action = RandomMixing((0.25, 0.0, 0.75)).decide(Trace(BELIEF, request=Request(draw=draw)))
    assert isinstance(action, Call) and action.final and action.arm == arm
    assert "probability 0." in action.reason


def test_weights_that_do_not_sum_to_one_exactly_never_run_out() -> None:
    rule = RandomMixing((0.1,) * 10)
    belief = Belief.independent(np.full(10, 0.5), np.zeros(10), np.zeros(10))
    action = rule.decide(Trace(belief, request=Request(draw=math.nextafter(1, 0))))
    assert isinstance(action, Call) and action.arm == 9


def test_a_failure_leaves_its_probability_to_the_others_then_the_best_takes_over() -> None:
    rule = RandomMixing((0.5, 0.0, 0.5))
    trace = Trace(BELIEF, request=Request(draw=0.1))
    called = []
    while isinstance(action := rule.decide(trace), Call):
        called.append(action.arm)
        trace = trace.with_attempt(failed(action.arm))
    assert called == [0, 2, 1]
    assert isinstance(action, Abstain)
    cannot = rule.decide(Trace(BELIEF, unavailable=frozenset({0, 2}), request=Request(draw=0.1)))
    assert isinstance(cannot, Call) and cannot.arm == 1


def test_the_reply_is_the_answer_whatever_it_is_like() -> None:
    poor = Observation(0, 0.0, Usage(), 0.0, 0.0, rejected_by="refusal")
    action = RandomMixing((0.5, 0.0, 0.5)).decide(Trace(BELIEF, (failed(2), poor)))
    assert isinstance(action, Answer) and action.arm == 0


@pytest.mark.parametrize(
    "weights", [(), (0.5, 0.4), (1.5, -0.5), (math.nan, 1.0), (math.inf, 0.0), (0.0, 0.0)]
)
def test_weights_that_are_no_probabilities_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(InvalidConfiguration, match="sum to 1, got"):
        RandomMixing(weights)


def test_weights_for_other_arms_are_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="2 weights for 3 arms"):
        RandomMixing((0.5, 0.5)).check(3)


def test_the_mixture_of_a_baseline_is_a_rule_that_costs_what_it_says() -> None:
    rng = np.random.default_rng(1)
    table = OutcomeTable(
        ("a", "b", "c"), rng.random((60, 3)), rng.random((60, 3)) * [1, 3, 9], rng.random((60, 3))
    )
    mixture = random_mixing(table, 2.0)
    rule = RandomMixing(tuple(mixture.weights.tolist()))
    draws = np.arange(0.0005, 1, 0.001)
    mean = np.tile(table.quality.mean(axis=0), (1000, 1))
    arms = rule.decide_many(
        States.before_any_call(mean, np.zeros_like(mean), np.ones_like(mean), draw=draws)
    ).call
    assert table.cost_usd.mean(axis=0)[arms].mean() == pytest.approx(2.0, abs=0.01)
