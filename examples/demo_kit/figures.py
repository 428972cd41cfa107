"""From measured results to the figures that are printed, plotted and written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cascade_core import FittedPolicy
from cascade_core.evaluation import (
    Interval,
    Results,
    Summary,
    bootstrap_interval,
    oracle,
    paired_difference,
    random_mixing,
    replay,
    single_models,
    summarise,
)
from cascade_core.evaluation.report import Report
from cascade_core.outcomes import OutcomeTable

SEED = 7


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that was measured on the held-out problems.

    Attributes:
        singles: Every model alone.
        mixing: The best blind mixture of models at the first cascade's cost.
        cascades: The policy, live, one row a framework.
        best_hindsight: The best choice that hindsight could make.
        gain: Accuracy of the first cascade over `mixing`, problem by problem.
        gain_sd: Standard deviation of that difference between problems.
        n_problems: How many problems were measured on.
        chain: The models that the policy may ask, in its order.
    """

    singles: Sequence[Summary]
    mixing: Summary
    cascades: Sequence[Summary]
    best_hindsight: Summary
    gain: Interval
    gain_sd: float
    n_problems: int
    chain: Sequence[str]

    @property
    def strongest(self) -> Summary:
        """The most accurate model."""
        return max(self.singles, key=lambda s: s.quality.mean)

    @property
    def kept(self) -> float | None:
        """The cascade's accuracy as a share of the strongest model's; None if that is 0."""
        return _ratio(self.cascades[0].quality.mean, self.strongest.quality.mean)

    @property
    def cost_share(self) -> float | None:
        """The cascade's cost as a share of the strongest model's; None if that is 0."""
        return _ratio(self.cascades[0].cost_per_1000, self.strongest.cost_per_1000)

    @property
    def sole_model(self) -> str | None:
        """The one model that the first cascade asked, by its policy or in fact; else None."""
        if len(self.chain) == 1:
            return self.chain[0]
        cascade = self.cascades[0]
        for model in self.singles:
            # Another model's rejected drafts would show in the cost.
            alike = math.isclose(cascade.cost_per_1000, model.cost_per_1000, rel_tol=0.01)
            if cascade.shares[model.name] == 1 and alike:
                return model.name
        return None

    def rows(self) -> list[tuple[str, Summary]]:
        """Return what was compared, each with its kind; one model alone is its own mixture."""
        several = len(self.singles) > 1
        return [
            *(("single model", row) for row in self.singles),
            *([("random mixing", self.mixing)] if several else []),
            *(("cascade", row) for row in self.cascades),
            *([("oracle", self.best_hindsight)] if several else []),
        ]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def measure(held_out: OutcomeTable, live: Mapping[str, Results], policy: FittedPolicy) -> Figures:
    """Return the figures of the live cascades next to the baselines, on the same problems.

    The comparison, the gain over random mixing, is of the first one.
    """
    rng = np.random.default_rng(SEED)
    singles = [
        summarise(name, results, rng)
        for name, results in zip(held_out.arms, single_models(held_out), strict=True)
    ]
    cascade = next(iter(live.values()))
    mixture = random_mixing(held_out, float(cascade.cost_usd.mean()))
    mixed = mixture.expected(held_out.quality)
    return Figures(
        singles=singles,
        mixing=Summary(
            "random mixing",
            bootstrap_interval(mixed, rng),
            float(mixture.expected(held_out.cost_usd).mean()) * 1000,
            float(mixture.expected(held_out.latency_seconds).mean()),
            dict(zip(held_out.arms, mixture.weights.tolist(), strict=True)),
        ),
        cascades=[summarise(name, results, rng) for name, results in live.items()],
        best_hindsight=summarise("oracle (hindsight)", oracle(held_out), rng),
        gain=paired_difference(cascade.quality, mixed, rng),
        gain_sd=float(np.std(cascade.quality - mixed, ddof=1)),
        n_problems=held_out.n_requests,
        chain=chain(policy),
    )


def chain(policy: FittedPolicy) -> list[str]:
    """Return the names of the models that a fitted policy may ask, in its order."""
    return [policy.arms[m] for m in getattr(policy.policy, "order", ())]


def description(policy: FittedPolicy) -> str:
    """Return a fitted policy in words."""
    thresholds = ", ".join(f"{t:.2f}" for t in getattr(policy.policy, "thresholds", ()))
    names = " → ".join(chain(policy))
    return f"{names} (accepted from {thresholds})" if thresholds else f"{names} alone"


def how_measured(figures: Figures, notes: Sequence[str]) -> list[str]:
    """Return what a reader must know to judge the figures."""
    return [
        f"All figures are of {figures.n_problems} held-out problems; the policy was fitted on as "
        "many others. Intervals: bootstrap over problems, 95 %.",
        "Random mixing is the best blind mixture of two models at the cascade's cost.",
        "Every model and the cascade ran live; the frontier's policies in the report were replayed "
        "on the logged outcomes.",
        *notes,
    ]


def report(
    figures: Figures,
    verdict: str,
    frontier: Sequence[FittedPolicy],
    held_out: OutcomeTable,
    notes: Sequence[str],
) -> Report:
    """Return the page: the frontier is replayed on the held-out outcomes."""
    rng = np.random.default_rng(SEED)
    return Report(
        title="Cascade: what it costs and what it keeps",
        verdict=verdict,
        singles=figures.singles,
        policies=[
            summarise(description(policy), replay(policy, held_out), rng) for policy in frontier
        ],
        chosen=figures.cascades,
        mixing=figures.mixing,
        oracle=figures.best_hindsight,
        notes=how_measured(figures, notes),
    )
