"""The best sets against all sets, compared one by one, and against logged exact decisions."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, trapezoid
from scipy.special import ndtr

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidBelief
from cascade_core.expected_max import BestSets, best_prefix, best_sets, branch, normal_points
from cascade_core.expected_max.normal_max import NormalTable
from cascade_core.expected_max.samples import SampleTable

SHARED = Path(os.environ.get("CASCADE_SHARED", Path(__file__).parents[3] / "shared"))


def by_integral(mean: FloatArray, sd: FloatArray, base: float, chosen: tuple[int, ...]) -> float:
    low = base if base > -np.inf else float((mean - 9 * sd).min())
    high = max(low, float((mean + 9 * sd).max()))

    def below(x: float) -> float:
        return float(np.prod([ndtr((x - mean[i]) / sd[i]) for i in chosen]))

    return high - quad(below, low, high, epsabs=1e-11, limit=200)[0]


def by_samples(x: FloatArray, base: float, chosen: tuple[int, ...]) -> float:
    return float(np.maximum(base, x[:, chosen].max(axis=1, initial=-np.inf)).mean())


def all_sets(arms: list[int], smallest: int, largest: int) -> list[tuple[int, ...]]:
    return [s for k in range(smallest, largest + 1) for s in combinations(arms, k)]


def check_row(found: BestSets, row: int, utilities: dict[tuple[int, ...], float]) -> None:
    """The set is the best of all, unless the two best are closer than the oracle is exact."""
    got = tuple(np.flatnonzero(found.members[row]).tolist())
    best = max(utilities, key=lambda s: utilities[s])
    assert found.value[row] == pytest.approx(utilities[best], abs=1e-8)
    assert utilities[got] == pytest.approx(utilities[best], abs=1e-8)
    assert found.gap[row] == 0


def draw(rng: np.random.Generator, n: int, m: int) -> tuple[FloatArray, ...]:
    mean = rng.uniform(0.2, 0.9, (n, m))
    sd = rng.uniform(0.02, 0.4, (n, m))
    price = rng.uniform(0, 0.15, (n, m)) * rng.choice([0.1, 1.0, 2.0], (n, 1))
    base = np.where(rng.random(n) < 0.5, -np.inf, rng.uniform(0.3, 0.8, n))
    return mean, sd, price, base


@pytest.mark.parametrize("max_size", [None, 2])
@pytest.mark.parametrize("m", [1, 2, 5])
def test_independent_sets_match_brute_force_by_adaptive_quadrature(
    m: int, max_size: int | None
) -> None:
    rng = np.random.default_rng(m)
    n = 40 if m < 5 else 12
    mean, sd, price, base = draw(rng, n, m)
    opened = rng.random((n, m)) < 0.8
    opened[:, 0] = True
    found = best_sets(mean, sd, price, base, opened, max_size=max_size)
    for i in range(n):
        arms = np.flatnonzero(opened[i]).tolist()
        smallest = 0 if base[i] > -np.inf else 1
        sets = all_sets(arms, smallest, min(len(arms), max_size or m))
        utilities = {
            s: by_integral(mean[i], sd[i], base[i], s) - float(price[i, list(s)].sum())
            for s in sets
        }
        check_row(found, i, utilities)


@pytest.mark.parametrize("max_size", [None, 3])
@pytest.mark.parametrize("m", [2, 4, 8])
def test_correlated_sets_match_brute_force_on_the_same_samples(
    m: int, max_size: int | None
) -> None:
    rng = np.random.default_rng(m)
    n = 10
    mean, _, price, base = draw(rng, n, m)
    root = rng.normal(0, 0.2, (n, m, m))
    covariance = root @ root.transpose(0, 2, 1) / m
    found = best_sets(mean, None, price, base, covariance=covariance, max_size=max_size)
    for i in range(n):
        x = mean[i] + normal_points(m) @ np.linalg.cholesky(covariance[i]).T
        smallest = 0 if base[i] > -np.inf else 1
        utilities = {
            s: by_samples(x, base[i], s) - float(price[i, list(s)].sum())
            for s in all_sets(list(range(m)), smallest, max_size or m)
        }
        check_row(found, i, utilities)


@pytest.mark.parametrize("name", ["synth_M3_low", "synth_M5_medium", "synth_M11_low"])
def test_logged_exact_decisions_are_met(name: str) -> None:
    path = SHARED / "reference" / f"states_{name}.npz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    logged: dict[str, Any] = dict(np.load(path))
    m = logged["mu"].shape[1]
    arm = np.arange(m)
    run = (logged["run_mask"][:, None] >> arm) & 1 == 1
    after_last = arm > np.where(run, arm, -1).max(axis=1)[:, None]
    found = best_sets(
        logged["mu"],
        logged["sd"],
        logged["lam"][:, None] * logged["cost"],
        np.where(run, logged["mu"], -np.inf).max(axis=1),
        ~run & (after_last | ~logged["force_order"][:, None]),
        max_size=logged["max_depth"] - run.sum(axis=1),
    )
    clear = logged["exact_margin"] > 1e-6
    sets = (found.members * (1 << arm)).sum(axis=1)
    assert np.array_equal(sets[clear], logged["exact_set"][clear])
    assert np.array_equal(found.lowest[clear], logged["exact_next"][clear])


@pytest.mark.parametrize("max_size", [None, 4])
@pytest.mark.parametrize("correlation", [None, 0.3])
def test_the_search_over_many_arms_matches_the_comparison_of_all_sets(
    max_size: int | None, correlation: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    n, m = 6, 13 if correlation is None else 10
    mean, sd = rng.uniform(0.5, 0.6, (n, m)), rng.uniform(0.2, 0.3, (n, m))
    price = 0.002 + 0.1 * (mean - 0.5) + 0.1 * (sd - 0.2)
    base = np.where(np.arange(n) % 2 == 0, -np.inf, 0.55)
    covariance = None
    if correlation is not None:
        shape = correlation + (1 - correlation) * np.eye(m)
        covariance = sd[:, :, None] * sd[:, None, :] * shape
    independent = sd if covariance is None else None

    def solve(few: int) -> BestSets:
        for table in (NormalTable, SampleTable):
            for limit in ("direct", "enumerable", "leaf"):
                monkeypatch.setattr(table, limit, few)
        return best_sets(mean, independent, price, base, covariance=covariance, max_size=max_size)

    by_search, by_comparison = solve(3), solve(m)
    assert by_search.value == pytest.approx(by_comparison.value, abs=1e-12)
    assert np.array_equal(by_search.members, by_comparison.members)
    assert (by_search.gap == 0).all()


def test_a_search_that_runs_out_of_nodes_says_how_much_may_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    mean, sd = rng.uniform(0.5, 0.6, (4, 14)), rng.uniform(0.2, 0.3, (4, 14))
    price = 0.002 + 0.1 * (mean - 0.5) + 0.1 * (sd - 0.2)
    base = np.array([-np.inf, -np.inf, 0.5, 0.6])
    exact = best_sets(mean, sd, price, base)
    assert (exact.gap == 0).all()
    monkeypatch.setattr(NormalTable, "leaf", 3)
    monkeypatch.setattr(branch, "MAX_NODES", 3)
    quick = best_sets(mean, sd, price, base)
    assert (quick.gap > 0).any() and np.isfinite(quick.gap).all()
    assert (quick.value <= exact.value + 1e-9).all()
    assert (quick.value + quick.gap >= exact.value - 1e-9).all()
    assert (exact.value - quick.value).max() < 0.005


def test_the_largest_prefix_matches_the_sets_along_the_order() -> None:
    rng = np.random.default_rng(3)
    mean, sd, price, base = draw(rng, 30, 4)
    order = [2, 0, 3, 1]
    opened = rng.random((30, 4)) < 0.8
    opened[:, 2] = True
    found = best_prefix(mean, sd, price, base, opened, order=order)
    for i in range(30):
        left = [arm for arm in order if opened[i, arm]]
        smallest = 0 if base[i] > -np.inf else 1
        utilities = {
            tuple(sorted(left[:k])): by_integral(mean[i], sd[i], base[i], tuple(left[:k]))
            - float(price[i, left[:k]].sum())
            for k in range(smallest, len(left) + 1)
        }
        check_row(found, i, utilities)


def test_an_order_must_be_a_permutation() -> None:
    with pytest.raises(InvalidBelief, match="order needs each of 2 arms once"):
        best_prefix([[0.5, 0.5]], [[0.1, 0.1]], order=[0, 0])


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_arms_may_be_listed_in_any_order(seed: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    mean, sd, price, base = draw(rng, 5, m)
    shuffle = rng.permutation(m)
    found = best_sets(mean, sd, price, base)
    shuffled = best_sets(mean[:, shuffle], sd[:, shuffle], price[:, shuffle], base)
    assert shuffled.value == pytest.approx(found.value, abs=1e-12)
    assert np.array_equal(shuffled.members, found.members[:, shuffle])


def test_the_unit_of_money_does_not_matter() -> None:
    mean, sd, cost, base = draw(np.random.default_rng(0), 200, 6)
    dollars = best_sets(mean, sd, 0.7 * cost, base)
    millis = best_sets(mean, sd, (0.7 / 1000) * (cost * 1000), base)
    assert np.array_equal(dollars.members, millis.members)


def test_rows_do_not_depend_on_their_neighbours() -> None:
    mean, sd, price, base = draw(np.random.default_rng(1), 60, 7)
    together = best_sets(mean, sd, price, base)
    for i in range(60):
        alone = best_sets(mean[i : i + 1], sd[i : i + 1], price[i : i + 1], base[i : i + 1])
        assert np.array_equal(alone.members[0], together.members[i])
        assert alone.value[0] == pytest.approx(together.value[i], abs=1e-12)


def test_no_rows_give_no_sets() -> None:
    empty = np.empty((0, 3))
    for found in (
        best_sets(empty, empty, empty, np.empty(0)),
        best_prefix(empty, empty, empty, np.empty(0), order=[0, 1, 2]),
        best_sets(empty, None, empty, np.empty(0), covariance=np.empty((0, 3, 3))),
    ):
        assert found.members.shape == (0, 3)
        assert found.value.shape == found.gain.shape == (0,)


def test_one_arm_is_called_if_it_pays_or_if_nothing_is_in_hand() -> None:
    base = np.array([-np.inf, 0.5, 0.5])
    price = np.array([[9.0], [0.07], [0.09]])
    found = best_sets(np.full((3, 1), 0.5), np.full((3, 1), 0.2), price, base)
    # E[(X - 0.5)_+] = 0.2 / sqrt(2 pi) = 0.0798
    assert found.lowest.tolist() == [0, 0, -1]
    assert found.stop.tolist() == [False, False, True]
    assert found.gain == pytest.approx([np.inf, 0.2 / np.sqrt(2 * np.pi) - 0.07, 0.0])


@pytest.mark.parametrize("base", [-np.inf, 0.6])
def test_a_hundred_identical_arms_are_as_good_as_the_best_number_of_them(base: float) -> None:
    found = best_sets(np.full((1, 100), 0.5), np.full((1, 100), 0.2), 0.02, [base])
    x = np.linspace(-1, 2.5, 20_001)
    cdf = np.where(x >= base, ndtr((x - 0.5) / 0.2), 0.0)
    utility = [2.5 - trapezoid(cdf**k, x) - 0.02 * k for k in range(1, 30)]
    assert found.value[0] == pytest.approx(max(utility), abs=1e-4)
    assert found.members.sum() == 1 + int(np.argmax(utility))
    assert found.gap[0] == 0


def test_certain_arms_are_called_for_their_value_alone() -> None:
    mean, sd = [[0.6, 0.7, 0.65]], [[0.0, 0.0, 0.0]]
    price = [[0.01, 0.2, 0.02]]
    assert best_sets(mean, sd, price, [-np.inf]).members.tolist() == [[False, False, True]]
    assert best_sets(mean, sd, price, [0.64]).stop.tolist() == [True]
    assert best_sets(mean, sd, price, [0.5]).value == pytest.approx([0.63], abs=1e-12)


def test_free_arms_are_called_if_they_may_help() -> None:
    found = best_sets([[0.5, 0.4, 0.1]], [[0.2, 0.2, 0.0]], 0.0, [0.3])
    assert found.members.tolist() == [[True, True, False]]


def test_tied_sets_go_by_their_price() -> None:
    # Twice as good over the base at twice the price: both arms alone are worth 0.5.
    mean, sd, price = [[0.625, 0.75]], [[0.0, 0.0]], [[0.125, 0.25]]
    assert best_sets(mean, sd, price, [0.0]).lowest.tolist() == [0]
    assert best_sets(mean, sd, price, [0.0], tie="dearest").lowest.tolist() == [1]
    assert best_sets(mean, sd, price, [0.5]).stop.tolist() == [True]
    assert best_sets(mean, sd, price, [0.5], tie="dearest").lowest.tolist() == [1]
    assert best_prefix(mean, sd, price, [0.5], order=[1, 0]).stop.tolist() == [True]
    dear = best_prefix(mean, sd, price, [0.5], order=[1, 0], tie="dearest")
    assert dear.members.tolist() == [[False, True]]


def test_with_no_arm_and_no_reply_there_is_no_value() -> None:
    found = best_sets([[0.5]], [[0.1]], 0.0, [-np.inf], [[False]])
    assert found.stop.tolist() == [True]
    assert found.value.tolist() == [-np.inf]
    assert best_sets([[0.5]], [[0.1]], 0.0, [0.4], max_size=0).stop.tolist() == [True]


def test_closed_arms_may_hold_anything() -> None:
    found = best_sets([[0.5, np.nan]], [[0.1, np.nan]], [[0.0, np.nan]], [0.4], [[True, False]])
    assert found.members.tolist() == [[True, False]]
    covariance = [[[0.01, np.nan], [np.nan, np.nan]]]
    joint = best_sets(
        [[0.5, np.nan]], None, [[0.0, np.nan]], [0.4], [[True, False]], covariance=covariance
    )
    assert joint.members.tolist() == [[True, False]]


def test_a_singular_covariance_is_a_belief() -> None:
    # The second arm is the first one again, the third is certain.
    covariance = np.array([[[0.04, 0.04, 0.0], [0.04, 0.04, 0.0], [0.0, 0.0, 0.0]]])
    found = best_sets([[0.5, 0.5, 0.4]], None, 0.01, [0.45], covariance=covariance)
    assert found.members.tolist() == [[True, False, False]]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"mean": [[np.nan, 0.5]]}, "finite means"),
        ({"sd": [[-0.1, 0.1]]}, "finite sd >= 0"),
        ({"sd": [[np.nan, 0.1]]}, "finite sd >= 0"),
        ({"price": [[np.nan, 0.1]]}, "finite prices"),
        ({"base": [np.nan]}, "base finite"),
        ({"base": [np.inf]}, "base finite"),
        ({"sd": [[0.1, 0.1, 0.1]]}, r"sd of shape \(1, 2\)"),
        ({"mean": [0.5, 0.5]}, r"mean of shape \(n, m\)"),
        ({"sd": None}, "either sd"),
        ({"sd": None, "covariance": [[[0.1, 0.2], [0.2, 0.1]]]}, "positive semi-definite"),
        ({"sd": None, "covariance": [[[0.1, 0.05], [0.0, 0.1]]]}, "symmetric"),
        ({"sd": None, "covariance": [[[-0.1, 0.0], [0.0, 0.1]]]}, "variances >= 0"),
    ],
)
def test_numbers_that_are_no_belief_are_refused(broken: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"mean": [[0.5, 0.5]], "sd": [[0.1, 0.1]], "price": 0.1, "base": [0.4]}
    with pytest.raises(InvalidBelief, match=message):
        best_sets(**(good | broken))


def test_an_indefinite_covariance_with_fair_correlations_is_refused() -> None:
    r = -0.9
    covariance = 0.04 * np.array([[[1, r, r], [r, 1, r], [r, r, 1]]])
    with pytest.raises(InvalidBelief, match="positive semi-definite"):
        best_sets([[0.5, 0.5, 0.5]], None, 0.01, [0.4], covariance=covariance)
