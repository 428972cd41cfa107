"""Quality estimators: ex-ante ones see the request, ex-post ones a reply. One method a file."""

from cascade_core.estimators._base import ExAnteEstimator, ExPostEstimator
from cascade_core.estimators.confidence import AssumedConfidence, CalibratedConfidence
from cascade_core.estimators.prior import PriorEstimator

__all__ = [
    "AssumedConfidence",
    "CalibratedConfidence",
    "ExAnteEstimator",
    "ExPostEstimator",
    "PriorEstimator",
]
