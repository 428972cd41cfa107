"""The metrics on the published curves and figures, where the shared folder is at hand."""

import ast
import csv
import gzip
import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from cascade_core.evaluation.metrics import (
    apgr,
    common_cost_range,
    cpt,
    error_cost_area,
    nonredundant,
    quality_cost_auc,
)

SHARED = Path(
    os.environ.get("CASCADE_SHARED", Path(__file__).resolve().parents[2].parent / "shared")
)
ZELLINGER = SHARED / "data" / "zellinger_cascades"
ROUTELLM = SHARED / "data" / "routellm" / "outcomes.parquet"
AUC = SHARED / "reference" / "auc.json"

# The authors integrate a polyline by adaptive quadrature, which is this far off at its corners.
QUADRATURE = 3e-5

Curves = dict[tuple[str, str, str], tuple[list[float], list[float]]]


@pytest.mark.skipif(not AUC.exists(), reason="no shared reference")
def test_the_area_of_the_cascade_routing_paper() -> None:
    cases = json.loads(AUC.read_text())
    assert cases
    for case in cases:
        models = (case["baseline_cost"], case["baseline_quality"])
        found = quality_cost_auc(case["cost"], case["quality"], *models)
        figures = [found.auc, found.max_gain, found.min_gain]
        assert figures == pytest.approx(case["auc_maxdiff"], abs=1e-12, rel=1e-12)
        assert nonredundant(*models).tolist() == case["nonredundant"]


@pytest.fixture(scope="module")
def curves() -> Curves:
    file = ZELLINGER / "published_curves.csv.gz"
    if not file.exists():
        pytest.skip("no shared data")
    found: Curves = defaultdict(lambda: ([], []))
    with gzip.open(file, "rt") as text:
        for row in csv.DictReader(text):
            cost, quality = found[row["benchmark"], row["cascade"], row["method"]]
            cost.append(float(row["cost_usd_per_million_queries"]))
            quality.append(float(row["expected_correctness"]))
    return found


def both(curves: Curves, row: dict[str, str]) -> tuple[tuple[float, float], list[float]]:
    """Return the common range, and the error areas of continuous optimisation and grid search."""
    pair = [
        curves[row["benchmark"], row["cascade"], method]
        for method in ("continuous_optimization", "gridsearch")
    ]
    span = common_cost_range(*(cost for cost, _ in pair))
    return span, [error_cost_area(*curve, span) for curve in pair]


def test_the_error_areas_of_the_published_cascades(curves: Curves) -> None:
    with (ZELLINGER / "published_auc.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 312
    for row in rows:
        span, areas = both(curves, row)
        area = areas[row["method"] == "gridsearch"]
        assert list(span) == ast.literal_eval(row["auc_bounds"])
        assert area == pytest.approx(float(row["auc_norm"]), abs=QUADRATURE)
        under_quality = (1 - area) * (span[1] - span[0])
        assert under_quality == pytest.approx(float(row["performance"]), rel=2 * QUADRATURE)


def test_the_comparison_over_the_common_range(curves: Curves) -> None:
    with (ZELLINGER / "published_auc_common_range.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 156
    for row in rows:
        _, (continuous, grid) = both(curves, row)
        assert [continuous, grid] == pytest.approx(
            [float(row["cts"]), float(row["grid"])], abs=QUADRATURE
        )
        assert 100 * (continuous / grid - 1) == pytest.approx(float(row["pct"]), abs=0.02)


@pytest.mark.parametrize(
    ("domain", "n", "weak", "strong", "oracle"),
    [
        ("gsm8k", 1307, 0.6373, 0.8577, 0.9296),
        ("mmlu", 14037, 0.6809, 0.8059, 0.8587),
        ("mt_bench", 72, 0.8281, 0.9212, 0.9316),
    ],
)
def test_random_and_perfect_routers_of_routellm(
    domain: str, n: int, weak: float, strong: float, oracle: float
) -> None:
    """The published random router averages a few draws: 49.03 % and 78.08 % of calls on MT-Bench.

    Its expectation, here, is 50 % and 80 %.
    """
    if not ROUTELLM.exists():
        pytest.skip("no shared data")
    pl = pytest.importorskip("polars")
    rows = pl.read_parquet(ROUTELLM).filter(
        (pl.col("domain") == domain) & ~pl.col("contaminated").fill_null(False)
    )
    wide = rows.pivot("model", index="prompt_id", values="quality")
    w, s = (
        wide[m].to_numpy().astype(float)
        for m in ("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview")
    )
    assert w.size == n
    assert [w.mean(), s.mean(), np.maximum(w, s).mean()] == pytest.approx(
        [weak, strong, oracle], abs=5e-5
    )
    share = np.linspace(0, 1, 11)
    blind = (share, w.mean() + share * (s.mean() - w.mean()), w.mean(), s.mean())
    assert apgr(*blind) == pytest.approx(0.5)
    assert [cpt(*blind, 0.5), cpt(*blind, 0.8)] == pytest.approx([0.5, 0.8])

    gains = np.sort(s - w)[::-1]
    every = np.arange(n + 1) / n
    curve = w.mean() + np.append(0, np.cumsum(np.maximum(gains, 0))) / n
    perfect = apgr(every, curve, w.mean(), s.mean())
    assert perfect > 0.5
    # The mean over a rising concave curve is that of its quantiles: Σ gain (1 - rank).
    ranks = (np.arange(n) + 0.5) / n
    expected = (np.maximum(gains, 0) * (1 - ranks)).sum() / n / (s.mean() - w.mean())
    assert perfect == pytest.approx(expected)
