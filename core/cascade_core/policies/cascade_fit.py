r"""The cost weight that meets a budget, for any rule that has one: played on training requests.

A rule that calls several times spends what its replies make it spend: no linear programme says how
much (``fit_routing`` has one), so the rule is played. What it spends falls, nearly always, as λ
rises, in steps: at each some request has two best choices. λ is bisected down to the step on which
the budget lies, to the last digit of a float, where the two choices tie in the eyes of the rule
too; γ then mixes them (Dekoninck et al. (2025), Theorems 1 to 3). Where beliefs are the same for
many requests γ carries most of the budget; where all differ it decides about one request.

The search is relative throughout, so that the unit of money does not matter. A request that does
the same at both ends of the bracket is taken to do so in between, and is not played again until
the result is checked; where that shows otherwise the search goes on from there. A fit costs about
what playing the rule six times does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray, IndexArray
from cascade_core._states import NO_ARM, States
from cascade_core.errors import InvalidConfiguration, InvalidOutcomes
from cascade_core.evaluation.simulation import (
    Replies,
    Update,
    VectorRule,
    simulate,
)

# λ times the mean cost at which nothing but dollars counts, in units of quality.
_ONLY_DOLLARS = 1e12
# The first guess of λ times the mean cost, and the part of a good guess to go on by.
_GUESS, _NEAR = 0.1, 0.08
# Requests that a good guess takes, and that factors are tried on.
_FEW, _SOME = 400, 1200
# How often a bracket is searched, and the part of the budget that may be left unspent.
_ROUNDS, _SHORT = 6, 1e-3
# What sums of the same costs in another order differ by.
_ROUNDING = 1e-12
# Factors tried on the weight of a step, and the least share of the requests that must reach it.
_FACTORS = (0.25, 0.5, 0.71, 1.4, 2.0, 4.0)
_REACHED = 0.02

MakeRule = Callable[[float, float], VectorRule]


@dataclass(frozen=True, slots=True)
class FittedWeight:
    """A rule's cost weight for a budget, and what the rule does on the requests it was fitted on.

    Attributes:
        cost_weight: λ, quality per US dollar; 0 if the budget does not bind.
        cheap_share: γ, the probability of the cheapest at ties of utility.
        quality: Mean quality of the answers, expected over the draw.
        cost: Mean US dollars per request, expected over the draw; at most the budget.
    """

    cost_weight: float
    cheap_share: float
    quality: float
    cost: float


@dataclass(frozen=True, slots=True)
class FittedWeights:
    """The same with a cost weight for each step.

    Attributes:
        cost_weights: λ of each step, of which the last serves all steps after it.
        cheap_share: γ.
        quality: Mean quality of the answers, expected over the draw.
        cost: Mean US dollars per request, expected over the draw; at most the budget.
    """

    cost_weights: tuple[float, ...]
    cheap_share: float
    quality: float
    cost: float


def fit_cost_weight(
    make_rule: MakeRule,
    start: States,
    replies: Replies,
    update: Update,
    quality: FloatArray,
    budget: float,
) -> FittedWeight:
    """Return the λ and γ with which a rule spends ``budget``, or all that it can use of it.

    Args:
        make_rule: Makes the rule from λ and γ. γ = 1 takes the cheapest at ties, 0 the dearest.
        start: The training requests before any call.
        replies: What every arm replies to them.
        update: How beliefs follow from replies.
        quality: True quality of every reply, shape (n, m).
        budget: Mean US dollars per request that may be spent.

    Raises:
        InvalidConfiguration: The budget is no number, or the rule cannot spend so little: says how
            little it can.
        InvalidOutcomes: Shapes that do not fit, or qualities that are no numbers.
    """
    world = _World.of(start, replies, update, quality)
    return _fit(world, make_rule, budget, guess=None)


def fit_step_weights(
    make_rule: Callable[[tuple[float, ...], float], VectorRule],
    start: States,
    replies: Replies,
    update: Update,
    quality: FloatArray,
    budget: float,
    *,
    max_steps: int = 4,
) -> FittedWeights:
    """Return the λ of each step and the γ of greatest quality found for ``budget``.

    From the common λ on, one step after the other is tried at multiples of it, the budget being
    met again by scaling all. A change is kept only if quality on the training requests rises by
    more than a standard error of the rise, so that the result is never worse there.

    Args:
        make_rule: Makes the rule from the λ of each step and γ.
        start: As for ``fit_cost_weight``.
        replies: As for ``fit_cost_weight``.
        update: As for ``fit_cost_weight``.
        quality: As for ``fit_cost_weight``.
        budget: As for ``fit_cost_weight``.
        max_steps: Most steps with a weight of their own; 1 leaves the common λ.

    Raises:
        InvalidConfiguration: As for ``fit_cost_weight``.
        InvalidOutcomes: As for ``fit_cost_weight``.
    """
    world = _World.of(start, replies, update, quality)

    def scaled(shape: tuple[float, ...]) -> MakeRule:
        return lambda weight, share: make_rule(tuple(weight * s for s in shape), share)

    best = _fit(world, scaled((1.0,)), budget, guess=None)
    if best.cost_weight == 0:
        return FittedWeights((0.0,), best.cheap_share, best.quality, best.cost)
    played = world.play(scaled((1.0,))(best.cost_weight, best.cheap_share))
    reached = (played.calls != NO_ARM).mean(axis=0) >= _REACHED
    shape = (1.0,) * max(1, min(max_steps, int(reached.sum()) + 1))
    some = world.some(np.arange(0, world.start.n, max(1, world.start.n // _SOME)))
    dollar = _worth_of_a_dollar(some, scaled(shape), best.cost_weight)
    # A factor common to all is no change, so the first step keeps its own.
    for step in range(1, len(shape)):
        candidates = [shape] + [(*shape[:step], f, *shape[step + 1 :]) for f in _FACTORS]
        tried = [some.play(scaled(c)(best.cost_weight, 1.0)) for c in candidates]
        worth = np.array([t.quality - dollar * t.cost for t in tried])
        chosen = int(worth.mean(axis=1).argmax())
        if not _beyond_chance(worth[chosen] - worth[0]):
            continue
        make = scaled(candidates[chosen])
        found = _fit(world, make, budget, guess=best.cost_weight)
        anew = world.play(make(found.cost_weight, found.cheap_share))
        if found.quality > best.quality and _beyond_chance(anew.quality - played.quality):
            best, played, shape = found, anew, candidates[chosen]
    weights = tuple(best.cost_weight * s for s in shape)
    return FittedWeights(weights, best.cheap_share, best.quality, best.cost)


def _beyond_chance(rise: FloatArray) -> bool:
    """Return whether the mean of ``rise`` (n,) is more than its standard error."""
    return float(rise.mean()) > float(rise.std()) / math.sqrt(len(rise))


@dataclass(frozen=True, eq=False)
class _Played:
    """What a rule did with k requests: dollars (k,), quality (k,), answer (k,), calls (k, m)."""

    cost: FloatArray
    quality: FloatArray
    answer: IndexArray
    calls: IndexArray

    def put(self, rows: IndexArray, other: _Played) -> _Played:
        """Return the same with ``rows`` replaced by what ``other`` says of them."""
        cost, quality = self.cost.copy(), self.quality.copy()
        answer, calls = self.answer.copy(), self.calls.copy()
        cost[rows], quality[rows] = other.cost, other.quality
        answer[rows], calls[rows] = other.answer, other.calls
        return _Played(cost, quality, answer, calls)

    def differs(self, other: _Played) -> IndexArray:
        """Return the requests that are treated differently."""
        same = (self.calls == other.calls).all(axis=1) & (self.answer == other.answer)
        return np.flatnonzero(~same)


@dataclass(frozen=True, eq=False)
class _World:
    start: States
    replies: Replies
    update: Update
    quality: FloatArray

    @classmethod
    def of(cls, start: States, replies: Replies, update: Update, quality: FloatArray) -> _World:
        quality = np.asarray(quality, dtype=np.float64)
        shape = start.mean.shape
        if not shape[0] or quality.shape != shape or replies.cost_usd.shape != shape:
            raise InvalidOutcomes(
                "A cost weight is fitted on one or more requests with quality and replies of one "
                f"shape (n, m), got {shape}, {quality.shape} and {replies.cost_usd.shape}."
            )
        if not np.isfinite(quality).all() or not np.isfinite(replies.cost_usd).all():
            raise InvalidOutcomes("A cost weight is fitted on finite qualities and costs.")
        return cls(start, replies, update, quality)

    def some(self, rows: IndexArray) -> _World:
        """Return the world of some of the requests."""

        every = rows

        def update(states: States, rows: IndexArray, arm: IndexArray, replies: Replies) -> States:
            # The update knows the requests by their rows among all.
            return self.update(states, every[rows], arm, self.replies)

        replies = Replies(
            self.replies.estimate[rows],
            self.replies.cost_usd[rows],
            self.replies.latency_seconds[rows],
            self.replies.rejected[rows],
        )
        return _World(self.start.rows(rows), replies, update, self.quality[rows])

    def play(self, rule: VectorRule, rows: IndexArray | None = None) -> _Played:
        """Return what ``rule`` does with ``rows``, all by default."""
        if rows is not None:
            return self.some(rows).play(rule)
        paths = simulate(rule, self.start, self.replies, self.update)
        calls = np.full(self.start.mean.shape, NO_ARM, dtype=np.intp)
        calls[:, : paths.calls.shape[1]] = paths.calls
        return _Played(paths.cost_usd, paths.quality(self.quality), paths.answer, calls)


@dataclass(frozen=True, slots=True)
class _End:
    """An end of the bracket: a weight, and what the rule does with it, the cheapest at ties."""

    weight: float
    played: _Played

    @property
    def cost(self) -> float:
        return float(self.played.cost.mean())


def _fit(world: _World, make_rule: MakeRule, budget: float, guess: float | None) -> FittedWeight:
    if not math.isfinite(budget):
        raise InvalidConfiguration(f"A budget is a number of US dollars, got {budget!r}.")
    if float(world.replies.cost_usd.sum(axis=1).mean()) <= budget:
        return _at(world, make_rule, 0.0, budget)[0]
    step = _NEAR
    if guess is None:
        guess, step = _guess(world, make_rule, budget)
    low, high = _bracket(world, make_rule, budget, guess, step)
    if low is None:
        return _at(world, make_rule, 0.0, budget)[0]
    best: FittedWeight | None = None
    for _ in range(_ROUNDS):
        high = _bisected(world, make_rule, budget, low, high)
        # Now all requests, those that were not played again included.
        fitted, cheap = _at(world, make_rule, high.weight, budget)
        checked = _End(high.weight, cheap)
        if fitted.cost <= _limit(budget) and (best is None or fitted.cost > best.cost):
            best = fitted
        off = min(abs(checked.cost - budget) / max(budget, 1e-300), 1.0)
        if best is not None and (best.cost >= budget * (1 - _SHORT) or off <= _SHORT):
            return best
        low, high = _bracket(world, make_rule, budget, checked, max(2 * off, 1e-6))
        if low is None:
            break
        if high.weight / low.weight < 1 + 1e-9:
            break  # no tie, but a jump
    return best or _at(world, make_rule, high.weight, budget)[0]


def _guess(world: _World, make_rule: MakeRule, budget: float) -> tuple[float, float]:
    """Return a weight to begin with, and by what part of it to go on from there."""
    far = _GUESS / float(world.replies.cost_usd.mean())
    every = world.start.n // _FEW
    if every < 2:
        return far, 7.0
    try:
        some = world.some(np.arange(0, world.start.n, every))
        weight = _fit(some, make_rule, budget, guess=far).cost_weight
    except InvalidConfiguration:  # too dear for these; not for all, perhaps
        return far, 7.0
    return (weight, _NEAR) if weight > 0 else (far, 7.0)


def _bracket(
    world: _World, make_rule: MakeRule, budget: float, begin: float | _End, step: float
) -> tuple[_End | None, _End]:
    """Return two weights, the lower one too low for the budget; None if the budget does not bind.

    Args:
        world: The requests.
        make_rule: Makes the rule.
        budget: Mean US dollars per request.
        begin: Where to begin.
        step: By what part of the weight to go on; it grows.
    """

    def at(weight: float) -> _End:
        return _End(weight, world.play(make_rule(weight, 1.0)))

    end = begin if isinstance(begin, _End) else at(begin)
    scale = float(world.replies.cost_usd.mean())
    up = end.cost > _limit(budget)
    while True:
        factor = 1.0 + step
        step *= 4.0
        before, end = end, at(end.weight * factor if up else end.weight / factor)
        if (end.cost > _limit(budget)) != up:
            return (before, end) if up else (end, before)
        if up and end.weight * scale > _ONLY_DOLLARS:
            raise InvalidConfiguration(
                "A budget is at least what the rule spends where nothing but dollars counts, "
                f"{end.cost!r} US dollars per request on average; got {budget!r}."
            )
        if not up and end.weight * scale < 1.0 / _ONLY_DOLLARS:
            nothing = at(0.0)
            return (
                None if nothing.cost <= _limit(budget) else _End(end.weight / 8, nothing.played),
                end,
            )


def _bisected(world: _World, make_rule: MakeRule, budget: float, low: _End, high: _End) -> _End:
    """Return the least weight that meets the budget, as far as can be told from its neighbours."""
    unsettled = low.played.differs(high.played)
    while low.weight < (weight := math.sqrt(low.weight) * math.sqrt(high.weight)) < high.weight:
        if not len(unsettled):
            break
        played = high.played.put(unsettled, world.play(make_rule(weight, 1.0), unsettled))
        here = _End(weight, played)
        low, high = (here, high) if here.cost > _limit(budget) else (low, here)
        unsettled = low.played.differs(high.played)
    return high


def _at(
    world: _World, make_rule: MakeRule, weight: float, budget: float
) -> tuple[FittedWeight, _Played]:
    """Return ``weight`` with the γ that meets the budget, 1 if none does; and what γ = 1 does."""
    cheap = dear = world.play(make_rule(weight, 1.0))
    low, share = float(cheap.cost.mean()), 1.0
    if weight > 0:
        dear = world.play(make_rule(weight, 0.0))
        high = float(dear.cost.mean())
        if high > low:
            share = min(max((high - budget) / (high - low), 0.0), 1.0)
    quality, cost = (
        share * float(a.mean()) + (1 - share) * float(b.mean())
        for a, b in ((cheap.quality, dear.quality), (cheap.cost, dear.cost))
    )
    return FittedWeight(weight, share, quality, cost), cheap


def _limit(budget: float) -> float:
    return budget * (1 + _ROUNDING)


def _worth_of_a_dollar(world: _World, make_rule: MakeRule, weight: float) -> float:
    """Return what one more dollar buys in true quality near ``weight``, >= 0.

    λ says what it buys in estimated quality, which is another thing where estimates are off.
    """
    less, more = (world.play(make_rule(weight * f, 1.0)) for f in (1.4, 0.71))
    dollars = float((more.cost - less.cost).mean())
    if dollars <= 0:
        return weight
    return max(float((more.quality - less.quality).mean()) / dollars, 0.0)
