"""How fast the rules decide, live and in replay, and how fast they are fitted; CPU time, one core.

python tests/benchmarks/engine_speed.py [--json FILE]   (FILE may be - for stdout)

With CASCADE_ROUTING_CHECKOUT naming a checkout of github.com/eth-sri/cascade-routing, its decisions
are timed on the same states in the same run; without it no figure of it is given.
"""

from __future__ import annotations

import os

# ruff: noqa: E402
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is imported

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from published_cascade_routing import Published, published

from cascade_core import (
    Belief,
    CascadeRouting,
    OptimalCascade,
    Policy,
    ReservationIndexPolicy,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
    Trace,
    fit_routing,
)
from cascade_core._states import States
from cascade_core.evaluation.simulation import Replies, VectorRule, gaussian_update, simulate
from cascade_core.policies.cascade_fit import fit_cost_weight, fit_step_weights

Figures = dict[str, Any]

# µs of a live decision, seconds of a fit, and how many times the published code's decisions.
LIVE_BARS = {
    ("reservation index", 5): 60,
    ("reservation index", 50): 150,
    ("cascade routing", 5): 400,
    ("cascade routing", 11): 8000,
}
FIT_BARS = {"routing": 0.2, "cascade routing": 10.0, "cascade routing, by step": 10.0}
PUBLISHED_BAR = 100
# A tenfold number of models may take this many times the time, caches included.
GROWTH_BAR = 13
WEIGHTS = (10.0, 50.0, 250.0)


def world(m: int, n: int, seed: int = 0) -> tuple[States, Replies]:
    """Return n requests with m arms whose costs span two decades; the beliefs are right."""
    rng = np.random.default_rng(seed)
    mean, sd = rng.uniform(0.2, 0.9, (n, m)), rng.uniform(0.05, 0.3, (n, m))
    cost = np.geomspace(1e-4, 1e-2, m) * rng.uniform(0.7, 1.4, (n, m))
    estimate = np.clip(mean + sd * rng.normal(size=(n, m)), 0, 1)
    nothing = np.zeros((n, m))
    start = States.before_any_call(mean, sd, cost, draw=rng.uniform(size=n))
    return start, Replies(estimate, cost, nothing, nothing > 0)


def least(run: Callable[[], object], rounds: int) -> float:
    """Return the least CPU seconds of ``rounds`` runs, the first of which only warms up."""
    times: list[float] = []
    for _ in range(rounds + 1):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times[1:])


def live(rule: Policy, m: int, rounds: int = 15, calls: int = 200) -> dict[str, float]:
    """Return least and median µs of the first decision on a request that was never seen."""
    start, _ = world(m, calls)
    times: list[float] = []
    for _ in range(rounds):
        rows = zip(start.mean, start.sd, start.cost, strict=True)
        traces = [Trace(Belief.independent(*row)) for row in rows]
        began = time.process_time()
        for trace in traces:
            rule.decide(trace)
        times.append((time.process_time() - began) / calls * 1e6)
    return {"min": min(times), "median": statistics.median(times)}


def live_figures() -> Figures:
    """Return µs of one live decision, by rule and number of models."""
    out: Figures = {}
    for m in (5, 11, 50):
        rules: dict[str, Policy] = {
            "single model": SingleModelPolicy(0),
            "routing": RoutingPolicy(50.0),
            "threshold cascade": ThresholdCascade(tuple(range(m)), (0.7,) * (m - 1)),
            "reservation index": ReservationIndexPolicy(50.0),
            "optimal cascade": OptimalCascade(tuple(range(m)), 50.0),
            "cascade routing": CascadeRouting(50.0),
        }
        for name, rule in rules.items():
            bar = LIVE_BARS.get((name, m))
            out[f"{name}, {m} models"] = {**live(rule, m), **({"bar": bar} if bar else {})}
    return out


def replay_figures() -> Figures:
    """Return decisions per second of whole replays of cascade routing."""
    return {str(m): _replayed(m) for m in (2, 3, 5, 8, 11, 16, 25, 50, 100)}


def _replayed(m: int) -> float:
    start, replies = world(m, 5000 if m <= 11 else 500)
    made, seconds = 0, 0.0
    for weight in WEIGHTS:
        rule = CascadeRouting(weight)
        made += simulate(rule, start, replies).decisions
        seconds += least(partial(simulate, rule, start, replies), 2)
    return made / seconds


def growth_figures() -> Figures:
    """Return µs a decision by number of models, and the ratio of 100 models to 10."""
    out: Figures = {}
    rules: dict[str, VectorRule] = {
        "routing": RoutingPolicy(50.0),
        "reservation index": ReservationIndexPolicy(50.0),
    }
    for name, rule in rules.items():
        each: dict[str, float] = {}
        for m in (10, 20, 50, 100):
            start, _ = world(m, 2000)
            each[str(m)] = least(partial(rule.decide_many, start), 15) / 2000 * 1e6
        out[name] = {**each, "100 to 10": each["100"] / each["10"], "bar": GROWTH_BAR}
    return out


