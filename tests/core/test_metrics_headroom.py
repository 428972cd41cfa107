"""Headroom net of noise: a case by hand, the bracket around the truth, the limits."""

import math

import numpy as np
import pytest

from cascade_core import InvalidOutcomes
from cascade_core.evaluation.metrics import Headroom, noise_corrected_headroom


def headroom(quality: object, **options: int) -> Headroom:
    return noise_corrected_headroom(quality, np.random.default_rng(0), **options)  # type: ignore[arg-type]


def test_two_trials_by_hand() -> None:
    # Request 1: model a right in both trials, b in none. Request 2: a never, b in the first only.
    quality = [[[1, 1], [0, 0]], [[0, 0], [1, 0]]]
    # Means a .5, b .25: best single .5. Means per request 1, .5: mean oracle .75. Maxima per
    # trial: 1, 1 and 1, 0: trial oracle .75.
    # Choosing on trial 1 (a, b) scores 1, 0 on trial 2. Choosing on trial 2: a, and a tie at 0,
    # which goes to a, the better one on trial 2 (.5 to 0); on trial 1 that scores 1, 0.
    found = headroom(quality)
    assert found == Headroom(0.5, 0.5, 0.75, 0.75)
    assert (found.corrected, found.apparent, found.noise_share) == (0, 0.25, 1)


def test_models_tied_throughout_share_the_request() -> None:
    # In each trial both are right, but of two trials chosen alike, so no order can matter.
    quality = np.array([[[1, 1], [1, 1]], [[0, 1], [1, 0]], [[1, 0], [0, 1]]], dtype=float)
    assert headroom(quality) == headroom(quality[:, ::-1])


def test_pure_luck_is_no_headroom() -> None:
    """Ten models, all right half of the time: one trial shows an oracle of nearly 1."""
    quality = np.random.default_rng(3).random((4000, 10, 4)) < 0.5
    found = headroom(quality)
    assert found.trial_oracle > 0.99
    assert found.corrected == pytest.approx(0, abs=4 * 0.5 / math.sqrt(4000))
    assert found.noise_share > 0.9


def test_without_noise_nothing_is_corrected() -> None:
    quality = np.random.default_rng(0).random((50, 4, 1)).repeat(6, axis=2)
    found = headroom(quality)
    assert found.split_oracle == pytest.approx(found.mean_oracle)
    assert found.trial_oracle == pytest.approx(found.mean_oracle)
    assert found.noise_share == pytest.approx(0)


@pytest.mark.parametrize("trials", [2, 5, 12])
def test_the_oracle_lies_between_the_two_bounds(trials: int) -> None:
    rng = np.random.default_rng(trials)
    p = rng.beta(0.7, 0.7, (8000, 4))
    found = headroom(rng.random((8000, 4, trials)) < p[:, :, None], max_splits=20)
    truth, error = p.max(axis=1).mean(), 4 * 0.5 / math.sqrt(8000)
    assert found.split_oracle < truth + error
    assert truth - error < found.mean_oracle <= found.trial_oracle


def test_the_split_oracle_is_an_unbiased_estimate_of_its_policy() -> None:
    """Two trials: the policy that has seen one. Its exact value by summing over what it saw."""
    rng = np.random.default_rng(0)
    a, b = np.array([0.9, 0.2]), np.array([0.4, 0.6])  # model a is the better on the whole
    value = 0.0
    for pa, pb in zip(a, b, strict=True):
        sees_b_only = (1 - pa) * pb
        value += (sees_b_only * pb + (1 - sees_b_only) * pa) / 2
    p = np.stack([a, b], axis=1)[rng.integers(2, size=40_000)]
    found = headroom(rng.random((*p.shape, 2)) < p[:, :, None])
    assert found.split_oracle == pytest.approx(value, abs=4 * 0.5 / math.sqrt(40_000))


def test_few_splits_are_all_taken_and_many_are_drawn() -> None:
    quality = np.random.default_rng(0).random((30, 3, 6))  # 20 splits
    assert headroom(quality) == noise_corrected_headroom(quality, np.random.default_rng(9))
    drawn = [noise_corrected_headroom(quality, np.random.default_rng(s), 3) for s in (1, 1, 3)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    "quality",
    [np.zeros((3, 2)), np.zeros((3, 2, 1)), np.zeros((0, 2, 2)), np.full((3, 2, 2), np.nan)],
)
def test_what_cannot_be_corrected_is_refused(quality: object) -> None:
    with pytest.raises(InvalidOutcomes, match="headroom"):
        headroom(quality)
    with pytest.raises(InvalidOutcomes, match="max_splits"):
        headroom(np.zeros((3, 2, 2)), max_splits=0)
