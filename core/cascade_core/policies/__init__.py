"""Decision rules: a pure function from a trace to a call, an answer or an abstention."""

from cascade_core.policies._base import Policy
from cascade_core.policies.reservation_index import ReservationIndexPolicy
from cascade_core.policies.routing import RoutingPolicy
from cascade_core.policies.single_model import SingleModelPolicy
from cascade_core.policies.threshold_cascade import ThresholdCascade

__all__ = [
    "Policy",
    "ReservationIndexPolicy",
    "RoutingPolicy",
    "SingleModelPolicy",
    "ThresholdCascade",
]
