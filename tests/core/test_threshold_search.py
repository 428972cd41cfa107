"""Threshold search against brute force: every chain, every combination of thresholds."""

from itertools import combinations, product

import numpy as np
import pytest

from cascade_core.policies import ThresholdCascade, threshold_search
from cascade_core.policies.threshold_search import NEVER, TunedCascade, pareto_cascades

Table = tuple[np.ndarray, np.ndarray, np.ndarray]


def table(rng: np.random.Generator, n: int, n_arms: int) -> Table:
    """Return scores, qualities and costs with ties, rejected replies and a cost that varies."""
    quality = (rng.random((n, n_arms)) < np.linspace(0.4, 0.9, n_arms)).astype(float)
    score = np.clip(0.5 * quality + 0.5 * rng.random((n, n_arms)), 0, 1)
    score = np.where(rng.random((n, n_arms)) < 0.5, score.round(1), score)
    score[rng.random((n, n_arms)) < 0.1] = -1.0
    cost = rng.uniform(0.5, 1.5, (n, n_arms)) * 4.0 ** np.arange(n_arms)
    return score, quality, cost


def follow(
    order: tuple[int, ...], thresholds: tuple[float, ...], rows: Table
) -> tuple[float, float]:
    """Return mean quality and cost of a chain by walking it row by row, in plain Python."""
    score, quality, cost = rows
    total_quality = total_cost = 0.0
    for i in range(len(score)):
        for level, arm in enumerate(order):
            total_cost += cost[i, arm]
            if level == len(order) - 1 or score[i, arm] >= thresholds[level]:
                total_quality += quality[i, arm]
                break
    return total_quality / len(score), total_cost / len(score)


def brute_force(rows: Table, max_depth: int = 3) -> np.ndarray:
    """Return (quality, cost) of every chain in order of cost with every combination."""
    score, _, cost = rows
    order = np.argsort(cost.mean(axis=0)).tolist()
    found = []
    for depth in range(1, min(max_depth, len(order)) + 1):
        for chain in combinations(order, depth):
            levels = [[*sorted({s for s in score[:, m] if s >= 0}), NEVER] for m in chain[:-1]]
            found += [follow(chain, thresholds, rows) for thresholds in product(*levels)]
    return np.array(found)


def as_points(cascades: list[TunedCascade]) -> np.ndarray:
    return np.array([(c.quality, c.cost) for c in cascades])


@pytest.mark.parametrize("n_arms", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_nothing_beats_the_frontier_at_any_budget_or_cost_weight(seed: int, n_arms: int) -> None:
    rng = np.random.default_rng(seed)
    rows = table(rng, int(rng.integers(1, 30 if n_arms < 3 else 12)), n_arms)
    mine = as_points(pareto_cascades(*rows))
    for quality, cost in brute_force(rows):
        affordable = mine[mine[:, 1] <= cost + 1e-12]
        assert affordable[:, 0].max() >= quality - 1e-12


def test_beyond_a_thousand_requests_three_models_are_searched_on_a_grid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same with a small grid: a subset of the exact search, and close to it."""
    rows = table(np.random.default_rng(0), 300, 3)
    exact = as_points(pareto_cascades(*rows))
    monkeypatch.setattr(threshold_search, "MAX_CANDIDATES", 60)
    grid = as_points(pareto_cascades(*rows))

    def best(points: np.ndarray, budget: float) -> float:
        return float(points[points[:, 1] <= budget, 0].max())

    budgets = np.linspace(exact[0, 1] + 1e-9, exact[-1, 1], 40)
    lost = np.array([best(exact, b) - best(grid, b) for b in budgets])
    assert lost.min() >= -1e-12
    assert lost.max() < 0.01


@pytest.mark.parametrize("n_arms", [1, 2, 3, 4])
def test_what_a_cascade_is_said_to_do_is_what_it_does(n_arms: int) -> None:
    rows = table(np.random.default_rng(n_arms), 30, n_arms)
    for cascade in pareto_cascades(*rows):
        policy = cascade.policy
        expected = follow(policy.order, policy.thresholds, rows)
        assert (cascade.quality, cascade.cost) == pytest.approx(expected, abs=1e-12)


def test_the_frontier_rises_in_cost_and_in_quality_and_has_the_extremes() -> None:
    rows = table(np.random.default_rng(0), 200, 3)
    points = as_points(pareto_cascades(*rows))
    assert (np.diff(points, axis=0) > 0).all()
    assert points[0, 1] == pytest.approx(rows[2][:, 0].mean()), "starts with the cheapest model"
    assert points[-1, 0] >= rows[1].mean(axis=0).max(), "ends no worse than the best model"


def test_an_arm_that_gains_nothing_is_left_out() -> None:
    n = 50
    quality = np.column_stack([np.ones(n), np.ones(n)])
    score, cost = np.full((n, 2), 0.5), np.column_stack([np.ones(n), np.full(n, 9.0)])
    (only,) = pareto_cascades(score, quality, cost)
    assert only.policy == ThresholdCascade((0,), ())


def test_the_order_of_the_columns_does_not_matter() -> None:
    score, quality, cost = table(np.random.default_rng(4), 40, 3)
    turned = [2, 0, 1]
    here = as_points(pareto_cascades(score, quality, cost))
    there = as_points(pareto_cascades(score[:, turned], quality[:, turned], cost[:, turned]))
    np.testing.assert_allclose(here, there)


def test_rejected_replies_stop_at_no_threshold() -> None:
    # The cheap arm is always right, yet its replies are rejected: only escalation can answer.
    n = 10
    quality = np.column_stack([np.ones(n), np.ones(n)])
    score = np.full((n, 2), -1.0)
    cost = np.column_stack([np.ones(n), np.full(n, 9.0)])
    for cascade in pareto_cascades(score, quality, cost):
        policy = cascade.policy
        assert policy.order in ((0,), (1,)), "a chain would always pay for both"


def test_a_threshold_lies_half_way_between_the_scores_that_it_parts() -> None:
    score = np.array([[0.2, 1], [0.4, 1], [0.8, 1], [0.9, 1]])
    quality = np.array([[0, 1], [0, 1], [1, 1], [1, 1.0]])
    cost = np.tile([1.0, 10.0], (4, 1))
    best = pareto_cascades(score, quality, cost)[-1]
    assert best.policy == ThresholdCascade((0, 1), ((0.4 + 0.8) / 2,))
    assert (best.quality, best.cost) == (1.0, 6.0)
