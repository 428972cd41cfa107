"""Ex-post signals: what can be read from a reply. One signal a file."""

from cascade_core.signals._base import Reading, Signal
from cascade_core.signals.emptiness import EmptinessSignal
from cascade_core.signals.finish_reason import FinishReasonSignal
from cascade_core.signals.platt import PlattCalibrator
from cascade_core.signals.refusal import RefusalSignal
from cascade_core.signals.token_probability import TokenProbabilitySignal

DEFAULT_SIGNALS: tuple[Signal, ...] = (
    FinishReasonSignal(),
    RefusalSignal(),
    EmptinessSignal(),
    TokenProbabilitySignal(),
)
"""The signals that cost nothing and need no set-up."""

__all__ = [
    "DEFAULT_SIGNALS",
    "EmptinessSignal",
    "FinishReasonSignal",
    "PlattCalibrator",
    "Reading",
    "RefusalSignal",
    "Signal",
    "TokenProbabilitySignal",
]
