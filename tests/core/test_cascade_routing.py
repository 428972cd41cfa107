"""Cascade routing, the optimal cascade: against definition, Weitzman and logged decisions."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from cascade_core import CascadeRouting, InvalidBelief, InvalidConfiguration, OptimalCascade
from cascade_core._arrays import FloatArray
from cascade_core._states import States
from cascade_core.evaluation.simulation import Replies, simulate
from cascade_core.policies import ReservationIndexPolicy
from cascade_core.policies.cascade_routing import NextCall
from cascade_core.policies.reservation_index import reservation_values

SHARED = Path(os.environ.get("CASCADE_SHARED", Path(__file__).parents[3] / "shared"))


def states(
    mean: list[list[float]],
    sd: list[list[float]],
    cost: list[list[float]],
    *,
    ran: list[list[int]] | None = None,
    rejected: list[list[int]] | None = None,
    closed: list[list[int]] | None = None,
    draw: list[float] | None = None,
) -> States:
    mu = np.array(mean)
    nothing = np.zeros(mu.shape, dtype=np.bool_)
    replied = nothing if ran is None else np.array(ran) > 0
    gone = nothing if closed is None else np.array(closed) > 0
    return States(
        mu,
        np.array(sd),
        np.array(cost),
        replied,
        nothing if rejected is None else np.array(rejected) > 0,
        ~replied & ~gone,
        np.where(replied.any(axis=1), replied.argmax(axis=1), -1),
        np.zeros(len(mu)) if draw is None else np.array(draw),
    )


def expected_max(mean: FloatArray, sd: FloatArray, base: float) -> float:
    """Return E[max(base, X)] by SciPy's adaptive quadrature."""
    low = base if base > -np.inf else float((mean - 9 * sd).min())
    high = max(low, float((mean + 9 * sd).max()))
    area = quad(lambda x: float(np.prod(ndtr((x - mean) / sd))), low, high, epsabs=1e-11, limit=200)
    return high - area[0]


def best_by_definition(
    s: States, row: int, cost_weight: float, sets: list[tuple[int, ...]]
) -> tuple[tuple[int, ...], float]:
    in_hand = s.ran[row] & ~s.rejected[row]
    base = float(s.mean[row][in_hand].max()) if in_hand.any() else -np.inf
    worth = {
        chosen: expected_max(s.mean[row, chosen], s.sd[row, chosen], base)
        - cost_weight * float(s.cost[row, chosen].sum())
        if chosen
        else base
        for chosen in sets
    }
    best = max(worth, key=lambda chosen: worth[chosen])
    return best, worth[best]


def some_states(seed: int, n: int = 40, m: int = 4) -> States:
    rng = np.random.default_rng(seed)
    mean, sd = rng.uniform(0.2, 0.9, (n, m)), rng.uniform(0.05, 0.3, (n, m))
    ran = rng.uniform(size=(n, m)) < 0.3
    ran[:, 0] &= ~ran.all(axis=1)
    sd[ran] = 0.0
    return States(
        mean,
        sd,
        rng.uniform(0, 0.2, (n, m)),
        ran,
        ran & (rng.uniform(size=(n, m)) < 0.3),
        ~ran & (rng.uniform(size=(n, m)) < 0.9),
        np.where(ran.any(axis=1), ran.argmax(axis=1), -1),
        rng.uniform(size=n),
    )


WEIGHTS = (1.2, 0.4, 0.7)


def weight_at(s: States, row: int) -> float:
    return WEIGHTS[min(int(s.ran[row].sum()), 2)]


@pytest.mark.parametrize("next_call", ["highest_index", "cheapest", "lowest_index"])
def test_a_member_of_the_best_set_is_called_or_the_best_reply_answers(next_call: NextCall) -> None:
    s = some_states(1)
    decided = CascadeRouting(WEIGHTS, next=next_call).decide_many(s)
    for row in range(s.n):
        cost_weight = weight_at(s, row)
        arms = np.flatnonzero(s.open[row]).tolist()
        in_hand = s.ran[row] & ~s.rejected[row]
        least = 0 if in_hand.any() or not arms else 1
        sets = [c for k in range(least, len(arms) + 1) for c in combinations(arms, k)]
        best, worth = best_by_definition(s, row, cost_weight, sets)
        if np.isfinite(worth):
            assert decided.worth[row] == pytest.approx(worth, abs=1e-8)
        if not best:
            assert decided.call[row] == -1
            expected = np.where(in_hand, s.mean[row], -1).argmax() if in_hand.any() else s.last[row]
            assert decided.answer[row] == expected
            continue
        members = list(best)
        price = cost_weight * s.cost[row, members]
        index = reservation_values(s.mean[row, members], s.sd[row, members], price)
        pick = {
            "highest_index": int(index.argmax()),
            "cheapest": int(price.argmin()),
            "lowest_index": 0,
        }[next_call]
        assert decided.call[row] == members[pick]
        assert decided.answer[row] == -1


