"""The dynamic programme: optimal where the optimum can be written down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cascade_core._states import States
from cascade_core.errors import InvalidConfiguration
from cascade_core.evaluation.simulation import Replies, simulate
from cascade_core.policies.subset_programme import ProgrammeFit, SubsetProgramme

N = 4000
COST = np.array([0.05, 0.2, 0.3])


class World:
    """Arm 0 says whether it is right; arm 1 is right where arm 0 is wrong; arm 2 always, dearer.

    Before its reply arm 0's chance is one of two known values, so that its call does not always
    pay.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.hint = rng.choice([0.1, 0.8], size=N)
        right = rng.uniform(size=N) < self.hint
        self.quality = np.stack([right, ~right, np.ones(N, dtype=bool)], axis=1).astype(float)
        self.cost = np.tile(COST, (N, 1))
        self.fold = np.arange(N) % 4

    def posterior(self, seen: np.ndarray) -> np.ndarray:
        known = seen[:, 0] | seen[:, 1]
        hint = np.where(known, self.quality[:, 0], self.hint)
        return np.stack([hint, 1 - hint, np.ones(N)], axis=1)

    def fit(self, cost_weight: float, depth: int = 3) -> SubsetProgramme:
        rejected = np.zeros((N, 3), dtype=bool)
        return ProgrammeFit(self.of_set, self.cost, rejected, self.fold, depth).fit(cost_weight)

    def of_set(self, chosen: frozenset[int]) -> np.ndarray:
        seen = np.zeros((N, 3), dtype=bool)
        seen[:, list(chosen)] = True
        return self.posterior(seen)

    def play(self, rule: SubsetProgramme) -> tuple[np.ndarray, np.ndarray]:
        start = States.before_any_call(
            self.posterior(np.zeros((N, 3), dtype=bool)), np.zeros((N, 3)), self.cost
        )
        replies = Replies(self.quality, self.cost, np.zeros((N, 3)), np.zeros((N, 3), dtype=bool))

        def update(states: States, rows: np.ndarray, arm: np.ndarray, _: Replies) -> States:
            seen = np.zeros((N, 3), dtype=bool)
            seen[rows] = states.ran
            return states.updated(mean=self.posterior(seen)[rows], sd=states.sd, covariance=None)

        paths = simulate(rule, start, replies, update)
        return paths.quality(self.quality), paths.cost_usd


def optimum(hint: np.ndarray, cost_weight: float) -> np.ndarray:
    """Return the value of the best plan for every hint, all plans compared."""
    price = cost_weight * COST
    plans = np.stack(
        [
            hint - price[0],
            1 - hint - price[1],
            np.full(len(hint), 1 - price[2]),
            1 - price[0] - (1 - hint) * price[1],
            1 - price[1] - hint * price[0],
        ]
    )
    return plans.max(axis=0)


@pytest.mark.parametrize("cost_weight", [0.0, 0.5, 1.0, 2.0, 3.5, 6.0])
def test_the_programme_is_the_best_plan(cost_weight: float) -> None:
    rule, fresh = World(0).fit(cost_weight), World(1)
    quality, cost = fresh.play(rule)
    value = (quality - cost_weight * cost).mean()
    best = optimum(fresh.hint, cost_weight).mean()
    assert value == pytest.approx(best, abs=4 * quality.std() / np.sqrt(N) + 0.005)


def test_depth_bounds_the_calls() -> None:
    world = World(0)
    _, cost = world.play(world.fit(1.0, depth=1))
    assert cost.max() <= COST.max() + 1e-12


def test_a_rejected_reply_never_answers() -> None:
    world = World(0)
    rejected = np.zeros((N, 3), dtype=bool)
    rejected[:, 2] = True
    rule = ProgrammeFit(world.of_set, world.cost, rejected, world.fold).fit(0.5)
    # Arm 2 can never answer, and it costs: a programme that knows does not call it first.
    start = States.before_any_call(
        world.posterior(np.zeros((N, 3), dtype=bool)), np.zeros((N, 3)), world.cost
    )
    assert (rule.decide_many(start).call != 2).all()


def test_a_programme_serves_the_arms_that_it_was_fitted_for() -> None:
    rule = World(0).fit(1.0)
    rule.check(3)
    with pytest.raises(InvalidConfiguration, match="fitted for 3 arms, got 4"):
        rule.check(4)
    with pytest.raises(InvalidConfiguration, match="cost_weight"):
        replace(rule, cost_weight=-1.0)


def test_sets_that_were_not_fitted_are_not_gone_on_from() -> None:
    world = World(0)
    rule = world.fit(1.0, depth=1)
    states = States.before_any_call(
        world.posterior(np.zeros((N, 3), dtype=bool)), np.zeros((N, 3)), world.cost
    )
    after = states.called(np.zeros(N, dtype=np.intp), np.zeros(N, dtype=bool))
    decided = rule.decide_many(after)
    assert (decided.call == -1).all()
    assert (decided.answer == 0).all()


def test_an_arm_that_was_left_out_is_never_called() -> None:
    world = World(0)
    free = world.cost.copy()
    free[:, 2] = 0.0
    rejected = np.zeros((N, 3), dtype=bool)
    fit = ProgrammeFit(world.of_set, free, rejected, world.fold)
    # At this price every value of the others is negative, and arm 2 would cost nothing.
    rule = fit.fit(50.0, arms=(0, 1))
    start = States.before_any_call(
        world.posterior(np.zeros((N, 3), dtype=bool)), np.zeros((N, 3)), free
    )
    assert (rule.decide_many(start).call != 2).all()
    assert (fit.fit(50.0).decide_many(start).call == 2).any()
