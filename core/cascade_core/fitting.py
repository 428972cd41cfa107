"""Learn a policy from graded outcomes."""

from __future__ import annotations

import math

import numpy as np

from cascade_core._cascade import FittedPolicy
from cascade_core._types import FloatArray
from cascade_core.errors import InvalidConfiguration, InvalidOutcomes
from cascade_core.estimators import CalibratedConfidence, PriorEstimator
from cascade_core.outcomes import OutcomeTable
from cascade_core.policies.threshold_search import TunedCascade, pareto_cascades
from cascade_core.signals import PlattCalibrator

_FOLDS = 5
_MIN_REQUESTS = 20


def fit_policy(
    table: OutcomeTable, *, budget: float | None = None, cost_weight: float | None = None
) -> FittedPolicy:
    """Return the threshold cascade, or the single model, that is best on ``table``.

    Each arm's best confidence signal is calibrated; then the thresholds of all sub-chains are tuned
    exactly on the rows. Figures for the policy must come from other rows than these.

    Args:
        table: Outcomes of all arms, at least 20 requests.
        budget: Mean US dollars per request that may be spent.
        cost_weight: λ, quality per US dollar, instead of a budget.

    Raises:
        InvalidConfiguration: Not exactly one of the two was given, it is negative or not finite,
            or the budget is below what the cheapest arm costs.
        InvalidOutcomes: Too few requests to learn from.
    """
    _check_dial(budget, cost_weight)
    _check_size(table)
    ex_post = fit_confidence(table)
    candidates = pareto_cascades(scores(table, ex_post), table.quality, table.cost_usd)
    chosen = _choose(candidates, budget, cost_weight)
    return FittedPolicy(table.arms, chosen.policy, _prior(table), ex_post)


def fit_policies(table: OutcomeTable) -> list[FittedPolicy]:
    """Return the policies along the whole cost-quality frontier of ``table``, cheapest first."""
    _check_size(table)
    ex_post, prior = fit_confidence(table), _prior(table)
    return [
        FittedPolicy(table.arms, candidate.policy, prior, ex_post)
        for candidate in pareto_cascades(scores(table, ex_post), table.quality, table.cost_usd)
    ]


def fit_confidence(table: OutcomeTable) -> CalibratedConfidence:
    """Return every arm's signal of least cross-validated log loss, calibrated on all rows."""
    chosen = [_calibrate(table, m) for m in range(len(table.arms))]
    return CalibratedConfidence(
        signals=tuple(name for name, _ in chosen),
        calibrators=tuple(calibrator for _, calibrator in chosen),
        base_rates=tuple(table.quality.mean(axis=0).tolist()),
    )


def scores(table: OutcomeTable, ex_post: CalibratedConfidence) -> FloatArray:
    """Return the estimated quality of every reply, shape (n_requests, n_arms); -1 if rejected."""
    result = np.empty(table.quality.shape)
    for m in range(len(table.arms)):
        signal = table.signals.get(ex_post.signals[m])
        values = np.full(table.n_requests, np.nan) if signal is None else signal[:, m]
        known = np.isfinite(values)
        result[:, m] = ex_post.base_rates[m]
        result[known, m] = ex_post.calibrators[m].apply(values[known])
    if table.rejected is not None:
        result[table.rejected] = -1.0
    return result


def _prior(table: OutcomeTable) -> PriorEstimator:
    return PriorEstimator(
        mean=tuple(table.quality.mean(axis=0).tolist()),
        sd=tuple(table.quality.std(axis=0).tolist()),
        cost=tuple(table.cost_usd.mean(axis=0).tolist()),
    )


def _calibrate(table: OutcomeTable, arm: int) -> tuple[str, PlattCalibrator]:
    quality = table.quality[:, arm]
    usable = {
        name: signal[:, arm]
        for name, signal in table.signals.items()
        if np.isfinite(signal[:, arm]).any() and np.nanmin(signal[:, arm]) >= 0
    }
    usable = {name: values for name, values in usable.items() if np.nanmax(values) <= 1}
    if not usable:
        # No signal: a calibrator is never asked, the base rate answers.
        return "", PlattCalibrator(slope=0.0, intercept=0.0)
    name = min(usable, key=lambda n: (_log_loss(usable[n], quality), n))
    known = np.isfinite(usable[name])
    return name, PlattCalibrator.fit(usable[name][known], quality[known])


def _log_loss(values: FloatArray, quality: FloatArray) -> float:
    """Return the cross-validated log loss of calibrating ``values``; the base rate where NaN."""
    fold = np.arange(len(quality)) % _FOLDS
    loss = 0.0
    for k in range(_FOLDS):
        train, test = (fold != k) & np.isfinite(values), fold == k
        known = test & np.isfinite(values)
        p = np.full(len(quality), quality[fold != k].mean())
        if train.any():
            p[known] = PlattCalibrator.fit(values[train], quality[train]).apply(values[known])
        p = np.clip(p[test], 1e-6, 1 - 1e-6)
        y = quality[test]
        loss -= float((y * np.log(p) + (1 - y) * np.log1p(-p)).sum())
    return loss / len(quality)


def _check_size(table: OutcomeTable) -> None:
    if table.n_requests < _MIN_REQUESTS:
        raise InvalidOutcomes(
            f"Fitting needs at least {_MIN_REQUESTS} requests, got {table.n_requests}; a few "
            "hundred are better. Until then leave policy out: the cold start claims nothing."
        )


def _check_dial(budget: float | None, cost_weight: float | None) -> None:
    given = [(n, v) for n, v in (("budget", budget), ("cost_weight", cost_weight)) if v is not None]
    if len(given) != 1:
        raise InvalidConfiguration(
            "Give either budget (mean US dollars per request) or cost_weight (quality per US "
            f"dollar), got budget={budget!r}, cost_weight={cost_weight!r}."
        )
    name, value = given[0]
    if not (math.isfinite(value) and value >= 0):
        raise InvalidConfiguration(f"{name} must be finite and >= 0, got {value!r}.")


def _choose(
    candidates: list[TunedCascade], budget: float | None, cost_weight: float | None
) -> TunedCascade:
    if cost_weight is not None:
        return max(candidates, key=lambda c: c.quality - cost_weight * c.cost)
    affordable = [c for c in candidates if budget is not None and c.cost <= budget]
    if not affordable:
        raise InvalidConfiguration(
            f"A budget of {budget!r} US dollars per request is below the cheapest model's "
            f"{candidates[0].cost!r}. Give at least that."
        )
    return affordable[-1]
