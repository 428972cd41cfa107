"""Platt's calibration against SciPy, planted truth and fresh draws."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit

from cascade_core import InvalidConfiguration, PlattCalibrator

GRID = np.linspace(0.001, 0.999, 50)


def by_scipy(s: np.ndarray, y: np.ndarray) -> Any:
    """Return the calibrator that SciPy finds: Platt's smoothed log loss, a ridge of 1e-3 on the
    slope per standard deviation, which decides only where the data do not."""
    x = logit(np.clip(s, 1e-6, 1 - 1e-6))
    scale = x.std()
    positives = y.sum()
    low, high = 1 / (len(y) - positives + 2), (positives + 1) / (positives + 2)
    target = low + (high - low) * y

    def loss(theta: np.ndarray) -> float:
        z = theta[0] * x + theta[1]
        fit = np.logaddexp(0, z) - target * z
        return float(fit.sum() + 0.5e-3 * (theta[0] * scale) ** 2)

    best = minimize(loss, [0.5, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    return lambda grid: expit(best.x[0] * logit(grid) + best.x[1])


def draws(
    rng: np.random.Generator, n: int, slope: float, intercept: float
) -> tuple[np.ndarray, np.ndarray]:
    s = rng.beta(4, 1.5, n)
    return s, (rng.random(n) < expit(slope * logit(s) + intercept)).astype(float)


@pytest.mark.parametrize("seed", range(8))
def test_the_fit_is_the_least_smoothed_log_loss_as_scipy_finds_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s, y = draws(rng, int(rng.integers(20, 400)), rng.uniform(0.3, 2), rng.uniform(-1, 1))
    np.testing.assert_allclose(
        PlattCalibrator.fit(s, y).apply(GRID), by_scipy(s, y)(GRID), atol=2e-5
    )


def test_graded_qualities_between_wrong_and_right_are_fitted_too() -> None:
    rng = np.random.default_rng(2)
    s = rng.random(200)
    y = np.clip(s + rng.normal(0, 0.1, 200), 0, 1)
    np.testing.assert_allclose(
        PlattCalibrator.fit(s, y).apply(GRID), by_scipy(s, y)(GRID), atol=2e-5
    )


def test_a_planted_calibrator_is_recovered_within_four_standard_errors() -> None:
    slope, intercept, n = 0.7, -0.4, 20_000
    s, y = draws(np.random.default_rng(0), n, slope, intercept)
    fitted = PlattCalibrator.fit(s, y)
    design = np.column_stack([logit(s), np.ones(n)])
    p = expit(design @ [slope, intercept])
    errors = np.sqrt(np.diag(np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)))
    assert abs(fitted.slope - slope) < 4 * errors[0]
    assert abs(fitted.intercept - intercept) < 4 * errors[1]


def test_calibrated_probabilities_are_calibrated_on_fresh_draws() -> None:
    rng = np.random.default_rng(1)
    fitted = PlattCalibrator.fit(*draws(rng, 20_000, 0.5, -0.8))
    s, y = draws(rng, 20_000, 0.5, -0.8)
    p = fitted.apply(s)
    ten = np.array_split(np.argsort(p), 10)

    def calibration_error(q: np.ndarray) -> float:
        return float(np.mean([abs(q[b].mean() - y[b].mean()) for b in ten]))

    assert calibration_error(p) < 4 * 0.5 / math.sqrt(2000)
    assert calibration_error(s) > 0.2, "the raw confidence was far off, so there was work to do"


numbers = st.floats(0, 1)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
def test_any_data_give_a_finite_monotone_calibrator(rows: list[tuple[float, float]]) -> None:
    s, y = np.array(rows).T
    fitted = PlattCalibrator.fit(s, y)
    grid = np.linspace(0, 1, 201)
    p = fitted.apply(grid)
    assert np.isfinite(p).all() and (p >= 0).all() and (p <= 1).all()
    assert (np.diff(p) >= -1e-12).all()
    np.testing.assert_allclose([fitted(float(g)) for g in grid], p, atol=1e-12)


@pytest.mark.parametrize("n", [2, 6, 100])
def test_labels_that_separate_perfectly_stay_finite(n: int) -> None:
    s = np.linspace(0.1, 0.9, n)
    fitted = PlattCalibrator.fit(s, s > 0.5)
    assert 0 < fitted(0.1) < 0.5 < fitted(0.9) < 1


@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("n", [1, 3, 50])
def test_one_label_only_gives_platts_smoothed_share(label: float, n: int) -> None:
    s = np.linspace(0.2, 0.9, n)
    share = (n * label + 1) / (n + 2)
    assert PlattCalibrator.fit(s, np.full(n, label))(0.5) == pytest.approx(share, abs=1e-6)


def test_a_constant_confidence_says_nothing_and_gives_the_base_rate() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 200))
        y = (rng.random(n) < 0.7).astype(float)
        fitted = PlattCalibrator.fit(np.full(n, rng.random()), y)
        # Smoothed targets, so the mean of the targets and not that of the labels.
        low, high = 1 / (n - y.sum() + 2), (y.sum() + 1) / (y.sum() + 2)
        base = low + (high - low) * y.mean()
        np.testing.assert_allclose(fitted.apply([0.01, 0.5, 0.99]), base, atol=1e-6)


def test_a_surer_model_is_never_thought_a_worse_one() -> None:
    s = np.linspace(0.05, 0.95, 200)
    y = (s < 0.5).astype(float)
    fitted = PlattCalibrator.fit(s, y)
    assert fitted.slope == 0
    assert fitted(0.1) == fitted(0.9) == pytest.approx(0.5, abs=0.01)


def test_confidences_of_zero_and_one_are_finite() -> None:
    fitted = PlattCalibrator.fit([0.0, 1.0, 1.0, 0.0, 0.5], [0, 1, 1, 0, 1])
    assert 0 < fitted(0.0) < fitted(1.0) < 1


def test_confidences_that_crowd_below_one_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    s = 1 - 10 ** rng.uniform(-5, -1, 4000)
    y = (rng.random(4000) < expit(0.8 * logit(s) - 3)).astype(float)
    fitted = PlattCalibrator.fit(s, y)
    assert fitted.slope == pytest.approx(0.8, abs=0.1)
    assert fitted.intercept == pytest.approx(-3, abs=0.5)


@pytest.mark.parametrize(
    ("confidence", "quality"),
    [
        ([], []),
        ([0.5], [1, 0]),
        ([[0.5]], [[1]]),
        ([0.5, math.nan], [1, 0]),
        ([0.5, 0.5], [1, math.nan]),
        ([0.5, 1.5], [1, 0]),
        ([0.5, 0.5], [1, -1]),
        ([0.5, -math.inf], [1, 0]),
    ],
)
def test_numbers_that_are_no_confidences_are_refused(confidence: Any, quality: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="Calibration needs"):
        PlattCalibrator.fit(confidence, quality)


@pytest.mark.parametrize(
    ("slope", "intercept"), [(-0.1, 0.0), (math.nan, 0.0), (math.inf, 0.0), (1.0, math.nan)]
)
def test_parameters_that_make_no_calibrator_are_refused(slope: float, intercept: float) -> None:
    with pytest.raises(InvalidConfiguration, match=r"finite slope >= 0.*got"):
        PlattCalibrator(slope, intercept)
