"""From measured results to the table, the verdict and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

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
from cascade_core.evaluation.report import Report, shares_text
from cascade_core.fitting import FittedPolicy
from cascade_core.outcomes import OutcomeTable

SEED = 7


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that was measured on the held-out problems."""

    singles: Sequence[Summary]
    mixing: Summary
    cascades: Sequence[Summary]
    best_hindsight: Summary
    kept: float
    cost_share: float
    gain: Interval


def measure(held_out: OutcomeTable, live: Mapping[str, Results]) -> Figures:
    """Return the figures of the live cascades next to the baselines, on the same problems.

    The comparisons, kept accuracy and cost and the gain over random mixing, are of the first one.
    """
    rng = np.random.default_rng(SEED)
    singles = [
        summarise(name, results, rng)
        for name, results in zip(held_out.arms, single_models(held_out), strict=True)
    ]
    cascade = next(iter(live.values()))
    strongest = max(singles, key=lambda s: s.quality.mean)
    mixture = random_mixing(held_out, float(cascade.cost_usd.mean()))
    mixed = mixture.expected(held_out.quality)
    return Figures(
        singles=singles,
        mixing=Summary(
            "random mixing, same cost",
            bootstrap_interval(mixed, rng),
            float(mixture.expected(held_out.cost_usd).mean()) * 1000,
            float(mixture.expected(held_out.latency_seconds).mean()),
            dict(zip(held_out.arms, mixture.weights.tolist(), strict=True)),
        ),
        cascades=[summarise(name, results, rng) for name, results in live.items()],
        best_hindsight=summarise("oracle (hindsight)", oracle(held_out), rng),
        kept=float(cascade.quality.mean()) / strongest.quality.mean,
        cost_share=float(cascade.cost_usd.mean()) * 1000 / strongest.cost_per_1000,
        gain=paired_difference(cascade.quality, mixed, rng),
    )


def verdict(figures: Figures) -> str:
    """Return what the figures say, in one or two sentences, also when it is bad news."""
    strongest = max(figures.singles, key=lambda s: s.quality.mean)
    gain = figures.gain
    text = (
        f"The cascade keeps {100 * figures.kept:.1f} % of {strongest.name}'s accuracy at "
        f"{100 * figures.cost_share:.0f} % of its cost."
    )
    difference = (
        f"{100 * gain.mean:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}] against "
        "random mixing at the same cost"
    )
    if gain.low > 0:
        return f"{text} {difference}: it has learnt something."
    return f"{text} {difference}: no gain is shown. Use one model, no router."


def table(figures: Figures) -> Table:
    """Return the table that the demo prints."""
    result = Table(title="Held-out problems", title_justify="left")
    result.add_column("")
    for heading in ("accuracy [95 %]", "$ / 1,000", "latency"):
        result.add_column(heading, justify="right")
    result.add_column("answered by")
    for row in [*figures.singles, figures.mixing, *figures.cascades, figures.best_hindsight]:
        q = row.quality
        result.add_row(
            row.name,
            f"{100 * q.mean:.1f} % [{100 * q.low:.1f}, {100 * q.high:.1f}]",
            f"{row.cost_per_1000:.4f}",
            f"{1000 * row.latency_seconds:.0f} ms",
            "" if row in figures.singles else shares_text(row),
            style="bold green" if row in figures.cascades else None,
        )
    return result


def report(
    figures: Figures, frontier: Sequence[FittedPolicy], held_out: OutcomeTable, note: str
) -> Report:
    """Return the page: the frontier is replayed on the held-out outcomes."""
    rng = np.random.default_rng(SEED)
    return Report(
        title="Cascade: what it costs and what it keeps",
        verdict=verdict(figures),
        singles=figures.singles,
        policies=[_replayed(policy, held_out, rng) for policy in frontier],
        chosen=figures.cascades,
        mixing=figures.mixing,
        oracle=figures.best_hindsight,
        notes=[
            f"All figures are of {held_out.n_requests} held-out problems; the policies were fitted "
            "on others. Intervals: bootstrap over problems, 95 %.",
            "Random mixing is the best blind mixture of two models at the cascade's cost.",
            "The frontier's policies were replayed on logged outcomes; the cascade ran live.",
            note,
        ],
    )


def _replayed(policy: FittedPolicy, held_out: OutcomeTable, rng: np.random.Generator) -> Summary:
    rule = policy.policy
    name = " → ".join(policy.arms[m] for m in getattr(rule, "order", ()))
    thresholds = ", ".join(f"{t:.2f}" for t in getattr(rule, "thresholds", ()))
    name += f" (thresholds {thresholds})" if thresholds else ""
    return summarise(name, replay(policy, held_out), rng)
