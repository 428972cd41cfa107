"""The best reply so far answers, once it is good enough."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_core import (
    Action,
    Answer,
    Belief,
    BeliefCascade,
    Call,
    Failure,
    InvalidConfiguration,
    Observation,
    ThresholdCascade,
    Trace,
    Usage,
)
from cascade_core._states import States

PRIOR = Belief.independent(np.array([0.4, 0.6, 0.8]), np.full(3, 0.2), np.full(3, 1.0))


def after(*replies: tuple[int, float], rejected: int | None = None) -> Trace:
    trace = Trace(PRIOR)
    for arm, quality in replies:
        why = "cut off" if arm == rejected else None
        trace = trace.with_attempt(Observation(arm, quality, Usage(), 1.0, 0.0, rejected_by=why))
    return trace


RULE = BeliefCascade((0, 1, 2), (0.7, 0.6))


def test_it_goes_on_below_the_threshold_and_stops_at_it() -> None:
    first = RULE.decide(Trace(PRIOR))
    assert isinstance(first, Call) and first.arm == 0 and not first.final
    second = RULE.decide(after((0, 0.69)))
    assert isinstance(second, Call) and second.arm == 1
    done = RULE.decide(after((0, 0.7)))
    assert isinstance(done, Answer) and done.arm == 0


def test_each_level_has_its_own_threshold_and_the_best_so_far_answers() -> None:
    # 0.65 was too little at the first level and is enough at the second, though arm 1 is worse.
    done = RULE.decide(after((0, 0.65), (1, 0.1)))
    assert isinstance(done, Answer) and done.arm == 0
    last = RULE.decide(after((0, 0.3), (1, 0.5), (2, 0.2)))
    assert isinstance(last, Answer) and last.arm == 1


def test_a_rejected_reply_is_not_the_best() -> None:
    going = RULE.decide(after((0, 0.9), rejected=0))
    assert isinstance(going, Call) and going.arm == 1


@pytest.mark.parametrize(
    ("order", "thresholds"), [((), ()), ((0, 0), (0.5,)), ((0, 1), ()), ((0, 1), (np.nan,))]
)
def test_what_is_no_chain_is_refused(order: tuple[int, ...], thresholds: tuple[float, ...]) -> None:
    with pytest.raises(InvalidConfiguration, match="BeliefCascade needs"):
        BeliefCascade(order, thresholds)
    with pytest.raises(InvalidConfiguration, match="arms from 0 to 1"):
        RULE.check(2)


def same(one: Action, other: Action) -> bool:
    if isinstance(one, Call) and isinstance(other, Call):
        return (one.arm, one.final) == (other.arm, other.final)
    if isinstance(one, Answer) and isinstance(other, Answer):
        return one.arm == other.arm
    return type(one) is type(other)


def attempt(arm: int, rng: np.random.Generator) -> Observation | Failure:
    if rng.random() < 0.25:
        return Failure(arm, TimeoutError(), 0.0)
    why = "cut off" if rng.random() < 0.2 else None
    return Observation(arm, float(rng.random()), Usage(), 1.0, 0.0, rejected_by=why)


@pytest.mark.parametrize("seed", range(8))
def test_a_threshold_cascade_decides_one_trace_as_it_decides_many(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(60):
        order = tuple(rng.permutation(3)[: rng.integers(1, 4)].tolist())
        rule = ThresholdCascade(order, tuple(rng.random(len(order) - 1).tolist()))
        gone = frozenset(np.flatnonzero(rng.random(3) < 0.3).tolist())
        trace = Trace(PRIOR, unavailable=gone)
        action = rule.decide(trace)
        while True:
            assert same(action, rule.decide_many(States.of(trace)).action(0, "")), trace
            if not isinstance(action, Call):
                break
            trace = trace.with_attempt(attempt(action.arm, rng))
            action = rule.decide(trace)
