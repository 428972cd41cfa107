"""Optimal routing: a linear programme, brute force, a closed form, and what must not matter."""

from __future__ import annotations

import math
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog
from scipy.sparse import csr_array, kron

from cascade_core import (
    InvalidBelief,
    InvalidConfiguration,
    RoutingFit,
    RoutingPolicy,
    fit_routing,
    routing_frontier,
)
from cascade_core._states import States
from cascade_core.evaluation.simulation import Replies, simulate
from cascade_core.policies._row_hulls import row_hulls


def programme(mean: np.ndarray, cost: np.ndarray, budget: float) -> tuple[float, float]:
    """Return the value and the dual of the budget, by the simplex method."""
    n, m = mean.shape
    best = linprog(
        -mean.ravel() / n,
        A_ub=csr_array(cost.ravel()[None, :] / n),
        b_ub=[budget],
        A_eq=kron(csr_array(np.eye(n)), np.ones((1, m))),
        b_eq=np.ones(n),
        method="highs",
    )
    assert best.status == 0, best.message
    return -best.fun, -float(best.ineqlin.marginals[0])


def dual(mean: np.ndarray, cost: np.ndarray, budget: float, cost_weight: float) -> float:
    """Return an upper bound on what any routing can reach, tight at the right λ."""
    return cost_weight * budget + float((mean - cost_weight * cost).max(axis=1).mean())


def limits(mean: np.ndarray, cost: np.ndarray) -> tuple[float, float]:
    """Return the mean cost of the cheapest arms and of the cheapest best arms."""
    best = mean == mean.max(axis=1, keepdims=True)
    return (
        float(cost.min(axis=1).mean()),
        float(np.where(best, cost, np.inf).min(axis=1).mean()),
    )


