"""Every metric on a case worked out by hand, its invariants, and what it refuses."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_core import InvalidOutcomes
from cascade_core._arrays import FloatArray
from cascade_core.evaluation.metrics import (
    QualityCostArea,
    aiq,
    apgr,
    common_cost_range,
    cost_at_quality,
    cost_at_quality_unmixed,
    cost_at_share,
    cost_at_share_unmixed,
    cpt,
    deferral_area,
    error_cost_area,
    nonredundant,
    pgr,
    quality_cost_auc,
    quality_neutral_cost,
    router_arena_score,
)

UNIT = st.floats(0, 1, allow_subnormal=False)
# Costs of a hundredth apart, so that no slope is beyond all measure.
CURVES = st.lists(
    st.tuples(st.integers(1, 100), UNIT), min_size=2, max_size=8, unique_by=lambda p: p[0]
).map(lambda points: np.array(points, dtype=float).T)


# --- the cascade-routing paper ---------------------------------------------------------------


def test_auc_joins_the_points_between_the_cheapest_and_the_dearest_model() -> None:
    # Models (1, .5), (5, .9), and (4, .4), which is redundant. Their line: .5 + .1 (c - 1).
    # Curve, cut at 5 on its line to (7, .9): (1, .5) (2, .7) (5, .8). Trapezoids .6 + 2.25 = 2.85.
    found = quality_cost_auc([1, 2, 7], [0.5, 0.7, 13 / 15], [1, 5, 4], [0.5, 0.9, 0.4])
    assert found.auc == pytest.approx(2.85 / 4)
    assert found.max_gain == pytest.approx(0.7 - 0.6)
    assert found.min_gain == pytest.approx(13 / 15 - 1.1)  # the line goes on to 1.1 at cost 7


def test_auc_begins_with_the_worst_model_and_ends_level() -> None:
    # From (1, .2), the least quality of any model though (1, .4) is the cheapest, to (2, .6):
    # .4; level to 4: 1.2. The line of the models: (1, .4) to (4, 1).
    found = quality_cost_auc([2], [0.6], [1, 3, 4], [0.4, 0.2, 1.0])
    assert found.auc == pytest.approx(1.6 / 3)
    assert (found.max_gain, found.min_gain) == pytest.approx((0, 0))


@pytest.mark.parametrize("cost", [[0.5, 0.8], [2.2, 2.5]])
def test_auc_extends_a_curve_outside_the_range_by_its_line(cost: list[float]) -> None:
    # Slope 1 throughout. Left of [1, 2]: from .7 + .2 at 1, and level at .7 on the right end.
    # Right of it: from the worst model, .1 at 1, to the line's .5 - .2 at 2.
    quality = [0.4, 0.7] if cost[0] < 1 else [0.5, 0.8]
    expected = (0.9 + 0.7) / 2 if cost[0] < 1 else (0.1 + 0.3) / 2
    assert quality_cost_auc(cost, quality, [1, 2], [0.1, 0.9]).auc == pytest.approx(expected)


def test_auc_counts_a_repeated_point_once_and_a_dominated_one_against_the_curve() -> None:
    models = ([1, 3], [0.4, 0.8])
    plain = quality_cost_auc([1, 3], [0.4, 0.8], *models)
    assert quality_cost_auc([1, 3, 3], [0.4, 0.8, 0.8], *models) == plain
    assert quality_cost_auc([1, 2, 3], [0.4, 0.1, 0.8], *models).auc < plain.auc


def test_auc_without_a_line_of_models_has_the_published_values() -> None:
    found = quality_cost_auc([1, 2], [0.5, 0.7], [1, 2], [0.8, 0.6])
    assert (found.max_gain, found.min_gain) == (0.0, 1000.0)


def test_nonredundant_keeps_collinear_level_and_repeated_models() -> None:
    # 0 and 1 and 3 lie on a line, 4 is as good as 3 and dearer, 2 lies below, 5 repeats 0.
    cost, quality = [1, 2, 2.5, 3, 4, 1], [0.25, 0.5, 0.5, 0.75, 0.75, 0.25]
    assert nonredundant(cost, quality).tolist() == [0, 5, 1, 3, 4]


# --- RouterBench -----------------------------------------------------------------------------


def test_aiq_is_the_mean_height_of_the_hull() -> None:
    # Hull (1, .2) (3, .8), level to 5: .5 * 2 + .8 * 2 = 2.6 over 4. (2, .4) lies below it.
    curve = ([1, 2, 3, 5], [0.2, 0.4, 0.8, 0.7])
    assert aiq(*curve) == pytest.approx(2.6 / 4)
    # To 8: 2.6 + .8 * 3, over 8, with nothing left of 1.
    assert aiq(*curve, (0, 8)) == pytest.approx(5.0 / 8)
    assert aiq(*curve, (2, 3)) == pytest.approx(0.65)
    assert aiq(*curve, (0, 1)) == 0


# --- RouteLLM --------------------------------------------------------------------------------

# Weak .6, strong .8: gaps recovered 0, .75, .5, 1 at shares 0, .25, .5, 1.
ROUTER = ([0, 0.25, 0.5, 1], [0.6, 0.75, 0.7, 0.8], 0.6, 0.8)


def test_pgr_is_the_share_of_the_gap() -> None:
    assert pgr([0.6, 0.7, 0.8, 0.9, 0.5], 0.6, 0.8) == pytest.approx([0, 0.5, 1, 1.5, -0.5])


def test_apgr_is_the_area_over_the_share_of_calls() -> None:
    # .25 * .375 + .25 * .625 + .5 * .75
    assert apgr(*ROUTER) == pytest.approx(0.625)


def test_cpt_is_the_first_crossing() -> None:
    assert cpt(*ROUTER, recovered=0.6) == pytest.approx(0.2)  # .25 * .6 / .75
    assert cpt(*ROUTER, recovered=0.75) == pytest.approx(0.25)
    assert cpt(*ROUTER, recovered=0.9) == pytest.approx(0.9)  # .5 + .5 * .4 / .5
    assert cpt(*ROUTER, recovered=-1) == 0
    assert cpt(*ROUTER, recovered=1.01) == math.inf


@given(st.lists(UNIT, min_size=1, max_size=9), st.floats(0.001, 0.999))
def test_a_random_router_recovers_half_the_gap(shares: list[float], recovered: float) -> None:
    """Calling the strong model for a random share recovers exactly that share."""
    share = np.array([0, *shares, 1])
    router = (share, 0.6 + 0.3 * share, 0.6, 0.9)
    assert apgr(*router) == pytest.approx(0.5)
    assert cpt(*router, recovered) == pytest.approx(recovered)


@given(st.integers(0, 10_000))
def test_the_perfect_router_recovers_what_its_closed_form_says(seed: int) -> None:
    """Sent first where only the strong model is right (a part f): r(s) = weak + min(s, f)."""
    rng = np.random.default_rng(seed)
    weak, strong = rng.random((2, 40)) < np.array([[0.4], [0.8]])
    gap = strong.mean() - weak.mean()
    if gap <= 0:
        return
    ranked = np.argsort(weak.astype(int) - strong.astype(int), kind="stable")
    chosen = [np.isin(np.arange(40), ranked[:k]) for k in range(41)]
    quality = [np.where(c, np.maximum(weak, strong), weak).mean() for c in chosen]
    f = (strong & ~weak).mean()
    found = apgr(np.arange(41) / 40, quality, weak.mean(), strong.mean())
    assert found == pytest.approx((f - f**2 / 2) / gap)


@given(st.lists(UNIT, min_size=2, max_size=9, unique=True), st.floats(0.01, 0.99))
def test_cpt_of_a_rising_curve_is_the_published_interpolation(
    quality: list[float], recovered: float
) -> None:
    rising = np.sort(quality)
    share = np.linspace(0, 1, rising.size)
    low, high = rising[0], rising[-1]
    published = np.interp(recovered * (high - low) + low, rising, share)
    if high - low > 1e-3 and np.diff(rising).min() > 1e-6:
        assert cpt(share, rising, low, high, recovered) == pytest.approx(published)


# --- cost at a quality, QNC ------------------------------------------------------------------


def test_a_quality_between_two_policies_costs_what_their_mixture_costs() -> None:
    curve = ([1, 2, 3, 9], [0.5, 0.55, 0.9, 0.8])  # hull: (1, .5) (3, .9)
    assert cost_at_quality(*curve, 0.8) == pytest.approx(2.5)
    assert cost_at_quality_unmixed(*curve, 0.8) == 3
    assert cost_at_quality_unmixed(*curve, 0.55) == 2
    assert cost_at_quality(*curve, 0.1) == cost_at_quality_unmixed(*curve, 0.1) == 1
    assert cost_at_quality(*curve, 0.91) == cost_at_quality_unmixed(*curve, 0.91) == math.inf


def test_a_share_is_of_the_best_single_model() -> None:
    curve, models = ([1, 3], [0.5, 0.9]), [0.4, 0.8]
    assert cost_at_share(*curve, models) == pytest.approx(2.5)
    assert cost_at_share(*curve, models, 0.99) == pytest.approx(2.46)  # .792: 1 + 2 * .292 / .4
    assert cost_at_share_unmixed(*curve, models, 0.99) == 3


def test_rounding_does_not_cost_infinity() -> None:
    best = 0.1 + 0.2  # one ulp above 0.3
    assert cost_at_quality([1, 2], [0.1, 0.3], best) == 2
    assert cost_at_quality_unmixed([1, 2], [0.1, 0.3], best) == 2


def test_qnc_is_relative_to_the_cheapest_of_the_best_models() -> None:
    # .7 is reached half way, at 1.5; the best models cost 4 and 5.
    models = ([1, 5, 4], [0.5, 0.7, 0.7])
    assert quality_neutral_cost([1, 2], [0.5, 0.9], *models) == pytest.approx(1.5 / 4)
    assert quality_neutral_cost([1, 4], [0.5, 0.7], *models) == 1
    assert quality_neutral_cost([1], [0.5], *models) == math.inf


def test_the_deferral_area_joins_the_undominated_points() -> None:
    # (1, .4) (2, .5) (4, .9), level to 5; (3, .3) is dominated, (2, .2) at equal cost too.
    curve = ([1, 2, 2, 3, 4], [0.4, 0.5, 0.2, 0.3, 0.9])
    assert deferral_area(*curve, (1, 5)) == pytest.approx((0.45 + 1.4 + 0.9) / 4)
    assert deferral_area(*curve, (1, 5), up_to=0.6) == pytest.approx((0.45 + 0.6) / 2)
    assert deferral_area(*curve, (0, 5)) == pytest.approx((0.45 + 1.4 + 0.9) / 5)


# --- Zellinger and Thomson -------------------------------------------------------------------


def test_the_error_area_joins_all_points() -> None:
    # Errors .6, .8, .2 at 1, 2, 4: .7 + 1 over 3; over [2, 3]: .8 to .5.
    curve = ([2, 4, 1], [0.2, 0.8, 0.4])
    assert error_cost_area(*curve) == pytest.approx(1.7 / 3)
    assert error_cost_area(*curve, (2, 3)) == pytest.approx(0.65)


def test_the_error_area_steps_where_a_cost_repeats() -> None:
    # The worse comes first: quality 1 falls to 0 along [0, 1], jumps to 1 and falls again.
    assert error_cost_area([0, 1, 1, 2], [1, 1, 0, 0]) == pytest.approx(0.5)


def test_the_common_range_is_what_all_curves_cover() -> None:
    assert common_cost_range([4, 1], [2, 3, 9], [0, 5]) == (2, 4)
    with pytest.raises(InvalidOutcomes, match="no costs in common"):
        common_cost_range([1, 2], [3, 4])
    with pytest.raises(InvalidOutcomes, match="no costs in common"):
        common_cost_range()


# --- RouterArena -----------------------------------------------------------------------------


def test_the_arena_score_is_the_weighted_harmonic_mean() -> None:
    middle = math.sqrt(0.0044 * 200)  # half way on a logarithmic scale
    assert router_arena_score(middle, 0.8) == pytest.approx(1.1 * 0.8 * 0.5 / (0.08 + 0.5))
    assert router_arena_score(0, 1) == router_arena_score(0.0044, 1) == 1
    assert router_arena_score(1000, 0.9) == router_arena_score(1, 0) == 0


@pytest.mark.parametrize(
    ("accuracy", "cost", "score"),
    # From public submissions (RouterArena pull requests 129, 144); their inputs are rounded.
    [(0.7575, 0.125, 0.7505), (0.7167, 0.311, 0.7046), (0.1818, 0.0518, 0.1953)],
)
def test_the_arena_score_of_public_submissions(accuracy: float, cost: float, score: float) -> None:
    assert router_arena_score(cost, accuracy) == pytest.approx(score, abs=1.5e-4)


# --- invariants ------------------------------------------------------------------------------


def _auc(c: FloatArray, q: FloatArray, unit: float) -> float:
    return quality_cost_auc(c, q, np.array([1, 100]) * unit, [0.3, 0.8]).auc


NORMALISED: dict[str, Callable[[FloatArray, FloatArray, float], float]] = {
    "auc": _auc,
    "aiq": lambda c, q, _: aiq(c, q),
    "aiq, range": lambda c, q, unit: aiq(c, q, (unit, 200 * unit)),
    "deferral area": lambda c, q, unit: deferral_area(c, q, (unit, 120 * unit)),
    "qnc": lambda c, q, unit: quality_neutral_cost(c, q, [unit], [0.5]),
    "error area": lambda c, q, _: error_cost_area(c, q),
    "cost, without its unit": lambda c, q, unit: cost_at_quality(c, q, 0.5) / unit,
    "cost, unmixed": lambda c, q, unit: cost_at_quality_unmixed(c, q, 0.5) / unit,
}
DOMINATED_IS_NOTHING = [
    "aiq",
    "aiq, range",
    "deferral area",
    "qnc",
    "cost, without its unit",
    "cost, unmixed",
]


@pytest.mark.parametrize("name", NORMALISED)
@given(CURVES)
def test_the_unit_of_cost_does_not_matter(name: str, curve: FloatArray) -> None:
    cost, quality = curve
    metric = NORMALISED[name]
    assert metric(cost * 1000, quality, 1000) == pytest.approx(metric(cost, quality, 1), abs=1e-9)


@pytest.mark.parametrize("name", NORMALISED)
@given(CURVES, st.integers(0, 1000))
def test_the_order_of_points_does_not_matter(name: str, curve: FloatArray, seed: int) -> None:
    metric = NORMALISED[name]
    cost, quality = curve[:, np.random.default_rng(seed).permutation(curve.shape[1])]
    assert metric(cost, quality, 1) == metric(*curve, 1)


@pytest.mark.parametrize("name", DOMINATED_IS_NOTHING)
@given(CURVES, UNIT, UNIT, UNIT)
def test_a_dominated_point_changes_nothing(
    name: str, curve: FloatArray, where: float, dearer: float, worse: float
) -> None:
    by = curve[:, int(where * (curve.shape[1] - 1))]
    cost = by[0] + dearer * (curve[0].max() - by[0])
    more = np.column_stack([curve, [cost, by[1] * worse]])
    metric = NORMALISED[name]
    assert metric(*more, 1) == pytest.approx(metric(*curve, 1), abs=1e-9)


@given(CURVES)
def test_areas_lie_between_the_least_and_the_greatest_quality(curve: FloatArray) -> None:
    low, high = curve[1].min() - 1e-9, curve[1].max() + 1e-9
    assert low <= aiq(*curve) <= high
    assert low <= 1 - error_cost_area(*curve) <= aiq(*curve) + 1e-9


@given(CURVES, UNIT)
def test_mixing_is_never_dearer_than_a_point(curve: FloatArray, target: float) -> None:
    # A point counts as good enough up to rounding, and on a flat line that is a cost apart.
    mixed = cost_at_quality(*curve, target - 2e-12)
    assert mixed <= cost_at_quality_unmixed(*curve, target) + 1e-9


# --- what is refused -------------------------------------------------------------------------

Metric = Callable[[list[float], list[float]], object]
ON_POINTS: dict[str, Metric] = {
    "auc": lambda c, q: quality_cost_auc(c, q, [1, 2], [0.5, 0.7]),
    "auc, models": lambda c, q: quality_cost_auc([1, 2], [0.5, 0.7], c, q),
    "nonredundant": nonredundant,
    "aiq": aiq,
    "apgr": lambda c, q: apgr(c, q, 0.1, 0.9),
    "cpt": lambda c, q: cpt(c, q, 0.1, 0.9),
    "cost at": lambda c, q: cost_at_quality(c, q, 0.5),
    "cost at, unmixed": lambda c, q: cost_at_quality_unmixed(c, q, 0.5),
    "deferral area": lambda c, q: deferral_area(c, q, (0.1, 1)),
    "qnc": lambda c, q: quality_neutral_cost(c, q, [1, 2], [0.5, 0.7]),
    "qnc, models": lambda c, q: quality_neutral_cost([1, 2], [0.5, 0.7], c, q),
    "error area": error_cost_area,
}


@pytest.mark.parametrize("name", ON_POINTS)
@pytest.mark.parametrize(
    ("cost", "quality"),
    [
        ([], []),
        ([0.1, 0.5], [0.5]),
        ([0.1, math.nan], [0.5, 0.6]),
        ([0.1, 0.5], [0.5, math.nan]),
        ([0.1, math.inf], [0.5, 0.6]),
        ([-0.1, 0.5], [0.5, 0.6]),
    ],
)
def test_what_is_no_curve_is_refused(name: str, cost: list[float], quality: list[float]) -> None:
    with pytest.raises(InvalidOutcomes, match="needs"):
        ON_POINTS[name](cost, quality)


@pytest.mark.parametrize("name", ["auc, models", "aiq", "apgr", "error area"])
@pytest.mark.parametrize(("cost", "quality"), [([0.5], [0.5]), ([0.5, 0.5], [0.5, 0.6])])
def test_a_range_of_no_width_is_refused(name: str, cost: list[float], quality: list[float]) -> None:
    with pytest.raises(InvalidOutcomes, match="range 0 <= low < high"):
        ON_POINTS[name](cost, quality)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: quality_cost_auc([5], [0.5], [1, 2], [0.5, 0.7]), "cannot be extended"),
        (lambda: quality_cost_auc([5, 5], [0.5, 0.6], [1, 2], [0.5, 0.7]), "cannot be extended"),
        (lambda: aiq([1, 2], [0.5, 0.7], (2, 1)), r"got \(2, 1\)"),
        (lambda: aiq([1, 2], [0.5, 0.7], (0, math.nan)), "range"),
        (lambda: pgr([0.5], 0.7, 0.7), "better than the weak"),
        (lambda: pgr([0.5], math.nan, 0.7), "better than the weak"),
        (lambda: apgr([0, 50], [0.5, 0.7], 0.5, 0.7), "share of calls"),
        (lambda: cpt([0, 1], [0.5, 0.7], 0.5, 0.7, math.nan), "finite share"),
        (lambda: cost_at_quality([1], [0.5], math.nan), "wanted quality"),
        (lambda: cost_at_share([1], [0.5], []), "models quality"),
        (lambda: deferral_area([1], [0.5], (1, 2), up_to=50), "up_to"),
        (lambda: deferral_area([1], [0.5], (1, 2), up_to=0.5), "range"),
        (lambda: quality_neutral_cost([1], [0.5], [0], [0.5]), "which is 0"),
        (lambda: error_cost_area([1, 2], [50, 70]), "qualities in"),
        (lambda: error_cost_area([1, 2], [0.5, 0.7], (0, 2)), "covers costs from 1.0 to 2.0"),
        (lambda: router_arena_score(math.nan, 0.5), "needs cost >= 0"),
        (lambda: router_arena_score(1, 50), "accuracy in"),
        (lambda: router_arena_score(1, 0.5, 0), "weight > 0"),
    ],
)
def test_what_has_no_meaning_is_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(InvalidOutcomes, match=says):
        call()


def test_a_single_point_within_the_range_is_a_curve() -> None:
    assert quality_cost_auc([1], [0.5], [1, 2], [0.5, 0.7]) == QualityCostArea(0.5, 0, 0)
