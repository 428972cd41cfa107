"""Learning from outcomes: what is tuned in the table is what is replayed live."""

import math
import re
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from cascade_core import InvalidConfiguration, InvalidOutcomes, ThresholdCascade
from cascade_core.evaluation import replay
from cascade_core.fitting import confidence_scores, fit_confidence, fit_policies, fit_policy
from cascade_core.outcomes import OutcomeTable
from cascade_core.policies.threshold_search import pareto_cascades


def outcomes(seed: int, n: int = 200, n_arms: int = 3, **more: Any) -> OutcomeTable:
    """Return outcomes with a signal that tells right from wrong, gaps, and rejected replies."""
    rng = np.random.default_rng(seed)
    quality = (rng.random((n, n_arms)) < np.linspace(0.45, 0.9, n_arms)).astype(float)
    good = np.clip(0.45 * quality + 0.5 * rng.random((n, n_arms)), 0, 1)
    good[rng.random((n, n_arms)) < 0.05] = np.nan
    table = {
        "arms": tuple(f"m{m}" for m in range(n_arms)),
        "quality": quality,
        "cost_usd": rng.uniform(0.8, 1.2, (n, n_arms)) * 5.0 ** np.arange(n_arms) * 1e-4,
        "latency_seconds": rng.random((n, n_arms)),
        "signals": {"good": good, "noise": rng.random((n, n_arms))},
        "rejected": rng.random((n, n_arms)) < 0.05,
    }
    return OutcomeTable(**(table | more))


