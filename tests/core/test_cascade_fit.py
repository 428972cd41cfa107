"""The weight that meets a budget: on the rows it was fitted on, in any currency, with ties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cascade_core import CascadeRouting, InvalidConfiguration, InvalidOutcomes, OptimalCascade
from cascade_core._arrays import FloatArray, IndexArray
from cascade_core._states import States
from cascade_core.evaluation.simulation import (
    Paths,
    Replies,
    VectorRule,
    gaussian_update,
    simulate,
)
from cascade_core.policies import ReservationIndexPolicy, RoutingPolicy, fit_routing
from cascade_core.policies.cascade_fit import fit_cost_weight, fit_step_weights

World = tuple[States, Replies, FloatArray]


def world(seed: int = 0, n: int = 600, m: int = 4, dollars: float = 1.0) -> World:
    rng = np.random.default_rng(seed)
    mean, sd = rng.uniform(0.3, 0.9, (n, m)), rng.uniform(0.05, 0.3, (n, m))
    cost = dollars * np.array([0.1, 0.4, 1.0, 3.0, 9.0])[:m] * rng.uniform(0.7, 1.4, (n, m))
    estimate = np.clip(mean + sd * rng.normal(size=(n, m)), 0, 1)
    quality = (rng.uniform(size=(n, m)) < estimate) * 1.0
    start = States.before_any_call(mean, sd, cost, draw=rng.uniform(size=n))
    nothing = np.zeros((n, m))
    return start, Replies(estimate, cost, nothing, nothing > 0), quality


def alike(n: int = 50) -> World:
    """All requests look the same, and replies too: all of them change sides at one weight."""
    mean, sd = np.tile([0.5, 0.8], (n, 1)), np.tile([0.0, 0.0], (n, 1))
    cost = np.tile([1.0, 3.0], (n, 1))
    start = States.before_any_call(mean, sd, cost, draw=(np.arange(n) + 0.5) / n)
    nothing = np.zeros((n, 2))
    return start, Replies(mean, cost, nothing, nothing > 0), mean


MAKERS: dict[str, Callable[[float, float], VectorRule]] = {
    "cascade routing": lambda weight, share: CascadeRouting(weight, share),
    "cheapest first": lambda weight, share: CascadeRouting(weight, share, next="cheapest"),
    "two at most": lambda weight, share: CascadeRouting(weight, share, max_depth=2),
    "optimal cascade": lambda weight, share: OptimalCascade((0, 1, 2, 3), weight, share),
    "index": lambda weight, share: ReservationIndexPolicy(weight),
    "routing": lambda weight, share: RoutingPolicy(weight, share),
}


def mixed(w: World, make: Callable[[float, float], VectorRule], weight: float, share: float):  # type: ignore[no-untyped-def]
    """Return expected cost and quality over the draw, by playing both ends of it."""
    start, replies, quality = w
    ends: list[Paths] = [simulate(make(weight, g), start, replies) for g in (1.0, 0.0)]
    weights = (share, 1 - share)
    cost = sum(g * p.cost_usd.mean() for g, p in zip(weights, ends, strict=True))
    return cost, sum(g * p.quality(quality).mean() for g, p in zip(weights, ends, strict=True))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@pytest.mark.parametrize("budget", [0.15, 0.5, 0.9])
@pytest.mark.parametrize("n", [600, 2500])
def test_the_budget_is_met_and_nothing_cheaper_in_weight_meets_it(
    make: Callable[[float, float], VectorRule], budget: float, n: int
) -> None:
    w = world(n=n)
    start, replies, quality = w
    fit = fit_cost_weight(make, start, replies, gaussian_update, quality, budget)
    assert mixed(w, make, fit.cost_weight, fit.cheap_share) == pytest.approx(
        (fit.cost, fit.quality)
    )
    assert fit.cost <= budget * (1 + 1e-9)
    # One request weighs 3 / n at most, and where the draw mixes nothing is left.
    assert fit.cost >= budget - 4.2 / n
    lower = simulate(make(fit.cost_weight * 0.9, 1.0), start, replies)
    assert lower.cost_usd.mean() > budget


def test_routing_comes_out_as_the_exact_fit_has_it() -> None:
    start, replies, _ = world()
    exact = fit_routing(start.mean, start.cost, 0.6)
    fit = fit_cost_weight(MAKERS["routing"], start, replies, gaussian_update, start.mean, 0.6)
    assert fit.cost_weight == pytest.approx(exact.cost_weight, rel=1e-6)
    assert fit.cheap_share == pytest.approx(exact.cheap_share, abs=1e-6)
    assert fit.quality == pytest.approx(exact.quality, abs=1e-6)
    assert fit.cost == pytest.approx(0.6)


@pytest.mark.parametrize("name", ["cascade routing", "routing"])
def test_where_all_requests_are_alike_the_draw_carries_the_budget(name: str) -> None:
    start, replies, quality = alike()
    make = MAKERS[name]
    fit = fit_cost_weight(make, start, replies, gaussian_update, quality, 1.6)
    # The better arm costs 2 more and is 0.3 better; three in ten may have it.
    assert fit.cost_weight == pytest.approx(0.15, rel=1e-8)
    assert fit.cheap_share == pytest.approx(0.7)
    assert (fit.cost, fit.quality) == pytest.approx((1.6, 0.59))
    drawn = simulate(make(fit.cost_weight, fit.cheap_share), start, replies)
    assert drawn.cost_usd.mean() == pytest.approx(1.6)


@pytest.mark.parametrize("dollars", [1e-9, 1e-3, 1e6])
def test_the_unit_of_money_does_not_matter(dollars: float) -> None:
    for make in (MAKERS["cascade routing"], MAKERS["index"]):
        one, other = (
            fit_cost_weight(make, s, r, gaussian_update, q, 0.5 * unit)
            for unit, (s, r, q) in ((1.0, world()), (dollars, world(dollars=dollars)))
        )
        assert other.cost_weight * dollars == pytest.approx(one.cost_weight, rel=1e-6)
        assert other.quality == pytest.approx(one.quality, abs=1e-3)
        assert other.cost / dollars == pytest.approx(one.cost, abs=1e-2)


def test_a_budget_that_does_not_bind_costs_no_quality() -> None:
    start, replies, quality = world()
    for budget in (4.0, 1e9):
        fit = fit_cost_weight(
            MAKERS["two at most"], start, replies, gaussian_update, quality, budget
        )
        assert (fit.cost_weight, fit.cheap_share) == (0.0, 1.0)
    free = (start, Replies(replies.estimate, 0 * replies.cost_usd, *[0 * quality] * 1, quality < 0))
    assert fit_cost_weight(MAKERS["index"], *free, gaussian_update, quality, 0.0).cost_weight == 0


def test_too_small_a_budget_is_refused_with_the_least_that_is_not() -> None:
    start, replies, quality = world()
    least = float(replies.cost_usd.min(axis=1).mean())
    make = MAKERS["cascade routing"]
    with pytest.raises(InvalidConfiguration, match=f"{least:.12g}"[:10]):
        fit_cost_weight(make, start, replies, gaussian_update, quality, least * 0.999)
    fit = fit_cost_weight(make, start, replies, gaussian_update, quality, least)
    assert fit.cost == pytest.approx(least)
    for budget in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidConfiguration, match="budget"):
            fit_cost_weight(make, start, replies, gaussian_update, quality, budget)


def test_what_does_not_fit_together_is_refused() -> None:
    start, replies, quality = world()
    make = MAKERS["index"]
    with pytest.raises(InvalidOutcomes, match="shape"):
        fit_cost_weight(make, start, replies, gaussian_update, quality[:5], 1.0)
    quality[3, 1] = np.nan
    with pytest.raises(InvalidOutcomes, match="finite"):
        fit_cost_weight(make, start, replies, gaussian_update, quality, 1.0)


def test_an_update_meets_the_rows_of_all_requests() -> None:
    start, replies, quality = world(n=2500)

    def update(states: States, rows: IndexArray, arm: IndexArray, given: Replies) -> States:
        assert given is replies
        np.testing.assert_array_equal(states.cost, start.cost[rows])
        return gaussian_update(states, rows, arm, given)

    make = MAKERS["cascade routing"]
    mine = fit_cost_weight(make, start, replies, update, quality, 0.5)
    assert mine == fit_cost_weight(make, start, replies, gaussian_update, quality, 0.5)


def test_a_rule_whose_cost_leaps_without_a_tie_stays_within_the_budget() -> None:
    start, replies, quality = alike()

    # Deaf to the share: no draw mixes.
    def make(weight: float, share: float) -> VectorRule:
        return RoutingPolicy(weight, 1.0)

    fit = fit_cost_weight(make, start, replies, gaussian_update, quality, 1.6)
    assert fit.cost == pytest.approx(1.0)
    assert fit.cost_weight == pytest.approx(0.15)


class _Fickle:
    """Spends more again where the weight is higher: what bisection takes for impossible."""

    def __init__(self, weight: float) -> None:
        self.rule = RoutingPolicy(weight * 3 if 0.10 < weight < 0.12 else weight)

    def decide_many(self, states: States):  # type: ignore[no-untyped-def]
        return self.rule.decide_many(states)


def test_a_cost_that_is_not_monotone_is_still_within_the_budget() -> None:
    start, replies, quality = world(n=2500)
    for budget in np.linspace(0.3, 2.5, 12):
        fit = fit_cost_weight(
            lambda weight, share: _Fickle(weight), start, replies, gaussian_update, quality, budget
        )
        played = simulate(_Fickle(fit.cost_weight), start, replies)
        assert played.cost_usd.mean() == pytest.approx(fit.cost)
        assert fit.cost <= budget


def by_step(weights: tuple[float, ...], share: float) -> VectorRule:
    return CascadeRouting(weights, share)


@pytest.mark.parametrize("seed", range(4))
def test_weights_by_step_are_never_worse_and_never_over_the_budget(seed: int) -> None:
    start, replies, quality = world(seed)
    common = fit_cost_weight(
        MAKERS["cascade routing"], start, replies, gaussian_update, quality, 0.4
    )
    fit = fit_step_weights(by_step, start, replies, gaussian_update, quality, 0.4)
    assert fit.quality >= common.quality
    assert fit.cost <= 0.4 * (1 + 1e-9)
    one = fit_step_weights(by_step, start, replies, gaussian_update, quality, 0.4, max_steps=1)
    assert one.cost_weights == (common.cost_weight,)
    assert one.quality == common.quality


def test_a_step_that_is_worth_less_than_it_seems_gets_a_weight_of_its_own() -> None:
    start, replies, quality = world(n=2000)
    # The second reply and all after it look good and are not.
    deceit = replies.estimate.copy()
    truth = np.where(np.arange(4) == 0, quality, 0.2)
    given = Replies(deceit, replies.cost_usd, replies.latency_seconds, replies.rejected)

    def sorted_chain(weights: tuple[float, ...], share: float) -> VectorRule:
        return OptimalCascade((0, 1, 2, 3), weights, share)

    fit = fit_step_weights(sorted_chain, start, given, gaussian_update, truth, 0.6)
    common = fit_cost_weight(
        lambda weight, share: sorted_chain((weight,), share),
        start,
        given,
        gaussian_update,
        truth,
        0.6,
    )
    assert fit.quality > common.quality + 0.005
    assert len(set(fit.cost_weights)) > 1


def test_a_budget_that_does_not_bind_needs_one_weight() -> None:
    start, replies, quality = world()
    fit = fit_step_weights(by_step, start, replies, gaussian_update, quality, 100.0)
    assert fit.cost_weights == (0.0,)


def test_costs_that_hardly_differ_are_told_apart() -> None:
    mean, cost = np.tile([0.4, 0.9], (20, 1)), np.tile([1.0, 1.001], (20, 1))
    start = States.before_any_call(mean, 0 * mean, cost)
    replies = Replies(mean, cost, 0 * mean, mean < 0)
    fit = fit_cost_weight(MAKERS["routing"], start, replies, gaussian_update, mean, 1.0005)
    assert fit.cost_weight == pytest.approx(500)
    assert fit.quality == pytest.approx(0.65)


def test_on_few_requests_weights_by_step_are_no_worse_either() -> None:
    for seed in range(12):
        w = world(seed, n=60)
        given = (w[0], w[1], gaussian_update, w[2], 0.4)
        common = fit_cost_weight(MAKERS["cascade routing"], *given)
        assert fit_step_weights(by_step, *given).quality >= common.quality
