"""Building a cascade from what people really give, and what an outcome reports."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cascade_core import (
    AllModelsFailed,
    Arm,
    Call,
    Cascade,
    FittedPolicy,
    InvalidConfiguration,
    Outcome,
    PlattCalibrator,
    Policy,
    PolicyMismatch,
    Price,
    Reply,
    Request,
    SingleModelPolicy,
    ThresholdCascade,
    Usage,
    drive,
)
from cascade_core.estimators import AssumedConfidence, CalibratedConfidence, PriorEstimator

ARMS = (Arm("small", Price(1, 2)), Arm("large", Price(10, 20)))


def fitted(*names: str) -> FittedPolicy:
    n = len(names)
    return FittedPolicy(
        names,
        ThresholdCascade(tuple(range(n)), (0.9,) * (n - 1)),
        PriorEstimator((0.5,) * n, (0.1,) * n, (0.1,) * n),
        CalibratedConfidence(("s",) * n, (PlattCalibrator(1, 0),) * n, (0.5,) * n),
    )


@pytest.mark.parametrize(
    ("arms", "more", "message"),
    [
        ((), {}, r"at least one model, got none. Give models="),
        ((Arm("a"), Arm("b"), Arm("a")), {}, r"\['a'\] more than once. Give names: models=\{"),
        (ARMS, {"policy": "threshold"}, r"got 'threshold'. Possible are ThresholdCascade, "),
        (ARMS, {"policy": ThresholdCascade}, r"got <class .*Possible are ThresholdCascade, "),
        (ARMS, {"policy": 0.8}, r"got 0.8. Possible are"),
        (ARMS, {"policy": lambda trace: None}, r"Possible are"),
        (ARMS, {"policy": SingleModelPolicy(2)}, r"SingleModelPolicy\(arm=2\).*from 0 to 1"),
        (ARMS, {"policy": ThresholdCascade((0, 5), (0.5,))}, r"from 0 to 1"),
        (ARMS, {"validators": [True]}, r"a callable that takes a reply, got True as 'bool'"),
        (ARMS, {"validators": {"check": "no"}}, r"got 'no' as 'check'"),
        (ARMS, {"validators": len}, r"a list of callables.*got <built-in function len>"),
    ],
)
def test_what_cannot_be_a_cascade_is_refused(arms: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        Cascade.build(arms, **more)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("small",),
            r"\['small'\], got \['small', 'large'\].*not known to the policy: \['large'\]",
        ),
        (("small", "huge"), r"missing: \['huge'\], not known to the policy: \['large'\]"),
        (("large", "small"), r"the order differs\). Give the same models in the same order"),
    ],
)
def test_a_policy_that_was_fitted_for_other_models_is_refused(
    names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(PolicyMismatch, match=message):
        Cascade.build(ARMS, fitted(*names))


def test_a_fitted_policy_knows_as_many_arms_as_its_estimators() -> None:
    class Own:
        n_arms = 3

        def quality(self, arm: int, signals: Any) -> float:
            return 0.5

    policy = fitted("small", "large")
    with pytest.raises(PolicyMismatch, match="its PriorEstimator was fitted for 3"):
        replace(policy, ex_ante=PriorEstimator((0.5,) * 3, (0.1,) * 3, (0.1,) * 3))
    with pytest.raises(PolicyMismatch, match="its CalibratedConfidence was fitted for 1"):
        replace(policy, ex_post=fitted("small").ex_post)
    with pytest.raises(PolicyMismatch, match="its Own was fitted for 3"):
        replace(policy, ex_post=Own())
    assert replace(policy, ex_post=AssumedConfidence()).arms == ("small", "large")


def test_an_estimator_that_does_not_say_is_found_out_by_its_first_belief() -> None:
    class Own:
        def estimate(self, request: Request) -> Any:
            return PriorEstimator((0.5,) * 3, (0.1,) * 3, (0.1,) * 3).estimate(request)

    cascade = Cascade.build(ARMS, replace(fitted("small", "large"), ex_ante=Own()))
    with pytest.raises(PolicyMismatch, match="Own gave a belief about 3 arms to a cascade of 2"):
        next(cascade.run(Request()))


def test_a_fitted_policy_brings_its_own_estimators() -> None:
    policy = fitted("small", "large")
    cascade = Cascade.build(ARMS, policy)
    assert (cascade.policy, cascade.ex_ante, cascade.ex_post) == (
        policy.policy,
        policy.ex_ante,
        policy.ex_post,
    )


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_cold_start_goes_through_all_arms_in_order(n: int) -> None:
    cascade = Cascade.build([Arm(f"m{i}") for i in range(n)])
    assert cascade.policy == ThresholdCascade(tuple(range(n)), (0.8,) * (n - 1))


def test_a_cascade_of_one_answers_whatever_it_says_and_shows_it_at_once() -> None:
    flow = Cascade.build(ARMS[:1]).run(Request())
    assert next(flow) == Call(0, final=True, reason="first of the order")
    with pytest.raises(StopIteration) as stop:
        flow.send(Reply("", "", Usage(), finish_reason="length"))
    assert stop.value.value.arm == 0


def test_validators_are_named_after_what_they_are_and_none_is_lost() -> None:
    def check(_: Reply[Any]) -> bool:
        return True

    def check_3(_: Reply[Any]) -> bool:
        return True

    class Judge:
        def __call__(self, _: Reply[Any]) -> float:
            return 1.0

    given = [check, check_3, check, check, Judge(), lambda _: True, lambda _: True]
    named = Cascade.build(ARMS, validators=given).validators
    assert list(named)[:5] == ["check", "check_3", "check_2", "check_4", "Judge"]
    assert list(named)[5:] == ["<lambda>", "<lambda>_2"]
    assert [*named.values()] == given


def test_any_object_of_the_right_shape_is_a_policy() -> None:
    class Mine:
        needs_cost = False

        def check(self, n_arms: int) -> None: ...

        def decide(self, trace: Any) -> Any: ...

    assert isinstance(Mine(), Policy)
    Cascade.build(ARMS, Mine())


def scripted(*replies: Any) -> Any:
    def perform(request: Call) -> Reply[str]:
        reply = replies[request.arm]
        if isinstance(reply, Exception):
            raise reply
        return reply

    return perform


DRAFT = Reply("d", "draft", Usage(1000, 10, 400), latency_seconds=0.25, token_logprobs=(-1.0, -2.0))
FINAL = Reply("f", "final", Usage(2000, 20, estimated=True), latency_seconds=1.5)


def test_an_outcome_reports_every_attempt_and_the_right_totals() -> None:
    arms = (*ARMS, Arm("huge", Price(100, 100)))
    policy = ThresholdCascade((0, 1, 2), (0.9, 0.9))
    outcome = drive(
        Cascade.build(arms, policy).run(Request()), scripted(DRAFT, TimeoutError("slow"), FINAL)
    )
    report = json.loads(json.dumps(outcome.report(), allow_nan=False))
    first, second, third = report["attempts"]
    assert first == {
        "model": "small",
        "called_because": "first of the order",
        "status": "rejected",
        "rejected_by": None,
        "estimated_quality": pytest.approx(np.exp(-1.5)),
        "signals": {
            "mean_token_probability": pytest.approx(np.exp(-1.5)),
            "min_token_probability": pytest.approx(np.exp(-2.0)),
        },
        "usage": {
            "input_tokens": 1000,
            "output_tokens": 10,
            "cached_input_tokens": 400,
            "estimated": False,
        },
        "cost_usd": pytest.approx(1020 / 1e6),
        "latency_seconds": 0.25,
    }
    assert (second["status"], second["error"], second["cost_usd"]) == ("failed", "TimeoutError", 0)
    assert second["may_be_billed"] is True
    assert second["usage"] is None and "slow" not in json.dumps(second), "errors may quote prompts"
    assert (third["status"], third["called_because"]) == ("accepted", "the model before it failed")
    assert report["answered_by"] == "huge"
    assert report["reason"] == "last of the order"
    assert report["cost_usd"] == pytest.approx((1020 + 2020 * 100) / 1e6)
    assert report["latency_seconds"] == pytest.approx(1.75, abs=0.1)
    assert report["usage"] == {
        "input_tokens": 3000,
        "output_tokens": 30,
        "cached_input_tokens": 400,
        "estimated": True,
    }


def test_one_unknown_cost_makes_the_total_unknown_and_not_smaller() -> None:
    arms = (ARMS[0], Arm("unknown"))
    outcome = drive(Cascade.build(arms).run(Request()), scripted(DRAFT, FINAL))
    report = outcome.report()
    assert report["attempts"][0]["cost_usd"] is not None
    assert report["attempts"][1]["cost_usd"] is None
    assert report["cost_usd"] is None and outcome.cost_usd is None


class Refused(ConnectionRefusedError):
    pass


@pytest.mark.parametrize(
    ("error", "may_be_billed"),
    [(TimeoutError(), True), (Refused(), False), (RuntimeError("429"), False)],
)
def test_a_failure_that_may_be_billed_says_so_and_hides_no_other_dollars(
    error: Exception, may_be_billed: bool
) -> None:
    report = drive(Cascade.build(ARMS).run(Request()), scripted(error, FINAL)).report()
    assert report["attempts"][0]["may_be_billed"] is may_be_billed
    assert report["attempts"][0]["cost_usd"] == 0
    assert report["cost_usd"] == report["attempts"][1]["cost_usd"] > 0
    assert "may_be_billed" not in report["attempts"][1]


def test_a_cascade_that_failed_as_an_arm_says_it_of_its_own_calls() -> None:
    def inner(*errors: Exception) -> Exception:
        with pytest.raises(AllModelsFailed) as caught:
            drive(Cascade.build(ARMS).run(Request()), scripted(*errors))
        return caught.value

    def reported(error: Exception) -> Any:
        outcome = drive(Cascade.build(ARMS).run(Request()), scripted(error, FINAL))
        return outcome.report()["attempts"][0]["may_be_billed"]

    assert reported(inner(Refused(), TimeoutError())) is True
    assert reported(inner(Refused(), Refused())) is False


def test_an_abstention_reports_as_one() -> None:
    outcome: Outcome[str] = Outcome(None, None, "no", drive_once().trace, ("first",), ARMS)
    report = json.loads(json.dumps(outcome.report()))
    assert report["answered_by"] is None
    assert report["attempts"][0]["status"] == "rejected"


def drive_once() -> Outcome[str]:
    return drive(Cascade.build(ARMS[:1]).run(Request()), scripted(DRAFT))


def test_nothing_is_shared_between_requests() -> None:
    cascade = Cascade.build(ARMS)
    one = drive(cascade.run(Request()), scripted(ConnectionError(), FINAL))
    two = drive(cascade.run(Request()), scripted(FINAL, FINAL))
    assert len(one.trace.attempts) == 2
    assert len(two.trace.attempts) == 1