def fit_figures(n: int = 5000, m: int = 11) -> Figures:
    """Return CPU seconds of the fits for three budgets: the slowest one counts."""
    start, replies = world(m, n)
    quality = (np.random.default_rng(1).uniform(size=(n, m)) < replies.estimate) * 1.0
    given = (start, replies, gaussian_update, quality)
    runs: dict[str, Callable[[float], object]] = {
        "routing": lambda budget: fit_routing(start.mean, start.cost, budget),
        "cascade routing": lambda budget: fit_cost_weight(CascadeRouting, *given, budget),
        "cascade routing, by step": lambda budget: fit_step_weights(CascadeRouting, *given, budget),
    }
    budgets = (2e-4, 1e-3, 3e-3)
    return {
        name: {
            "seconds": max(least(partial(run, b), 1) for b in budgets),
            "bar": FIT_BARS[name],
        }
        for name, run in runs.items()
    }


def side_by_side(theirs: Published) -> Figures:
    """Return decisions per second of both on the same states, and the ratio.

    Ours decides thousands at once, as in a replay or a fit; beside it, one at a time.
    """
    out: Figures = {}
    for m, n in ((5, 60), (11, 12)):
        depth = min(m, 5)  # as in the paper's experiments
        start, replies = world(m, n, seed=3)
        arm = CascadeRouting(50.0).decide_many(start).call
        called = start.called(arm, np.zeros(n, dtype=np.bool_))
        second = gaussian_update(called, np.arange(n), arm, replies)
        for name, states in (("first call", start), ("second call", second)):
            block = states.rows(np.arange(4000) % n)
            slow = fast = single = 0.0
            for weight in WEIGHTS:
                rule = CascadeRouting(weight, max_depth=depth, next="lowest_index")
                slow += least(partial(theirs.decide_all, states, weight, depth), 2) / n
                fast += least(partial(rule.decide_many, block), 3) / block.n
                single += least(partial(_one_by_one, rule, states), 3) / n
            out[f"{m} models, {name}"] = {
                "published": len(WEIGHTS) / slow,
                "ours": len(WEIGHTS) / fast,
                "ours, one at a time": len(WEIGHTS) / single,
                "ratio": slow / fast,
                "bar": PUBLISHED_BAR,
            }
    return out


def _one_by_one(rule: VectorRule, states: States) -> None:
    for row in range(states.n):
        rule.decide_many(states.rows(np.array([row])))


def measure() -> Figures:
    """Return all figures."""
    figures: Figures = {
        "live_microseconds": live_figures(),
        "replay_decisions_per_second": replay_figures(),
        "growth_microseconds": growth_figures(),
        "fit_seconds": fit_figures(),
    }
    theirs = published()
    if theirs is not None:
        figures["published"] = side_by_side(theirs)
    return figures


def show(figures: Figures) -> None:
    """Print a table."""
    print("one live decision, µs of CPU time, least (median)")
    for name, row in figures["live_microseconds"].items():
        print(f"  {name:<34}{row['min']:>9.1f} ({row['median']:.1f}){_bar(row, row['min'])}")
    print("cascade routing in replay, decisions per second")
    for m, rate in figures["replay_decisions_per_second"].items():
        print(f"  {m + ' models':<34}{rate:>9.0f}")
    print("µs a decision in replay, by number of models")
    for name, row in figures["growth_microseconds"].items():
        each = "  ".join(f"{m}: {row[m]:.2f}" for m in ("10", "20", "50", "100"))
        print(f"  {name:<34}{each}  ratio {row['100 to 10']:.1f}{_bar(row, row['100 to 10'])}")
    print("fit on 5,000 requests x 11 models, s of CPU time")
    for name, row in figures["fit_seconds"].items():
        print(f"  {name:<34}{row['seconds']:>9.3f}{_bar(row, row['seconds'])}")
    if "published" not in figures:
        print("published code: skipped, CASCADE_ROUTING_CHECKOUT names no checkout of it")
        return
    print("beside the published code, decisions per second on the same states")
    for name, row in figures["published"].items():
        met = "met" if row["ratio"] >= row["bar"] else "MISSED"
        both = f"{row['ours']:>9.0f} against {row['published']:.0f}"
        alone = f"one at a time {row['ours, one at a time']:.0f}"
        print(f"  {name:<34}{both}: {row['ratio']:.0f}x, bar {row['bar']}x {met}; {alone}")


def _bar(row: Figures, value: float) -> str:
    if "bar" not in row:
        return ""
    return f"  bar {row['bar']} {'met' if value <= row['bar'] else 'MISSED'}"


def main() -> None:
    """Measure, print, and write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file for the figures, - for stdout")
    where: str | None = parser.parse_args().json
    figures = measure()
    if where == "-":
        print(json.dumps(figures, indent=1))
        return
    show(figures)
    if where:
        Path(where).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
