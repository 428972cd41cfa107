"""Beliefs: what is refused, and Gaussian conditioning by other formulas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_core import Belief, Failure, InvalidBelief, Observation, Trace, Usage


def narrow(rng: np.random.Generator, n: int) -> Belief:
    """Return a belief so narrow that conditioning is never clipped."""
    root = rng.normal(size=(n, n)) * 0.02
    return Belief(rng.uniform(0.45, 0.55, n), root @ root.T + 1e-4 * np.eye(n), rng.random(n))


@pytest.mark.parametrize("seed", range(20))
def test_observing_is_gaussian_conditioning(seed: int) -> None:
    """Oracle: the blocks of the precision matrix, for all observations at once."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    belief = narrow(rng, n)
    order = rng.permutation(n)[: int(rng.integers(1, n))]
    values = belief.mean[order] + rng.uniform(-0.01, 0.01, order.size)
    after = belief
    for arm, value in zip(order, values, strict=True):
        after = after.observe(int(arm), float(value))

    rest = np.array([m for m in range(n) if m not in order])
    precision = np.linalg.inv(belief.covariance)
    covariance = np.linalg.inv(precision[np.ix_(rest, rest)])
    shift = precision[np.ix_(rest, order)] @ (values - belief.mean[order])
    mean = belief.mean[rest] - covariance @ shift
    np.testing.assert_allclose(after.mean[rest], mean, atol=1e-10)
    np.testing.assert_allclose(after.covariance[np.ix_(rest, rest)], covariance, atol=1e-12)
    np.testing.assert_array_equal(after.mean[order], values)
    assert not after.covariance[order].any() and not after.covariance[:, order].any()
    np.testing.assert_array_equal(after.cost, belief.cost)


def test_observing_agrees_with_a_million_draws() -> None:
    mean = np.array([0.5, 0.6, 0.7])
    covariance = np.array([[4, 3, -1], [3, 5, 1], [-1, 1, 3]]) * 1e-3
    belief = Belief(mean, covariance, np.ones(3))
    draws = np.random.default_rng(0).multivariate_normal(mean, covariance, 1_000_000)
    near = draws[np.abs(draws[:, 0] - 0.55) < 0.002]
    after = belief.observe(0, 0.55)
    for arm in (1, 2):
        error = near[:, arm].std() / math.sqrt(len(near))
        assert abs(near[:, arm].mean() - after.mean[arm]) < 4 * error
        assert near[:, arm].std() == pytest.approx(after.sd[arm], rel=4 / math.sqrt(2 * len(near)))


@settings(max_examples=100, deadline=None)
@given(
    factor=st.lists(st.floats(-1, 1), min_size=2, max_size=4),
    own=st.floats(0, 0.5),
    qualities=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_a_belief_stays_one_whatever_is_observed(
    factor: list[float], own: float, qualities: list[float]
) -> None:
    n = len(factor)
    covariance = np.outer(factor, factor) + own**2 * np.eye(n)
    belief = Belief(np.full(n, 0.5), covariance, np.zeros(n))
    for arm in range(n):
        variance = np.diag(belief.covariance).copy()
        belief = belief.observe(arm, qualities[arm])  # its own checks run here
        assert (np.diag(belief.covariance) <= variance + 1e-12).all(), "evidence adds no doubt"
        assert belief.sd[arm] == 0 and belief.mean[arm] == qualities[arm]


def test_an_independent_arm_says_nothing_about_the_others() -> None:
    before = Belief.independent(np.array([0.5, 0.6]), np.array([0.1, 0.2]), np.array([1.0, 2.0]))
    np.testing.assert_allclose(before.covariance, [[0.01, 0], [0, 0.04]])
    np.testing.assert_allclose(before.sd, [0.1, 0.2])
    after = before.observe(0, 1.0)
    assert (after.mean[1], after.sd[1]) == (before.mean[1], before.sd[1])


def test_observing_leaves_the_belief_before_it_as_it_was() -> None:
    belief = narrow(np.random.default_rng(0), 3)
    mean, covariance = belief.mean.copy(), belief.covariance.copy()
    belief.observe(1, 0.9)
    np.testing.assert_array_equal(belief.mean, mean)
    np.testing.assert_array_equal(belief.covariance, covariance)


def test_a_certain_belief_is_corrected_by_what_is_seen() -> None:
    belief = Belief.independent(np.array([0.5, 0.5]), np.zeros(2), np.zeros(2))
    np.testing.assert_array_equal(belief.observe(0, 0.2).mean, [0.2, 0.5])
    np.testing.assert_array_equal(belief.mean, [0.5, 0.5])


GOOD = {"mean": [0.5, 0.5], "sd": [0.1, 0.1], "cost": [1.0, math.nan]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mean": [0.5, math.nan]}, r"mean quality in \[0, 1\], got"),
        ({"mean": [0.5, 1.1]}, r"mean quality in \[0, 1\], got"),
        ({"mean": [-0.1, 0.5]}, r"mean quality in \[0, 1\], got"),
        ({"mean": [math.inf, 0.5]}, r"mean quality in \[0, 1\], got"),
        ({"mean": [0.5]}, "shapes"),
        ({"mean": [], "sd": [], "cost": []}, "shapes"),
        ({"sd": [0.1, -0.1]}, "sd >= 0, got"),
        ({"sd": [0.1, math.nan]}, "sd >= 0, got"),
        ({"cost": [1.0, -0.1]}, "cost >= 0 in US dollars"),
        ({"cost": [1.0, math.inf]}, "cost >= 0 in US dollars"),
        ({"cost": [1.0]}, "shapes"),
    ],
)
def test_numbers_that_are_no_belief_are_refused(
    changed: dict[str, list[float]], message: str
) -> None:
    Belief.independent(**{k: np.array(v) for k, v in GOOD.items()})
    with pytest.raises(InvalidBelief, match=message):
        Belief.independent(**{k: np.array(v) for k, v in (GOOD | changed).items()})


@pytest.mark.parametrize("covariance", [[[0.1, math.nan], [0, 0.1]], [[-0.1, 0], [0, 0.1]]])
def test_a_covariance_that_is_none_is_refused(covariance: list[list[float]]) -> None:
    with pytest.raises(InvalidBelief, match="finite covariance with variances >= 0"):
        Belief(np.full(2, 0.5), np.array(covariance), np.zeros(2))


def test_invalid_beliefs_are_value_errors() -> None:
    assert issubclass(InvalidBelief, ValueError)


def test_a_trace_believes_what_it_has_observed_and_skips_failures() -> None:
    belief = narrow(np.random.default_rng(5), 3)
    trace = Trace(belief)
    assert trace.belief is belief
    trace = trace.with_attempt(Failure(0, ConnectionError(), 0.1))
    trace = trace.with_attempt(Observation(2, 0.5, Usage(), None, 0.1))
    np.testing.assert_array_equal(trace.belief.mean, belief.observe(2, 0.5).mean)
    assert trace.untried == (1,)
    assert [f.arm for f in trace.failures] == [0]
    assert [o.arm for o in trace.observations] == [2]
    assert trace.cost_usd is None, "an unknown cost makes the total unknown"
