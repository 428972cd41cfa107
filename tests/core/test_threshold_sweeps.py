"""Chains of any order and depth, against the exhaustive search and against FrugalGPT's."""

from itertools import pairwise, permutations, product

import numpy as np
import pytest

from cascade_core import InvalidConfiguration, InvalidOutcomes, ThresholdCascade
from cascade_core.policies import AbstentionLoss, MixturePolicy, _sweeps
from cascade_core.policies._rows import Rows
from cascade_core.policies.abstention_search import fit_early_abstention
from cascade_core.policies.frugal_gpt import fit_frugal_gpt
from cascade_core.policies.mixture import meet_budget, upper_hull
from cascade_core.policies.threshold_search import NEVER, TunedCascade, pareto_cascades
from cascade_core.policies.threshold_sweeps import _at_least, best_cascade, hull_cascades

Table = tuple[np.ndarray, np.ndarray, np.ndarray]


def table(seed: int, n: int, n_arms: int) -> Table:
    """Return scores, qualities and costs with ties and rejected replies; signals of any worth."""
    rng = np.random.default_rng(seed)
    quality = (rng.random((n, n_arms)) < np.linspace(0.4, 0.8, n_arms)).astype(float)
    weight = rng.uniform(0.1, 0.8, n_arms)
    score = np.clip(weight * quality + (1 - weight) * rng.random((n, n_arms)), 0, 1)
    score = np.where(rng.random((n, n_arms)) < 0.5, score.round(1), score)
    score[rng.random((n, n_arms)) < 0.08] = -1.0
    cost = rng.uniform(0.5, 1.5, (n, n_arms)) * 2.0 ** np.arange(n_arms)
    return score, quality, cost


def follow(policy: ThresholdCascade, rows: Table) -> tuple[float, float]:
    """Return mean quality and cost of a chain by walking it row by row, in plain Python."""
    score, quality, cost = rows
    total_quality = total_cost = 0.0
    for i in range(len(score)):
        for level, arm in enumerate(policy.order):
            total_cost += cost[i, arm]
            last = level == len(policy.order) - 1
            if last or (score[i, arm] >= 0 and score[i, arm] >= policy.thresholds[level]):
                total_quality += quality[i, arm]
                break
    return total_quality / len(score), total_cost / len(score)


def brute_force(rows: Table, max_depth: int) -> list[tuple[float, float]]:
    """Return (quality, cost) of every chain in every order with every combination."""
    score = rows[0]
    found = []
    for depth in range(1, max_depth + 1):
        for chain in permutations(range(score.shape[1]), depth):
            levels = [[*sorted({s for s in score[:, m] if s >= 0}), NEVER] for m in chain[:-1]]
            found += [follow(ThresholdCascade(chain, t), rows) for t in product(*levels)]
    return found


