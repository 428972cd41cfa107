"""AutoMix's meta-verifier: Bayes on a known model, and hopeless requests that it learns to keep."""

import math
from itertools import product

import numpy as np
import pytest

from cascade_core import InvalidConfiguration, InvalidOutcomes
from cascade_core._states import States
from cascade_core.evaluation.simulation import Paths, Replies, simulate
from cascade_core.policies import AutoMixPolicy
from cascade_core.policies._rows import Rows
from cascade_core.policies.automix import fit_automix

# good, needy, hopeless; the small model's estimate is high, middling or low, and tells them apart.
PRIOR = np.array([0.5, 0.3, 0.2])
SEEN = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
SCORE = np.array([0.9, 0.5, 0.1])
COST = np.array([0.1, 1.0])


def world(seed: int, n: int) -> Rows:
    rng = np.random.default_rng(seed)
    state = rng.choice(3, n, p=PRIOR)
    seen = (rng.random(n)[:, None] > np.cumsum(SEEN, axis=1)[state]).sum(axis=1)
    quality = np.column_stack([state == 0, state <= 1]).astype(float)
    score = np.column_stack([SCORE[seen], rng.random(n)])
    return Rows.of(score, quality, np.tile(COST, (n, 1)))


def play(policy: AutoMixPolicy, rows: Rows) -> Paths:
    shape = rows.score.shape
    start = States.before_any_call(np.full(shape, 0.5), np.full(shape, 0.2), rows.cost)
    replies = Replies(np.maximum(rows.score, 0), rows.cost, np.zeros(shape), rows.rejected)
    return simulate(policy, start, replies)


def utility(policy: AutoMixPolicy, rows: Rows) -> float:
    paths = play(policy, rows)
    return float((paths.quality(rows.quality) - policy.cost_weight * paths.cost_usd).mean())


