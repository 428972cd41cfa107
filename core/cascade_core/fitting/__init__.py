"""Learn a policy from graded outcomes."""

from cascade_core.fitting.confidence import confidence_scores, fit_confidence
from cascade_core.fitting.fit import fit_policies, fit_policy
from cascade_core.fitting.selection import Candidate, Selection, Selector, select_policy

__all__ = [
    "Candidate",
    "Selection",
    "Selector",
    "confidence_scores",
    "fit_confidence",
    "fit_policies",
    "fit_policy",
    "select_policy",
]
