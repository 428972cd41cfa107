"""Cascade's core: which model to call next, and whether the answer in hand is good enough.

Numbers and decisions only: no framework, no network, nothing built at import.
"""

from cascade_core._arms import ModelCard, price_arms
from cascade_core._cascade import Cascade, FittedPolicy, Outcome
from cascade_core._drivers import (
    Chunks,
    Done,
    drive,
    drive_async,
    drive_stream,
    drive_stream_async,
)
from cascade_core._flow import Failed, Flow, Gather, Score, Validator, call, gather, score
from cascade_core._types import (
    Abstain,
    Action,
    Answer,
    Arm,
    Belief,
    Call,
    Failure,
    Observation,
    Reply,
    Request,
    Trace,
    Usage,
)
from cascade_core.errors import (
    AllModelsFailed,
    CascadeAbstained,
    CascadeError,
    InvalidBelief,
    InvalidConfiguration,
    InvalidOutcomes,
    MissingPrice,
    PolicyError,
    PolicyMismatch,
    ValidatorError,
)
from cascade_core.failures import is_model_failure
from cascade_core.policies import (
    CascadeRouting,
    OptimalCascade,
    Policy,
    RandomMixing,
    ReservationIndexPolicy,
    RoutingFit,
    RoutingFrontier,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
    fit_routing,
    routing_frontier,
)
from cascade_core.pricing import Price, UnknownPriceWarning
from cascade_core.signals import DEFAULT_SIGNALS, PlattCalibrator, Reading, Signal

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_SIGNALS",
    "Abstain",
    "Action",
    "AllModelsFailed",
    "Answer",
    "Arm",
    "Belief",
    "Call",
    "Cascade",
    "CascadeAbstained",
    "CascadeError",
    "CascadeRouting",
    "Chunks",
    "Done",
    "Failed",
    "Failure",
    "FittedPolicy",
    "Flow",
    "Gather",
    "InvalidBelief",
    "InvalidConfiguration",
    "InvalidOutcomes",
    "MissingPrice",
    "ModelCard",
    "Observation",
    "OptimalCascade",
    "Outcome",
    "PlattCalibrator",
    "Policy",
    "PolicyError",
    "PolicyMismatch",
    "Price",
    "RandomMixing",
    "Reading",
    "Reply",
    "Request",
    "ReservationIndexPolicy",
    "RoutingFit",
    "RoutingFrontier",
    "RoutingPolicy",
    "Score",
    "Signal",
    "SingleModelPolicy",
    "ThresholdCascade",
    "Trace",
    "UnknownPriceWarning",
    "Usage",
    "Validator",
    "ValidatorError",
    "call",
    "drive",
    "drive_async",
    "drive_stream",
    "drive_stream_async",
    "fit_routing",
    "gather",
    "is_model_failure",
    "price_arms",
    "routing_frontier",
    "score",
]
