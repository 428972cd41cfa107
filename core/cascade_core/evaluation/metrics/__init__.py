"""Figures of merit over cost-quality curves, each as its paper and its published code define it.

A curve is a family of policies as points: mean cost (k,) and mean quality (k,), in any order.
"""

from cascade_core.evaluation.metrics.aiq import aiq
from cascade_core.evaluation.metrics.bootstrap import CurveMetric, bootstrap_metric
from cascade_core.evaluation.metrics.cost_at_quality import (
    cost_at_quality,
    cost_at_quality_unmixed,
    cost_at_share,
    cost_at_share_unmixed,
)
from cascade_core.evaluation.metrics.deferral import deferral_area, quality_neutral_cost
from cascade_core.evaluation.metrics.error_cost import common_cost_range, error_cost_area
from cascade_core.evaluation.metrics.gap_recovered import apgr, cpt, pgr
from cascade_core.evaluation.metrics.headroom import Headroom, noise_corrected_headroom
from cascade_core.evaluation.metrics.hull import upper_hull
from cascade_core.evaluation.metrics.quality_cost_auc import (
    QualityCostArea,
    nonredundant,
    quality_cost_auc,
)
from cascade_core.evaluation.metrics.router_arena import router_arena_score

__all__ = [
    "CurveMetric",
    "Headroom",
    "QualityCostArea",
    "aiq",
    "apgr",
    "bootstrap_metric",
    "common_cost_range",
    "cost_at_quality",
    "cost_at_quality_unmixed",
    "cost_at_share",
    "cost_at_share_unmixed",
    "cpt",
    "deferral_area",
    "error_cost_area",
    "noise_corrected_headroom",
    "nonredundant",
    "pgr",
    "quality_cost_auc",
    "quality_neutral_cost",
    "router_arena_score",
    "upper_hull",
]
