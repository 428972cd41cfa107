"""Several LangChain chat models, cheap to strong, as one drop-in chat model.

model = CascadeRouterLLM(models=[cheap, middle, strong])
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
from langchain_cascade.chat_models import CascadeRouterLLM

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
