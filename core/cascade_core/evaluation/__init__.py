"""Replay a policy on logged outcomes, and say what it is worth."""

from cascade_core.evaluation.baselines import oracle, random_mixing, single_models
from cascade_core.evaluation.intervals import Interval, bootstrap_interval, paired_difference
from cascade_core.evaluation.replay import Replay, replay

__all__ = [
    "Interval",
    "Replay",
    "bootstrap_interval",
    "oracle",
    "paired_difference",
    "random_mixing",
    "replay",
    "single_models",
]
