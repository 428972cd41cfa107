"""Choose the kind of rule by what it does on rows that it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core._cascade import FittedPolicy
from cascade_core.errors import InvalidConfiguration
from cascade_core.estimators import PriorEstimator
from cascade_core.evaluation.intervals import Interval, paired_difference
from cascade_core.evaluation.metrics import upper_hull
from cascade_core.fitting.dial import affords, check_arms, check_dial, check_size
from cascade_core.fitting.families import FAMILIES, Beliefs, Family, RowPolicy
from cascade_core.fitting.frontier import Frontier, cost_weight_grid
from cascade_core.fitting.training import Training
from cascade_core.outcomes import OutcomeTable
from cascade_core.policies import MixturePolicy, SingleModelPolicy

_SEED = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One kind of rule, as cross-validated.

    Attributes:
        name: The kind.
        complexity: Rank; lower is simpler.
        utility: Mean of quality less λ dollars a request, on rows that were held out.
        quality: Mean quality on them.
        cost_usd: Mean dollars a request on them.
        behind: By how much the best kind is better, with its 95 % interval.
        tied: True if the best is ahead by one standard error at most.
    """

    name: str
    complexity: int
    utility: float
    quality: float
    cost_usd: float
    behind: Interval
    tied: bool


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen, and why.

    Attributes:
        policy: The chosen rule, fitted on all rows.
        chosen: The kind that it is of.
        cost_weight: λ at which the kinds were compared.
        candidates: All kinds, best first.
        verdict: One sentence for people.
    """

    policy: FittedPolicy
    chosen: str
    cost_weight: float
    candidates: tuple[Candidate, ...]
    verdict: str


def select_policy(
    table: OutcomeTable,
    *,
    budget: float | None = None,
    cost_weight: float | None = None,
    families: Sequence[Family] = FAMILIES,
    folds: int = 5,
    use_domains: bool = False,
    seed: int = _SEED,
) -> Selection:
    """Return the simplest kind of rule that is within one standard error of the best.

    Every kind is fitted on all folds but one and played on that one, at a grid of prices; so all
    figures of the result were measured on rows that were held out. The chosen kind is then fitted
    on all rows.

    Args:
        table: Outcomes of all arms, at least 20 requests.
        budget: Mean US dollars a request that may be spent.
        cost_weight: λ, quality per US dollar, instead of a budget.
        families: The kinds that compete.
        folds: Folds, >= 2; trials of one prompt share a fold.
        use_domains: Let rules tell the domains of the table apart: only where live requests will
            say their domain, too.
        seed: Decides the folds.

    Raises:
        InvalidConfiguration: Not exactly one of the two was given, it is negative or not finite,
            the budget is below what the cheapest arm costs, or no kind competes.
        InvalidOutcomes: Too few requests to learn from, also outside one fold; more than 16 arms.
    """
    check_dial(budget, cost_weight)
    selector = Selector.measure(
        table, families=families, folds=folds, use_domains=use_domains, seed=seed
    )
    return selector.choose(budget=budget, cost_weight=cost_weight)


@dataclass(frozen=True, eq=False)
class Selector:
    """All kinds of rule, measured at all prices, so that many prices and budgets cost little.

    Attributes:
        training: What the rules are fitted on.
        frontiers: What every kind did on held-out rows.
    """

    training: Training
    frontiers: tuple[Frontier, ...]

    @classmethod
    def measure(
        cls,
        table: OutcomeTable,
        *,
        families: Sequence[Family] = FAMILIES,
        folds: int = 5,
        use_domains: bool = False,
        seed: int = _SEED,
    ) -> Selector:
        """Fit every kind on all folds but one and play it on that one; as ``select_policy``."""
        check_size(table)
        check_arms(table)
        if not families:
            raise InvalidConfiguration("No kind of rule competes: families is empty.")
        training = Training.prepare(table, folds=folds, use_domains=use_domains, seed=seed)
        grid = cost_weight_grid(training)
        return cls(training, tuple(Frontier.measure(f, training, grid) for f in families))

    def choose(self, *, budget: float | None = None, cost_weight: float | None = None) -> Selection:
        """Return the simplest kind that is within one standard error of the best."""
        check_dial(budget, cost_weight)
        weight = float(cost_weight or 0.0)
        if budget is not None:
            weight = _price_at(self.frontiers, budget)
        candidates = compare(self.frontiers, weight)
        chosen = min((c for c in candidates if c.tied), key=lambda c: (c.complexity, -c.utility))
        rule, policy = self._fit(chosen.name, weight, budget)
        verdict = _verdict(self.training.table, rule, chosen.name, candidates)
        return Selection(policy, chosen.name, weight, candidates, verdict)

    def fit(
        self, name: str, *, budget: float | None = None, cost_weight: float | None = None
    ) -> FittedPolicy:
        """Return the rule of the kind called ``name``, whether it is the best or not."""
        check_dial(budget, cost_weight)
        if budget is not None:
            _price_at([self._frontier(name)], budget)
        return self._fit(name, float(cost_weight or 0.0), budget)[1]

    def _fit(
        self, name: str, cost_weight: float, budget: float | None
    ) -> tuple[RowPolicy | MixturePolicy, FittedPolicy]:
        frontier = self._frontier(name)
        rule = _final_rule(frontier, self.training, cost_weight, budget)
        return rule, _fitted(self.training, frontier.family, rule)

    def _frontier(self, name: str) -> Frontier:
        by_name = {frontier.family.name: frontier for frontier in self.frontiers}
        if name not in by_name:
            raise InvalidConfiguration(f"No kind of rule {name!r} was measured: {list(by_name)}.")
        return by_name[name]


def compare(frontiers: Sequence[Frontier], cost_weight: float) -> tuple[Candidate, ...]:
    """Return all kinds at a price, best first."""
    played = [frontier.at(cost_weight) for frontier in frontiers]
    utility = [quality - cost_weight * cost for quality, cost in played]
    best = utility[int(np.argmax([u.mean() for u in utility]))]
    found = [
        _candidate(frontier.family, *rows, u, best)
        for frontier, rows, u in zip(frontiers, played, utility, strict=True)
    ]
    return tuple(sorted(found, key=lambda c: (-c.utility, c.complexity)))


def _candidate(
    family: Family, quality: FloatArray, cost: FloatArray, utility: FloatArray, best: FloatArray
) -> Candidate:
    gap = best - utility
    standard_error = float(gap.std(ddof=1)) / len(gap) ** 0.5
    return Candidate(
        family.name,
        family.complexity,
        float(utility.mean()),
        float(quality.mean()),
        float(cost.mean()),
        paired_difference(best, utility, np.random.default_rng(_SEED)),
        float(gap.mean()) <= standard_error,
    )


def _price_at(frontiers: Sequence[Frontier], budget: float) -> float:
    """Return λ where the hull over all kinds spends the budget: what one more dollar would buy."""
    cost = np.concatenate([f.cost_usd.mean(axis=1) for f in frontiers])
    quality = np.concatenate([f.quality.mean(axis=1) for f in frontiers])
    hull = upper_hull(cost, quality)
    at = int(np.searchsorted(cost[hull], affords(budget), side="right"))
    if at == 0:
        raise InvalidConfiguration(
            f"A budget of {budget!r} US dollars per request is below the least that a rule spends, "
            f"{float(cost[hull[0]])!r}. Give at least that."
        )
    if at == len(hull):
        return 0.0
    low, high = hull[at - 1], hull[at]
    return float((quality[high] - quality[low]) / (cost[high] - cost[low]))


def _final_rule(
    frontier: Frontier, training: Training, cost_weight: float, budget: float | None
) -> RowPolicy | MixturePolicy:
    """Return the rule, fitted on all rows; at a budget, mixed so that it is spent."""
    rows = np.arange(training.n)
    if budget is None:
        return frontier.family.fit(training, rows, frontier.best_weight(cost_weight))
    cost, quality = frontier.cost_usd.mean(axis=1), frontier.quality.mean(axis=1)
    hull = upper_hull(cost, quality)
    at = int(np.searchsorted(cost[hull], budget, side="right"))
    rules = [
        frontier.family.fit(training, rows, float(frontier.cost_weights[point]))
        for point in hull[max(at - 1, 0) : at + 1]
    ]
    if at in (0, len(hull)):
        return rules[-1] if at else rules[0]
    low, high = cost[hull[at - 1]], cost[hull[at]]
    share = float((budget - low) / (high - low))
    return MixturePolicy(tuple(rules), (1.0 - share, share))


def _fitted(training: Training, family: Family, rule: RowPolicy | MixturePolicy) -> FittedPolicy:
    table = training.table
    if family.beliefs is Beliefs.NONE:
        return FittedPolicy(table.arms, rule, PriorEstimator.of_table(table), training.confidence)
    if family.beliefs is Beliefs.GAUSSIAN:
        prior = training.gaussian_prior(np.arange(training.n))
        return FittedPolicy(table.arms, rule, prior, training.confidence)
    stacked = training.stacked_belief()
    joint = stacked if family.beliefs is Beliefs.JOINT else None
    return FittedPolicy(table.arms, rule, stacked, training.confidence, joint)


def _verdict(
    table: OutcomeTable,
    rule: RowPolicy | MixturePolicy,
    chosen: str,
    candidates: Sequence[Candidate],
) -> str:
    best = candidates[0]
    tied = [c.name for c in candidates if c.tied and c is not best]
    ahead = f"; not told apart from it: {', '.join(tied)}" if tied else ""
    if isinstance(rule, SingleModelPolicy):
        return (
            f"Use {table.arms[rule.arm]} alone, no router: on held-out rows nothing was better by "
            f"more than one standard error{ahead}."
        )
    taken = "" if chosen == best.name else f". Taken is the simplest of these, {chosen}"
    return (
        f"Of {len(candidates)} kinds of rule {best.name} did best on held-out rows{ahead}{taken}."
    )
