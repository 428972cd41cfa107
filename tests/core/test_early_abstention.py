"""Early abstention: brute force on small rows, a known optimum on large ones, the limits."""

import math
from itertools import combinations, product

import numpy as np
import pytest

from cascade_core import (
    Abstain,
    Answer,
    Belief,
    Call,
    Failure,
    InvalidConfiguration,
    InvalidOutcomes,
    Observation,
    Trace,
    Usage,
)
from cascade_core._states import States
from cascade_core.evaluation.simulation import Replies, simulate
from cascade_core.policies import AbstentionLoss, EarlyAbstentionCascade, _sweeps
from cascade_core.policies._isotonic import Decreasing
from cascade_core.policies._rows import Rows
from cascade_core.policies.abstention_search import fit_early_abstention, tune_chain
from cascade_core.policies.optimal_stopping import fit_optimal_stopping, stopping_rule

FITS = [fit_early_abstention, fit_optimal_stopping]


def table(seed: int, n: int, n_arms: int, rejected: float = 0.1) -> Rows:
    """Return rows with ties, rejected replies and a cost that varies."""
    rng = np.random.default_rng(seed)
    quality = (rng.random((n, n_arms)) < np.linspace(0.3, 0.8, n_arms)).astype(float)
    score = np.clip(0.4 * quality + 0.6 * rng.random((n, n_arms)), 0, 1)
    score = np.where(rng.random((n, n_arms)) < 0.5, score.round(1), score)
    score[rng.random((n, n_arms)) < rejected] = -1.0
    cost = rng.uniform(0.5, 1.5, (n, n_arms)) * 3.0 ** np.arange(n_arms)
    return Rows.of(score, quality, cost)


def walk(policy: EarlyAbstentionCascade, rows: Rows, loss: AbstentionLoss) -> float:
    """Return the mean loss of a chain, row by row, in plain Python."""
    total = 0.0
    for i in range(rows.n):
        end = loss.abstention
        for level, arm in enumerate(policy.order):
            total += loss.cost_weight * rows.cost[i, arm]
            score, last = rows.score[i, arm], level == len(policy.order) - 1
            if score < 0 and not last:
                continue
            score = max(score, 0.0)
            if score <= policy.abstain_below[level]:
                break
            if last or score > policy.answer_above[level]:
                end = 1 - rows.quality[i, arm]
                break
        total += end
    return total / rows.n


def brute_force(rows: Rows, chain: tuple[int, ...], loss: AbstentionLoss) -> float:
    """Return the least loss over every pair of cuts on every level."""
    cuts = [[-1.0, *sorted({max(s, 0.0) for s in rows.score[:, m]})] for m in chain]
    levels = [[(s, t) for s in c for t in c if s <= t] for c in cuts[:-1]]
    return min(
        walk(
            EarlyAbstentionCascade(chain, (*(s for s, _ in body), last), tuple(t for _, t in body)),
            rows,
            loss,
        )
        for *body, last in product(*levels, cuts[-1])
    )


LOSSES = [
    AbstentionLoss(0.02, 0.3),
    AbstentionLoss(0.1, 0.6),
    AbstentionLoss(0.3, 0.2),
    AbstentionLoss(0.0, 0.45),
    AbstentionLoss(0.05, math.inf),
]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize(("n_arms", "n"), [(1, 20), (2, 9), (3, 5)])
@pytest.mark.parametrize("seed", range(3))
def test_no_thresholds_of_a_small_chain_are_better(
    seed: int, n_arms: int, n: int, loss: AbstentionLoss
) -> None:
    rows = table(seed, n, n_arms)
    chain = tuple(range(n_arms))
    tuned = tune_chain(rows, chain, loss)
    assert tuned.loss == pytest.approx(brute_force(rows, chain, loss), abs=1e-12)