def fitted(rows: Rows, cost_weight: float, **options: object) -> AutoMixPolicy:
    return fit_automix(rows.score, rows.quality, rows.cost, cost_weight, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("cost_weight", [0.01, 0.1, 0.2, 0.4, 0.8])
def test_on_a_known_model_it_decides_as_bayes(cost_weight: float) -> None:
    """By hand: escalate where P(needy | seen) exceeds the price of the second call."""
    policy = fitted(world(0, 50_000), cost_weight, n_bins=3)
    needy = PRIOR[1] * SEEN[1] / (PRIOR @ SEEN)
    assert np.abs(needy - cost_weight).min() > 0.02, "no tie, that a sample would have to break"
    for score, gain in zip(SCORE, needy, strict=True):
        rows = Rows.of([[score, 0.5]], [[0, 1]], [COST])
        assert (play(policy, rows).answer == int(gain > cost_weight)).all()


def test_hopeless_requests_are_kept_and_needy_ones_escalated() -> None:
    train, fresh = world(1, 2000), world(2, 20_000)
    policy = fitted(train, 0.3)
    answer = play(policy, fresh).answer
    low, middle, high = (answer[fresh.score[:, 0] == s] for s in (0.1, 0.5, 0.9))
    assert (low == 0).all() and (high == 0).all() and (middle == 1).all()
    # No threshold can do that: one that escalates the middle escalates the hopeless below it.
    escalate = [fresh.score[:, 0] < t for t in (0.0, 0.3, 0.7, 1.1)]
    rivals = [
        np.where(e, fresh.quality[:, 1] - 0.3 * COST.sum(), fresh.quality[:, 0] - 0.3 * COST[0])
        for e in escalate
    ]
    assert utility(policy, fresh) > max(r.mean() for r in rivals) + 0.01


def test_the_model_is_counted_on_the_rows() -> None:
    policy = fitted(world(3, 50_000), 0.3, n_bins=3)
    assert policy.prior == pytest.approx(PRIOR, abs=0.01)
    likelihood = np.array(policy.likelihood[0])
    assert likelihood[:, 0].max() < 1e-3, "nothing was rejected"
    np.testing.assert_allclose(likelihood[:, :0:-1], SEEN, atol=0.01)
    np.testing.assert_allclose(policy.quality, [[1, 0, 0], [1, 1, 0]])
    assert policy.cost == pytest.approx(COST)


@pytest.mark.parametrize("cost_weight", [0.0, 0.1, 0.25, 0.35, 1.0])
def test_one_bin_is_the_best_constant_action(cost_weight: float) -> None:
    rows = world(4, 500)
    constant = [
        rows.quality[:, 0].mean() - cost_weight * COST[0],
        rows.quality[:, 1].mean() - cost_weight * COST.sum(),
    ]
    policy = fitted(rows, cost_weight, n_bins=1)
    assert utility(policy, rows) == pytest.approx(max(constant), abs=1e-9)


def random_policy(rng: np.random.Generator, k: int, bins: int) -> AutoMixPolicy:
    likelihood = rng.dirichlet(np.ones(bins + 1), size=(k, k + 1))
    return AutoMixPolicy(
        order=tuple(range(k)),
        prior=tuple(rng.dirichlet(np.ones(k + 1)).tolist()),
        quality=tuple(map(tuple, rng.random((k, k + 1)).tolist())),
        edges=tuple(tuple(np.linspace(0, 1, bins + 1)[1:-1].tolist()) for _ in range(k)),
        likelihood=tuple(tuple(map(tuple, level)) for level in likelihood.tolist()),
        cost=tuple(rng.uniform(0.02, 0.2, k).tolist()),
        cost_weight=1.0,
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_value_is_that_of_the_best_of_all_plans(seed: int) -> None:
    """Three models, two bins: every plan that maps what was seen to stop or go is tried."""
    policy = random_policy(np.random.default_rng(seed), 3, 2)
    prior, quality = np.array(policy.prior), np.array(policy.quality)
    seen = np.array(policy.likelihood)
    first, second = range(3), list(product(range(3), range(3)))
    best = -math.inf
    for stop in product([False, True], repeat=len(first) + len(second)):
        total = 0.0
        plan = dict(zip([*first, *second], stop, strict=True))
        if plan[0] or any(plan[a, 0] for a in first):
            continue  # bin 0 is a rejected reply: no answer
        for a in first:
            b = prior * seen[0][:, a]
            total -= policy.cost[0] * b.sum()
            if plan[a]:
                total += b @ quality[0]
                continue
            for o in range(3):
                c = b * seen[1][:, o]
                total -= policy.cost[1] * c.sum()
                total += c @ quality[1] if plan[a, o] else c @ quality[2] - policy.cost[2] * c.sum()
        best = max(best, total)
    assert policy.value_of_calling(prior, (0, 1, 2)) == pytest.approx(best, abs=1e-12)


def test_what_it_expects_is_what_it_earns_in_its_own_world() -> None:
    rng = np.random.default_rng(7)
    policy = random_policy(rng, 3, 3)
    n = 100_000
    state = rng.choice(4, n, p=policy.prior)
    seen = np.column_stack(
        [
            (rng.random(n)[:, None] > np.cumsum(np.array(level), axis=1)[state]).sum(axis=1)
            for level in policy.likelihood
        ]
    )
    score = np.where(seen == 0, -1.0, (seen - 0.5) / 3)
    quality = np.array(policy.quality).T[state]
    rows = Rows.of(score, quality, np.tile(policy.cost, (n, 1)))
    paths = play(policy, rows)
    earned = paths.quality(quality) - paths.cost_usd
    expected = policy.value_of_calling(np.array(policy.prior), (0, 1, 2))
    assert abs(earned.mean() - expected) < 4 * earned.std() / math.sqrt(n)
    assert len(set(paths.answer.tolist())) == 3, "it is no constant"


def test_three_models_have_a_state_for_each_that_is_the_first_to_be_right() -> None:
    quality = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0.4, 0.6]])
    rows = Rows.of(np.full((5, 3), 0.5), quality, np.tile([1.0, 2, 3], (5, 1)))
    policy = fitted(rows, 0.1)
    assert policy.prior == pytest.approx((0.2, 0.2, 0.4, 0.2))
    np.testing.assert_allclose(policy.quality, [[1, 0, 0, 0], [0, 1, 0.2, 0], [1, 0, 0.8, 0]])


