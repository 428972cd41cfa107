"""The joint estimate: learns what is planted, looks at nothing that was not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cascade_core.errors import InvalidConfiguration, InvalidOutcomes
from cascade_core.estimators.cross_fitted import CrossFitted
from cascade_core.estimators.evidence import Evidence
from cascade_core.estimators.gaussian_belief import shrunk_covariance
from cascade_core.estimators.stacked import StackedEstimator

N_CHOICES = 4


def world(n: int, seed: int, m: int = 3) -> tuple[Evidence, np.ndarray]:
    """Return multiple-choice questions that the arms answer on their own, right with chance p.

    An arm's confidence is its true chance of being right; the context doubles as an easy domain.
    """
    rng = np.random.default_rng(seed)
    easy = rng.uniform(size=n) < 0.5
    z = rng.normal(size=(n, m)) + np.where(easy, 1.0, 0.0)[:, None] + np.arange(m) * 0.5
    chance = 1 / (1 + np.exp(-z))
    right = rng.uniform(size=(n, m)) < chance
    answers = np.where(right, 0, rng.integers(1, N_CHOICES, size=(n, m)))
    context = easy.astype(np.float64)[:, None]
    evidence = Evidence(z, answers.astype(np.intp), context, np.zeros((n, m), dtype=np.bool_))
    return evidence, right.astype(np.float64)


def seen(n: int, *arms: int, m: int = 3) -> np.ndarray:
    mask = np.zeros((n, m), dtype=np.bool_)
    mask[:, list(arms)] = True
    return mask


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())


@pytest.fixture(scope="module")
def fitted() -> StackedEstimator:
    return StackedEstimator.fit(*world(3000, 1))


FRESH = world(4000, 2)


def bayes(evidence: Evidence, a: int, b: int) -> np.ndarray:
    """Return the chance that arm a is right given both confidences and whether they agree."""
    p, q = (1 / (1 + np.exp(-evidence.strength[:, x])) for x in (a, b))
    agree = evidence.answers[:, a] == evidence.answers[:, b]
    both_wrong = (1 - p) * (1 - q)
    given_agreement = p * q / (p * q + both_wrong / (N_CHOICES - 1))
    wrong_apart = both_wrong * (N_CHOICES - 2) / (N_CHOICES - 1)
    given_difference = p * (1 - q) / (p * (1 - q) + (1 - p) * q + wrong_apart)
    return np.where(agree, given_agreement, given_difference)


def test_one_reply_is_taken_at_its_planted_chance(fitted: StackedEstimator) -> None:
    evidence, quality = FRESH
    posterior = fitted.posterior(evidence, seen(len(evidence), 1))[:, 1]
    truth = 1 / (1 + np.exp(-evidence.strength[:, 1]))
    assert log_loss(posterior, quality[:, 1]) < log_loss(truth, quality[:, 1]) + 0.004


def test_two_replies_come_near_the_rule_of_bayes(fitted: StackedEstimator) -> None:
    evidence, quality = FRESH
    posterior = fitted.posterior(evidence, seen(len(evidence), 0, 2))[:, 0]
    best, alone = bayes(evidence, 0, 2), 1 / (1 + np.exp(-evidence.strength[:, 0]))
    losses = [log_loss(p, quality[:, 0]) for p in (best, posterior, alone)]
    # Nearer to the best that there is than to what the reply says of itself.
    assert losses[1] - losses[0] < 0.25 * (losses[2] - losses[0])


def test_an_estimate_averages_to_the_one_before_it(fitted: StackedEstimator) -> None:
    evidence, _ = FRESH
    n = len(evidence)
    for arm in (0, 1):
        before = fitted.posterior(evidence, seen(n, 2))[:, arm]
        after = fitted.posterior(evidence, seen(n, 2, arm))[:, arm]
        for low, high in ((0.0, 0.6), (0.6, 0.75), (0.75, 1.0)):
            rows = (before >= low) & (before < high)
            if rows.sum() > 200:
                assert after[rows].mean() == pytest.approx(before[rows].mean(), abs=0.03)


def test_a_surprise_is_how_far_the_estimate_moves(fitted: StackedEstimator) -> None:
    evidence, _ = FRESH
    n = len(evidence)
    before = fitted.posterior(evidence, seen(n, 0))
    surprise = fitted.surprises(before, seen(n, 0))
    assert (surprise[:, 0] == 0).all()
    after = fitted.posterior(evidence, seen(n, 0, 2))
    moved = (after - before)[:, 2]
    assert np.sqrt((surprise[:, 2] ** 2).mean()) == pytest.approx(moved.std(), rel=0.15)


def test_what_was_not_seen_is_not_looked_at(fitted: StackedEstimator) -> None:
    evidence, _ = FRESH
    n = len(evidence)
    rng = np.random.default_rng(0)
    other = evidence.strength.copy()
    other[:, [0, 2]] = rng.normal(size=(n, 2)) * 9
    answers = evidence.answers.copy()
    answers[:, [0, 2]] = rng.integers(0, N_CHOICES, size=(n, 2))
    hidden = replace(evidence, strength=other, answers=answers)
    mask = seen(n, 1)
    np.testing.assert_array_equal(fitted.posterior(evidence, mask), fitted.posterior(hidden, mask))


def test_a_subset_of_targets_is_the_same_estimate(fitted: StackedEstimator) -> None:
    evidence, _ = FRESH
    mask = np.random.default_rng(3).uniform(size=(len(evidence), 3)) < 0.5
    every = fitted.posterior(evidence, mask)
    np.testing.assert_allclose(
        fitted.posterior(evidence, mask, np.array([2, 0])), every[:, [2, 0]], atol=1e-12
    )


def test_a_rejected_reply_is_worth_nothing_once_seen(fitted: StackedEstimator) -> None:
    evidence, _ = FRESH
    rejected = replace(evidence, rejected=np.ones_like(evidence.rejected))
    posterior = fitted.posterior(rejected, seen(len(evidence), 1))
    assert (posterior[:, 1] == 0).all()
    assert (posterior[:, [0, 2]] > 0).all()


def test_a_reply_without_confidence_is_taken_for_a_typical_one(fitted: StackedEstimator) -> None:
    evidence, _ = FRESH
    silent = replace(evidence, strength=np.full_like(evidence.strength, np.nan))
    posterior = fitted.posterior(silent, seen(len(evidence), 1))
    assert np.isfinite(posterior).all()
    assert 0.5 < posterior[:, 1].mean() < 0.9


def test_more_replies_than_were_looked_at_use_the_last_model() -> None:
    evidence, quality = world(400, 5)
    shallow = StackedEstimator.fit(evidence, quality, max_depth=1)
    posterior = shallow.posterior(evidence, seen(400, 0, 1, 2))
    assert np.isfinite(posterior).all()


def test_one_arm_and_no_context() -> None:
    evidence, quality = world(200, 6, m=1)
    bare = replace(evidence, context=np.empty((200, 0)))
    posterior = StackedEstimator.fit(bare, quality).posterior(bare, seen(200, 0, m=1))
    assert log_loss(posterior[:, 0], quality[:, 0]) < log_loss(
        np.full(200, quality.mean()), quality[:, 0]
    )


def test_the_same_seed_gives_the_same_estimator() -> None:
    one, two = (StackedEstimator.fit(*world(150, 7), seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.weights, two.weights)


@pytest.mark.parametrize("bad", [{"max_depth": 0}, {"ridge": 0.0}, {"ridge": float("nan")}])
def test_a_fit_that_cannot_be_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidConfiguration, match="max_depth >= 1, ridge > 0"):
        StackedEstimator.fit(*world(50, 1), **bad)  # type: ignore[arg-type]


def test_evidence_of_different_shapes_is_refused() -> None:
    evidence, _ = world(10, 1)
    with pytest.raises(InvalidConfiguration, match="of one shape"):
        replace(evidence, answers=evidence.answers[:, :2])
    with pytest.raises(InvalidConfiguration, match="of one shape"):
        replace(evidence, context=np.ones((9, 1)))


def test_a_covariance_of_much_data_is_the_sample_covariance() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.2], [0.0, 0.2, 0.5]])
    draws = rng.multivariate_normal(np.zeros(3), truth, size=200_000)
    np.testing.assert_allclose(shrunk_covariance(draws), truth, atol=0.02)


def test_a_covariance_of_little_data_is_shrunk_and_stays_one() -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(8, 20))
    shrunk = shrunk_covariance(draws)
    plain = np.cov(draws.T, bias=True)
    np.testing.assert_allclose(np.diag(shrunk), np.diag(plain))
    off = ~np.eye(20, dtype=bool)
    assert np.abs(shrunk[off]).sum() < 0.5 * np.abs(plain[off]).sum()
    assert np.linalg.eigvalsh(shrunk).min() > -1e-12


@pytest.mark.parametrize("bad", [np.ones((1, 3)), np.ones(3), np.array([[1.0], [np.nan]])])
def test_a_covariance_of_nothing_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InvalidOutcomes, match="finite residuals"):
        shrunk_covariance(bad)


def test_an_estimate_out_of_fold_has_not_seen_the_grades_of_its_fold() -> None:
    evidence, quality = world(300, 11)
    fold = np.arange(300) % 3
    flipped = np.where((fold == 0)[:, None], 1.0 - quality, quality)

    def posterior(grades: np.ndarray) -> np.ndarray:
        cross = CrossFitted.fit(
            evidence,
            fold,
            lambda rows: StackedEstimator.fit(evidence.rows(rows), grades[rows], max_depth=1),
        )
        return cross.posterior(seen(300, 1))[0]

    before, after = posterior(quality), posterior(flipped)
    np.testing.assert_array_equal(before[fold == 0], after[fold == 0])
    assert np.abs(before - after)[fold != 0].max() > 0.05
