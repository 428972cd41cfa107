"""One contract for all decision rules: whoever adds a rule adds a line to POLICIES."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_core import (
    Abstain,
    Action,
    Answer,
    Belief,
    Call,
    CascadeRouting,
    Failure,
    InvalidConfiguration,
    Observation,
    OptimalCascade,
    Policy,
    RandomMixing,
    Request,
    ReservationIndexPolicy,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
    Trace,
    Usage,
)
from cascade_core.policies import AutoMixPolicy, EarlyAbstentionCascade, MixturePolicy
from cascade_core.policies.belief_cascade import BeliefCascade


def chain(order: list[int], threshold: float) -> ThresholdCascade:
    return ThresholdCascade(tuple(order), (threshold,) * (len(order) - 1))


def mixing(order: list[int], weights: list[float]) -> RandomMixing:
    """Return the rule that gives ``order[i]`` the i-th of the weights, as far as there are arms."""
    total = sum(weights[: len(order)])
    renamed = dict(zip(order, weights, strict=False))
    return RandomMixing(tuple(renamed[arm] / total for arm in range(len(order))))


def early(order: list[int], low: float, high: float, last: float) -> EarlyAbstentionCascade:
    before = len(order) - 1
    return EarlyAbstentionCascade(tuple(order), (low,) * before + (last,), (high,) * before)


def automix(order: list[int], cost_weight: float) -> AutoMixPolicy:
    """Return a rule for arms of which each is the first to be right on an equal share."""
    k = len(order)
    quality = [[1.0 if s <= j else 0.1 for s in range(k)] + [0.0] for j in range(k)]
    seen = [
        [[0.2, 0.2, 0.6] if row[s] > 0.5 else [0.2, 0.6, 0.2] for s in range(k + 1)]
        for row in quality
    ]
    return AutoMixPolicy(
        order=tuple(order),
        prior=(1 / (k + 1),) * (k + 1),
        quality=tuple(map(tuple, quality)),
        edges=((0.5,),) * k,
        likelihood=tuple(tuple(map(tuple, level)) for level in seen),
        cost=tuple(0.1 * 2**j for j in range(k)),
        cost_weight=cost_weight,
    )


def may_give_up(policy: Policy) -> bool:
    if isinstance(policy, MixturePolicy):
        return any(map(may_give_up, policy.policies))
    return isinstance(policy, EarlyAbstentionCascade)


# Each makes the rule for arms that were renamed by a permutation: old index -> new index.
POLICIES: dict[str, Callable[[list[int]], Policy]] = {
    "single model, first": lambda p: SingleModelPolicy(p[0]),
    "single model, last": lambda p: SingleModelPolicy(p[-1]),
    "routing, λ = 0": lambda p: RoutingPolicy(0.0),
    "routing": lambda p: RoutingPolicy(0.7),
    "routing, dearest of ties": lambda p: RoutingPolicy(0.7, cheap_share=0.0),
    "routing, ties drawn": lambda p: RoutingPolicy(0.7, cheap_share=0.5),
    "random mixing": lambda p: mixing(p, [0.5, 0.0, 0.3, 0.2]),
    "random mixing of one": lambda p: mixing(p, [1.0, 0.0, 0.0, 0.0]),
    "threshold cascade": lambda p: chain(p, 0.6),
    "threshold cascade, strict": lambda p: chain(p, 1.1),
    "threshold cascade, lax": lambda p: chain(p, 0.0),
    "threshold cascade, sub-chain": lambda p: chain(p[: (len(p) + 1) // 2], 0.5),
    "reservation index, λ = 0": lambda p: ReservationIndexPolicy(0.0),
    "reservation index": lambda p: ReservationIndexPolicy(0.7),
    "early abstention": lambda p: early(p, 0.2, 0.7, 0.3),
    "early abstention, never at the end": lambda p: early(p, 0.3, 0.6, -1.0),
    "early abstention, never": lambda p: early(p, -1.0, 0.6, -1.0),
    "early abstention, sub-chain": lambda p: early(p[: (len(p) + 1) // 2], 0.1, 0.5, 0.2),
    "early abstention, at once": lambda p: EarlyAbstentionCascade((), (), ()),
    "AutoMix": lambda p: automix(p, 0.5),
    "AutoMix, λ = 0": lambda p: automix(p, 0.0),
    "AutoMix, dear": lambda p: automix(p, 5.0),
    "AutoMix, sub-chain": lambda p: automix(p[: (len(p) + 1) // 2], 0.5),
    "belief cascade": lambda p: BeliefCascade(tuple(p), (0.6,) * (len(p) - 1)),
    "mixture": lambda p: MixturePolicy((chain(p, 0.6), early(p, 0.2, 0.7, 0.3)), (0.4, 0.6)),
    "cascade routing": lambda p: CascadeRouting(0.7),
    "cascade routing, λ = 0": lambda p: CascadeRouting(0.0),
    "cascade routing, λ by step": lambda p: CascadeRouting((0.1, 0.5, 0.0), next="cheapest"),
    "cascade routing, ties drawn": lambda p: CascadeRouting(0.3, cheap_share=0.5),
    "cascade routing, two at most": lambda p: CascadeRouting(0.01, max_depth=2),
    "cascade routing, lowest first": lambda p: CascadeRouting(0.1, next="lowest_index"),
    "optimal cascade": lambda p: OptimalCascade(tuple(p), 0.7),
    "optimal cascade, λ = 0": lambda p: OptimalCascade(tuple(p), 0.0, cheap_share=0.0),
    "optimal cascade, sub-chain": lambda p: OptimalCascade(
        tuple(p[: (len(p) + 1) // 2]), (0.2, 0.1), cheap_share=0.5
    ),
}

# After a failure these may be content with a reply that they have.
RECALLING = (ReservationIndexPolicy, CascadeRouting, OptimalCascade)

every_policy = pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES.keys())


@dataclass(frozen=True)
class Replies:
    """What an arm does when it is called: fails, or gives a reply of this quality."""

    fails: bool
    quality: float
    rejected: bool


@dataclass(frozen=True)
class World:
    belief: Belief
    replies: tuple[Replies, ...]
    unavailable: frozenset[int] = frozenset()
    draw: float = 0.0

    @property
    def n(self) -> int:
        return len(self.replies)


def attempt(arm: int, reply: Replies) -> Observation | Failure:
    if reply.fails:
        return Failure(arm, ConnectionError("down"), 0.1)
    quality = 0.0 if reply.rejected else reply.quality
    rejected_by = "refusal" if reply.rejected else None
    return Observation(arm, quality, Usage(), 0.1, 0.1, rejected_by=rejected_by)


unit = st.floats(0, 1, allow_subnormal=False)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    n = draw(st.integers(1, 4))

    def column(values: st.SearchStrategy[float]) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=n, max_size=n)))

    factor = column(st.floats(-0.4, 0.4))
    own = column(st.floats(0, 0.3))
    covariance = np.outer(factor, factor) + np.diag(own**2)  # any sign of dependence, still PSD
    reply = st.builds(Replies, st.booleans(), unit, st.booleans())
    return World(
        Belief(column(unit), covariance, column(st.floats(0, 2))),
        tuple(draw(st.lists(reply, min_size=n, max_size=n))),
        draw(st.frozensets(st.integers(0, n - 1), max_size=n - 1)),
        draw(st.floats(0, 1, exclude_max=True)),
    )


def snapshot(trace: Trace) -> tuple[object, ...]:
    prior = trace.prior
    arrays = (prior.mean, prior.covariance, prior.cost)
    return (*(a.tobytes() for a in arrays), trace.attempts, trace.unavailable, trace.request)


@dataclass(frozen=True)
class Played:
    calls: list[Call]
    end: Action
    trace: Trace


def play(policy: Policy, world: World) -> Played:
    """Run the rule against the world and check, at each step, what holds for every rule."""
    trace = Trace(world.belief, unavailable=world.unavailable, request=Request(draw=world.draw))
    calls: list[Call] = []
    for _ in range(world.n + 1):
        before = snapshot(trace)
        action = policy.decide(trace)
        assert snapshot(trace) == before, "a rule leaves the trace as it is"
        again = Trace(trace.prior, trace.attempts, trace.unavailable, trace.request)
        assert policy.decide(again) == action, "the same trace, the same decision"
        check_step(policy, trace, calls, action)
        if not isinstance(action, Call):
            return Played(calls, action, trace)
        calls.append(action)
        trace = trace.with_attempt(attempt(action.arm, world.replies[action.arm]))
    raise AssertionError(f"no end within {world.n + 1} steps: {calls}")


def check_step(policy: Policy, trace: Trace, calls: list[Call], action: Action) -> None:
    last = trace.attempts[-1] if trace.attempts else None
    left = set(range(len(trace.prior.mean))) - trace.unavailable - {c.arm for c in calls}
    if isinstance(action, Call):
        assert action.arm in left, "an arm is called once, and only if it can serve"
    if calls and calls[-1].final and isinstance(last, Observation):
        assert isinstance(action, Answer) and action.arm == last.arm, "final is a promise"
    if isinstance(last, Failure) and left:
        in_hand = [o for o in trace.observations if o.rejected_by is None]
        recalls = isinstance(policy, RECALLING) and in_hand
        assert isinstance(action, Call) or recalls, "another arm takes over from one that failed"
    if isinstance(action, Answer):
        (shown,) = [o for o in trace.observations if o.arm == action.arm]
        (called,) = [c for c in calls if c.arm == action.arm]
        if shown.rejected_by is not None:
            assert called.final or not left, "a bad reply is no answer while arms are left"
    if isinstance(action, Abstain) and not may_give_up(policy):
        assert trace.failures and not left, "none of the other rules gives up unforced"


@every_policy
@settings(max_examples=120, deadline=None)
@given(world=worlds())
def test_the_contract(make: Callable[[list[int]], Policy], world: World) -> None:
    play(make(list(range(world.n))), world)


# With λ = 0 every index is infinite, and the order of the calls is a tie. A draw is an interval of
# [0, 1), and intervals have an order: a mixture is renamed in distribution only. The rules over
# sets sample correlated qualities, arm by arm; without correlation test_cascade_routing renames.
BY_POSITION = (
    "reservation index, λ = 0",
    "random mixing",
    *(name for name in POLICIES if name.startswith(("cascade routing", "optimal cascade"))),
)


@pytest.mark.parametrize("make", [v for k, v in POLICIES.items() if k not in BY_POSITION])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4))
def test_renaming_the_arms_renames_the_decisions(
    make: Callable[[list[int]], Policy], seed: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n)) * 0.2
    belief = Belief(rng.random(n), root @ root.T, rng.random(n))  # continuous: no ties
    replies = tuple(Replies(rng.random() < 0.3, rng.random(), rng.random() < 0.3) for _ in range(n))
    new = rng.permutation(n)  # arm i is now called new[i]
    old = np.argsort(new)
    renamed = World(
        Belief(belief.mean[old], belief.covariance[np.ix_(old, old)], belief.cost[old]),
        tuple(replies[i] for i in old),
    )
    here = play(make(list(range(n))), World(belief, replies))
    there = play(make(new.tolist()), renamed)
    assert [int(new[c.arm]) for c in here.calls] == [c.arm for c in there.calls]
    assert [c.final for c in here.calls] == [c.final for c in there.calls]
    assert type(here.end) is type(there.end)
    if isinstance(here.end, Answer) and isinstance(there.end, Answer):
        assert new[here.end.arm] == there.end.arm


@every_policy
def test_a_rule_is_a_frozen_value(make: Callable[[list[int]], Policy]) -> None:
    policy = make([0, 1, 2])
    assert isinstance(policy, Policy)
    assert policy == make([0, 1, 2])
    assert hash(policy) == hash(make([0, 1, 2]))
    field = fields(policy)[0].name  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        setattr(policy, field, 1)


@every_policy
def test_dollars_are_looked_at_only_by_rules_that_say_so(
    make: Callable[[list[int]], Policy],
) -> None:
    policy = make([0, 1, 2])
    if policy.needs_cost:
        return
    replies = (Replies(False, 0.2, False), Replies(True, 0, False), Replies(False, 0.9, False))
    mean, sd = np.array([0.3, 0.6, 0.8]), np.array([0.2, 0.2, 0.1])
    ends = {
        str(play(policy, World(Belief.independent(mean, sd, np.array(cost)), replies)).calls)
        for cost in ([0.0, 0, 0], [5.0, 2, 1], [math.nan] * 3, [0.1, math.nan, 0.2])
    }
    assert len(ends) == 1


@pytest.mark.parametrize("rule", [RoutingPolicy, ReservationIndexPolicy, CascadeRouting])
@pytest.mark.parametrize("cost_weight", [-1.0, -1e-12, math.nan, math.inf, -math.inf])
def test_a_cost_weight_that_is_none_is_refused(rule: type, cost_weight: float) -> None:
    with pytest.raises(InvalidConfiguration, match=f"{rule.__name__} needs cost_weight.*got"):
        rule(cost_weight)


@pytest.mark.parametrize("rule", [RoutingPolicy, ReservationIndexPolicy, CascadeRouting])
def test_a_price_is_needed_unless_dollars_weigh_nothing(
    rule: Callable[[float], Policy],
) -> None:
    assert rule(0.1).needs_cost
    assert not rule(0.0).needs_cost


@pytest.mark.parametrize(
    ("order", "thresholds"),
    [
        ((), ()),
        ((0, 0), (0.5,)),
        ((0, 1), ()),
        ((0, 1), (0.5, 0.5)),
        ((0, 1), (-0.1,)),
        ((0, 1), (math.nan,)),
        ((0, 1, 2), (0.5, math.nan)),
    ],
)
def test_a_chain_that_is_none_is_refused(
    order: tuple[int, ...], thresholds: tuple[float, ...]
) -> None:
    with pytest.raises(InvalidConfiguration, match=r"ThresholdCascade needs .*got"):
        ThresholdCascade(order, thresholds)


@pytest.mark.parametrize(
    ("policy", "n_arms"),
    [
        (SingleModelPolicy(3), 3),
        (SingleModelPolicy(-1), 3),
        (ThresholdCascade((0, 3), (0.5,)), 3),
        (ThresholdCascade((-1, 0), (0.5,)), 3),
        (EarlyAbstentionCascade((0, 3), (0.1, 0.1), (0.5,)), 3),
        (EarlyAbstentionCascade((-1,), (0.1,), ()), 3),
        (automix([0, 3], 0.1), 3),
        (automix([-1, 0], 0.1), 3),
        (MixturePolicy((SingleModelPolicy(0), SingleModelPolicy(3)), (0.5, 0.5)), 3),
        (OptimalCascade((0, 3), 0.5), 3),
        (OptimalCascade((-1, 0), 0.5), 3),
    ],
)
def test_a_rule_for_an_arm_that_does_not_exist_is_refused(policy: Policy, n_arms: int) -> None:
    with pytest.raises(InvalidConfiguration, match="from 0 to 2"):
        policy.check(n_arms)