def simulated(
    fit: RoutingFit, mean: np.ndarray, cost: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return quality and cost of each request as the rule itself decides it."""
    n = len(mean)
    start = States.before_any_call(mean, np.zeros_like(mean), cost, draw=rng.random(n))
    replies = Replies(mean, cost, np.zeros_like(cost), np.zeros(cost.shape, dtype=np.bool_))
    paths = simulate(fit.policy, start, replies)
    return paths.quality(mean), paths.cost_usd


@pytest.mark.parametrize("seed", range(30))
def test_value_and_dual_are_those_of_the_linear_programme(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 60)), int(rng.integers(1, 9))
    mean = rng.random((n, m))
    cost = rng.random((n, m)) * 10 ** rng.uniform(-3, 1, m)
    if seed % 3 == 0:
        cost[:] = cost[0]  # prices that do not depend on the request
    least, most = limits(mean, cost)
    for share in (0.03, 0.2, 0.5, 0.8, 0.97):
        budget = least + share * (most - least)
        fit = fit_routing(mean, cost, budget)
        value, price = programme(mean, cost, budget)
        assert fit.quality == pytest.approx(value, abs=1e-8)
        assert fit.cost_weight == pytest.approx(price, rel=1e-8, abs=1e-8)
        assert fit.cost <= budget * (1 + 1e-12)
        assert dual(mean, cost, budget, fit.cost_weight) == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("seed", range(10))
def test_on_five_hundred_requests_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, cost = rng.beta(2, 1, (500, 11)), rng.lognormal(0, 1, (500, 11)) / 1000
    least, most = limits(mean, cost)
    budget = float(rng.uniform(least, most))
    fit = fit_routing(mean, cost, budget)
    value, price = programme(mean, cost, budget)
    assert fit.quality == pytest.approx(value, abs=1e-8)
    assert fit.cost_weight == pytest.approx(price, rel=1e-8)
    assert fit.cost == pytest.approx(budget, rel=1e-12)


def best_mixture(mean: np.ndarray, cost: np.ndarray, budget: float) -> float:
    """Return the value by enumeration: all assignments, and all mixtures of two of them."""
    rows = np.arange(len(mean))
    points = [
        (float(cost[rows, list(arms)].mean()), float(mean[rows, list(arms)].mean()))
        for arms in product(range(mean.shape[1]), repeat=len(mean))
    ]
    values = [q for c, q in points if c <= budget]
    for (c1, q1), (c2, q2) in combinations(points, 2):
        if (c1 <= budget) != (c2 <= budget):
            values.append(q1 + (q2 - q1) * (budget - c1) / (c2 - c1))
    return max(values)


@pytest.mark.parametrize("seed", range(25))
def test_no_assignment_and_no_mixture_of_two_is_better(seed: int) -> None:
    # Binary fractions of few values: ties, duplicates, free models, dominated models.
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    mean, cost = rng.integers(0, 5, (n, m)) / 4, rng.integers(0, 5, (n, m)) / 8
    least, most = limits(mean, cost)
    for budget in np.linspace(least, most + 0.125, 7).tolist():
        fit = fit_routing(mean, cost, budget)
        assert fit.quality == pytest.approx(best_mixture(mean, cost, budget), abs=1e-9)
        assert fit.cost <= budget + 1e-12


def test_two_models_are_a_threshold_on_quality_per_dollar() -> None:
    # With common prices the dear model goes where it gains most; λ is the marginal gain a dollar.
    rng = np.random.default_rng(5)
    n = 1001
    gain = rng.permutation(np.linspace(-0.2, 0.5, n))
    mean = np.column_stack([np.full(n, 0.4), 0.4 + gain])
    cost = np.tile([0.002, 0.010], (n, 1))
    bought = 300.25  # requests, out of n
    fit = fit_routing(mean, cost, 0.002 + bought / n * 0.008)
    by_gain = np.sort(gain)[::-1]
    assert fit.cost_weight == pytest.approx(by_gain[300] / 0.008)
    assert fit.cheap_share == pytest.approx(0.75)
    assert fit.quality == pytest.approx(0.4 + (by_gain[:300].sum() + 0.25 * by_gain[300]) / n)
    # Only where the dear model is the better one is it ever asked.
    free = fit_routing(mean, cost, 1.0)
    assert free.cost_weight == 0
    assert free.cost == pytest.approx(0.002 + 0.008 * (gain > 0).mean())


def test_a_budget_that_does_not_bind_buys_the_cheapest_of_the_best() -> None:
    mean, cost = [[0.5, 0.9, 0.9, 0.2]], [[1.0, 4.0, 3.0, 9.0]]
    for budget in (3.0, 3.5, 100.0):
        fit = fit_routing(mean, cost, budget)
        assert (fit.cost_weight, fit.quality, fit.cost) == (0.0, 0.9, 3.0)


@pytest.mark.parametrize("seed", range(20))
def test_the_smallest_budget_is_named_and_is_enough(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, cost = rng.random((137, 3)), rng.random((137, 3)) * 10 ** rng.uniform(-9, 9)
    least = float(cost.min(axis=1).mean())
    with pytest.raises(InvalidConfiguration, match="at least what the cheapest") as error:
        fit_routing(mean, cost, least * 0.999)
    named = float(str(error.value).split("costs, ")[1].split(" ")[0])
    assert named == pytest.approx(least, rel=1e-12)
    # Summed in three orders: the last digits may differ, the budget is feasible all the same.
    for budget in (named, least, math.fsum(cost.min(axis=1)) / 137):
        fit = fit_routing(mean, cost, budget)
        assert fit.cost == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("budget", [math.nan, math.inf, -math.inf, -1.0])
def test_a_budget_that_is_none_is_refused(budget: float) -> None:
    with pytest.raises(InvalidConfiguration, match="budget"):
        fit_routing([[0.5]], [[0.0]], budget)


@pytest.mark.parametrize(
    ("mean", "cost", "says"),
    [
        ([[0.5, math.nan]], [[1, 2]], "Row 0, arm 1: mean is nan"),
        ([[0.5, 0.6], [0.5, 1.1]], [[1, 2], [1, 2]], "Row 1, arm 1: mean is 1.1"),
        ([[0.5, -0.1]], [[1, 2]], "Row 0, arm 1: mean is -0.1"),
        ([[0.5, 0.6]], [[math.nan, 2]], "Row 0, arm 0: cost is nan"),
        ([[0.5, 0.6]], [[1, math.inf]], "Row 0, arm 1: cost is inf"),
        ([[0.5, 0.6]], [[1, -2]], "Row 0, arm 1: cost is -2.0"),
        ([0.5, 0.6], [1, 2], "one shape"),
        ([[0.5, 0.6]], [1, 2], "one shape"),
        (np.empty((0, 2)), np.empty((0, 2)), "n >= 1"),
        (np.empty((2, 0)), np.empty((2, 0)), "m >= 1"),
    ],
)
def test_numbers_that_are_no_beliefs_are_refused(mean: Any, cost: Any, says: str) -> None:
    with pytest.raises(InvalidBelief, match=says):
        fit_routing(mean, cost, 1.0)
    with pytest.raises(InvalidBelief, match=says):
        routing_frontier(mean, cost)


def test_one_model_and_a_hundred_identical_ones() -> None:
    for m in (1, 100):
        mean, cost = np.full((7, m), 0.6), np.full((7, m), 0.3)
        fit = fit_routing(mean, cost, 0.3)
        assert (fit.cost_weight, fit.cheap_share) == (0.0, 1.0)
        assert (fit.quality, fit.cost) == (pytest.approx(0.6), pytest.approx(0.3))
        assert len(routing_frontier(mean, cost).cost_weight) == 0


def test_free_models_need_no_budget() -> None:
    fit = fit_routing([[0.2, 0.7, 0.9]], [[0.0, 0.0, 1.0]], 0.0)
    assert (fit.quality, fit.cost, fit.cheap_share) == (0.7, 0.0, 1.0)


def test_prices_that_are_almost_nothing_or_almost_equal() -> None:
    # 1e-310 dollars apart the slope is no number any more; 1e-12 of a large price it still is one.
    fit = fit_routing([[0.2, 0.7, 0.9]], [[0.0, 1e-310, 1.0]], 0.5)
    assert fit.quality == pytest.approx(0.8)
    base = 1e6
    fit = fit_routing([[0.2, 0.7]] * 4, [[base, base + 1e-3]] * 4, base + 0.25e-3)
    assert fit.cheap_share == pytest.approx(0.75, abs=1e-6)
    assert fit.quality == pytest.approx(0.325, abs=1e-6)


# Ties and duplicates by the dozen, together with numbers that are not.
few = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.9, 1.0])
unit = few | st.floats(0, 1, allow_subnormal=False)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    mean, cost = (
        draw(arrays(np.float64, shape, elements=unit)),
        draw(arrays(np.float64, shape, elements=few | st.floats(1e-6, 1))),
    )
    least, most = limits(mean, cost)
    return mean, cost, least + draw(st.floats(0, 1.2)) * (most - least)


@settings(max_examples=400, deadline=None)
@given(problem=problems())
def test_the_value_meets_its_upper_bound(problem: tuple[np.ndarray, np.ndarray, float]) -> None:
    mean, cost, budget = problem
    fit = fit_routing(mean, cost, budget)
    assert fit.cost <= budget + 1e-12
    # Weak duality: no routing is above the bound, so meeting it proves both λ and the value.
    # Where costs differ by 1e-10, λ is 1e9 and multiplies the rounding of the bound's own terms.
    rounding = 3e-9 + 1e-15 * fit.cost_weight
    assert fit.quality == pytest.approx(dual(mean, cost, budget, fit.cost_weight), abs=rounding)
    assert 0 <= fit.cheap_share <= 1
    if fit.cost_weight > 0:
        assert fit.cost == pytest.approx(budget, rel=1e-9, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(problem=problems(), seed=st.integers(0, 2**32 - 1))
def test_permuting_the_models_permutes_the_choices(
    problem: tuple[np.ndarray, np.ndarray, float], seed: int
) -> None:
    mean, cost, budget = problem
    p = np.random.default_rng(seed).permutation(mean.shape[1])
    here, there = fit_routing(mean, cost, budget), fit_routing(mean[:, p], cost[:, p], budget)
    assert there.cost_weight == here.cost_weight
    assert there.cheap_share == pytest.approx(here.cheap_share, abs=1e-9)
    chosen = here.policy.probabilities(mean, cost)
    renamed = here.policy.probabilities(mean[:, p], cost[:, p])
    # Which of two equal models answers may differ; how good and how dear it is may not.
    for column in (mean, cost):
        np.testing.assert_allclose(
            (chosen * column).sum(axis=1), (renamed * column[:, p]).sum(axis=1), atol=2e-9
        )


@settings(max_examples=150, deadline=None)
@given(problem=problems(), factor=st.sampled_from([1000.0, 1024.0, 1e-6, 1e9]))
def test_the_unit_of_money_changes_nothing(
    problem: tuple[np.ndarray, np.ndarray, float], factor: float
) -> None:
    mean, cost, budget = problem
    fit = fit_routing(mean, cost, budget)
    there = RoutingPolicy(fit.cost_weight / factor, fit.cheap_share)
    np.testing.assert_array_equal(
        there.probabilities(mean, cost * factor), fit.policy.probabilities(mean, cost)
    )
    other = fit_routing(mean, cost * factor, budget * factor)
    assert other.quality == pytest.approx(fit.quality, abs=3e-9)


@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_more_money_never_hurts_and_buys_less_and_less(
    problem: tuple[np.ndarray, np.ndarray, float],
) -> None:
    mean, cost, _ = problem
    least, most = limits(mean, cost)
    fits = [fit_routing(mean, cost, b) for b in np.linspace(least, most * 1.1, 12).tolist()]
    quality, weight = [f.quality for f in fits], [f.cost_weight for f in fits]
    assert (np.diff(quality) >= -2e-9).all()
    assert (np.diff(quality, 2) <= 4e-9).all()
    assert (np.diff(weight) <= 0).all()


@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_the_frontier_is_where_the_fits_are(
    problem: tuple[np.ndarray, np.ndarray, float],
) -> None:
    mean, cost, budget = problem
    frontier = routing_frontier(mean, cost)
    least, most = limits(mean, cost)
    assert frontier.cost[0] == pytest.approx(least) and frontier.cost[-1] == pytest.approx(most)
    assert frontier.quality[-1] == pytest.approx(mean.max(axis=1).mean())
    assert len(frontier.cost) == len(frontier.quality) == len(frontier.cost_weight) + 1
    assert (np.diff(frontier.cost_weight) < 0).all() and (frontier.cost_weight > 0).all()
    fit = fit_routing(mean, cost, budget)
    at = float(np.interp(budget, frontier.cost, frontier.quality))
    assert fit.quality == pytest.approx(at, abs=3e-9)
    # Half-way between two slopes nothing is tied, and routing is at the corner between them.
    weights = np.append(frontier.cost_weight, 0.0)
    for k, (above, below) in enumerate(pairwise(weights)):
        if above - below > 1e-6 * above:
            corner = RoutingPolicy(float(above + below) / 2).probabilities(mean, cost)
            at_corner = (frontier.cost[k + 1], frontier.quality[k + 1])
            utility = at_corner[1] - (above + below) / 2 * at_corner[0]
            mine = (corner * (mean - (above + below) / 2 * cost)).sum(axis=1).mean()
            assert mine == pytest.approx(utility, rel=1e-9, abs=2e-9)


@settings(max_examples=200, deadline=None)
@given(problem=problems())
def test_a_hull_has_its_points_above_all_others_and_at_corners(
    problem: tuple[np.ndarray, np.ndarray, float],
) -> None:
    mean, cost, _ = problem
    hulls = row_hulls(mean, cost)
    for row in range(len(mean)):
        size = int(hulls.size[row])
        x, y = hulls.cost[row, :size], hulls.quality[row, :size]
        slope = np.diff(y) / np.diff(x)
        assert (np.diff(x) > 0).all() and (np.diff(y) > 0).all() and (np.diff(slope) < 0).all()
        np.testing.assert_array_equal(hulls.slope[row, 1:size], slope)
        points = set(zip(cost[row].tolist(), mean[row].tolist(), strict=True))
        assert set(zip(x.tolist(), y.tolist(), strict=True)) <= points
        assert (mean[row] <= np.interp(cost[row], x, y) + 1e-12).all()


def within_three_errors(cost: np.ndarray, budget: float, also: float = 0.0) -> bool:
    error = math.hypot(float(cost.std()) / math.sqrt(len(cost)), also)
    return abs(float(cost.mean()) - budget) <= 3 * error


@pytest.mark.parametrize("seed", range(4))
def test_the_budget_is_met_on_fresh_requests(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def world(n: int) -> tuple[np.ndarray, np.ndarray]:
        hard = rng.random((n, 1))
        mean = 1 - hard * np.array([0.9, 0.5, 0.3]) * rng.random((n, 3))
        return mean, rng.lognormal(0, 0.5, (n, 1)) * np.array([1, 4, 12])

    mean, cost = world(20_000)
    fit = fit_routing(mean, cost, 3.0)
    _, spent = simulated(fit, mean, cost, rng)
    training_error = float(spent.std()) / math.sqrt(len(spent))
    quality, fresh = simulated(fit, *world(20_000), rng)
    assert within_three_errors(fresh, 3.0, training_error)
    assert quality.mean() == pytest.approx(fit.quality, abs=0.01)


@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_the_budget_is_met_where_beliefs_take_few_values(kinds: int) -> None:
    # One λ moves all requests of a kind at once: without γ the budget is missed by a large step.
    rng = np.random.default_rng(kinds)
    mean, cost = np.sort(rng.random((kinds, 4)), axis=1), np.sort(rng.random((kinds, 4)), axis=1)
    rows = np.arange(3000) % kinds
    least, most = limits(mean, cost)
    for share in (0.15, 0.4, 0.85):
        budget = least + share * (most - least)
        fit = fit_routing(mean[rows], cost[rows], budget)
        assert 0.01 < fit.cheap_share < 0.99
        fresh = rng.permutation(np.arange(30_000) % kinds)
        quality, spent = simulated(fit, mean[fresh], cost[fresh], rng)
        assert within_three_errors(spent, budget)
        assert abs(quality.mean() - fit.quality) <= 3 * quality.std() / math.sqrt(len(quality))
        for share_of_cheap in (0.0, 1.0):
            without = RoutingFit(fit.cost_weight, share_of_cheap, 0, 0)
            _, spent = simulated(without, mean[fresh], cost[fresh], rng)
            assert not within_three_errors(spent, budget)


def test_what_is_said_of_a_fit_is_what_the_rule_does_in_expectation() -> None:
    rng = np.random.default_rng(11)
    mean, cost = rng.integers(0, 5, (400, 4)) / 4, rng.integers(1, 5, (400, 4)) / 8
    fit = fit_routing(mean, cost, 0.3)
    chosen = fit.policy.probabilities(mean, cost)
    np.testing.assert_allclose(chosen.sum(axis=1), 1)
    # The rule, at every hundredth draw, is the expectation to a hundredth.
    draws = [
        simulated_at(fit.policy, mean, cost, draw) for draw in np.arange(0.005, 1, 0.01).tolist()
    ]
    share = np.mean([np.eye(4)[arm] for arm in draws], axis=0)
    assert np.abs(share - chosen).max() <= 0.01


def simulated_at(rule: RoutingPolicy, mean: np.ndarray, cost: np.ndarray, draw: float) -> Any:
    start = States.before_any_call(mean, np.zeros_like(mean), cost, draw=np.full(len(mean), draw))
    return rule.decide_many(start).call
