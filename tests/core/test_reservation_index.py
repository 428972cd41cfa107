"""Weitzman's index: its defining equation, and the optimality that it promises."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from cascade_core import (
    Answer,
    Belief,
    Call,
    Observation,
    ReservationIndexPolicy,
    Trace,
    Usage,
)
from cascade_core.policies._normal_excess import expected_excess
from cascade_core.policies.reservation_index import reservation_values


def reservation_value(mean: float, sd: float, price: float) -> float:
    return float(reservation_values(*(np.array([x]) for x in (mean, sd, price)))[0])


@pytest.mark.parametrize("u", [-8.0, -2.0, -0.5, 0.0, 0.3, 1.0, 3.0, 6.0])
def test_expected_excess_is_the_integral_that_defines_it(u: float) -> None:
    integral, _ = quad(lambda z: (z - u) * norm.pdf(z), u, u + 40, epsabs=0, epsrel=1e-10)
    assert expected_excess(u) == pytest.approx(integral, rel=1e-8)


@settings(max_examples=300, deadline=None)
@given(
    mean=st.floats(0, 1),
    sd=st.floats(1e-3, 1),
    price=st.floats(1e-6, 2),
)
@example(mean=0.5, sd=0.2, price=7.9)
@example(mean=0.5, sd=0.2, price=8.1)
def test_opening_a_box_at_its_reservation_value_exactly_pays(
    mean: float, sd: float, price: float
) -> None:
    def gain(z: float) -> float:  # E[(V - z)+] - price, by SciPy's normal
        u = (z - mean) / sd
        return float(sd * (norm.pdf(u) - u * norm.sf(u)) - price)

    z = brentq(gain, mean - price - 41 * sd, mean + 40 * sd, xtol=1e-13, rtol=1e-14)
    assert reservation_value(mean, sd, price) == pytest.approx(z, abs=1e-9)


def test_an_index_is_an_equation_that_a_million_draws_confirm() -> None:
    mean, sd, price = 0.55, 0.2, 0.03
    z = reservation_value(mean, sd, price)
    excess = np.maximum(np.random.default_rng(1).normal(mean, sd, 1_000_000) - z, 0)
    assert abs(excess.mean() - price) < 4 * excess.std() / 1000


def test_edges_of_the_index() -> None:
    assert reservation_value(0.5, 0.2, 0.0) == math.inf
    assert reservation_value(0.5, 0.0, 0.1) == pytest.approx(0.4)
    assert reservation_value(0.5, 0.2, math.inf) == -math.inf
    assert reservation_value(0.5, 1e-200, 1e200) == -1e200
    # So cheap that the normal tail underflows: high, and still a number.
    assert 0.5 + 0.2 * 25 < reservation_value(0.5, 0.2, 1e-300) < 0.5 + 0.2 * 40


def test_the_index_falls_with_the_price_and_rises_with_mean_and_surprise() -> None:
    prices = [reservation_value(0.5, 0.2, p) for p in np.linspace(0.001, 3, 200)]
    sds = [reservation_value(0.5, s, 0.05) for s in np.linspace(0.01, 1, 200)]
    assert (np.diff(prices) < 0).all()
    assert (np.diff(sds) > 0).all()


# Optimality: dynamic programming over all orders and all stopping rules, on a grid of qualities.
GRID = np.linspace(0, 1, 401)
COST_WEIGHT = 2.0


def box(mean: float, sd: float) -> np.ndarray:
    """Return the probabilities of the grid's qualities; six deviations stay within [0, 1]."""
    p = norm.pdf(GRID, mean, sd)
    return p / p.sum()


