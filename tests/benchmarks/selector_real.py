"""What the selector's policies do on real models, beside every kind of rule and the baselines.

python tests/benchmarks/selector_real.py [--json FILE]

Zellinger and Thomson's outcomes: fitted on the 1,185 rows of the train split that have a test
split, scored on all rows of the test split. SWE-bench: five random halves, fitted on one and scored
on the other. Needs the extra ``learn`` and the folder ``shared``; says what it skips.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from _shared import shared_file
from numpy.typing import NDArray

from cascade_core import FittedPolicy
from cascade_core.evaluation import oracle, random_mixing, replay
from cascade_core.evaluation.metrics import (
    bootstrap_metric,
    cost_at_quality,
    quality_cost_auc,
    upper_hull,
)
from cascade_core.fitting import Selection, Selector
from cascade_core.outcomes import OutcomeTable, read_outcomes

Array = NDArray[np.float64]
N_PRICES = 20
CASCADE_ROUTING = "cascade routing, independent beliefs"
THRESHOLDS = ("threshold cascade", "threshold cascade on joint beliefs")
# What a quick prototype reached on the same split: share of the best model's quality, and of its
# cost; the last is the quality that it reached at 1.4 times the cost.
PROTOTYPE = {"quality 0.835": 0.77, "99 % of it": 0.47, "98.4 % of it": 0.37}


@dataclass(frozen=True, eq=False)
class Curve:
    """What the policies of one kind did on the test rows, at every price."""

    quality: Array  # (k, n)
    cost: Array  # (k, n)

    @classmethod
    def play(cls, policies: Sequence[FittedPolicy], table: OutcomeTable) -> Curve:
        played = [replay(policy, table) for policy in policies]
        return cls(np.stack([r.quality for r in played]), np.stack([r.cost_usd for r in played]))

    @property
    def points(self) -> tuple[Array, Array]:
        return self.cost.mean(axis=1), self.quality.mean(axis=1)


def prices(table: OutcomeTable) -> Array:
    """Return the prices of a dollar at which the best single model changes, and around them."""
    cost, quality = table.cost_usd.mean(axis=0), table.quality.mean(axis=0)
    hull = upper_hull(cost, quality)
    slopes = np.diff(quality[hull]) / np.diff(cost[hull])
    return np.geomspace(slopes.min() / 10, slopes.max() * 2, N_PRICES)


def measure(train: OutcomeTable, test: OutcomeTable, use_domains: bool = False) -> dict[str, Any]:
    """Return every figure of one split."""
    began = time.process_time()
    selector = Selector.measure(train, use_domains=use_domains)
    weights = prices(train)
    selections = [selector.choose(cost_weight=float(w)) for w in weights]
    fit_seconds = time.process_time() - began
    curves = {
        frontier.family.name: Curve.play(
            [selector.fit(frontier.family.name, cost_weight=float(w)) for w in weights], test
        )
        for frontier in selector.frontiers
    }
    chosen = Curve.play([s.policy for s in selections], test)
    return {
        "train_rows": train.n_requests,
        "test_rows": test.n_requests,
        "fit_cpu_seconds": fit_seconds,
        "chosen": _counts(selections),
        "auc": {name: _auc(curve, test) for name, curve in {"selector": chosen, **curves}.items()},
        "auc_gain_over_cascade_routing": _auc_gain(chosen, curves[CASCADE_ROUTING], test),
        "prices": _by_price(weights, selections, chosen, curves),
        "best_single": _against_single(chosen, test),
        "oracle": [float(oracle(test).quality.mean()), float(oracle(test).cost_usd.mean())],
    }


def _counts(selections: Sequence[Selection]) -> dict[str, int]:
    names = [s.chosen for s in selections]
    return {name: names.count(name) for name in sorted(set(names))}


def _auc(curve: Curve, test: OutcomeTable) -> float:
    singles = test.cost_usd.mean(axis=0), test.quality.mean(axis=0)
    return quality_cost_auc(*_hull(*curve.points), *singles).auc


def _hull(cost: Array, quality: Array) -> tuple[Array, Array]:
    at = upper_hull(cost, quality)
    return cost[at], quality[at]


def _auc_gain(one: Curve, other: Curve, test: OutcomeTable) -> list[float]:
    k = len(one.cost)

    def gain(cost: Array, quality: Array) -> float:
        singles = cost[2 * k :], quality[2 * k :]
        first = quality_cost_auc(*_hull(cost[:k], quality[:k]), *singles).auc
        second = quality_cost_auc(*_hull(cost[k : 2 * k], quality[k : 2 * k]), *singles).auc
        return first - second

    cost = np.concatenate([one.cost, other.cost, test.cost_usd.T])
    quality = np.concatenate([one.quality, other.quality, test.quality.T])
    found = bootstrap_metric(gain, cost, quality, np.random.default_rng(0), draws=500)
    return [found.mean, found.low, found.high]


def _by_price(
    weights: Array, selections: Sequence[Selection], chosen: Curve, curves: dict[str, Curve]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for i, weight in enumerate(weights.tolist()):
        utility = chosen.quality[i] - weight * chosen.cost[i]
        others = {n: c.quality[i] - weight * c.cost[i] for n, c in curves.items()}
        best = max((others[n] for n in THRESHOLDS), key=lambda u: float(u.mean()))
        gap = utility - best
        rows.append(
            {
                "cost_weight": weight,
                "chosen": selections[i].chosen,
                "utility": float(utility.mean()),
                "ahead_of_best_thresholds": float(gap.mean()),
                "standard_error": float(gap.std(ddof=1)) / len(gap) ** 0.5,
                "others": {n: float(u.mean()) for n, u in others.items()},
            }
        )
    return rows


def _against_single(chosen: Curve, test: OutcomeTable) -> dict[str, Any]:
    singles = test.quality.mean(axis=0)
    best = int(singles.argmax())
    quality, cost = float(singles[best]), float(test.cost_usd[:, best].mean())
    stacked_cost = np.concatenate([chosen.cost, test.cost_usd[:, best][None]])
    stacked_quality = np.concatenate([chosen.quality, test.quality[:, best][None]])

    def share_of_cost(share: float) -> Callable[[Array, Array], float]:
        def metric(c: Array, q: Array) -> float:
            return cost_at_quality(c[:-1], q[:-1], share * q[-1]) / float(c[-1])

        return metric

    def quality_at(multiple: float) -> Callable[[Array, Array], float]:
        def metric(c: Array, q: Array) -> float:
            return float(np.interp(multiple * c[-1], *_hull(c[:-1], q[:-1])))

        return metric

    rng = np.random.default_rng(0)
    figures: dict[str, Any] = {"model": test.arms[best], "quality": quality, "cost_usd": cost}
    for share in (1.0, 0.99, 0.984):
        found = bootstrap_metric(
            share_of_cost(share), stacked_cost, stacked_quality, rng, draws=1000
        )
        spent = found.mean * cost if np.isfinite(found.mean) else cost
        mixing = random_mixing(test, spent).expected(test.quality).mean()
        figures[f"cost at {share:.1%} of its quality"] = [found.mean, found.low, found.high]
        figures[f"random mixing at that cost, {share:.1%}"] = float(mixing)
    for multiple in (1.0, 1.4):
        found = bootstrap_metric(
            quality_at(multiple), stacked_cost, stacked_quality, rng, draws=1000
        )
        figures[f"quality at {multiple} of its cost"] = [found.mean, found.low, found.high]
    return figures


def zellinger(path: Path) -> dict[str, Any]:
    """Return the figures of the published split, under three things that a rule may know.

    What a live request always shows is whether a choice or free text is asked for: the confidences
    of the two are of different kinds. Its benchmark is more than that, and its accuracies by model
    moved between the splits (Llama 3.1 405B on MedMCQA: 0.913 and 0.757).
    """
    table = read_outcomes(path)
    kinds = dict(
        pl.read_parquet(path, columns=["prompt_id", "confidence_kind"]).unique("prompt_id").rows()
    )
    assert table.prompt_ids is not None, "read_outcomes gives them"
    of_kind = np.array([kinds[p] for p in table.prompt_ids], dtype=np.object_)
    # There is no test split of GSM8K.
    use = np.flatnonzero(table.domains != "gsm8k")
    tables = {
        "knows choice or free text": (replace(table, domains=of_kind).select(use), True),
        "knows the benchmark": (table.select(use), True),
        "knows neither": (table.select(use), False),
    }
    return {
        name: measure(t.where(split="train"), t.where(split="test"), use_domains)
        for name, (t, use_domains) in tables.items()
    }


def swe_bench(path: Path) -> dict[str, Any]:
    """Return the figures of five random halves."""
    table = read_outcomes(path)
    halves = [np.random.default_rng(seed).permutation(table.n_requests) for seed in range(5)]
    half = table.n_requests // 2
    found: dict[str, Any] = {}
    for i, rows in enumerate(halves):
        train = table.select(rows[:half])
        names = contenders(train)
        test = table.select(rows[half:])
        found[f"half {i}"] = measure(train.with_arms(names), test.with_arms(names))
    return found


def contenders(train: OutcomeTable, count: int = 8) -> list[str]:
    """Return the models that come first at some price on the training rows.

    Of 24 models on 250 rows most of a fit would be luck.
    """
    quality, cost = train.quality.mean(axis=0), train.cost_usd.mean(axis=0)
    places = [
        np.argsort(np.argsort(-(quality - weight * cost), kind="stable"))
        for weight in (0.0, *prices(train).tolist())
    ]
    best = np.argsort(np.min(places, axis=0) + 1e-3 * np.mean(places, axis=0), kind="stable")
    return [train.arms[m] for m in sorted(best[:count].tolist())]


def show(name: str, result: dict[str, Any]) -> None:
    """Print the figures for people."""
    print(f"\n{name}: {result['train_rows']} rows to fit, {result['test_rows']} to test, "
          f"{result['fit_cpu_seconds']:.0f} s of CPU; chosen: {result['chosen']}")  # fmt: skip
    for kind, auc in sorted(result["auc"].items(), key=lambda item: -item[1]):
        print(f"  AUC {100 * auc:6.2f}  {kind}")
    gain = [100 * x for x in result["auc_gain_over_cascade_routing"]]
    print(
        f"  selector over cascade routing: {gain[0]:+.2f} points [{gain[1]:+.2f}, {gain[2]:+.2f}]"
    )
    behind = [r for r in result["prices"] if r["ahead_of_best_thresholds"] < -r["standard_error"]]
    print(f"  prices at which a threshold cascade is ahead by over one SE: {len(behind)} of 20")
    for key, value in result["best_single"].items():
        shown = value if isinstance(value, str) else np.round(value, 4)
        print(f"  {key}: {shown}")


def main() -> None:
    """Measure what there is, print it, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args().json
    results: dict[str, Any] = {}
    for name, run in (("zellinger_cascades", zellinger), ("swebench_mini_agent", swe_bench)):
        path = shared_file("data", name, "outcomes.parquet")
        if path is None:
            print(f"skipped {name}: no such data; set CASCADE_SHARED")
            continue
        results[name] = run(path)
        for variant, result in results[name].items():
            show(f"{name}, {variant}", result)
    if wanted is not None:
        wanted.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
