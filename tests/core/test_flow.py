"""A cascade is a generator: here it is stepped by hand, without a model and without a driver."""

import math
from dataclasses import dataclass
from typing import Any

import pytest

from cascade_core import (
    Abstain,
    Action,
    AllModelsFailed,
    Answer,
    Arm,
    Call,
    Cascade,
    CascadeAbstained,
    Failed,
    Gather,
    InvalidBelief,
    Outcome,
    PolicyError,
    Price,
    Reading,
    Reply,
    Request,
    Score,
    ThresholdCascade,
    Trace,
    Usage,
    call,
    gather,
    score,
)
from cascade_core.estimators import AssumedConfidence, PriorEstimator

ARMS = (Arm("small", Price(1, 2)), Arm("large", Price(10, 20)))


def reply(text: str = "an answer", **more: Any) -> Reply[str]:
    return Reply(text, text, Usage(1000, 100), latency_seconds=0.5, **more)


def finish(flow: Any, sent: object) -> Outcome[str]:
    with pytest.raises(StopIteration) as stop:
        flow.send(sent)
    outcome = stop.value.value
    assert isinstance(outcome, Outcome)
    return outcome


@dataclass(frozen=True)
class Scripted:
    """A rule that says what it was told to say, right or wrong."""

    actions: tuple[Any, ...]
    needs_cost: bool = False

    def check(self, n_arms: int) -> None: ...

    def decide(self, trace: Trace) -> Action:
        return self.actions[len(trace.attempts)]


def test_an_accepted_draft_ends_the_cascade() -> None:
    flow = Cascade.build(ARMS).run(Request())
    assert next(flow) == Call(0, final=False, reason="first of the order")
    draft = reply()
    outcome = finish(flow, draft)
    assert outcome.reply is draft
    assert outcome.arm == 0
    assert outcome.reasons == ("first of the order",)


def test_a_rejected_draft_asks_the_next_model_and_says_why() -> None:
    def check(_: Reply[Any]) -> bool:
        raise AssertionError("a flow runs no validator, it asks for it")

    flow = Cascade.build(ARMS, validators={"check": check}).run(Request())
    next(flow)
    draft, answer = reply("draft"), reply("answer")
    assert flow.send(draft) == Score("check", check, draft)
    assert flow.send(0.0) == Call(1, final=True, reason="validator check")
    assert flow.send(answer) == Score("check", check, answer)
    outcome = finish(flow, 1.0)
    assert outcome.reply is answer
    first, second = outcome.trace.observations
    assert (first.quality, first.rejected_by) == (0.0, "validator check")
    assert (second.quality, second.rejected_by) == (1.0, None)


def test_validators_are_not_paid_for_a_reply_that_is_already_rejected() -> None:
    flow = Cascade.build(ARMS, validators=[lambda _: True]).run(Request())
    next(flow)
    assert flow.send(reply(finish_reason="length")) == Call(1, final=True, reason="truncated")


def test_the_first_validator_that_says_no_ends_the_checks() -> None:
    flow = Cascade.build(ARMS, validators={"a": len, "b": len}).run(Request())
    next(flow)
    asked = flow.send(reply())
    assert isinstance(asked, Score) and asked.name == "a"
    assert isinstance(flow.send(0.0), Call)


@pytest.mark.parametrize(("verdicts", "quality"), [((0.7, 0.4), 0.4), ((0.4, 0.7), 0.4)])
def test_the_least_validator_caps_the_estimate(
    verdicts: tuple[float, float], quality: float
) -> None:
    policy = ThresholdCascade((0, 1), (0.0,))
    flow = Cascade.build(ARMS, policy, {"a": len, "b": len}).run(Request())
    next(flow)
    flow.send(reply(token_logprobs=(math.log(0.9),)))
    flow.send(verdicts[0])
    outcome = finish(flow, verdicts[1])
    assert outcome.trace.observations[0].quality == quality


def test_a_validator_never_vouches_for_more_than_the_estimate() -> None:
    policy = ThresholdCascade((0, 1), (0.0,))
    flow = Cascade.build(ARMS, policy, {"a": len}).run(Request())
    next(flow)
    flow.send(reply(token_logprobs=(math.log(0.3),)))
    assert finish(flow, 1.0).trace.observations[0].quality == pytest.approx(0.3)


