"""The bootstrap of curve metrics: against exact figures, and what it promises."""

import math

import numpy as np
import pytest

from cascade_core import InvalidOutcomes
from cascade_core._arrays import FloatArray
from cascade_core.evaluation.metrics import bootstrap, bootstrap_metric, cost_at_quality

COST = np.array([[1.0, 1, 1, 1], [2, 3, 2, 3]])
QUALITY = np.array([[0.0, 1, 0, 1], [1, 1, 0, 1]])


def last_quality(_: FloatArray, quality: FloatArray) -> float:
    return float(quality[-1])


def test_the_interval_of_a_mean_is_that_of_the_binomial() -> None:
    n, p = 400, 0.5
    quality = (np.arange(n) < n * p).astype(float)[None]
    found = bootstrap_metric(last_quality, quality, quality, np.random.default_rng(0), draws=4000)
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    assert found.mean == p
    assert (found.low, found.high) == pytest.approx((p - half, p + half), abs=0.004)


def test_all_points_see_the_same_requests() -> None:
    """Two equal policies never differ, whatever is drawn; so too cost and quality."""
    values = np.random.default_rng(1).random((1, 50)).repeat(2, axis=0)

    def differences(c: FloatArray, q: FloatArray) -> float:
        return float(abs(c[0] - c[1]) + abs(q[0] - q[1]) + abs(c[0] - q[0]))

    found = bootstrap_metric(differences, values, values, np.random.default_rng(0), draws=100)
    assert found.high == pytest.approx(0, abs=1e-12)


def test_two_draws_by_hand() -> None:
    rng = np.random.default_rng(5)
    rows = np.random.default_rng(5).integers(4, size=(2, 4))
    expected = sorted(QUALITY[1, row].mean() for row in rows)
    found = bootstrap_metric(last_quality, COST, QUALITY, rng, draws=2)
    assert [found.low, found.high] == pytest.approx(expected)


def test_the_generator_decides_and_the_block_size_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    quality = np.random.default_rng(0).random((3, 30))
    first, again = (
        bootstrap_metric(last_quality, quality, quality, np.random.default_rng(7), draws=200)
        for _ in range(2)
    )
    other = bootstrap_metric(last_quality, quality, quality, np.random.default_rng(8), draws=200)
    assert first == again != other
    monkeypatch.setattr(bootstrap, "_BLOCK", 70)  # two draws at a time
    blocked = bootstrap_metric(last_quality, quality, quality, np.random.default_rng(7), draws=200)
    assert (blocked.low, blocked.high) == pytest.approx((first.low, first.high), abs=1e-12)


def test_a_cost_that_is_sometimes_infinite_has_an_interval() -> None:
    def cost(c: FloatArray, q: FloatArray) -> float:
        return cost_at_quality(c, q, 0.75)

    found = bootstrap_metric(cost, COST, QUALITY, np.random.default_rng(0), draws=200)
    assert found.mean == 2.5
    assert (found.low, found.high) == (1.0, math.inf)


@pytest.mark.parametrize(
    ("cost", "quality", "says"),
    [
        ([1, 2], [1, 2], "one shape"),
        ([[1, 2]], [[1, 2], [3, 4]], "one shape"),
        (np.empty((2, 0)), np.empty((2, 0)), "n >= 1"),
        ([[1, math.nan]], [[1, 2]], "finite"),
        ([[1, 2]], [[1, math.inf]], "finite"),
    ],
)
def test_what_is_no_table_is_refused(cost: object, quality: object, says: str) -> None:
    with pytest.raises(InvalidOutcomes, match=says):
        bootstrap_metric(last_quality, cost, quality, np.random.default_rng(0))  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"level": 1.0}, {"level": 0.0}, {"draws": 0}])
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InvalidOutcomes, match="0 < level < 1"):
        bootstrap_metric(last_quality, COST, QUALITY, np.random.default_rng(0), **options)


def test_an_undefined_metric_is_not_skipped() -> None:
    def picky(_: FloatArray, quality: FloatArray) -> float:
        if quality[0] != 0.5:
            raise InvalidOutcomes("No gap.")
        return 1.0

    with pytest.raises(InvalidOutcomes, match=r"too few requests.*No gap"):
        bootstrap_metric(picky, COST, QUALITY, np.random.default_rng(0))
    with pytest.raises(InvalidOutcomes, match="NaN on all requests"):
        bootstrap_metric(lambda c, q: math.nan, COST, QUALITY, np.random.default_rng(0))