def test_the_optimal_cascade_plans_the_best_stretch_of_what_is_left_of_its_order() -> None:
    s = some_states(2)
    order = (2, 0, 3)
    decided = OptimalCascade(order, WEIGHTS).decide_many(s)
    stopped = taken_over = 0
    for row in range(s.n):
        places = [k for k, arm in enumerate(order) if s.ran[row, arm]]
        rest = [a for a in order[max(places, default=-1) + 1 :] if s.open[row, a]]
        in_hand = s.ran[row] & ~s.rejected[row]
        if not rest and not in_hand.any():
            left = np.flatnonzero(s.open[row])
            if left.size:
                assert decided.call[row] == left[s.mean[row, left].argmax()]
                taken_over += 1
            continue
        sets = [tuple(rest[:k]) for k in range(len(rest) + 1)]
        best, worth = best_by_definition(
            s, row, weight_at(s, row), sets if in_hand.any() else sets[1:]
        )
        assert decided.worth[row] == pytest.approx(worth, abs=1e-8)
        assert decided.call[row] == (best[0] if best else -1)
        stopped += not best
    assert stopped > 5 and taken_over > 0


def test_the_step_is_the_number_of_replies_and_the_last_weight_serves_the_rest() -> None:
    # A call of cost 1 gains 0.04 over the reply in hand: it pays below λ = 0.04.
    mean, sd, cost = [0.5, 0.5, 0.5], [0.0, 0.0, 0.1], [0.1, 0.1, 1.0]
    one = states([mean], [sd], [cost], ran=[[1, 0, 0]], closed=[[0, 1, 0]])
    two = states([mean], [sd], [cost], ran=[[1, 1, 0]])
    for weights, calls_at_one, calls_at_two in (
        ((9.0, 0.01, 9.0), True, False),
        ((9.0, 9.0, 0.01), False, True),
        ((9.0, 0.01), True, True),
        ((0.01,), True, True),
        (0.01, True, True),
    ):
        for rule in (CascadeRouting(weights), OptimalCascade((0, 1, 2), weights)):
            assert (rule.decide_many(one).call[0] == 2) == calls_at_one
            assert (rule.decide_many(two).call[0] == 2) == calls_at_two


@pytest.mark.parametrize(("draw", "calls"), [(0.29, False), (0.3, True), (0.9, True)])
def test_of_sets_that_tie_the_cheapest_below_the_share_else_the_dearest(
    draw: float, calls: bool
) -> None:
    # A certain gain of 0.2 at a price of 0.2.
    tied = states([[0.5, 0.7]], [[0.0, 0.0]], [[1.0, 1.0]], ran=[[1, 0]], draw=[draw])
    for rule in (CascadeRouting(0.2, 0.3), OptimalCascade((0, 1), 0.2, 0.3)):
        assert (rule.decide_many(tied).call[0] == 1) == calls


def test_rows_of_both_kinds_of_draw_keep_their_places() -> None:
    s = some_states(3, n=60)
    for make in (
        lambda share: CascadeRouting(0.5, share),
        lambda share: OptimalCascade((1, 0, 2, 3), 0.5, share),
    ):
        mixed, all_cheap = make(0.5).decide_many(s), make(1.0).decide_many(s)
        # No ties here: the draw changes nothing.
        np.testing.assert_array_equal(mixed.call, all_cheap.call)
        np.testing.assert_allclose(mixed.worth, all_cheap.worth, atol=1e-12)


def test_the_depth_is_kept_while_a_reply_may_be_shown() -> None:
    mean, sd, cost = [[0.5, 0.6, 0.6]], [[0.3, 0.3, 0.3]], [[0.0, 0.0, 0.0]]
    rule = CascadeRouting(1.0, max_depth=1)
    assert rule.decide_many(states(mean, sd, cost)).call[0] == 1
    assert rule.decide_many(states(mean, sd, cost, ran=[[1, 0, 0]])).answer[0] == 0
    rejected = states(mean, sd, cost, ran=[[1, 0, 0]], rejected=[[1, 0, 0]])
    assert rule.decide_many(rejected).call[0] == 1
    alone = CascadeRouting(1.0, max_depth=1).decide_many(states(mean, sd, [[0.01] * 3])).worth[0]
    assert alone == pytest.approx(0.59), "one arm, not the best of three"


