"""What abstaining early saves on real models, beside abstaining at the last model only.

python tests/benchmarks/early_abstention.py [--json]

Zellinger and Thomson's outcomes (MMLU, MedMCQA, TriviaQA, TruthfulQA), read from the folder
``shared`` beside the project or from $CASCADE_SHARED. Thresholds are fitted on the train split and
scored on the test split, for every pair of the five Llama models, four prices of a dollar and eight
prices of an abstention: fitted to the grades, to the calibrated estimates in place of the grades,
and by optimal stopping. All are compared with abstaining at the last model only, in the stronger of
its two fits, the one to the estimates. Takes four minutes. Needs the extra ``learn``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from _shared import shared_file

from cascade_core import PlattCalibrator
from cascade_core.policies import AbstentionLoss
from cascade_core.policies._rows import Rows
from cascade_core.policies.abstention_search import tune_chain
from cascade_core.policies.optimal_stopping import stopping_rule

MODELS = ("llama3.2-1b", "llama3.2-3b", "llama3.1-8b", "llama3.1-70b", "llama3.1-405b")
DOMAINS = ("mmlu", "medmcqa", "triviaqa", "truthfulqa")
# Errors per US dollar: 1e-6 to 3e-4 per dollar of a million requests, as in the paper.
COST_WEIGHTS = (1.0, 30.0, 100.0, 300.0)
ABSTENTIONS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)


def splits(path: Path, domain: str, models: tuple[str, ...] = MODELS) -> tuple[Rows, Rows]:
    """Return the train and test rows of a domain, with confidences calibrated on train."""
    table = pl.read_parquet(path).filter(pl.col("domain") == domain)
    columns = {
        name: _matrices(table.filter(pl.col("split") == name), models) for name in ("train", "test")
    }
    quality, raw, _ = columns["train"]
    platt = [PlattCalibrator.fit(raw[:, m], quality[:, m]) for m in range(len(models))]

    def rows(name: str) -> Rows:
        quality, raw, cost = columns[name]
        score = np.column_stack([p.apply(raw[:, m]) for m, p in enumerate(platt)])
        return Rows.of(score, quality, cost)

    return rows("train"), rows("test")


def _matrices(table: pl.DataFrame, models: tuple[str, ...]) -> list[np.ndarray]:
    """Return quality, confidence in [0, 1] and dollars, each (n, m)."""

    def matrix(column: str) -> np.ndarray:
        wide = table.pivot(on="model", index="prompt_id", values=column).sort("prompt_id")
        return wide.select(models).to_numpy().astype(np.float64)

    # The log of a probability; a hair above 0 by rounding.
    confidence = np.minimum(np.exp(matrix("confidence")), 1.0)
    return [matrix("quality"), confidence, matrix("cost_usd_answer_only")]


@dataclass(frozen=True)
class Setting:
    """Losses on the test split, and what else changes."""

    domain: str
    cost_weight: float
    final: np.ndarray
    final_on_grades: np.ndarray
    grades: np.ndarray
    estimates: np.ndarray
    stopping: np.ndarray


def settings(path: Path) -> Iterator[Setting]:
    """Yield (loss, error, cost, abstained) of every rule in every setting."""
    for domain in DOMAINS:
        train, test = splits(path, domain)
        estimates = Rows(train.score, train.score, train.cost)
        for pair in combinations(range(len(MODELS)), 2):
            for cost_weight in COST_WEIGHTS:
                for abstention in ABSTENTIONS:
                    loss = AbstentionLoss(cost_weight, abstention)
                    policies = (
                        tune_chain(estimates, pair, loss, early=False).policy,
                        tune_chain(train, pair, loss, early=False).policy,
                        tune_chain(train, pair, loss).policy,
                        tune_chain(estimates, pair, loss).policy,
                        stopping_rule(train, pair, loss),
                    )
                    figures = []
                    for policy in policies:
                        t = loss.measure(policy, test)
                        figures.append(np.array([t.loss, t.error, t.cost, t.abstained]))
                    yield Setting(domain, cost_weight, *figures)


def main() -> None:
    """Print the changes in % against abstaining at the last model only; of abstentions, points."""
    path = shared_file("data", "zellinger_cascades", "outcomes.parquet")
    if path is None:
        print("skipped: no outcomes of Zellinger and Thomson in ../shared or $CASCADE_SHARED")
        return
    found = list(settings(path))
    groups = {"all": found}
    groups |= {f"λ_c {w:g}": [s for s in found if s.cost_weight == w] for w in COST_WEIGHTS}
    groups |= {d: [s for s in found if s.domain == d] for d in DOMAINS}
    rows = {name: _changes(group) for name, group in groups.items()}
    if "--json" in sys.argv:
        print(json.dumps(rows))
        return
    print(" " * 12 + "".join(f"{title.replace('_', ' '):>17}" for title in rows["all"]))
    for name, row in rows.items():
        print(f"{name:<12}" + "".join(f"{value:>17.4g}" for value in row.values()))


def _changes(group: list[Setting]) -> dict[str, float]:
    """Return mean relative changes of the loss in %; the last three are of optimal stopping."""

    def change(name: str, figure: int = 0) -> float:
        mine, base = (np.array([getattr(s, k)[figure] for s in group]) for k in (name, "final"))
        if figure == 0:
            return 100 * float((mine / base - 1).mean())
        return 100 * float(mine.mean() / base.mean() - 1)

    abstained = [s.stopping[3] - s.final[3] for s in group]
    return {
        "settings": len(group),
        "final_on_grades": change("final_on_grades"),
        "grades": change("grades"),
        "estimates": change("estimates"),
        "stopping": change("stopping"),
        "its_error": change("stopping", 1),
        "its_cost": change("stopping", 2),
        "its_abstentions": 100 * float(np.mean(abstained)),
    }


if __name__ == "__main__":
    main()
