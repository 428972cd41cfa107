"""Several LlamaIndex models, cheap to expensive, as one drop-in LLM.

Settings.llm = CascadeRouterLLM(models=[cheap, middle, strong])
"""

from cascade_core import (
    AllModelsFailed,
    CascadeAbstained,
    CascadeError,
    FittedPolicy,
    InvalidConfiguration,
    MissingPrice,
    Policy,
    PolicyMismatch,
    Price,
    Reply,
    ReservationIndexPolicy,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
    UnknownPriceWarning,
    ValidatorError,
)
from llamaindex_cascade.llms import CascadeRouterLLM

__all__ = [
    "AllModelsFailed",
    "CascadeAbstained",
    "CascadeError",
    "CascadeRouterLLM",
    "FittedPolicy",
    "InvalidConfiguration",
    "MissingPrice",
    "Policy",
    "PolicyMismatch",
    "Price",
    "Reply",
    "ReservationIndexPolicy",
    "RoutingPolicy",
    "SingleModelPolicy",
    "ThresholdCascade",
    "UnknownPriceWarning",
    "ValidatorError",
]
