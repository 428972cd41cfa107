"""How sure a model says it is of its reply, calibrated on graded outcomes."""

from __future__ import annotations

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core.estimators import CalibratedConfidence
from cascade_core.outcomes import OutcomeTable
from cascade_core.signals import PlattCalibrator

_FOLDS = 5


def fit_confidence(table: OutcomeTable) -> CalibratedConfidence:
    """Return every arm's signal of least cross-validated log loss, calibrated on all rows."""
    chosen = [_calibrate(table, m) for m in range(len(table.arms))]
    return CalibratedConfidence(
        signals=tuple(name for name, _ in chosen),
        calibrators=tuple(calibrator for _, calibrator in chosen),
        base_rates=tuple(table.quality.mean(axis=0).tolist()),
    )


def confidence_scores(table: OutcomeTable, ex_post: CalibratedConfidence) -> FloatArray:
    """Return the estimated quality of every reply, shape (n_requests, n_arms); -1 if rejected."""
    estimates = ex_post.of_table(table)
    return estimates if table.rejected is None else np.where(table.rejected, -1.0, estimates)


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
