"""Replay by hand, baselines by linear programming, intervals by coverage."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from cascade_core import (
    FittedPolicy,
    InvalidOutcomes,
    Policy,
    RandomMixing,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
)
from cascade_core.estimators import CalibratedConfidence, PriorEstimator
from cascade_core.evaluation import (
    Results,
    bootstrap_interval,
    oracle,
    paired_difference,
    random_mixing,
    replay,
    single_models,
    summarise,
)
from cascade_core.outcomes import OutcomeTable
from cascade_core.signals import PlattCalibrator

# Three requests, two models: an identity calibration of the signal, and one rejected reply.
TINY = OutcomeTable(
    ("small", "large"),
    quality=np.array([[1, 0], [0, 1], [1, 1.0]]),
    cost_usd=np.array([[1, 10], [2, 20], [3, 30.0]]),
    latency_seconds=np.array([[0.1, 1], [0.2, 2], [0.3, 3]]),
    signals={"s": np.array([[0.9, 0.5], [0.2, 0.5], [0.95, 0.5]])},
    rejected=np.array([[False, False], [False, False], [True, False]]),
)


def policy(rule: Policy, table: OutcomeTable = TINY) -> FittedPolicy:
    n = len(table.arms)
    identity = (PlattCalibrator(1.0, 0.0),) * n
    return FittedPolicy(
        table.arms,
        rule,
        PriorEstimator((0.5,) * n, (0.1,) * n, tuple(table.cost_usd.mean(axis=0))),
        CalibratedConfidence(("s",) * n, identity, (0.5,) * n),
    )


def test_a_replayed_cascade_is_what_one_works_out_by_hand() -> None:
    result = replay(policy(ThresholdCascade((0, 1), (0.5,))), TINY)
    # Row 0 is accepted; row 1 is too unsure, row 2 rejected: both pay for both models.
    np.testing.assert_array_equal(result.answered_by, [0, 1, 1])
    np.testing.assert_array_equal(result.quality, [1, 1, 1])
    np.testing.assert_allclose(result.cost_usd, [1, 22, 33])
    np.testing.assert_allclose(result.latency_seconds, [0.1, 2.2, 3.3])
    assert result.shares() == pytest.approx({"small": 1 / 3, "large": 2 / 3})


@pytest.mark.parametrize("arm", [0, 1])
def test_a_replayed_single_model_is_the_models_column(arm: int) -> None:
    result, alone = replay(policy(SingleModelPolicy(arm)), TINY), single_models(TINY)[arm]
    np.testing.assert_array_equal(result.quality, TINY.quality[:, arm])
    np.testing.assert_array_equal(result.cost_usd, TINY.cost_usd[:, arm])
    np.testing.assert_array_equal(alone.quality, result.quality)
    np.testing.assert_array_equal(alone.answered_by, [arm] * 3)


def test_rules_that_weigh_dollars_are_replayed_too() -> None:
    result = replay(policy(RoutingPolicy(1.0)), TINY)
    np.testing.assert_array_equal(result.answered_by, [0, 0, 0])


def test_ties_are_drawn_in_a_replay_and_the_same_way_again() -> None:
    table = random_table(np.random.default_rng(0), 400, 2)
    free = PriorEstimator((0.5, 0.5), (0.1, 0.1), (0.0, 0.0))
    blind = policy(RandomMixing((0.7, 0.3)), table)
    routed = policy(RoutingPolicy(1.0, cheap_share=0.7), table)
    tied = PriorEstimator((0.4, 0.5), (0.1, 0.1), (0.1, 0.2))
    for fitted in (replace(blind, ex_ante=free), replace(routed, ex_ante=tied)):
        result = replay(fitted, table)
        share = float((result.answered_by == 0).mean())
        assert abs(share - 0.7) <= 3 * np.sqrt(0.7 * 0.3 / 400)
        np.testing.assert_array_equal(replay(fitted, table).answered_by, result.answered_by)


def test_a_policy_for_other_arms_is_not_replayed() -> None:
    other = policy(SingleModelPolicy(0))
    renamed = FittedPolicy(("a", "b"), other.policy, other.ex_ante, other.ex_post)
    with pytest.raises(InvalidOutcomes, match=r"\['a', 'b'\].*\['small', 'large'\]"):
        replay(renamed, TINY)


def test_the_oracle_takes_the_cheapest_of_the_best() -> None:
    result = oracle(TINY)
    np.testing.assert_array_equal(result.answered_by, [0, 1, 0])
    np.testing.assert_array_equal(result.quality, [1, 1, 1])
    np.testing.assert_allclose(result.cost_usd, [1, 20, 3])


def random_table(rng: np.random.Generator, n: int, n_arms: int) -> OutcomeTable:
    return OutcomeTable(
        tuple(f"m{m}" for m in range(n_arms)),
        quality=rng.random((n, n_arms)),
        cost_usd=rng.random((n, n_arms)) * rng.random(n_arms),
        latency_seconds=rng.random((n, n_arms)),
    )


@pytest.mark.parametrize("seed", range(10))
def test_random_mixing_is_the_best_mixture_of_a_linear_programme(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = random_table(rng, 20, int(rng.integers(1, 6)))
    cost, quality = table.cost_usd.mean(axis=0), table.quality.mean(axis=0)
    for budget in np.linspace(cost.min(), cost.max() * 1.2, 9):
        weights = random_mixing(table, float(budget)).weights
        best = linprog(
            -quality, A_ub=[cost], b_ub=[budget + 1e-12], A_eq=[np.ones(len(cost))], b_eq=[1]
        )
        assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
        assert cost @ weights <= budget + 1e-12
        assert quality @ weights == pytest.approx(-best.fun, abs=1e-9)


def test_below_the_cheapest_model_there_is_no_mixture_but_the_cheapest_alone() -> None:
    table = random_table(np.random.default_rng(3), 50, 3)
    cheapest = table.cost_usd.mean(axis=0).argmin()
    for cost in (0.0, float(table.cost_usd.mean(axis=0).min()) / 2):
        np.testing.assert_array_equal(random_mixing(table, cost).weights, np.eye(3)[cheapest])


def test_mixing_at_exactly_the_cost_of_the_cheapest_is_the_cheapest() -> None:
    # Two ways to sum the same column differ in the last digit; that must not empty the mixture.
    for seed in range(50):
        table = random_table(np.random.default_rng(seed), 137, 2)
        cheapest = int(table.cost_usd.mean(axis=0).argmin())
        mixture = random_mixing(table, float(single_models(table)[cheapest].cost_usd.mean()))
        assert mixture.weights[cheapest] == pytest.approx(1)
        expected = mixture.expected(table.quality)
        np.testing.assert_allclose(expected, table.quality[:, cheapest], atol=1e-12)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        interval = bootstrap_interval(rng.random(80) < 0.7, rng, draws=400)
        covered += interval.low <= 0.7 <= interval.high
        assert interval.low <= interval.mean <= interval.high
    assert 0.90 < covered / 400 < 0.985


def test_an_interval_is_as_wide_as_the_normal_one_on_many_values() -> None:
    x = np.random.default_rng(1).random(5000)
    interval = bootstrap_interval(x, np.random.default_rng(2))
    half = 1.96 * x.std() / np.sqrt(5000)
    assert interval.high - interval.mean == pytest.approx(half, rel=0.1)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.1)
    wider = bootstrap_interval(x, np.random.default_rng(2), level=0.999)
    assert wider.low < interval.low < interval.high < wider.high


def test_the_same_generator_gives_the_same_interval_in_any_number_of_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cascade_core.evaluation import intervals

    x = np.random.default_rng(1).random(50)
    whole = bootstrap_interval(x, np.random.default_rng(3))
    monkeypatch.setattr(intervals, "_BLOCK", 333)
    blocks = bootstrap_interval(x, np.random.default_rng(3))
    assert (blocks.mean, blocks.low, blocks.high) == pytest.approx(
        (whole.mean, whole.low, whole.high), abs=1e-12
    )


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(300)
    assert paired_difference(a + 0.01, a, rng).excludes_zero()
    assert paired_difference(a, a + 0.01, rng).high < 0
    same = paired_difference(a, a, rng)
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    assert not same.excludes_zero()


@pytest.mark.parametrize("values", [[], [[1.0]]])
def test_no_values_give_no_interval(values: list[float]) -> None:
    with pytest.raises(InvalidOutcomes, match="n >= 1, got"):
        bootstrap_interval(values, np.random.default_rng(0))


def test_a_summary_says_dollars_per_thousand_requests() -> None:
    rows = np.array([0, 1, 1])
    results = Results(("a", "b"), np.array([1, 0, 1.0]), np.full(3, 0.002), np.full(3, 0.5), rows)
    summary = summarise("mine", results, np.random.default_rng(0))
    assert summary.name == "mine"
    assert summary.cost_per_1000 == pytest.approx(2.0)
    assert summary.latency_seconds == 0.5
    assert summary.quality.mean == pytest.approx(2 / 3)
    assert summary.shares == pytest.approx({"a": 1 / 3, "b": 2 / 3})


def test_a_report_is_one_page_that_loads_nothing_and_escapes_names(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    from cascade_core.evaluation.report import Report, write_report

    singles = [
        summarise(f"<b>{arm}", r, np.random.default_rng(0))
        for arm, r in zip(TINY.arms, single_models(TINY), strict=True)
    ]
    page = tmp_path / "new folder" / "report.html"
    write_report(
        Report(
            "Title", "5 < 6", singles, singles, singles[:1], singles[0], singles[1], ["<i>note"]
        ),
        page,
    )
    html = page.read_text(encoding="utf-8")
    assert "<script src=" not in html and "<link" not in html
    assert "&lt;b&gt;small" in html and "5 &lt; 6" in html and "&lt;i&gt;note" in html
    assert [f.name for f in page.parent.iterdir()] == ["report.html"]