def test_what_cannot_serve_is_in_no_set() -> None:
    mean, sd, cost = [[0.5, 0.9, 0.4]], [[0.1, 0.1, 0.1]], [[1.0, 1.0, 1.0]]
    shut = states(mean, sd, cost, closed=[[0, 1, 0]])
    assert CascadeRouting(0.01).decide_many(shut).call[0] == 0
    assert OptimalCascade((1, 2, 0), 0.01).decide_many(shut).call[0] == 2


def test_where_dollars_weigh_nothing_unknown_ones_are_no_hindrance() -> None:
    s = states([[0.5, 0.6]], [[0.1, 0.1]], [[np.nan, 1.0]])
    assert CascadeRouting(0.0).decide_many(s).call[0] == 1
    assert CascadeRouting((0.0, 0.0)).needs_cost is False
    assert CascadeRouting((0.0, 1.0)).needs_cost is True
    assert OptimalCascade((0, 1), 0.0).decide_many(s).call[0] == 0
    assert OptimalCascade((0, 1), (0.0, 0.1)).needs_cost is True


def test_a_correlated_twin_is_no_second_chance() -> None:
    s = states([[0.6, 0.6]], [[0.2, 0.2]], [[0.0, 0.05]])
    twins = s.updated(mean=s.mean, sd=s.sd, covariance=np.full((1, 2, 2), 0.04))
    # Alone worth 0.6; two independent ones E[max] = 0.6 + 0.2 / sqrt(pi) = 0.713.
    assert CascadeRouting(1.0).decide_many(s).worth[0] == pytest.approx(0.6628, abs=1e-4)
    assert CascadeRouting(1.0).decide_many(twins).worth[0] == pytest.approx(0.6, abs=1e-3)
    assert OptimalCascade((0, 1), 1.0).decide_many(twins).worth[0] == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("next_call", ["highest_index", "cheapest"])
@pytest.mark.parametrize("weights", [0.0, 0.3, (0.5, 0.0, 0.2)])
def test_renaming_the_arms_renames_the_calls(
    next_call: NextCall, weights: float | tuple[float, ...]
) -> None:
    s = some_states(5, n=200)
    new = np.array([2, 0, 3, 1])  # arm i is now called new[i]
    old = np.argsort(new)
    renamed = States(
        *(a[:, old] for a in (s.mean, s.sd, s.cost, s.ran, s.rejected, s.open)),
        np.where(s.last < 0, -1, new[s.last]),
        s.draw,
    )
    for here, there in (
        (CascadeRouting(weights, 0.5, next=next_call),) * 2,
        (OptimalCascade((0, 1, 2), weights), OptimalCascade((2, 0, 3), weights)),
    ):
        mine, theirs = here.decide_many(s), there.decide_many(renamed)
        np.testing.assert_array_equal(np.where(mine.call < 0, -1, new[mine.call]), theirs.call)
        np.testing.assert_array_equal(
            np.where(mine.answer < 0, -1, new[mine.answer]), theirs.answer
        )


def test_arms_that_are_not_correlated_are_not_sampled() -> None:
    s = some_states(6)
    tied_to_what_ran = np.einsum("ni,ij->nij", s.sd**2, np.eye(4))
    tied_to_what_ran[:, 0, 1] = tied_to_what_ran[:, 1, 0] = np.where(
        s.open[:, 0] & s.open[:, 1], 0.0, 0.01
    )
    joint = s.updated(mean=s.mean, sd=s.sd, covariance=tied_to_what_ran)
    for rule in (CascadeRouting(0.3), OptimalCascade((3, 1, 0, 2), 0.3)):
        np.testing.assert_array_equal(
            rule.decide_many(joint).worth, rule.decide_many(s).worth, "the same to the last digit"
        )


