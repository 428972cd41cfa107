"""Four drivers, one table of scenarios: none of them may disagree with another."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cascade_core import (
    Abstain,
    Action,
    AllModelsFailed,
    Answer,
    Arm,
    Call,
    Cascade,
    Flow,
    Policy,
    PolicyError,
    Price,
    Reply,
    Request,
    RoutingPolicy,
    SingleModelPolicy,
    Trace,
    Usage,
    ValidatorError,
    drive,
    drive_async,
)

ARMS = tuple(Arm(name, Price(price, price)) for name, price in [("s", 1), ("m", 4), ("l", 16)])
DOWN, BUG = ConnectionError("down"), ValueError("token budget exceeded")


def is_good(reply: Reply[Any]) -> bool:
    return "good" in reply.text


@dataclass(frozen=True)
class Says:
    """A rule that says what it was told to say, right or wrong."""

    actions: tuple[Action, ...]
    needs_cost: bool = False

    def check(self, n_arms: int) -> None: ...

    def decide(self, trace: Trace) -> Action:
        return self.actions[len(trace.attempts)]


@dataclass(frozen=True)
class Case:
    arms: tuple[tuple[Any, ...], ...]
    called: list[int]
    answer: str | None
    policy: Policy | None = None
    failures: int = 0


CASES = {
    "accept the first": Case((("go", "od"), ("x",), ("x",)), [0], "good"),
    "reject, then accept": Case((("poor",), ("good",), ("x",)), [0, 1], "good"),
    "the last one answers as it is": Case((("poor",), ("bad",), ("so-so",)), [0, 1, 2], "so-so"),
    "failure, then takeover": Case(((DOWN,), ("good",), ("x",)), [0, 1], "good", failures=1),
    "the last one fails": Case(
        ((DOWN,), ("good",)), [0, 1], "good", SingleModelPolicy(0), failures=1
    ),
    "an empty reply is rejected": Case((("",), ("good",), ("x",)), [0, 1], "good"),
    "routing keeps a poor answer": Case(
        (("poor",), ("good",), ("x",)), [2], "x", RoutingPolicy(0.0)
    ),
    "abstain at once": Case((("x",), ("x",)), [], None, Says((Abstain("no"),))),
    "abstain after a draft": Case((("x",), ("x",)), [0], None, Says((Call(0), Abstain("no")))),
    "answer with an earlier draft": Case(
        (("first",), ("second",)), [0, 1], "first", Says((Call(0), Call(1), Answer(0)))
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_every_driver_reaches_the_same_outcome(driver: Any, script: Any, case: Case) -> None:
    models = script(*case.arms)
    cascade = Cascade.build(ARMS[: len(case.arms)], case.policy, [is_good])
    driven = await driver(cascade.run(Request()), models)
    outcome = driven.result
    assert models.called == case.called
    assert (None if outcome.reply is None else outcome.reply.text) == case.answer
    assert len(outcome.trace.failures) == case.failures
    if driven.chunks:
        assert "".join(driven.chunks) == case.answer


async def test_all_failures_surface_as_one_group(driver: Any, script: Any) -> None:
    late = TimeoutError("late")
    models = script((DOWN,), (late,), (DOWN,))
    with pytest.raises(AllModelsFailed) as info:
        await driver(Cascade.build(ARMS).run(Request()), models)
    assert info.value.exceptions == (DOWN, late, DOWN)
    assert models.called == [0, 1, 2]


async def test_an_error_that_is_not_the_models_surfaces_unchanged(driver: Any, script: Any) -> None:
    cause = KeyError("why")
    error = ValueError("token budget exceeded")
    error.__cause__ = cause
    models = script((error,), ("good",), ("good",))
    with pytest.raises(ValueError) as info:
        await driver(Cascade.build(ARMS).run(Request()), models)
    assert info.value is error
    assert info.value.__cause__ is cause
    assert models.called == [0], "a bug of the caller buys no dearer model"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_failure_of_a_model(interrupt: type[BaseException], script: Any) -> None:
    models = script((interrupt(),), ("good",), ("good",))
    with pytest.raises(interrupt):
        drive(Cascade.build(ARMS).run(Request()), models.call)
    assert models.called == [0]


async def test_a_caller_may_say_which_errors_are_recoverable(script: Any) -> None:
    models = script((BUG,), ("good",), ("good",))
    flow = Cascade.build(ARMS).run(Request())
    outcome = await drive_async(flow, models.acall, recoverable=lambda error: error is BUG)
    assert outcome.arm == 1


async def test_a_broken_judge_is_not_mistaken_for_a_broken_model(driver: Any, script: Any) -> None:
    broken = ConnectionError("the judge is down: a model's failure if it were one")

    def judge(_: Reply[Any]) -> bool:
        raise broken

    models = script(("good",), ("good",), ("good",))
    with pytest.raises(ValidatorError, match="judge") as info:
        await driver(Cascade.build(ARMS, validators=[judge]).run(Request()), models)
    assert info.value.__cause__ is broken
    assert models.called == [0]


@pytest.mark.parametrize(
    "verdict",
    [None, "yes", "0.9", b"1", math.nan, 2.0, -0.01, math.inf, 10**400, [0.5], {}, object()],
    ids=repr,
)
async def test_a_verdict_that_is_no_probability_is_the_validators_error(
    driver: Any, script: Any, verdict: object
) -> None:
    cascade = Cascade.build(ARMS, validators={"judge": lambda _: verdict})
    with pytest.raises(ValidatorError, match=r"'judge' returned .*bool or a number in \[0, 1\]"):
        await driver(cascade.run(Request()), script(("good",), ("good",), ("good",)))


@pytest.mark.parametrize(
    ("verdict", "arm"),
    [
        (True, 0),
        (1, 0),
        (1.0, 0),
        (np.float64(0.9), 0),
        (np.bool_(True), 0),
        (False, 2),
        (0, 2),
        (0.79, 2),
        (np.float32(0.1), 2),
    ],
    ids=repr,
)
async def test_bools_and_numbers_are_verdicts(
    driver: Any, script: Any, verdict: object, arm: int
) -> None:
    cascade = Cascade.build(ARMS, validators={"judge": lambda _: verdict})
    driven = await driver(cascade.run(Request()), script(("a",), ("b",), ("c",)))
    assert driven.result.arm == arm


async def test_an_asynchronous_validator_is_awaited(async_driver: Any, script: Any) -> None:
    async def judge(reply: Reply[Any]) -> bool:
        return reply.text == "good"

    cascade = Cascade.build(ARMS, validators=[judge])
    driven = await async_driver(cascade.run(Request()), script(("bad",), ("good",), ("x",)))
    assert driven.result.arm == 1


async def test_an_asynchronous_validator_that_raises_is_the_validators_error(
    async_driver: Any, script: Any
) -> None:
    broken = TimeoutError()

    async def judge(_: Reply[Any]) -> bool:
        raise broken

    cascade = Cascade.build(ARMS, validators=[judge])
    with pytest.raises(ValidatorError, match="judge") as info:
        await async_driver(cascade.run(Request()), script(("good",), ("x",), ("x",)))
    assert info.value.__cause__ is broken


async def test_an_asynchronous_validator_in_a_synchronous_call_says_what_to_do(
    sync_driver: Any, script: Any
) -> None:
    async def judge(_: Reply[Any]) -> bool:
        raise AssertionError("never started")

    cascade = Cascade.build(ARMS, validators=[judge])
    with pytest.raises(ValidatorError, match=r"'judge' is asynchronous.*ainvoke"):
        await sync_driver(cascade.run(Request()), script(("good",), ("x",), ("x",)))


@pytest.mark.parametrize(
    "actions",
    [(Call(0), Call(0)), (Call(0), Answer(1)), (Call(0, final=True), Call(1)), (Call(7),)],
    ids=repr,
)
async def test_a_rule_that_breaks_its_contract_is_a_policy_error_everywhere(
    driver: Any, script: Any, actions: tuple[Action, ...]
) -> None:
    models = script(("a",), ("b",), ("c",))
    with pytest.raises(PolicyError):
        await driver(Cascade.build(ARMS, Says(actions)).run(Request()), models)


def closing(flow: Flow[Any], log: list[str]) -> Flow[Any]:
    try:
        return (yield from flow)
    finally:
        log.append("closed")


@pytest.mark.parametrize("first", [("good",), (DOWN,), (BUG,)], ids=["answer", "failure", "bug"])
async def test_the_flow_is_closed_however_it_ends(driver: Any, script: Any, first: Any) -> None:
    log: list[str] = []
    flow = closing(Cascade.build(ARMS).run(Request()), log)
    try:
        await driver(flow, script(first, ("good",), ("good",)))
    except ValueError as error:
        assert error is BUG
    assert log == ["closed"]


async def test_latency_is_measured_unless_the_reply_knows_better() -> None:
    def perform(stated: float | None) -> Callable[[Call], Reply[str]]:
        return lambda _: Reply("x", "x", Usage(), latency_seconds=stated)

    measured = drive(Cascade.build(ARMS).run(Request()), perform(None)).latency_seconds
    assert 0 < measured < 1
    assert drive(Cascade.build(ARMS).run(Request()), perform(123.0)).latency_seconds == 123.0