def test_a_rejected_reply_is_evidence_of_its_own_and_no_answer() -> None:
    rows = world(5, 4000)
    # The small model refuses what is hopeless, and nothing else.
    score = rows.score.copy()
    score[rows.quality[:, 1] == 0, 0] = -1.0
    policy = fit_automix(score, rows.quality, rows.cost, 0.3)
    assert policy.belief([0, None])[2] > 0.95
    answer = play(policy, Rows.of(score, rows.quality, rows.cost)).answer
    assert (answer[score[:, 0] < 0] == 1).all()


def test_the_order_is_cheapest_first_unless_given() -> None:
    rows = world(6, 100)
    assert fitted(rows, 0.1).order == (0, 1)
    assert fitted(rows, 0.1, order=(1, 0)).order == (1, 0)
    assert fitted(rows, 0.1, order=(1,)).order == (1,)


def test_what_cannot_be_fitted_is_refused() -> None:
    rows = world(6, 100)
    for order in [(), (0, 0), (0, 2)]:
        with pytest.raises(InvalidConfiguration, match="distinct arms from 0 to 1"):
            fitted(rows, 0.1, order=order)
    with pytest.raises(InvalidConfiguration, match="n_bins >= 1"):
        fitted(rows, 0.1, n_bins=0)
    for smoothing in (0.0, math.nan):
        with pytest.raises(InvalidConfiguration, match="smoothing > 0"):
            fitted(rows, 0.1, smoothing=smoothing)
    with pytest.raises(InvalidConfiguration, match="AutoMixPolicy needs cost_weight"):
        fitted(rows, -0.1)
    with pytest.raises(InvalidOutcomes, match="one shape"):
        fit_automix(rows.score, rows.quality[:, :1], rows.cost, 0.1)


GOOD = {
    "order": (0, 1),
    "prior": (0.5, 0.3, 0.2),
    "quality": ((1.0, 0.0, 0.0), (1.0, 1.0, 0.0)),
    "edges": ((0.5,), ()),
    "likelihood": (((0.2, 0.3, 0.5),) * 3, ((0.1, 0.9),) * 3),
    "cost": (0.1, 1.0),
    "cost_weight": 0.3,
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("order", (), "distinct arms"),
        ("order", (1, 1), "distinct arms"),
        ("prior", (0.5, 0.5), "prior of 3"),
        ("prior", (0.5, 0.6, -0.1), "prior of 3"),
        ("prior", (0.5, 0.5, math.nan), "prior of 3"),
        ("quality", ((1.0, 0.0, 0.0),), "each of its 2 arms"),
        ("quality", ((1.0, 0.0), (1.0, 1.0, 0.0)), "in all 3 states"),
        ("quality", ((1.0, 0.0, 0.0), (1.0, 1.2, 0.0)), r"quality in \[0, 1\]"),
        ("edges", ((0.5,),), "each of its 2 arms"),
        ("edges", ((0.5, 0.5), ()), "ascending edges"),
        ("likelihood", (((0.2, 0.8),) * 3, ((0.1, 0.9),) * 3), "likelihood of 3"),
        ("likelihood", (((0.2, 0.3, 0.6),) * 3, ((0.1, 0.9),) * 3), "likelihood of 3"),
        ("cost", (0.1, -1.0), "cost in US dollars"),
        ("cost", (0.1, math.nan), "cost in US dollars"),
        ("cost_weight", math.nan, "cost_weight"),
    ],
)
def test_a_model_that_is_none_is_refused(name: str, value: object, message: str) -> None:
    AutoMixPolicy(**GOOD)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfiguration, match=message):
        AutoMixPolicy(**(GOOD | {name: value}))  # type: ignore[arg-type]
