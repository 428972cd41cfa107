"""On real models' outcomes, where they are at hand: early abstention earns what it promises.

The outcomes carry no licence and are never copied here: they are read from the folder ``shared``
beside the project, or from $CASCADE_SHARED.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from cascade_core import PlattCalibrator
from cascade_core.policies import AbstentionLoss
from cascade_core.policies._rows import Rows
from cascade_core.policies.abstention_search import tune_chain
from cascade_core.policies.optimal_stopping import stopping_rule

BESIDE = Path(__file__).resolve().parents[2].parent / "shared"
OUTCOMES = (
    Path(os.environ.get("CASCADE_SHARED", BESIDE)) / "data/zellinger_cascades/outcomes.parquet"
)
MODELS = ("llama3.1-8b", "llama3.1-405b")

pytestmark = pytest.mark.skipif(not OUTCOMES.exists(), reason="no outcomes of Zellinger & Thomson")


def splits(domain: str) -> tuple[Rows, Rows]:
    """Return train and test rows of two models, their confidences calibrated on train."""
    pl = pytest.importorskip("polars")
    table = pl.read_parquet(OUTCOMES).filter(pl.col("domain") == domain)
    parts = {}
    for split in ("train", "test"):
        here = table.filter(pl.col("split") == split)
        columns = []
        for name in ("quality", "confidence", "cost_usd_answer_only"):
            wide = here.pivot(on="model", index="prompt_id", values=name).sort("prompt_id")
            columns.append(wide.select(MODELS).to_numpy().astype(np.float64))
        columns[1] = np.minimum(np.exp(columns[1]), 1.0)
        parts[split] = columns
    quality, raw, _ = parts["train"]
    platt = [PlattCalibrator.fit(raw[:, m], quality[:, m]) for m in range(2)]

    def rows(split: str) -> Rows:
        quality, raw, cost = parts[split]
        score = np.column_stack([p.apply(raw[:, m]) for m, p in enumerate(platt)])
        return Rows.of(score, quality, cost)

    return rows("train"), rows("test")


def test_where_dollars_weigh_giving_up_early_loses_less_on_fresh_requests() -> None:
    gains = []
    for domain in ("mmlu", "medmcqa", "triviaqa", "truthfulqa"):
        train, test = splits(domain)
        for abstention in (0.1, 0.2, 0.3, 0.4):
            loss = AbstentionLoss(cost_weight=300.0, abstention=abstention)
            early = loss.measure(stopping_rule(train, (0, 1), loss), test)
            late = loss.measure(tune_chain(train, (0, 1), loss, early=False).policy, test)
            gains.append(1 - early.loss / late.loss)
    assert np.mean(gains) > 0.03