def test_a_failure_hands_over_and_is_kept() -> None:
    flow = Cascade.build(ARMS).run(Request())
    next(flow)
    error = ConnectionError("down")
    assert flow.send(Failed(error, 0.2)) == Call(1, final=True, reason="the model before it failed")
    outcome = finish(flow, reply())
    assert outcome.arm == 1
    assert [f.error for f in outcome.trace.failures] == [error]
    assert outcome.trace.failures[0].cost_usd == 0.0


def test_what_a_broken_call_had_used_is_paid() -> None:
    flow = Cascade.build(ARMS).run(Request())
    next(flow)
    flow.send(Failed(ConnectionError(), 0.2, Usage(1000, 50)))
    outcome = finish(flow, reply())
    assert outcome.trace.failures[0].cost_usd == pytest.approx((1000 * 1 + 50 * 2) / 1e6)
    assert outcome.cost_usd == pytest.approx((1100 + 1000 * 10 + 100 * 20) / 1e6)


def test_all_failures_end_in_one_error_with_every_cause() -> None:
    flow = Cascade.build(ARMS).run(Request())
    next(flow)
    errors = (ConnectionError("a"), TimeoutError("b"))
    flow.send(Failed(errors[0], 0.1))
    with pytest.raises(AllModelsFailed, match=r"small: ConnectionError; large: Timeout") as info:
        flow.send(Failed(errors[1], 0.1))
    assert info.value.exceptions == errors
    assert info.value.trace is not None and len(info.value.trace.attempts) == 2


def test_the_group_of_all_failures_can_be_handled_by_except_star() -> None:
    flow = Cascade.build(ARMS).run(Request())
    next(flow)
    flow.send(Failed(ConnectionError("a"), 0.1))
    seen: list[BaseExceptionGroup[Any]] = []
    try:
        flow.send(Failed(TimeoutError("b"), 0.1))
    except* ConnectionError as group:
        seen.append(group)
    except* TimeoutError as group:
        seen.append(group)
    assert all(isinstance(g, AllModelsFailed) and g.trace is not None for g in seen)
    assert len(seen) == 2


def test_a_rejected_draft_is_not_the_answer_when_all_later_models_fail() -> None:
    flow = Cascade.build(ARMS).run(Request())
    next(flow)
    flow.send(reply(token_logprobs=(math.log(0.5),)))
    with pytest.raises(AllModelsFailed, match=r"small: rejected \(estimated quality 0.500\)"):
        flow.send(Failed(ConnectionError(), 0.1))


def test_a_reply_that_states_its_cost_is_believed() -> None:
    flow = Cascade.build(ARMS).run(Request())
    next(flow)
    assert finish(flow, reply(cost_usd=0.25)).cost_usd == 0.25


def test_a_free_reply_is_free_and_not_priced_again() -> None:
    flow = Cascade.build(ARMS).run(Request())
    next(flow)
    assert finish(flow, reply(cost_usd=0.0)).cost_usd == 0.0


def test_a_nested_cascade_that_gave_up_is_charged_for_what_it_spent() -> None:
    inner = Cascade.build(ARMS[:1]).run(Request())
    next(inner)
    with pytest.raises(AllModelsFailed) as failed:
        inner.send(Failed(ConnectionError(), 0.1, Usage(1000, 0)))

    outer = Cascade.build((Arm("inner"), ARMS[1])).run(Request())
    next(outer)
    outer.send(Failed(failed.value, 0.1))
    outcome = finish(outer, reply())
    assert outcome.trace.failures[0].cost_usd == pytest.approx(0.001)
    assert outcome.trace.failures[0].usage == Usage(1000, 0)


def test_a_nested_abstention_without_a_trace_is_a_failure_that_cost_nothing() -> None:
    flow = Cascade.build(ARMS).run(Request())
    next(flow)
    flow.send(Failed(CascadeAbstained("no"), 0.1))
    assert finish(flow, reply()).trace.failures[0].cost_usd == 0.0


def test_an_abstention_is_an_outcome_and_no_error() -> None:
    policy = Scripted((Call(0), Abstain("nothing will do")))
    flow = Cascade.build(ARMS, policy).run(Request())
    next(flow)
    outcome = finish(flow, reply())
    assert (outcome.reply, outcome.arm, outcome.reason) == (None, None, "nothing will do")
    assert outcome.cost_usd is not None and outcome.cost_usd > 0