@pytest.mark.parametrize("n", [40, 120])
def test_sweeps_from_many_starts_are_as_good_as_trying_every_combination(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of two: first all of its second model's cuts, then from the starts alone."""
    lost = []
    for seed in range(10):
        rows, loss = table(seed, n, 2), AbstentionLoss(0.05, 0.35)
        exact = tune_chain(rows, (0, 1), loss).loss
        with monkeypatch.context() as m:
            m.setattr(_sweeps, "MAX_ENUMERATED", 0)
            lost.append(tune_chain(rows, (0, 1), loss).loss - exact)
    assert min(lost) >= -1e-12
    assert max(lost) < 0.002
    assert np.mean(np.array(lost) > 1e-12) <= 0.2


def test_a_sweep_never_makes_it_worse_whatever_the_start() -> None:
    rows, rng = table(3, 60, 3), np.random.default_rng(0)
    search = _sweeps.ChainLoss(rows, (0, 1, 2), 0.05, 0.35)
    for _ in range(50):
        cuts = tuple(tuple(sorted(rng.uniform(-0.2, 1.1, 2).tolist())) for _ in range(3))
        cuts = (*cuts[:2], (cuts[2][0], cuts[2][0]))
        before = search.loss(cuts)
        for level in (2, 0, 1):
            swept = search._swept(cuts, level)
            assert swept.loss <= before + 1e-12
            cuts, before = swept.cuts, swept.loss


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("loss", LOSSES[:4], ids=repr)
def test_what_a_fit_promises_is_what_the_rule_does(fit: object, loss: AbstentionLoss) -> None:
    rows = table(7, 80, 3)
    tuned = fit(rows.score, rows.quality, rows.cost, loss)  # type: ignore[operator]
    policy = tuned.policy
    assert tuned.loss == pytest.approx(walk(policy, rows, loss), abs=1e-12)
    start = States.before_any_call(np.full((80, 3), 0.5), np.full((80, 3), 0.1), rows.cost)
    replies = Replies(np.maximum(rows.score, 0), rows.cost, np.zeros((80, 3)), rows.rejected)
    paths = simulate(policy, start, replies)
    abstained = paths.answer < 0
    error = np.where(abstained, 0.0, 1 - paths.quality(rows.quality))
    assert abstained.mean() == pytest.approx(tuned.abstained)
    assert paths.cost_usd.mean() == pytest.approx(tuned.cost)
    assert error.mean() == pytest.approx(tuned.error)
    assert all(s <= t for s, t in zip(policy.abstain_below, policy.answer_above, strict=False))


@pytest.mark.parametrize("loss", LOSSES[:4], ids=repr)
def test_grades_fit_thresholds_no_worse_than_calibration_does(loss: AbstentionLoss) -> None:
    for seed in range(5):
        rows = table(seed, 100, 3)
        exact = fit_early_abstention(rows.score, rows.quality, rows.cost, loss)
        simple = fit_optimal_stopping(rows.score, rows.quality, rows.cost, loss)
        late = fit_early_abstention(rows.score, rows.quality, rows.cost, loss, early=False)
        assert exact.loss <= min(simple.loss, late.loss) + 1e-12
        assert all(s < 0 for s in late.policy.abstain_below[:-1])


@pytest.mark.parametrize("fit", FITS)
def test_an_abstention_that_costs_more_than_an_error_is_never_made(fit: object) -> None:
    rows = table(1, 80, 3)
    for abstention in (1.5, 1e9, math.inf):
        tuned = fit(rows.score, rows.quality, rows.cost, AbstentionLoss(0.05, abstention))  # type: ignore[operator]
        assert tuned.abstained == 0
        assert math.isfinite(tuned.loss)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("abstention", [0.0, -0.5])
def test_an_abstention_that_costs_nothing_is_made_at_once(fit: object, abstention: float) -> None:
    rows = table(1, 80, 3)
    tuned = fit(rows.score, rows.quality, rows.cost, AbstentionLoss(0.05, abstention))  # type: ignore[operator]
    assert tuned.policy == EarlyAbstentionCascade((), (), ())
    assert (tuned.abstained, tuned.cost, tuned.error) == (1.0, 0.0, 0.0)
    for chain in [(0,), (0, 1)]:
        forced = stopping_rule(rows, chain, AbstentionLoss(0.05, abstention))
        assert AbstentionLoss(0.05, 0.0).measure(forced, rows).error == 0


# A calibrated Markov chain on a grid of probabilities: p_2 given p_1 is p_1 moved up or down,
# with E[p_2 | p_1] of its own, and the grade of each level is a coin of that probability.
LEVELS = np.linspace(0.025, 0.975, 39)


def markov(rng: np.random.Generator, n: int) -> Rows:
    p1 = rng.choice(LEVELS, n)
    p2 = next_level(p1, rng.random(n))
    quality = (rng.random((n, 2)) < np.column_stack([p1, p2])).astype(float)
    return Rows.of(np.column_stack([p1, p2]), quality, np.tile([1.0, 5.0], (n, 1)))


def next_level(p1: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return p_2: hopeless below 0.3, a lottery between, right above."""
    middle = np.where(u < 0.5, 0.15, 0.9)
    return np.where(p1 < 0.3, 0.1 + 0.2 * u * p1, np.where(p1 < 0.7, middle, 0.9 + 0.1 * u))


def bayes(loss: AbstentionLoss) -> tuple[np.ndarray, float]:
    """Return for every p_1 what is best (0 abstain, 1 go on, 2 answer), and the least loss."""
    u = (np.arange(20_000) + 0.5) / 20_000
    on = [
        5 * loss.cost_weight
        + float(np.minimum(1 - next_level(np.full(len(u), p), u), loss.abstention).mean())
        for p in LEVELS
    ]
    options = np.column_stack([np.full(len(LEVELS), loss.abstention), on, 1 - LEVELS])
    return options.argmin(axis=1), loss.cost_weight + float(options.min(axis=1).mean())


@pytest.mark.parametrize("loss", [AbstentionLoss(0.01, 0.4), AbstentionLoss(0.015, 0.35)], ids=repr)
def test_both_fits_come_to_what_bayes_would_do(loss: AbstentionLoss) -> None:
    rows = markov(np.random.default_rng(5), 40_000)
    best, least = bayes(loss)
    assert set(best.tolist()) == {0, 1, 2}, "the case has all three"
    assert (np.diff(best) >= 0).all(), "and thresholds can do it"
    for policy in (
        stopping_rule(rows, (0, 1), loss),
        tune_chain(
            Rows(*(a[:3000] for a in (rows.score, rows.quality, rows.cost))), (0, 1), loss
        ).policy,
    ):
        fate = np.where(
            policy.abstain_below[0] >= LEVELS, 0, np.where(policy.answer_above[0] < LEVELS, 2, 1)
        )
        assert (fate != best).sum() <= 2, "at most two steps of the grid off"
        assert loss.measure(policy, rows).loss == pytest.approx(least, abs=0.01)
    assert stopping_rule(rows, (0, 1), loss).abstain_below[-1] == 1 - loss.abstention


def test_giving_up_early_is_worth_money_where_the_hopeless_are_known() -> None:
    rows, fresh = markov(np.random.default_rng(1), 2000), markov(np.random.default_rng(2), 20_000)
    loss = AbstentionLoss(0.02, 0.5)
    early = loss.measure(tune_chain(rows, (0, 1), loss).policy, fresh)
    late = loss.measure(tune_chain(rows, (0, 1), loss, early=False).policy, fresh)
    assert early.loss < 0.97 * late.loss
    assert early.cost < 0.8 * late.cost


def test_the_best_chain_is_found_among_all() -> None:
    rows, loss = table(4, 30, 3), AbstentionLoss(0.03, 0.4)
    tuned = fit_early_abstention(rows.score, rows.quality, rows.cost, loss)
    order = rows.cheapest_first()
    chains = [c for d in (1, 2, 3) for c in combinations(order, d)]
    assert tuned.loss == min(loss.abstention, *(tune_chain(rows, c, loss).loss for c in chains))
    every = fit_early_abstention(rows.score, rows.quality, rows.cost, loss, any_order=True)
    assert every.loss <= tuned.loss


def test_monotone_regression_is_the_one_of_scikit_learn() -> None:
    isotonic = pytest.importorskip("sklearn.isotonic")
    rng = np.random.default_rng(0)
    x = rng.random(200).round(2)
    y = -x + rng.normal(size=200)
    theirs = isotonic.IsotonicRegression(increasing=False).fit(x, y)
    mine = Decreasing.fit(x, y)
    assert (np.diff(mine.y) < 0).all()
    # A pool's value is theirs; only between the centres is ours a line and theirs a step.
    pooled = np.unique(theirs.predict(x))[::-1]
    np.testing.assert_allclose(mine.y, pooled, atol=1e-9)
    assert mine(np.array([-1.0, 2.0])).tolist() == [mine.y[0], mine.y[-1]]


def test_a_model_that_is_always_rejected_is_only_a_toll_on_the_way() -> None:
    rows, loss = table(2, 300, 3, rejected=0.0), AbstentionLoss(0.004, 0.7)
    score = rows.score.copy()
    score[:, 1] = -1.0
    through = stopping_rule(Rows(score, rows.quality, rows.cost), (0, 1, 2), loss)
    cost = np.column_stack([rows.cost[:, 0], rows.cost[:, 1:].sum(axis=1)])
    # All rejected replies look alike, so what follows them is one number, its mean.
    flat = rows.score[:, [0, 2]].copy()
    value = np.minimum(1 - flat[:, 1], loss.abstention).mean()
    flat[:, 1] = 1 - value
    direct = stopping_rule(Rows(flat, rows.quality[:, [0, 2]], cost), (0, 1), loss)
    assert through.abstain_below[0] == pytest.approx(direct.abstain_below[0])
    assert through.answer_above[0] == pytest.approx(direct.answer_above[0])
    assert 0 < through.answer_above[0] < 1


def test_dollars_of_an_error_and_of_an_abstention_give_the_weights() -> None:
    assert AbstentionLoss.from_dollars(4.0, 1.0) == AbstentionLoss(0.25, 0.25)


POLICY = EarlyAbstentionCascade((0, 1), (0.2, 0.4), (0.8,))


def trace(*attempts: Observation | Failure, unavailable: frozenset[int] = frozenset()) -> Trace:
    prior = Belief.independent(np.array([0.5, 0.6, 0.7]), np.full(3, 0.1), np.full(3, math.nan))
    return Trace(prior, attempts, unavailable)


def seen(arm: int, quality: float, rejected_by: str | None = None) -> Observation:
    return Observation(arm, quality, Usage(), None, 0.0, rejected_by=rejected_by)


DOWN = Failure(1, ConnectionError("down"), 0.1)


@pytest.mark.parametrize(
    ("attempts", "unavailable", "action"),
    [
        ((), (), Call(0)),
        ((seen(0, 0.81),), (), Answer(0)),
        ((seen(0, 0.8),), (), Call(1)),
        ((seen(0, 0.21),), (), Call(1)),
        ((seen(0, 0.2),), (), Abstain()),
        ((seen(0, 0.0, "refusal"),), (), Call(1)),
        ((seen(0, 0.5), seen(1, 0.41)), (), Answer(1)),
        ((seen(0, 0.5), seen(1, 0.4)), (), Abstain()),
        ((seen(0, 0.5), seen(1, 0.0, "refusal")), (), Abstain()),
        ((), (0,), Call(1)),
        ((seen(0, 0.41),), (1,), Answer(0)),
        ((seen(0, 0.4),), (1,), Abstain()),
        ((seen(0, 0.5), DOWN), (), Call(2)),
        ((seen(0, 0.5), DOWN, seen(2, 0.41)), (), Answer(2)),
        ((seen(0, 0.5), DOWN), (2,), Answer(0)),
        ((seen(0, 0.3), DOWN), (2,), Abstain()),
        ((), (0, 1), Call(2)),
    ],
)
def test_a_reply_is_shown_given_up_or_followed_by_the_next(
    attempts: tuple[Observation | Failure, ...], unavailable: tuple[int, ...], action: object
) -> None:
    decided = POLICY.decide(trace(*attempts, unavailable=frozenset(unavailable)))
    assert type(decided) is type(action)
    assert getattr(decided, "arm", None) == getattr(action, "arm", None)
    assert not getattr(decided, "final", False), "what may yet be given up must not be streamed"


def test_without_abstention_at_the_end_the_last_call_is_final() -> None:
    policy = EarlyAbstentionCascade((0, 1), (0.2, -1.0), (0.8,))
    decided = policy.decide(trace(seen(0, 0.5)))
    assert isinstance(decided, Call) and decided.final
    assert policy.decide(trace(seen(0, 0.5), seen(1, 0.0, "refusal"))) == Answer(
        1, "estimated quality 0.000"
    )


def test_an_empty_order_asks_nobody() -> None:
    assert isinstance(EarlyAbstentionCascade((), (), ()).decide(trace()), Abstain)


@pytest.mark.parametrize(
    ("order", "low", "high"),
    [
        ((0, 0), (0.1, 0.1), (0.5,)),
        ((0, 1), (0.1,), (0.5,)),
        ((0, 1), (0.1, 0.1), ()),
        ((0, 1), (0.6, 0.1), (0.5,)),
        ((0, 1), (0.1, math.nan), (0.5,)),
        ((0, 1), (0.1, 0.1), (math.nan,)),
        ((), (0.1,), ()),
        ((), (), (0.1,)),
    ],
)
def test_thresholds_that_are_none_are_refused(
    order: tuple[int, ...], low: tuple[float, ...], high: tuple[float, ...]
) -> None:
    with pytest.raises(InvalidConfiguration, match=r"EarlyAbstentionCascade needs .*got"):
        EarlyAbstentionCascade(order, low, high)


@pytest.mark.parametrize(
    "loss", [(-1.0, 0.1), (math.nan, 0.1), (math.inf, 0.1), (1.0, math.nan), (1.0, -math.inf)]
)
def test_a_loss_that_is_none_is_refused(loss: tuple[float, float]) -> None:
    with pytest.raises(InvalidConfiguration, match="AbstentionLoss needs"):
        AbstentionLoss(*loss)


@pytest.mark.parametrize("cost_of_error", [0.0, -1.0, math.nan, math.inf])
def test_an_error_that_costs_nothing_is_refused(cost_of_error: float) -> None:
    with pytest.raises(InvalidConfiguration, match="cost_of_error must be"):
        AbstentionLoss.from_dollars(cost_of_error, 1.0)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": 1.5}, "Row 0, arm 1: score is 1.5"),
        ({"score": -0.5}, "score is -0.5"),
        ({"quality": math.nan}, "quality is nan"),
        ({"quality": 1.1}, "quality is 1.1"),
        ({"cost": -1.0}, "cost is -1.0"),
        ({"cost": math.inf}, "cost is inf"),
    ],
)
def test_rows_that_cannot_be_learnt_from_are_refused(
    fit: object, change: dict[str, float], message: str
) -> None:
    columns = {name: np.full((4, 2), 0.5) for name in ("score", "quality", "cost")}
    for name, value in change.items():
        columns[name][0, 1] = value
    with pytest.raises(InvalidOutcomes, match=message):
        fit(**columns, loss=AbstentionLoss(0.1, 0.3))  # type: ignore[operator]


def test_shapes_that_differ_and_chains_that_are_none_are_refused() -> None:
    loss = AbstentionLoss(0.1, 0.3)
    with pytest.raises(InvalidOutcomes, match=r"one shape .*\(4, 3\)"):
        fit_early_abstention(np.ones((4, 2)), np.ones((4, 3)), np.ones((4, 2)), loss)
    with pytest.raises(InvalidOutcomes, match="at least"):
        fit_early_abstention(np.ones((0, 2)), np.ones((0, 2)), np.ones((0, 2)), loss)
    rows = table(0, 5, 2)
    for chain in [(), (0, 0), (0, 2)]:
        with pytest.raises(InvalidConfiguration, match="distinct arms from 0 to 1"):
            tune_chain(rows, chain, loss)
    with pytest.raises(InvalidConfiguration, match="max_depth"):
        fit_early_abstention(rows.score, rows.quality, rows.cost, loss, max_depth=0)
