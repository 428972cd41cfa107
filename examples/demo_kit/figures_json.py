"""The figures for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cascade_core import FittedPolicy
from cascade_core.evaluation import Interval
from cascade_core.pricing import PriceLike, as_price
from demo_kit.figures import Figures, how_measured
from demo_kit.verdict import Verdict


def figures_json(
    figures: Figures,
    verdict: Verdict,
    policy: FittedPolicy,
    prices: Mapping[str, PriceLike],
    notes: Sequence[str],
) -> str:
    """Return everything that the table and the verdict say, as JSON."""
    content = {
        "verdict": {"kind": verdict.kind, "text": verdict.text},
        "held_out_problems": figures.n_problems,
        "results": [
            {
                "name": row.name,
                "kind": kind,
                "accuracy": _interval(row.quality),
                "usd_per_1000": row.cost_per_1000,
                "latency_seconds": row.latency_seconds,
                "answered_by": dict(row.shares),
            }
            for kind, row in figures.rows()
        ],
        "kept_accuracy": figures.kept,
        "cost_share": figures.cost_share,
        "gain_over_random_mixing": {**_interval(figures.gain), "sd": figures.gain_sd},
        "policy": {
            "order": list(figures.chain),
            "thresholds": list(getattr(policy.policy, "thresholds", ())),
        },
        "prices_usd_per_million_tokens": {name: _price(p) for name, p in prices.items()},
        "how_measured": how_measured(figures, notes),
    }
    # A NaN is no JSON: better no file than one that a parser refuses.
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _interval(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _price(given: PriceLike) -> dict[str, Any]:
    price = as_price(given)
    return {
        "input": price.input,
        "output": price.output,
        "cached_input": price.input_cached,
    }