def quality_within(points: list[TunedCascade], budget: float) -> float:
    return max(p.quality for p in points if p.cost <= budget + 1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_in_any_order_nothing_beats_the_frontier(seed: int) -> None:
    rows = table(seed, 9, 3)
    mine = pareto_cascades(*rows, any_order=True)
    for quality, cost in brute_force(rows, 3):
        assert quality_within(mine, cost) >= quality - 1e-12


@pytest.mark.parametrize("cost_weight", [0.0, 0.01, 0.05, 0.3])
@pytest.mark.parametrize(("n", "n_arms", "depth"), [(12, 3, 3), (4, 4, 4)])
def test_for_one_price_of_a_dollar_nothing_is_better(
    n: int, n_arms: int, depth: int, cost_weight: float
) -> None:
    rows = table(n, n, n_arms)
    best = best_cascade(*rows, cost_weight, max_depth=depth)
    most = max(q - cost_weight * c for q, c in brute_force(rows, depth))
    assert best.quality - cost_weight * best.cost == pytest.approx(most, abs=1e-12)
    assert (best.quality, best.cost) == pytest.approx(follow(best.policy, rows), abs=1e-12)


@pytest.mark.parametrize("cost_weight", [0.01, 0.05])
def test_sweeps_from_starts_find_what_the_exhaustive_search_finds(
    cost_weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = []
    for seed in range(5):
        rows = table(seed, 80, 3)
        exact = max(
            p.quality - cost_weight * p.cost for p in pareto_cascades(*rows, any_order=True)
        )
        with monkeypatch.context() as m:
            m.setattr(_sweeps, "MAX_ENUMERATED", 0)
            mine = best_cascade(*rows, cost_weight, max_depth=3)
        lost.append(exact - (mine.quality - cost_weight * mine.cost))
    assert min(lost) >= -1e-12
    assert max(lost) < 0.003


def test_a_fourth_model_is_made_use_of() -> None:
    """Each model knows its own quarter of the requests, and says so; the dearest knows all."""
    n = 400
    kind = np.arange(n) % 4
    quality = (kind[:, None] == np.arange(4)).astype(float)
    quality[:, 3] = 1.0
    score, cost = 0.2 + 0.6 * quality, np.tile([1.0, 1.1, 1.2, 30.0], (n, 1))
    best = best_cascade(score, quality, cost, 0.03)
    assert best.quality == 1.0 and len(best.policy.order) == 4
    assert best.policy.order[-1] == 3
    three = best_cascade(score, quality, cost, 0.03, max_depth=3)
    assert best.quality - 0.03 * best.cost > three.quality - 0.03 * three.cost + 0.02


def test_a_dearer_model_that_knows_its_limits_may_come_first() -> None:
    n = 300
    rng = np.random.default_rng(0)
    easy = rng.random(n) < 0.7
    quality = np.column_stack([rng.random(n) < 0.75, easy, np.ones(n)]).astype(float)
    quality[~easy, 0] = 1.0
    score = np.column_stack([np.full(n, 0.5), np.where(easy, 0.9, 0.1), np.full(n, 0.9)])
    cost = np.tile([1.0, 1.5, 20.0], (n, 1))
    best = best_cascade(score, quality, cost, 0.01, max_depth=3)
    assert best.policy.order == (1, 0)
    cheapest_first = best_cascade(score, quality, cost, 0.01, max_depth=3, any_order=False)
    assert best.quality - 0.01 * best.cost > cheapest_first.quality - 0.01 * cheapest_first.cost


def test_the_hull_is_the_hull_of_the_frontier_up_to_the_tolerance() -> None:
    rows = table(2, 60, 3)
    exact = upper_hull(pareto_cascades(*rows, any_order=True))
    mine = hull_cascades(*rows, max_depth=3, tolerance=1e-6)
    assert (np.diff([(p.cost, p.quality) for p in mine], axis=0) > 0).all()
    for budget in np.linspace(exact[0].cost, exact[-1].cost * 1.1, 25):
        want, got = (meet_budget(points, float(budget)) for points in (exact, mine))
        assert got.quality == pytest.approx(want.quality, abs=1e-5)
        assert got.cost <= budget + 1e-12
    rough = hull_cascades(*rows, max_depth=3, tolerance=0.05)
    assert len(rough) < len(mine)


def test_scores_that_are_neighbours_among_the_floats_are_told_apart() -> None:
    low = 0.3
    while (low + np.nextafter(low, 1)) / 2 != np.nextafter(low, 1):  # the middle rounds up
        low = float(np.nextafter(low, 1))
    for below in (low, float(np.nextafter(low, 1))):  # and the middle rounds down
        score = np.array([[below, 0.5], [np.nextafter(below, 1), 0.5]])
        quality = np.array([[0.0, 1.0], [1.0, 0.0]])
        best = best_cascade(score, quality, np.ones((2, 2)), 0.1)
        assert best.quality == 1.0
        quality[:, 1] = 0.0
        tuned = fit_early_abstention(score, quality, np.ones((2, 2)), AbstentionLoss(0.01, 0.15))
        assert (tuned.error, tuned.abstained) == (0.0, 0.5)


def test_a_cut_becomes_the_threshold_that_parts_the_same_scores() -> None:
    score = np.array([-1.0, 0.2, 0.5, 1.0])
    for cut in (-1.0, 0.2, 0.35, 0.5, 0.7, 1.0):
        usable = score[score >= 0]
        np.testing.assert_array_equal(usable >= _at_least(score, cut), usable > cut)
    assert _at_least(score[:3], 1.0) == NEVER, "nor does one answer that is yet to be seen"


def test_a_mixture_meets_the_budget_that_no_cascade_meets() -> None:
    rows = table(2, 60, 3)
    hull = hull_cascades(*rows, max_depth=2)
    budget = (hull[1].cost + hull[2].cost) / 2
    mixed = meet_budget(hull, budget)
    assert mixed.policy == MixturePolicy((hull[1].policy, hull[2].policy), (0.5, 0.5))
    assert mixed.quality > hull[1].quality


def test_one_model_is_its_own_hull() -> None:
    rows = table(0, 20, 1)
    (only,) = hull_cascades(*rows)
    assert only.policy == ThresholdCascade((0,), ())


@pytest.mark.parametrize("seed", range(6))
def test_frugal_gpt_is_never_better_than_the_exact_search(seed: int) -> None:
    rows = table(seed, 70, 3)
    exact = pareto_cascades(*rows, any_order=True)
    behind = 0.0
    for budget in np.linspace(exact[0].cost, exact[-1].cost, 7) * (1 + 1e-9):
        frugal = fit_frugal_gpt(*rows, float(budget), grid=8)
        assert frugal.cost <= budget
        assert (frugal.quality, frugal.cost) == pytest.approx(follow(frugal.policy, rows))
        gap = quality_within(exact, float(budget)) - frugal.quality
        assert gap >= -1e-12
        behind = max(behind, gap)
    assert behind > 0, "and a grid does miss something"


def test_frugal_gpt_with_every_score_on_the_grid_misses_nothing() -> None:
    score, quality, cost = table(1, 50, 3)
    score = np.where(score >= 0, score.round(1), score)
    exact = pareto_cascades(score, quality, cost, any_order=True)
    for budget in np.linspace(exact[0].cost, exact[-1].cost, 7) * (1 + 1e-9):
        frugal = fit_frugal_gpt(score, quality, cost, float(budget), grid=400)
        assert frugal.quality == pytest.approx(quality_within(exact, float(budget)))


def test_frugal_gpt_refines_what_its_grid_finds() -> None:
    # The one good threshold lies between the two quantiles of a grid of two.
    score = np.column_stack([np.arange(10) / 10, np.ones(10)])
    quality = np.column_stack([np.arange(10) >= 1, np.arange(10) < 1]).astype(float)
    cost = np.tile([1.0, 1.0], (10, 1))
    found = fit_frugal_gpt(score, quality, cost, 1.15, grid=1)
    assert found.quality == pytest.approx(1.0)


def test_lists_of_models_that_say_the_same_are_left_out() -> None:
    score, quality, cost = table(3, 60, 3)
    same = np.tile(np.arange(60)[:, None], (1, 3))
    alone = fit_frugal_gpt(score, quality, cost, 10.0, answers=same)
    assert len(alone.policy.order) == 1
    differ = same + 100 * np.arange(3)
    assert fit_frugal_gpt(score, quality, cost, 10.0, answers=differ) == fit_frugal_gpt(
        score, quality, cost, 10.0
    )
    # Arms 0 and 1 agree but for two rows: neighbours in no list, though both may be in one.
    close = differ.copy()
    close[2:, 1] = close[2:, 0]
    order = fit_frugal_gpt(score, quality, cost, 10.0, answers=close).policy.order
    assert {(0, 1), (1, 0)}.isdisjoint(pairwise(order))


def test_what_cannot_be_searched_is_refused() -> None:
    rows = table(0, 20, 2)
    with pytest.raises(InvalidConfiguration, match="below the cheapest"):
        fit_frugal_gpt(*rows, 0.01)
    with pytest.raises(InvalidConfiguration, match="below the cheapest"):
        fit_frugal_gpt(*rows, float("nan"))
    with pytest.raises(InvalidConfiguration, match="grid >= 1"):
        fit_frugal_gpt(*rows, 9.0, grid=0)
    with pytest.raises(InvalidConfiguration, match="min_disagreement"):
        fit_frugal_gpt(*rows, 9.0, min_disagreement=1.5)
    with pytest.raises(InvalidOutcomes, match="answers need the shape"):
        fit_frugal_gpt(*rows, 9.0, answers=np.zeros((20, 3)))
    with pytest.raises(InvalidConfiguration, match="cost_weight"):
        best_cascade(*rows, -1.0)
    with pytest.raises(InvalidConfiguration, match="tolerance"):
        hull_cascades(*rows, tolerance=0.0)
    for search in (pareto_cascades, hull_cascades):
        with pytest.raises(InvalidOutcomes, match="one shape"):
            search(rows[0], rows[1], rows[2][:, :1])
        with pytest.raises(InvalidConfiguration, match="max_depth >= 1"):
            search(*rows, max_depth=0)
    assert Rows.of(*rows).n == 20
