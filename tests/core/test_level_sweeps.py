"""Thresholds by sweeps, against every combination of thresholds there is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_core.policies._level_sweeps import LevelSweeps


def value_of(
    thresholds: tuple[float, ...],
    score: np.ndarray,
    quality: np.ndarray,
    cost: np.ndarray,
    cost_weight: float,
) -> float:
    """Return the mean value per row, row by row."""
    total = 0.0
    for s, q, c in zip(score, quality, cost, strict=True):
        spent = 0.0
        for level in range(len(s)):
            spent += c[level]
            if level == len(s) - 1 or s[level] >= thresholds[level]:
                total += q[level] - cost_weight * spent
                break
    return total / len(score)


def world(seed: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Few different scores, so that ties are common, and some rejected replies.
    score = np.where(rng.random((n, k)) < 0.15, -1.0, rng.integers(0, 5, (n, k)) / 4)
    quality = (rng.random((n, k)) < np.maximum(score, 0)).astype(float)
    return score, quality, rng.uniform(0, 0.5, (n, k))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), cost_weight=st.floats(0, 3))
def test_two_levels_are_solved_exactly(seed: int, n: int, cost_weight: float) -> None:
    rows = world(seed, n, 2)
    found = LevelSweeps(*rows).best(cost_weight)
    best = max(value_of((t,), *rows, cost_weight) for t in (0.0, 0.25, 0.5, 0.75, 1.0, 1.1))
    assert found.value == pytest.approx(best)
    assert value_of(found.thresholds, *rows, cost_weight) == pytest.approx(found.value)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), cost_weight=st.floats(0, 3))
def test_no_single_level_of_three_can_be_improved(seed: int, n: int, cost_weight: float) -> None:
    rows = world(seed, n, 3)
    found = LevelSweeps(*rows).best(cost_weight)
    assert value_of(found.thresholds, *rows, cost_weight) == pytest.approx(found.value)
    for level, t in product(range(2), (0.0, 0.25, 0.5, 0.75, 1.0, 1.1)):
        other = list(found.thresholds)
        other[level] = t
        assert value_of(tuple(other), *rows, cost_weight) <= found.value + 1e-12


def test_on_most_worlds_three_levels_are_solved_exactly_too() -> None:
    levels = (0.0, 0.25, 0.5, 0.75, 1.0, 1.1)
    exact = 0
    for seed in range(60):
        rows = world(seed, 30, 3)
        best = max(value_of(t, *rows, 0.8) for t in product(levels, levels))
        exact += LevelSweeps(*rows).best(0.8).value == pytest.approx(best)
    assert exact >= 50


def test_a_rejected_reply_answers_at_no_threshold() -> None:
    score = np.array([[-1.0, 0.5], [-1.0, 0.5]])
    quality = np.array([[1.0, 0.0], [1.0, 0.0]])
    found = LevelSweeps(score, quality, np.zeros((2, 2))).best(0.0)
    assert found.value == 0.0
    assert found.thresholds[0] > 1