def test_what_rounding_leaves_of_a_covariance_is_forgiven() -> None:
    s = states([[0.5, 0.5, 0.5]], [[0.0, 0.0, 0.2]], [[0.1, 0.1, 0.1]])
    left = np.array([[[1e-18, 2e-18, 0.0], [3e-18, 1e-18, 1e-12], [0.0, 0.0, 0.04]]])
    rounded = s.updated(mean=s.mean, sd=s.sd, covariance=left)
    # E[max(0.5, X)] = 0.5 + 0.2 / sqrt(2 pi), at the price of two calls.
    worth = CascadeRouting(0.1).decide_many(rounded).worth[0]
    assert worth == pytest.approx(0.5 + 0.2 / np.sqrt(2 * np.pi) - 0.02, abs=1e-3)
    # Two arms that are one, known to 1e-4, and the last digits of their covariance lost.
    one = np.full((1, 2, 2), 1e-8) + np.array([[[0.0, 1e-16], [2e-16, -1e-16]]])
    twins = states([[0.5, 0.5]], [[1e-4, 1e-4]], [[0.1, 0.1]])
    twins = twins.updated(mean=twins.mean, sd=twins.sd, covariance=one)
    assert CascadeRouting(0.1).decide_many(twins).worth[0] == pytest.approx(0.49, abs=1e-4)
    wrong = s.updated(mean=s.mean, sd=s.sd, covariance=np.full((1, 3, 3), 0.1) - 0.06 * np.eye(3))
    with pytest.raises(InvalidBelief, match="semi-definite"):
        CascadeRouting(0.1).decide_many(wrong)


def utility(rule: object, cost_weight: float, n: int = 20000, m: int = 4) -> FloatArray:
    """Return the utility of each request in a world where the beliefs are right."""
    rng = np.random.default_rng(8)
    mean, sd = rng.uniform(0.3, 0.7, (n, m)), rng.uniform(0.05, 0.25, (n, m))
    cost = np.array([0.02, 0.05, 0.1, 0.2]) * rng.uniform(0.5, 1.5, (n, m))
    value = mean + sd * rng.normal(size=(n, m))
    start = States.before_any_call(mean, sd, cost, draw=rng.uniform(size=n))
    nothing = np.zeros((n, m))
    paths = simulate(rule, start, Replies(value, cost, nothing, nothing > 0))  # type: ignore[arg-type]
    return value[np.arange(n), paths.answer] - cost_weight * paths.cost_usd


def test_no_order_of_calls_beats_weitzmans_and_the_highest_index_comes_nearest() -> None:
    best, near, far = (
        utility(rule, 0.3)
        for rule in (
            ReservationIndexPolicy(0.3),
            CascadeRouting(0.3),
            CascadeRouting(0.3, next="cheapest"),
        )
    )
    for worse, better in ((near, best), (far, near)):
        gain = better - worse
        assert gain.mean() > -4 * gain.std() / np.sqrt(len(gain))
    lost = near - far
    assert lost.mean() > 2 * lost.std() / np.sqrt(len(lost)), "the cheapest first loses"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: CascadeRouting(()), "first step"),
        (lambda: CascadeRouting((0.1, -1.0)), "cost_weight"),
        (lambda: CascadeRouting(0.1, cheap_share=1.1), "cheap_share"),
        (lambda: CascadeRouting(0.1, cheap_share=float("nan")), "cheap_share"),
        (lambda: CascadeRouting(0.1, max_depth=0), "max_depth >= 1"),
        (lambda: CascadeRouting(0.1, next="dearest"), "next"),  # type: ignore[arg-type]
        (lambda: OptimalCascade((), 0.1), "distinct"),
        (lambda: OptimalCascade((0, 0), 0.1), "distinct"),
        (lambda: OptimalCascade((0, 1), float("inf")), "cost_weight"),
        (lambda: OptimalCascade((0, 1), 0.1, -0.1), "cheap_share"),
    ],
)
def test_a_rule_that_is_none_is_refused(make: object, says: str) -> None:
    with pytest.raises(InvalidConfiguration, match=says):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("name", ["M3_low", "M5_medium", "M11_low"])
def test_logged_exact_decisions_are_repeated(name: str) -> None:
    path = SHARED / "reference" / f"states_synth_{name}.npz"
    if not path.exists():
        pytest.skip(f"no {path}")
    log = np.load(path)
    n, m = log["mu"].shape
    ran = (log["run_mask"][:, None] >> np.arange(m)) & 1 == 1
    seen = 0
    for row in np.flatnonzero(~log["force_order"] & (log["exact_margin"] > 1e-6)):
        s = States(
            log["mu"][None, row],
            np.where(ran[row], 0.0, log["sd"][row])[None],
            log["cost"][None, row],
            ran[None, row],
            np.zeros((1, m), dtype=np.bool_),
            ~ran[None, row],
            np.array([ran[row].argmax() if ran[row].any() else -1]),
            np.zeros(1),
        )
        rule = CascadeRouting(
            float(log["lam"][row]), max_depth=int(log["max_depth"][row]), next="lowest_index"
        )
        assert rule.decide_many(s).call[0] == log["exact_next"][row]
        seen += 1
    assert seen > 0.2 * n