@pytest.mark.parametrize("n_arms", [1, 2, 3, 4])
def test_what_the_search_promises_is_what_the_replay_of_the_live_code_gives(n_arms: int) -> None:
    table = outcomes(n_arms, n_arms=n_arms)
    promised = pareto_cascades(
        confidence_scores(table, fit_confidence(table)), table.quality, table.cost_usd
    )
    fitted = fit_policies(table)
    assert [f.policy for f in fitted] == [p.policy for p in promised]
    for policy, promise in list(zip(fitted, promised, strict=True))[:: max(1, len(fitted) // 8)]:
        result = replay(policy, table)
        assert result.quality.mean() == pytest.approx(promise.quality, abs=1e-12)
        assert result.cost_usd.mean() == pytest.approx(promise.cost, rel=1e-12)


def test_a_budget_is_kept_on_the_rows_and_more_money_is_never_worse() -> None:
    table = outcomes(0)
    cheapest, dearest = table.cost_usd.mean(axis=0)[[0, -1]]
    quality = []
    for budget in np.linspace(cheapest * 1.0001, dearest * 2, 12):
        result = replay(fit_policy(table, budget=float(budget)), table)
        assert result.cost_usd.mean() <= budget * (1 + 1e-12)
        quality.append(result.quality.mean())
    assert (np.diff(quality) >= 0).all()
    assert quality[-1] >= table.quality.mean(axis=0).max()


def test_a_heavier_cost_weight_spends_less() -> None:
    table = outcomes(1)
    spent = [
        replay(fit_policy(table, cost_weight=w), table).cost_usd.mean()
        for w in (0.0, 1.0, 10.0, 100.0, 1e4, 1e9)
    ]
    assert (np.diff(spent) <= 0).all()
    assert spent[-1] == pytest.approx(table.cost_usd[:, 0].mean())


def test_a_budget_that_cannot_be_kept_names_the_least_that_can() -> None:
    table = outcomes(2)
    with pytest.raises(InvalidConfiguration, match="below the cheapest") as info:
        fit_policy(table, budget=1e-6)
    least = float(re.findall(r"cheapest model's (\S+)\. Give", str(info.value))[0])
    assert least == pytest.approx(table.cost_usd[:, 0].mean())
    assert fit_policy(table, budget=least).policy == ThresholdCascade((0,), ())


def test_a_fitted_cascade_is_better_than_its_models_where_signals_tell() -> None:
    table, fresh = outcomes(3, n=400), outcomes(4, n=2000)
    best = int(table.quality.mean(axis=0).argmax())
    policy = fit_policy(table, budget=float(table.cost_usd[:, best].mean()) * 0.6)
    result = replay(policy, fresh)
    assert result.cost_usd.mean() < 0.8 * fresh.cost_usd[:, best].mean()
    assert result.quality.mean() > fresh.quality[:, best].mean()


@pytest.mark.parametrize(
    "dial",
    [
        {},
        {"budget": 0.1, "cost_weight": 1.0},
        {"budget": -0.1},
        {"budget": math.nan},
        {"budget": math.inf},
        {"cost_weight": -1.0},
        {"cost_weight": math.nan},
        {"cost_weight": math.inf},
    ],
    ids=repr,
)
def test_exactly_one_dial_and_a_number_on_it(dial: dict[str, float]) -> None:
    with pytest.raises(InvalidConfiguration, match=r"budget|cost_weight") as info:
        fit_policy(outcomes(0, n=30), **dial)
    assert all(repr(value) in str(info.value) for value in dial.values())


@pytest.mark.parametrize("n", [1, 19])
def test_too_few_requests_are_refused(n: int) -> None:
    with pytest.raises(InvalidOutcomes, match=f"at least 20 requests, got {n}"):
        fit_policy(outcomes(0, n=n), budget=1.0)
    with pytest.raises(InvalidOutcomes, match=f"at least 20 requests, got {n}"):
        fit_policies(outcomes(0, n=n))


def test_the_signal_that_tells_most_is_chosen_for_each_arm() -> None:
    table = outcomes(5, n=400)
    only_last = np.where([False, False, True], 0.1 + 0.8 * table.quality, np.nan)
    table = outcomes(5, n=400, signals={**table.signals, "told": only_last})
    assert fit_confidence(table).signals == ("good", "good", "told")


def test_a_signal_outside_of_zero_and_one_is_not_used() -> None:
    table = outcomes(6)
    perfect = np.where(table.quality > 0, -0.1, -9.0)
    table = outcomes(6, signals={"logprob": perfect, "percent": table.quality * 100})
    fitted = fit_confidence(table)
    assert fitted.signals == ("", "", "")
    assert [fitted.quality(m, {"logprob": -0.1}) for m in range(3)] == pytest.approx(
        table.quality.mean(axis=0).tolist()
    )


def test_outcomes_without_any_signal_still_give_a_policy() -> None:
    table = outcomes(7, signals={}, rejected=None)
    policy = fit_policy(table, cost_weight=0.0)
    result = replay(policy, table)
    assert result.quality.mean() == pytest.approx(table.quality.mean(axis=0).max())


def test_integer_grades_are_learnt_from_as_well_as_floats() -> None:
    table = outcomes(8)
    integers = outcomes(8, quality=table.quality.astype(int))
    np.testing.assert_array_equal(
        confidence_scores(integers, fit_confidence(integers)),
        confidence_scores(table, fit_confidence(table)),
    )


def test_a_rejected_reply_scores_below_every_threshold() -> None:
    table = outcomes(9)
    score = confidence_scores(table, fit_confidence(table))
    assert table.rejected is not None
    assert (score[table.rejected] == -1).all()
    assert (score[~table.rejected] >= 0).all()


def test_a_planted_calibration_is_found_in_the_table() -> None:
    rng = np.random.default_rng(0)
    n = 5000
    confidence = rng.beta(4, 1.5, (n, 1))
    quality = (rng.random((n, 1)) < expit(0.6 * logit(confidence) - 0.5)).astype(float)
    flat = np.ones((n, 1))
    table = OutcomeTable(("a",), quality, flat, flat, {"s": confidence})
    (calibrator,) = fit_confidence(table).calibrators
    assert calibrator.slope == pytest.approx(0.6, abs=0.12)
    assert calibrator.intercept == pytest.approx(-0.5, abs=0.2)


def test_the_prior_is_what_the_table_says() -> None:
    table = outcomes(10)
    belief = fit_policy(table, cost_weight=1.0).ex_ante.estimate(None)  # type: ignore[arg-type]
    np.testing.assert_allclose(belief.mean, table.quality.mean(axis=0))
    np.testing.assert_allclose(belief.cost, table.cost_usd.mean(axis=0))
