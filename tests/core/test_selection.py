"""The selector: finds the kind that the world calls for, and says when no router is needed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cascade_core import InvalidConfiguration, InvalidOutcomes, SingleModelPolicy
from cascade_core.evaluation.live_replay import replay_live
from cascade_core.evaluation.replay import replay
from cascade_core.fitting.chains import MAX_ARMS, best_arms
from cascade_core.fitting.families import FAMILIES, SingleModel
from cascade_core.fitting.frontier import Frontier
from cascade_core.fitting.selection import Selector, compare, select_policy
from cascade_core.fitting.training import Training
from cascade_core.outcomes import OutcomeTable

COST = np.array([0.01, 0.1, 1.0])


def table(
    seed: int,
    n: int = 600,
    *,
    informed: float = 1.0,
    by_domain: bool = False,
    skills: tuple[float, ...] = (-0.2, 0.8, 2.0),
) -> OutcomeTable:
    """Return questions of two domains; confidences that tell ``informed`` of the truth."""
    rng = np.random.default_rng(seed)
    m = len(skills)
    domain = rng.choice(["law", "maths"], size=n)
    z = rng.normal(size=(n, m)) * 1.5 + np.array(skills)
    if by_domain:
        z[domain == "law", 0] += 5.0
        z[domain == "maths", 0] -= 5.0
    right = rng.uniform(size=(n, m)) < 1 / (1 + np.exp(-z))
    told = informed * z + (1 - informed) * rng.normal(size=(n, m))
    answers = np.where(right, 0, rng.integers(1, 4, size=(n, m)))
    return OutcomeTable(
        tuple(f"m{i}" for i in range(m)),
        right,
        np.tile(COST[:m], (n, 1)),
        np.ones((n, m)),
        signals={"confidence": 1 / (1 + np.exp(-told))},
        rejected=rng.uniform(size=(n, m)) < 0.02,
        domains=domain.astype(object),
        answers=answers,
    )


@pytest.fixture(scope="module")
def informed() -> Selector:
    return Selector.measure(table(1), use_domains=True)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_all_at_once_is_what_the_live_code_does(informed: Selector, family: object) -> None:
    fresh = table(2, n=60)
    for dial in ({"cost_weight": 0.3}, {"budget": 0.3}):
        policy = informed.fit(family.name, **dial)  # type: ignore[attr-defined]
        many, one = replay(policy, fresh), replay_live(policy, fresh)
        np.testing.assert_array_equal(many.answered_by, one.answered_by)
        np.testing.assert_allclose(many.cost_usd, one.cost_usd)
        np.testing.assert_array_equal(many.quality, one.quality)


def test_with_signals_that_tell_a_cascade_wins(informed: Selector) -> None:
    selection = informed.choose(cost_weight=0.3)
    fresh = table(3, n=3000)
    got = replay(selection.policy, fresh)
    utility = got.quality - 0.3 * got.cost_usd
    single = (fresh.quality - 0.3 * fresh.cost_usd).mean(axis=0).max()
    assert utility.mean() > single + 0.02
    assert selection.chosen != "single model"
    assert "did best" in selection.verdict


def test_held_out_figures_are_those_of_fresh_rows(informed: Selector) -> None:
    selection = informed.choose(cost_weight=0.3)
    fresh = table(4, n=4000)
    for candidate in selection.candidates:
        got = replay(informed.fit(candidate.name, cost_weight=0.3), fresh)
        assert candidate.quality == pytest.approx(got.quality.mean(), abs=0.05), candidate
        assert candidate.utility == pytest.approx(
            (got.quality - 0.3 * got.cost_usd).mean(), abs=0.04
        ), candidate


def test_without_signals_the_honest_answer_is_one_model() -> None:
    world = table(5, informed=0.0, skills=(-3.0, -3.0, 2.0))
    selection = select_policy(world, cost_weight=0.01)
    assert selection.chosen == "single model"
    assert "Use m2 alone, no router" in selection.verdict


def test_where_the_domain_decides_it_routes() -> None:
    world = table(6, informed=0.0, by_domain=True, skills=(0.0, 1.0))
    selection = select_policy(world, cost_weight=0.5, use_domains=True)
    assert selection.chosen == "routing"
    assert select_policy(world, cost_weight=0.5).chosen == "single model"


def test_the_simplest_within_one_standard_error_is_taken(informed: Selector) -> None:
    selection = informed.choose(cost_weight=0.3)
    tied = [c for c in selection.candidates if c.tied]
    assert selection.chosen == min(tied, key=lambda c: (c.complexity, -c.utility)).name
    assert selection.candidates[0].behind.mean == 0
    utilities = [c.utility for c in selection.candidates]
    assert utilities == sorted(utilities, reverse=True)


def test_a_budget_is_met_on_fresh_rows(informed: Selector) -> None:
    for budget in (0.05, 0.2, 0.5):
        selection = informed.choose(budget=budget)
        cost = replay(selection.policy, table(7, n=4000)).cost_usd
        assert cost.mean() == pytest.approx(budget, rel=0.15)


def test_a_budget_below_every_rule_is_refused(informed: Selector) -> None:
    with pytest.raises(InvalidConfiguration, match="below the least that a rule spends"):
        informed.choose(budget=0.001)


@pytest.mark.parametrize(
    "dial", [{}, {"budget": 1.0, "cost_weight": 1.0}, {"budget": -1.0}, {"cost_weight": np.nan}]
)
def test_one_dial_and_no_other(informed: Selector, dial: dict[str, float]) -> None:
    with pytest.raises(InvalidConfiguration):
        informed.choose(**dial)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(InvalidOutcomes, match="at least 20"):
        select_policy(table(8, n=12), cost_weight=1.0)


def test_the_same_seed_chooses_the_same() -> None:
    one, two = (select_policy(table(9, n=120), cost_weight=0.3, seed=4) for _ in range(2))
    assert one.chosen == two.chosen
    assert one.candidates == two.candidates


def frontier(name: str, complexity: int, quality: np.ndarray) -> Frontier:
    """Return a kind of rule that cost nothing and did this, at one price."""
    fold = np.arange(len(quality)) % 2
    return Frontier(
        dataclasses.replace(SingleModel(), name=name, complexity=complexity),
        np.array([1.0]),
        quality[None, :],
        np.zeros((1, len(quality))),
        fold,
    )


@pytest.mark.parametrize(("ahead", "tied"), [(0.9, True), (1.1, False)])
def test_one_standard_error_is_the_line(ahead: float, tied: bool) -> None:
    n = 100
    noise = np.tile([0.1, -0.1], n // 2)
    standard_error = float(noise.std(ddof=1)) / n**0.5
    simple = np.full(n, 0.5)
    better = simple + noise + ahead * standard_error
    best, other = compare([frontier("simple", 0, simple), frontier("better", 5, better)], 1.0)
    assert (best.name, best.tied) == ("better", True)
    assert (other.name, other.tied) == ("simple", tied)
    assert other.behind.mean == pytest.approx(ahead * standard_error)


def test_which_price_serves_is_decided_on_the_other_folds() -> None:
    # On each fold the second point looks better exactly where the other fold says it is worse.
    fold = np.array([0, 0, 1, 1])
    quality = np.array([[0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 0.1, 0.1]])
    measured = Frontier(SingleModel(), np.array([0.0, 1.0]), quality, np.zeros((2, 4)), fold)
    held_out, _ = measured.at(1.0)
    assert held_out.tolist() == [0.5, 0.5, 0.1, 0.1]


def test_with_many_arms_a_chain_is_looked_for_among_the_contenders() -> None:
    rng = np.random.default_rng(12)
    n, m = 60, 12
    quality = rng.uniform(size=(n, m)) < np.linspace(0.1, 0.9, m)
    many = OutcomeTable(
        tuple(f"m{i}" for i in range(m)),
        quality,
        np.tile(np.geomspace(0.001, 1.0, m), (n, 1)),
        np.ones((n, m)),
        signals={"confidence": rng.uniform(size=(n, m))},
    )
    training = Training.prepare(many, folds=2, max_depth=1)
    rows = np.arange(n)
    arms = best_arms(training, rows, 0.1, m)
    assert len(arms) == MAX_ARMS
    single = SingleModel().fit(training, rows, 0.1)
    assert isinstance(single, SingleModelPolicy) and single.arm in arms