def test_abstaining_while_a_model_is_left_is_a_decision_even_after_a_failure() -> None:
    flow = Cascade.build(ARMS, Scripted((Call(0), Abstain("enough")))).run(Request())
    next(flow)
    assert finish(flow, Failed(ConnectionError(), 0.1)).reason == "enough"


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ((Call(0), Call(0)), "cannot be"),
        ((Call(2),), "cannot be"),
        ((Call(-1),), "cannot be"),
        ((Answer(0),), "never replied"),
        ((Call(0), Answer(1)), "never replied"),
        ((None,), "returns Call, Answer or Abstain"),
        ((Call(0), "stop"), "returns Call, Answer or Abstain"),
        ((Call(0, final=True), Call(1)), "marked its call of 'small' as final"),
        ((Call(0, final=True), Abstain()), "marked its call of 'small' as final"),
        ((Call(0), Call(1, final=True), Answer(0)), "marked its call of 'large' as final"),
    ],
)
def test_a_rule_that_breaks_its_contract_is_found_out(
    actions: tuple[Any, ...], message: str
) -> None:
    flow = Cascade.build(ARMS, Scripted(actions)).run(Request())

    def play() -> None:
        effect = next(flow)
        while isinstance(effect, Call):
            effect = flow.send(reply())

    with pytest.raises(PolicyError, match=message):
        play()


def test_a_failed_arm_cannot_be_the_answer() -> None:
    flow = Cascade.build(ARMS, Scripted((Call(0), Answer(0)))).run(Request())
    next(flow)
    with pytest.raises(PolicyError, match="never replied"):
        flow.send(Failed(ConnectionError(), 0.1))


def test_an_arm_that_cannot_serve_the_request_is_never_asked() -> None:
    flow = Cascade.build(ARMS).run(Request(unavailable=frozenset({0})))
    assert next(flow) == Call(1, final=True, reason="first of the order")


@pytest.mark.parametrize("estimate", [math.nan, -0.1, 1.1, math.inf])
def test_an_estimate_that_is_no_probability_is_not_taken_for_a_good_one(estimate: float) -> None:
    class Broken:
        def quality(self, arm: int, signals: Any) -> float:
            return estimate

    policy = ThresholdCascade((0, 1), (0.5,))
    cascade = Cascade(ARMS, policy, PriorEstimator.assumed(ARMS), Broken())
    flow = cascade.run(Request())
    next(flow)
    with pytest.raises(InvalidBelief, match="small"):
        flow.send(reply())


def test_every_signal_is_kept_in_the_trace_even_after_a_rejection() -> None:
    class Length:
        def read(self, reply: Reply[Any]) -> Reading:
            return Reading({"length": float(len(reply.text))}, "short")

    class Second:
        def read(self, reply: Reply[Any]) -> Reading:
            return Reading({"second": 0.5}, "other")

    cascade = Cascade(
        ARMS,
        ThresholdCascade((0, 1), (0.0,)),
        PriorEstimator.assumed(ARMS),
        AssumedConfidence(),
        signals=(Length(), Second()),
    )
    flow = cascade.run(Request())
    next(flow)
    assert flow.send(reply("abc")) == Call(1, final=True, reason="short")
    observed = finish(flow, reply("abcd")).trace.observations[0]
    assert dict(observed.signals) == {"length": 3.0, "second": 0.5}


def test_flows_compose_with_yield_from() -> None:
    def validator(_: Reply[Any]) -> float:
        return 1.0

    def judged() -> Any:
        first = yield from call(Call(0))
        both = yield from gather([Call(1), Call(2)])
        verdict = yield from score("judge", validator, first)
        return first, both, verdict

    flow = judged()
    assert next(flow) == Call(0)
    first, pair = reply("a"), (reply("b"), reply("c"))
    assert flow.send(first) == Gather((Call(1), Call(2)))
    assert flow.send(pair) == Score("judge", validator, first)
    with pytest.raises(StopIteration) as stop:
        flow.send(0.5)
    assert stop.value.value == (first, pair, 0.5)
