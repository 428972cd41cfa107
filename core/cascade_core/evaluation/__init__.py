"""Replay a policy on logged outcomes, and say what it is worth."""

from cascade_core.evaluation.baselines import Mixture, oracle, random_mixing, single_models
from cascade_core.evaluation.intervals import Interval, bootstrap_interval, paired_difference
from cascade_core.evaluation.replay import replay
from cascade_core.evaluation.results import Results, Summary, summarise

__all__ = [
    "Interval",
    "Mixture",
    "Results",
    "Summary",
    "bootstrap_interval",
    "oracle",
    "paired_difference",
    "random_mixing",
    "replay",
    "single_models",
    "summarise",
]
