"""Arms that cannot serve a request: the last one that can is the one that answers."""

from itertools import chain, combinations, permutations, product
from typing import Any

import pytest

from cascade_core import (
    AllModelsFailed,
    Arm,
    Call,
    Cascade,
    InvalidConfiguration,
    Outcome,
    Reply,
    Request,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
    Usage,
    drive,
)

ARMS = tuple(Arm(name) for name in ("a", "b", "c"))


def poor(request: Call) -> Reply[int]:
    """Reply what every threshold here rejects, and nothing else does."""
    return Reply(request.arm, "poor", Usage(1, 1), "stop", (-2.0,))


def ask(policy: Any, unavailable: frozenset[int], perform: Any = poor) -> Outcome[Any]:
    flow = Cascade.build(ARMS, policy).run(Request(unavailable=unavailable))
    return drive(flow, perform)


ORDERS = [order for n in (1, 2, 3) for order in permutations(range(3), n)]
SOME = [frozenset(u) for u in chain.from_iterable(combinations(range(3), n) for n in range(3))]


@pytest.mark.parametrize("unavailable", SOME, ids=str)
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_the_last_arm_that_can_serve_answers_with_its_poor_draft(
    order: tuple[int, ...], unavailable: frozenset[int]
) -> None:
    outcome = ask(ThresholdCascade(order, (0.8,) * (len(order) - 1)), unavailable)
    able = [arm for arm in order if arm not in unavailable]
    expected = able or [max(set(range(3)) - unavailable)]  # the best of those outside the order
    assert [attempt.arm for attempt in outcome.trace.attempts] == expected
    assert outcome.arm == expected[-1]
    assert "failed" not in " ".join(outcome.reasons)


@pytest.mark.parametrize("unavailable", SOME, ids=str)
def test_nothing_ends_in_an_abstention(unavailable: frozenset[int]) -> None:
    """Whoever fails and whoever is unavailable: there is an answer, or everybody failed."""
    for order, fails in product(ORDERS, SOME):

        def perform(request: Call, fails: frozenset[int] = fails) -> Reply[int]:
            if request.arm in fails:
                raise ConnectionError
            return poor(request)

        policy = ThresholdCascade(order, (0.8,) * (len(order) - 1))
        try:
            assert ask(policy, unavailable, perform).reply is not None
        except AllModelsFailed as error:
            assert error.trace is not None and not error.trace.untried


def test_a_call_of_the_last_arm_that_can_serve_is_shown_while_it_arrives() -> None:
    flow = Cascade.build(ARMS).run(Request(unavailable=frozenset({1, 2})))
    assert next(flow) == Call(0, final=True, reason="first of the order")


@pytest.mark.parametrize("policy", [SingleModelPolicy(0), ThresholdCascade((0,), ())])
def test_a_model_that_cannot_serve_is_not_said_to_have_failed(policy: Any) -> None:
    outcome = ask(policy, frozenset({0}))
    assert outcome.arm == 2
    assert outcome.reasons == ("takes over from a model that cannot serve this request",)


@pytest.mark.parametrize("policy", [None, SingleModelPolicy(1), RoutingPolicy(0.0)])
def test_a_request_that_no_arm_can_serve_is_an_error_and_no_abstention(policy: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"none of .*\['a', 'b', 'c'\] can serve"):
        ask(policy, frozenset({0, 1, 2}))
