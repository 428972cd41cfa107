"""Only type-checked, never run: the public API as a user writes it.

Run ``mypy --strict tests/typing/api.py`` and ``pyright``; ``assert_type`` fails where a type moves.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from cascade_core import (
    Abstain,
    Action,
    AllModelsFailed,
    Answer,
    Arm,
    Belief,
    Call,
    Cascade,
    Chunks,
    Done,
    Failed,
    Failure,
    FittedPolicy,
    Flow,
    ModelCard,
    Observation,
    Outcome,
    PlattCalibrator,
    Policy,
    Price,
    RandomMixing,
    Reading,
    Reply,
    Request,
    ReservationIndexPolicy,
    RoutingFit,
    RoutingFrontier,
    RoutingPolicy,
    Signal,
    SingleModelPolicy,
    ThresholdCascade,
    Trace,
    Usage,
    Validator,
    call,
    drive,
    drive_async,
    drive_stream,
    drive_stream_async,
    fit_routing,
    gather,
    is_model_failure,
    price_arms,
    routing_frontier,
    score,
)
from cascade_core.estimators import ExAnteEstimator, ExPostEstimator, PriorEstimator
from cascade_core.evaluation import (
    Interval,
    Mixture,
    Results,
    bootstrap_interval,
    oracle,
    random_mixing,
    replay,
    single_models,
)
from cascade_core.fitting import fit_policies, fit_policy
from cascade_core.outcomes import OutcomeTable
from cascade_core.tokens import TokenCount, count_tokens

# Arms and prices.
arms = price_arms(
    [ModelCard("cheap", "gpt-4.1-nano", "openai"), ModelCard("strong")],
    {"cheap": Price(input=0.1, output=0.4), "strong": (2.0, 8.0), "gpt-4.1-nano": (1, 2, 0.5)},
)
assert_type(arms, tuple[Arm, ...])
assert_type(arms[0].price, Price | None)
assert_type(arms[0].cost_usd(Usage(1000, 20)), float | None)
assert_type(Price(1, 2).cost_usd(10, 20), float)


# Validators: functions and coroutine functions, bools and numbers, by list or by name.
def is_json(reply: Reply[Any]) -> bool:
    return reply.text.startswith("{")


async def judge(reply: Reply[Any]) -> float:
    return 0.5


validators: Sequence[Validator] = [is_json, judge, lambda reply: len(reply.text) < 100]


# Extension points are protocols: no base class to inherit from.
@dataclass(frozen=True)
class TwoStrikes:
    """Answer with the first reply; give up after two failures."""

    @property
    def needs_cost(self) -> bool:
        return False

    def check(self, n_arms: int) -> None: ...

    def decide(self, trace: Trace) -> Action:
        if trace.observations:
            return Answer(trace.observations[0].arm, reason="first reply")
        if len(trace.failures) == 2 or not trace.untried:
            return Abstain("two strikes")
        return Call(trace.untried[0], final=True)


class LengthSignal:
    def read(self, reply: Reply[Any]) -> Reading:
        return Reading({"length": float(len(reply.text))}, None if reply.text else "empty")


class Flat:
    def estimate(self, request: Request) -> Belief:
        return Belief.independent(np.array([0.5]), np.array([0.1]), np.array([0.0]))

    def quality(self, arm: int, signals: Mapping[str, float]) -> float:
        return signals.get("length", 0.0)


own_policy: Policy = TwoStrikes()
own_signal: Signal = LengthSignal()
before: ExAnteEstimator = Flat()
after: ExPostEstimator = Flat()
policies: list[Policy] = [
    SingleModelPolicy(0),
    RoutingPolicy(cost_weight=1.0),
    fit_routing([[0.5, 0.9]], [[1.0, 3.0]], budget=2.0).policy,
    RandomMixing((0.5, 0.5)),
    ReservationIndexPolicy(cost_weight=1.0),
    ThresholdCascade(order=(0, 1), thresholds=(0.8,)),
    own_policy,
]

# Building.
cold = Cascade.build(arms)
named = Cascade.build(arms, policies[0], {"json": is_json, "judge": judge})
own = Cascade(arms, own_policy, before, after, signals=(own_signal,))
assert_type(cold, Cascade)
assert_type(cold.run(Request("What is 2 + 2?")), Flow[Outcome[Any]])


# Driving. A flow's result is typed; the opaque reply of a framework is the caller's.
def perform(request: Call) -> Reply[str]:
    return Reply("four", "four", Usage(10, 1), finish_reason="stop", token_logprobs=(-0.1,))


async def aperform(request: Call) -> Reply[str]:
    return perform(request)


def stream(request: Call) -> Iterator[str]:
    yield "four"


async def astream(request: Call) -> AsyncIterator[str]:
    yield "four"


def collect(request: Call, received: Sequence[str]) -> Reply[str]:
    return Reply("".join(received), "".join(received), Usage())


chunks = Chunks(collect=collect, shows=bool)
assert_type(chunks, Chunks[str])


def use_sync() -> None:
    outcome = drive(cold.run(Request()), perform)
    assert_type(outcome, Outcome[Any])
    assert_type(outcome.arm, int | None)
    assert_type(outcome.cost_usd, float | None)
    assert_type(outcome.usage, Usage)
    assert_type(outcome.report(), dict[str, Any])
    for attempt in outcome.trace.attempts:
        if isinstance(attempt, Failure):
            assert_type(attempt.error, Exception)
        else:
            assert_type(attempt, Observation)
            assert_type(attempt.rejected_by, str | None)
    for item in drive_stream(cold.run(Request()), stream, chunks):
        if isinstance(item, Done):
            assert_type(item.result, Outcome[Any])
        else:
            assert_type(item, str)


async def use_async() -> None:
    outcome = await drive_async(cold.run(Request()), aperform, recoverable=is_model_failure)
    assert_type(outcome, Outcome[Any])
    async for item in drive_stream_async(cold.run(Request()), astream, chunks):
        if isinstance(item, Done):
            assert_type(item.result, Outcome[Any])
        else:
            assert_type(item, str)


def typed_reply(outcome: Outcome[str]) -> str:
    return "" if outcome.reply is None else outcome.reply.value


def handle_failures() -> Trace | None:
    try:
        use_sync()
    except AllModelsFailed as failed:
        assert_type(failed.exceptions, tuple[Exception | ExceptionGroup[Exception], ...])
        return failed.trace
    return None


# A flow of one's own.
def best_of_two() -> Flow[Reply[Any] | None]:
    results = yield from gather([Call(0), Call(1)])
    assert_type(results, tuple[Reply[Any] | Failed, ...])
    replies = [r for r in results if isinstance(r, Reply)]
    if not replies:
        one = yield from call(Call(2, final=True))
        assert_type(one, Reply[Any] | Failed)
        return None
    verdict = yield from score("judge", judge, replies[0])
    assert_type(verdict, float)
    return replies[0] if verdict > 0.5 else replies[-1]


assert_type(drive(best_of_two(), perform), Reply[Any] | None)


# Learning and evaluating.
def learn(table: OutcomeTable, fresh: OutcomeTable, rng: np.random.Generator) -> Cascade:
    policy = fit_policy(table, budget=0.001)
    assert_type(policy, FittedPolicy)
    assert_type(fit_policies(table), list[FittedPolicy])
    result = replay(policy, fresh)
    assert_type(result, Results)
    assert_type(result.shares(), dict[str, float])
    assert_type(single_models(fresh), list[Results])
    assert_type(oracle(fresh), Results)
    mixture = random_mixing(fresh, float(result.cost_usd.mean()))
    assert_type(mixture, Mixture)
    assert_type(bootstrap_interval(result.quality, rng), Interval)
    return Cascade.build(arms, policy, [is_json])


def tables(quality: NDArray[np.float64], reports: list[dict[str, Any]]) -> list[OutcomeTable]:
    return [
        OutcomeTable(("a",), quality, quality, quality, {"s": quality}),
        OutcomeTable.from_reports(["a"], [{"a": (report, 1.0)} for report in reports]),
    ]


assert_type(fit_routing([[0.5]], [[1.0]], 1.0), RoutingFit)
assert_type(routing_frontier(np.array([[0.5]]), [[1.0]]), RoutingFrontier)
assert_type(PlattCalibrator.fit([0.1, 0.9], [0, 1])(0.5), float)
assert_type(PlattCalibrator(1.0, 0.0).apply([0.5]), NDArray[np.float64])
assert_type(PriorEstimator.assumed(arms), PriorEstimator)
assert_type(count_tokens("text", model="gpt-4o"), TokenCount)

# What must be refused. Each line needs its ignore, or strict mypy and pyright complain.
Cascade.build(arms, "threshold")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
RoutingPolicy("cheap")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Call(0).arm = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