def after_opening(value: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return E[value(max(x, V))] for every x of the grid."""
    below = np.cumsum(p)
    above = np.append(np.cumsum((p * value)[::-1])[::-1][1:], 0.0)
    return value * below + above


@pytest.mark.parametrize("seed", range(4))
def test_no_order_and_no_stopping_rule_beats_the_index_on_independent_boxes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 3
    mean, sd = rng.uniform(0.48, 0.54, n), rng.uniform(0.04, 0.08, n)
    cost = rng.uniform(0.001, 0.006, n)
    boxes = [box(m, s) for m, s in zip(mean, sd, strict=True)]
    prior = Belief.independent(mean, sd, cost)
    policy = ReservationIndexPolicy(COST_WEIGHT)

    def decide(closed: tuple[int, ...], best: float) -> int | None:
        """Return the arm that the rule opens now, or None if it stops."""
        opened = [m for m in range(n) if m not in closed]
        # With independent boxes only the best quality seen matters, not where it was seen.
        seen = tuple(
            Observation(m, best if m == opened[0] else 0.0, Usage(), 0.0, 0.0) for m in opened
        )
        action = policy.decide(Trace(prior, seen))
        return action.arm if isinstance(action, Call) else None

    optimal: dict[tuple[int, ...], np.ndarray] = {(): GRID}
    followed: dict[tuple[int, ...], np.ndarray] = {(): GRID}
    for size in (1, 2):
        for closed in combinations(range(n), size):
            rest = {m: tuple(c for c in closed if c != m) for m in closed}
            price = {m: COST_WEIGHT * cost[m] for m in closed}
            opens = {m: after_opening(optimal[rest[m]], boxes[m]) - price[m] for m in closed}
            optimal[closed] = np.max([GRID, *opens.values()], axis=0)
            mine = {m: after_opening(followed[rest[m]], boxes[m]) - price[m] for m in closed}
            arms = [decide(closed, float(x)) for x in GRID]
            followed[closed] = np.array(
                [
                    x if arm is None else mine[arm][i]
                    for i, (x, arm) in enumerate(zip(GRID, arms, strict=True))
                ]
            )

    def first(value: dict[tuple[int, ...], np.ndarray], m: int) -> float:
        rest = tuple(c for c in range(n) if c != m)
        return float(boxes[m] @ value[rest]) - COST_WEIGHT * float(cost[m])

    start = policy.decide(Trace(prior))
    assert isinstance(start, Call)
    best = max(first(optimal, m) for m in range(n))
    assert first(followed, start.arm) == pytest.approx(best, abs=1e-6)
    # The problem has something to win: the best single box is clearly worse.
    assert best > max(mean - COST_WEIGHT * cost) + 0.001


def test_the_rule_beats_every_fixed_order_in_simulation() -> None:
    rng = np.random.default_rng(7)
    mean, sd, cost = np.array([0.5, 0.55, 0.6]), np.array([0.1, 0.07, 0.03]), np.full(3, 0.01)
    prior, policy, λ = Belief.independent(mean, sd, cost), ReservationIndexPolicy(1.0), 1.0
    draws = np.clip(rng.normal(mean, sd, (4000, 3)), 0, 1)

    def play(v: np.ndarray) -> float:
        trace = Trace(prior)
        while isinstance(action := policy.decide(trace), Call):
            m = action.arm
            trace = trace.with_attempt(Observation(m, float(v[m]), Usage(), 0.0, 0.0))
        assert isinstance(action, Answer)
        return float(v[action.arm] - λ * cost[[o.arm for o in trace.observations]].sum())

    mine = np.array([play(v) for v in draws])
    for k in (1, 2, 3):
        for opened in combinations(range(3), k):
            fixed = draws[:, opened].max(axis=1) - λ * cost[list(opened)].sum()
            gain = mine - fixed
            assert gain.mean() > -4 * gain.std() / math.sqrt(len(gain))


@pytest.mark.parametrize("factor", [1000.0, 1024.0, 1e-6])
def test_the_unit_of_money_changes_nothing(factor: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        mean, sd, cost = rng.random(3), rng.random(3) * 0.3, rng.random(3)
        seen = (Observation(0, float(rng.random()), Usage(), 0.0, 0.0),)
        for attempts in ((), seen):
            here = Trace(Belief.independent(mean, sd, cost), attempts)
            there = Trace(Belief.independent(mean, sd, cost * factor), attempts)
            one = ReservationIndexPolicy(0.8).decide(here)
            other = ReservationIndexPolicy(0.8 / factor).decide(there)
            assert (type(one), getattr(one, "arm", None)) == (
                type(other),
                getattr(other, "arm", None),
            )


def test_what_was_learnt_about_one_arm_moves_the_index_of_another() -> None:
    mean, sd, cost = np.array([0.6, 0.7]), np.array([0.2, 0.2]), np.array([0.05, 0.1])
    covariance = np.array([[1, 0.9], [0.9, 1]]) * 0.04
    good = Observation(0, 0.68, Usage(), 0.0, 0.0)
    poor = Observation(0, 0.1, Usage(), 0.0, 0.0)
    policy = ReservationIndexPolicy(1.0)
    alone = Belief.independent(mean, sd, cost)
    joint = Belief(mean, covariance, cost)
    assert isinstance(policy.decide(Trace(alone, (poor,))), Call)
    # Where the cheap arm does badly the other one does, too: 0.1 hardly improves on itself.
    after = policy.decide(Trace(joint, (poor,)))
    assert after.reason != policy.decide(Trace(alone, (poor,))).reason
    assert isinstance(policy.decide(Trace(joint, (good,))), Answer | Call)
