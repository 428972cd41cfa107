"""The RouterBench noise protocol: our rules beside the logged runs of the published code.

python tests/benchmarks/routerbench_protocol.py [--json FILE]   (FILE may be - for stdout)

Each run has estimates before and after a call, made by its authors' protocol (a linear fit of truth
plus noise): the first rows fit, the others score. Our rules are fitted to the same budgets, and the
paper's area under quality over cost is taken on the same test rows. Beside it stands the area of
the logged paths (`exact`: exact mathematics; `asis`: the published code), and the difference with
a 95 % interval over the test rows. The files are read from ../shared/reference, or from the folder
CASCADE_SHARED; what is not there is skipped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _shared import shared_file

from cascade_core import CascadeRouting, OptimalCascade, ReservationIndexPolicy, RoutingPolicy
from cascade_core._arrays import FloatArray, IndexArray
from cascade_core._states import NO_ARM, States
from cascade_core.evaluation.metrics import bootstrap_metric, quality_cost_auc
from cascade_core.evaluation.simulation import (
    Replies,
    Update,
    VectorRule,
    gaussian_update,
    simulate,
)
from cascade_core.policies.cascade_fit import fit_cost_weight
from cascade_core.policies.threshold_search import pareto_cascades

NAMES = ("routerbench_M3_low", "synth_M5_medium", "correlated_M3_low")
# Logged method -> the variants that it may be compared with, the most exact one first.
LOGGED = {
    "routing": ("router|asis",),
    "threshold cascade": ("baseline_cascade|asis",),
    "optimal cascade": ("cascade|exact", "cascade|fixstd", "cascade|asis"),
    "cascade routing": (
        "cascade_routing|exact",
        "cascade_routing|fixstd",
        "cascade_routing|asis",
    ),
}
DRAWS = 400


@dataclass(frozen=True)
class Curve:
    """What a method does on the test rows: dollars and quality, each (budgets, n_test)."""

    cost: FloatArray
    quality: FloatArray


@dataclass(frozen=True)
class Run:
    """One logged experiment.

    Attributes:
        states: Its requests before any call, n rows.
        replies: What every arm replies.
        update: How beliefs follow from replies, by the rows of all requests.
        quality: True quality, shape (n, m).
        n_train: The first rows, which fit.
        budgets: Mean US dollars per request.
        max_depth: Most calls.
        log: Arrays ``METHOD|VARIANT|paths`` and ``|selected`` on the test rows.
    """

    states: States
    replies: Replies
    update: Update
    quality: FloatArray
    n_train: int
    budgets: FloatArray
    max_depth: int
    log: dict[str, Any]

    @property
    def train(self) -> IndexArray:
        """The rows that fit."""
        return np.arange(self.n_train)

    @property
    def test(self) -> IndexArray:
        """The rows that score."""
        return np.arange(self.n_train, self.states.n)

    def part(self, rows: IndexArray) -> tuple[States, Replies, Update]:
        """Return the world of some rows."""

        def update(states: States, at: IndexArray, arm: IndexArray, _: Replies) -> States:
            return self.update(states, rows[at], arm, self.replies)

        given = self.replies
        replies = Replies(
            given.estimate[rows],
            given.cost_usd[rows],
            given.latency_seconds[rows],
            given.rejected[rows],
        )
        return self.states.rows(rows), replies, update

    @classmethod
    def read(cls, name: str) -> Run | None:
        """Return the run, None where its files are not at hand."""
        path = shared_file("reference", f"{name}.npz")
        if path is None:
            return None
        data = dict(np.load(path))
        return cls._correlated(data) if "table" in data else cls._independent(data, path)

    @classmethod
    def _independent(cls, data: dict[str, Any], path: Path) -> Run:
        log = dict(np.load(path.with_suffix(".out.npz")))
        sd = np.broadcast_to(data["sigma"], data["q_ante"].shape).copy()
        return cls(
            _before(data["q_ante"], sd, data["c_ante"], None),
            _replies(data["q_post"], data["cost"]),
            gaussian_update,
            data["quality"],
            int(data["n_train"]),
            data["budgets"],
            int(data["max_depth"]),
            log,
        )

    @classmethod
    def _correlated(cls, data: dict[str, Any]) -> Run:
        table, sigma = data["table"], data["Sigma"]
        n, m = data["quality"].shape

        def update(states: States, rows: IndexArray, arm: IndexArray, _: Replies) -> States:
            seen = states.ran @ (1 << np.arange(m))
            return states.updated(
                mean=table[seen, rows],
                sd=np.sqrt(np.einsum("nii->ni", sigma[seen])),
                covariance=sigma[seen],
            )

        sd = np.broadcast_to(np.sqrt(np.diag(sigma[0])), (n, m)).copy()
        joint = np.broadcast_to(sigma[0], (n, m, m)).copy()
        # Judged on its own: what is thought of an arm once it alone has run.
        alone = np.stack([table[1 << arm, :, arm] for arm in range(m)], axis=1)
        return cls(
            _before(table[0], sd, data["cost_estimate"], joint),
            _replies(alone, data["cost"]),
            update,
            data["quality"],
            int(data["n_train"]),
            data["budgets"],
            m,
            data,
        )


def _before(
    mean: FloatArray, sd: FloatArray, cost: FloatArray, covariance: FloatArray | None
) -> States:
    # Not States.before_any_call: a linear fit leaves [0, 1], and the logged runs let it.
    nothing = np.zeros(mean.shape, dtype=np.bool_)
    none = np.full(len(mean), NO_ARM, dtype=np.intp)
    draw = np.zeros(len(mean))
    return States(mean, sd, cost, nothing, nothing, ~nothing, none, draw, covariance)


def _replies(estimate: FloatArray, cost: FloatArray) -> Replies:
    return Replies(estimate, cost, np.zeros(cost.shape), np.zeros(cost.shape, dtype=np.bool_))


MakeRule = Callable[[float, float], VectorRule]


def rules(run: Run) -> dict[str, MakeRule]:
    """Return what makes each rule from λ and γ."""
    order, depth = tuple(range(run.states.n_arms)), run.max_depth
    return {
        "routing": RoutingPolicy,
        "optimal cascade": lambda weight, share: OptimalCascade(order, weight, share),
        "cascade routing": lambda weight, share: CascadeRouting(weight, share, depth),
        "cascade routing, cheapest first": lambda weight, share: CascadeRouting(
            weight, share, depth, "cheapest"
        ),
        "reservation index": lambda weight, _: ReservationIndexPolicy(weight),
    }


def curve(run: Run, make: MakeRule) -> Curve:
    """Return what a rule fitted to each budget does on the test rows, expected over the draw."""
    fitted = run.part(run.train)
    start, replies, update = run.part(run.test)
    quality = run.quality[run.test]
    costs: list[FloatArray] = []
    qualities: list[FloatArray] = []
    for budget in run.budgets.tolist():
        # A rule that estimates costs may be unable to spend as little as the cheapest arm costs.
        least = _least(run, make)
        fit = fit_cost_weight(make, *fitted, run.quality[run.train], max(budget, least))
        ends = [simulate(make(fit.cost_weight, g), start, replies, update) for g in (1.0, 0.0)]
        share = fit.cheap_share
        costs.append(share * ends[0].cost_usd + (1 - share) * ends[1].cost_usd)
        qualities.append(share * ends[0].quality(quality) + (1 - share) * ends[1].quality(quality))
    return Curve(np.array(costs), np.array(qualities))


def _least(run: Run, make: MakeRule) -> float:
    start, replies, update = run.part(run.train)
    only_dollars = 1e12 / float(replies.cost_usd.mean())
    return float(simulate(make(only_dollars, 1.0), start, replies, update).cost_usd.mean())


def threshold_curve(run: Run) -> Curve:
    """Return the same for the best threshold cascade of each budget."""
    score = np.clip(run.replies.estimate, 0.0, 1.0)
    train, test = run.train, run.test
    cost, quality = run.replies.cost_usd, run.quality
    frontier = pareto_cascades(score[train], quality[train], cost[train])
    costs: list[FloatArray] = []
    qualities: list[FloatArray] = []
    for budget in run.budgets.tolist():
        within = [c for c in frontier if c.cost <= budget] or frontier[:1]
        policy = max(within, key=lambda c: c.quality).policy
        order = np.array(policy.order)
        good = score[test][:, order] >= np.array([*policy.thresholds, -np.inf])
        stop = good.argmax(axis=1)
        spent = np.cumsum(cost[test][:, order], axis=1)
        costs.append(spent[np.arange(len(test)), stop])
        qualities.append(quality[test, order[stop]])
    return Curve(np.array(costs), np.array(qualities))


def logged_curve(run: Run, method: str) -> tuple[str, Curve] | None:
    """Return the most exact logged variant of ``method``."""
    for variant in LOGGED.get(method, ()):
        if f"{variant}|paths" in run.log:
            paths, selected = run.log[f"{variant}|paths"], run.log[f"{variant}|selected"]
            cost, quality = run.replies.cost_usd[run.test], run.quality[run.test]
            every = np.arange(len(run.test))
            dollars = np.take_along_axis(cost[None], np.maximum(paths, 0).astype(np.intp), axis=2)
            spent = np.where(paths >= 0, dollars, 0.0).sum(axis=2)
            return variant, Curve(spent, np.stack([quality[every, s] for s in selected]))
    return None


def compare(run: Run, ours: Curve, theirs: Curve | None) -> dict[str, float]:
    """Return the AUC, that of the logged paths, and the difference with its 95 % interval."""
    models_cost, models_quality = run.replies.cost_usd[run.test].T, run.quality[run.test].T
    k, m = len(run.budgets), len(models_cost)

    def auc(cost: FloatArray, quality: FloatArray) -> float:
        return quality_cost_auc(cost[:k], quality[:k], cost[-m:], quality[-m:]).auc

    def gain(cost: FloatArray, quality: FloatArray) -> float:
        logged = quality_cost_auc(cost[k : 2 * k], quality[k : 2 * k], cost[-m:], quality[-m:])
        return auc(cost, quality) - logged.auc

    mine = auc(
        np.concatenate([ours.cost, models_cost]).mean(axis=1),
        np.concatenate([ours.quality, models_quality]).mean(axis=1),
    )
    if theirs is None:
        return {"auc": mine}
    difference = bootstrap_metric(
        gain,
        np.concatenate([ours.cost, theirs.cost, models_cost]),
        np.concatenate([ours.quality, theirs.quality, models_quality]),
        np.random.default_rng(0),
        draws=DRAWS,
    )
    return {
        "auc": mine,
        "logged": mine - difference.mean,
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
    }


def measure(run: Run) -> dict[str, Any]:
    """Return the figures of every method."""
    curves = {name: curve(run, make) for name, make in rules(run).items()}
    curves["threshold cascade"] = threshold_curve(run)
    out: dict[str, Any] = {}
    for name, ours in curves.items():
        logged = logged_curve(run, name)
        out[name] = {
            "variant": None if logged is None else logged[0],
            **compare(run, ours, None if logged is None else logged[1]),
        }
    return dict(sorted(out.items(), key=lambda item: item[1]["auc"]))


def show(name: str, figures: dict[str, Any]) -> None:
    """Print a table."""
    print(f"{name}: AUC on the test rows, worst first")
    for method, row in figures.items():
        line = f"  {method:<34}{row['auc']:.4f}"
        if row["variant"]:
            verdict = "at least equal" if row["high"] >= 0 else "LOWER"
            line += (
                f"  {row['variant']} {row['logged']:.4f}: {row['difference']:+.4f} "
                f"[{row['low']:+.4f}, {row['high']:+.4f}] {verdict}"
            )
        print(line)


def main() -> None:
    """Measure all runs that are at hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file for the figures, - for stdout")
    where: str | None = parser.parse_args().json
    figures: dict[str, Any] = {}
    for name in NAMES:
        run = Run.read(name)
        if run is not None:
            figures[name] = measure(run)
    if where == "-":
        print(json.dumps(figures, indent=1))
        return
    for name in NAMES:
        if name in figures:
            show(name, figures[name])
        else:
            print(f"{name}: skipped, no such file; set CASCADE_SHARED")
    if where:
        Path(where).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
