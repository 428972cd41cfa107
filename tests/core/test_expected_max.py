"""E[max] of normals against adaptive quadrature, exact tables and closed forms."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr

from cascade_core._arrays import FloatArray
from cascade_core.expected_max import best_prefix, best_sets, normal_points
from cascade_core.expected_max.normal_cdf import normal_cdf
from cascade_core.expected_max.normal_max import expected_excess

SHARED = Path(os.environ.get("CASCADE_SHARED", Path(__file__).parents[3] / "shared"))


def emax(mean: FloatArray, sd: FloatArray, base: float = -np.inf) -> float:
    """The library's E[max(base, all arms)]: the full prefix, made to be chosen by free arms."""
    m = len(mean)
    bribe = -10.0  # a price so low that every arm is called
    found = best_sets([mean], [sd], np.full((1, m), bribe), [base])
    assert found.members.all()
    prefix = best_prefix([mean], [sd], np.full((1, m), bribe), [base], order=np.arange(m))
    assert prefix.value[0] == pytest.approx(found.value[0], abs=1e-12)
    return float(found.value[0]) + bribe * m


def oracle(mean: FloatArray, sd: FloatArray, base: float = -np.inf) -> float:
    low = base if base > -np.inf else float((mean - 10 * sd).min())
    high = max(low, float((mean + 10 * sd).max()))
    ends = np.unique(
        np.clip(np.add.outer(mean, [0.0]) + np.outer(sd, [-8, -3, 0, 3, 8]), low, high)
    )

    def cdf(x: float) -> float:
        return float(
            np.prod([ndtr((x - a) / s) if s else x >= a for a, s in zip(mean, sd, strict=True)])
        )

    edges = [low, *ends, high]
    pieces = [quad(cdf, a, b, epsabs=1e-13, limit=200)[0] for a, b in pairwise(edges)]
    return high - sum(pieces)


def reference(name: str) -> Any:
    path = SHARED / "reference" / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return json.loads(path.read_text())


def test_independent_maxima_match_the_exact_table() -> None:
    for row in reference("emax_independent.json"):
        got = emax(np.array(row["mu"]), np.array(row["sd"]))
        assert got == pytest.approx(row["exact"], abs=5e-9)


def test_correlated_maxima_converge_to_the_exact_table() -> None:
    errors: list[float] = []
    for row in reference("emax_correlated.json"):
        mean, covariance = np.array(row["mu"]), np.array(row["Sigma"])
        price = np.full((1, len(mean)), -10.0)
        found = best_sets(
            [mean], price=price, base=[-np.inf], covariance=[covariance], log2_points=14
        )
        errors.append(found.value[0] - 10.0 * len(mean) - row["exact"])
    assert np.abs(errors).max() < 5e-4


@pytest.mark.parametrize("ratio", [1.0, 4.0, 30.0, 1000.0])
@pytest.mark.parametrize("m", [1, 2, 6, 12])
def test_wide_ratios_of_deviations_stay_accurate(m: int, ratio: float) -> None:
    rng = np.random.default_rng(m)
    for base in (-np.inf, 0.55):
        mean = rng.uniform(0.2, 0.9, m)
        sd = 0.4 * ratio ** -rng.random(m)
        assert emax(mean, sd, base) == pytest.approx(oracle(mean, sd, base), abs=3e-9)


def test_certain_arms_are_steps() -> None:
    mean, sd = np.array([0.5, 0.7, 0.6]), np.array([0.3, 0.0, 0.2])
    for base in (-np.inf, 0.4, 0.65, 0.9):
        assert emax(mean, sd, base) == pytest.approx(oracle(mean, sd, base), abs=3e-9)
    assert emax(mean, np.zeros(3)) == pytest.approx(0.7, abs=1e-12)
    assert emax(mean, np.zeros(3), 0.8) == pytest.approx(0.8, abs=1e-12)


def test_two_arms_match_clarks_closed_form() -> None:
    mean, sd = np.array([0.4, 0.6]), np.array([0.1, 0.25])
    spread = float(np.hypot(*sd))
    a = (mean[0] - mean[1]) / spread
    density = np.exp(-a * a / 2) / np.sqrt(2 * np.pi)
    clark = mean[0] * ndtr(a) + mean[1] * ndtr(-a) + spread * density
    assert emax(mean, sd) == pytest.approx(clark, abs=2e-9)


def test_expected_excess_is_the_closed_form_of_one_arm_with_a_base() -> None:
    mean, sd = np.array([0.4, 0.6, 0.5, 0.3]), np.array([0.1, 1e-300, 0.0, 0.3])
    base = np.array([0.5, 0.5, 0.2, 5.0])
    expected = [oracle(mean[:1], sd[:1], 0.5) - 0.5, 0.1, 0.3, 0.0]
    assert expected_excess(mean, sd, base) == pytest.approx(expected, abs=1e-11)


def test_the_table_of_the_distribution_function_is_good_to_ten_digits() -> None:
    u = np.random.default_rng(0).uniform(-9, 9, 100_000)
    got = normal_cdf(u.copy())
    assert np.abs(got - ndtr(u)).max() < 3e-11
    assert got.min() > 0 and got.max() < 1


def test_points_repeat_and_are_read_only() -> None:
    points = normal_points(5)
    assert points.shape == (256, 5)
    assert np.array_equal(points, normal_points(5))
    assert np.abs(points.mean(axis=0)).max() < 0.02
    assert np.abs(points.std(axis=0) - 1).max() < 0.03
    with pytest.raises(ValueError, match="read-only"):
        points[0, 0] = 0.0
